/* SPDX-License-Identifier: MIT */
/* What makes one disk of two ends: donation, who may connect to whom, the window, the queues. */
#include "relay/blk.h"

#include <stdlib.h>
#include <string.h>

int nf__blk_link_fail(struct nf_blk_relay *r, int error, const char *why)
{
	r->error = error;
	nf__blk_relay_notice(r, "%s%s%s", why, error == -EPROTO || error == -EACCES ? "" : ": ",
			     error == -EPROTO || error == -EACCES ? "" : strerror(-error));
	return error;
}

static int donate(struct nf_blk_relay *r, const struct nf_arena *arena)
{
	struct nf_layer *l = r->cfg.inner.layer;
	struct nf_arena gift = *arena;
	if (arena->pages == 0)
		return 0;
	gift.key.device = r->inner_devid;
	return l->ops->donate(l, r->inner_owner, &gift, nf__blk_is_direct(r));
}

static int donate_queue(struct nf_blk_relay *r, uint32_t i)
{
	struct nf_layer *l = r->cfg.inner.layer;
	struct nf_blkfront_rings *rings = nf_blkfront_rings(r->outer, i);
	int rc = donate(r, &rings->pool);
	if (rc < 0 || !nf__blk_is_direct(r))
		return rc;
	rc = donate(r, &rings->ring_arena);
	if (rc == 0)
		rc = donate(r, &rings->lists);
	if (rc == 0)
		rc = l->ops->donate_chan(l, r->inner_owner, r->inner_devid, (uint16_t)i,
					 NF_PURPOSE_BLK_CHAN, &rings->chan);
	return rc;
}

int nf__blk_link_offer(struct nf_blk_relay *r)
{
	struct nf_blk_features limit = *nf_blkfront_agreed(r->outer);
	if (nf__blk_is_direct(r) && !r->cfg.trust_inner && !limit.registered_only)
		return nf__blk_link_fail(
			r, -EACCES,
			"direct is refused: the outer back offers no "
			"feature-nestfront-registered-only, so this guest could name every "
			"page its host ever granted; use translate, or set "
			"nestfront/trust-inner");
	limit.queues = nf_blkfront_queues(r->outer);
	for (uint32_t i = 0; i < limit.queues; i++) {
		int rc = donate_queue(r, i);
		if (rc == -EEXIST)
			return -EAGAIN; /* L2 ends them when it sees our Closed: a moment */
		if (rc < 0)
			return nf__blk_link_fail(r, rc, "pages cannot be donated");
	}
	/* what the disk is comes later, when L0 has said it; this much must not be nothing */
	limit.disk = (struct nf_blk_disk){.sectors = 8,
					  .sector_bytes = NF_BLK_SECTOR_BYTES,
					  .physical_bytes = NF_BLK_SECTOR_BYTES};
	int rc = nf_blkback_offer(r->inner, &limit);
	return rc < 0 ? nf__blk_link_fail(r, rc, "cannot offer") : 0;
}

int nf__blk_link_release(struct nf_blk_relay *r)
{
	const struct nf_blk_features *in = nf_blkback_agreed(r->inner);
	struct nf_blk_features limit = *in;
	uint32_t queues = nf_blkback_queues(r->inner);
	if (!in->registered)
		return nf__blk_link_fail(
			r, -ENOSYS,
			"this front registers no pages, so nothing says which page a gref "
			"of its is; use copy");
	for (uint32_t i = 0; nf__blk_is_direct(r) && i < queues; i++) {
		const struct nf_blkback_rings *a = nf_blkback_rings(r->inner, i);
		const struct nf_blkfront_rings *b = nf_blkfront_rings(r->outer, i);
		if (in->ring_pages != nf_blkfront_agreed(r->outer)->ring_pages ||
		    memcmp(a->ring_grefs, b->ring_grefs, in->ring_pages * 4) != 0)
			return nf__blk_link_fail(r, -EPROTO,
						 "the front's rings are not those it was given");
	}
	limit.queues = queues;
	int rc = nf_blkfront_release(r->outer, &limit);
	return rc < 0 ? nf__blk_link_fail(r, rc, "the outer end cannot connect") : 0;
}

/* Poller. */
static void queue_stopped(void *ctx, int error)
{
	struct nf_blk_relay *r = ctx;
	__atomic_store_n(&r->stopped, error, __ATOMIC_RELEASE);
	nf__blk_tell(r->event_fd);
}

/* L2's disk: the window, in a size it may have. */
static int window_of(struct nf_blk_relay *r, struct nf_blk_disk *d)
{
	uint64_t unit = d->sector_bytes / NF_BLK_SECTOR_BYTES;
	uint64_t start = r->cfg.window_start, sectors = r->cfg.window_sectors;
	if (start >= d->sectors || sectors > d->sectors - start || (start | sectors) & (unit - 1))
		return nf__blk_link_fail(r, -ERANGE, "the window is not in the outer disk");
	d->sectors = sectors ? sectors : d->sectors - start;
	return 0;
}

static int queue_start(struct nf_blk_relay *r, uint32_t i, const struct nf_blk_disk *disk)
{
	struct nf__blk_queue *q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->in = nf_blkback_rings(r->inner, i);
	q->out = nf_blkfront_rings(r->outer, i);
	q->inner = r->cfg.inner.layer;
	q->outer = r->cfg.outer.layer;
	q->inner_owner = r->inner_owner;
	q->in_features = *nf_blkback_agreed(r->inner);
	q->out_features = *nf_blkfront_agreed(r->outer);
	if (q->in_features.indirect > q->out_features.indirect)
		q->in_features.indirect = q->out_features.indirect;
	q->start = r->cfg.window_start;
	q->sectors = disk->sectors;
	q->counters = r->blocks[i];
	q->stopped = queue_stopped;
	q->ctx = r;
	r->queue[i] = q;
	int rc = nf__blk_queue_init(q);
	if (rc == 0 && r->cfg.inner.poller)
		rc = nf_poller_attach(r->cfg.inner.poller, &q->item);
	return rc;
}

int nf__blk_link_start(struct nf_blk_relay *r)
{
	struct nf_blk_features f = *nf_blkfront_agreed(r->outer);
	int rc = window_of(r, &f.disk);
	if (rc == 0)
		rc = nf_blkback_accept(r->inner, &f.disk);
	r->queues = nf_blkback_queues(r->inner);
	for (uint32_t i = 0; rc == 0 && i < r->queues; i++) {
		NF_COUNT(r->blocks[i], connects, 1);
		if (!nf__blk_is_direct(r))
			rc = queue_start(r, i, &f.disk);
	}
	if (rc)
		return r->error ? rc : nf__blk_link_fail(r, rc, "queues do not start");
	r->backoff_ms = 0;
	nf__blk_relay_notice(r, "running, %u queues, %llu sectors%s", r->queues,
			     (unsigned long long)f.disk.sectors,
			     nf__blk_is_direct(r) && r->cfg.trust_inner ? ", unconfined" : "");
	return 0;
}
