/* SPDX-License-Identifier: MIT */
/* Connections that end: what is in flight, what is done again, what may not overtake what. */
#include "tap.h"

#include "../peer/blkgate.h"
#include "../peer/blkrig.h"

#define BYTES (1u << 20)

static struct rig rig;
static struct blkrig b;
static struct blkgate gate;
static struct mem_vbd vbd;
static uint8_t a[4096], c[4096];

static struct blkrig_end *back_open(void)
{
	const struct nf_blk_config cfg = {.disk = &gate.disk};
	return blkrig_back(&b, &vbd, &cfg, NULL);
}

static bool until_holding(uint32_t n)
{
	for (int i = 0; i < 10000 && blkgate_holding(&gate) != n; i++)
		blkrig_linger(&b, 1);
	return blkgate_holding(&gate) == n;
}

static struct nf_blkreq write_of(struct iovec *v, uint8_t *data, uint64_t sector)
{
	*v = (struct iovec){.iov_base = data, .iov_len = 4096};
	return (struct nf_blkreq){
		.op = NF_BLKOP_WRITE, .sector = sector, .sectors = 8, .segs = v, .nsegs = 1};
}

/*
 * The fence: write A hangs in the back. The back is told to go, another comes, A is done again,
 * B is written to the same place, and only then does the first A come loose. B must be there.
 */
static void fence(void)
{
	struct iovec va, vb;
	struct nf_blkreq ra = write_of(&va, a, 8), rb = write_of(&vb, c, 8);
	memset(a, 'A', sizeof(a));
	memset(c, 'B', sizeof(c));
	mem_vbd_create(&vbd, rig.w, 1, 0, 0);
	struct blkrig_end *back = back_open();
	struct blkrig_end *front = blkrig_front(&b, &vbd, NULL, NULL);
	is(blkrig_until_phase(&b, front, NF_BLK_RUNNING, 5000), 0, "fence: connected");
	blkgate_shut(&gate, true);
	blkrig_post(&b, front, 0, &ra, 1);
	ok(until_holding(1), "fence: A hangs in the disk");
	is(nf_blkback_shutdown(back->back), 0, "fence: the back is told to go");
	blkrig_linger(&b, 100);
	is(blkrig_phase(back), NF_BLK_CLOSING, "fence: it does not say Closed before A is done");
	is(nf_blkfront_phase(front->front), NF_BLK_RUNNING,
	   "fence: and the front has not been told to let go");
	blkrig_post(&b, front, 0, &rb, 1);
	blkrig_linger(&b, 20);
	is(blkrig_result(front, 0, &rb), 1, "fence: B waits");
	blkgate_shut(&gate, false);
	nf_poller_kick(rig.poller);
	is(blkrig_until_phase(&b, back, NF_BLK_CLOSED, 5000), 0, "fence: with A done it is Closed");
	blkrig_end_close(back);
	back = back_open();
	is(blkrig_wait(&b, front, 0, &ra, 1, 5000), 0, "fence: A is answered");
	is(blkrig_wait(&b, front, 0, &rb, 1, 5000), 0, "fence: B is answered by the next back");
	is(blkrig_result(front, 0, &rb), 0, "fence: well");
	ok(memcmp(blkgate_bytes(&gate) + 4096, c, 4096) == 0, "fence: B wins");
	ok(gate.closes_waited == 0, "fence: nobody's control thread was held up");
	blkrig_end_close(front);
	blkrig_end_close(back);
	mem_vbd_remove(&vbd);
}

/* The back vanishes with requests in flight; the next one gets them, and new ones. */
static void replay(void)
{
	struct iovec v[40];
	struct nf_blkreq r[40];
	static uint8_t data[40][4096];
	mem_vbd_create(&vbd, rig.w, 1, 0, 0);
	struct blkrig_end *back = back_open();
	struct blkrig_end *front = blkrig_front(&b, &vbd, NULL, NULL);
	is(blkrig_until_phase(&b, front, NF_BLK_RUNNING, 5000), 0, "replay: connected");
	struct nf_blkport *port = nf_blkfront_port(front->front, 0);
	uint8_t *pool = port->pool;
	blkgate_shut(&gate, true);
	for (uint32_t i = 0; i < 40; i++) {
		/* half of them lie in the pool, which moves to new pages under them */
		uint8_t *at = i & 1 ? pool + (size_t)i * 4096 : data[i];
		blkrig_fill(at, 4096, i, 5);
		r[i] = write_of(&v[i], at, 8 * i);
	}
	blkrig_post(&b, front, 0, r, 40);
	ok(until_holding(32), "replay: a ring full hangs in the disk");
	blkgate_release(&gate, -EIO); /* as if it had died with them: nothing was written */
	blkrig_end_close(back);
	blkgate_shut(&gate, false);
	uint64_t before = gate.writes;
	blkrig_linger(&b, 50);
	back = back_open();
	is(blkrig_wait(&b, front, 0, r, 40, 10000), 0, "replay: all are answered");
	bool good = port->pool == pool;
	for (uint32_t i = 0; i < 40; i++)
		good = good && blkrig_result(front, 0, &r[i]) == 0 &&
		       blkrig_check(blkgate_bytes(&gate) + (size_t)i * 4096, 4096, i, 5) == -1;
	ok(good, "replay: and written, those in the pool too");
	is(gate.writes - before, 40, "replay: each once");
	is(blkrig_counter(front, NF_COUNTER_blk_replayed) > 0, 1, "replay: and counted");
	is(front->box[0]->starts, 1, "replay: the user noticed nothing");
	blkrig_end_close(front);
	blkrig_end_close(back);
	mem_vbd_remove(&vbd);
}

/* Barriers and flushes: order and durability as asked. */
static void barrier(void)
{
	struct iovec v[3];
	struct nf_blkreq r[3];
	mem_vbd_create(&vbd, rig.w, 1, 0, 0);
	struct blkrig_end *back = back_open();
	struct blkrig_end *front = blkrig_front(&b, &vbd, NULL, NULL);
	is(blkrig_until_phase(&b, front, NF_BLK_RUNNING, 5000), 0, "durable: connected");
	uint64_t flushes = gate.flushes;
	r[0] = write_of(&v[0], a, 0);
	r[0].flags = NF_BLKREQ_FUA;
	blkgate_shut(&gate, true);
	blkrig_post(&b, front, 0, r, 1);
	ok(until_holding(1), "durable: the write hangs");
	is(gate.flushes - flushes, 0, "durable: and is not flushed before it is done");
	blkgate_shut(&gate, false);
	nf_poller_kick(rig.poller);
	is(blkrig_wait(&b, front, 0, r, 1, 5000), 0, "durable: it is answered");
	is(gate.flushes - flushes, 1, "durable: after a flush");
	/* an error of the disk is the request's alone */
	blkgate_shut(&gate, true);
	r[1] = write_of(&v[1], a, 8);
	blkrig_post(&b, front, 0, &r[1], 1);
	ok(until_holding(1), "errors: a write hangs");
	blkgate_release(&gate, -ENOSPC);
	blkgate_shut(&gate, false);
	nf_poller_kick(rig.poller);
	is(blkrig_wait(&b, front, 0, &r[1], 1, 5000), 0, "errors: it is answered");
	is(blkrig_result(front, 0, &r[1]), -EIO,
	   "errors: ENOSPC reaches the guest as an I/O error");
	is(blkrig_phase(back), NF_BLK_RUNNING, "errors: and the device lives");
	blkrig_end_close(front);
	blkrig_end_close(back);
	mem_vbd_remove(&vbd);
}

static void resize(void)
{
	mem_vbd_create(&vbd, rig.w, 1, 0, 0);
	nf_store64(&gate.disk.geometry.sectors, BYTES / 1024);
	struct blkrig_end *back = back_open();
	struct blkrig_end *front = blkrig_front(&b, &vbd, NULL, NULL);
	is(blkrig_until_phase(&b, front, NF_BLK_RUNNING, 5000), 0, "resize: connected");
	is(blkrig_do(&b, front, NF_BLKOP_READ, BYTES / 1024, a, 4096), -EINVAL,
	   "resize: beyond the end");
	nf_store64(&gate.disk.geometry.sectors, BYTES / 512);
	struct nf_blkport *port = nf_blkfront_port(front->front, 0);
	for (int i = 0; i < 10000 && nf_load64(&port->geometry->sectors) != BYTES / 512; i++)
		blkrig_linger(&b, 1);
	is(nf_load64(&port->geometry->sectors), BYTES / 512, "resize: the user sees it");
	is(blkrig_do(&b, front, NF_BLKOP_READ, BYTES / 1024, a, 4096), 0, "resize: and can read");
	is(front->box[0]->starts, 1, "resize: nothing was reconnected");
	blkrig_end_close(front);
	blkrig_end_close(back);
	mem_vbd_remove(&vbd);
}

/* Both ends in order, again and again, with requests all the while. */
static void in_order(void)
{
	mem_vbd_create(&vbd, rig.w, 1, 0, 0);
	struct blkrig_end *back = back_open();
	struct blkrig_end *front = blkrig_front(&b, &vbd, NULL, NULL);
	is(blkrig_until_phase(&b, front, NF_BLK_RUNNING, 5000), 0, "in order: connected");
	for (int i = 0; i < 5; i++) {
		struct iovec v;
		blkrig_fill(a, 4096, (uint64_t)i, 3);
		struct nf_blkreq r = write_of(&v, a, 8);
		nf_blkback_shutdown(back->back);
		blkrig_post(&b, front, 0, &r, 1);
		is(blkrig_until_phase(&b, back, NF_BLK_CLOSED, 5000), 0, "in order: closed");
		blkrig_end_close(back);
		back = back_open();
		is(blkrig_wait(&b, front, 0, &r, 1, 5000), 0, "in order: answered");
		ok(memcmp(blkgate_bytes(&gate) + 4096, a, 4096) == 0, "in order: written");
	}
	is(nf_blkfront_shutdown(front->front), 0, "in order: the front goes");
	is(nf_blkfront_shutdown(front->front), 0, "device_close_twice: front");
	is(blkrig_until_phase(&b, front, NF_BLK_CLOSED, 5000), 0, "in order: it is Closed");
	is(blkrig_until_phase(&b, back, NF_BLK_CLOSED, 5000), 0, "in order: so is the back");
	is(nf_blkback_shutdown(back->back), 0, "device_close_twice: back");
	is(nf_blkback_shutdown(back->back), 0, "device_close_twice: and once more");
	is(nf_blkback_step(back->back), NF_BLK_CLOSED, "device_close_twice: it stays Closed");
	blkrig_end_close(front);
	blkrig_end_close(back);
	mem_vbd_remove(&vbd);
}

/* What is said to be granted beforehand, for a budget, is what is granted. */
static void pages(void)
{
	const struct nf_blk_config cases[] = {
		{.ring_pages = 0},
		{.ring_pages = 4, .indirect = 600, .pool_pages = 1000},
		{.ring_pages = 2, .indirect = 11, .pool_pages = 5},
		{.ring_pages = 16, .indirect = 4096, .pool_pages = 100000},
		{.queues = 3, .abi = NF_BLK_ABI_X86_32, .grants = NF_BLK_GRANTS_PERSISTENT},
	};
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct nf_blk_config *wish = &cases[i];
		const struct nf_blk_config most = {.disk = &gate.disk,
						   .queues = NF_BLK_QUEUES_MAX,
						   .ring_pages = NF_BLK_RING_PAGES_MAX,
						   .indirect = 4096};
		struct mem_baseline before, now;
		mem_world_baseline(rig.w, &before);
		mem_vbd_create(&vbd, rig.w, 1, 0, 0);
		struct blkrig_end *back = blkrig_back(&b, &vbd, &most, NULL);
		struct blkrig_end *front = blkrig_front(&b, &vbd, wish, NULL);
		is(blkrig_until_phase(&b, front, NF_BLK_RUNNING, 5000), 0, "pages: connected");
		mem_world_baseline(rig.w, &now);
		is(now.grants - before.grants,
		   (wish->queues ? wish->queues : 1) * nf_blkfront_queue_pages(wish),
		   "pages: as many as were said");
		blkrig_end_close(front);
		blkrig_end_close(back);
		mem_vbd_remove(&vbd);
	}
}

int main(void)
{
	struct mem_baseline base;
	char why[512];
	rig_open(&rig, NF_POLL_ADAPTIVE);
	blkrig_open(&b, &rig);
	blkgate_open(&gate, BYTES);
	rig_domain(&rig, 0);
	rig_domain(&rig, 1);
	mem_world_baseline(rig.w, &base);
	fence();
	replay();
	barrier();
	resize();
	in_order();
	pages();
	if (!is(mem_world_settle(rig.w, &base, 2000, why, sizeof(why)), 0, "nothing is left"))
		diag("%s", why);
	blkrig_close(&b);
	rig_close(&rig);
	blkgate_free(&gate);
	return done();
}
