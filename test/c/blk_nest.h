/* SPDX-License-Identifier: MIT */
/*
 * A nested stack of disks in one process, as relay_nest.h has it for the network: L0's back on a
 * disk the test holds, relays in L1, fronts of two L2s.
 */
#ifndef NF_TEST_BLK_NEST_H
#define NF_TEST_BLK_NEST_H

#include "tap.h"

#include <time.h>

#include "../peer/blkgate.h"
#include "../peer/blkhostile.h"
#include "relay/blk.h"

#define BYTES (8u << 20)

static struct rig outer_rig, inner_rig;
static struct blkrig outer, inner;
static struct blkgate gate;
static struct mem_vbd outer_vbd, inner_vbd[2];
static struct blkrig_end *l0, *l2[2];
static struct nf_blk_relay *relay[2];
static struct nf_blk_outer *outers;
static char said[600];
static uint32_t pool_pages; /* of the outer end; 0: the default, which honest fronts have */
static uint8_t data[2][262144];

__attribute__((unused)) static void notice(void *ctx, const char *line)
{
	(void)ctx;
	snprintf(said, sizeof(said), "%s", line);
	if (getenv("NF_TEST_VERBOSE"))
		printf("# relay: %s\n", line);
}

__attribute__((unused)) static int relay_open(int i, enum nf_relay_mode mode, uint64_t start,
					      uint64_t sectors)
{
	static const char *const paths[] = {"backend/vbd/2/7", "backend/vbd/3/7"};
	static const char *const tokens[] = {"ri0", "ri1"}, *const outs[] = {"ro0", "ro1"};
	struct rig_domain *l1_out = rig_domain(&outer_rig, 1), *l1_in = rig_domain(&inner_rig, 0);
	const struct nf_blk_relay_config cfg = {
		.inner = {.layer = l1_in->layer,
			  .store = l1_in->store,
			  .poller = inner_rig.poller,
			  .counters = &l1_in->counters,
			  .path = paths[i],
			  .token = tokens[i],
			  .notice = notice},
		.outer = {.layer = l1_out->layer,
			  .store = l1_out->store,
			  .poller = inner_rig.poller,
			  .counters = &l1_out->counters,
			  .path = "device/vbd/0",
			  .pool_pages = pool_pages,
			  .token = outs[i],
			  .notice = notice},
		.mode = mode,
		.window_start = start,
		.window_sectors = sectors,
		.outers = &outers,
	};
	return nf_blk_relay_open(&cfg, &relay[i]);
}

__attribute__((unused)) static void turn(void)
{
	blkrig_turn(&outer);
	blkrig_turn(&inner);
	for (int i = 0; i < 2; i++)
		if (relay[i])
			(void)nf_blk_relay_step(relay[i]);
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

__attribute__((unused)) static void linger(int ms)
{
	for (int i = 0; i < ms * 3; i++)
		turn();
}

__attribute__((unused)) static int until(struct blkrig_end *e, int phase)
{
	for (int i = 0; i < 30000; i++) {
		if (blkrig_phase(e) == phase)
			return 0;
		turn();
	}
	return -ETIMEDOUT;
}

__attribute__((unused)) static int wait_all(struct blkrig_end *e, struct nf_blkreq *r, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		for (int k = 0; blkrig_result(e, 0, &r[i]) == 1; k++) {
			if (k > 30000)
				return -ETIMEDOUT;
			turn();
		}
	return 0;
}

__attribute__((unused)) static int request(struct blkrig_end *e, uint8_t op, uint64_t sector,
					   void *p, uint64_t bytes)
{
	struct iovec v = {.iov_base = p, .iov_len = bytes};
	struct nf_blkreq r = {.op = op,
			      .sector = sector,
			      .sectors = bytes / 512,
			      .segs = p ? &v : NULL,
			      .nsegs = p ? 1 : 0};
	blkrig_post(&inner, e, 0, &r, 1);
	int rc = wait_all(e, &r, 1);
	return rc ? rc : blkrig_result(e, 0, &r);
}

__attribute__((unused)) static void l0_open(bool only)
{
	const struct nf_blk_config cfg = {
		.disk = &gate.disk, .indirect = 256, .registered_only = only};
	mem_vbd_create(&outer_vbd, outer_rig.w, 1, 0, 0);
	l0 = blkrig_back(&outer, &outer_vbd, &cfg, NULL);
}

__attribute__((unused)) static void l2_open(int i)
{
	mem_vbd_create(&inner_vbd[i], inner_rig.w, (uint16_t)(2 + i), 0, 7);
	l2[i] = blkrig_front(&inner, &inner_vbd[i], NULL, NULL);
}

__attribute__((unused)) static void all_close(void)
{
	for (int i = 0; i < 2; i++) {
		nf_blk_relay_close(relay[i]);
		relay[i] = NULL;
		if (l2[i]) {
			blkrig_end_close(l2[i]);
			mem_vbd_remove(&inner_vbd[i]);
		}
		l2[i] = NULL;
	}
	blkrig_end_close(l0);
	mem_vbd_remove(&outer_vbd);
}

static struct mem_baseline nest_base[2];

/* Both worlds, each with its poller; L0 and L1 outside, L1's relay and two L2s inside. */
__attribute__((unused)) static void nest_open(void)
{
	rig_open(&outer_rig, NF_POLL_ADAPTIVE);
	rig_open(&inner_rig, NF_POLL_ADAPTIVE);
	blkrig_open(&outer, &outer_rig);
	blkrig_open(&inner, &inner_rig);
	blkgate_open(&gate, BYTES);
	for (uint16_t d = 0; d < 2; d++)
		rig_domain(&outer_rig, d);
	for (uint16_t d = 0; d < 4; d++)
		rig_domain(&inner_rig, d);
	mem_world_baseline(outer_rig.w, &nest_base[0]);
	mem_world_baseline(inner_rig.w, &nest_base[1]);
}

__attribute__((unused)) static void nest_close(void)
{
	struct mem_baseline now;
	char why[512];
	/* descriptors of outer pages in quarantine are not the inner world's; the outer one knows
	 */
	mem_world_baseline(inner_rig.w, &now);
	nest_base[1].fds = now.fds;
	if (!is(mem_world_settle(inner_rig.w, &nest_base[1], 2000, why, sizeof(why)), 0,
		"nothing is left inside"))
		diag("%s", why);
	if (!is(mem_world_settle(outer_rig.w, &nest_base[0], 2000, why, sizeof(why)), 0,
		"nothing is left outside"))
		diag("%s", why);
	blkrig_close(&inner);
	blkrig_close(&outer);
	rig_close(&inner_rig);
	rig_close(&outer_rig);
	blkgate_free(&gate);
}

#endif
