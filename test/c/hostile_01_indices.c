/* SPDX-License-Identifier: MIT */
/* HOSTILE.md group 1: producer indices that jump, run backwards or claim what was never asked. */
#include "hostile.h"

static const struct claim {
	const char *what;
	uint32_t ahead; /* of the honest index */
} claims[] = {
	{"one past the ring", 257},
	{"backwards", 0xffffffffu},
	{"a ring backwards", 0xffffff00u},
	{"half the range", 0x80000000u},
	{"almost the whole range", 0xfffffffeu},
};
#define CLAIMS (sizeof(claims) / sizeof(claims[0]))

static void back_tx(struct scene *s)
{
	for (size_t i = 0; i < CLAIMS; i++) {
		SCENE(s, scene_front(s, NULL, NULL), "back tx: connected");
		for (uint32_t k = 0; k < 10; k++)
			hostile_tx_frame(&s->h, 0, k, 60);
		hostile_tx_push(&s->h, 0);
		ok(tx_answered(&s->h, 0), "back tx: honest frames are answered first");
		hostile_poke(&s->h, 0, 't', 0, s->h.q[0].tx_prod + claims[i].ahead);
		hostile_kick(&s->h, 0);
		SCENE(s, scene_refused(s, "tx req_prod"), "back tx: req_prod %s", claims[i].what);
		is(hostile_peek(&s->h, 0, 't', 2), s->h.q[0].tx_prod,
		   "back tx: nothing more was answered");
		ok(rig_counter(s->real, NF_COUNTER_protocol_errors) == 1, "back tx: counted once");
		SCENE(s, scene_end(s, i & 1), "back tx: baseline");
	}
}

static void back_rx(struct scene *s)
{
	for (size_t i = 0; i < CLAIMS; i++) {
		SCENE(s, scene_front(s, NULL, NULL), "back rx: connected");
		for (uint32_t k = 0; k < 10; k++)
			hostile_rx_post(&s->h, 0, k, s->h.q[0].rx_grefs[k]);
		hostile_rx_push(&s->h, 0);
		hostile_linger(&s->h, 2);
		/* the ten are unanswered, so ring - 10 is what is left */
		hostile_poke(&s->h, 0, 'r', 0, s->h.q[0].rx_prod + claims[i].ahead - 10);
		hostile_kick(&s->h, 0);
		SCENE(s, scene_refused(s, "rx req_prod"), "back rx: req_prod %s", claims[i].what);
		SCENE(s, scene_end(s, i & 1), "back rx: baseline");
	}
}

/* The front writes the indices that are the back's own: it may fool itself only. */
static void back_own_words(struct scene *s)
{
	static const uint32_t junk[] = {1, 5, 256, 257, 0x7fffffffu, 0xffffffffu};
	SCENE(s, scene_front(s, NULL, NULL), "own words: connected");
	for (uint32_t i = 0; i < 6; i++) {
		hostile_poke(&s->h, 0, 't', 2, junk[i]);
		hostile_poke(&s->h, 0, 'r', 2, junk[i]);
		hostile_tx_frame(&s->h, 0, i, 60);
		hostile_tx_push(&s->h, 0);
		hostile_linger(&s->h, 5);
	}
	ok(tx_answered(&s->h, 0), "own words: the back knows its own producer");
	SCENE(s, scene_survived(s), "own words: and goes on");
	SCENE(s, scene_end(s, false), "own words: baseline");
}

/* Words that a front leaves in the ring before the back attaches. */
static void back_dirty_start(struct scene *s)
{
	SCENE(s, scene_prepare(s, false, NULL, NULL), "dirty start: opened");
	hostile_poke(&s->h, 0, 't', 0, 0x80000000u);
	hostile_poke(&s->h, 0, 't', 2, 0x12345678u);
	hostile_poke(&s->h, 0, 'r', 2, 0xfffffff0u);
	if (hostile_front_connect(&s->h) == 0)
		hostile_kick(&s->h, 0);
	SCENE(s, scene_refused(s, "tx req_prod"), "dirty start: refused");
	SCENE(s, scene_end(s, true), "dirty start: baseline");
}

static void back_ctrl(struct scene *s)
{
	static const uint32_t ahead[] = {129, 0xffffffffu, 0x80000000u};
	for (size_t i = 0; i < 3; i++) {
		SCENE(s, scene_front(s, NULL, NULL), "back ctrl: connected");
		hostile_poke(&s->h, 0, 'c', 0, s->h.ctrl_prod + ahead[i]);
		(void)s->h.layer->ops->chan_notify(&s->h.ctrl_chan);
		SCENE(s, scene_refused(s, "ctrl req_prod"), "back ctrl: req_prod %#x ahead",
		      ahead[i]);
		SCENE(s, scene_end(s, i & 1), "back ctrl: baseline");
	}
}

static void front_rings(struct scene *s, char ring, const char *text)
{
	/* nothing of tx is in flight; of rx all 256 buffers are */
	static const uint32_t ahead[2][3] = {{1, 0xffffffffu, 0x80000000u},
					     {257, 0xffffffffu, 0x80000000u}};
	for (size_t i = 0; i < 3; i++) {
		SCENE(s, scene_back(s, NULL, NULL), "front %s: connected", text);
		hostile_poke(&s->h, 0, ring, 2, ahead[ring == 'r'][i]);
		hostile_kick(&s->h, 0);
		SCENE(s, scene_refused(s, text), "front: %s %#x ahead", text,
		      ahead[ring == 'r'][i]);
		SCENE(s, scene_end(s, i & 1), "front %s: baseline", text);
	}
}

static void front_ctrl(struct scene *s)
{
	SCENE(s, scene_back(s, NULL, NULL), "front ctrl: connected");
	hostile_poke(&s->h, 0, 'c', 2, s->h.ctrl_cons + 1);
	(void)s->h.layer->ops->chan_notify(&s->h.ctrl_chan);
	SCENE(s, scene_refused(s, "ctrl rsp_prod"), "front ctrl: an answer nobody asked for");
	SCENE(s, scene_end(s, false), "front ctrl: baseline");
}

int main(void)
{
	struct scene s;
	SCENE(&s, scene_open(&s, NF_POLL_EVENT), "the stage");
	back_tx(&s);
	back_rx(&s);
	back_own_words(&s);
	back_dirty_start(&s);
	back_ctrl(&s);
	front_rings(&s, 't', "tx rsp_prod");
	front_rings(&s, 'r', "rx rsp_prod");
	front_ctrl(&s);
	scene_close(&s);
	return done();
}
