/* SPDX-License-Identifier: MIT */
/*
 * Disks through both layers: copy, translate, direct; windows of one outer disk; the relay killed
 * with requests in flight, and the fence through it.
 */
#include "blk_nest.h"

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
	blkgate_bytes(&gate)[16 * 512] = 0;
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
	ok(blkgate_bytes(&gate)[16 * 512] != 'B', "%s: and is not written", name);
	blkgate_shut(&gate, false);
	nf_poller_kick(outer_rig.poller);
	is(wait_all(l2[0], &a, 1), 0, "%s: A is answered", name);
	is(wait_all(l2[0], &b, 1), 0, "%s: B is answered", name);
	is(blkrig_result(l2[0], 0, &a) | blkrig_result(l2[0], 0, &b), 0, "%s: well", name);
	ok(blkgate_bytes(&gate)[16 * 512] == 'B' && blkgate_bytes(&gate)[17 * 512 - 1] == 'B',
	   "%s: B wins", name);
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
	ok(blkgate_bytes(&gate)[4096 * 512 - 1] == 1 && blkgate_bytes(&gate)[4096 * 512] == 2,
	   "windows: side by side");
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
	is(blkgate_bytes(&gate)[8 * 512], 7, "L0 restarts: written");
	is(blkrig_counter(l2[0], NF_COUNTER_connects), 1, "L0 restarts: L2 never reconnected");
	all_close();
}

/* The same while L2 never stops: its requests reach the outer queues at every moment of it. */
static void l0_flaps(void)
{
	static uint8_t pages[8][4096];
	struct iovec v[8];
	struct nf_blkreq r[8];
	const struct nf_blk_config cfg = {.disk = &gate.disk};
	bool good = true;
	l0_open(false);
	l2_open(0);
	is(relay_open(0, NF_RELAY_COPY, 0, 0), 0, "L0 flaps: opened");
	is(until(l2[0], NF_BLK_RUNNING), 0, "L0 flaps: connected");
	for (uint32_t round = 0; good && round < 12; round++) {
		for (uint32_t i = 0; i < 8; i++) {
			uint64_t sector = 8 * (8 * round + i);
			v[i] = (struct iovec){.iov_base = pages[i], .iov_len = sizeof(pages[i])};
			blkrig_fill(pages[i], sizeof(pages[i]), sector * 512, round);
			r[i] = (struct nf_blkreq){.op = NF_BLKOP_WRITE,
						  .sector = sector,
						  .sectors = 8,
						  .segs = &v[i],
						  .nsegs = 1};
			blkrig_post(&inner, l2[0], 0, &r[i], 1);
			if (i == round % 8) {
				blkrig_end_close(l0);
				linger((int)(round % 3));
				l0 = blkrig_back(&outer, &outer_vbd, &cfg, NULL);
			}
			turn();
		}
		good = wait_all(l2[0], r, 8) == 0;
		for (uint32_t i = 0; good && i < 8; i++)
			good = blkrig_result(l2[0], 0, &r[i]) == 0 &&
			       request(l2[0], NF_BLKOP_READ, r[i].sector, data[0], 4096) == 0 &&
			       blkrig_check(data[0], 4096, r[i].sector * 512, round) == -1;
	}
	ok(good, "L0 flaps: every write was answered and is there");
	is(blkrig_counter(l2[0], NF_COUNTER_connects), 1, "L0 flaps: L2 never reconnected");
	all_close();
}

/* One of two windows goes at once while L0 hangs with its write, or is away:
 * its memory is not touched again, and its sibling goes on. */
static void window_goes(bool is_away)
{
	const char *name = is_away ? "window goes, L0 away" : "window goes, L0 hangs";
	const struct nf_blk_config cfg = {.disk = &gate.disk, .indirect = 256};
	struct iovec v[3];
	struct nf_blkreq r[3];
	l0_open(false);
	l2_open(0);
	l2_open(1);
	is(relay_open(0, NF_RELAY_COPY, 0, 4096) | relay_open(1, NF_RELAY_COPY, 4096, 4096), 0,
	   "%s: opened", name);
	is(until(l2[0], NF_BLK_RUNNING) | until(l2[1], NF_BLK_RUNNING), 0, "%s: connected", name);
	if (is_away)
		blkrig_end_close(l0);
	else
		blkgate_shut(&gate, true);
	for (uint32_t i = 0; i < 3; i++) {
		v[i] = (struct iovec){.iov_base = data[1] + i * 4096ul, .iov_len = 4096};
		memset(v[i].iov_base, 'w', 4096);
		r[i] = (struct nf_blkreq){.op = i == 1 ? NF_BLKOP_READ : NF_BLKOP_WRITE,
					  .sector = 8 * i,
					  .sectors = 8,
					  .segs = &v[i],
					  .nsegs = 1};
		blkrig_post(&inner, l2[i / 2], 0, &r[i], 1);
	}
	for (int i = 0; i < 30000 && !is_away && blkgate_holding(&gate) < 2; i++)
		turn();
	linger(50);
	nf_blk_relay_close(relay[0]);
	relay[0] = NULL;
	blkrig_end_close(l2[0]);
	mem_vbd_remove(&inner_vbd[0]);
	l2[0] = NULL;
	if (is_away)
		l0 = blkrig_back(&outer, &outer_vbd, &cfg, NULL);
	blkgate_shut(&gate, false);
	nf_poller_kick(outer_rig.poller);
	is(wait_all(l2[1], &r[2], 1), 0, "%s: its sibling's write is answered", name);
	is(blkrig_result(l2[1], 0, &r[2]), 0, "%s: well", name);
	is(request(l2[1], NF_BLKOP_READ, 16, data[0], 4096), 0, "%s: and more", name);
	is(data[0][4095], 'w', "%s: as it was written", name);
	all_close();
}

int main(void)
{
	nest_open();
	mode_run(NF_RELAY_COPY);
	windows();
	l0_restarts();
	l0_flaps();
	window_goes(false);
	window_goes(true);
	mode_run(NF_RELAY_TRANSLATE);
	mode_run(NF_RELAY_DIRECT);
	nest_close();
	return done();
}
