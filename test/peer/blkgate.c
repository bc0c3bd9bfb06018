/* SPDX-License-Identifier: MIT */
/* A disk whose requests can be held back. */
#include "blkgate.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct blkgate *gate_of(struct nf_blkport *p)
{
	return p->priv;
}

static int port_submit(struct nf_blkport *p, const struct nf_blkreq *reqs, uint32_t n)
{
	struct blkgate *g = gate_of(p);
	uint32_t taken = 0;
	pthread_mutex_lock(&g->lock);
	for (uint32_t i = 0; i < BLKGATE_HELD && taken < n; i++) {
		struct blkgate_held *h = &g->held[i];
		if (h->is_used)
			continue;
		*h = (struct blkgate_held){.r = reqs[taken++], .port = p, .is_used = true};
		h->is_free = !(g->is_shut && h->r.op == NF_BLKOP_WRITE);
		g->holding += !h->is_free;
	}
	pthread_mutex_unlock(&g->lock);
	return (int)taken;
}

static int act(struct blkgate *g, const struct blkgate_held *h)
{
	uint8_t *at = g->bytes + h->r.sector * 512;
	if (h->error || h->r.op == NF_BLKOP_FLUSH) {
		g->flushes += h->r.op == NF_BLKOP_FLUSH;
		return h->error;
	}
	if (h->r.op == NF_BLKOP_DISCARD) {
		memset(at, 0, h->r.sectors * 512);
		return 0;
	}
	for (uint32_t i = 0; i < h->r.nsegs; i++) {
		if (h->r.op == NF_BLKOP_WRITE)
			memcpy(at, h->r.segs[i].iov_base, h->r.segs[i].iov_len);
		else
			memcpy(h->r.segs[i].iov_base, at, h->r.segs[i].iov_len);
		at += h->r.segs[i].iov_len;
	}
	g->writes += h->r.op == NF_BLKOP_WRITE;
	return 0;
}

static int port_reap(struct nf_blkport *p, struct nf_blkdone *done, uint32_t cap)
{
	struct blkgate *g = gate_of(p);
	uint32_t n = 0;
	pthread_mutex_lock(&g->lock);
	for (uint32_t i = 0; i < BLKGATE_HELD && n < cap; i++) {
		struct blkgate_held *h = &g->held[i];
		if (!h->is_used || h->port != p || !h->is_free)
			continue;
		done[n++] = (struct nf_blkdone){.token = h->r.token, .error = act(g, h)};
		h->is_used = false;
	}
	pthread_mutex_unlock(&g->lock);
	return (int)n;
}

static int count_of(struct nf_blkport *p, bool only_free)
{
	struct blkgate *g = gate_of(p);
	int n = 0;
	pthread_mutex_lock(&g->lock);
	for (uint32_t i = 0; i < BLKGATE_HELD; i++)
		n += g->held[i].is_used && g->held[i].port == p &&
		     (g->held[i].is_free || !only_free);
	pthread_mutex_unlock(&g->lock);
	return n;
}

static int port_arm(struct nf_blkport *p)
{
	return count_of(p, true);
}

/* As a disk does: waits until it is done with the memory it was lent. */
static void port_close(struct nf_blkport *p)
{
	struct nf_blkdone done[16];
	struct blkgate *g = gate_of(p);
	pthread_mutex_lock(&g->lock);
	for (uint32_t i = 0; i < BLKGATE_HELD && g->is_dead; i++) {
		if (!g->held[i].is_used || g->held[i].port != p)
			continue;
		g->holding -= !g->held[i].is_free;
		g->held[i].is_used = false;
	}
	pthread_mutex_unlock(&g->lock);
	while (count_of(p, false) > 0) {
		gate_of(p)->closes_waited++;
		if (port_reap(p, done, 16) == 0)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

static const struct nf_blkport_ops port_ops = {
	.name = "gate",
	.submit = port_submit,
	.reap = port_reap,
	.arm = port_arm,
	.close = port_close,
};

static int disk_queue(struct nf_disk *d, uint32_t queue, uint32_t depth,
		      struct nf_counters *counters, struct nf_blkport *out)
{
	(void)queue;
	(void)depth;
	*out = (struct nf_blkport){.ops = &port_ops,
				   .fd = -1,
				   .depth = 128,
				   .mem_align = 512,
				   .segs_max = 1024,
				   .idle_poll = 1,
				   .geometry = &d->geometry,
				   .counters = counters,
				   .priv = d};
	return 0;
}

static const struct nf_disk_ops disk_ops = {.name = "gate", .queue = disk_queue};

void blkgate_open(struct blkgate *g, uint64_t bytes)
{
	memset(g, 0, sizeof(*g));
	pthread_mutex_init(&g->lock, NULL);
	g->bytes = calloc(1, bytes);
	g->size = bytes;
	g->disk = (struct nf_disk){.ops = &disk_ops,
				   .geometry = {.sectors = bytes / 512,
						.physical_bytes = 512,
						.discard_bytes = 512,
						.flush = 1},
				   .cache = "none",
				   .engine = "inline"};
}

void blkgate_free(struct blkgate *g)
{
	pthread_mutex_destroy(&g->lock);
	free(g->bytes);
}

void blkgate_shut(struct blkgate *g, bool is_shut)
{
	pthread_mutex_lock(&g->lock);
	g->is_shut = is_shut;
	pthread_mutex_unlock(&g->lock);
	if (!is_shut)
		blkgate_release(g, 0);
}

void blkgate_release(struct blkgate *g, int error)
{
	pthread_mutex_lock(&g->lock);
	for (uint32_t i = 0; i < BLKGATE_HELD; i++) {
		if (!g->held[i].is_used || g->held[i].is_free)
			continue;
		g->held[i].error = error;
		g->held[i].is_free = true;
		g->holding--;
	}
	pthread_mutex_unlock(&g->lock);
}

uint32_t blkgate_holding(struct blkgate *g)
{
	pthread_mutex_lock(&g->lock);
	uint32_t n = g->holding;
	pthread_mutex_unlock(&g->lock);
	return n;
}

uint8_t *blkgate_bytes(struct blkgate *g)
{
	pthread_mutex_lock(&g->lock);
	uint8_t *bytes = g->bytes;
	pthread_mutex_unlock(&g->lock);
	return bytes;
}
