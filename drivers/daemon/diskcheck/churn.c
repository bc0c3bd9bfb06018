/* SPDX-License-Identifier: MIT */
/*
 * Threads, each with a part of the region, write, read, flush and give back blocks at random for a
 * while, and know of each block which version was acknowledged last. At the end all are read.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "diskcheck.h"

#define STEPS_MIN 32 /* on a machine that is too busy for the time given */

struct worker {
	pthread_t thread;
	int fd;
	const struct dc_options *o;
	uint64_t first, blocks; /* its part */
	uint64_t random, version;
	uint64_t *versions; /* [blocks]; 0: nobody knows */
	uint8_t *buf;
	double end;
	struct dc_result r;
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int compare(struct worker *w, uint64_t at, uint64_t count)
{
	int rc = dc_read(w->fd, w->buf, count * DC_BLOCK_BYTES, (w->first + at) * DC_BLOCK_BYTES);
	w->r.reads++;
	for (uint64_t i = 0; rc == 0 && i < count; i++) {
		uint64_t version = w->versions[at + i];
		if (version == 0)
			continue;
		w->r.bytes += DC_BLOCK_BYTES;
		w->r.wrong += !dc_check(w->buf + i * DC_BLOCK_BYTES, w->first + at + i, version,
					w->o->seed);
	}
	return rc;
}

static int overwrite(struct worker *w, uint64_t at, uint64_t count)
{
	w->version++;
	for (uint64_t i = 0; i < count; i++)
		dc_fill(w->buf + i * DC_BLOCK_BYTES, w->first + at + i, w->version, w->o->seed);
	int rc = dc_write(w->fd, w->buf, count * DC_BLOCK_BYTES, (w->first + at) * DC_BLOCK_BYTES);
	w->r.writes++;
	for (uint64_t i = 0; i < count; i++)
		w->versions[at + i] = rc ? 0 : w->version;
	return rc;
}

static int give_back(struct worker *w, uint64_t at, uint64_t count)
{
	memset(w->versions + at, 0, count * sizeof(*w->versions));
	w->r.discards++;
	return dc_discard(w->fd, count * DC_BLOCK_BYTES, (w->first + at) * DC_BLOCK_BYTES);
}

static int step(struct worker *w)
{
	uint64_t count = 1 + dc_next(&w->random) % DC_RUN_BLOCKS;
	uint64_t what = dc_next(&w->random) % 100;
	if (count > w->blocks)
		count = w->blocks;
	uint64_t at = dc_next(&w->random) % (w->blocks - count + 1);
	if (what < 55)
		return overwrite(w, at, count);
	if (what < 85)
		return compare(w, at, count);
	if (what < 95 || !w->o->discard) {
		w->r.flushes++;
		return fdatasync(w->fd) < 0 ? -errno : 0;
	}
	return give_back(w, at, count);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	int rc = 0;
	for (uint32_t i = 0; rc == 0 && (i < STEPS_MIN || now() < w->end); i++)
		rc = step(w);
	for (uint64_t at = 0; rc == 0 && at < w->blocks; at += DC_RUN_BLOCKS) {
		uint64_t left = w->blocks - at;
		rc = compare(w, at, left < DC_RUN_BLOCKS ? left : DC_RUN_BLOCKS);
	}
	w->r.error = rc;
	return NULL;
}

static int worker_start(struct worker *w)
{
	void *buf = NULL;
	size_t bytes = (size_t)DC_RUN_BLOCKS * DC_BLOCK_BYTES;
	w->versions = calloc(w->blocks, sizeof(*w->versions));
	if (!w->versions || posix_memalign(&buf, DC_BLOCK_BYTES, bytes) != 0)
		return -ENOMEM;
	w->buf = buf;
	return -pthread_create(&w->thread, NULL, work, w);
}

static void add(struct dc_result *to, const struct dc_result *r)
{
	to->bytes += r->bytes;
	to->wrong += r->wrong;
	to->writes += r->writes;
	to->reads += r->reads;
	to->flushes += r->flushes;
	to->discards += r->discards;
	to->error = to->error ? to->error : r->error;
}

void dc_churn(int fd, const struct dc_options *o, struct dc_result *r)
{
	struct worker workers[DC_THREADS] = {{.fd = fd}};
	uint64_t blocks = o->bytes / DC_BLOCK_BYTES / DC_THREADS;
	uint32_t started = 0;

	if (blocks == 0) {
		dc_say("churn wants at least %u bytes", DC_THREADS * DC_BLOCK_BYTES);
		r->error = -EINVAL;
		return;
	}
	for (; r->error == 0 && started < DC_THREADS; started++) {
		struct worker *w = &workers[started];
		*w = (struct worker){.fd = fd,
				     .o = o,
				     .first = o->from / DC_BLOCK_BYTES + started * blocks,
				     .blocks = blocks,
				     .random = o->seed * DC_THREADS + started,
				     .end = now() + o->seconds};
		r->error = worker_start(w);
		if (r->error) {
			free(w->buf);
			free(w->versions);
			break;
		}
	}
	for (uint32_t i = 0; i < started; i++) {
		pthread_join(workers[i].thread, NULL);
		add(r, &workers[i].r);
		free(workers[i].buf);
		free(workers[i].versions);
	}
}
