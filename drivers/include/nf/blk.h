/* SPDX-License-Identifier: MIT */
/*
 * blkfront and blkback: negotiation (control thread) and data queues (poller), as nf/net.h.
 *
 * A back drives a disk (nf_disk of nf/blkport.h), one nf_blkport of it a queue. A front shows
 * itself as one nf_blkport a queue to its user (nf_blkuser). What was submitted to it and not
 * answered when a connection broke is done again on the next one, in order: the user sees a slow
 * request and no error, until the front is closed.
 *
 * The relay uses the same negotiation with its own data code: it holds a device at the points
 * marked HOLD, and takes the rings instead of letting the device attach queues.
 */
#ifndef NF_BLK_H
#define NF_BLK_H

#include <stdbool.h>
#include <stdint.h>

#include "nf/blkif.h"
#include "nf/blkport.h"
#include "nf/counters.h"
#include "nf/device.h"
#include "nf/layer.h"
#include "nf/poll.h"
#include "nf/ring.h"

#define NF_BLK_QUEUES_MAX 8u
#define NF_BLK_RING_PAGES_MAX 16u
#define NF_BLK_POOL_PAGES_MAX 2048u /* payload pages of a queue */
#define NF_BLK_LIST_PAGES_MAX 256u  /* indirect pages of a queue */
#define NF_BLK_TABLE_GREFS 1024u    /* in a page of the table of registered ones */
#define NF_BLK_TABLE_PAGES_MAX 3u

/* ---- both ends ---- */

/* What sector numbers and the key "sectors" count on the wire. */
enum nf_blk_units {
	NF_BLK_UNITS_512 = 0, /* 512 bytes, always: Linux, and what Xen settled on */
	/* the disk's sector-size: what blkif.h said until 4.20, with feature-large-sector-size */
	NF_BLK_UNITS_SECTOR = 1,
};

enum nf_blk_grants {
	NF_BLK_GRANTS_STATIC = 1, /* registered once at connect, our extension */
	NF_BLK_GRANTS_PERSISTENT = 2,
	NF_BLK_GRANTS_COPY = 3, /* a grant copy a segment */
	NF_BLK_GRANTS_MAP = 4,	/* mapped and unmapped a request */
};

/* Negotiated, or offered, or wanted. */
struct nf_blk_features {
	struct nf_blk_disk disk; /* the back's */
	uint8_t abi;		 /* enum nf_blk_abi, the front's choice */
	uint8_t units;		 /* enum nf_blk_units */
	uint8_t persistent;	 /* feature-persistent */
	uint8_t registered;	 /* feature-nestfront-registered */
	uint8_t registered_only; /* feature-/request-nestfront-registered-only */
	uint32_t indirect;	 /* feature-max-indirect-segments, 0: none */
	uint32_t ring_pages;	 /* max-ring-pages, ring-page-order: 1, 2, 4, 8, 16 */
	uint32_t queues;	 /* multi-queue-max-queues, 1 when absent */
};

struct nf_blk_config {
	struct nf_layer *layer;
	struct nf_store *store;
	struct nf_poller *poller; /* where queues go; NULL with own data code */
	struct nf_counters_map *counters;
	const struct nf_control_page *control;
	const char *path; /* device node */
	/* back: spec of nf_disk_open; front: of nf_blkuser_open. NULL: a relay's end, or: */
	const char *port;
	struct nf_disk *disk;	   /* back: this one, borrowed until close, in place of a spec */
	struct nf_blkuser *users;  /* front: one a wanted queue, borrowed until close: start, stop
				    * and run are called, close is not */
	uint32_t queues;	   /* wanted or offered, 1 .. NF_BLK_QUEUES_MAX */
	uint32_t ring_pages;	   /* wanted or offered at most; 0: 1 */
	uint32_t pool_pages;	   /* front: payload pages a queue; 0: 512. The user has the first
				    * half as its pool, requests from elsewhere are copied through
				    * the rest */
	uint32_t sector_bytes;	   /* back: of the disk it offers; 0: 512, or 4096 */
	uint32_t indirect;	   /* segments at most; 0: 64 (256 KiB); up to 11: none */
	enum nf_blk_grants grants; /* back: STATIC offers everything; PERSISTENT, COPY, MAP: no
				    * better than that. front: STATIC, or PERSISTENT: not ours */
	enum nf_blk_units units;
	enum nf_blk_abi abi;  /* front */
	bool registered_only; /* back offers / front demands requests of registered grefs only */
	bool readonly;	      /* back: whatever the port can, and the node's "mode" says */
	const char *journal;  /* back: file of its ledger, as in nf/net.h; NULL: none */
	bool await_hotplug;   /* back: as in nf/net.h */
	const char *token;
	void (*notice)(void *ctx, const char *line); /* one human line; may be NULL */
	void *ctx;
};

enum nf_blk_phase { /* as enum nf_net_phase */
		    NF_BLK_WAITING,
		    NF_BLK_PREPARED,
		    NF_BLK_OFFERING,
		    NF_BLK_PUBLISHED,
		    NF_BLK_MAPPED,
		    NF_BLK_RUNNING,
		    NF_BLK_CLOSING, /* back: also until the port has answered what it was asked */
		    NF_BLK_CLOSED,
		    NF_BLK_FAILED,
};

/* ---- front ---- */
/* A queue as negotiation leaves it: granted once, before anything is published. */
struct nf_blkfront_rings {
	struct nf_ring_front ring;
	struct nf_chan chan;
	struct nf_arena ring_arena; /* agreed.ring_pages */
	struct nf_arena pool;	    /* payload, writable by the back; base NULL: not mapped here */
	struct nf_arena lists;	    /* segments of indirect requests; pages 0: none */
	struct nf_arena table;	    /* grefs to register, pages 0: none */
	uint32_t ring_grefs[NF_BLK_RING_PAGES_MAX];
	uint32_t pool_grefs[NF_BLK_POOL_PAGES_MAX];
	uint32_t list_grefs[NF_BLK_LIST_PAGES_MAX];
	uint32_t table_grefs[NF_BLK_TABLE_PAGES_MAX];
};

struct nf_blkfront;
/* cfg is copied; what it points to, but the strings, is borrowed until close. */
int nf_blkfront_open(const struct nf_blk_config *cfg, struct nf_blkfront **out);
/* Advances after any store event; never blocks for the peer. Returns the phase or a negative errno
 * that ended the connection (the object stays, phase FAILED). */
int nf_blkfront_step(struct nf_blkfront *f);
/* Orderly: 5, waits (by step) for the back, 6. What is in flight waits for close. */
int nf_blkfront_shutdown(struct nf_blkfront *f);
/* At once; users are stopped, requests in flight are never answered. NULL is fine. */
void nf_blkfront_close(struct nf_blkfront *f);
int nf_blkfront_phase(const struct nf_blkfront *f);
int nf_blkfront_state(const struct nf_blkfront *f);   /* xenbus, as last written */
int nf_blkfront_ctrl_fd(const struct nf_blkfront *f); /* to wait on (POLLIN), then step */
const struct nf_blk_features *nf_blkfront_offered(const struct nf_blkfront *f);
const struct nf_blk_features *nf_blkfront_agreed(const struct nf_blkfront *f);
enum nf_blk_grants nf_blkfront_grants(const struct nf_blkfront *f);
uint32_t nf_blkfront_queues(const struct nf_blkfront *f); /* connected */
/*
 * The disk as one queue of it: for who has no nf_blkuser. submit and reap in the thread that runs
 * the queue (its poller), or any one thread with no poller configured: then nf_blkfront_item's
 * ops->run is called there. Same object for the front's life; geometry sectors 0 before the first
 * connection, submit takes requests from then on, also while it is not connected. NULL: no such
 * queue.
 */
struct nf_blkport *nf_blkfront_port(struct nf_blkfront *f, uint32_t queue);
struct nf_poll_item *nf_blkfront_item(struct nf_blkfront *f, uint32_t queue); /* NULL: none */
/* Pages a front of this configuration grants for a queue, whatever its back agrees to: at most that
 * many. Reads ring_pages, pool_pages, indirect, grants and abi only. */
uint32_t nf_blkfront_queue_pages(const struct nf_blk_config *cfg);
/* For a relay, as in nf/net.h. */
void nf_blkfront_hold(struct nf_blkfront *f, uint16_t inner_owner, bool rings_too);
int nf_blkfront_release(struct nf_blkfront *f, const struct nf_blk_features *limit);
struct nf_blkfront_rings *nf_blkfront_rings(struct nf_blkfront *f, uint32_t queue);

/* ---- back ---- */
struct nf_blk_grefs;
struct nf_blkback_rings {
	struct nf_ring_back ring;
	struct nf_chan chan;
	struct nf_blk_grefs *grefs; /* registered ones; NULL: none */
	struct nf_mapping ring_map;
	uint32_t ring_grefs[NF_BLK_RING_PAGES_MAX];
	void *ring_addrs[NF_BLK_RING_PAGES_MAX];
};

struct nf_blkback;
int nf_blkback_open(const struct nf_blk_config *cfg, struct nf_blkback **out);
int nf_blkback_step(struct nf_blkback *b);
/* Orderly. What the disk was asked for is waited for: no write of this connection happens after its
 * Closed was said. */
int nf_blkback_shutdown(struct nf_blkback *b);
/* At once. Waits for what the kernel may still be doing with the guest's pages. */
void nf_blkback_close(struct nf_blkback *b);
int nf_blkback_phase(const struct nf_blkback *b);
int nf_blkback_state(const struct nf_blkback *b);
int nf_blkback_ctrl_fd(const struct nf_blkback *b);
const struct nf_blk_features *nf_blkback_agreed(const struct nf_blkback *b);
uint32_t nf_blkback_queues(const struct nf_blkback *b);
/* For a relay, as in nf/net.h. */
void nf_blkback_hold(struct nf_blkback *b, bool map_grefs, bool map_rings);
int nf_blkback_offer(struct nf_blkback *b, const struct nf_blk_features *limit);
/* disk: what the outer end turned out to be. */
int nf_blkback_accept(struct nf_blkback *b, const struct nf_blk_disk *disk);
struct nf_blkback_rings *nf_blkback_rings(struct nf_blkback *b, uint32_t queue);

#endif
