/* SPDX-License-Identifier: MIT */
/* HOSTILE.md group 4: ids unknown, duplicate, not in flight; answers nobody asked for. */
#include "hostile.h"

/* Lets the front have `frames` requests in flight, unanswered. */
static bool in_flight(struct scene *s, uint32_t frames)
{
	rig_generate(s->real, NF_GEN_SEND, 200, frames);
	for (int i = 0; i < 2000; i++) {
		if (hostile_peek(&s->h, 0, 't', 0) == frames)
			break;
		hostile_linger(&s->h, 0);
	}
	rig_generate(s->real, NF_GEN_IDLE, 200, 0);
	return hostile_peek(&s->h, 0, 't', 0) == frames;
}

static uint32_t id_at(struct hostile *h, uint32_t idx)
{
	struct nf_netif_tx_request r;
	memcpy(&r, hostile_slot(h, 0, 't', idx), sizeof(r));
	return r.id;
}

static const struct tx_case {
	const char *what;
	uint32_t id; /* NONE: of the first request */
	int status;
	bool twice; /* the first request's id is answered honestly before */
	const char *text;
} tx_cases[] = {
	{"id 256", 256, 0, false, "tx response id"},
	{"id 65535", 65535, 0, false, "tx response id"},
	{"an id not in flight", 255, 0, false, "not in flight"},
	{"the same id twice", NF_GREF_NONE, 0, true, "not in flight"},
	{"status 2", NF_GREF_NONE, 2, false, "tx response status"},
	{"status 32767", NF_GREF_NONE, 32767, false, "tx response status"},
	{"status -3", NF_GREF_NONE, -3, false, "tx response status"},
	{"status -32768", NF_GREF_NONE, -32768, false, "tx response status"},
	{"a null answer without an extra", NF_GREF_NONE, NF_NETIF_RSP_NULL, false, "tx null"},
};

static void front_tx(struct scene *s)
{
	for (size_t i = 0; i < sizeof(tx_cases) / sizeof(tx_cases[0]); i++) {
		const struct tx_case *c = &tx_cases[i];
		SCENE(s, scene_back(s, NULL, NULL), "front tx: connected");
		ok(in_flight(s, 20), "front tx: 20 in flight");
		uint32_t first = id_at(&s->h, 0), id = c->id;
		if (id == NF_GREF_NONE)
			id = first;
		else if (id < 256) /* one that is really not among the twenty */
			for (uint32_t k = 0; k < 20; k++)
				id = id_at(&s->h, k) == id ? 254 : id;
		if (c->twice)
			hostile_tx_rsp(&s->h, 0, first, NF_NETIF_RSP_OKAY);
		hostile_tx_rsp(&s->h, 0, id, c->status);
		hostile_tx_rsp_push(&s->h, 0);
		SCENE(s, scene_refused(s, c->text), "front tx: %s", c->what);
		SCENE(s, scene_end(s, i & 1), "front tx: baseline");
	}
}

/* Answered before the request was there: the slot still holds what the back wrote. */
static void front_early(struct scene *s)
{
	SCENE(s, scene_back(s, NULL, NULL), "early: connected");
	for (uint32_t i = 0; i < 5; i++)
		hostile_tx_rsp(&s->h, 0, i, NF_NETIF_RSP_OKAY);
	hostile_tx_rsp_push(&s->h, 0);
	SCENE(s, scene_refused(s, "tx rsp_prod"), "early: completion of what was never sent");
	SCENE(s, scene_end(s, false), "early: baseline");
}

static void front_errors(struct scene *s)
{
	SCENE(s, scene_back(s, NULL, NULL), "error answers: connected");
	ok(in_flight(s, 20), "error answers: 20 in flight");
	for (uint32_t i = 0; i < 20; i++)
		hostile_tx_rsp(&s->h, 0, id_at(&s->h, i), i & 1 ? -1 : -2);
	hostile_tx_rsp_push(&s->h, 0);
	SCENE(s, scene_survived(s), "error answers: are allowed");
	is(rig_counter(s->real, NF_COUNTER_tx_dropped_error), 20, "error answers: and counted");
	SCENE(s, scene_end(s, false), "error answers: baseline");
}

static void front_rx(struct scene *s)
{
	static const uint32_t ids[] = {1, 255, 256, 65535};
	for (size_t i = 0; i < 4; i++) {
		SCENE(s, scene_back(s, NULL, NULL), "front rx: connected");
		hostile_rx_rsp(&s->h, 0, ids[i], 0, 0, 100);
		hostile_rx_rsp_push(&s->h, 0);
		SCENE(s, scene_refused(s, "rx response id"), "front rx: id %u in slot 0", ids[i]);
		is(rig_counter(s->real, NF_COUNTER_sink_packets), 0,
		   "front rx: nothing went to the port");
		SCENE(s, scene_end(s, i & 1), "front rx: baseline");
	}
}

/* Ids are the front's own business: the back gives back what it was given. */
static void back_ids(struct scene *s)
{
	static const uint32_t ids[] = {7, 7, 65535, 0, 7, 300};
	SCENE(s, scene_front(s, NULL, NULL), "back: connected");
	for (uint32_t i = 0; i < 6; i++)
		hostile_tx(&s->h, 0, s->h.q[0].tx_grefs[i], 0, 0, ids[i], 60);
	hostile_tx_push(&s->h, 0);
	ok(tx_answered(&s->h, 0), "back: duplicate ids are answered");
	bool same = true;
	for (uint32_t i = 0; i < 6; i++)
		same = same && tx_rsp_at(&s->h, 0, i).id == ids[i];
	ok(same, "back: each with its own, in order");
	for (uint32_t i = 0; i < 64; i++)
		hostile_rx_post(&s->h, 0, 9, s->h.q[0].rx_grefs[0]);
	hostile_rx_push(&s->h, 0);
	rig_generate(s->real, NF_GEN_SEND, 100, 30);
	ok(rig_until_counter(s->real, NF_COUNTER_rx_packets, 30, 2000) == 0,
	   "back: one page posted 64 times takes 30 frames");
	rig_generate(s->real, NF_GEN_IDLE, 100, 0);
	SCENE(s, scene_survived(s), "back: goes on");
	SCENE(s, scene_end(s, false), "back: baseline");
}

int main(void)
{
	struct scene s;
	SCENE(&s, scene_open(&s, NF_POLL_EVENT), "the stage");
	front_tx(&s);
	front_early(&s);
	front_errors(&s);
	front_rx(&s);
	back_ids(&s);
	scene_close(&s);
	return done();
}
