/* SPDX-License-Identifier: MIT */
/* What the world may do, and when it makes a difference to the relay. Part of table_run.h. */
#ifndef NF_MODEL_ACTS_H
#define NF_MODEL_ACTS_H

#include "model/world.h"

enum what {
	L2_TX,
	L2_TX_SECOND,
	L2_TX_REAP,
	L2_RX_POST,
	L2_RX_REAP,
	L2_LIE,
	L2_LIE_PUSH,
	L0_TX_TAKE,
	L0_TX_ANSWER,
	L0_TX_NULL,
	L0_RX_TAKE,
	L0_RX_FILL,
	L0_RX_SECOND,
	L0_FORGE_TX,
	L0_FORGE_RX,
	L0_LET_GO,
	KILL,
	RESTART,
	STOP
};

static const char *const what_names[] = {"L2 sends",
					 "L2 sends the second half",
					 "L2 takes answers",
					 "L2 posts a buffer",
					 "L2 takes frames",
					 "L2 writes a word",
					 "L2 publishes",
					 "L0 takes a packet",
					 "L0 answers",
					 "L0 answers an extra",
					 "L0 takes a buffer",
					 "L0 fills",
					 "L0 fills the second half",
					 "L0 makes up an answer",
					 "L0 makes up a frame",
					 "L0 lets go",
					 "the relay is killed",
					 "the relay starts again",
					 "nothing more happens"};

struct act {
	uint8_t what, a, b;
};

struct acts {
	struct act list[UINT8_MAX];
	uint32_t count;
	uint32_t due; /* of them, those that honest ends do not leave undone */
};

static void add(struct acts *to, bool can, enum what what, uint32_t a, uint32_t b)
{
	if (can && to->count < UINT8_MAX - 2)
		to->list[to->count++] = (struct act){(uint8_t)what, (uint8_t)a, (uint8_t)b};
}

static void acts_l2(struct acts *to, bool tx, bool rx)
{
	static const enum shape shapes[] = {ONE, TWO, GSO, HALVES};
	for (uint32_t i = 0; i < 4; i++)
		add(to, tx && l2_tx_can(shapes[i]), L2_TX, shapes[i], 0);
	add(to, tx && world.l2.owes_second, L2_TX_SECOND, 0, 0);
	add(to, tx && l2_reaps(&l2_tx), L2_TX_REAP, 0, 0);
	add(to, rx && l2_rx_can(), L2_RX_POST, 0, 0);
	add(to, rx && l2_reaps(&l2_rx), L2_RX_REAP, 0, 0);
}

static void acts_l0_tx(struct acts *to, uint32_t g)
{
	struct back *b = &world.back[g];
	add(to, l0_tx_can(g), L0_TX_TAKE, g, 0);
	for (uint32_t i = 0; i < b->tx_count; i++)
		add(to, true, L0_TX_ANSWER, g, i);
	add(to, b->tx_nulls > 0, L0_TX_NULL, g, 0);
}

static void acts_l0_rx(struct acts *to, uint32_t g)
{
	static const enum shape shapes[] = {ONE, TWO, GSO, HALVES, ERROR};
	struct back *b = &world.back[g];
	add(to, l0_rx_can(g), L0_RX_TAKE, g, 0);
	for (uint32_t i = 0; i < 5; i++)
		add(to, l0_rx_fills(g, shapes[i]), L0_RX_FILL, g, shapes[i]);
	add(to, b->rx_owes_second && b->rx_count > 0, L0_RX_SECOND, g, 0);
}

/* A back of a connection that is no more. */
static void acts_late(struct acts *to, uint32_t g)
{
	acts_l0_tx(to, g);
	acts_l0_rx(to, g);
	add(to, world.back[g].holds, L0_LET_GO, g, 0);
}

static void acts_push(struct acts *to, bool rx)
{
	bool lies = world.lies_left > 0 && (rx ? scene->rx : scene->tx) > 0;
	add(to, lies, L2_LIE_PUSH, rx, 1);
	add(to, lies, L2_LIE_PUSH, rx, MODEL_SLOTS + 1);
}

static void acts_forge(struct acts *to, bool tx, bool rx)
{
	bool can = world.forged_left > 0 && (scene->kills == 0 || world.now > 0);
	for (uint32_t i = 0; i < FORGED_TX; i++)
		add(to, can && tx && scene->tx > 0, L0_FORGE_TX, i, 0);
	for (uint32_t i = 0; i < FORGED_RX; i++)
		add(to, can && rx && scene->rx > 0, L0_FORGE_RX, i, 0);
}

/*
 * What may happen before the relay touches `at`, of that which makes a difference to it there: acts
 * elsewhere can as well come later, before it touches what they change. A word of a slot it reads
 * is only changed by a liar, as honest ends write to no slot they published.
 */
static void acts_at(struct acts *to, const void *at)
{
	size_t offset = (size_t)((const uint8_t *)at - model_rings.ring[world.now][0]);
	enum model_ring ring = (enum model_ring)(offset / sizeof(model_rings.ring[0][0]));
	size_t word = (offset % sizeof(model_rings.ring[0][0]) - 64) / 4;
	bool is_slot = offset % sizeof(model_rings.ring[0][0]) >= 64, tx = ring == IN_TX;
	to->count = 0;
	if (is_slot && (tx || ring == IN_RX) && world.lies_left > 0) {
		uint32_t first = (uint32_t)word + (tx ? 0 : 3 * MODEL_SLOTS);
		for (uint32_t w = first; w < first + (tx ? 1 : 2); w++) /* rx: two at once */
			for (uint32_t which = 0; which < LIE_VALUES; which++)
				add(to, lie_changes(w, which), L2_LIE, w, which);
	}
	if (is_slot)
		return;
	if (tx || ring == IN_RX) {
		acts_l2(to, tx, !tx);
		acts_push(to, !tx);
	} else if (ring == OUT_TX) {
		acts_l0_tx(to, world.now);
		acts_forge(to, true, false);
	} else {
		acts_l0_rx(to, world.now);
		acts_forge(to, false, true);
	}
}

/* What may happen while the relay sleeps: anything. */
static void acts_asleep(struct acts *to)
{
	to->count = 0;
	acts_l2(to, true, true);
	acts_l0_tx(to, world.now);
	acts_l0_rx(to, world.now);
	to->due = to->count;
	for (uint32_t g = 0; g < world.now; g++)
		acts_late(to, g);
	acts_push(to, false);
	acts_push(to, true);
	acts_forge(to, true, true);
}

static void tell(const struct act *a)
{
	if (explore.is_telling)
		printf("#   %s (%u, %u)\n", what_names[a->what], a->a, a->b);
}

static void do_l0(const struct act *a)
{
	switch ((enum what)a->what) {
	case L0_TX_TAKE:
		l0_tx_take(a->a);
		break;
	case L0_TX_ANSWER:
		l0_tx_answer(a->a, a->b);
		break;
	case L0_TX_NULL:
		l0_tx_null(a->a);
		break;
	case L0_RX_TAKE:
		l0_rx_take(a->a);
		break;
	case L0_RX_FILL:
		l0_rx_fill(a->a, (enum shape)a->b);
		break;
	case L0_RX_SECOND:
		l0_rx_second(a->a);
		break;
	case L0_FORGE_TX:
		forge_tx(a->a);
		break;
	case L0_FORGE_RX:
		forge_rx(a->a);
		break;
	case L0_LET_GO:
		l0_let_go(a->a);
		break;
	default:
		explore_fail("an act without an actor");
	}
}

static void act_do(const struct act *a)
{
	tell(a);
	world.is_env = world.acted = true;
	switch ((enum what)a->what) {
	case L2_TX:
		l2_tx_send((enum shape)a->a);
		break;
	case L2_TX_SECOND:
		l2_tx_second();
		break;
	case L2_TX_REAP:
		l2_tx_reap();
		break;
	case L2_RX_POST:
		l2_rx_post();
		break;
	case L2_RX_REAP:
		l2_rx_reap();
		break;
	case L2_LIE:
		lie(a->a, a->b);
		break;
	case L2_LIE_PUSH:
		lie_push(a->a ? &l2_rx : &l2_tx, a->b);
		break;
	default:
		do_l0(a);
	}
	world.is_env = false;
}

#endif
