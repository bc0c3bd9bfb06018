/* SPDX-License-Identifier: MIT */
/* A frontend's rings mapped here, its channels bound, and the queues on top. */
#include "blk_back.h"

#include <stdlib.h>

static void rings_drop(struct nf_blkback *b, uint32_t queue)
{
	struct nf_layer *l = b->e.cfg.layer;
	struct nf_blkback_rings *r = b->rings[queue];
	if (!r)
		return;
	nf__blk_back_unregister(b, queue);
	if (r->chan.fd >= 0)
		l->ops->chan_close(&r->chan);
	if (r->ring_map.count > 0)
		l->ops->unmap(l, &r->ring_map);
	free(r);
	b->rings[queue] = NULL;
}

/* A fresh ring begins at 0, one of a back that died where that one had answered. */
static uint32_t first_of(const struct nf_blkback *b, const void *page)
{
	const struct nf_sring *shared = page;
	return b->is_attaching ? nf_load_acquire(&shared->rsp_prod) : 0;
}

static int rings_attach(struct nf_blkback *b, uint32_t queue, struct nf_blkback_rings *r)
{
	struct nf_layer *l = b->e.cfg.layer;
	uint16_t peer = b->e.dev.other_domid;
	uint32_t pages = b->agreed.ring_pages;
	int rc = l->ops->map(l, peer, r->ring_grefs, pages, false, r->ring_addrs, &r->ring_map);
	if (rc)
		return rc;
	for (uint32_t i = 1; i < pages; i++)
		if ((uint8_t *)r->ring_addrs[i] !=
		    (uint8_t *)r->ring_addrs[0] + (size_t)i * NF_PAGE_BYTES)
			return nf__blk_end_fail(&b->e, -EPROTO,
						"queue %u: the ring's %u pages do not lie in a row",
						queue, pages);
	rc = nf_ring_back_init(&r->ring, r->ring_addrs[0], (size_t)pages * NF_PAGE_BYTES,
			       nf__blk_slot_bytes(b->agreed.abi), first_of(b, r->ring_addrs[0]));
	if (rc == 0)
		rc = l->ops->bind_chan(l, peer, b->refs[queue].port, &r->chan);
	return rc;
}

static int rings_make(struct nf_blkback *b, uint32_t queue)
{
	struct nf_blkback_rings *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->chan.fd = -1;
	for (uint32_t i = 0; i < b->agreed.ring_pages; i++)
		r->ring_grefs[i] = b->refs[queue].ring_grefs[i];
	b->rings[queue] = r;
	int rc = b->map_rings ? rings_attach(b, queue, r) : 0;
	if (rc == 0 && b->agreed.registered)
		rc = nf__blk_back_register(b, queue);
	return rc;
}

int nf__blk_back_rings_map(struct nf_blkback *b)
{
	for (uint32_t i = 0; i < b->queues; i++) {
		int rc = rings_make(b, i);
		if (rc) {
			nf__blk_back_rings_unmap(b);
			return rc;
		}
	}
	return 0;
}

void nf__blk_back_rings_unmap(struct nf_blkback *b)
{
	for (uint32_t i = 0; i < NF_BLK_QUEUES_MAX; i++)
		rings_drop(b, i);
	b->queues = 0;
}

/* The mappings a disk may register with its kernel. */
static void pages_lend(struct nf_blkback *b, uint32_t queue, bool is_lent)
{
	const struct nf_disk_ops *ops = b->disk->ops;
	for (struct nf_blk_batch *t = b->batches[queue]; t; t = t->next) {
		uint32_t first = 0;
		for (uint32_t i = 1; i <= t->map.count; i++) {
			if (i < t->map.count &&
			    (uint8_t *)t->addrs[i] == (uint8_t *)t->addrs[i - 1] + NF_PAGE_BYTES)
				continue;
			/* an optimisation: a disk that cannot goes on without */
			if (is_lent && ops->lend)
				(void)ops->lend(b->disk, t->addrs[first],
						(uint64_t)(i - first) * NF_PAGE_BYTES);
			else if (!is_lent && ops->forget)
				ops->forget(b->disk, t->addrs[first]);
			first = i;
		}
	}
}

static int queue_start(struct nf_blkback *b, uint32_t i)
{
	struct nf_blk_back_queue *q;
	int rc = nf__bbq_new(&q, b->rings[i], b->e.cfg.layer, b->e.blocks[i], &b->agreed,
			     b->e.dev.other_domid, b->e.event_fd);
	if (rc)
		return rc;
	b->queue[i] = q;
	rc = nf_disk_queue(b->disk, i, 0, b->e.blocks[i], &q->port);
	if (rc == 0 && b->agreed.persistent && !b->agreed.registered_only)
		rc = nf__blk_grefs_new(&q->kept, b->kept_cap);
	if (rc)
		return rc;
	pages_lend(b, i, true);
	q->journal = nf__blk_journal_of(b, i);
	rc = b->is_attaching ? nf__blk_journal_replay(q) : 0;
	b->taken_over[i] = rc > 0 ? (uint32_t)rc : 0;
	return rc < 0 ? rc : 0;
}

int nf__blk_back_queues_start(struct nf_blkback *b)
{
	int rc = 0;
	if (!b->e.cfg.poller || !b->disk)
		return 0;
	b->kept_cap = nf__blk_ring_count(b->agreed.abi, b->agreed.ring_pages) *
			      NF_BLKIF_SEGMENTS_MAX +
		      NF_BLK_LIST_PAGES_MAX;
	for (uint32_t i = 0; rc == 0 && i < b->queues; i++) {
		NF_COUNT(b->e.blocks[i], connects, 1);
		rc = queue_start(b, i);
	}
	for (uint32_t i = 0; rc == 0 && i < b->queues; i++)
		rc = nf_poller_attach(b->e.cfg.poller, &b->queue[i]->item);
	if (rc)
		nf__blk_back_queues_stop(b);
	return rc;
}

bool nf__blk_back_queues_drain(struct nf_blkback *b)
{
	bool is_done = true;
	for (uint32_t i = 0; i < NF_BLK_QUEUES_MAX; i++) {
		struct nf_blk_back_queue *q = b->queue[i];
		if (!q)
			continue;
		nf_poller_detach(&q->item);
		nf_store_release(&q->is_draining, 1);
		if (q->asked == 0)
			continue;
		is_done = false;
		q->item.error = 0;
		if (nf_poller_attach(b->e.cfg.poller, &q->item) < 0)
			is_done = true; /* stop waits instead */
	}
	return is_done;
}

void nf__blk_back_queues_stop(struct nf_blkback *b)
{
	for (uint32_t i = 0; i < NF_BLK_QUEUES_MAX; i++) {
		struct nf_blk_back_queue *q = b->queue[i];
		if (!q)
			continue;
		nf_poller_detach(&q->item);
		nf_blkport_close(&q->port); /* waits: nothing touches the pages after it */
		pages_lend(b, i, false);
		nf__blk_back_unkeep(b, i);
		nf__bbq_free(q);
		b->queue[i] = NULL;
	}
}
