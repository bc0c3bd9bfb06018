/* SPDX-License-Identifier: MIT */
/*
 * The hostile peer: a raw netfront or netback on any struct nf_layer. It negotiates honestly over
 * the store, so that the real driver at the other end connects to it, and then hands its rings,
 * indices, events, pages, control ring and store keys to the test. It checks nothing and believes
 * everything.
 *
 * One thread. While it waits for the other end it calls turn(ctx), which must advance that end.
 */
#ifndef NF_TEST_HOSTILE_H
#define NF_TEST_HOSTILE_H

#include <stdbool.h>

#include "nf/device.h"
#include "nf/layer.h"
#include "nf/net.h"
#include "nf/netif.h"
#include "nf/ring.h"
#include "nf/store.h"

#define HOSTILE_QUEUES 4u
#define HOSTILE_SLOTS 256u
#define HOSTILE_WAIT_MS 5000u

struct hostile_options {
	uint32_t queues; /* 0: 1 */
	bool no_ctrl;	 /* front: no control ring; back: does not offer one */
	bool split;
	bool static_only;
	bool no_gso, no_sg;	/* else the front wants and the back offers all */
	uint32_t payload_pages; /* a direction and queue; 0: 256 */
};

struct hostile_queue {
	struct nf_sring *shared_tx, *shared_rx;
	uint32_t tx_prod, rx_prod; /* what the push functions publish next: requests or responses */
	struct nf_chan tx_chan, rx_chan;
	uint32_t tx_ring_gref, rx_ring_gref; /* front: ours, back: as the front published them */
	/* front */
	struct nf_arena tx_ring, rx_ring, tx_pages, rx_pages;
	uint32_t tx_grefs[HOSTILE_SLOTS], rx_grefs[HOSTILE_SLOTS];
	/* back */
	struct nf_mapping map;
	uint32_t map_grefs[2];
	void *map_addrs[2];
};

struct hostile {
	struct nf_layer *layer; /* borrowed */
	struct nf_store *store;
	bool is_back;
	uint16_t peer, devid;
	struct hostile_options opt;
	char path[NF_STORE_PATH_MAX], other[NF_STORE_PATH_MAX];
	uint32_t queues;
	struct hostile_queue q[HOSTILE_QUEUES];
	/* control ring: page 0 the ring, page 1 the list of grefs (front); mapped (back) */
	struct nf_sring *shared_ctrl;
	struct nf_netif_gref *list;
	struct nf_arena ctrl;
	uint32_t ctrl_grefs[2];
	struct nf_chan ctrl_chan;
	struct nf_mapping ctrl_map;
	void *ctrl_addrs[1];
	uint32_t ctrl_prod, ctrl_cons;
	uint32_t ctrl_added; /* back: grefs the front registered */
	void (*turn)(void *ctx);
	void *ctx;
	unsigned wait_ms; /* patience of hostile_wait; 0: HOSTILE_WAIT_MS */
};

/* ---- both ---- */
/* Frees and hangs up all, without a word in the store. Idempotent. */
void hostile_close(struct hostile *h);
/* printf to a key of its own node; the store's answer. */
int hostile_key(struct hostile *h, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int hostile_state(struct hostile *h, int state);
/* The other end's state now (junk: 0). */
int hostile_other_state(struct hostile *h);
/* Waits, calling turn, until the other end has this state: 0 or -ETIMEDOUT. */
int hostile_wait(struct hostile *h, int state);
/* The same for Connected; -ECONNRESET as soon as the other end closes instead. */
int hostile_wait_accepted(struct hostile *h);
/* Calls turn for about that long. */
void hostile_linger(struct hostile *h, unsigned ms);
/* One word of a ring's header as the peer's hand writes it: 0 req_prod 1 req_event 2 rsp_prod
 * 3 rsp_event; rings: 't', 'r', 'c'. */
void hostile_poke(struct hostile *h, uint32_t queue, char ring, uint32_t word, uint32_t value);
uint32_t hostile_peek(struct hostile *h, uint32_t queue, char ring, uint32_t word);
void *hostile_slot(struct hostile *h, uint32_t queue, char ring, uint32_t idx);
/* The slot's bytes (a multiple of 4), word by word: another thread of the peer may be at them too.
 */
void hostile_load(struct hostile *h, uint32_t queue, char ring, uint32_t idx, void *out,
		  uint32_t bytes);
void hostile_store(struct hostile *h, uint32_t queue, char ring, uint32_t idx, const void *in,
		   uint32_t bytes);
/* Notifies the other end of the queue, both channels when split. */
void hostile_kick(struct hostile *h, uint32_t queue);

/* ---- raw front ---- */
/* Allocates rings and pages for the device whose nodes are there already. Publishes nothing. */
int hostile_front_open(struct hostile *h, struct nf_layer *layer, uint16_t devid,
		       const struct hostile_options *opt);
/* Writes every key netif.h asks for and state 4. */
int hostile_front_publish(struct hostile *h);
/* Waits for the back's offer, publishes, waits for Connected, registers all pages by the control
 * ring (unless without). 0 or the first error. */
int hostile_front_connect(struct hostile *h);
/* One control request and its answer: 0 answered, -ETIMEDOUT. */
int hostile_ctrl(struct hostile *h, uint16_t type, uint32_t d0, uint32_t d1, uint32_t d2,
		 struct nf_netif_ctrl_response *rsp);
/* Puts a request into the next tx slot; nothing is published until push. Returns the slot's index.
 */
uint32_t hostile_tx(struct hostile *h, uint32_t queue, uint32_t gref, uint32_t offset,
		    uint32_t flags, uint32_t id, uint32_t size);
uint32_t hostile_tx_extra(struct hostile *h, uint32_t queue, const struct nf_netif_extra_info *e);
uint32_t hostile_rx_post(struct hostile *h, uint32_t queue, uint32_t id, uint32_t gref);
/* Publishes what was put and notifies. */
void hostile_tx_push(struct hostile *h, uint32_t queue);
void hostile_rx_push(struct hostile *h, uint32_t queue);
/* An honest one-slot frame of that size from tx page `id`; not pushed. */
void hostile_tx_frame(struct hostile *h, uint32_t queue, uint32_t id, uint32_t bytes);

/* ---- raw back ---- */
/* Offers features in InitWait. */
int hostile_back_open(struct hostile *h, struct nf_layer *layer, uint16_t front, uint16_t devid,
		      const struct hostile_options *opt);
/* Waits for the front to publish, maps its rings, goes Connected and answers its control ring. */
int hostile_back_connect(struct hostile *h);
/* Answers control requests that are waiting (all with success); how many. */
int hostile_back_serve(struct hostile *h);
/* The next response slot; not published until push. */
void hostile_tx_rsp(struct hostile *h, uint32_t queue, uint32_t id, int status);
void hostile_rx_rsp(struct hostile *h, uint32_t queue, uint32_t id, uint32_t offset, uint32_t flags,
		    int status);
void hostile_tx_rsp_push(struct hostile *h, uint32_t queue);
void hostile_rx_rsp_push(struct hostile *h, uint32_t queue);

#endif
