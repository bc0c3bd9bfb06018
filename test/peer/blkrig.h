/* SPDX-License-Identifier: MIT */
/*
 * Honest block devices for tests, as rig.h has them for the network: real blkfront and blkback on
 * an in-process world. A front's user is the test itself: it hands over requests and waits.
 */
#ifndef NF_TEST_BLKRIG_H
#define NF_TEST_BLKRIG_H

#include <pthread.h>

#include "nf/blk.h"
#include "rig.h"

#define BLKRIG_ENDS 8u
#define BLKRIG_QUEUES NF_BLK_QUEUES_MAX

/* Nodes of a vbd as xl makes them. */
struct mem_vbd {
	struct mem_world *w;
	uint16_t front, back, devid;
	char front_path[64]; /* absolute */
	char back_path[64];
};
int mem_vbd_create(struct mem_vbd *v, struct mem_world *w, uint16_t front, uint16_t back,
		   uint16_t devid);
int mem_vbd_set(struct mem_vbd *v, bool is_back, const char *key, const char *value);
void mem_vbd_remove(struct mem_vbd *v);

/* One queue's user: a mailbox between the test and the poller. */
#define BLKRIG_BOX 1024u
struct blkrig_user {
	struct nf_blkuser u; /* first */
	pthread_mutex_t lock;
	struct nf_blkport *port; /* since start */
	struct nf_blkreq in[BLKRIG_BOX];
	uint32_t in_put, in_got;
	int32_t result[BLKRIG_BOX]; /* by token % BOX; 1: not yet */
	uint32_t starts, stops;
	uint64_t done;
};

struct blkrig_end {
	struct rig *r;
	struct rig_domain *d;
	bool is_back, is_used;
	uint16_t devid;
	struct nf_blkfront *front;
	struct nf_blkback *back;
	char path[64];
	char token[16];
	char notice[512]; /* the last line */
	int last;	  /* of step */
	uint64_t failures;
	struct nf_blkuser users[BLKRIG_QUEUES]; /* copies the front calls */
	struct blkrig_user *box[BLKRIG_QUEUES];
};

struct blkrig {
	struct rig *r; /* borrowed: world, poller, domains */
	struct blkrig_end ends[BLKRIG_ENDS];
	void (*also)(void); /* turned with it; may be NULL */
	uint64_t serial;
};

void blkrig_open(struct blkrig *b, struct rig *r);
void blkrig_close(struct blkrig *b);
/* Opens an end; cfg's layer, store, poller, counters, path, token, notice and users are filled in.
 * NULL: see *err. */
struct blkrig_end *blkrig_front(struct blkrig *b, const struct mem_vbd *v,
				const struct nf_blk_config *cfg, int *err);
struct blkrig_end *blkrig_back(struct blkrig *b, const struct mem_vbd *v,
			       const struct nf_blk_config *cfg, int *err);
void blkrig_end_close(struct blkrig_end *e);
int blkrig_phase(const struct blkrig_end *e);
/* One round of the control thread, also for the rig's network ends. */
void blkrig_turn(struct blkrig *b);
void blkrig_turn_cb(void *blkrig);
int blkrig_until_phase(struct blkrig *b, struct blkrig_end *e, int phase, unsigned ms);
void blkrig_linger(struct blkrig *b, unsigned ms);
uint64_t blkrig_counter(const struct blkrig_end *e, enum nf_counter c);

/* Hands requests to queue q of a front; tokens are set here. Does not wait. */
void blkrig_post(struct blkrig *b, struct blkrig_end *e, uint32_t q, struct nf_blkreq *reqs,
		 uint32_t n);
/* Turns until all of them are answered: 0, or -ETIMEDOUT. */
int blkrig_wait(struct blkrig *b, struct blkrig_end *e, uint32_t q, const struct nf_blkreq *reqs,
		uint32_t n, unsigned ms);
int32_t blkrig_result(struct blkrig_end *e, uint32_t q, const struct nf_blkreq *req);
/* One request, answered: its result, or -ETIMEDOUT. */
int blkrig_do(struct blkrig *b, struct blkrig_end *e, uint8_t op, uint64_t sector, void *data,
	      uint64_t bytes);

/* Two ends, connected. */
struct blkrig_pair {
	struct mem_vbd v;
	struct blkrig_end *front, *back;
};
int blkrig_pair_open(struct blkrig_pair *p, struct blkrig *b, uint16_t front, uint16_t back,
		     uint16_t devid, const struct nf_blk_config *front_cfg,
		     const struct nf_blk_config *back_cfg);
void blkrig_pair_close(struct blkrig_pair *p);

/* Bytes that follow from (seed, offset on the disk). */
void blkrig_fill(uint8_t *data, uint64_t bytes, uint64_t offset, uint32_t seed);
/* -1: all right; else the first wrong byte. */
int64_t blkrig_check(const uint8_t *data, uint64_t bytes, uint64_t offset, uint32_t seed);

#endif
