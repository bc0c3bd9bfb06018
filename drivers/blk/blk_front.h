/* SPDX-License-Identifier: MIT */
/* The frontend device's parts. Control thread unless a line says poller. */
#ifndef NF_BLK_FRONT_H
#define NF_BLK_FRONT_H

#include "blk_end.h"

#define NF_BLK_FRONT_DEPTH 512u /* requests of a user a queue holds */
#define NF_BLK_POOL_DEFAULT 512u
#define NF_BLK_NONE UINT32_MAX

/* A user's request from submit to reap. */
enum nf_blk_stage {
	NF_BLK_REQ_WAITING, /* in the FIFO, not or not wholly on the ring */
	NF_BLK_REQ_ISSUED,  /* wholly on the ring */
	NF_BLK_REQ_SYNCING, /* a durable write is done, its flush waits or is on the ring */
	NF_BLK_REQ_DONE,    /* waits for reap */
	NF_BLK_REQ_FREE,
};

/* Where in a request's segments its next byte lies. */
struct nf_blk_cursor {
	uint32_t seg, offset;
};

struct nf_blk_front_req {
	struct nf_blkreq r;
	uint64_t seq;	 /* of submission: what is done again is done in this order */
	uint64_t issued; /* sectors on the ring or answered */
	struct nf_blk_cursor at;
	uint32_t parts; /* on the ring */
	uint32_t next;	/* in the FIFO */
	int32_t error;
	uint8_t stage;
};

/* A ring request in flight; its id is its number. */
struct nf_blk_front_slot {
	uint32_t req; /* NF_BLK_NONE: free */
	uint8_t op;   /* as it is answered: of an indirect request the read or write inside */
	bool is_indirect;
	bool is_read;
	bool is_bounced;
	uint16_t segments;
	uint32_t sectors;
	struct nf_blk_cursor at; /* of its first byte */
};

struct nf_blk_piece { /* a segment of a slot */
	uint16_t page;
	uint16_t bytes;
};

struct nf_blk_queue {
	struct nf_poll_item item; /* first */
	struct nf_blkport port;	  /* what the user sees */
	struct nf_blkuser *user;  /* NULL: the port is somebody's by hand */
	struct nf_disk_geometry geometry;
	struct nf_layer *layer;
	struct nf_counters *counters;
	int event_fd;
	/* of the connection; rings NULL: none */
	struct nf_blkfront_rings *rings;
	struct nf_blk_features features;
	struct nf_blk_fault fault;
	int pending_error;
	uint32_t segments_max;
	uint32_t list_pages; /* of one slot */
	uint32_t unit_shift;
	uint32_t slot_sp; /* free slots are slot_stack[0 .. slot_sp) */
	uint16_t *slot_stack;
	struct nf_blk_front_slot *slots;
	struct nf_blk_piece *pieces; /* [ring slots * segments_max] */
	/* pages */
	uint8_t *base; /* of the pool: the same address for life */
	uint32_t pages, user_pages;
	uint32_t bounce_sp; /* free ones are bounce_stack[0 .. bounce_sp) */
	uint16_t *bounce_stack;
	/* requests */
	uint64_t seq;
	uint32_t head, tail; /* FIFO of those to issue */
	uint32_t free_sp;
	uint16_t free_stack[NF_BLK_FRONT_DEPTH];
	uint32_t done_head, done_count;
	uint16_t done_fifo[NF_BLK_FRONT_DEPTH];
	struct nf_blk_front_req reqs[NF_BLK_FRONT_DEPTH];
};

/* ---- front_queue.c ----
 * A queue is its poller's for life, also while its item is detached: a relay's inner backs submit
 * to it whenever they run. connect, disconnect and resize therefore run there (nf_poller_call). */
int nf__bfq_new(struct nf_blk_queue **out, struct nf_layer *layer, int event_fd);
void nf__bfq_free(struct nf_blk_queue *q); /* NULL is fine; detached, disconnected */
/* Poller; detached. rings and counters are borrowed until disconnect; agreed says what may be
 * asked. */
int nf__bfq_connect(struct nf_blk_queue *q, struct nf_blkfront_rings *rings,
		    const struct nf_blk_features *agreed, struct nf_counters *counters);
/* Poller; detached. What is in flight waits again, in the order it was submitted. */
void nf__bfq_disconnect(struct nf_blk_queue *q);
/* Poller. The disk has another size. */
void nf__bfq_resize(struct nf_blk_queue *q, const struct nf_blk_disk *disk);

/* ---- front_io.c: poller ---- */
/* Puts as much of what waits on the ring as there is room for; returns requests put. */
uint32_t nf__bfq_pump(struct nf_blk_queue *q);
void nf__bfq_fifo_put(struct nf_blk_queue *q, uint32_t req);
/* A request is over: it waits for reap. */
void nf__bfq_done(struct nf_blk_queue *q, uint32_t req, int error);
/* Copies between a slot's bounce pages and its request's memory. */
void nf__bfq_bounce_out(struct nf_blk_queue *q, const struct nf_blk_front_slot *s);

/* ---- front_reap.c: poller ---- */
/* Answers to requests: how many, or -EPROTO with the fault noted. */
int nf__bfq_reap(struct nf_blk_queue *q);

static inline bool nf__bfq_in_pool(const struct nf_blk_queue *q, const uint8_t *p)
{
	return (uintptr_t)p - (uintptr_t)q->base < (uintptr_t)q->user_pages * NF_PAGE_BYTES;
}

struct nf_blkfront {
	struct nf_blk_end e;
	struct nf_blk_features offered, agreed;
	struct nf_blk_features limit; /* a relay's; everything without one */
	bool is_held, is_released;
	bool rings_too;
	bool is_left; /* the back hung up; its Closing should follow */
	uint16_t inner_owner;
	uint32_t queues; /* of the connection */
	enum nf_blk_grants grants;
	struct nf_blkfront_rings *rings[NF_BLK_QUEUES_MAX];
	struct nf_blk_queue *queue[NF_BLK_QUEUES_MAX]; /* for life; none for a relay's end */
	uint8_t *place[NF_BLK_QUEUES_MAX];	       /* where each pool lies for life */
	struct nf_blkuser users[NF_BLK_QUEUES_MAX];    /* opened from the spec */
	bool is_started[NF_BLK_QUEUES_MAX];
};

/* ---- front_rings.c ---- */
uint32_t nf__blk_front_pool_pages(const struct nf_blkfront *f);
int nf__blk_front_rings_alloc(struct nf_blkfront *f); /* for f->queues queues; undone on failure */
void nf__blk_front_rings_trim(struct nf_blkfront *f, uint32_t queues);
void nf__blk_front_rings_free(struct nf_blkfront *f);
void nf__blk_front_places_free(struct nf_blkfront *f);

/* ---- front_users.c ---- */
int nf__blk_front_queues_start(struct nf_blkfront *f);
void nf__blk_front_queues_stop(struct nf_blkfront *f);
void nf__blk_front_users_close(struct nf_blkfront *f);
/* The disk has another size, while queues run. */
void nf__blk_front_queues_resize(struct nf_blkfront *f, const struct nf_blk_disk *disk);

#endif
