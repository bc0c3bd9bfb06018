/* SPDX-License-Identifier: MIT */
/* HOSTILE.md group 2: event indices set against us. No wake-up is lost, no storm of notifications.
 */
#include "hostile.h"

static const uint32_t junk[] = {0, 1, 0x7fffffffu, 0x80000000u, 0xffffffffu};
#define JUNK (sizeof(junk) / sizeof(junk[0]))

/* One frame at a time: with a hostile rsp_event each is answered, and told at most once. */
static void back_answers(struct scene *s)
{
	for (size_t j = 0; j <= JUNK; j++) {
		SCENE(s, scene_front(s, NULL, NULL), "back: connected");
		uint64_t notified = mem_world_calls(s->r.w, 0, MEM_NOTIFY);
		bool all = true;
		for (uint32_t i = 0; i < 50 && all; i++) {
			/* the last round keeps up with the index: a notification for each */
			uint32_t event = j < JUNK ? junk[j] : s->h.q[0].tx_prod + 1;
			hostile_poke(&s->h, 0, 't', 3, event);
			hostile_poke(&s->h, 0, 'r', 3, event);
			hostile_tx_frame(&s->h, 0, i, 60);
			hostile_tx_push(&s->h, 0);
			all = tx_answered(&s->h, 0);
		}
		ok(all, "back: every frame is answered, rsp_event case %zu", j);
		notified = mem_world_calls(s->r.w, 0, MEM_NOTIFY) - notified;
		ok(notified <= 50, "back: %llu notifications for 50 batches",
		   (unsigned long long)notified);
		SCENE(s, scene_survived(s), "back: goes on");
		SCENE(s, scene_end(s, false), "back: baseline");
	}
}

/* The back sleeps on req_event; a front that overwrites it and notifies anyway is served. */
static void back_wakes(struct scene *s)
{
	SCENE(s, scene_front(s, NULL, NULL), "back wakes: connected");
	bool all = true;
	for (uint32_t i = 0; i < 50 && all; i++) {
		hostile_linger(&s->h, 1); /* it is asleep */
		hostile_poke(&s->h, 0, 't', 1, junk[i % JUNK]);
		hostile_tx_frame(&s->h, 0, i, 60);
		hostile_tx_push(&s->h, 0);
		all = tx_answered(&s->h, 0);
	}
	ok(all, "back wakes: for each of 50 notifications, whatever req_event says");
	SCENE(s, scene_end(s, false), "back wakes: baseline");
}

/* Answers what the front sent so far; how many. */
static uint32_t answer(struct hostile *h)
{
	uint32_t prod = hostile_peek(h, 0, 't', 0), n = 0;
	for (; h->q[0].tx_prod != prod; n++) {
		struct nf_netif_tx_request r;
		memcpy(&r, hostile_slot(h, 0, 't', h->q[0].tx_prod), sizeof(r));
		hostile_tx_rsp(h, 0, r.id, NF_NETIF_RSP_OKAY);
	}
	if (n)
		hostile_tx_rsp_push(h, 0);
	return n;
}

static void front_sends(struct scene *s)
{
	for (size_t j = 0; j <= JUNK; j++) {
		SCENE(s, scene_back(s, NULL, NULL), "front: connected");
		uint64_t notified = mem_world_calls(s->r.w, 2, MEM_NOTIFY);
		uint32_t seen = 0;
		rig_generate(s->real, NF_GEN_SEND, 200, 2000);
		for (int i = 0; i < 5000 && seen < 2000; i++) {
			hostile_poke(&s->h, 0, 't', 1,
				     j < JUNK ? junk[j] : hostile_peek(&s->h, 0, 't', 0) + 1);
			seen += answer(&s->h);
			hostile_linger(&s->h, 0);
		}
		is(seen, 2000, "front: every frame comes, req_event case %zu", j);
		notified = mem_world_calls(s->r.w, 2, MEM_NOTIFY) - notified;
		ok(notified <= 2000, "front: %llu notifications for 2000 frames",
		   (unsigned long long)notified);
		rig_generate(s->real, NF_GEN_IDLE, 200, 0);
		SCENE(s, scene_survived(s), "front: goes on");
		SCENE(s, scene_end(s, false), "front: baseline");
	}
}

int main(void)
{
	struct scene s;
	SCENE(&s, scene_open(&s, NF_POLL_EVENT), "the stage");
	back_answers(&s);
	back_wakes(&s);
	front_sends(&s);
	scene_close(&s);
	return done();
}
