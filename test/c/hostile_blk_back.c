/* SPDX-License-Identifier: MIT */
/* A hostile front against blkback: groups 1 to 5, 9, 10, 13, 16 and 18 of the list of lies. */
#include "tap.h"

#include "../peer/blkhostile.h"

static struct blkscene s;

static void begin(const struct blkhostile_options *opt, const struct nf_blk_config *real,
		  const char *what)
{
	if (!ok(blkscene_front(&s, opt, real), "%s: connected", what))
		diag("%s", s.why);
}

static void end(const char *what)
{
	if (!ok(blkscene_end(&s, false), "%s: nothing is left", what))
		diag("%s", s.why);
}

static void refused(const char *text, const char *what)
{
	if (!ok(blkscene_refused(&s, text), "%s: the device is stopped", what))
		diag("%s", s.why);
	end(what);
}

static void survived(const char *what)
{
	if (!ok(blkscene_survived(&s), "%s: it goes on", what))
		diag("%s", s.why);
}

/* 1: producers that cannot be. */
static void indices(void)
{
	static const uint32_t jumps[] = {33, 0x7fffffff, 0x80000000u, 0xffffffffu, 1000};
	for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		begin(NULL, NULL, "req_prod jumps");
		s.h.prod = jumps[i];
		bh_push(&s.h);
		refused("req_prod", "req_prod jumps");
	}
	begin(NULL, NULL, "req_prod runs backwards");
	union nf_blk_slot slot;
	bh_rw(&slot, &s.h, NF_BLK_READ, 1, 0, 0, 1);
	is(bh_ask(&s.h, &slot), 0, "an honest read");
	s.h.prod = 0;
	bh_push(&s.h);
	refused("req_prod", "req_prod runs backwards");
}

/* 2, 13: event indices and notifications of every kind. */
static void events(void)
{
	static const uint32_t lies[] = {0, 1, 0x7fffffff, 0x80000000u, 0xffffffffu};
	union nf_blk_slot slot;
	begin(NULL, NULL, "rsp_event anywhere");
	for (uint32_t i = 0; i < 200; i++) {
		nf_store_relaxed(&s.h.shared->rsp_event, lies[i % 5]);
		nf_store_relaxed(&s.h.shared->req_event, lies[(i + 2) % 5]);
		bh_rw(&slot, &s.h, NF_BLK_READ, i, i % 100, 0, 1);
		if (bh_ask(&s.h, &slot) != 0) {
			ok(false, "request %u was not answered", i);
			break;
		}
	}
	survived("rsp_event anywhere");
	for (uint32_t i = 0; i < 20000; i++)
		bh_kick(&s.h);
	bh_rw(&slot, &s.h, NF_BLK_WRITE, 5, 8, 0, 1);
	is(bh_ask(&s.h, &slot), 0, "answered after 20,000 empty notifications");
	survived("a storm of events");
	end("events");
}

static int op_status(uint8_t op, uint8_t segments, uint64_t sector)
{
	union nf_blk_slot slot;
	bh_rw(&slot, &s.h, op, 77, sector, 0, segments > 11 ? 11 : segments);
	slot.rw.nr_segments = segments;
	return bh_ask(&s.h, &slot);
}

static int discard_status(uint64_t sector, uint64_t sectors, uint8_t flag)
{
	union nf_blk_slot slot = {.discard = {.operation = NF_BLK_DISCARD,
					      .flag = flag,
					      .id = ~0ull,
					      .sector_number = sector,
					      .nr_sectors = sectors}};
	return bh_ask(&s.h, &slot);
}

static int segment_status(uint8_t first, uint8_t last)
{
	union nf_blk_slot slot;
	bh_rw(&slot, &s.h, NF_BLK_READ, 3, 0, 0, 1);
	slot.rw.seg[0].first_sect = first;
	slot.rw.seg[0].last_sect = last;
	return bh_ask(&s.h, &slot);
}

/* 10: sectors and segments. 16 MiB: 32768 sectors. */
static void ranges(void)
{
	const int bad = NF_BLKIF_RSP_ERROR;
	begin(NULL, NULL, "ranges");
	is(op_status(NF_BLK_READ, 1, 32760), 0, "the last page can be read");
	is(op_status(NF_BLK_READ, 1, 32761), bad, "one sector further cannot");
	is(op_status(NF_BLK_WRITE, 1, 32768), bad, "nor written");
	is(op_status(NF_BLK_WRITE, 1, UINT64_MAX), bad, "sector + count overflows");
	is(op_status(NF_BLK_READ, 2, UINT64_MAX - 7), bad, "it wraps to 8");
	is(op_status(NF_BLK_READ, 0, 0), bad, "no segment");
	for (uint32_t n = 12; n < 256; n += 27)
		is(op_status(NF_BLK_READ, (uint8_t)n, 0), bad, "%u segments", n);
	is(op_status(4, 1, 0), NF_BLKIF_RSP_EOPNOTSUPP, "operation 4");
	is(op_status(255, 1, 0), NF_BLKIF_RSP_EOPNOTSUPP, "operation 255");
	is(segment_status(0, 8), bad, "last_sect 8");
	is(segment_status(0, 255), bad, "last_sect 255");
	is(segment_status(5, 4), bad, "first_sect after last_sect");
	is(segment_status(7, 7), 0, "one sector at the end of a page");
	is(discard_status(0, 32768, 0), 0, "all of it can be discarded");
	is(discard_status(0, 32769, 0), bad, "one more cannot");
	is(discard_status(32768, 1, 0), bad, "behind the end");
	is(discard_status(UINT64_MAX, 2, 0), bad, "it overflows");
	is(discard_status(1, UINT64_MAX, 0), bad, "so does this");
	is(discard_status(0, 0, 0), bad, "nothing");
	survived("ranges");
	end("ranges");
}

/* 10: a disk of 4096-byte sectors, in units of 512. */
static void blk_unaligned_sector_range(void)
{
	const struct nf_blk_config real = {.sector_bytes = 4096};
	begin(NULL, &real, "blk_unaligned_sector_range");
	is(op_status(NF_BLK_READ, 1, 8), 0, "blk_unaligned_sector_range: a sector");
	is(op_status(NF_BLK_READ, 1, 4), NF_BLKIF_RSP_ERROR,
	   "blk_unaligned_sector_range: half of two");
	is(segment_status(0, 3), NF_BLKIF_RSP_ERROR, "blk_unaligned_sector_range: half of one");
	is(discard_status(8, 12, 0), NF_BLKIF_RSP_ERROR, "blk_unaligned_sector_range: discard");
	survived("blk_unaligned_sector_range");
	end("blk_unaligned_sector_range");
}

static void read_only(void)
{
	const struct nf_blk_config real = {.readonly = true};
	begin(NULL, &real, "read-only");
	is(op_status(NF_BLK_READ, 1, 0), 0, "a read");
	is(op_status(NF_BLK_WRITE, 1, 0), NF_BLKIF_RSP_ERROR, "a write");
	is(op_status(NF_BLK_BARRIER, 1, 0), NF_BLKIF_RSP_ERROR, "a barrier with data");
	is(discard_status(0, 8, 0), NF_BLKIF_RSP_ERROR, "a discard");
	survived("read-only");
	end("read-only");
}

static int indirect_status(uint8_t op, uint16_t segments, uint32_t list_gref)
{
	union nf_blk_slot slot = {.indirect = {.operation = NF_BLK_INDIRECT,
					       .indirect_op = op,
					       .nr_segments = segments,
					       .id = 9,
					       .handle = 0xffff,
					       .indirect_grefs = {list_gref}}};
	return bh_ask(&s.h, &slot);
}

static void lists_fill(void)
{
	struct nf_blkif_segment *seg = (void *)s.h.lists.base;
	for (uint32_t i = 0; i < 8 * 512; i++)
		seg[i] = (struct nf_blkif_segment){.gref = s.h.grefs[i % BH_PAGES], .last_sect = 7};
}

/* 9 */
static void indirect(bool is_registered)
{
	const struct blkhostile_options opt = {.registered = is_registered};
	const int bad = NF_BLKIF_RSP_ERROR;
	begin(&opt, NULL, "indirect");
	lists_fill();
	is(indirect_status(NF_BLK_READ, 64, s.h.list_grefs[0]), 0, "64 segments");
	is(indirect_status(NF_BLK_WRITE, 12, s.h.list_grefs[0]), 0, "12 segments");
	is(indirect_status(NF_BLK_READ, 0, s.h.list_grefs[0]), bad, "none");
	is(indirect_status(NF_BLK_READ, 65, s.h.list_grefs[0]), bad, "one too many");
	is(indirect_status(NF_BLK_READ, 65535, s.h.list_grefs[0]), bad, "65,535");
	is(indirect_status(NF_BLK_BARRIER, 12, s.h.list_grefs[0]), bad, "a barrier inside");
	is(indirect_status(NF_BLK_INDIRECT, 12, s.h.list_grefs[0]), bad, "an indirect inside");
	is(indirect_status(NF_BLK_READ, 12, 0), bad, "a list nobody granted");
	is(indirect_status(NF_BLK_READ, 12, 0xfffffffe), bad, "one of no number");
	struct nf_blkif_segment *seg = (void *)s.h.lists.base;
	seg[11].gref = 7777777;
	is(indirect_status(NF_BLK_READ, 12, s.h.list_grefs[0]), bad, "a gref in it that is none");
	seg[11] = (struct nf_blkif_segment){.gref = s.h.grefs[0], .first_sect = 3, .last_sect = 2};
	is(indirect_status(NF_BLK_READ, 12, s.h.list_grefs[0]), bad, "a segment that ends early");
	survived("indirect");
	end("indirect");
}

/* 5 and 18 */
static void grefs(const struct blkhostile_options *opt, const struct nf_blk_config *real,
		  const char *what)
{
	union nf_blk_slot slot;
	begin(opt, real, what);
	const uint32_t lies[] = {0, 1, 7, 0xffffffffu, 123456789, s.h.ring_gref + 5000};
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		bh_rw(&slot, &s.h, i % 2 ? NF_BLK_READ : NF_BLK_WRITE, i, 0, 0, 3);
		slot.rw.seg[1].gref = lies[i];
		is(bh_ask(&s.h, &slot), NF_BLKIF_RSP_ERROR, "%s: gref %u", what, lies[i]);
	}
	bh_rw(&slot, &s.h, NF_BLK_WRITE, 1, 0, 0, 1);
	slot.rw.seg[0].gref = s.h.ring_gref;
	int rc = bh_ask(&s.h, &slot);
	ok(rc == 0 || rc == NF_BLKIF_RSP_ERROR, "%s: the ring's own page: its bytes, its affair",
	   what);
	survived(what);
	/* revoked under its feet: what is mapped stays what it was, the rest fails */
	mem_world_revoke(s.r.w, 1, s.h.grefs[60]);
	bh_rw(&slot, &s.h, NF_BLK_WRITE, 2, 0, 60, 1);
	rc = bh_ask(&s.h, &slot);
	ok(rc == 0 || rc == NF_BLKIF_RSP_ERROR, "%s: a revoked page", what);
	survived(what);
	end(what);
}

/* 12: registrations that lie. */
static void registration(void)
{
	static const uint32_t counts[] = {1000, 2304};
	for (int i = 0; i < 2; i++) {
		struct blkhostile_options opt = {.registered = true, .registered_lie = counts[i]};
		blkscene_front(&s, &opt, NULL); /* never connects */
		if (!ok(blkscene_refused(&s, "mapping"), "%u registered of 72", counts[i]))
			diag("%s", s.why);
		end("a registration that lies");
	}
}

struct racer {
	union nf_blk_slot *slot;
	uint32_t stop;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	uint32_t *shared = (uint32_t *)(void *)s.h.ring.base + 16, x = 1;
	while (!nf_load_acquire(&r->stop)) {
		x = x * 1664525u + 1013904223u;
		nf_store_relaxed(&shared[x % 900], x);
		nf_store_relaxed((uint32_t *)(void *)s.h.lists.base + (x >> 8) % 1024, x);
	}
	return NULL;
}

/* 3: everything the back may look at changes all the while. */
static void double_fetch(void)
{
	const struct blkhostile_options opt = {.registered = true};
	struct racer r = {0};
	pthread_t thread;
	union nf_blk_slot slot;
	begin(&opt, NULL, "double fetch");
	lists_fill();
	pthread_create(&thread, NULL, race, &r);
	int lost = 0;
	for (uint32_t i = 0; i < 600 && !lost; i++) {
		bh_rw(&slot, &s.h, i & 1, i, i, 0, 11);
		if (i % 3 == 0) {
			slot.indirect = (struct nf_blkif_indirect){
				.operation = NF_BLK_INDIRECT,
				.nr_segments = 64,
				.id = i,
				.indirect_grefs = {s.h.list_grefs[0]}};
		}
		bh_put(&s.h, &slot);
		bh_push(&s.h);
		lost = bh_answers(&s.h, s.h.prod, NULL);
	}
	nf_store_release(&r.stop, 1);
	pthread_join(thread, NULL);
	ok(!lost, "double fetch: every request was answered");
	survived("double fetch");
	end("double fetch");
}

/* 16: what a response slot holds beside the response, and pages that nobody filled. */
static void leaks(void)
{
	union nf_blk_slot slot;
	begin(NULL, NULL, "leaks");
	for (uint32_t i = 0; i < 40; i++) {
		uint32_t idx = s.h.prod;
		memset(bh_slot(&s.h, idx), 0xa5, 112);
		bh_rw(&slot, &s.h, NF_BLK_READ, i, 0, 0, 1);
		(void)bh_ask(&s.h, &slot);
		const uint8_t *rsp = bh_slot(&s.h, idx);
		if (rsp[9] || rsp[12] || rsp[13] || rsp[14] || rsp[15])
			ok(false, "the padding of response %u is zero", i);
	}
	survived("leaks");
	end("leaks");
}

int main(void)
{
	const struct blkhostile_options only = {.registered = true, .registered_only = true};
	const struct blkhostile_options persistent = {.persistent = true};
	const struct blkhostile_options x86_32 = {.abi = NF_BLK_ABI_X86_32};
	const struct nf_blk_config real_only = {.registered_only = true};
	if (!ok(blkscene_open(&s, NF_POLL_ADAPTIVE), "the scene"))
		diag("%s", s.why);
	indices();
	events();
	ranges();
	blk_unaligned_sector_range();
	read_only();
	indirect(false);
	indirect(true);
	grefs(NULL, NULL, "copied");
	grefs(&persistent, NULL, "persistent");
	grefs(&only, &real_only, "registered only");
	grefs(&x86_32, NULL, "32-bit");
	registration();
	double_fetch();
	leaks();
	blkscene_close(&s);
	return done();
}
