/* SPDX-License-Identifier: MIT */
/* Three guests of an inner world on one device of an outer one, in one process. */
#ifndef NF_TEST_MUX_TOWN_H
#define NF_TEST_MUX_TOWN_H

#include "nf/mux.h"
#include "peer/hostile.h"
#include "peer/rig.h"
#include "relay/mux_link.h"
#include "tap.h"

#include <time.h>

#define GUESTS 3u

struct town {
	struct rig outer, inner;
	struct mem_vif outer_vif, vif[GUESTS];
	struct rig_end *l0, *l2[GUESTS];
	struct nf_mux *hub;
	struct nf_mux_member *m[GUESTS];
	int phase[GUESTS];
	char path[GUESTS][64], token[GUESTS][16];
	char said[8192];
};

__attribute__((unused)) static void notice(void *ctx, const char *line)
{
	struct town *t = ctx;
	size_t used = strlen(t->said);
	snprintf(t->said + used, sizeof(t->said) - used, "%s\n", line);
}

__attribute__((unused)) static struct nf_net_config
config(struct town *t, struct rig *r, uint16_t domid, const char *path, const char *token)
{
	struct rig_domain *d = rig_domain(r, domid);
	return (struct nf_net_config){.layer = d->layer,
				      .store = d->store,
				      .poller = t->inner.poller,
				      .counters = &d->counters,
				      .control = d->control,
				      .path = path,
				      .token = token,
				      .queues = 1,
				      .grants = NF_NET_GRANTS_STATIC,
				      .notice = notice,
				      .ctx = t};
}

__attribute__((unused)) static void turn(void *town)
{
	struct town *t = town;
	rig_turn(&t->outer);
	for (uint32_t i = 0; i < GUESTS; i++)
		if (t->m[i])
			t->phase[i] = nf_mux_step(t->m[i]);
	rig_turn(&t->inner);
}

__attribute__((unused)) static uint64_t now_ms(void)
{
	struct timespec s;
	clock_gettime(CLOCK_MONOTONIC, &s);
	return (uint64_t)s.tv_sec * 1000 + (uint64_t)s.tv_nsec / 1000000;
}

__attribute__((unused)) static void linger(struct town *t, unsigned ms)
{
	uint64_t end = now_ms() + ms;
	do {
		turn(t);
		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	} while (now_ms() < end);
}

/* Until member i has this phase. */
__attribute__((unused)) static int until(struct town *t, uint32_t i, int phase, unsigned ms)
{
	uint64_t end = now_ms() + ms;
	while (t->phase[i] != phase && now_ms() < end)
		linger(t, 1);
	return t->phase[i] == phase ? 0 : -ETIMEDOUT;
}

__attribute__((unused)) static int join(struct town *t, uint32_t i,
					const struct nf_mux_limits *limits)
{
	snprintf(t->path[i], sizeof(t->path[i]), "backend/vif/%u/10", 2 + i);
	snprintf(t->token[i], sizeof(t->token[i]), "m%u", i);
	struct nf_net_config cfg = config(t, &t->inner, 0, t->path[i], t->token[i]);
	return nf_mux_join(t->hub, &cfg, limits, &t->m[i]);
}

/* A town whose guests `hostile` (bits) are the test's to play. */
__attribute__((unused)) static bool town_open(struct town *t, uint32_t hostile,
					      const struct nf_mux_limits *limits)
{
	static const struct nf_mux_limits none;
	memset(t, 0, sizeof(*t));
	rig_open(&t->outer, NF_POLL_ADAPTIVE);
	rig_open(&t->inner, NF_POLL_ADAPTIVE);
	rig_domain(&t->outer, 0);
	rig_domain(&t->outer, 1);
	rig_domain(&t->inner, 0);
	mem_world_gref_base(t->inner.w, 0, 5000);
	if (mem_vif_create(&t->outer_vif, t->outer.w, 1, 0, 0, NULL) < 0)
		return false;
	/* L0's generator writes to the second guest */
	mem_vif_set(&t->outer_vif, true, "mac", "00:16:3e:00:03:0a");
	t->l0 = rig_back(&t->outer, &t->outer_vif, NULL, NULL);
	struct nf_net_config cfg = config(t, &t->outer, 1, "device/vif/0", "hub");
	if (!t->l0 || nf_mux_open(&cfg, &t->hub) != 0)
		return false;
	for (uint32_t i = 0; i < GUESTS; i++) {
		rig_domain(&t->inner, (uint16_t)(2 + i));
		mem_world_gref_base(t->inner.w, (uint16_t)(2 + i), 9000 + 1000 * i);
		if (mem_vif_create(&t->vif[i], t->inner.w, (uint16_t)(2 + i), 0, 10, NULL) < 0 ||
		    join(t, i, limits ? limits : &none) != 0)
			return false;
		if (!(hostile & 1u << i))
			t->l2[i] = rig_front(&t->inner, &t->vif[i], NULL, NULL);
	}
	for (uint32_t i = 0; i < GUESTS; i++)
		if (t->l2[i] && until(t, i, NF_NET_RUNNING, 10000) != 0)
			return false;
	return true;
}

__attribute__((unused)) static void town_close(struct town *t)
{
	for (uint32_t i = 0; i < GUESTS; i++)
		if (t->l2[i])
			rig_end_close(t->l2[i]);
	nf_mux_close(t->hub);
	if (t->l0)
		rig_end_close(t->l0);
	rig_close(&t->inner);
	rig_close(&t->outer);
}

__attribute__((unused)) static uint64_t count(const struct town *t, uint32_t i, enum nf_counter c)
{
	return nf_load_relaxed_u64(&t->m[i]->block->words[c]); /* the poller's */
}

__attribute__((unused)) static uint64_t sunk(const struct town *t)
{
	return rig_counter(t->l0, NF_COUNTER_sink_packets);
}

/* Frames of a guest to L0, all of them, none changed. */
__attribute__((unused)) static bool moves(struct town *t, uint32_t i, uint32_t bytes,
					  uint32_t frames)
{
	uint64_t before;
	do { /* what others sent before arrives first */
		before = sunk(t);
		linger(t, 20);
	} while (sunk(t) != before);
	uint64_t bad = rig_counter(t->l0, NF_COUNTER_sink_corrupted) +
		       rig_counter(t->l0, NF_COUNTER_sink_lost);
	uint64_t end = now_ms() + 20000;
	struct nf_control_dev *d = &rig_domain(&t->outer, 0)->control->dev[0];
	nf_store_relaxed(&d->verify_every, 1);
	rig_generate(t->l2[i], NF_GEN_SEND, bytes, frames);
	while (sunk(t) < before + frames && now_ms() < end)
		linger(t, 2);
	rig_generate(t->l2[i], NF_GEN_IDLE, bytes, 0);
	if (sunk(t) != before + frames)
		diag("%llu of %u frames came", (unsigned long long)(sunk(t) - before), frames);
	return sunk(t) == before + frames &&
	       rig_counter(t->l0, NF_COUNTER_sink_corrupted) +
			       rig_counter(t->l0, NF_COUNTER_sink_lost) ==
		       bad;
}

#endif
