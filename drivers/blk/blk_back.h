/* SPDX-License-Identifier: MIT */
/* The backend device's parts. Control thread unless a line says poller. */
#ifndef NF_BLK_BACK_H
#define NF_BLK_BACK_H

#include "blk_end.h"

#define NF_BLK_BOUNCE_PAGES_MAX 2048u /* of a queue */
#define NF_BLK_WANTED 256u	      /* grefs waiting to be mapped for good */
#define NF_BLK_SLOTS_MAX 512u	      /* of the largest ring */
#define NF_BLK_BACK_NONE UINT32_MAX

/* A segment that goes through a bounce page. */
struct nf_blk_bounce {
	uint32_t gref;
	uint16_t offset, bytes;
	uint16_t page;
};

enum nf_blk_back_stage {
	NF_BLK_BACK_FREE,
	NF_BLK_BACK_READY,  /* waits to be submitted */
	NF_BLK_BACK_ASKED,  /* the disk is at it */
	NF_BLK_BACK_BEFORE, /* a barrier: what was before it is made durable */
	NF_BLK_BACK_ANSWER, /* in answers */
};

/* A request from the ring to its answer. */
struct nf_blk_back_req {
	struct nf_blkreq r; /* for the port; segs: iov */
	uint64_t id;
	uint8_t op; /* to be echoed */
	uint8_t stage;
	bool is_barrier;
	int16_t status;
	uint16_t bounces;
	struct iovec *iov;	      /* [segments_max] */
	struct nf_blk_bounce *bounce; /* [segments_max] */
};

/* ---- the journal of one queue: what a back that is killed leaves for the next. Its layout is a
 * file's. ---- */
struct nf_blk_answer {
	uint64_t id;
	uint8_t op, pad;
	int16_t status;
	uint32_t req;
};

struct nf_blk_entry {
	uint32_t is_valid; /* taken off the ring and not answered */
	uint32_t pad[3];
	union nf_blk_slot slot;
};

struct nf_blk_journal {
	uint64_t redo; /* first response slot | count << 32: these are in answers */
	struct nf_blk_refs refs;
	uint8_t pad[128 - 8 - sizeof(struct nf_blk_refs) % 128];
	struct nf_blk_answer answers[NF_BLK_SLOTS_MAX];
	struct nf_blk_entry entries[NF_BLK_SLOTS_MAX];
};
_Static_assert(sizeof(struct nf_blk_answer) == 16, "an answer is 16 B");
_Static_assert(sizeof(struct nf_blk_entry) == 128, "an entry is two lines");

#define NF_BLK_JOURNAL_QUEUE_BYTES                                                                 \
	((sizeof(struct nf_blk_journal) + NF_PAGE_BYTES - 1) & ~(size_t)(NF_PAGE_BYTES - 1))

struct nf_blk_back_queue {
	struct nf_poll_item item; /* first */
	struct nf_blkback_rings *rings;
	struct nf_layer *layer;
	struct nf_counters *counters;
	struct nf_blk_features features; /* agreed */
	struct nf_blk_fault fault;
	struct nf_blkport port;
	struct nf_blk_journal *journal; /* NULL: none */
	int event_fd;
	int pending_error;
	uint16_t peer;
	uint32_t is_draining; /* atomic: takes nothing more, tells when the disk is done */
	uint32_t unit_shift;
	uint32_t segments_max;
	uint64_t sectors; /* of the disk now; control writes, poller reads */
	uint64_t round;
	uint32_t asked;	  /* requests the disk is at */
	uint32_t barrier; /* request that nothing may pass, or NF_BLK_BACK_NONE */
	bool is_starved;  /* no bounce page for the ring's next request */
	/* requests */
	uint32_t free_sp;
	uint16_t free_stack[NF_BLK_SLOTS_MAX];
	uint32_t ready_head, ready_count;
	uint16_t ready[NF_BLK_SLOTS_MAX];
	uint32_t answer_count;
	struct nf_blk_answer answers[NF_BLK_SLOTS_MAX];
	struct nf_blk_back_req *reqs; /* [ring slots] */
	struct iovec *iovs;
	struct nf_blk_bounce *bounces;
	/* what is not mapped goes through these */
	uint8_t *bounce_base; /* NULL: registered grants only */
	uint32_t bounce_pages, bounce_sp;
	uint16_t *bounce_stack;
	uint32_t op_count, op_cap;
	struct nf_grant_copy *ops;
	uint16_t *op_owner; /* request */
	/* grants that stay mapped */
	struct nf_blk_grefs *kept; /* persistent; NULL: none */
	uint32_t wanted_put, wanted_got;
	uint32_t wanted[NF_BLK_WANTED];
	struct nf_blkif_segment list[NF_BLK_SEGMENTS_MAX];
};

/* ---- back_queue.c ---- */
int nf__bbq_new(struct nf_blk_back_queue **out, struct nf_blkback_rings *rings,
		struct nf_layer *layer, struct nf_counters *counters,
		const struct nf_blk_features *agreed, uint16_t peer, int event_fd);
void nf__bbq_free(struct nf_blk_back_queue *q); /* closes its port, which waits; NULL is fine */

/* ---- back_take.c: poller ---- */
/* Takes requests off the ring; how many, or -EPROTO. */
int nf__bbq_take(struct nf_blk_back_queue *q);
/* One request, as the ring's slot says or the journal: it is ready, or answered. -EAGAIN: no
 * bounce page now, nothing was changed. */
int nf__bbq_accept(struct nf_blk_back_queue *q, const union nf_blk_slot *slot, uint32_t req);
/* Asks for the copies of a request's bounce pages. */
void nf__bbq_ops(struct nf_blk_back_queue *q, uint32_t req, bool to_peer);
/* Runs the copies that were asked for; requests of which one failed are answered with an error. */
void nf__bbq_copy(struct nf_blk_back_queue *q);

/* ---- back_io.c: poller ---- */
void nf__bbq_answer(struct nf_blk_back_queue *q, uint32_t req, int16_t status);
int nf__bbq_submit(struct nf_blk_back_queue *q);  /* to the port; how many or -ENODEV */
int nf__bbq_reap(struct nf_blk_back_queue *q);	  /* from the port; how many or negative */
int nf__bbq_respond(struct nf_blk_back_queue *q); /* publishes answers; 0 or -ENODEV */

/* ---- the device ---- */

/* A front's grants mapped in one go. */
struct nf_blk_batch {
	struct nf_blk_batch *next;
	struct nf_mapping map;
	uint32_t grefs[NF_BLK_MAP_BATCH];
	void *addrs[NF_BLK_MAP_BATCH];
};

/* One persistent grant. */
struct nf_blk_kept {
	struct nf_mapping map; /* count 0: free */
	uint32_t gref;
	void *addr;
};

struct nf_blkback {
	struct nf_blk_end e;
	struct nf_blk_features offered, agreed;
	bool is_held, is_offered, is_accepted;
	bool map_grefs, map_rings;
	bool is_attaching; /* rings go on at their rsp_prod */
	bool is_met;	   /* the front was at Initialising since we were Closed */
	bool is_disk_ours;
	int closing_error; /* what draining leads to: 0 Closing, else FAILED with it */
	struct nf_disk own_disk;
	struct nf_disk *disk; /* NULL: none (a relay's end) */
	uint32_t queues;
	uint32_t taken_over[NF_BLK_QUEUES_MAX]; /* requests, at re-attachment */
	struct nf_blk_refs refs[NF_BLK_QUEUES_MAX];
	struct nf_blkback_rings *rings[NF_BLK_QUEUES_MAX];
	struct nf_blk_back_queue *queue[NF_BLK_QUEUES_MAX];
	struct nf_blk_batch *batches[NF_BLK_QUEUES_MAX];
	struct nf_blk_kept *kept[NF_BLK_QUEUES_MAX]; /* [kept_cap] */
	uint32_t kept_cap;
	struct {
		int fd;
		uint8_t *base; /* NULL: none */
		size_t bytes;
	} journal;
};

/* ---- back_rings.c ---- */
int nf__blk_back_rings_map(struct nf_blkback *b); /* undone on failure */
void nf__blk_back_rings_unmap(struct nf_blkback *b);
int nf__blk_back_queues_start(struct nf_blkback *b);
/* Stops taking requests. True: the disk is done with all, queues may go. */
bool nf__blk_back_queues_drain(struct nf_blkback *b);
void nf__blk_back_queues_stop(struct nf_blkback *b); /* waits for the disk */

/* ---- back_grants.c ---- */
/* Maps what the front's table names. -EPROTO: not grefs, or twice; else the layer's refusal. */
int nf__blk_back_register(struct nf_blkback *b, uint32_t queue);
void nf__blk_back_unregister(struct nf_blkback *b, uint32_t queue);
/* Persistent: maps what queues asked for since. */
void nf__blk_back_keep(struct nf_blkback *b);
void nf__blk_back_unkeep(struct nf_blkback *b, uint32_t queue);

/* ---- back_disk.c ---- */
int nf__blk_back_disk_open(struct nf_blkback *b);
void nf__blk_back_disk_close(struct nf_blkback *b);
void nf__blk_back_disk_look(struct nf_blkback *b); /* has it another size? */

/* ---- back_journal.c, back_attach.c ---- */
int nf__blk_journal_create(struct nf_blkback *b, uint64_t nonce);
int nf__blk_journal_open(struct nf_blkback *b, uint64_t nonce);
void nf__blk_journal_close(struct nf_blkback *b);
void nf__blk_journal_remove(struct nf_blkback *b); /* the connection is over */
struct nf_blk_journal *nf__blk_journal_of(struct nf_blkback *b, uint32_t queue);
/* Finishes what was begun and puts what was in flight back into q; how many, or -EPROTO. */
int nf__blk_journal_replay(struct nf_blk_back_queue *q);
void nf__blk_back_record(struct nf_blkback *b);
bool nf__blk_back_attach(struct nf_blkback *b);

#endif
