/* SPDX-License-Identifier: MIT */
/*
 * A front's grants that stay mapped: those it registered at connect, and, in feature-persistent,
 * those it used before. The poller only looks up: what it does not find it copies and asks for, and
 * the control thread maps it for the next time. Every mapping is unmapped exactly once.
 */
#include "blk_back.h"

#include <stdlib.h>
#include <string.h>

static void batch_free(struct nf_blkback *b, struct nf_blk_batch *t)
{
	struct nf_layer *l = b->e.cfg.layer;
	if (t->map.count > 0)
		l->ops->unmap(l, &t->map);
	free(t);
}

/* The front's list, copied once: it may change under us. */
static int table_read(struct nf_blkback *b, uint32_t queue, uint32_t *list)
{
	struct nf_layer *l = b->e.cfg.layer;
	const struct nf_blk_refs *r = &b->refs[queue];
	for (uint32_t at = 0; at < r->registered; at += NF_BLK_TABLE_GREFS) {
		uint32_t n = r->registered - at < NF_BLK_TABLE_GREFS ? r->registered - at
								     : NF_BLK_TABLE_GREFS;
		struct nf_grant_copy op = {.peer = b->e.dev.other_domid,
					   .gref = r->table_grefs[at / NF_BLK_TABLE_GREFS],
					   .bytes = (uint16_t)(n * 4),
					   .local = list + at};
		int rc = l->ops->copy(l, &op, 1);
		if (rc == 0)
			rc = op.status;
		if (rc < 0)
			return rc;
	}
	for (uint32_t i = 0; i < r->registered; i++)
		if (list[i] < NF_GREF_RESERVED || list[i] == NF_GREF_NONE)
			return -EPROTO;
	return 0;
}

static int batch_add(struct nf_blkback *b, uint32_t queue, const uint32_t *list, uint32_t first,
		     uint32_t count)
{
	struct nf_layer *l = b->e.cfg.layer;
	struct nf_blk_batch *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	memcpy(t->grefs, list + first, count * sizeof(*list));
	if (b->map_grefs) {
		int rc = l->ops->map(l, b->e.dev.other_domid, t->grefs, count, false, t->addrs,
				     &t->map);
		if (rc < 0) {
			free(t);
			return rc;
		}
	}
	t->next = b->batches[queue];
	b->batches[queue] = t;
	for (uint32_t i = 0; i < count; i++) {
		int rc = nf__blk_grefs_add(b->rings[queue]->grefs, t->grefs[i], t->addrs[i],
					   first + i);
		if (rc)
			return rc == -EEXIST ? -EPROTO : rc;
	}
	return 0;
}

int nf__blk_back_register(struct nf_blkback *b, uint32_t queue)
{
	uint32_t count = b->refs[queue].registered;
	uint32_t *list = calloc(count, sizeof(*list));
	if (!list)
		return -ENOMEM;
	int rc = nf__blk_grefs_new(&b->rings[queue]->grefs, count);
	if (rc == 0)
		rc = table_read(b, queue, list);
	for (uint32_t at = 0; rc == 0 && at < count; at += NF_BLK_MAP_BATCH)
		rc = batch_add(b, queue, list, at,
			       count - at < NF_BLK_MAP_BATCH ? count - at : NF_BLK_MAP_BATCH);
	free(list);
	if (rc == 0 && b->e.blocks[queue] && b->map_grefs)
		NF_COUNT(b->e.blocks[queue], grant_maps, count);
	return rc;
}

void nf__blk_back_unregister(struct nf_blkback *b, uint32_t queue)
{
	uint32_t dropped = 0;
	while (b->batches[queue]) {
		struct nf_blk_batch *t = b->batches[queue];
		b->batches[queue] = t->next;
		dropped += t->map.count;
		batch_free(b, t);
	}
	if (dropped && b->e.blocks[queue])
		NF_COUNT(b->e.blocks[queue], grant_unmaps, dropped);
	if (b->rings[queue]) {
		nf__blk_grefs_free(b->rings[queue]->grefs);
		b->rings[queue]->grefs = NULL;
	}
}

/* ---- feature-persistent ---- */

/* In use by a request the disk is at, or one that is about to go there. */
static bool is_busy(const struct nf_blk_back_queue *q, const uint8_t *page)
{
	for (uint32_t i = 0; i < q->rings->ring.count; i++) {
		const struct nf_blk_back_req *r = &q->reqs[i];
		if (r->stage == NF_BLK_BACK_FREE || r->stage == NF_BLK_BACK_ANSWER)
			continue;
		for (uint32_t k = 0; k < r->r.nsegs; k++) {
			const uint8_t *at = r->iov[k].iov_base;
			if (at < page + NF_PAGE_BYTES && page < at + r->iov[k].iov_len)
				return true;
		}
	}
	return false;
}

/* Lets go of the one used longest ago. Queue detached. NULL: all are busy. */
static struct nf_blk_kept *evict(struct nf_blkback *b, uint32_t queue)
{
	struct nf_layer *l = b->e.cfg.layer;
	struct nf_blk_back_queue *q = b->queue[queue];
	struct nf_blk_kept *oldest = NULL;
	uint64_t used = UINT64_MAX;
	for (uint32_t i = 0; i < b->kept_cap; i++) {
		struct nf_blk_kept *k = &b->kept[queue][i];
		const struct nf_blk_cell *c = nf__blk_grefs_find(q->kept, k->gref);
		if (c && c->used < used && !is_busy(q, k->addr)) {
			oldest = k;
			used = c->used;
		}
	}
	if (!oldest)
		return NULL;
	nf__blk_grefs_del(q->kept, oldest->gref);
	l->ops->unmap(l, &oldest->map);
	memset(oldest, 0, sizeof(*oldest));
	NF_COUNT(q->counters, grant_unmaps, 1);
	return oldest;
}

static struct nf_blk_kept *kept_take(struct nf_blkback *b, uint32_t queue)
{
	for (uint32_t i = 0; i < b->kept_cap; i++)
		if (b->kept[queue][i].map.count == 0)
			return &b->kept[queue][i];
	return evict(b, queue);
}

static void keep_one(struct nf_blkback *b, uint32_t queue, uint32_t gref)
{
	struct nf_layer *l = b->e.cfg.layer;
	struct nf_blk_back_queue *q = b->queue[queue];
	if (gref < NF_GREF_RESERVED || nf__blk_grefs_find(q->kept, gref))
		return;
	struct nf_blk_kept *k = kept_take(b, queue);
	if (!k)
		return;
	k->gref = gref;
	if (l->ops->map(l, b->e.dev.other_domid, &k->gref, 1, false, &k->addr, &k->map) < 0) {
		memset(k, 0,
		       sizeof(*k)); /* the front's affair: it is copied, or fails, each time */
		return;
	}
	if (nf__blk_grefs_add(q->kept, gref, k->addr, 0) < 0) {
		l->ops->unmap(l, &k->map);
		memset(k, 0, sizeof(*k));
		return;
	}
	NF_COUNT(q->counters, grant_maps, 1);
}

void nf__blk_back_keep(struct nf_blkback *b)
{
	for (uint32_t i = 0; i < b->queues; i++) {
		struct nf_blk_back_queue *q = b->queue[i];
		if (!q || !q->kept || nf_load_acquire(&q->wanted_put) == q->wanted_got)
			continue;
		if (!b->kept[i])
			b->kept[i] = calloc(b->kept_cap, sizeof(*b->kept[i]));
		if (!b->kept[i])
			continue; /* copied as before */
		bool was_attached = q->item.poller != NULL;
		nf_poller_detach(&q->item);
		while (q->wanted_got != q->wanted_put) {
			keep_one(b, i, q->wanted[q->wanted_got % NF_BLK_WANTED]);
			nf_store_release(&q->wanted_got, q->wanted_got + 1);
		}
		if (was_attached && !q->item.error)
			nf_poller_attach(b->e.cfg.poller, &q->item);
	}
}

void nf__blk_back_unkeep(struct nf_blkback *b, uint32_t queue)
{
	struct nf_layer *l = b->e.cfg.layer;
	uint32_t dropped = 0;
	for (uint32_t i = 0; b->kept[queue] && i < b->kept_cap; i++) {
		if (b->kept[queue][i].map.count == 0)
			continue;
		l->ops->unmap(l, &b->kept[queue][i].map);
		dropped++;
	}
	free(b->kept[queue]);
	b->kept[queue] = NULL;
	if (dropped && b->e.blocks[queue])
		NF_COUNT(b->e.blocks[queue], grant_unmaps, dropped);
}
