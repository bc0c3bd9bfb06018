/* SPDX-License-Identifier: MIT */
/*
 * Who stands around the relay in table.h: L2's front, L0's back of each connection, and who hands
 * out pages. Each act is one step that may come between any two accesses of the relay's. They say
 * with explore_fail() what nobody may ever see.
 */
#ifndef NF_MODEL_WORLD_H
#define NF_MODEL_WORLD_H

#include "model/table.h"

#define PAGES (4u * MODEL_SLOTS)	       /* of the machine: two connections' */
#define POSTS 8u			       /* of a connection and direction, at most */
#define HANDS (MODEL_SLOTS + 4u)	       /* who answers before it is done has more to do */
#define TX_NAME(i) (1000u + MODEL_SLOTS - (i)) /* L2's numbers; rx ones are beyond the array */
#define RX_NAME(i) (20000u + 3u * (i))
#define OUTER_TX 0x5000u /* + page */
#define OUTER_RX 0x7000u
#define SIBLING 0x6000u

enum shape { ONE = 1, TWO = 2, GSO = 4, HALVES = 8, ERROR = 16 };

/* What may happen in an execution, and how often. */
struct scene {
	const char *name;
	uint8_t tx, rx;	      /* frames L2 sends, buffers it posts; again after a restart */
	uint8_t shapes;	      /* of frames, either way */
	uint8_t lies, forged; /* words L2 writes where it likes; responses L0 makes up */
	uint8_t kills;	      /* of the relay, each with a restart */
};

enum did { NOTHING, ASKED, OUTSIDE, DONE };

struct l2 {
	uint8_t tx_posts, rx_posts, tx_extras, owes_second;
	uint8_t tx_did[POSTS], tx_page[POSTS]; /* by order of posting */
	uint8_t rx_did[POSTS], rx_page[POSTS];
	uint8_t rx_seen;
};

struct back {
	bool holds; /* its mappings of the connection's pages */
	uint8_t tx_taken, tx_nulls, rx_taken, rx_answered, rx_owes_second;
	uint8_t tx_hand[HANDS], tx_post[HANDS], tx_count; /* outer ids, whose post */
	uint8_t rx_hand[HANDS], rx_count;		  /* pages it writes to */
	uint64_t rx_said[POSTS];
};

/* All of it decides what happens next: no pointers, and padding stays zero. */
static struct {
	uint8_t now; /* the connection */
	bool runs, sleeps, is_woken, is_env, acted;
	uint8_t tx_left, rx_left, lies_left, forged_left, kills_left;
	uint8_t page[MODEL_GENERATIONS][2][MODEL_SLOTS]; /* tx, rx */
	struct l2 l2;
	struct back back[MODEL_GENERATIONS];
} world;

static const struct scene *scene;
static struct nf__queue queue;
static struct nf_back_rings in;
static struct nf_front_rings out;
static struct nf_counters counters;
static struct nf_layer layer;
static struct nf_gref_map *names; /* L2 lists the same numbers each time */
static struct nf_ring_front l2_tx, l2_rx;
static struct nf_ring_back l0_tx[MODEL_GENERATIONS], l0_rx[MODEL_GENERATIONS];

static int model_notify(struct nf_chan *c)
{
	(void)c;
	return 0; /* whether the ends' notifications are enough is model_ring's */
}

static const struct nf_layer_ops layer_ops = {.kind = "model", .chan_notify = model_notify};

static bool may_forge(void)
{
	return scene->forged > 0;
}

static bool is_in_use(uint32_t page)
{
	for (uint32_t g = 0; g < MODEL_GENERATIONS; g++) {
		bool live = g == world.now || (world.back[g].holds && model_mutant != HELD_REUSED);
		for (uint32_t i = 0; i < 2 * MODEL_SLOTS && live; i++)
			if (world.page[g][i / MODEL_SLOTS][i % MODEL_SLOTS] == page + 1)
				return true;
	}
	return false;
}

/* The worst of all allocators: what was given back last is handed out first. */
static void pages_take(void)
{
	memset(world.page[world.now], 0, sizeof(world.page[0]));
	for (uint32_t i = 0; i < 2 * MODEL_SLOTS; i++) {
		uint32_t page = 0;
		while (is_in_use(page))
			page++;
		if (page >= PAGES)
			explore_fail("no page left: the model is too small");
		uint8_t *to = &world.page[world.now][i / MODEL_SLOTS][i % MODEL_SLOTS];
		*to = (uint8_t)(page + 1);
		(i < MODEL_SLOTS ? out.tx_grefs : out.rx_grefs)[i % MODEL_SLOTS] =
			(i < MODEL_SLOTS ? OUTER_TX : OUTER_RX) + page;
	}
}

static void *ring_at(enum model_ring which)
{
	return model_rings.ring[world.now][which];
}

/* What relay, L2 and L0 do when they connect. */
static void connect(void)
{
	const size_t tx = 64 + MODEL_SLOTS * 12, rx = 64 + MODEL_SLOTS * 8;
	uint32_t g = world.now;
	memset(&world.l2, 0, sizeof(world.l2));
	nf_ring_front_init(&l2_tx, ring_at(IN_TX), tx, 12);
	nf_ring_front_init(&l2_rx, ring_at(IN_RX), rx, 8);
	nf_ring_front_init(&out.tx, ring_at(OUT_TX), tx, 12);
	nf_ring_front_init(&out.rx, ring_at(OUT_RX), rx, 8);
	nf_ring_back_init(&in.tx, ring_at(IN_TX), tx, 12, 0);
	nf_ring_back_init(&in.rx, ring_at(IN_RX), rx, 8, 0);
	nf_ring_back_init(&l0_tx[g], ring_at(OUT_TX), tx, 12, 0);
	nf_ring_back_init(&l0_rx[g], ring_at(OUT_RX), rx, 8, 0);
	pages_take();
	world.back[g].holds = true;
	world.tx_left = scene->tx;
	world.rx_left = scene->rx;
	world.runs = true;
	world.sleeps = world.is_woken = false;
	in.grefs = names;
	queue.in = &in;
	queue.out = &out;
	queue.counters = &counters;
	queue.tx = queue.rx = (struct nf__direction){.sg = true, .gso4 = true};
	if (nf__queue_init(&queue, NF_RELAY_TRANSLATE) != 0)
		explore_fail("the queue does not start");
}

static void world_open(void)
{
	if (nf__gref_map_new(&names) != 0)
		abort();
	for (uint32_t i = 0; i < MODEL_SLOTS; i++)
		if (nf__gref_map_add(names, TX_NAME(i), NULL, false) != 0 ||
		    nf__gref_map_add(names, RX_NAME(i), NULL, true) != 0)
			abort();
	layer = (struct nf_layer){.ops = &layer_ops};
	struct nf_chan *chans[] = {&in.tx_chan, &in.rx_chan, &out.tx_chan, &out.rx_chan};
	for (int i = 0; i < 4; i++)
		*chans[i] = (struct nf_chan){.layer = &layer, .fd = 1};
}

static void world_reset(void)
{
	memset(&model_rings, 0, sizeof(model_rings));
	memset(&world, 0, sizeof(world));
	memset(&queue, 0, sizeof(queue));
	world.lies_left = scene->lies;
	world.forged_left = scene->forged;
	world.kills_left = scene->kills;
	connect();
}

static uint64_t index_hash(uint64_t h, const struct nf_ring_front *f, const struct nf_ring_back *b)
{
	h = explore_mix(h, (uint64_t)f->req_prod << 32 | f->rsp_cons);
	return explore_mix(h, (uint64_t)b->rsp_prod << 32 | b->req_cons);
}

/* What the relay keeps between two passes. */
static uint64_t relay_hash(void)
{
	uint64_t h = explore_hash(1, &queue, sizeof(queue));
	return index_hash(index_hash(h, &out.tx, &in.tx), &out.rx, &in.rx);
}

static uint64_t world_hash(uint64_t h)
{
	h = explore_hash(explore_hash(h, &model_rings, sizeof(model_rings)), &world, sizeof(world));
	h = index_hash(index_hash(h, &l2_tx, &l0_tx[0]), &l2_rx, &l0_rx[0]);
	return index_hash(index_hash(h, &l2_tx, &l0_tx[1]), &l2_rx, &l0_rx[1]);
}

/* The other end told the relay, if it asked to be told. */
static void told(bool notify)
{
	if (notify)
		world.is_woken = true;
}

#include "model/world_l0.h"
#include "model/world_l2.h"

#endif
