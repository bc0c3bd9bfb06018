/* SPDX-License-Identifier: MIT */
/*
 * Rings, pages and channels of a frontend's queues: all granted before anything is published.
 *
 * A queue's pool keeps its address and its bytes over reconnections: users hold pointers into it.
 * In between, private memory lies there.
 */
#include "blk_front.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static int arena_alloc(struct nf_blkfront *f, uint32_t queue, uint8_t purpose, bool is_inner,
		       uint32_t pages, uint32_t *grefs, struct nf_arena *out)
{
	struct nf_layer *l = f->e.cfg.layer;
	struct nf_arena_key key = {
		.peer = f->e.dev.other_domid,
		.inner_owner = is_inner ? f->inner_owner : NF_DOMID_SELF,
		.device = f->e.dev.devid,
		.queue = (uint16_t)queue,
		.purpose = purpose,
	};
	int rc = l->ops->alloc(l, &key, pages, is_inner ? NF_ALLOC_NOMAP : 0, grefs, out);
	if (rc == 0 && out->base) /* nothing of whoever had these pages before goes to the peer */
		memset(out->base, 0, (size_t)pages * NF_PAGE_BYTES);
	return rc;
}

static void arena_end(struct nf_blkfront *f, struct nf_arena *a)
{
	struct nf_layer *l = f->e.cfg.layer;
	if (a->pages == 0)
		return;
	uint8_t purpose = a->key.purpose;
	int rc = l->ops->end(l, a);
	if (rc == -EBUSY)
		nf__blk_end_notice(&f->e,
				   "pages (purpose %u) still mapped by domain %u: in quarantine",
				   purpose, f->e.dev.other_domid);
	else if (rc < 0 && rc != -ECONNRESET)
		nf__blk_end_notice(&f->e, "pages (purpose %u) could not be ended: %s", purpose,
				   strerror(-rc));
	memset(a, 0, sizeof(*a));
}

/* Moves the mapping of new pages to where the pool lies, with the bytes that lie there. */
static int pool_settle(struct nf_blkfront *f, uint32_t queue, struct nf_arena *pool)
{
	size_t bytes = (size_t)pool->pages * NF_PAGE_BYTES;
	uint8_t *place = f->place[queue];
	if (!pool->base)
		return 0;
	if (!place) {
		f->place[queue] = pool->base;
		return 0;
	}
	memcpy(pool->base, place, bytes);
	void *p = mremap(pool->base, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	if (p == MAP_FAILED)
		return -errno;
	pool->base = place;
	return 0;
}

/* The other way round: what is granted goes elsewhere, to be ended, and a copy stays. */
static void pool_leave(struct nf_blkfront *f, uint32_t queue, struct nf_arena *pool)
{
	size_t bytes = (size_t)pool->pages * NF_PAGE_BYTES;
	uint8_t *place = f->place[queue];
	if (!pool->base || pool->base != place)
		return;
	void *copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *there = MAP_FAILED;
	if (copy != MAP_FAILED) {
		memcpy(copy, place, bytes);
		there = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
	if (there != MAP_FAILED)
		there = mremap(place, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, there);
	if (there != MAP_FAILED)
		pool->base = there;
	/* without memory for it nothing could be done again */
	if (there == MAP_FAILED ||
	    mremap(copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place) == MAP_FAILED)
		nf__blk_end_notice(&f->e, "queue %u: no memory to keep its pages", queue);
}

static void rings_drop(struct nf_blkfront *f, uint32_t queue)
{
	struct nf_layer *l = f->e.cfg.layer;
	struct nf_blkfront_rings *r = f->rings[queue];
	if (!r)
		return;
	if (r->chan.fd >= 0)
		l->ops->chan_close(&r->chan);
	pool_leave(f, queue, &r->pool);
	arena_end(f, &r->ring_arena);
	arena_end(f, &r->pool);
	arena_end(f, &r->lists);
	arena_end(f, &r->table);
	free(r);
	f->rings[queue] = NULL;
}

static uint32_t pool_pages(const struct nf_blk_config *c)
{
	uint32_t pages = c->pool_pages ? c->pool_pages : NF_BLK_POOL_DEFAULT;
	if (pages > NF_BLK_POOL_PAGES_MAX)
		pages = NF_BLK_POOL_PAGES_MAX;
	/* one whole request must fit through the half that is not the user's */
	uint32_t least = 2 * NF_BLKIF_SEGMENTS_MAX + 2;
	return pages < least ? least : pages;
}

uint32_t nf__blk_front_pool_pages(const struct nf_blkfront *f)
{
	return pool_pages(&f->e.cfg);
}

/* Indirect pages: so many a slot that the longest list fits, as long as there are not too many. */
static uint32_t list_pages(const struct nf_blk_features *f)
{
	uint32_t slots = nf__blk_ring_count(f->abi, f->ring_pages);
	uint32_t each = (f->indirect + NF_BLKIF_INDIRECT_PAGE_SEGMENTS - 1) /
			NF_BLKIF_INDIRECT_PAGE_SEGMENTS;
	uint32_t pages = slots * each;
	return pages > NF_BLK_LIST_PAGES_MAX ? NF_BLK_LIST_PAGES_MAX : pages;
}

static uint32_t table_pages(uint32_t grefs)
{
	return (grefs + NF_BLK_TABLE_GREFS - 1) / NF_BLK_TABLE_GREFS;
}

uint32_t nf_blkfront_queue_pages(const struct nf_blk_config *cfg)
{
	struct nf_blk_features f;
	nf__blk_own_features(cfg, false, &f);
	uint32_t listed = pool_pages(cfg) + list_pages(&f);
	return f.ring_pages + listed + (f.registered ? table_pages(listed) : 0);
}

/* The list of everything granted, for the back to register. */
static int table_make(struct nf_blkfront *f, uint32_t queue, struct nf_blkfront_rings *r)
{
	uint32_t count = r->pool.pages + r->lists.pages;
	int rc = arena_alloc(f, queue, NF_PURPOSE_BLK_TABLE, false, table_pages(count),
			     r->table_grefs, &r->table);
	if (rc)
		return rc;
	uint32_t *list = (uint32_t *)(void *)r->table.base;
	memcpy(list, r->pool_grefs, r->pool.pages * sizeof(*list));
	memcpy(list + r->pool.pages, r->list_grefs, r->lists.pages * sizeof(*list));
	return 0;
}

static int arenas_alloc(struct nf_blkfront *f, uint32_t queue, struct nf_blkfront_rings *r)
{
	bool is_inner = f->inner_owner != NF_DOMID_SELF;
	uint32_t lists = list_pages(&f->agreed);
	int rc = arena_alloc(f, queue, NF_PURPOSE_BLK_RING, f->rings_too, f->agreed.ring_pages,
			     r->ring_grefs, &r->ring_arena);
	if (rc == 0)
		rc = arena_alloc(f, queue, NF_PURPOSE_BLK_PAYLOAD, is_inner,
				 nf__blk_front_pool_pages(f), r->pool_grefs, &r->pool);
	if (rc == 0 && lists > 0) /* direct: the inner domain writes them; else they are ours */
		rc = arena_alloc(f, queue, NF_PURPOSE_BLK_LISTS, f->rings_too, lists, r->list_grefs,
				 &r->lists);
	if (rc == 0 && f->agreed.registered)
		rc = table_make(f, queue, r);
	if (rc == 0)
		rc = pool_settle(f, queue, &r->pool);
	if (rc || f->rings_too)
		return rc;
	return nf_ring_front_init(&r->ring, r->ring_arena.base,
				  (size_t)f->agreed.ring_pages * NF_PAGE_BYTES,
				  nf__blk_slot_bytes(f->agreed.abi));
}

static int rings_make(struct nf_blkfront *f, uint32_t queue)
{
	struct nf_layer *l = f->e.cfg.layer;
	struct nf_blkfront_rings *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->chan.fd = -1;
	f->rings[queue] = r;
	int rc = arenas_alloc(f, queue, r);
	if (rc == 0)
		rc = l->ops->alloc_chan(l, f->e.dev.other_domid, f->e.dev.devid, (uint16_t)queue,
					NF_PURPOSE_BLK_CHAN, &r->chan);
	return rc;
}

int nf__blk_front_rings_alloc(struct nf_blkfront *f)
{
	for (uint32_t i = 0; i < f->queues; i++) {
		int rc = rings_make(f, i);
		if (rc) {
			nf__blk_front_rings_free(f);
			return rc;
		}
	}
	return 0;
}

void nf__blk_front_rings_trim(struct nf_blkfront *f, uint32_t queues)
{
	for (uint32_t i = queues; i < f->queues; i++)
		rings_drop(f, i);
	f->queues = queues < f->queues ? queues : f->queues;
}

void nf__blk_front_rings_free(struct nf_blkfront *f)
{
	for (uint32_t i = 0; i < NF_BLK_QUEUES_MAX; i++)
		rings_drop(f, i);
	f->queues = 0;
}

void nf__blk_front_places_free(struct nf_blkfront *f)
{
	for (uint32_t i = 0; i < NF_BLK_QUEUES_MAX; i++) {
		if (f->place[i])
			munmap(f->place[i], (size_t)nf__blk_front_pool_pages(f) * NF_PAGE_BYTES);
		f->place[i] = NULL;
	}
}
