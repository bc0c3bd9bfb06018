/* SPDX-License-Identifier: MIT */
/*
 * netfront and netback: negotiation (control thread) and data queues (poller). Front mirrors back.
 *
 * The relay uses the same negotiation with its own data code: it holds a device at the points
 * marked HOLD, and takes the rings instead of letting the device attach queues.
 */
#ifndef NF_NET_H
#define NF_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "nf/counters.h"
#include "nf/device.h"
#include "nf/layer.h"
#include "nf/netif.h"
#include "nf/poll.h"
#include "nf/port.h"
#include "nf/ring.h"

#define NF_NET_QUEUES_MAX 8u
#define NF_NET_PAGES NF_NETIF_RING_SLOTS /* payload pages a queue and direction */
/* Pages a front of so many queues grants: rings and payload of each, and the control ring's. */
#define NF_NET_FRONT_PAGES(queues) ((queues) * (2u + 2u * NF_NET_PAGES) + 2u)

/* Negotiated, or offered, or wanted. */
struct nf_net_features {
	uint8_t mac[6];
	uint8_t sg;	      /* feature-sg */
	uint8_t gso4, gso6;   /* feature-gso-tcpv4/6 */
	uint8_t csum4, csum6; /* not feature-no-csum-offload, feature-ipv6-csum-offload */
	uint8_t split;	      /* feature-split-event-channels */
	uint8_t ctrl;	      /* feature-ctrl-ring */
	uint8_t static_only;  /* feature-nestfront-static-only / request-nestfront-static-only */
	uint32_t queues;      /* multi-queue-max-queues, 1 when absent */
	uint32_t mtu;
};

/* A queue as negotiation leaves it on the front: rings, channels, granted pages. */
struct nf_front_rings {
	struct nf_ring_front tx, rx;
	struct nf_chan tx_chan, rx_chan;    /* rx_chan.fd < 0: tx_chan serves both */
	struct nf_arena tx_ring, rx_ring;   /* one page each */
	struct nf_arena tx_pages, rx_pages; /* NF_NET_PAGES each; base NULL when not mapped here */
	uint32_t tx_ring_gref, rx_ring_gref;
	uint32_t tx_grefs[NF_NET_PAGES], rx_grefs[NF_NET_PAGES];
};

/* Granted pages by gref number, filled by the control ring or lazily by a layer's map. Bounded. */
struct nf_gref_map;
/* Address of a mapped page or NULL (unknown gref, or read-only when `write`). Poller. */
uint8_t *nf_gref_map_find(const struct nf_gref_map *m, uint32_t gref, bool write);
/* The relay's translation: position (0 ..) of the gref among those added with that access,
 * read-only ones for !write (tx payload), writable ones for write (rx payload), or -ENOENT. Poller.
 */
int nf_gref_map_index(const struct nf_gref_map *m, uint32_t gref, bool write);

struct nf_back_rings {
	struct nf_ring_back tx, rx;
	struct nf_chan tx_chan, rx_chan; /* rx_chan.fd < 0: tx_chan serves both */
	struct nf_gref_map *grefs;	 /* this queue's static mapping, NULL: none */
	struct nf_mapping ring_map;
	uint32_t ring_grefs[2];
	void *ring_addrs[2];
};

enum nf_net_grants { NF_NET_GRANTS_STATIC = 1, NF_NET_GRANTS_COPY = 3, NF_NET_GRANTS_MAP = 4 };

struct nf_net_config {
	struct nf_layer *layer;
	struct nf_store *store;
	struct nf_poller *poller; /* where queues go; NULL with own data code */
	struct nf_counters_map *counters;
	const struct nf_control_page *control;
	const char *path; /* device node */
	const char *port; /* port spec; NULL: a relay's end, no port */
	uint32_t queues;  /* wanted or offered, 1 .. NF_NET_QUEUES_MAX */
	enum nf_net_grants
		grants;	  /* back: STATIC offers the control ring's mapping, COPY does not */
	bool static_only; /* back offers / front demands requests of static grefs only */
	/* back: file of its journal. A back that was killed and is opened again on the same file
	 * re-attaches to its front, which goes on. NULL: a running front is closed. No hold. */
	const char *journal;
	/* back: rings are mapped once our node's hotplug-status says "connected" */
	bool await_hotplug;
	const char *token;
	void (*notice)(void *ctx, const char *line); /* one human line; may be NULL */
	void *ctx;
};

enum nf_net_phase {
	NF_NET_WAITING,	  /* for the other end */
	NF_NET_PREPARED,  /* front: back offered, rings and pages allocated, not published (HOLD) */
	NF_NET_OFFERING,  /* back: may offer, not yet in InitWait (HOLD) */
	NF_NET_PUBLISHED, /* front: keys written, Connected; waiting for the back */
	NF_NET_MAPPED,	  /* back: front connected, rings mapped, not yet Connected (HOLD) */
	NF_NET_RUNNING,	  /* both Connected, queues attached or handed over */
	NF_NET_CLOSING,
	NF_NET_CLOSED, /* may start again: the other end at Initialising/InitWait */
	NF_NET_FAILED, /* sticky until the other end goes through Closed */
};

/* ---- front ---- */
struct nf_netfront;
int nf_netfront_open(const struct nf_net_config *cfg, struct nf_netfront **out);
/* Advances after any store event or ctrl channel event; never blocks for the peer. Returns the
 * phase or a negative errno that ended the device (the object stays, phase FAILED). */
int nf_netfront_step(struct nf_netfront *f);
/* Orderly: 5, waits (by step) for the back, 6. */
int nf_netfront_shutdown(struct nf_netfront *f);
void nf_netfront_close(struct nf_netfront *f); /* at once, frees everything; NULL is fine */
int nf_netfront_phase(const struct nf_netfront *f);
/* Our xenbus state, as last written. */
int nf_netfront_state(const struct nf_netfront *f);
/* A channel of the control ring to wait on, or -1. */
int nf_netfront_ctrl_fd(const struct nf_netfront *f);

/* For a relay. Before the first step: stop at PREPARED until released; payload pages for
 * inner_owner, not mapped here (NF_DOMID_SELF, copy: our own, mapped). rings_too (direct): the ring
 * pages and channels are the inner domain's to drive: not initialised, not mapped.
 * Once rings were handed out, a held end (front or back) also stops when its peer closes or it
 * fails: the phase says CLOSING, CLOSED or FAILED, but rings, channels and mappings stay until the
 * relay has let go of them and calls shutdown (or close). */
void nf_netfront_hold(struct nf_netfront *f, uint16_t inner_owner, bool rings_too);
int nf_netfront_release(struct nf_netfront *f, const struct nf_net_features *limit);
const struct nf_net_features *nf_netfront_offered(const struct nf_netfront *f);
const struct nf_net_features *nf_netfront_agreed(const struct nf_netfront *f);
struct nf_front_rings *nf_netfront_rings(struct nf_netfront *f, uint32_t queue);
uint32_t nf_netfront_queues(const struct nf_netfront *f);
enum nf_net_grants nf_netfront_grants(const struct nf_netfront *f);
uint16_t nf_netfront_peer(const struct nf_netfront *f); /* domid of the back */

/* ---- back ---- */
struct nf_netback;
int nf_netback_open(const struct nf_net_config *cfg, struct nf_netback **out);
int nf_netback_step(struct nf_netback *b);
int nf_netback_shutdown(struct nf_netback *b);
void nf_netback_close(struct nf_netback *b);
int nf_netback_phase(const struct nf_netback *b);
int nf_netback_state(const struct nf_netback *b);
int nf_netback_ctrl_fd(const struct nf_netback *b);

/* For a relay: stop at OFFERING until offer(), at MAPPED until accept(), with its rings kept at the
 * end as for the front. map_grefs false: the control ring only records grefs and their order
 * (payload is never mapped here). map_rings false (direct): refs are read, nothing is mapped or
 * bound. */
void nf_netback_hold(struct nf_netback *b, bool map_grefs, bool map_rings);
int nf_netback_offer(struct nf_netback *b, const struct nf_net_features *limit);
int nf_netback_accept(struct nf_netback *b);
/* The relay's item that uses this queue's grants: it is off cfg.poller while the control ring
 * changes them. Borrowed until shutdown, close or another call; NULL: none. */
void nf_netback_attend(struct nf_netback *b, uint32_t queue, struct nf_poll_item *item);
const struct nf_net_features *
nf_netback_agreed(const struct nf_netback *b); /* what the front asked */
struct nf_back_rings *nf_netback_rings(struct nf_netback *b, uint32_t queue);
uint32_t nf_netback_queues(const struct nf_netback *b);
/* Refs and ports as the front published them (relay direct checks them). */
struct nf_net_refs {
	uint32_t tx_ring_ref, rx_ring_ref, tx_port, rx_port;
};
const struct nf_net_refs *nf_netback_refs(const struct nf_netback *b, uint32_t queue);

#endif
