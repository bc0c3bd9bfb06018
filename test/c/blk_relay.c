/* SPDX-License-Identifier: MIT */
/*
 * Disks through both layers: copy, translate, direct; windows of one outer disk; the relay killed
 * with requests in flight, and the fence through it.
 */
#include "tap.h"

#include <time.h>

#include "../peer/blkgate.h"
#include "../peer/blkrig.h"
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
static uint8_t data[2][262144];

static void notice(void *ctx, const char *line)
{
	(void)ctx;
	snprintf(said, sizeof(said), "%s", line);
	if (getenv("NF_TEST_VERBOSE"))
		printf("# relay: %s\n", line);
}

static int relay_open(int i, enum nf_relay_mode mode, uint64_t start, uint64_t sectors)
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
			  .token = outs[i],
			  .notice = notice},
		.mode = mode,
		.window_start = start,
		.window_sectors = sectors,
		.outers = &outers,
	};
	return nf_blk_relay_open(&cfg, &relay[i]);
}

static void turn(void)
{
	blkrig_turn(&outer);
	blkrig_turn(&inner);
	for (int i = 0; i < 2; i++)
		if (relay[i])
			(void)nf_blk_relay_step(relay[i]);
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

static void linger(int ms)
{
	for (int i = 0; i < ms * 3; i++)
		turn();
}

static int until(struct blkrig_end *e, int phase)
{
	for (int i = 0; i < 30000; i++) {
		if (blkrig_phase(e) == phase)
			return 0;
		turn();
	}
	return -ETIMEDOUT;
}

static int wait_all(struct blkrig_end *e, struct nf_blkreq *r, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		for (int k = 0; blkrig_result(e, 0, &r[i]) == 1; k++) {
			if (k > 30000)
				return -ETIMEDOUT;
			turn();
		}
	return 0;
}

static int request(struct blkrig_end *e, uint8_t op, uint64_t sector, void *p, uint64_t bytes)
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

static void l0_open(bool only)
{
	const struct nf_blk_config cfg = {
		.disk = &gate.disk, .indirect = 256, .registered_only = only};
	mem_vbd_create(&outer_vbd, outer_rig.w, 1, 0, 0);
	l0 = blkrig_back(&outer, &outer_vbd, &cfg, NULL);
}

static void l2_open(int i)
{
	mem_vbd_create(&inner_vbd[i], inner_rig.w, (uint16_t)(2 + i), 0, 7);
	l2[i] = blkrig_front(&inner, &inner_vbd[i], NULL, NULL);
}

static void all_close(void)
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

static bool moves(struct blkrig_end *e, uint32_t seed)
{
	static const uint32_t sizes[] = {512, 4096, 45056, 49152, 262144, 1024};
	bool good = true;
	for (uint32_t i = 0; good && i < 60; i++) {
		uint32_t bytes = sizes[i % 6];
		uint64_t sector = (i * 97 + seed) % ((1u << 20) / 512 - 512);
		blkrig_fill(data[0], bytes, sector * 512, seed + i);
		int rc = request(e, NF_BLKOP_WRITE, sector, data[0], bytes);
		memset(data[0], 0, bytes);
		if (rc == 0)
			rc = request(e, NF_BLKOP_READ, sector, data[0], bytes);
		good = rc == 0 && blkrig_check(data[0], bytes, sector * 512, seed + i) == -1;
		if (!good)
			diag("%u bytes at sector %llu: %d", bytes, (unsigned long long)sector, rc);
	}
	return good && request(e, NF_BLKOP_FLUSH, 0, NULL, 0) == 0 &&
	       request(e, NF_BLKOP_DISCARD, 0, NULL, 8192) == 0;
}

static const char *name_of(enum nf_relay_mode mode)
{
	return mode == NF_RELAY_COPY ? "copy" : mode == NF_RELAY_DIRECT ? "direct" : "translate";
}

/* Writes A and B on either side of a relay that is killed while A hangs in L0. */
static void fence(enum nf_relay_mode mode)
{
	const char *name = name_of(mode);
	struct iovec va = {.iov_base = data[0], .iov_len = 4096},
		     vb = {.iov_base = data[1], .iov_len = 4096};
	struct nf_blkreq a = {.op = NF_BLKOP_WRITE,
			      .sector = 16,
			      .sectors = 8,
			      .segs = &va,
			      .nsegs = 1},
			 b = a;
	b.segs = &vb;
	memset(data[0], 'A', 4096);
	memset(data[1], 'B', 4096);
	gate.bytes[16 * 512] = 0;
	blkgate_shut(&gate, true);
	blkrig_post(&inner, l2[0], 0, &a, 1);
	for (int i = 0; i < 30000 && blkgate_holding(&gate) == 0; i++)
		turn();
	is(blkgate_holding(&gate), 1, "%s: A hangs in L0", name);
	nf_blk_relay_close(relay[0]); /* as a kill: no word to anybody */
	relay[0] = NULL;
	linger(50);
	is(relay_open(0, mode, 0, 0), 0, "%s: another relay", name);
	blkrig_post(&inner, l2[0], 0, &b, 1);
	linger(300);
	is(blkrig_result(l2[0], 0, &b), 1, "%s: B waits", name);
	ok(gate.bytes[16 * 512] != 'B', "%s: and is not written", name);
	blkgate_shut(&gate, false);
	nf_poller_kick(outer_rig.poller);
	is(wait_all(l2[0], &a, 1), 0, "%s: A is answered", name);
	is(wait_all(l2[0], &b, 1), 0, "%s: B is answered", name);
	is(blkrig_result(l2[0], 0, &a) | blkrig_result(l2[0], 0, &b), 0, "%s: well", name);
	ok(gate.bytes[16 * 512] == 'B' && gate.bytes[17 * 512 - 1] == 'B', "%s: B wins", name);
	is(l2[0]->box[0]->starts, 1, "%s: L2's user noticed nothing", name);
}

static void mode_run(enum nf_relay_mode mode)
{
	const char *name = name_of(mode);
	l0_open(mode == NF_RELAY_DIRECT);
	l2_open(0);
	is(relay_open(0, mode, 0, 0), 0, "%s: opened", name);
	if (!is(until(l2[0], NF_BLK_RUNNING), 0, "%s: L2 is connected", name)) {
		diag("%s; %s; %s", said, l2[0]->notice, l0->notice);
		all_close();
		return;
	}
	is(nf_blkfront_port(l2[0]->front, 0)->geometry->sectors, BYTES / 512,
	   "%s: L2 sees L0's disk", name);
	ok(moves(l2[0], 1), "%s: what was written is read", name);
	fence(mode);
	is(until(l2[0], NF_BLK_RUNNING), 0, "%s: it runs again", name);
	ok(moves(l2[0], 2), "%s: and what was written is read", name);
	is(nf_blk_relay_shutdown(relay[0]), 0, "%s: told to go", name);
	int phase = NF_BLK_CLOSING;
	for (int i = 0; i < 30000 && phase == NF_BLK_CLOSING; i++) {
		turn();
		phase = nf_blk_relay_step(relay[0]);
	}
	is(phase, NF_BLK_CLOSED, "%s: Closed", name);
	all_close();
}

static void windows(void)
{
	l0_open(false);
	l2_open(0);
	l2_open(1);
	is(relay_open(0, NF_RELAY_COPY, 0, 4096), 0, "windows: the first");
	is(relay_open(1, NF_RELAY_COPY, 4096, 4096), 0, "windows: the second");
	ok(outers && !outers->next, "windows: of one outer disk");
	is(until(l2[0], NF_BLK_RUNNING), 0, "windows: connected");
	is(until(l2[1], NF_BLK_RUNNING), 0, "windows: both");
	memset(data[0], 1, 4096);
	memset(data[1], 2, 4096);
	is(request(l2[0], NF_BLKOP_WRITE, 4088, data[0], 4096), 0, "windows: its last sectors");
	is(request(l2[1], NF_BLKOP_WRITE, 0, data[1], 4096), 0, "windows: its neighbour's first");
	is(request(l2[0], NF_BLKOP_WRITE, 4089, data[0], 4096), -EINVAL, "windows: not across");
	ok(gate.bytes[4096 * 512 - 1] == 1 && gate.bytes[4096 * 512] == 2, "windows: side by side");
	nf_blk_relay_close(relay[0]);
	relay[0] = NULL;
	is(request(l2[1], NF_BLKOP_READ, 0, data[1], 4096), 0, "windows: one goes, one stays");
	is(relay_open(0, NF_RELAY_DIRECT, 8, 0), -EINVAL, "windows: none in direct");
	all_close();
}

/* L0's back goes and comes back: in copy L2 does not notice. */
static void l0_restarts(void)
{
	l0_open(false);
	l2_open(0);
	is(relay_open(0, NF_RELAY_COPY, 0, 0), 0, "L0 restarts: opened");
	is(until(l2[0], NF_BLK_RUNNING), 0, "L0 restarts: connected");
	blkrig_end_close(l0);
	struct iovec v = {.iov_base = data[0], .iov_len = 4096};
	struct nf_blkreq r = {
		.op = NF_BLKOP_WRITE, .sector = 8, .sectors = 8, .segs = &v, .nsegs = 1};
	memset(data[0], 7, 4096);
	blkrig_post(&inner, l2[0], 0, &r, 1);
	linger(50);
	is(blkrig_result(l2[0], 0, &r), 1, "L0 restarts: a write waits");
	const struct nf_blk_config cfg = {.disk = &gate.disk};
	l0 = blkrig_back(&outer, &outer_vbd, &cfg, NULL);
	is(wait_all(l2[0], &r, 1), 0, "L0 restarts: it is answered");
	is(blkrig_result(l2[0], 0, &r), 0, "L0 restarts: well");
	is(gate.bytes[8 * 512], 7, "L0 restarts: written");
	is(blkrig_counter(l2[0], NF_COUNTER_connects), 1, "L0 restarts: L2 never reconnected");
	all_close();
}

int main(void)
{
	struct mem_baseline base[2], now;
	char why[512];
	rig_open(&outer_rig, NF_POLL_ADAPTIVE);
	rig_open(&inner_rig, NF_POLL_ADAPTIVE);
	blkrig_open(&outer, &outer_rig);
	blkrig_open(&inner, &inner_rig);
	blkgate_open(&gate, BYTES);
	for (uint16_t d = 0; d < 2; d++)
		rig_domain(&outer_rig, d);
	for (uint16_t d = 0; d < 4; d++)
		rig_domain(&inner_rig, d);
	mem_world_baseline(outer_rig.w, &base[0]);
	mem_world_baseline(inner_rig.w, &base[1]);
	mode_run(NF_RELAY_COPY);
	windows();
	l0_restarts();
	mode_run(NF_RELAY_TRANSLATE);
	mode_run(NF_RELAY_DIRECT);
	/* descriptors of outer pages in quarantine are not the inner world's; the outer one knows
	 */
	mem_world_baseline(inner_rig.w, &now);
	base[1].fds = now.fds;
	if (!is(mem_world_settle(inner_rig.w, &base[1], 2000, why, sizeof(why)), 0,
		"nothing is left inside"))
		diag("%s", why);
	if (!is(mem_world_settle(outer_rig.w, &base[0], 2000, why, sizeof(why)), 0,
		"nothing is left outside"))
		diag("%s", why);
	blkrig_close(&inner);
	blkrig_close(&outer);
	rig_close(&inner_rig);
	rig_close(&outer_rig);
	blkgate_free(&gate);
	return done();
}
