/* SPDX-License-Identifier: MIT */
/* HOSTILE.md group 14: the peer dies, closes twice, comes back another, or is taken away in flight.
 */
#include "hostile.h"

/* The toolstack after a death: nodes go; what the dead held is free. */
static void bury(struct scene *s, const char *what)
{
	rig_linger(&s->r, 20);
	ok(rig_phase(s->real) != NF_NET_RUNNING, "%s: the victim has stopped (phase %d)", what,
	   rig_phase(s->real));
	ok(rig_pair_moves(&s->bystander, 100, 5000), "%s: the bystander goes on", what);
	SCENE(s, scene_end(s, false), "%s: baseline", what);
	is(mem_world_quarantine(s->r.w, s->hostile_is_back ? 3 : 1), 0, "%s: no quarantine", what);
}

static void front_dies(struct scene *s, bool busy)
{
	const char *what = busy ? "front dies under load" : "front dies idle";
	SCENE(s, scene_front(s, NULL, NULL), "%s: connected", what);
	if (busy) {
		for (uint32_t i = 0; i < 200; i++)
			hostile_tx_frame(&s->h, 0, i, 1000);
		while (s->h.q[0].rx_prod < 200)
			hostile_rx_post(&s->h, 0, s->h.q[0].rx_prod, s->h.q[0].rx_grefs[3]);
		rig_generate(s->real, NF_GEN_SEND, 1000, 0);
		hostile_tx_push(&s->h, 0);
		hostile_rx_push(&s->h, 0);
	}
	mem_world_kill(s->r.w, 1);
	rig_linger(&s->r, 20);
	rig_generate(s->real, NF_GEN_IDLE, 60, 0);
	mem_vif_remove(&s->v);
	bury(s, what);
}

static void back_dies(struct scene *s, bool busy)
{
	const char *what = busy ? "back dies under load" : "back dies idle";
	SCENE(s, scene_back(s, NULL, NULL), "%s: connected", what);
	if (busy)
		rig_generate(s->real, NF_GEN_SEND, 1000, 0);
	rig_linger(&s->r, 5);
	mem_world_kill(s->r.w, 3);
	rig_linger(&s->r, 20);
	rig_generate(s->real, NF_GEN_IDLE, 60, 0);
	mem_vif_remove(&s->v);
	bury(s, what);
}

/* Death at every step of negotiation. */
static void dies_early(struct scene *s)
{
	for (int step = 0; step < 4; step++) {
		bool is_back = step >= 2;
		SCENE(s, scene_prepare(s, is_back, NULL, NULL), "dies early: opened");
		rig_linger(&s->r, 5);
		if (step == 1)
			(void)hostile_front_publish(&s->h);
		if (step == 3)
			(void)hostile_wait(&s->h, NF_XENBUS_CONNECTED);
		mem_world_kill(s->r.w, is_back ? 3 : 1);
		rig_linger(&s->r, 10);
		mem_vif_remove(&s->v);
		bury(s, is_back ? "back dies early" : "front dies early");
	}
}

/* 5, the back's answer, 6, and again the same: nothing is closed twice. */
static void double_close(struct scene *s)
{
	SCENE(s, scene_front(s, NULL, NULL), "double close: connected");
	for (int i = 0; i < 3; i++) {
		(void)hostile_state(&s->h, NF_XENBUS_CLOSING);
		rig_linger(&s->r, 3);
		(void)hostile_state(&s->h, NF_XENBUS_CLOSED);
		is(hostile_wait(&s->h, NF_XENBUS_CLOSED), 0, "double close: round %d", i);
		is(nf_netback_shutdown(s->real->back) < 0, 0, "double close: shutdown again");
	}
	ok(rig_pair_moves(&s->bystander, 100, 5000), "double close: the bystander goes on");
	SCENE(s, scene_end(s, false), "double close: baseline");
}

/* A life that asks for less must not show the keys of a greater one. */
static void clear(struct scene *s)
{
	static const char *const keys[] = {"multi-queue-num-queues",
					   "request-nestfront-static-only",
					   "ctrl-ring-ref",
					   "event-channel-tx",
					   "queue-0",
					   "queue-1",
					   "queue-2",
					   "queue-3"};
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		char path[128];
		snprintf(path, sizeof(path), "%s/%s", s->v.front_path, keys[i]);
		(void)mem_store_rm(s->r.w, path);
	}
}

/* The same front again and again, each time with other features, queues and ring order. */
static void comes_back(struct scene *s)
{
	static const struct hostile_options lives[] = {{0},
						       {.split = true},
						       {.queues = 2},
						       {.queues = 4, .split = true},
						       {.no_ctrl = true},
						       {.no_gso = true, .no_sg = true},
						       {.queues = 3, .no_ctrl = true},
						       {.static_only = true, .queues = 2},
						       {0}};
	struct rig_options o = {.queues = 4, .static_only = true};
	SCENE(s, scene_prepare(s, false, &lives[0], &o), "comes back: opened");
	for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
		if (i > 0)
			(void)hostile_front_open(&s->h, mem_world_layer(s->r.w, 1), 0, &lives[i]);
		if (i > 0)
			(void)hostile_state(&s->h, NF_XENBUS_INITIALISING);
		clear(s);
		is(hostile_front_connect(&s->h), 0, "comes back: life %zu connects", i);
		bool moves = true;
		for (uint32_t q = 0; q < s->h.queues; q++) {
			hostile_tx_frame(&s->h, q, q, 60);
			hostile_tx_push(&s->h, q);
			moves = moves && tx_answered(&s->h, q);
		}
		ok(moves, "comes back: life %zu moves on every queue", i);
		(void)hostile_state(&s->h, NF_XENBUS_CLOSING);
		(void)hostile_wait(&s->h, NF_XENBUS_CLOSING);
		(void)hostile_state(&s->h, NF_XENBUS_CLOSED);
		is(hostile_wait(&s->h, NF_XENBUS_CLOSED), 0, "comes back: life %zu closes", i);
		hostile_close(&s->h);
		is(mem_world_quarantine(s->r.w, 0), 0, "comes back: all pages were returned");
	}
	SCENE(s, scene_end(s, false), "comes back: baseline");
}

/* Nodes taken away at many points of a connection with traffic. */
static void removed(struct scene *s)
{
	for (int i = 0; i < 12; i++) {
		bool up = i & 1 ? scene_prepare(s, true, NULL, NULL)
				: scene_prepare(s, false, NULL, NULL);
		ok(up, "removed: opened");
		s->h.wait_ms = 50;
		if (i >= 4)
			(void)(i & 1 ? hostile_back_connect(&s->h) : hostile_front_connect(&s->h));
		rig_generate(s->real, NF_GEN_SEND, 200, 0);
		for (int k = 0; k < i; k++)
			rig_turn(&s->r);
		mem_vif_remove(&s->v);
		rig_linger(&s->r, 5);
		s->h.wait_ms = 0;
		rig_generate(s->real, NF_GEN_IDLE, 200, 0);
		SCENE(s, scene_end(s, i % 3 == 0), "removed: baseline, point %d", i);
		s->h.wait_ms = 0;
	}
	ok(rig_pair_moves(&s->bystander, 100, 5000), "removed: the bystander goes on");
}

int main(void)
{
	struct scene s;
	SCENE(&s, scene_open(&s, NF_POLL_EVENT), "the stage");
	front_dies(&s, false);
	front_dies(&s, true);
	back_dies(&s, false);
	back_dies(&s, true);
	dies_early(&s);
	double_close(&s);
	comes_back(&s);
	removed(&s);
	scene_close(&s);
	return done();
}
