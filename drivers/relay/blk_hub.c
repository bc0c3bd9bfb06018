/* SPDX-License-Identifier: MIT */
/*
 * copy: one outer disk, shown as one disk for each window of it. Their requests share the outer
 * queues and are told apart by the token; the outer front does the copying, and keeps what is in
 * flight when its back goes.
 *
 * The outer queues, the tables beside them and every window's port are one poller's. The control
 * thread changes them only from there: the outer front when it loses and finds its back, and a
 * window's port when it goes while its siblings run.
 */
#include "relay/blk.h"

#include <stdlib.h>
#include <string.h>

struct nf__hub_port {
	struct nf_blkport p; /* first */
	struct nf__hub_queue *hub;
	struct nf__hub_disk *disk;
	uint32_t done_head, done_count;
	struct nf_blkdone done[NF__HUB_DEPTH];
};

static struct nf__hub_port *port_of(struct nf_blkport *p)
{
	return p->priv;
}

static void done_put(struct nf__hub_port *x, uint64_t token, int error)
{
	x->done[(x->done_head + x->done_count++) % NF__HUB_DEPTH] = (struct nf_blkdone){
		.token = token, .error = error};
}

static bool is_in_window(const struct nf_blkport *p, const struct nf_blkreq *r)
{
	uint64_t all = nf_load64(&p->geometry->sectors);
	return r->op == NF_BLKOP_FLUSH || (r->sector < all && r->sectors <= all - r->sector);
}

static int port_submit(struct nf_blkport *p, const struct nf_blkreq *reqs, uint32_t n)
{
	struct nf__hub_port *x = port_of(p);
	struct nf__hub_queue *h = x->hub;
	uint32_t taken = 0;
	for (; taken < n && h->free_sp > 0 && x->done_count < NF__HUB_DEPTH; taken++) {
		struct nf_blkreq r = reqs[taken];
		uint16_t slot = h->free_stack[h->free_sp - 1];
		if (nf__unlikely(!is_in_window(p, &r))) {
			done_put(x, r.token, -EINVAL);
			continue;
		}
		h->slots[slot] = (struct nf__hub_slot){.owner = x, .token = r.token};
		r.token = slot;
		r.sector += x->disk->start;
		int rc = h->outer->ops->submit(h->outer, &r, 1);
		if (rc < 0)
			return rc;
		if (rc == 0)
			break;
		h->free_sp--;
	}
	return (int)taken;
}

static void hub_drain(struct nf__hub_queue *h)
{
	struct nf_blkdone done[NF_BLK_BATCH];
	int n;
	do {
		n = h->outer->ops->reap(h->outer, done, NF_BLK_BATCH);
		for (int i = 0; i < n; i++) {
			struct nf__hub_slot *s = &h->slots[done[i].token];
			if (s->owner)
				done_put(s->owner, s->token, done[i].error);
			s->owner = NULL;
			h->free_stack[h->free_sp++] = (uint16_t)done[i].token;
		}
	} while (n == (int)NF_BLK_BATCH);
}

static int port_reap(struct nf_blkport *p, struct nf_blkdone *done, uint32_t cap)
{
	struct nf__hub_port *x = port_of(p);
	hub_drain(x->hub);
	uint32_t n = x->done_count < cap ? x->done_count : cap;
	for (uint32_t i = 0; i < n; i++) {
		done[i] = x->done[x->done_head];
		x->done_head = (x->done_head + 1) % NF__HUB_DEPTH;
	}
	x->done_count -= n;
	return (int)n;
}

static int port_arm(struct nf_blkport *p)
{
	struct nf__hub_port *x = port_of(p);
	return x->done_count > 0 ? 1 : x->hub->outer->ops->arm(x->hub->outer);
}

static int poller_forget(void *ctx)
{
	struct nf__hub_port *x = ctx;
	struct nf__hub_queue *h = x->hub;
	for (uint32_t i = 0; i < NF__HUB_DEPTH; i++) {
		if (h->slots[i].owner != x)
			continue;
		h->slots[i].owner = NULL;
		h->outer->ops->abandon(h->outer, i);
	}
	return 0;
}

/* In order, nothing is in flight. At once, what is in flight loses its memory: the outer disk may
 * be away, and its siblings go on. */
static void port_close(struct nf_blkport *p)
{
	struct nf__hub_port *x = port_of(p);
	nf_poller_call(x->disk->outer->poller, poller_forget, x);
	free(x);
}

static const struct nf_blkport_ops port_ops = {
	.name = "relay",
	.submit = port_submit,
	.reap = port_reap,
	.arm = port_arm,
	.close = port_close,
};

static int disk_queue(struct nf_disk *d, uint32_t queue, uint32_t depth,
		      struct nf_counters *counters, struct nf_blkport *out)
{
	struct nf__hub_disk *w = (struct nf__hub_disk *)d;
	uint32_t queues = nf_blkfront_queues(w->outer->front);
	struct nf__hub_port *x = calloc(1, sizeof(*x));
	(void)depth;
	if (!x)
		return -ENOMEM;
	x->hub = w->outer->queues[queues ? queue % queues : 0];
	x->disk = w;
	x->p = (struct nf_blkport){.ops = &port_ops,
				   .fd = -1,
				   .depth = NF__HUB_DEPTH,
				   .mem_align = 512,
				   .segs_max = x->hub->outer->segs_max,
				   .bytes_max = x->hub->outer->bytes_max,
				   .idle_poll = 1,
				   .geometry = &d->geometry,
				   .counters = counters,
				   .priv = x};
	*out = x->p;
	return 0;
}

/* What part of the outer disk, as it is now, the window is. */
static int window_look(struct nf__hub_disk *w, struct nf_disk_geometry *g)
{
	const struct nf_blkport *p = nf_blkfront_port(w->outer->front, 0);
	uint64_t all = nf_load64(&p->geometry->sectors);
	if (all == 0)
		return -EAGAIN;
	*g = *p->geometry;
	if (w->start >= all || w->sectors > all - w->start)
		return -ERANGE;
	g->sectors = w->sectors ? w->sectors : all - w->start;
	return 0;
}

static int disk_refresh(struct nf_disk *d)
{
	struct nf_disk_geometry now;
	int rc = window_look((struct nf__hub_disk *)d, &now);
	if (rc || now.sectors == d->geometry.sectors)
		return rc;
	nf_store64(&d->geometry.sectors, now.sectors);
	return 1;
}

static const struct nf_disk_ops disk_ops = {
	.name = "relay", .queue = disk_queue, .refresh = disk_refresh};

int nf__hub_disk(struct nf__hub_disk *d, struct nf_blk_outer *o, uint64_t start, uint64_t sectors)
{
	*d = (struct nf__hub_disk){.disk = {.ops = &disk_ops, .cache = "none", .engine = "inline"},
				   .outer = o,
				   .start = start,
				   .sectors = sectors};
	return window_look(d, &d->disk.geometry);
}

int nf__hub_open(struct nf_blk_outer *o)
{
	for (uint32_t i = 0; i < NF_BLK_QUEUES_MAX; i++) {
		struct nf_blkport *p = nf_blkfront_port(o->front, i);
		if (!p)
			return 0;
		struct nf__hub_queue *h = calloc(1, sizeof(*h));
		if (!h)
			return -ENOMEM;
		h->outer = p;
		for (uint32_t k = 0; k < NF__HUB_DEPTH; k++)
			h->free_stack[h->free_sp++] = (uint16_t)(NF__HUB_DEPTH - 1 - k);
		o->queues[i] = h;
	}
	return 0;
}

void nf__hub_close(struct nf_blk_outer *o)
{
	for (uint32_t i = 0; i < NF_BLK_QUEUES_MAX; i++) {
		free(o->queues[i]);
		o->queues[i] = NULL;
	}
}
