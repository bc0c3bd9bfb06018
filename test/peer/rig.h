/* SPDX-License-Identifier: MIT */
/*
 * Honest domains for tests: real netfront and netback on an in-process world, driven as nestfrontd
 * drives them, by one control thread (the test's, in rig_turn) and one poller thread.
 */
#ifndef NF_TEST_RIG_H
#define NF_TEST_RIG_H

#include "memlayer.h"
#include "nf/counters.h"
#include "nf/net.h"

#define RIG_ENDS 8u
#define RIG_DOMAINS 6u

struct rig_domain {
	struct rig *rig;
	uint16_t domid;
	struct nf_layer *layer;
	struct nf_store *store;
	struct nf_counters_map counters;
	struct nf_control_page *control; /* the test writes it */
};

struct rig_end {
	struct rig_domain *d;
	bool is_back, is_used;
	uint16_t devid;
	struct nf_netfront *front;
	struct nf_netback *back;
	char path[64];
	char token[16];
	char notice[512];  /* the last line */
	int last;	   /* of step */
	uint64_t failures; /* steps that returned an error */
};

struct rig {
	struct mem_world *w;
	struct nf_poller *poller;
	struct rig_domain domains[RIG_DOMAINS];
	struct rig_end ends[RIG_ENDS];
};

struct rig_options {
	uint32_t queues;	   /* 0: 1 */
	enum nf_net_grants grants; /* 0: STATIC */
	bool static_only;
	const char *port;    /* NULL: "gen" */
	const char *journal; /* of a back */
};

/* A world and a poller of that mode. Aborts when the machine cannot. */
void rig_open(struct rig *r, enum nf_poll_mode mode);
void rig_close(struct rig *r);
/* The domain, made when first asked for. */
struct rig_domain *rig_domain(struct rig *r, uint16_t domid);
/* A real device on nodes that exist. NULL: it could not be opened (see *err). */
struct rig_end *rig_front(struct rig *r, const struct mem_vif *v, const struct rig_options *o,
			  int *err);
struct rig_end *rig_back(struct rig *r, const struct mem_vif *v, const struct rig_options *o,
			 int *err);
void rig_end_close(struct rig_end *e);
int rig_phase(const struct rig_end *e);
/* One round of the control thread: store events, then a step of every end. */
void rig_turn(struct rig *r);
void rig_turn_cb(void *rig); /* the same, for hostile.turn */
/* Turns until the end has that phase: 0 or -ETIMEDOUT. */
int rig_until_phase(struct rig_end *e, int phase, unsigned ms);
/* Turns for that long. */
void rig_linger(struct rig *r, unsigned ms);
/* Sum of one counter over the end's queues. */
uint64_t rig_counter(const struct rig_end *e, enum nf_counter c);
/* Turns until the counter is at least that: 0 or -ETIMEDOUT. */
int rig_until_counter(struct rig_end *e, enum nf_counter c, uint64_t at_least, unsigned ms);
/* Tells the end's generator what to do (limit 0: without end). */
void rig_generate(struct rig_end *e, enum nf_gen_mode mode, uint32_t frame_bytes, uint32_t limit);

/* Two honest ends with traffic, to show that other devices go on. */
struct rig_pair {
	struct mem_vif v;
	struct rig_end *front, *back;
};
/* Connects front domain to back domain as that devid; 0 or an error. */
int rig_pair_open(struct rig_pair *p, struct rig *r, uint16_t front, uint16_t back, uint16_t devid,
		  const struct rig_options *o);
/* True when `frames` more frames go each way, unharmed, within ms. */
bool rig_pair_moves(struct rig_pair *p, uint32_t frames, unsigned ms);
/* Where both ends stand, in one line; a static buffer. */
const char *rig_pair_tell(const struct rig_pair *p);
void rig_pair_close(struct rig_pair *p);

#endif
