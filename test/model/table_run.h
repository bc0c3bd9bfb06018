/* SPDX-License-Identifier: MIT */
/* One execution: passes of the real relay, between whose accesses the world acts. */
#ifndef NF_MODEL_TABLE_RUN_H
#define NF_MODEL_TABLE_RUN_H

#include "model/acts.h"

static jmp_buf relay_gone;
static uint64_t pass_base;

static uint64_t state_hash(uint64_t history)
{
	return explore_follows() ? 0 : world_hash(explore_mix(pass_base, history));
}

static void relay_kill(void)
{
	tell(&(struct act){.what = KILL});
	world.kills_left--;
	world.runs = world.sleeps = world.is_woken = false;
	longjmp(relay_gone, 1);
}

/* The relay is about to touch a ring. */
static void model_access(const void *at)
{
	struct acts acts;
	if (world.is_env || !world.runs)
		return;
	model_history = explore_mix(model_history, 2);
	for (;;) {
		acts_at(&acts, at);
		uint32_t n = 1 + acts.count + (world.kills_left > 0);
		if (n == 1)
			return;
		uint32_t c = explore_choose(state_hash(model_history), n);
		if (c == 0)
			return;
		if (c > acts.count)
			relay_kill();
		act_do(&acts.list[c - 1]);
	}
}

/* The table between two passes: each outer id is free or in flight, once. */
static void table_check(void)
{
	const struct nf__translate *t = &queue.tr;
	uint32_t busy = 0, seen[MODEL_SLOTS] = {0};
	for (uint32_t i = 0; i < MODEL_SLOTS; i++)
		busy += t->tx_inner_id[i] != 0;
	if (t->tx_free_count + busy != MODEL_SLOTS)
		explore_fail("an outer id is lost, or both free and in flight");
	for (uint32_t i = 0; i < t->tx_free_count; i++)
		if (t->tx_inner_id[t->tx_free[i]] || seen[t->tx_free[i]]++)
			explore_fail("an outer id is free twice, or free and in flight");
	if (out.tx.req_prod - out.tx.rsp_cons != busy + t->tx_extras)
		explore_fail("the table does not hold what is in flight");
	if (in.tx.req_cons - in.tx.rsp_prod != out.tx.req_prod - out.tx.rsp_cons ||
	    in.rx.req_cons - in.rx.rsp_prod != out.rx.req_prod - out.rx.rsp_cons)
		explore_fail("more or less in flight outside than inside");
}

/* It stopped the device: for a reason, and it names who gave it. */
static void relay_faulted(int error)
{
	static char text[128];
	bool lies = scene->lies > 0, forged = scene->forged > 0;
	snprintf(text, sizeof(text), "honest ends were refused: %s, errno %d",
		 queue.fault.field ? queue.fault.field : "nothing named", -error);
	if (error != -EPROTO || (!lies && !forged))
		explore_fail(text);
	if (lies != forged && queue.inner_fault != lies)
		explore_fail("the wrong end is blamed");
	world.is_env = true;
	l2_tx_reap();
	l2_rx_reap();
	explore_done();
}

/* All is quiet: then nothing is left undone. */
static void quiet_check(void)
{
	const struct back *b = &world.back[world.now];
	if (scene->lies || scene->forged)
		return;
	for (uint32_t k = 0; k < world.l2.tx_posts; k++)
		if (world.l2.tx_did[k] != DONE)
			explore_fail("an inner id is never answered");
	if (world.l2.tx_extras > 0)
		explore_fail("an extra is never answered");
	if (world.l2.rx_seen != b->rx_answered)
		explore_fail("a frame of L0's never arrives");
	if (b->tx_taken != world.l2.tx_posts || b->rx_taken != world.l2.rx_posts)
		explore_fail("a request of L2's never leaves");
}

/* Asleep until somebody says something. */
static void relay_sleep(void)
{
	struct acts acts;
	pass_base = explore_mix(relay_hash(), 11);
	world.sleeps = true;
	for (;;) {
		acts_asleep(&acts);
		if (!world.is_woken && acts.due == 0)
			quiet_check();
		uint32_t n = 1 + acts.count + (world.kills_left > 0);
		bool stuck = !world.is_woken && acts.due > 0;
		uint32_t c = n == 1 ? 0 : explore_choose(state_hash(0), n - stuck) + stuck;
		if (c > acts.count)
			relay_kill();
		if (c == 0 && !world.is_woken)
			explore_done();
		if (c == 0)
			break;
		act_do(&acts.list[c - 1]);
	}
	world.is_woken = world.sleeps = false;
}

static void relay_lives(void)
{
	for (;;) {
		world.acted = false;
		pass_base = relay_hash();
		model_history = 0;
		int rc = nf__queue_run(&queue);
		if (rc < 0)
			relay_faulted(rc);
		table_check();
		if (rc > 0)
			continue;
		if (nf__queue_arm(&queue) == 0)
			relay_sleep();
		else if (!world.acted)
			explore_fail("awake with nothing to do");
	}
}

/* Nobody relays. What was published stays published; L0 goes on with it as long as it likes. */
static void relay_is_dead(void)
{
	struct acts acts;
	pass_base = 13;
	for (;;) {
		acts.count = 0;
		for (uint32_t g = 0; g <= world.now; g++)
			acts_late(&acts, g);
		add(&acts, world.now + 1 < MODEL_GENERATIONS, RESTART, 0, 0);
		add(&acts, world.now + 1 == MODEL_GENERATIONS, STOP, 0, 0);
		struct act *a = &acts.list[explore_choose(state_hash(0), acts.count)];
		if (a->what == STOP)
			explore_done();
		if (a->what == RESTART)
			break;
		act_do(a);
	}
	tell(&(struct act){.what = RESTART});
	world.now++;
	world.is_env = true;
	connect();
	world.is_env = false;
}

static void model_run(void)
{
	world_reset();
	while (true) {
		if (setjmp(relay_gone) == 0)
			relay_lives();
		relay_is_dead();
	}
}

#endif
