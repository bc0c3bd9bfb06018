/* SPDX-License-Identifier: MIT */
/* One queue of blkback as the poller sees it. */
#include "blk_back.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct nf_blk_back_queue *queue_of(struct nf_poll_item *item)
{
	return (struct nf_blk_back_queue *)item;
}

static int queue_run(struct nf_poll_item *item)
{
	struct nf_blk_back_queue *q = queue_of(item);
	bool is_draining = nf_load_acquire(&q->is_draining);
	int taken = 0;
	if (nf__unlikely(q->pending_error && !is_draining))
		return q->pending_error;
	int done = nf__bbq_reap(q);
	if (nf__likely(done >= 0 && !is_draining))
		taken = nf__bbq_take(q);
	if (nf__unlikely(done < 0 || taken < 0))
		return done < 0 ? done : taken;
	int asked = is_draining ? 0 : nf__bbq_submit(q);
	if (nf__unlikely(asked < 0))
		return asked;
	/* a disk that is done when it is asked is answered in the same round */
	int again = asked > 0 && q->port.idle_poll ? nf__bbq_reap(q) : 0;
	if (nf__unlikely(again < 0))
		return again;
	int rc = nf__bbq_respond(q);
	q->item.is_patient = q->asked > 0 && q->port.fd >= 0;
	NF_GAUGE(q->counters, tx_ring_used, q->rings->ring.req_cons - q->rings->ring.rsp_prod);
	if (nf__unlikely(is_draining && q->asked == 0 && done > 0))
		nf__blk_tell(q->event_fd);
	if (nf__unlikely(rc < 0 && !is_draining))
		return rc;
	return done + taken + asked + again;
}

static int queue_arm(struct nf_poll_item *item)
{
	struct nf_blk_back_queue *q = queue_of(item);
	int more = 0, done = 0;
	bool is_draining = nf_load_acquire(&q->is_draining);
	if (q->pending_error && !is_draining)
		return q->pending_error;
	if (q->asked > 0 && q->port.ops->arm)
		done = q->port.ops->arm(&q->port);
	if (done != 0 || is_draining)
		return done;
	/* what is there and cannot be taken now is taken when the disk has done something */
	bool is_stuck = q->is_starved || q->barrier != NF_BLK_BACK_NONE || q->free_sp == 0;
	/* the disk takes no more before it has done something: nobody need wake us for more */
	if (q->asked > 0 && (q->ready_count > 0 || q->port.is_full))
		return 0;
	more = nf_ring_back_arm(&q->rings->ring, 1);
	if (more < 0)
		return nf__blk_fault(&q->fault, "req_prod",
				     nf_load_relaxed(&q->rings->ring.shared_hdr->req_prod),
				     q->rings->ring.req_cons,
				     (int64_t)q->rings->ring.rsp_prod + q->rings->ring.count);
	return is_stuck && q->asked > 0 ? 0 : more;
}

static int queue_fds(struct nf_poll_item *item, int *fds, int cap)
{
	struct nf_blk_back_queue *q = queue_of(item);
	int n = 0;
	if (cap > 0 && q->rings->chan.fd >= 0 && !q->pending_error)
		fds[n++] = q->rings->chan.fd;
	if (n < cap && q->port.fd >= 0)
		fds[n++] = q->port.fd;
	return n;
}

static void queue_woken(struct nf_poll_item *item)
{
	struct nf_blk_back_queue *q = queue_of(item);
	if (q->port.fd >= 0 && q->port.ops->woken)
		q->port.ops->woken(&q->port);
	if (q->pending_error)
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

/* Pages for what is not mapped; each request fits, more of them as there is room. */
static int bounce_make(struct nf_blk_back_queue *q)
{
	uint32_t pages = q->rings->ring.count * q->segments_max;
	if (pages > NF_BLK_BOUNCE_PAGES_MAX)
		pages = NF_BLK_BOUNCE_PAGES_MAX;
	q->op_cap = 2 * q->segments_max;
	q->ops = calloc(q->op_cap, sizeof(*q->ops));
	q->op_owner = calloc(q->op_cap, sizeof(*q->op_owner));
	if (!q->ops || !q->op_owner)
		return -ENOMEM;
	if (q->features.registered_only)
		return 0;
	q->bounce_stack = calloc(pages, sizeof(*q->bounce_stack));
	void *p = mmap(NULL, (size_t)pages * NF_PAGE_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED || !q->bounce_stack)
		return -ENOMEM;
	q->bounce_base = p;
	q->bounce_pages = pages;
	for (uint32_t i = pages; i-- > 0;)
		q->bounce_stack[q->bounce_sp++] = (uint16_t)i;
	return 0;
}

static int reqs_make(struct nf_blk_back_queue *q)
{
	uint32_t count = q->rings->ring.count, most = q->segments_max;
	q->reqs = calloc(count, sizeof(*q->reqs));
	q->iovs = calloc((size_t)count * most, sizeof(*q->iovs));
	q->bounces = calloc((size_t)count * most, sizeof(*q->bounces));
	if (!q->reqs || !q->iovs || !q->bounces)
		return -ENOMEM;
	for (uint32_t i = count; i-- > 0;) {
		q->reqs[i].iov = q->iovs + (size_t)i * most;
		q->reqs[i].r = (struct nf_blkreq){.token = i, .segs = q->reqs[i].iov};
		q->reqs[i].bounce = q->bounces + (size_t)i * most;
		q->free_stack[q->free_sp++] = (uint16_t)i;
	}
	return 0;
}

int nf__bbq_new(struct nf_blk_back_queue **out, struct nf_blkback_rings *rings,
		struct nf_layer *layer, struct nf_counters *counters,
		const struct nf_blk_features *agreed, uint16_t peer, int event_fd)
{
	struct nf_blk_back_queue *q = aligned_alloc(64, (sizeof(*q) + 63) & ~(size_t)63);
	if (!q)
		return -ENOMEM;
	memset(q, 0, sizeof(*q));
	q->item.ops = &queue_ops;
	q->item.counters = counters; /* rounds and sleeps */
	q->rings = rings;
	q->layer = layer;
	q->counters = counters;
	q->features = *agreed;
	q->sectors = agreed->disk.sectors;
	q->unit_shift = nf__blk_unit_shift(agreed);
	q->segments_max = agreed->indirect > NF_BLKIF_SEGMENTS_MAX ? agreed->indirect
								   : NF_BLKIF_SEGMENTS_MAX;
	q->peer = peer;
	q->event_fd = event_fd;
	q->barrier = NF_BLK_BACK_NONE;
	q->port.fd = -1;
	int rc = reqs_make(q);
	if (rc == 0)
		rc = bounce_make(q);
	if (rc) {
		nf__bbq_free(q);
		return rc;
	}
	*out = q;
	return 0;
}

void nf__bbq_free(struct nf_blk_back_queue *q)
{
	if (!q)
		return;
	nf_blkport_close(&q->port);
	nf__blk_grefs_free(q->kept);
	if (q->bounce_base)
		munmap(q->bounce_base, (size_t)q->bounce_pages * NF_PAGE_BYTES);
	free(q->bounce_stack);
	free(q->ops);
	free(q->op_owner);
	free(q->reqs);
	free(q->iovs);
	free(q->bounces);
	free(q);
}
