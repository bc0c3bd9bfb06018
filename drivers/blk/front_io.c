/* SPDX-License-Identifier: MIT */
/*
 * blkfront, user to ring. A request becomes one ring request, or several when it is longer than one
 * may be. Memory in the pool is named as it lies; the rest goes through bounce pages, which are
 * filled wholly as long as the request goes on.
 */
#include "blk_front.h"

#include <string.h>

void nf__bfq_fifo_put(struct nf_blk_queue *q, uint32_t req)
{
	q->reqs[req].next = NF_BLK_NONE;
	if (q->head == NF_BLK_NONE)
		q->head = req;
	else
		q->reqs[q->tail].next = req;
	q->tail = req;
}

void nf__bfq_done(struct nf_blk_queue *q, uint32_t req, int error)
{
	struct nf_blk_front_req *r = &q->reqs[req];
	r->stage = NF_BLK_REQ_DONE;
	r->error = error;
	q->done_fifo[(q->done_head + q->done_count++) % NF_BLK_FRONT_DEPTH] = (uint16_t)req;
}

static inline void cursor_step(const struct nf_blkreq *r, struct nf_blk_cursor *at, uint32_t bytes)
{
	at->offset += bytes;
	if (at->offset == r->segs[at->seg].iov_len) {
		at->seg++;
		at->offset = 0;
	}
}

/* Bytes at the cursor that can be named as they lie, within one page; 0: they need a bounce. */
static inline uint32_t in_place(const struct nf_blk_queue *q, const struct nf_blkreq *r,
				const struct nf_blk_cursor *at)
{
	const struct iovec *v = &r->segs[at->seg];
	const uint8_t *p = (const uint8_t *)v->iov_base + at->offset;
	uint64_t left = v->iov_len - at->offset;
	uint32_t unit = q->features.disk.sector_bytes;
	if (!nf__bfq_in_pool(q, p) || (((uintptr_t)p | left) & (unit - 1)))
		return 0;
	uint32_t room = NF_PAGE_BYTES - (uint32_t)((uintptr_t)p & (NF_PAGE_BYTES - 1));
	return left < room ? (uint32_t)left : room;
}

/* Moves up to a page between a bounce page and the request's memory from the cursor on. */
static uint32_t bounce_move(const struct nf_blk_queue *q, const struct nf_blkreq *r,
			    struct nf_blk_cursor *at, uint8_t *page, uint32_t most, int way)
{
	uint32_t unit = q->features.disk.sector_bytes;
	uint32_t moved = 0;
	while (moved < most && at->seg < r->nsegs) {
		if (moved > 0 && moved % unit == 0 && in_place(q, r, at))
			break;
		uint64_t left = r->segs[at->seg].iov_len - at->offset;
		uint32_t n = left < most - moved ? (uint32_t)left : most - moved;
		uint8_t *p = (uint8_t *)r->segs[at->seg].iov_base + at->offset;
		if (way > 0)
			memcpy(page + moved, p, n);
		else if (way < 0)
			memcpy(p, page + moved, n);
		moved += n;
		cursor_step(r, at, n);
	}
	return moved;
}

void nf__bfq_bounce_out(struct nf_blk_queue *q, const struct nf_blk_front_slot *s)
{
	const struct nf_blk_piece *piece = &q->pieces[(s - q->slots) * q->segments_max];
	const struct nf_blkreq *r = &q->reqs[s->req].r;
	struct nf_blk_cursor at = s->at;
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < s->segments; i++) {
		if (piece[i].page < q->user_pages) {
			cursor_step(r, &at, piece[i].bytes);
			continue;
		}
		bytes += bounce_move(q, r, &at, q->base + (size_t)piece[i].page * NF_PAGE_BYTES,
				     piece[i].bytes, -1);
	}
	NF_COUNT(q->counters, payload_copies, bytes);
}

static struct nf_blkif_segment segment_of(const struct nf_blk_queue *q, uint32_t page,
					  uint32_t offset, uint32_t bytes)
{
	uint32_t shift = 9 + q->unit_shift;
	return (struct nf_blkif_segment){
		.gref = q->rings->pool_grefs[page],
		.first_sect = (uint8_t)(offset >> shift),
		.last_sect = (uint8_t)(((offset + bytes) >> shift) - 1),
	};
}

/* Segments of the request's next part into seg; how many, 0: no bounce page is free. */
static uint32_t part_build(struct nf_blk_queue *q, struct nf_blk_front_req *r,
			   struct nf_blk_front_slot *s, struct nf_blkif_segment *seg)
{
	struct nf_blk_piece *piece = &q->pieces[(s - q->slots) * q->segments_max];
	uint32_t n = 0, bounced = 0;
	while (n < q->segments_max && r->at.seg < r->r.nsegs) {
		uint32_t bytes = in_place(q, &r->r, &r->at);
		uint32_t page, offset = 0;
		if (bytes > 0) {
			const struct iovec *v = &r->r.segs[r->at.seg];
			uintptr_t at = (uintptr_t)v->iov_base + r->at.offset - (uintptr_t)q->base;
			page = (uint32_t)(at / NF_PAGE_BYTES);
			offset = (uint32_t)(at % NF_PAGE_BYTES);
			cursor_step(&r->r, &r->at, bytes);
		} else {
			if (q->bounce_sp == 0)
				break;
			page = q->bounce_stack[--q->bounce_sp];
			bytes = bounce_move(q, &r->r, &r->at,
					    q->base + (size_t)page * NF_PAGE_BYTES, NF_PAGE_BYTES,
					    s->is_read ? 0 : 1);
			s->is_bounced = true;
			bounced += s->is_read ? 0 : bytes;
		}
		piece[n] = (struct nf_blk_piece){.page = (uint16_t)page, .bytes = (uint16_t)bytes};
		seg[n++] = segment_of(q, page, offset, bytes);
		s->sectors += bytes / NF_BLK_SECTOR_BYTES;
	}
	s->segments = (uint16_t)n;
	if (bounced)
		NF_COUNT(q->counters, payload_copies, bounced);
	return n;
}

/* The list of an indirect request, in pages that are this slot's own. */
static void lists_write(struct nf_blk_queue *q, const struct nf_blk_front_slot *s,
			const struct nf_blkif_segment *seg, union nf_blk_slot *out)
{
	uint32_t first = (uint32_t)(s - q->slots) * q->list_pages;
	uint8_t *shared_list = q->rings->lists.base + (size_t)first * NF_PAGE_BYTES;
	for (uint32_t i = 0; i < s->segments; i++) {
		uint32_t *shared = (uint32_t *)(void *)(shared_list + i * sizeof(*seg));
		nf_store_relaxed(shared, seg[i].gref);
		nf_store_relaxed(shared + 1, seg[i].first_sect | (uint32_t)seg[i].last_sect << 8);
	}
	uint32_t pages = (s->segments + NF_BLKIF_INDIRECT_PAGE_SEGMENTS - 1) /
			 NF_BLKIF_INDIRECT_PAGE_SEGMENTS;
	for (uint32_t i = 0; i < pages; i++)
		out->indirect.indirect_grefs[i] = q->rings->list_grefs[first + i];
	NF_COUNT(q->counters, blk_indirects, 1);
}

static void slot_publish(struct nf_blk_queue *q, const union nf_blk_slot *slot)
{
	struct nf_ring_front *ring = &q->rings->ring;
	nf__blk_slot_store(q->features.abi, nf_ring_front_slot(ring, ring->req_prod++), slot);
}

/* What is left of it is part of one page of the pool: nothing to gather, nothing to bounce. */
static inline void page_issue(struct nf_blk_queue *q, struct nf_blk_front_req *r,
			      struct nf_blk_front_slot *s, uint32_t bytes)
{
	const struct iovec *v = &r->r.segs[r->at.seg];
	uintptr_t at = (uintptr_t)v->iov_base + r->at.offset - (uintptr_t)q->base;
	union nf_blk_slot slot;
	slot.words[0] = s->op | 1u << 8; /* one segment */
	slot.rw.id = (uint64_t)(s - q->slots);
	slot.rw.sector_number = (r->r.sector + r->issued) >> q->unit_shift;
	slot.rw.seg[0] = segment_of(q, (uint32_t)(at / NF_PAGE_BYTES),
				    (uint32_t)(at % NF_PAGE_BYTES), bytes);
	s->segments = 1;
	s->sectors = bytes / NF_BLK_SECTOR_BYTES;
	cursor_step(&r->r, &r->at, bytes);
	slot_publish(q, &slot);
	r->issued += s->sectors;
}

/* The next part of a read or write; false: no page for it now. */
static bool data_issue(struct nf_blk_queue *q, struct nf_blk_front_req *r,
		       struct nf_blk_front_slot *s)
{
	struct nf_blkif_segment seg[NF_BLK_SEGMENTS_MAX];
	union nf_blk_slot slot;
	uint8_t op = r->r.op == NF_BLKOP_READ ? NF_BLK_READ : NF_BLK_WRITE;
	s->at = r->at;
	s->op = op;
	s->is_read = op == NF_BLK_READ;
	uint32_t bytes = in_place(q, &r->r, &r->at);
	if (nf__likely(bytes == (r->r.sectors - r->issued) * NF_BLK_SECTOR_BYTES)) {
		page_issue(q, r, s, bytes);
		return true;
	}
	uint64_t sector = (r->r.sector + r->issued) >> q->unit_shift;
	if (part_build(q, r, s, seg) == 0)
		return false;
	uint64_t id = (uint64_t)(s - q->slots);
	if (s->segments <= NF_BLKIF_SEGMENTS_MAX) {
		slot.rw = (struct nf_blkif_request){.operation = op,
						    .nr_segments = (uint8_t)s->segments,
						    .handle = 0,
						    .id = id,
						    .sector_number = sector};
		memcpy(slot.rw.seg, seg, s->segments * sizeof(*seg));
	} else {
		slot.indirect = (struct nf_blkif_indirect){.operation = NF_BLK_INDIRECT,
							   .indirect_op = op,
							   .nr_segments = s->segments,
							   .id = id,
							   .sector_number = sector};
		lists_write(q, s, seg, &slot);
		s->is_indirect = true;
	}
	slot_publish(q, &slot);
	r->issued += s->sectors;
	return true;
}

static void flush_issue(struct nf_blk_queue *q, struct nf_blk_front_slot *s)
{
	/* a back that knows barriers only flushes by an empty one */
	s->op = q->features.disk.flush ? NF_BLK_FLUSH : NF_BLK_BARRIER;
	union nf_blk_slot slot = {.rw = {.operation = s->op, .id = (uint64_t)(s - q->slots)}};
	slot_publish(q, &slot);
}

static void discard_issue(struct nf_blk_queue *q, struct nf_blk_front_req *r,
			  struct nf_blk_front_slot *s)
{
	s->op = NF_BLK_DISCARD;
	union nf_blk_slot slot = {
		.discard = {.operation = NF_BLK_DISCARD,
			    .flag = r->r.flags & NF_BLKREQ_SECURE ? NF_BLKIF_DISCARD_SECURE : 0,
			    .id = (uint64_t)(s - q->slots),
			    .sector_number = r->r.sector >> q->unit_shift,
			    .nr_sectors = r->r.sectors >> q->unit_shift}};
	slot_publish(q, &slot);
	r->issued = r->r.sectors;
}

/* One ring request of the FIFO's first; false: not now. */
static bool part_issue(struct nf_blk_queue *q, uint32_t req)
{
	struct nf_blk_front_req *r = &q->reqs[req];
	if (q->slot_sp == 0 || nf_ring_front_free(&q->rings->ring) == 0)
		return false;
	struct nf_blk_front_slot *s = &q->slots[q->slot_stack[q->slot_sp - 1]];
	*s = (struct nf_blk_front_slot){.req = req};
	if (r->stage == NF_BLK_REQ_SYNCING || r->r.op == NF_BLKOP_FLUSH)
		flush_issue(q, s);
	else if (r->r.op == NF_BLKOP_DISCARD)
		discard_issue(q, r, s);
	else if (!data_issue(q, r, s)) {
		s->req = NF_BLK_NONE;
		return false;
	}
	q->slot_sp--;
	r->parts++;
	return true;
}

uint32_t nf__bfq_pump(struct nf_blk_queue *q)
{
	uint32_t put = 0;
	while (q->head != NF_BLK_NONE) {
		struct nf_blk_front_req *r = &q->reqs[q->head];
		bool is_whole = r->stage == NF_BLK_REQ_SYNCING || r->r.op == NF_BLKOP_FLUSH;
		if (r->error == 0) {
			if (!part_issue(q, q->head))
				break;
			put++;
			if (!is_whole && r->issued < r->r.sectors)
				continue;
		}
		uint32_t req = q->head;
		q->head = r->next;
		if (r->stage == NF_BLK_REQ_WAITING)
			r->stage = NF_BLK_REQ_ISSUED;
		if (r->parts == 0) /* it failed, and nothing of it is on the ring */
			nf__bfq_done(q, req, r->error);
	}
	return put;
}
