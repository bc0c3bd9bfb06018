/* SPDX-License-Identifier: MIT */
/* The generator of a blkfront, on a disk in memory: what it asks for, and what it notices. */
#include "blkdisk.h"
#include "nf/control.h"

static struct nf_counters counters, latency[NF_LATENCY_BLOCKS];
static struct nf_control_dev control;
static struct disk_under_test d;
static struct nf_blkuser gen;
static uint32_t deepest;

#define COUNTER(name) counters.words[NF_COUNTER_##name]

/* Runs until limit operations are done or nothing moves. */
static void go(uint32_t mode, uint32_t bytes, uint32_t depth, uint32_t limit, uint32_t verify)
{
	control.frame_bytes = bytes;
	control.batch = depth;
	control.limit = limit;
	control.verify_every = verify;
	control.mode = mode;
	control.epoch++;
	memset(&counters, 0, sizeof(counters));
	deepest = 0;
	for (uint32_t idle = 0; idle < 4; idle++) {
		if (gen.ops->run(&gen) > 0)
			idle = 0;
		uint32_t now = (uint32_t)(COUNTER(gen_packets) - COUNTER(sink_packets));
		deepest = now > deepest ? now : deepest;
	}
	control.mode = NF_GEN_IDLE;
}

int main(void)
{
	const struct nf_blkuser_env env = {
		.queues = 1, .control = &control, .counters = &counters, .latency = latency};
	char err[100];
	if (dut_open(&d, "mem:4M", true, 64) ||
	    nf_blkuser_open("gen", &env, &gen, err, sizeof(err)))
		return 1;
	is(gen.ops->run(&gen), 0, "without a disk it does nothing");
	is(gen.ops->start(&gen, &d.port), 0, "it is given one");
	is(gen.ops->run(&gen), 0, "idle, it does nothing");
	is(gen.ops->arm(&gen), 0, "and may sleep");
	control.mode = NF_GEN_SEQ_WRITE;
	is(gen.ops->arm(&gen), 1, "told to write, it may not");

	go(NF_GEN_SEQ_WRITE, 4096, 32, 1024, 1);
	is(COUNTER(sink_packets), 1024, "1,024 blocks: the whole disk, once");
	is(COUNTER(sink_bytes), 4 << 20, "4 MiB");
	is(deepest, 32, "32 in flight");
	go(NF_GEN_RAND_READ, 4096, 7, 5000, 1);
	is(COUNTER(sink_verified), 5000, "read at random, all checked");
	is(COUNTER(sink_corrupted), 0, "all right");
	is(deepest, 7, "7 in flight");
	go(NF_GEN_SEQ_READ, 4096, 0, 1024, 1);
	is(COUNTER(sink_corrupted), 0, "and in order");
	is(deepest, 32, "32 when nobody says");

	uint8_t one[512];
	is(dut_data(&d.port, NF_BLKOP_READ, 8 * 77, one, 512), 0, "one byte");
	one[300] ^= 1;
	is(dut_data(&d.port, NF_BLKOP_WRITE, 8 * 77, one, 512), 0, "is changed");
	go(NF_GEN_SEQ_READ, 4096, 32, 1024, 1);
	is(COUNTER(sink_corrupted), 1, "and that is noticed");
	go(NF_GEN_SEQ_READ, 4096, 32, 1024, 0);
	is(COUNTER(sink_verified), 0, "unless nobody wants it checked");

	go(NF_GEN_RAND_WRITE, 256 << 10, 300, 100, 0);
	is(COUNTER(sink_bytes), 100ull * (256 << 10), "blocks of 256 KiB");
	ok(deepest <= 64, "no deeper than the disk is");
	go(NF_GEN_SEQ_WRITE, 777, 1, 10, 0);
	is(COUNTER(sink_bytes), 40960, "a size that is none is 4,096");
	go(NF_GEN_SEND, 4096, 1, 10, 0);
	is(COUNTER(gen_packets), 0, "frames are not for it");
	uint64_t timed = 0;
	for (uint32_t i = 0; i < NF_LATENCY_BUCKETS; i++)
		timed += ((uint64_t *)(void *)((uint8_t *)latency + sizeof(latency->h)))[i];
	ok(timed > 400, "%llu of them were timed", (unsigned long long)timed);

	gen.ops->stop(&gen);
	is(gen.ops->run(&gen), 0, "its disk gone, it does nothing");
	nf_blkuser_close(&gen);
	dut_close(&d);
	return done();
}
