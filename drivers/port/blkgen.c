/* SPDX-License-Identifier: MIT */
/*
 * "gen": load on a blkfront, switched by the control page while it runs: sequential or random
 * blocks, read or written, a fixed number in flight.
 *
 * Every written block begins with its number and the generator's seed. With verify_every 1 the
 * whole block follows from them: it is written in full, and a read of it is checked in full.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nf/atomics.h"
#include "users.h"

#define DEPTH_MAX 256u
#define DEPTH 32u
#define BLOCK_BYTES 4096u
#define BLOCK_BYTES_MAX (1u << 20)
#define SAMPLE_EVERY 16u /* a clock costs as much as the request on a null disk */
#define STEP 0x9e3779b97f4a7c15ull

struct op {
	struct iovec iov;
	uint64_t sector, since_ns; /* 0: not timed */
	bool is_read;
};

struct blkgen {
	const struct nf_control_dev *control;
	struct nf_counters *counters;
	uint64_t *latency; /* buckets, NULL: none */
	struct nf_blkport *disk;
	uint8_t *own; /* memory where the disk has no pool */
	struct op ops[DEPTH_MAX];
	uint16_t free[DEPTH_MAX];
	uint32_t free_count, in_flight, asked_depth, block_bytes;
	uint32_t mode, epoch, is_verified;
	uint64_t made, next_block, random, seed;
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t word_of(const struct blkgen *g, uint64_t sector)
{
	return (sector + g->seed) * 0xd6e8feb86659fd93ull;
}

static void write_block(const struct blkgen *g, const struct op *o)
{
	uint64_t *w = o->iov.iov_base, v = word_of(g, o->sector);
	w[0] = o->sector;
	w[1] = v;
	for (size_t i = 2; g->is_verified && i < o->iov.iov_len / 8; i++)
		w[i] = v += STEP;
}

static bool is_right(const struct blkgen *g, const struct op *o)
{
	const uint64_t *w = o->iov.iov_base;
	uint64_t v = word_of(g, o->sector), wrong = (w[0] ^ o->sector) | (w[1] ^ v);
	for (size_t i = 2; i < o->iov.iov_len / 8; i++)
		wrong |= w[i] ^ (v += STEP);
	return wrong == 0;
}

/* Shares the memory out anew; nothing is in flight. */
static bool reshape(struct blkgen *g, uint32_t block_bytes, uint32_t depth)
{
	uint64_t room = g->disk->pool ? g->disk->pool_bytes : (uint64_t)DEPTH_MAX * block_bytes;
	uint8_t *base = g->disk->pool;
	if (depth * (uint64_t)block_bytes > room)
		depth = (uint32_t)(room / block_bytes);
	if (depth > g->disk->depth)
		depth = g->disk->depth;
	if (depth == 0)
		return false;
	if (!base) {
		free(g->own);
		g->own = base = aligned_alloc(BLOCK_BYTES,
					      ((size_t)depth * block_bytes + BLOCK_BYTES - 1) &
						      ~(size_t)(BLOCK_BYTES - 1));
		if (!base)
			return false;
		memset(base, 0, (size_t)depth * block_bytes);
	}
	g->block_bytes = block_bytes;
	g->free_count = 0;
	for (uint32_t i = depth; i-- > 0;) {
		g->ops[i].iov = (struct iovec){base + (size_t)i * block_bytes, block_bytes};
		g->free[g->free_count++] = (uint16_t)i;
	}
	g->next_block = 0;
	return true;
}

static bool is_blk_mode(uint32_t mode)
{
	return mode >= NF_GEN_SEQ_READ && mode <= NF_GEN_RAND_WRITE;
}

/* Follows the control page; false: nothing to make now. */
static bool follow(struct blkgen *g)
{
	uint32_t mode = nf_load_relaxed(&g->control->mode);
	uint32_t bytes = nf_load_relaxed(&g->control->frame_bytes);
	uint32_t depth = nf_load_relaxed(&g->control->batch);
	uint32_t epoch = nf_load_relaxed(&g->control->epoch);

	if (!is_blk_mode(mode))
		return false;
	if (bytes == 0 || bytes % NF_SECTOR_BYTES || bytes > BLOCK_BYTES_MAX)
		bytes = BLOCK_BYTES;
	if (depth == 0 || depth > DEPTH_MAX)
		depth = depth ? DEPTH_MAX : DEPTH;
	if (epoch != g->epoch) {
		g->epoch = epoch;
		g->made = 0;
		g->next_block = 0;
	}
	if (bytes != g->block_bytes || depth != g->asked_depth) {
		if (g->in_flight || !reshape(g, bytes, depth))
			return false; /* drains first */
		g->asked_depth = depth;
	}
	g->mode = mode;
	g->is_verified = nf_load_relaxed(&g->control->verify_every) == 1;
	return true;
}

static uint64_t pick(struct blkgen *g, uint64_t blocks)
{
	if (g->mode == NF_GEN_SEQ_READ || g->mode == NF_GEN_SEQ_WRITE) {
		if (g->next_block >= blocks)
			g->next_block = 0;
		return g->next_block++;
	}
	g->random ^= g->random << 13;
	g->random ^= g->random >> 7;
	g->random ^= g->random << 17;
	return (uint64_t)(((unsigned __int128)g->random * blocks) >> 64);
}

static uint32_t room_for(const struct blkgen *g)
{
	uint32_t limit = nf_load_relaxed(&g->control->limit), n = g->free_count;
	if (limit && g->made + n > limit)
		n = g->made < limit ? (uint32_t)(limit - g->made) : 0;
	return n;
}

static int make(struct blkgen *g)
{
	struct nf_blkreq batch[DEPTH_MAX];
	uint64_t sectors = nf_load64(&g->disk->geometry->sectors);
	uint64_t block_sectors = g->block_bytes / NF_SECTOR_BYTES;
	uint32_t n = room_for(g);
	if (n == 0 || sectors < block_sectors)
		return 0;
	uint64_t blocks = sectors / block_sectors;
	for (uint32_t i = 0; i < n; i++) {
		uint16_t index = g->free[g->free_count - 1 - i];
		struct op *o = &g->ops[index];
		o->is_read = g->mode == NF_GEN_SEQ_READ || g->mode == NF_GEN_RAND_READ;
		o->sector = pick(g, blocks) * block_sectors;
		o->since_ns = g->latency && (g->made + i) % SAMPLE_EVERY == 0 ? now_ns() : 0;
		if (!o->is_read)
			write_block(g, o);
		batch[i] = (struct nf_blkreq){.token = index,
					      .sector = o->sector,
					      .sectors = block_sectors,
					      .segs = &o->iov,
					      .nsegs = 1,
					      .op = o->is_read ? NF_BLKOP_READ : NF_BLKOP_WRITE};
	}
	int taken = g->disk->ops->submit(g->disk, batch, n);
	if (taken <= 0)
		return taken;
	if ((uint32_t)taken < n && g->mode <= NF_GEN_SEQ_WRITE) /* not made: made next time */
		g->next_block -= n - (uint32_t)taken;
	g->free_count -= (uint32_t)taken;
	g->in_flight += (uint32_t)taken;
	g->made += (uint32_t)taken;
	if (g->counters)
		NF_COUNT(g->counters, gen_packets, taken);
	return taken;
}

static void finish(struct blkgen *g, const struct nf_blkdone *d, uint64_t *bytes)
{
	struct op *o = &g->ops[d->token % DEPTH_MAX];
	g->free[g->free_count++] = (uint16_t)(d->token % DEPTH_MAX);
	g->in_flight--;
	if (o->since_ns)
		nf_count(&g->latency[nf_latency_bucket(now_ns() - o->since_ns)], 1);
	if (d->error) {
		if (g->counters)
			NF_COUNT(g->counters, sink_lost, 1);
		return;
	}
	*bytes += o->iov.iov_len;
	if (!o->is_read || !g->is_verified || !g->counters)
		return;
	NF_COUNT(g->counters, sink_verified, 1);
	if (!is_right(g, o))
		NF_COUNT(g->counters, sink_corrupted, 1);
}

static int collect(struct blkgen *g)
{
	struct nf_blkdone done[DEPTH_MAX];
	uint64_t bytes = 0;
	if (g->in_flight == 0)
		return 0;
	int n = g->disk->ops->reap(g->disk, done, DEPTH_MAX);
	for (int i = 0; i < n; i++)
		finish(g, &done[i], &bytes);
	if (n > 0 && g->counters) {
		NF_COUNT(g->counters, sink_packets, n);
		NF_COUNT(g->counters, sink_bytes, bytes);
	}
	return n;
}

static int gen_run(struct nf_blkuser *u)
{
	struct blkgen *g = u->priv;
	if (!g->disk || !g->control)
		return 0;
	int done = collect(g);
	if (done < 0)
		return done;
	int made = follow(g) ? make(g) : 0;
	return made < 0 ? made : done + made;
}

static int gen_arm(struct nf_blkuser *u)
{
	struct blkgen *g = u->priv;
	return g->disk && g->control && follow(g) && g->in_flight == 0 && room_for(g) > 0;
}

static int gen_fds(struct nf_blkuser *u, int *fds, int cap)
{
	(void)u, (void)fds, (void)cap;
	return 0; /* the control page is looked at by the poller */
}

static int gen_start(struct nf_blkuser *u, struct nf_blkport *disk)
{
	struct blkgen *g = u->priv;
	g->disk = disk;
	g->block_bytes = g->asked_depth = g->in_flight = 0;
	return 0;
}

static void gen_stop(struct nf_blkuser *u)
{
	struct blkgen *g = u->priv;
	g->disk = NULL;
}

static void gen_close(struct nf_blkuser *u)
{
	struct blkgen *g = u->priv;
	free(g->own);
	free(g);
	u->priv = NULL;
}

static const struct nf_blkuser_ops gen_ops = {
	.name = "gen",
	.start = gen_start,
	.stop = gen_stop,
	.run = gen_run,
	.arm = gen_arm,
	.fds = gen_fds,
	.close = gen_close,
};

int nf__blkuser_open_gen(const struct nf_blkuser_env *env, struct nf_blkuser *out)
{
	struct blkgen *g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->control = env->control;
	g->counters = env->counters;
	if (env->latency) /* buckets follow the one header of the region */
		g->latency = (uint64_t *)(void *)((uint8_t *)env->latency +
						  sizeof(struct nf_block_header));
	g->seed = 0x6e65737466726f6eull; /* the same always: what one run wrote another checks */
	g->random = now_ns() | 1;
	if (g->control)
		g->epoch = nf_load_relaxed(&g->control->epoch);
	*out = (struct nf_blkuser){.ops = &gen_ops, .counters = env->counters, .priv = g};
	return 0;
}
