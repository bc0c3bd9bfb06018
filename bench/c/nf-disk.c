/* SPDX-License-Identifier: MIT */
/*
 * The disk benchmarks' native end: the same generator and the same disk as a stack's, without ring,
 * grants or a second process. Orders come a line each, "MODE BLOCK_BYTES DEPTH MS", answers go out
 * as one JSON object a line. With --sleep it waits for completions as a back does, without
 * spinning.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "nf/blkport.h"

#define SETTLE_NS 20000000ull

struct bench {
	struct nf_disk disk;
	struct nf_blkport port;
	struct nf_blkuser gen;
	struct nf_control_dev control;
	struct nf_counters counters;
	bool is_sleeping; /* when nothing came for a while */
};

static uint64_t count_of(const struct bench *b, enum nf_counter c)
{
	return b->counters.words[c];
}

static uint32_t mode_of(const char *word)
{
	static const char *const words[] = {"seqRead", "seqWrite", "randRead", "randWrite"};
	for (uint32_t i = 0; i < 4; i++)
		if (!strcmp(word, words[i]))
			return NF_GEN_SEQ_READ + i;
	return NF_GEN_IDLE;
}

/* For a completion, or until the time is over. */
static void wait_for(struct bench *b, uint64_t ns)
{
	struct pollfd fd = {.fd = b->port.fd, .events = POLLIN};
	if (fd.fd < 0 || (b->port.ops->arm && b->port.ops->arm(&b->port) > 0))
		return;
	if (poll(&fd, 1, (int)(ns / 1000000) + 1) > 0 && b->port.ops->woken)
		b->port.ops->woken(&b->port);
}

/* Until the time is over; negative: the disk is dead. */
static int run_until(struct bench *b, uint64_t end_ns)
{
	uint64_t now;
	while ((now = win_now_ns()) < end_ns) {
		int moved = 0;
		for (int i = 0; i < 16; i++) {
			int rc = b->gen.ops->run(&b->gen);
			if (rc < 0)
				return rc;
			moved += rc;
		}
		if (moved == 0 && b->is_sleeping) /* as a back's poller: a disk is not spun for */
			wait_for(b, end_ns - now);
	}
	return 0;
}

static int drain(struct bench *b)
{
	b->control.mode = NF_GEN_IDLE;
	while (count_of(b, NF_COUNTER_sink_packets) + count_of(b, NF_COUNTER_sink_lost) <
	       count_of(b, NF_COUNTER_gen_packets)) {
		int rc = b->gen.ops->run(&b->gen);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int serve(struct bench *b, const char *line)
{
	char word[16];
	unsigned int bytes, depth, ms;
	if (sscanf(line, "%15s %u %u %u", word, &bytes, &depth, &ms) != 4 || !mode_of(word)) {
		fprintf(stderr, "nf-disk: an order is MODE BLOCK_BYTES DEPTH MS\n");
		return -EINVAL;
	}
	b->control = (struct nf_control_dev){.frame_bytes = bytes,
					     .batch = depth,
					     .mode = mode_of(word),
					     .epoch = b->control.epoch + 1};
	uint64_t start = win_now_ns() + SETTLE_NS;
	int rc = run_until(b, start);
	uint64_t ops = count_of(b, NF_COUNTER_sink_packets);
	start = win_now_ns();
	if (rc == 0)
		rc = run_until(b, start + ms * 1000000ull);
	uint64_t ns = win_now_ns() - start;
	ops = count_of(b, NF_COUNTER_sink_packets) - ops;
	if (rc == 0)
		rc = drain(b);
	printf("{\"operations\":%llu,\"ns\":%llu,\"errors\":%llu}\n", (unsigned long long)ops,
	       (unsigned long long)ns, (unsigned long long)count_of(b, NF_COUNTER_sink_lost));
	fflush(stdout);
	return rc;
}

int main(int argc, char **argv)
{
	static struct bench b;
	char line[128], err[200] = "";
	const struct nf_disk_env env = {.direct_io_safe = true};
	const struct nf_blkuser_env user = {
		.queues = 1, .control = &b.control, .counters = &b.counters};

	b.is_sleeping = argc == 3 && !strcmp(argv[2], "--sleep");
	if (argc != 2 && !b.is_sleeping) {
		fprintf(stderr, "usage: nf-disk DISK [--sleep]\n");
		return 2;
	}
	int rc = nf_disk_open(argv[1], &env, &b.disk, err, sizeof(err));
	if (rc == 0)
		rc = nf_disk_queue(&b.disk, 0, 0, &b.counters, &b.port);
	if (rc == 0)
		rc = nf_blkuser_open("gen", &user, &b.gen, err, sizeof(err));
	if (rc == 0)
		rc = b.gen.ops->start(&b.gen, &b.port);
	if (rc) {
		fprintf(stderr, "nf-disk: %s: %s\n", argv[1], err[0] ? err : strerror(-rc));
		return 1;
	}
	printf("{\"cache\":\"%s\",\"engine\":\"%s\"}\n", b.disk.cache, b.disk.engine);
	fflush(stdout);
	while (rc == 0 && fgets(line, sizeof(line), stdin))
		rc = serve(&b, line);
	b.gen.ops->stop(&b.gen);
	nf_blkuser_close(&b.gen);
	nf_blkport_close(&b.port);
	nf_disk_close(&b.disk);
	return rc ? 1 : 0;
}
