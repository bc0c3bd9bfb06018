/* SPDX-License-Identifier: MIT */
/*
 * A back that goes as a killed process does, and one that comes in its place on the same journal,
 * while the front goes on: nothing is lost, nothing answered that was not done.
 */
#include <unistd.h>

#include "../peer/blkgate.h"
#include "../peer/blkrig.h"
#include "../peer/silent.h"
#include "tap.h"

#define BYTES (1u << 20)
#define PAGES (BYTES / 4096)

static struct rig rig;
static struct blkrig b;
static struct blkgate gate;
static struct mem_vbd vbd;
static struct blkrig_end *front, *back;
static char journal[] = "/tmp/nf-blk-attach-XXXXXX";
static uint8_t data[64][4096], want[BYTES];

static void back_open(enum nf_blk_grants grants)
{
	const struct nf_blk_config cfg = {
		.disk = &gate.disk, .journal = journal, .grants = grants, .queues = 2};
	back = blkrig_back(&b, &vbd, &cfg, NULL);
}

static void back_kill(void)
{
	pthread_mutex_lock(&gate.lock);
	gate.is_dead = true;
	pthread_mutex_unlock(&gate.lock);
	blkrig_end_close(back);
	gate.is_dead = false;
}

static void writes_post(struct nf_blkreq *r, struct iovec *v, uint32_t n, uint32_t seed)
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t page = (i * 37 + seed) % PAGES;
		blkrig_fill(data[i], 4096, page, seed);
		memcpy(want + page * 4096, data[i], 4096);
		v[i] = (struct iovec){.iov_base = data[i], .iov_len = 4096};
		r[i] = (struct nf_blkreq){.op = NF_BLKOP_WRITE,
					  .sector = page * 8,
					  .sectors = 8,
					  .segs = &v[i],
					  .nsegs = 1};
	}
	blkrig_post(&b, front, 0, r, n);
}

static bool all_well(const struct nf_blkreq *r, uint32_t n)
{
	bool good = blkrig_wait(&b, front, 0, r, n, 10000) == 0;
	for (uint32_t i = 0; good && i < n; i++)
		good = blkrig_result(front, 0, &r[i]) == 0;
	return good && memcmp(blkgate_bytes(&gate), want, BYTES) == 0;
}

static void way(enum nf_blk_grants grants, const char *name)
{
	struct iovec v[64];
	struct nf_blkreq r[64];
	const struct nf_blk_config two = {.queues = 2};
	memset(blkgate_bytes(&gate), 0, BYTES);
	memset(want, 0, BYTES);
	mem_vbd_create(&vbd, rig.w, 1, 0, 0);
	back_open(grants);
	front = blkrig_front(&b, &vbd, &two, NULL);
	is(blkrig_until_phase(&b, front, NF_BLK_RUNNING, 5000), 0, "%s: connected", name);
	is(blkrig_until_phase(&b, back, NF_BLK_RUNNING, 5000), 0, "%s: both", name);

	blkgate_shut(&gate, true);
	writes_post(r, v, 20, 1);
	for (int i = 0; i < 10000 && blkgate_holding(&gate) != 20; i++)
		blkrig_linger(&b, 1);
	is(blkgate_holding(&gate), 20, "%s: 20 writes hang in the disk", name);
	back_kill();
	blkgate_shut(&gate, false);
	back_open(grants);
	blkrig_linger(&b, 20);
	ok(strstr(back->notice, "re-attached: 2 queues, 20 requests") != NULL, "%s: %s", name,
	   back->notice);
	ok(all_well(r, 20), "%s: all are answered, all are written", name);
	bool good = true;
	for (uint32_t k = 0; good && k < 40; k++) {
		writes_post(r, v, 64, k);
		blkrig_linger(&b, k % 3);
		back_kill();
		back_open(grants);
		good = back && all_well(r, 64);
	}
	ok(good, "%s: killed 40 times under load", name);
	is(blkrig_counter(front, NF_COUNTER_connects), 2, "%s: the front never reconnected", name);
	is(blkrig_counter(front, NF_COUNTER_blk_replayed), 0, "%s: and did nothing again", name);
	back_kill();
	unlink(journal);
	back_open(grants);
	is(blkrig_do(&b, front, NF_BLKOP_READ, 0, data[0], 4096), 0,
	   "%s: without its journal they connect anew", name);
	ok(blkrig_counter(front, NF_COUNTER_connects) > 2, "%s: as the counter says", name);
	blkrig_end_close(front);
	blkrig_linger(&b, 20);
	is(nf_blkback_shutdown(back->back), 0, "%s: the back goes in order", name);
	blkrig_end_close(back);
	is(access(journal, F_OK), -1, "%s: and leaves no journal", name);
	mem_vbd_remove(&vbd);
}

int main(void)
{
	int fd = mkstemp(journal);
	close(fd);
	unlink(journal);
	rig_open(&rig, NF_POLL_ADAPTIVE);
	blkrig_open(&b, &rig);
	blkgate_open(&gate, BYTES);
	silence(rig_domain(&rig, 0));
	silence(rig_domain(&rig, 1));
	way(NF_BLK_GRANTS_STATIC, "registered");
	way(NF_BLK_GRANTS_PERSISTENT, "persistent");
	way(NF_BLK_GRANTS_COPY, "copied");
	blkrig_close(&b);
	rig_close(&rig);
	blkgate_free(&gate);
	unlink(journal);
	return done();
}
