/* SPDX-License-Identifier: MIT */
/*
 * A nested stack in one process: an outer and an inner world, each with its poller, honest L0 backs
 * and L2 fronts, and real relays between them.
 *
 *   outer: domain 0 is L0, domain 1 is L1          inner: domain 0 is L1's relay, 2.. are L2s
 */
#ifndef NF_TEST_RELAY_NEST_H
#define NF_TEST_RELAY_NEST_H

#include "nf/relay.h"
#include "peer/hostile.h"
#include "peer/rig.h"

#define NEST_LINKS 3u

struct nest_options {
	enum nf_relay_mode mode;
	bool trust_inner;
	bool no_l0, no_l2;			    /* the test stands there */
	bool l0_not_static;			    /* L0 does not offer static grants only */
	uint32_t queues;			    /* 0: 1 */
	uint32_t frame_bytes;			    /* the generators' first size; 0: 60 */
	enum nf_net_grants l0_grants, inner_grants; /* 0: STATIC */
};

/* One relayed device: outer devid is its index, inner devid 10 + index, L2's domid 2 + index. */
struct nest_link {
	struct nest *n;
	uint32_t index;
	struct mem_vif outer_vif, inner_vif;
	struct rig_end *l0, *l2; /* honest ends; NULL where a hostile one stands */
	struct nf_net_relay *relay;
	char inner_path[64], outer_path[64], tokens[2][16];
	struct nest_options options;
	uint32_t queues;
	bool is_restarted; /* a generator began anew: its sequence proves nothing any more */
	int last;	   /* of step */
	char notice[512];
	char said[4096]; /* every notice */
};

struct nest {
	struct rig outer, inner;
	struct nest_link links[NEST_LINKS];
	struct mem_baseline outer_base, inner_base;
};

void nest_open(struct nest *n, enum nf_poll_mode mode);
void nest_close(struct nest *n);
/* Nodes of both layers and the drivers on them. NULL: could not be opened. */
struct nest_link *nest_link(struct nest *n, uint32_t index, const struct nest_options *o);
/* The relay alone, again: after a close. 0 or an errno. */
int nest_relay(struct nest_link *l);
void nest_unlink(struct nest_link *l);
/* One round of everybody's control thread; cb for hostile.turn. */
void nest_turn(struct nest *n);
void nest_turn_cb(void *nest);
void nest_linger(struct nest *n, unsigned ms);
/* Turns until the relay has this phase (nf_net_phase): 0 or -ETIMEDOUT. */
int nest_until(struct nest_link *l, int phase, unsigned ms);
int nest_until_end(struct nest *n, struct rig_end *e, int phase, unsigned ms);
/* Waits for everybody to run: 0 or -ETIMEDOUT. */
int nest_connect(struct nest_link *l);
/* So many frames a queue, both ways between honest ends, every byte checked, none lost. */
bool nest_moves(struct nest_link *l, uint32_t bytes, uint32_t frames, unsigned ms);
/* Sum of a relay's counter over its queues. */
uint64_t nest_counter(const struct nest_link *l, enum nf_counter c);
const struct nf_counters *nest_block(const struct nest_link *l, uint32_t queue);
/* The inner device's error node; "" when there is none. */
const char *nest_error(struct nest_link *l);

#endif
