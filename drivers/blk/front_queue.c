/* SPDX-License-Identifier: MIT */
/* One queue of blkfront: a port to its user, a poll item to the poller. */
#include "blk_front.h"

#include <stdlib.h>
#include <string.h>

static struct nf_blk_queue *queue_of(struct nf_poll_item *item)
{
	return (struct nf_blk_queue *)item;
}

/* ---- the port ---- */

static int segs_check(const struct nf_blkreq *r)
{
	uint64_t bytes = 0;
	if (r->nsegs == 0 || r->nsegs > NF_BLKREQ_SEGS_MAX || !r->segs)
		return -EINVAL;
	for (uint32_t i = 0; i < r->nsegs; i++) {
		if (r->segs[i].iov_len == 0 || r->segs[i].iov_len % NF_SECTOR_BYTES ||
		    r->segs[i].iov_len > NF_BLKREQ_BYTES_MAX)
			return -EINVAL;
		bytes += r->segs[i].iov_len;
	}
	return bytes == r->sectors * NF_SECTOR_BYTES && bytes <= NF_BLKREQ_BYTES_MAX ? 0 : -EINVAL;
}

/* 0: to the ring; 1: done with nothing to do; negative: done with that. */
static int req_check(const struct nf_blk_queue *q, const struct nf_blkreq *r)
{
	const struct nf_blk_disk *d = &q->features.disk;
	uint32_t unit = d->sector_bytes / NF_BLK_SECTOR_BYTES;
	if (r->op == NF_BLKOP_FLUSH)
		return d->flush || d->barrier ? 0 : 1;
	if (r->op > NF_BLKOP_DISCARD || r->sectors == 0 || (r->sector | r->sectors) & (unit - 1) ||
	    r->sector >= d->sectors || r->sectors > d->sectors - r->sector)
		return -EINVAL;
	if (r->op != NF_BLKOP_READ && d->is_readonly)
		return -EROFS;
	if (r->op != NF_BLKOP_DISCARD)
		return segs_check(r);
	return d->discard && (d->secure || !(r->flags & NF_BLKREQ_SECURE)) ? 0 : -EOPNOTSUPP;
}

static int port_submit(struct nf_blkport *p, const struct nf_blkreq *reqs, uint32_t n)
{
	struct nf_blk_queue *q = p->priv;
	uint32_t taken = 0;
	if (q->geometry.sectors == 0)
		return 0; /* nobody said yet what disk it is */
	for (; taken < n && q->free_sp > 0; taken++) {
		uint32_t req = q->free_stack[--q->free_sp];
		struct nf_blk_front_req *r = &q->reqs[req];
		*r = (struct nf_blk_front_req){.r = reqs[taken], .seq = q->seq++};
		int rc = req_check(q, &r->r);
		if (nf__likely(rc == 0))
			nf__bfq_fifo_put(q, req);
		else
			nf__bfq_done(q, req, rc > 0 ? 0 : rc);
	}
	return (int)taken;
}

static int port_reap(struct nf_blkport *p, struct nf_blkdone *done, uint32_t cap)
{
	struct nf_blk_queue *q = p->priv;
	uint32_t n = q->done_count < cap ? q->done_count : cap;
	for (uint32_t i = 0; i < n; i++) {
		uint16_t req = q->done_fifo[q->done_head];
		struct nf_blk_front_req *r = &q->reqs[req];
		done[i] = (struct nf_blkdone){.token = r->r.token, .error = r->error};
		r->stage = NF_BLK_REQ_FREE;
		q->free_stack[q->free_sp++] = req;
		q->done_head = (q->done_head + 1) % NF_BLK_FRONT_DEPTH;
	}
	q->done_count -= n;
	return (int)n;
}

static int port_arm(struct nf_blkport *p)
{
	const struct nf_blk_queue *q = p->priv;
	return q->done_count > 0;
}

static bool has_segs(const struct nf_blkreq *r)
{
	return r->op == NF_BLKOP_READ || r->op == NF_BLKOP_WRITE;
}

/* What is on the ring ends there; nothing more of it is copied, and it is not done again. */
static void port_abandon(struct nf_blkport *p, uint64_t token)
{
	struct nf_blk_queue *q = p->priv;
	for (uint32_t i = 0; i < NF_BLK_FRONT_DEPTH; i++) {
		struct nf_blk_front_req *r = &q->reqs[i];
		if (r->stage == NF_BLK_REQ_FREE || r->stage == NF_BLK_REQ_DONE ||
		    r->r.token != token || !has_segs(&r->r))
			continue;
		r->r.segs = NULL;
		if (r->error == 0)
			r->error = -ECANCELED;
	}
}

static void port_close(struct nf_blkport *p)
{
	(void)p; /* it lives as long as its front */
}

static const struct nf_blkport_ops port_ops = {
	.name = "blkfront",
	.submit = port_submit,
	.reap = port_reap,
	.arm = port_arm,
	.abandon = port_abandon,
	.close = port_close,
};

/* ---- the poll item ---- */

static int queue_run(struct nf_poll_item *item)
{
	struct nf_blk_queue *q = queue_of(item);
	int reaped = 0, used = 0;
	if (nf__unlikely(q->pending_error))
		return q->pending_error;
	if (nf__likely(q->rings != NULL))
		reaped = nf__bfq_reap(q);
	if (nf__unlikely(reaped < 0))
		return reaped;
	if (q->user)
		used = q->user->ops->run(q->user);
	if (nf__unlikely(used < 0 || !q->rings))
		return used;
	uint32_t put = nf__bfq_pump(q);
	if (nf_ring_front_push(&q->rings->ring)) {
		if (q->layer->ops->chan_notify(&q->rings->chan) < 0)
			return -ENODEV;
		NF_COUNT(q->counters, notify_sent, 1);
	}
	NF_GAUGE(q->counters, tx_ring_used, q->rings->ring.req_prod - q->rings->ring.rsp_cons);
	return reaped + used + (int)put;
}

static int queue_arm(struct nf_poll_item *item)
{
	struct nf_blk_queue *q = queue_of(item);
	int more = 0, used = 0;
	if (q->pending_error)
		return q->pending_error;
	if (q->rings)
		more = nf_ring_front_arm(&q->rings->ring, 1);
	if (more < 0)
		return nf__blk_fault(&q->fault, "rsp_prod",
				     nf_load_relaxed(&q->rings->ring.shared_hdr->rsp_prod),
				     q->rings->ring.rsp_cons, q->rings->ring.req_prod);
	if (q->user && q->user->ops->arm)
		used = q->user->ops->arm(q->user);
	/* what another item of this poller submitted goes out before anybody sleeps */
	bool is_waiting = q->rings && q->head != NF_BLK_NONE && q->slot_sp > 0 && q->bounce_sp > 0;
	return used < 0 ? used : more + used + (q->done_count > 0) + is_waiting;
}

static int queue_fds(struct nf_poll_item *item, int *fds, int cap)
{
	struct nf_blk_queue *q = queue_of(item);
	int n = 0;
	if (q->rings && q->rings->chan.fd >= 0 && cap > 0)
		fds[n++] = q->rings->chan.fd;
	if (q->user && q->user->ops->fds)
		n += q->user->ops->fds(q->user, fds + n, cap - n);
	return n;
}

static void queue_woken(struct nf_poll_item *item)
{
	struct nf_blk_queue *q = queue_of(item);
	if (!q->rings)
		return;
	int merged = q->layer->ops->chan_clear(&q->rings->chan);
	if (merged < 0)
		q->pending_error = -ENODEV;
	else if (merged > 0)
		NF_COUNT(q->counters, notify_received, merged);
}

static void queue_failed(struct nf_poll_item *item, int error)
{
	(void)error; /* the poller left it in the item */
	nf__blk_tell(queue_of(item)->event_fd);
}

static const struct nf_poll_item_ops queue_ops = {
	.run = queue_run,
	.arm = queue_arm,
	.fds = queue_fds,
	.woken = queue_woken,
	.failed = queue_failed,
};

/* ---- life ---- */

int nf__bfq_new(struct nf_blk_queue **out, struct nf_layer *layer, int event_fd)
{
	struct nf_blk_queue *q = aligned_alloc(64, (sizeof(*q) + 63) & ~(size_t)63);
	if (!q)
		return -ENOMEM;
	memset(q, 0, sizeof(*q));
	q->item.ops = &queue_ops;
	q->layer = layer;
	q->event_fd = event_fd;
	q->head = q->tail = NF_BLK_NONE;
	for (uint32_t i = 0; i < NF_BLK_FRONT_DEPTH; i++) {
		q->reqs[i].stage = NF_BLK_REQ_FREE;
		q->free_stack[q->free_sp++] = (uint16_t)(NF_BLK_FRONT_DEPTH - 1 - i);
	}
	q->port = (struct nf_blkport){.ops = &port_ops,
				      .fd = -1,
				      .depth = NF_BLK_FRONT_DEPTH,
				      .idle_poll = 1,
				      .geometry = &q->geometry,
				      .priv = q};
	*out = q;
	return 0;
}

static void connection_free(struct nf_blk_queue *q)
{
	free(q->slot_stack);
	free(q->slots);
	free(q->pieces);
	free(q->bounce_stack);
	q->slot_stack = q->bounce_stack = NULL;
	q->slots = NULL;
	q->pieces = NULL;
	q->rings = NULL;
}

void nf__bfq_free(struct nf_blk_queue *q)
{
	if (!q)
		return;
	connection_free(q);
	free(q);
}

void nf__bfq_resize(struct nf_blk_queue *q, const struct nf_blk_disk *disk)
{
	/* whoever is not our poller reads one word: the old or the new disk */
	nf_store64(&q->features.disk.sectors, disk->sectors);
	nf_store64(&q->geometry.sectors, disk->sectors);
}

static void disk_show(struct nf_blk_queue *q, const struct nf_blk_disk *d)
{
	q->geometry = (struct nf_disk_geometry){
		.sectors = d->sectors,
		.physical_bytes = d->physical_bytes > d->sector_bytes ? d->physical_bytes
								      : d->sector_bytes,
		.discard_bytes = d->discard ? d->discard_granularity_bytes : 0,
		.discard_align = d->discard_alignment_bytes,
		.readonly = d->is_readonly,
		.flush = d->flush || d->barrier,
		.discard_secure = d->secure,
	};
	q->port.mem_align = d->sector_bytes;
	q->port.segs_max = q->segments_max;
	q->port.bytes_max = q->segments_max * NF_PAGE_BYTES;
	if (q->port.bytes_max > NF_BLKREQ_BYTES_MAX)
		q->port.bytes_max = NF_BLKREQ_BYTES_MAX;
	q->port.pool = q->base;
	q->port.pool_bytes = (uint64_t)q->user_pages * NF_PAGE_BYTES;
	q->port.counters = q->counters;
}

/* Segments a request may have: as agreed, as there are list pages, and half the bounce at most. */
static void limits_set(struct nf_blk_queue *q)
{
	uint32_t count = q->rings->ring.count;
	q->list_pages = q->rings->lists.pages / count;
	q->segments_max = q->features.indirect;
	if (q->segments_max > q->list_pages * NF_BLKIF_INDIRECT_PAGE_SEGMENTS)
		q->segments_max = q->list_pages * NF_BLKIF_INDIRECT_PAGE_SEGMENTS;
	if (q->segments_max > NF_BLK_SEGMENTS_MAX)
		q->segments_max = NF_BLK_SEGMENTS_MAX;
	if (q->segments_max < NF_BLKIF_SEGMENTS_MAX)
		q->segments_max = NF_BLKIF_SEGMENTS_MAX;
	q->unit_shift = nf__blk_unit_shift(&q->features);
	q->pages = q->rings->pool.pages;
	q->user_pages = q->pages / 2;
	q->base = q->rings->pool.base;
}

int nf__bfq_connect(struct nf_blk_queue *q, struct nf_blkfront_rings *rings,
		    const struct nf_blk_features *agreed, struct nf_counters *counters)
{
	uint32_t count = rings->ring.count;
	q->rings = rings;
	q->features = *agreed;
	q->counters = counters;
	q->item.counters = counters;
	q->pending_error = 0;
	limits_set(q);
	q->slots = calloc(count, sizeof(*q->slots));
	q->slot_stack = calloc(count, sizeof(*q->slot_stack));
	q->pieces = calloc((size_t)count * q->segments_max, sizeof(*q->pieces));
	q->bounce_stack = calloc(q->pages, sizeof(*q->bounce_stack));
	if (!q->slots || !q->slot_stack || !q->pieces || !q->bounce_stack) {
		connection_free(q);
		return -ENOMEM;
	}
	q->slot_sp = q->bounce_sp = 0;
	for (uint32_t i = count; i-- > 0;) {
		q->slots[i].req = NF_BLK_NONE;
		q->slot_stack[q->slot_sp++] = (uint16_t)i;
	}
	for (uint32_t i = q->pages; i-- > q->user_pages;)
		q->bounce_stack[q->bounce_sp++] = (uint16_t)i;
	disk_show(q, &agreed->disk);
	return 0;
}

static int by_seq(const void *a, const void *b, void *ctx)
{
	const struct nf_blk_queue *q = ctx;
	uint64_t x = q->reqs[*(const uint16_t *)a].seq, y = q->reqs[*(const uint16_t *)b].seq;
	return x < y ? -1 : x > y;
}

void nf__bfq_disconnect(struct nf_blk_queue *q)
{
	uint16_t again[NF_BLK_FRONT_DEPTH];
	uint32_t count = 0, replayed = 0;
	if (!q->rings)
		return;
	for (uint32_t i = 0; i < NF_BLK_FRONT_DEPTH; i++) {
		struct nf_blk_front_req *r = &q->reqs[i];
		if (r->stage == NF_BLK_REQ_FREE || r->stage == NF_BLK_REQ_DONE)
			continue;
		if (has_segs(&r->r) && !r->r.segs) { /* abandoned */
			nf__bfq_done(q, i, r->error);
			continue;
		}
		replayed += r->parts > 0 || r->issued > 0;
		r->stage = NF_BLK_REQ_WAITING;
		r->issued = r->parts = 0;
		r->at = (struct nf_blk_cursor){0};
		r->error = 0;
		again[count++] = (uint16_t)i;
	}
	qsort_r(again, count, sizeof(again[0]), by_seq, q);
	q->head = q->tail = NF_BLK_NONE;
	for (uint32_t i = 0; i < count; i++)
		nf__bfq_fifo_put(q, again[i]);
	NF_COUNT(q->counters, blk_replayed, replayed);
	connection_free(q);
}
