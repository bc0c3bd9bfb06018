/* SPDX-License-Identifier: MIT */
/*
 * Group 19 for disks: a hostile L2 and a hostile L0 against the relay in translate. Whatever L2
 * writes, L0 sees only requests it has nothing to complain about, within L2's window.
 */
#include "blk_nest.h"

#define START 8192u
#define SECTORS 4096u

static struct blkhostile h;

static void relay_turn(void)
{
	for (int i = 0; i < 2; i++)
		if (relay[i])
			(void)nf_blk_relay_step(relay[i]);
}

static void both_turn(void)
{
	blkrig_turn(&outer);
	relay_turn();
}

/* Bytes that are not L2's. */
static void guard_fill(void)
{
	memset(blkgate_bytes(&gate), 0xee, BYTES);
	memset(blkgate_bytes(&gate) + (size_t)START * 512, 0, (size_t)SECTORS * 512);
}

static bool guard_holds(void)
{
	const uint8_t *bytes = blkgate_bytes(&gate);
	for (size_t i = 0; i < BYTES; i++) {
		bool is_inside = i >= (size_t)START * 512 && i < (size_t)(START + SECTORS) * 512;
		if (!is_inside && bytes[i] != 0xee)
			return false;
	}
	return true;
}

static bool begin(const char *what)
{
	const struct blkhostile_options opt = {.registered = true};
	l0_open(false);
	guard_fill();
	mem_vbd_create(&inner_vbd[0], inner_rig.w, 2, 0, 7);
	pool_pages = BH_PAGES; /* L2 takes its donations */
	int rc = relay_open(0, NF_RELAY_TRANSLATE, START, SECTORS);
	inner.also = both_turn;
	for (int i = 0; rc == 0 && i < 20000 && relay[0]->state != NF__BLK_OFFERED; i++)
		blkrig_linger(&inner, 1);
	if (rc == 0)
		rc = bh_front_open(&h, &inner, 2, 7, &opt);
	if (rc == 0)
		rc = bh_front_connect(&h);
	return is(rc, 0, "%s: connected", what);
}

static void end(const char *what)
{
	is(blkrig_counter(l0, NF_COUNTER_blk_refused), 0, "%s: L0 had nothing to refuse", what);
	is(blkrig_counter(l0, NF_COUNTER_protocol_errors), 0, "%s: nor to complain of", what);
	ok(guard_holds(), "%s: nothing outside the window was written", what);
	inner.also = NULL;
	all_close(); /* what it maps goes before the pages do */
	bh_close(&h);
	mem_vbd_remove(&inner_vbd[0]);
}

static int ask(uint8_t op, uint64_t sector, uint32_t gref, uint8_t first, uint8_t last)
{
	union nf_blk_slot slot;
	bh_rw(&slot, &h, op, 5, sector, 0, 1);
	if (gref)
		slot.rw.seg[0].gref = gref;
	slot.rw.seg[0].first_sect = first;
	slot.rw.seg[0].last_sect = last;
	return bh_ask(&h, &slot);
}

static int discard(uint64_t sector, uint64_t sectors)
{
	union nf_blk_slot slot = {.discard = {.operation = NF_BLK_DISCARD,
					      .id = 6,
					      .sector_number = sector,
					      .nr_sectors = sectors}};
	return bh_ask(&h, &slot);
}

static int indirect(uint16_t segments, uint8_t op, uint32_t list)
{
	union nf_blk_slot slot = {.indirect = {.operation = NF_BLK_INDIRECT,
					       .indirect_op = op,
					       .nr_segments = segments,
					       .id = 7,
					       .indirect_grefs = {list}}};
	return bh_ask(&h, &slot);
}

static void window(void)
{
	const int bad = NF_BLKIF_RSP_ERROR;
	if (!begin("window"))
		return;
	is(ask(NF_BLK_WRITE, 0, 0, 0, 7), 0, "its first sectors");
	is(ask(NF_BLK_WRITE, SECTORS - 8, 0, 0, 7), 0, "its last");
	is(ask(NF_BLK_WRITE, SECTORS - 7, 0, 0, 7), bad, "one beyond");
	is(ask(NF_BLK_WRITE, SECTORS, 0, 0, 7), bad, "its neighbour's");
	is(ask(NF_BLK_READ, UINT64_MAX, 0, 0, 7), bad, "the last number there is");
	is(ask(NF_BLK_WRITE, UINT64_MAX - START + 1, 0, 0, 7), bad, "one that wraps to L1's");
	is(discard(0, SECTORS), 0, "all of it is discarded");
	is(discard(0, SECTORS + 1), bad, "not more");
	is(discard(UINT64_MAX - 8, 16), bad, "nor around the end");
	struct nf_blkif_segment *seg = (void *)h.lists.base;
	for (uint32_t i = 0; i < 64; i++)
		seg[i] = (struct nf_blkif_segment){.gref = h.grefs[i], .last_sect = 7};
	is(indirect(64, NF_BLK_WRITE, h.list_grefs[0]), 0, "64 segments");
	is(indirect(65, NF_BLK_WRITE, h.list_grefs[0]), bad, "65");
	is(indirect(0, NF_BLK_WRITE, h.list_grefs[0]), bad, "none");
	is(indirect(64, NF_BLK_DISCARD, h.list_grefs[0]), bad, "a discard inside");
	is(indirect(12, NF_BLK_READ, 3), bad, "a list nobody granted");
	end("window");
}

static void names(void)
{
	const int bad = NF_BLKIF_RSP_ERROR;
	if (!begin("names"))
		return;
	struct nf_blkfront_rings *out = nf_blkfront_rings(relay[0]->outer, 0);
	const uint32_t lies[] = {1,
				 7,
				 0xffffffffu,
				 0x7fffffff,
				 h.ring_gref,
				 h.table_gref,
				 h.grefs[BH_PAGES - 1] + 40000};
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		is(ask(NF_BLK_WRITE, 0, lies[i], 0, 7), bad, "gref %u", lies[i]);
	/* L1's own outer numbers mean L2's pages of that number inside, or nothing */
	int rc = ask(NF_BLK_WRITE, 0, out->table_grefs[0] + 100000, 0, 7);
	is(rc, bad, "a number only L1 knows");
	is(ask(NF_BLK_WRITE, 0, 0, 0, 8), bad, "a segment out of its page");
	is(ask(NF_BLK_WRITE, 0, 0, 5, 2), bad, "one that ends before it begins");
	is(ask(9, 0, 0, 0, 7), NF_BLKIF_RSP_EOPNOTSUPP, "an operation nobody has");
	end("names");
}

static void indices(void)
{
	if (!begin("indices"))
		return;
	h.prod = 0x80000000u;
	bh_push(&h);
	for (int i = 0; i < 20000 && !strstr(said, "protocol error"); i++)
		turn();
	ok(strstr(said, "req_prod") != NULL, "the relay says so: %s", said);
	end("indices");
}

struct racer {
	uint32_t stop;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	uint32_t *ring = (uint32_t *)(void *)h.ring.base + 16, x = 9;
	while (!nf_load_acquire(&r->stop)) {
		x = x * 1664525u + 1013904223u;
		nf_store_relaxed(&ring[(x >> 4) % 900], x);
		nf_store_relaxed((uint32_t *)(void *)h.lists.base + (x >> 9) % 1024, x);
	}
	return NULL;
}

/* Everything the relay looks at changes while it looks. */
static void double_fetch(void)
{
	struct racer r = {0};
	pthread_t thread;
	if (!begin("double fetch"))
		return;
	pthread_create(&thread, NULL, race, &r);
	int rc = 0;
	for (uint32_t i = 0; i < 1000 && rc == 0; i++) {
		union nf_blk_slot slot;
		bh_rw(&slot, &h, i & 1, i, i, 0, 11);
		if (i % 3 == 0)
			slot.indirect = (struct nf_blkif_indirect){
				.operation = NF_BLK_INDIRECT,
				.indirect_op = NF_BLK_WRITE,
				.nr_segments = 60,
				.id = i,
				.indirect_grefs = {h.list_grefs[0]}};
		bh_put(&h, &slot);
		bh_push(&h);
		rc = bh_answers(&h, h.prod, NULL);
	}
	nf_store_release(&r.stop, 1);
	pthread_join(thread, NULL);
	is(rc, 0, "double fetch: every request was answered");
	end("double fetch");
}

/* L0 answers what nobody asked: the connection ends, L2's request waits for a better L0. */
static void hostile_l0(void)
{
	const struct blkhostile_options opt = {.registered = true};
	struct iovec v = {.iov_base = data[0], .iov_len = 4096};
	struct nf_blkreq r = {
		.op = NF_BLKOP_WRITE, .sector = 8, .sectors = 8, .segs = &v, .nsegs = 1};
	struct blkhostile l0_lies;
	pool_pages = 0;
	said[0] = '\0';
	mem_vbd_create(&outer_vbd, outer_rig.w, 1, 0, 0);
	is(bh_back_open(&l0_lies, &outer, 0, 1, 0, &opt), 0, "hostile L0: offers");
	l2_open(0);
	is(relay_open(0, NF_RELAY_TRANSLATE, 0, 0), 0, "hostile L0: opened");
	outer.also = relay_turn;
	inner.also = NULL;
	for (int i = 0; i < 20000 && relay[0]->state != NF__BLK_RELEASED; i++)
		turn();
	is(bh_back_connect(&l0_lies), 0, "hostile L0: connects");
	is(until(l2[0], NF_BLK_RUNNING), 0, "hostile L0: L2 runs");
	memset(data[0], 0x5a, 4096);
	blkrig_post(&inner, l2[0], 0, &r, 1);
	for (int i = 0; i < 20000 && nf_load_acquire(&l0_lies.shared->req_prod) == 0; i++)
		turn();
	bh_rsp(&l0_lies, 400, NF_BLK_WRITE, 0);
	bh_push(&l0_lies);
	for (int i = 0; i < 20000 && !strstr(said, "protocol error"); i++)
		turn();
	ok(strstr(said, "not in flight") != NULL, "hostile L0: %s", said);
	is(blkrig_result(l2[0], 0, &r), 1, "hostile L0: L2's request waits");
	bh_state(&l0_lies, NF_XENBUS_CLOSED);
	linger(100);
	bh_close(&l0_lies);
	outer.also = NULL;
	const struct nf_blk_config cfg = {.disk = &gate.disk};
	l0 = blkrig_back(&outer, &outer_vbd, &cfg, NULL);
	is(wait_all(l2[0], &r, 1), 0, "hostile L0: an honest one answers it");
	is(blkrig_result(l2[0], 0, &r), 0, "hostile L0: well");
	is(blkgate_bytes(&gate)[8 * 512], 0x5a, "hostile L0: written");
	all_close();
}

int main(void)
{
	nest_open();
	window();
	names();
	indices();
	double_fetch();
	hostile_l0();
	nest_close();
	return done();
}
