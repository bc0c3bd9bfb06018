/* SPDX-License-Identifier: MIT */
/*
 * blkback, ring to disk: one request at a time is copied out of the ring, checked in the copy, and
 * made into what the disk is asked. A request that is wrong gets an error of its own; only indices
 * that cannot be stop the device.
 */
#include "blk_back.h"

#include <string.h>

/* What accept finds out about a request before anything is done. */
struct parse {
	const struct nf_blkif_segment *seg;
	uint32_t segments;
	uint8_t op; /* inside of an indirect one */
	uint64_t sector, sectors;
};

static int16_t refuse(struct nf_blk_back_queue *q)
{
	NF_COUNT(q->counters, blk_refused, 1);
	return NF_BLKIF_RSP_ERROR;
}

/* Nothing here overflows: sectors fit 53 bits, what the peer says is compared before it is used. */
static bool is_in_disk(const struct nf_blk_back_queue *q, uint64_t sector, uint64_t sectors)
{
	uint64_t all = nf_load_relaxed_u64(&q->sectors) >> q->unit_shift;
	uint64_t unit = (q->features.disk.sector_bytes / NF_BLK_SECTOR_BYTES) >> q->unit_shift;
	return sectors > 0 && sector < all && sectors <= all - sector &&
	       ((sector | sectors) & (unit - 1)) == 0;
}

/* A page of the peer: its address if it is mapped. */
static inline uint8_t *page_find(struct nf_blk_back_queue *q, uint32_t gref)
{
	struct nf_blk_cell *c;
	if (q->rings->grefs) {
		c = nf__blk_grefs_find(q->rings->grefs, gref);
		if (nf__likely(c != NULL))
			return c->addr;
	}
	if (!q->kept)
		return NULL;
	c = nf__blk_grefs_find(q->kept, gref);
	if (c) {
		c->used = q->round;
		return c->addr;
	}
	uint32_t put = q->wanted_put;
	if (put - nf_load_acquire(&q->wanted_got) < NF_BLK_WANTED) {
		q->wanted[put % NF_BLK_WANTED] = gref;
		nf_store_release(&q->wanted_put, put + 1); /* the gref before the index */
	}
	return NULL;
}

/* The segments of an indirect request, copied once. */
static bool lists_load(struct nf_blk_back_queue *q, const struct nf_blkif_indirect *r)
{
	uint32_t left = r->nr_segments;
	uint8_t *to = (uint8_t *)q->list;
	for (uint32_t i = 0; left > 0; i++) {
		uint32_t n = left < NF_BLKIF_INDIRECT_PAGE_SEGMENTS
				     ? left
				     : NF_BLKIF_INDIRECT_PAGE_SEGMENTS;
		uint32_t bytes = n * (uint32_t)sizeof(q->list[0]);
		const uint32_t *shared = (const uint32_t *)(const void *)page_find(
			q, r->indirect_grefs[i]);
		struct nf_grant_copy op = {.peer = q->peer,
					   .gref = r->indirect_grefs[i],
					   .bytes = (uint16_t)bytes,
					   .local = to};
		for (uint32_t w = 0; shared && w < bytes / 4; w++) {
			uint32_t word = nf_load_relaxed(&shared[w]);
			memcpy(to + w * 4, &word, sizeof(word));
		}
		if (!shared) {
			if (!q->bounce_base || q->layer->ops->copy(q->layer, &op, 1) < 0 ||
			    op.status < 0)
				return false;
			NF_COUNT(q->counters, grant_copies, 1);
		}
		left -= n;
		to += bytes;
	}
	NF_COUNT(q->counters, blk_indirects, 1);
	return true;
}

/* 0, or the status to answer with. */
static int16_t data_parse(struct nf_blk_back_queue *q, const union nf_blk_slot *slot,
			  struct parse *p)
{
	uint32_t last_max = (NF_BLK_PAGE_SECTORS >> q->unit_shift) - 1;
	p->op = slot->rw.operation;
	p->sector = slot->rw.sector_number;
	p->segments = slot->rw.nr_segments;
	p->seg = slot->rw.seg;
	if (p->op == NF_BLK_INDIRECT) {
		p->op = slot->indirect.indirect_op;
		p->segments = slot->indirect.nr_segments;
		p->seg = q->list;
		if (q->features.indirect == 0)
			return NF_BLKIF_RSP_EOPNOTSUPP;
		if ((p->op != NF_BLK_READ && p->op != NF_BLK_WRITE) || p->segments == 0 ||
		    p->segments > q->segments_max || !lists_load(q, &slot->indirect))
			return refuse(q);
	} else if (p->segments > NF_BLKIF_SEGMENTS_MAX) {
		return refuse(q);
	}
	p->sectors = 0;
	for (uint32_t i = 0; i < p->segments; i++) {
		if (p->seg[i].last_sect > last_max || p->seg[i].first_sect > p->seg[i].last_sect)
			return refuse(q);
		p->sectors += p->seg[i].last_sect - p->seg[i].first_sect + 1u;
	}
	return is_in_disk(q, p->sector, p->sectors) ? 0 : refuse(q);
}

static int16_t discard_parse(struct nf_blk_back_queue *q, const union nf_blk_slot *slot,
			     struct nf_blk_back_req *r)
{
	const struct nf_blkif_discard *d = &slot->discard;
	bool is_secure = d->flag & NF_BLKIF_DISCARD_SECURE;
	if (!q->features.disk.discard || (is_secure && !q->features.disk.secure))
		return NF_BLKIF_RSP_EOPNOTSUPP;
	if (q->features.disk.is_readonly || !is_in_disk(q, d->sector_number, d->nr_sectors))
		return refuse(q);
	r->r.op = NF_BLKOP_DISCARD;
	r->r.flags = is_secure ? NF_BLKREQ_SECURE : 0;
	r->r.sector = d->sector_number << q->unit_shift;
	r->r.sectors = d->nr_sectors << q->unit_shift;
	return 0;
}

static void op_add(struct nf_blk_back_queue *q, const struct nf_blk_bounce *b, bool to_peer,
		   uint32_t owner)
{
	q->op_owner[q->op_count] = (uint16_t)owner;
	q->ops[q->op_count++] = (struct nf_grant_copy){
		.peer = q->peer,
		.offset = b->offset,
		.bytes = b->bytes,
		.to_peer = to_peer,
		.gref = b->gref,
		.local = q->bounce_base + (size_t)b->page * NF_PAGE_BYTES + b->offset};
}

void nf__bbq_ops(struct nf_blk_back_queue *q, uint32_t req, bool to_peer)
{
	const struct nf_blk_back_req *r = &q->reqs[req];
	for (uint32_t i = 0; i < r->bounces; i++)
		op_add(q, &r->bounce[i], to_peer, req);
}

static void iov_add(struct nf_blk_back_req *r, uint8_t *at, uint32_t bytes)
{
	struct iovec *v = r->r.nsegs ? &r->iov[r->r.nsegs - 1] : NULL;
	if (v && (uint8_t *)v->iov_base + v->iov_len == at)
		v->iov_len += bytes;
	else
		r->iov[r->r.nsegs++] = (struct iovec){.iov_base = at, .iov_len = bytes};
}

/* Pages of a read or write. -EAGAIN: no bounce page; -EACCES: a page that was not registered. */
static int pages_take(struct nf_blk_back_queue *q, const struct parse *p, struct nf_blk_back_req *r)
{
	uint32_t shift = 9 + q->unit_shift, sp = q->bounce_sp;
	r->r.nsegs = 0;
	r->bounces = 0;
	for (uint32_t i = 0; i < p->segments; i++) {
		uint32_t offset = (uint32_t)p->seg[i].first_sect << shift;
		uint32_t bytes = ((uint32_t)p->seg[i].last_sect - p->seg[i].first_sect + 1u)
				 << shift;
		uint8_t *page = page_find(q, p->seg[i].gref);
		if (!page) {
			if (sp == 0 || !q->bounce_base)
				return q->bounce_base ? -EAGAIN : -EACCES;
			uint16_t n = q->bounce_stack[--sp];
			page = q->bounce_base + (size_t)n * NF_PAGE_BYTES;
			r->bounce[r->bounces++] = (struct nf_blk_bounce){.gref = p->seg[i].gref,
									 .offset = (uint16_t)offset,
									 .bytes = (uint16_t)bytes,
									 .page = n};
		}
		iov_add(r, page + offset, bytes);
	}
	q->bounce_sp = sp;
	return 0;
}

static int data_accept(struct nf_blk_back_queue *q, const struct parse *p, uint32_t req)
{
	struct nf_blk_back_req *r = &q->reqs[req];
	bool is_write = p->op != NF_BLK_READ;
	if (is_write && q->features.disk.is_readonly) {
		nf__bbq_answer(q, req, refuse(q));
		return 0;
	}
	int rc = pages_take(q, p, r);
	if (rc == -EAGAIN)
		return rc;
	if (rc) {
		nf__bbq_answer(q, req, refuse(q));
		return 0;
	}
	r->r.op = is_write ? NF_BLKOP_WRITE : NF_BLKOP_READ;
	r->r.flags = r->is_barrier ? NF_BLKREQ_FUA : 0;
	r->r.sector = p->sector << q->unit_shift;
	r->r.sectors = p->sectors << q->unit_shift;
	if (is_write)
		nf__bbq_ops(q, req, false);
	return 1;
}

static void make_ready(struct nf_blk_back_queue *q, uint32_t req)
{
	q->reqs[req].stage = NF_BLK_BACK_READY;
	if (q->reqs[req].is_barrier) {
		q->barrier = req;
		return;
	}
	q->ready[(q->ready_head + q->ready_count++) % NF_BLK_SLOTS_MAX] = (uint16_t)req;
}

int nf__bbq_accept(struct nf_blk_back_queue *q, const union nf_blk_slot *slot, uint32_t req)
{
	struct nf_blk_back_req *r = &q->reqs[req];
	struct parse p = {.op = slot->rw.operation};
	int16_t status = 0;
	int rc = 1;
	r->r.nsegs = 0;
	r->r.flags = 0;
	r->r.sector = r->r.sectors = 0;
	r->id = slot->rw.id;
	r->op = slot->rw.operation;
	r->is_barrier = false;
	r->status = 0;
	r->bounces = 0;
	switch (slot->rw.operation) {
	case NF_BLK_FLUSH:
	case NF_BLK_BARRIER:
		r->is_barrier = p.op == NF_BLK_BARRIER || slot->rw.nr_segments > 0;
		r->r.op = NF_BLKOP_FLUSH;
		if (slot->rw.nr_segments == 0)
			break;
		/* fall through */
	case NF_BLK_READ:
	case NF_BLK_WRITE:
	case NF_BLK_INDIRECT:
		status = data_parse(q, slot, &p);
		if (slot->rw.operation == NF_BLK_INDIRECT)
			r->op = slot->indirect.indirect_op; /* as Linux's back answers */
		rc = status ? 1 : data_accept(q, &p, req);
		break;
	case NF_BLK_DISCARD:
		status = discard_parse(q, slot, r);
		break;
	default:
		NF_COUNT(q->counters, blk_refused, 1);
		status = NF_BLKIF_RSP_EOPNOTSUPP;
	}
	if (rc < 0)
		return rc;
	if (status)
		nf__bbq_answer(q, req, status);
	else if (rc > 0)
		make_ready(q, req);
	return 0;
}

/* Moves bytes for requests that are READY (writes) or asked (reads, from reap). */
void nf__bbq_copy(struct nf_blk_back_queue *q)
{
	uint64_t bytes = 0;
	if (nf__likely(q->op_count == 0))
		return;
	int rc = q->layer->ops->copy(q->layer, q->ops, q->op_count);
	for (uint32_t i = 0; i < q->op_count; i++) {
		bytes += q->ops[i].bytes;
		if (rc < 0 || q->ops[i].status < 0)
			q->reqs[q->op_owner[i]].status = refuse(q);
	}
	NF_COUNT(q->counters, grant_copies, q->op_count);
	NF_COUNT(q->counters, payload_copies, bytes);
	q->op_count = 0;
}

int nf__bbq_take(struct nf_blk_back_queue *q)
{
	struct nf_ring_back *ring = &q->rings->ring;
	int pending = nf_ring_back_pending(ring);
	if (nf__unlikely(pending < 0))
		return nf__blk_fault(&q->fault, "req_prod",
				     nf_load_relaxed(&ring->shared_hdr->req_prod), ring->req_cons,
				     (int64_t)ring->rsp_prod + ring->count);
	int taken = 0;
	uint32_t told = q->wanted_put;
	q->round++;
	q->is_starved = false;
	for (int i = 0; i < pending; i++) /* the answers go there */
		nf__blk_slot_prefetch(nf_ring_back_slot(ring, ring->req_cons + (uint32_t)i));
	for (; taken < pending && q->barrier == NF_BLK_BACK_NONE && q->free_sp > 0; taken++) {
		union nf_blk_slot slot;
		uint32_t req = q->free_stack[q->free_sp - 1];
		if (q->op_count + q->segments_max > q->op_cap)
			nf__bbq_copy(q);
		nf__blk_slot_load(q->features.abi, nf_ring_back_slot(ring, ring->req_cons), &slot);
		if (nf__bbq_accept(q, &slot, req) < 0) {
			q->is_starved = true;
			break;
		}
		if (q->journal) { /* the request before the word that says it is there */
			struct nf_blk_entry *e = &q->journal->entries[req];
			e->slot = slot;
			nf_store_release(&e->is_valid, 1);
		}
		q->free_sp--;
		ring->req_cons++;
	}
	nf__bbq_copy(q);
	if (q->wanted_put != told)
		nf__blk_tell(q->event_fd);
	return taken;
}
