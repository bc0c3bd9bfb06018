/* SPDX-License-Identifier: MIT */
/* Inside of the relay of disks. Control thread unless a line says poller. */
#ifndef NF_RELAY_BLK_H
#define NF_RELAY_BLK_H

#include "blk/blk_internal.h" /* slots and grefs */
#include "nf/blkrelay.h"

#define NF__HUB_DEPTH 512u /* requests of one outer queue */

/* ---- blk_hub.c: an outer disk as disks of its windows (copy) ---- */
struct nf__hub_port;

struct nf__hub_slot {
	struct nf__hub_port *owner; /* NULL: it was closed meanwhile */
	uint64_t token;
};

struct nf__hub_queue { /* poller */
	struct nf_blkport *outer;
	uint32_t free_sp;
	uint16_t free_stack[NF__HUB_DEPTH];
	struct nf__hub_slot slots[NF__HUB_DEPTH];
};

struct nf_blk_outer {
	struct nf_blk_outer *next; /* of those that are shared */
	uint32_t refs;
	struct nf_layer *layer;
	struct nf_poller *poller; /* of the front and of all windows */
	char path[NF_STORE_PATH_MAX];
	struct nf_blkfront *front;
	struct nf__hub_queue *queues[NF_BLK_QUEUES_MAX];
};

/* A window as a disk of its own. */
struct nf__hub_disk {
	struct nf_disk disk; /* first */
	struct nf_blk_outer *outer;
	uint64_t start, sectors; /* sectors 0: to the end */
};

int nf__hub_open(struct nf_blk_outer *o);
void nf__hub_close(struct nf_blk_outer *o);
/* 0 and the geometry, or -EAGAIN: the outer disk is not there yet; -ERANGE: the window is not in
 * it. */
int nf__hub_disk(struct nf__hub_disk *d, struct nf_blk_outer *o, uint64_t start, uint64_t sectors);

/* ---- blk_queue.c: translate, poller ---- */
struct nf__blk_flight { /* by outer id */
	uint64_t inner_id;
	uint8_t op; /* to be echoed */
	bool is_busy;
};

struct nf__blk_queue {
	struct nf_poll_item item;      /* first */
	struct nf_blkback_rings *in;   /* borrowed until detached */
	struct nf_blkfront_rings *out; /* borrowed until detached */
	struct nf_layer *inner, *outer;
	uint16_t inner_owner;
	struct nf_blk_features in_features, out_features;
	uint64_t start, sectors; /* the window */
	uint32_t list_pages;	 /* of one outer id */
	struct nf_counters *counters;
	struct nf_blk_fault fault;
	bool is_inner_fault, hung_up;
	void (*stopped)(void *ctx, int error); /* poller; must not block */
	void *ctx;
	uint32_t free_sp;
	uint16_t free_stack[512];
	struct nf__blk_flight flight[512];
	struct nf_blkif_segment list[NF_BLK_SEGMENTS_MAX];
};

int nf__blk_queue_init(struct nf__blk_queue *q);

/* ---- blk_link.c: translate and direct ---- */
enum nf__blk_state {
	NF__BLK_PREPARE,  /* outer allocates, inner waits for L2 */
	NF__BLK_OFFERED,  /* donated and offered, L2 connects */
	NF__BLK_RELEASED, /* L2's wishes are known, outer connects */
	NF__BLK_RUNNING,
	NF__BLK_CLOSING_OUTER, /* first: L0 is out of L2's pages before L2 hears of it */
	NF__BLK_CLOSING_INNER,
	NF__BLK_CLOSED,
};

struct nf_blk_relay {
	struct nf_blk_relay_config cfg; /* strings point into this object */
	char inner_path[NF_STORE_PATH_MAX], outer_path[NF_STORE_PATH_MAX];
	char inner_token[40], outer_token[40];
	uint16_t inner_owner, inner_devid;
	int epoll_fd, event_fd, timer_fd;
	bool is_shutdown, is_late;
	struct nf_blkback *inner;
	/* copy */
	struct nf_blk_outer *hub;
	struct nf__hub_disk window;
	bool is_window_refused;
	/* translate, direct */
	struct nf_blkfront *outer;
	enum nf__blk_state state;
	bool was_prepared;
	int error;
	uint32_t backoff_ms;
	uint32_t queues;
	int stopped; /* atomic: errno of a queue */
	struct nf__blk_queue *queue[NF_BLK_QUEUES_MAX];
	struct nf_counters *blocks[NF_BLK_QUEUES_MAX];
	struct nf_counters spare;
};

static inline bool nf__blk_is_direct(const struct nf_blk_relay *r)
{
	return r->cfg.mode == NF_RELAY_DIRECT;
}

/* ---- blk_join.c: negative after saying why ---- */
int nf__blk_link_fail(struct nf_blk_relay *r, int error, const char *why);
/* Outer is PREPARED: donates and lets the inner end offer. -EAGAIN: L2 still holds grefs of its
 * last connection. */
int nf__blk_link_offer(struct nf_blk_relay *r);
/* Inner is MAPPED: L2's wishes go to the outer end. */
int nf__blk_link_release(struct nf_blk_relay *r);
/* Outer is RUNNING: accepts L2 and starts the queues. */
int nf__blk_link_start(struct nf_blk_relay *r);

int nf__blk_link_open(struct nf_blk_relay *r);
int nf__blk_link_step(struct nf_blk_relay *r);
void nf__blk_link_close(struct nf_blk_relay *r);
void nf__blk_relay_notice(struct nf_blk_relay *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int nf__blk_relay_wait(struct nf_blk_relay *r, int fd, bool add);
void nf__blk_relay_timer(struct nf_blk_relay *r, uint32_t ms);

#endif
