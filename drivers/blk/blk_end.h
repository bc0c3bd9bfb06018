/* SPDX-License-Identifier: MIT */
/* What both ends of a block device are made of: the xenbus device, keys, counters, waiting.
 * Control thread. */
#ifndef NF_BLK_END_H
#define NF_BLK_END_H

#include "blk_internal.h"

#define NF_BLK_SPEC_MAX 512u
#define NF_BLK_JOURNAL_MAX 200u

struct nf_blk_end {
	struct nf_blk_config cfg; /* strings point into this object */
	struct nf_device dev;
	char path[NF_STORE_PATH_MAX];
	char token[40];
	char spec[NF_BLK_SPEC_MAX];
	char journal[NF_BLK_JOURNAL_MAX];
	int phase;		    /* enum nf_blk_phase */
	struct nf_blk_features own; /* what our configuration and disk can do */
	int epoll_fd;		    /* of everything the control thread waits for */
	int event_fd;		    /* a queue has news */
	int timer_fd;
	bool is_fresh;	  /* nothing of this device's past life was looked at yet */
	bool is_shutdown; /* asked to close: does not come back */
	uint32_t generation;
	struct nf_counters *blocks[NF_BLK_QUEUES_MAX];
	struct nf_counters *latency[NF_BLK_QUEUES_MAX];
	struct nf_counters *spare; /* [NF_BLK_QUEUES_MAX] when the page has no block left */
};

/* ---- blk_end.c ---- */
int nf__blk_end_open(struct nf_blk_end *e, const struct nf_blk_config *cfg, bool is_back);
/* What an end could do, before any peer or relay narrows it; the disk is the back's to add. */
void nf__blk_own_features(const struct nf_blk_config *c, bool is_back, struct nf_blk_features *f);
void nf__blk_end_close(struct nf_blk_end *e);
void nf__blk_end_notice(struct nf_blk_end *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Writes the error node and the notice; returns error. */
int nf__blk_end_fail(struct nf_blk_end *e, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for a fault a queue found: names field, value, range; counts it. */
int nf__blk_end_fault(struct nf_blk_end *e, uint32_t queue, const struct nf_blk_fault *fault);
/* Switches by way of Closing where the table wants it; a vanished node is as good as Closed. */
int nf__blk_end_switch(struct nf_blk_end *e, enum nf_xenbus_state state);
void nf__blk_end_timer(struct nf_blk_end *e, uint32_t ms); /* 0: off */
bool nf__blk_end_events(struct nf_blk_end *e); /* drains event and timer; true: timer ran out */
/* The other end of the channel closed it or died. The queue is off its poller. */
bool nf__blk_end_hung_up(struct nf_blk_end *e, struct nf_chan *chan);

/* ---- blk_blocks.c: counters ---- */
void nf__blk_blocks_open(struct nf_blk_end *e, uint32_t queues);
void nf__blk_blocks_close(struct nf_blk_end *e);
/* Block headers after a change of state; error 0: none. */
void nf__blk_blocks(struct nf_blk_end *e, uint8_t grants, int error);

/* ---- negotiate.c ---- */
/* A queue of a front as it published it. */
struct nf_blk_refs {
	uint32_t ring_grefs[NF_BLK_RING_PAGES_MAX];
	uint32_t port;
	uint32_t registered; /* grefs in its table */
	uint32_t table_grefs[NF_BLK_TABLE_PAGES_MAX];
};

/* What a back offers, in one transaction; also what its disk is now. */
int nf__blk_offer_write(struct nf_blk_end *e, const struct nf_blk_features *offer);
/* The disk has another size: sectors, and the state once more so that the front looks. */
int nf__blk_resize_write(struct nf_blk_end *e, const struct nf_blk_features *offer);
/* What a front wants and its rings, in one transaction; what it published before goes. */
int nf__blk_front_publish(struct nf_blk_end *e, const struct nf_blk_features *f,
			  const struct nf_blk_refs *refs, uint32_t queues);
/* out = what both can do; disk, units and abi are b's. */
void nf__blk_features_meet(const struct nf_blk_features *a, const struct nf_blk_features *b,
			   struct nf_blk_features *out);

/* ---- negotiate_read.c ---- */
/* What a back says before it connects: rings, queues, grants. */
int nf__blk_offer_read(struct nf_blk_end *e, struct nf_blk_features *out);
/* What it says once it is Connected: the disk, and indirect segments. */
int nf__blk_disk_read(struct nf_blk_end *e, struct nf_blk_features *out);
/* A front's rings as it published them; out: what both agree on. */
int nf__blk_front_read(struct nf_blk_end *e, const struct nf_blk_features *offered,
		       struct nf_blk_features *out, struct nf_blk_refs *refs, uint32_t *queues);

#endif
