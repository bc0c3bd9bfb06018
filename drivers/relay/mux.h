/* SPDX-License-Identifier: MIT */
/*
 * Inside of mux: the core is one poll item that moves everybody's frames; a member's own item only
 * lends its descriptors. All of it is the poller's while attached.
 */
#ifndef NF_RELAY_MUX_H
#define NF_RELAY_MUX_H

#include "net/net_internal.h"
#include "nf/mux.h"
#include "relay/packet.h"

#define NF__MUX_IDS NF_NETIF_RING_SLOTS
#define NF__MUX_HEAD 128u     /* bytes of a frame that L1 copies and looks at */
#define NF__MUX_COPY 512u     /* frames up to this are copied whole: cheaper than a second slot */
#define NF__MUX_QUANTUM 16384 /* bytes a member may send a round */
#define NF__MUX_OVERHEAD 64   /* bytes a frame costs besides its own: small ones are not free */
#define NF__MUX_SLOTS (NF_NETIF_SLOTS_MIN - 1u) /* of a guest's: the header takes one more */
#define NF__MUX_NOBODY 0xffu

/* Bytes of a frame, wherever they lie. Pages of a peer: read once. */
struct nf__mux_piece {
	const uint8_t *data;
	uint32_t bytes;
};

/* A frame on its way to a guest. */
struct nf__mux_frame {
	struct nf__mux_piece piece[NF_NETIF_SLOTS_MIN + 2];
	uint32_t pieces;
	uint32_t bytes;
	uint16_t flags; /* NF_NETRXF_csum_blank, data_validated */
	bool has_extra;
	struct nf_netif_extra_info extra;
};

/* What a frame of a guest's is, by a private copy of its header. */
enum nf__mux_verdict { NF__MUX_SPOOFED, NF__MUX_UNICAST, NF__MUX_FLOOD };

/* Bytes that flow in a window: xl's rate. Also counts frames, for floods. */
struct nf__mux_credit {
	uint64_t per_window, left, most; /* per_window 0: no limit */
	uint64_t window_ns, next_ns;	 /* when the next window begins */
};

struct nf__mux_core;

struct nf__mux_queue {
	struct nf_poll_item item; /* first: descriptors only */
	struct nf__mux_core *core;
	struct nf_layer *layer;
	struct nf_back_rings *in; /* borrowed until removed */
	const uint32_t *tx_grefs; /* [NF_NET_PAGES]: its pages on the outer layer */
	struct nf_counters *counters;
	struct nf__direction rx; /* what it takes */
	uint8_t mac[6];
	const struct nf_mux_limits *limits;
	struct nf__mux_credit rate, flood;
	int32_t deficit;
	uint32_t index;	   /* in core->members */
	uint32_t inflight; /* its frames on the outer ring */
	uint32_t left;	   /* tx requests seen and not movable yet */
	bool waits_rate;   /* for its credit */
	bool tx_push, rx_push;
	bool hung_up;
	int error;		/* sticky: served no more */
	struct nf__fault fault; /* why */
	void (*stopped)(void *ctx);
	void *ctx;
};

/* Written by whoever stops it, poller or control thread. */
static inline int nf__mux_error(const struct nf__mux_queue *q)
{
	return (int)nf_load_relaxed((const uint32_t *)&q->error);
}

/* A guest's frame on the outer ring; its number is the id of its first slot and of L1's page. */
struct nf__mux_sent {
	uint8_t member; /* NF__MUX_NOBODY: it left meanwhile */
	uint8_t slots, extras;
	uint8_t pending; /* outer slots not answered */
	int8_t status;	 /* the worst of them */
	uint16_t id[NF__MUX_SLOTS];
};

struct nf__mux_core {
	struct nf_poll_item item; /* first */
	struct nf_layer *layer;
	struct nf_front_rings *out; /* borrowed; tx_pages and rx_pages are L1's own, mapped */
	struct nf__direction tx;    /* what L0 takes */
	struct nf_counters *counters;
	struct nf__mux_queue *members[NF_MUX_MEMBERS];
	uint32_t count; /* of members: they are 0 .. count, some NULL */
	uint32_t next;	/* whose turn it is */
	bool was_full;	/* its turn is not over: the outer ring had no room */
	bool is_owed;	/* a frame waits for nothing but its member's next turns */
	uint16_t free[NF__MUX_IDS];
	uint32_t free_count;
	uint8_t busy[NF__MUX_IDS];     /* the id is on the outer ring */
	uint8_t frame_of[NF__MUX_IDS]; /* the frame an id belongs to */
	struct nf__mux_sent sent[NF__MUX_IDS];
	uint32_t extras; /* on the outer ring */
	uint32_t rx_left;
	uint64_t now_ns;
	int timer_fd; /* the next window of somebody who waits */
	bool tx_push, hung_up;
	struct nf__fault fault;
	void (*stopped)(void *ctx);
	void *ctx;
};

/* ---- mux_queue.c ---- */
/* Posts L1's rx buffers. out, layer, counters, tx, stopped and ctx are set. 0 or -errno. */
int nf__mux_core_init(struct nf__mux_core *c);
void nf__mux_core_fini(struct nf__mux_core *c);
/* With the core off its poller. -ENOSPC. */
int nf__mux_add(struct nf__mux_core *c, struct nf__mux_queue *q);
/* What it has on the outer ring stays there and is nobody's. */
void nf__mux_remove(struct nf__mux_core *c, struct nf__mux_queue *q);
/* Poller: it broke the protocol, or hung up. */
void nf__mux_stop(struct nf__mux_queue *q, int error);

/* ---- mux_tx.c, poller ---- */
int nf__mux_tx_answers(struct nf__mux_core *c); /* of L0's: slots, or -EPROTO */
int nf__mux_tx(struct nf__mux_core *c);		/* of the guests: slots */

/* ---- mux_rx.c, poller ---- */
int nf__mux_rx(struct nf__mux_core *c);
/* A frame into a guest's posted buffers, or a counted drop. */
void nf__mux_deliver(struct nf__mux_queue *q, const struct nf__mux_frame *f);
/* To every member but one. */
void nf__mux_flood(struct nf__mux_core *c, const struct nf__mux_queue *from,
		   const struct nf__mux_frame *f);
struct nf__mux_queue *nf__mux_find(const struct nf__mux_core *c, const uint8_t mac[6]);

/* ---- mux_filter.c ---- */
enum nf__mux_verdict nf__mux_look(const struct nf__mux_queue *q, const uint8_t *head,
				  uint32_t bytes);

/* ---- mux_rate.c ---- */
void nf__mux_credit_init(struct nf__mux_credit *c, uint64_t per_window, uint64_t most,
			 uint64_t window_ns, uint64_t now_ns);
/* Takes so much, or false: c->next_ns says when to ask again. */
bool nf__mux_credit_take(struct nf__mux_credit *c, uint64_t much, uint64_t now_ns);

static inline int nf__mux_fault(struct nf__mux_queue *q, const char *field, int64_t value,
				int64_t min, int64_t max)
{
	return nf__fault(&q->fault, field, value, min, max);
}

#endif
