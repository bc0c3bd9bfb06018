/* SPDX-License-Identifier: MIT */
/* The counters page: layout as readers see it, blocks taken and dropped, reads while it changes. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nf/atomics.h"
#include "nf/counters.h"
#include "tap.h"

static bool all_zero(const struct nf_counters *b, uint32_t run)
{
	const uint8_t *at = (const uint8_t *)b;

	for (size_t i = 4; i < run * sizeof(*b); i++)
		if (at[i] && i != offsetof(struct nf_block_header, run))
			return false;
	return true;
}

static void test_shared(void)
{
	struct nf_counters_map m, again;
	int fd = memfd_create("counters", MFD_CLOEXEC);

	is(ftruncate(fd, 8192), 0, "a page of 8 KiB");
	is(nf_counters_open(&m, fd, 0, 3), 0, "open");
	is(m.count, 15, "its blocks");
	const struct nf_counters_header *h = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	is(h->magic, NF_COUNTERS_MAGIC, "a reader sees the magic");
	is(h->version, NF_COUNTERS_VERSION, "version");
	is(h->counters, NF_COUNTER_COUNT, "words");
	is(h->blocks, 15, "blocks");
	is(h->block_bytes, 512, "their size");
	is(h->domid, 3, "domid");
	is(h->pid, getpid(), "pid");
	struct nf_counters *b = nf_counters_take(&m, 1);
	NF_COUNT(b, tx_packets, 7);
	NF_COUNT(b, tx_packets, 5);
	const struct nf_counters *seen = (const void *)((const uint8_t *)h + 512);
	is(seen->words[NF_COUNTER_tx_packets], 12, "a counter at its place");
	is(nf_counters_open(&again, fd, 0, 4), 0, "a later writer");
	is(seen->words[NF_COUNTER_tx_packets], 0, "starts from zero");
	ok(nf_counters_take(&again, 1) == again.blocks, "with every block free");
	nf_counters_close(&again);
	nf_counters_close(&m);
	nf_counters_close(&m);
	ok(!m.hdr, "closed, twice");
	munmap((void *)(uintptr_t)h, 8192);
	close(fd);
}

static void test_blocks(void)
{
	struct nf_counters_map m;
	struct nf_counters *b[8];

	is(nf_counters_open(&m, -1, 8, 0), 0, "private blocks");
	for (int i = 0; i < 8; i++)
		b[i] = nf_counters_take(&m, 1);
	ok(b[0] == m.blocks && b[7] == m.blocks + 7, "eight, in order");
	ok(!nf_counters_take(&m, 1), "no ninth");
	uint32_t seq = b[3]->h.seq;
	NF_COUNT(b[3], rx_bytes, 99);
	nf_counters_drop(&m, b[3], 1);
	ok(b[3]->h.seq > seq && b[3]->h.seq % 2 == 0, "a drop is a change a reader sees");
	ok(nf_counters_take(&m, 1) == b[3] && all_zero(b[3], 1), "taken again, zeroed");
	for (int i = 1; i < 6; i++) {
		memset((uint8_t *)b[i] + 64, 0xff, 448);
		nf_counters_drop(&m, b[i], 1);
	}
	ok(!nf_counters_take(&m, 6), "no six in a row");
	struct nf_counters *run = nf_counters_take(&m, NF_LATENCY_BLOCKS);
	ok(run == b[1] && all_zero(run, NF_LATENCY_BLOCKS), "four in a row, zeroed");
	is(run[1].h.seq, 0, "also where single blocks have their header");
	memset((uint8_t *)run + 64, 0xee, NF_LATENCY_BUCKETS * 8);
	ok(nf_counters_take(&m, 1) == b[5], "full buckets are not taken for free blocks");
	ok(!nf_counters_take(&m, 1), "none is left");
	nf_counters_drop(&m, run, NF_LATENCY_BLOCKS);
	ok(nf_counters_take(&m, NF_LATENCY_BLOCKS) == run && all_zero(run, NF_LATENCY_BLOCKS),
	   "dropped and taken again");
	nf_counters_drop(&m, NULL, 1);
	nf_counters_drop(&m, m.blocks + 8, 1);
	nf_counters_drop(&m, m.blocks + 6, 9);
	ok(!nf_counters_take(&m, 1), "dropping what is not there frees nothing");
	ok(!nf_counters_take(&m, 0) && !nf_counters_take(&m, 256), "runs of 0 and 256 are refused");
	nf_counters_close(&m);
}

static void test_arguments(void)
{
	struct nf_counters_map m = {0};
	int fd = memfd_create("counters", MFD_CLOEXEC);

	is(nf_counters_open(&m, fd, 4, 0), -EINVAL, "an empty file");
	is(ftruncate(fd, 1023), 0, "one byte less than a block");
	is(nf_counters_open(&m, fd, 4, 0), -EINVAL, "too small");
	is(nf_counters_open(&m, -1, 0, 0), -EINVAL, "no blocks");
	is(nf_counters_open(&m, -1, 1u << 20, 0), -EINVAL, "too many blocks");
	ok(!m.hdr, "nothing opened");
	close(fd);
	is(nf_counters_open(&m, fd, 4, 0), -EBADF, "a closed descriptor");
}

static void test_latency(void)
{
	uint32_t last = 0;
	bool rises = true;

	for (uint64_t ns = 0; ns < 100000; ns++) {
		uint32_t b = nf_latency_bucket(ns);
		rises = rises && (b == last || b == last + 1);
		last = b;
	}
	ok(rises, "buckets follow each other without gaps");
	is(nf_latency_bucket(15), 15, "one bucket a nanosecond at first");
	is(nf_latency_bucket(16), 16, "then eight for each power of two");
	is(nf_latency_bucket(32), 24, "here too");
	is(nf_latency_bucket(UINT64_MAX), NF_LATENCY_BUCKETS - 1, "the last takes the rest");
}

struct reader {
	const struct nf_counters *block;
	atomic_bool *stop;
	uint64_t seen, torn;
};

/* As lib/api/counters does: read, and again when seq was odd or changed meanwhile. */
static void *reader_main(void *arg)
{
	struct reader *r = arg;

	while (!atomic_load(r->stop)) {
		uint32_t before = nf_load_acquire(&r->block->h.seq);
		uint32_t peer = __atomic_load_n(&r->block->h.generation, __ATOMIC_RELAXED);
		int32_t error = __atomic_load_n(&r->block->h.error, __ATOMIC_RELAXED);
		nf_full_barrier();
		if (before % 2 || nf_load_relaxed(&r->block->h.seq) != before)
			continue;
		r->seen++;
		r->torn += (uint32_t)-error != peer;
	}
	return NULL;
}

static void test_seqlock(void)
{
	struct nf_counters_map m;
	atomic_bool stop = false;
	pthread_t t;

	is(nf_counters_open(&m, -1, 1, 0), 0, "open");
	struct nf_counters *b = nf_counters_take(&m, 1);
	struct reader r = {.block = b, .stop = &stop};
	pthread_create(&t, NULL, reader_main, &r);
	for (uint32_t i = 0; i < 400000; i++) {
		nf_block_begin(b);
		__atomic_store_n(&b->h.generation, i, __ATOMIC_RELAXED);
		__atomic_store_n(&b->h.error, -(int32_t)i, __ATOMIC_RELAXED);
		nf_block_end(b);
		for (int spin = 0; spin < 20; spin++)
			nf_cpu_relax();
	}
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	diag("%llu consistent reads", (unsigned long long)r.seen);
	is(r.torn, 0, "no reader sees half a change");
	nf_counters_close(&m);
}

int main(void)
{
	test_shared();
	test_blocks();
	test_arguments();
	test_latency();
	test_seqlock();
	return done();
}
