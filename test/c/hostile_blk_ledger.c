/* SPDX-License-Identifier: MIT */
/*
 * Groups 15 and 18 for disks: whatever call of the layer fails while a front and a back connect,
 * what was mapped is unmapped and what was granted is ended; and what a disk answers with errors
 * reaches the guest as errors of its requests, in a device that goes on.
 */
#include "tap.h"

#include <malloc.h>

#include "../peer/blkgate.h"
#include "../peer/blkrig.h"

#define BYTES (1u << 20)

static struct rig rig;
static struct blkrig b;
static struct blkgate gate;

static const int errors[] = {-ENOMEM, -EACCES, -EDQUOT, -ETIMEDOUT};

static bool is_over(const struct blkrig_end *e)
{
	int phase = e ? blkrig_phase(e) : NF_BLK_FAILED;
	return phase == NF_BLK_FAILED || phase == NF_BLK_CLOSED;
}

/* Fails domid's nth call; true: they connected all the same. */
static bool attempt(uint16_t domid, uint32_t nth, const struct nf_blk_config *front_cfg,
		    const struct nf_blk_config *back_cfg)
{
	struct mem_vbd v;
	bool is_up = false;
	mem_vbd_create(&v, rig.w, 1, 0, 0);
	mem_world_fail(rig.w, domid, MEM_ANY, nth, errors[nth % 4]);
	struct blkrig_end *back = blkrig_back(&b, &v, back_cfg, NULL);
	struct blkrig_end *front = blkrig_front(&b, &v, front_cfg, NULL);
	for (int i = 0; i < 10000 && !is_up && !is_over(front) && !is_over(back); i++) {
		blkrig_linger(&b, 1);
		is_up = front && back && blkrig_phase(front) == NF_BLK_RUNNING &&
			blkrig_phase(back) == NF_BLK_RUNNING;
	}
	mem_world_fail(rig.w, domid, MEM_ANY, 0, 0);
	if (nth & 1 && front)
		blkrig_end_close(front);
	if (back)
		blkrig_end_close(back);
	if (!(nth & 1) && front)
		blkrig_end_close(front);
	mem_vbd_remove(&v);
	return is_up;
}

static void every_call(uint16_t domid, const struct nf_blk_config *front_cfg,
		       const struct nf_blk_config *back_cfg, const char *what)
{
	struct mem_baseline base;
	uint32_t bad = 0, ups = 0, n = 1;
	char why[512];
	mem_world_baseline(rig.w, &base);
	for (; n <= 60 && ups < 3; n++) {
		ups += attempt(domid, n, front_cfg, back_cfg);
		if (mem_world_settle(rig.w, &base, 3000, why, sizeof(why)) == 0)
			continue;
		diag("%s: call %u fails: %s", what, n, why);
		bad++;
	}
	is(bad, 0, "%s: %u failing calls leave nothing behind", what, n - 1);
	ok(ups > 0 && n > 5, "%s: and without a failure it connects", what);
}

/* mapped == unmapped by the back's own counters. */
static void ledger(const struct nf_blk_config *front_cfg, const char *what)
{
	struct blkrig_pair p;
	uint8_t page[4096] = {0};
	bool is_written = true;
	is(blkrig_pair_open(&p, &b, 1, 0, 0, front_cfg, NULL), 0, "%s: connected", what);
	uint64_t maps = 0; /* persistent ones are mapped for the next time, by another thread */
	for (uint64_t i = 0; i < 5000 && (i < 40 || maps == 0); i++) {
		is_written &= blkrig_do(&b, p.front, NF_BLKOP_WRITE, 8 * (i % 40), page,
					sizeof(page)) == 0;
		maps = blkrig_counter(p.back, NF_COUNTER_grant_maps);
	}
	ok(is_written, "%s: written", what);
	ok(maps > 0, "%s: %llu grants mapped", what, (unsigned long long)maps);
	is(nf_blkfront_shutdown(p.front->front), 0, "%s: closing", what);
	is(blkrig_until_phase(&b, p.back, NF_BLK_CLOSED, 5000), 0, "%s: closed", what);
	is(blkrig_counter(p.back, NF_COUNTER_grant_unmaps),
	   blkrig_counter(p.back, NF_COUNTER_grant_maps), "%s: as many unmapped", what);
	blkrig_pair_close(&p);
}

/* What the disk answers, and what the guest sees of it: the protocol has two errors. */
static void disk_errors(void)
{
	static const struct {
		int disk, guest;
	} list[] = {{-EIO, -EIO},   {-ENOSPC, -EIO}, {-EDQUOT, -EIO},
		    {-EROFS, -EIO}, {-EINVAL, -EIO}, {-EOPNOTSUPP, -EOPNOTSUPP},
		    {-ENODEV, -EIO}};
	const struct nf_blk_config cfg = {.disk = &gate.disk};
	struct blkrig_pair p;
	uint8_t page[4096] = {0};
	struct iovec v = {page, sizeof(page)};
	is(blkrig_pair_open(&p, &b, 1, 0, 0, NULL, &cfg), 0, "errors: connected");
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		struct nf_blkreq r = {
			.op = NF_BLKOP_WRITE, .sector = 8, .sectors = 8, .segs = &v, .nsegs = 1};
		blkgate_shut(&gate, true);
		blkrig_post(&b, p.front, 0, &r, 1);
		for (int k = 0; k < 25000 && blkgate_holding(&gate) == 0; k++)
			blkrig_linger(&b, 1);
		blkgate_release(&gate, list[i].disk);
		nf_poller_kick(rig.poller);
		is(blkrig_wait(&b, p.front, 0, &r, 1, 5000), 0, "errors: %s: answered",
		   strerror(-list[i].disk));
		is(blkrig_result(p.front, 0, &r), list[i].guest, "errors: by %s",
		   strerror(-list[i].guest));
		is(blkrig_counter(p.back, NF_COUNTER_blk_errors), i + 1, "errors: counted");
		blkgate_shut(&gate, false);
		is(blkrig_do(&b, p.front, NF_BLKOP_WRITE, 8, page, sizeof(page)), 0,
		   "errors: the next one succeeds");
	}
	is(blkrig_phase(p.front), NF_BLK_RUNNING, "errors: the front runs");
	is(blkrig_phase(p.back), NF_BLK_RUNNING, "errors: so does the back");
	blkrig_pair_close(&p);
}

/* 15: memory is what it was after many connections. */
static void cycles(uint32_t count)
{
	size_t first = 0;
	uint32_t bad = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct blkrig_pair p;
		uint8_t page[4096] = {0};
		bad += blkrig_pair_open(&p, &b, 1, 0, 0, NULL, NULL) != 0;
		bad += blkrig_do(&b, p.front, NF_BLKOP_READ, 0, page, sizeof(page)) != 0;
		blkrig_pair_close(&p);
		if (i == count / 4)
			first = mallinfo2().uordblks;
	}
	is(bad, 0, "cycles: %u connections come and go", count);
	size_t last = mallinfo2().uordblks;
	ok(last <= first + 65536, "cycles: heap %zu after a quarter, %zu at the end", first, last);
}

int main(void)
{
	const struct nf_blk_config plain = {.indirect = 64, .pool_pages = 64},
				   kept = {.grants = NF_BLK_GRANTS_PERSISTENT, .pool_pages = 64},
				   two = {.queues = 2, .ring_pages = 2, .pool_pages = 64},
				   back_two = {.queues = 2, .ring_pages = 4};
	struct mem_baseline base;
	char why[512];
	rig_open(&rig, NF_POLL_EVENT);
	blkrig_open(&b, &rig);
	blkgate_open(&gate, BYTES);
	rig_domain(&rig, 0);
	rig_domain(&rig, 1);
	mem_world_baseline(rig.w, &base);
	every_call(0, &plain, NULL, "back");
	every_call(0, &two, &back_two, "back, two queues");
	every_call(0, &kept, NULL, "back, persistent");
	every_call(1, &plain, NULL, "front");
	every_call(1, &two, &back_two, "front, two queues");
	ledger(&plain, "ledger, registered");
	ledger(&kept, "ledger, persistent");
	disk_errors();
	cycles(60);
	if (!is(mem_world_settle(rig.w, &base, 2000, why, sizeof(why)), 0, "nothing is left"))
		diag("%s", why);
	blkrig_close(&b);
	rig_close(&rig);
	blkgate_free(&gate);
	return done();
}
