/* SPDX-License-Identifier: MIT */
/* blkfront, ring to user: each answer is looked up, checked and counted once. */
#include "blk_front.h"

static bool needs_sync(const struct nf_blk_queue *q, const struct nf_blk_front_req *r)
{
	const struct nf_blk_disk *d = &q->features.disk;
	return r->r.op == NF_BLKOP_WRITE && (r->r.flags & NF_BLKREQ_FUA) &&
	       r->stage != NF_BLK_REQ_SYNCING && (d->flush || d->barrier);
}

static void part_count(struct nf_blk_queue *q, const struct nf_blk_front_slot *s, int error)
{
	struct nf_counters *c = q->counters;
	uint64_t bytes = (uint64_t)s->sectors * NF_BLK_SECTOR_BYTES;
	if (nf__unlikely(error))
		NF_COUNT(c, blk_errors, 1);
	if (s->op == NF_BLK_FLUSH || s->op == NF_BLK_BARRIER) {
		NF_COUNT(c, blk_flushes, 1);
	} else if (s->op == NF_BLK_DISCARD) {
		NF_COUNT(c, blk_discards, 1);
	} else if (s->is_read) {
		NF_COUNT(c, blk_reads, 1);
		NF_COUNT(c, blk_read_bytes, bytes);
	} else {
		NF_COUNT(c, blk_writes, 1);
		NF_COUNT(c, blk_write_bytes, bytes);
	}
}

static void slot_free(struct nf_blk_queue *q, struct nf_blk_front_slot *s)
{
	const struct nf_blk_piece *piece = &q->pieces[(s - q->slots) * q->segments_max];
	for (uint32_t i = 0; s->is_bounced && i < s->segments; i++)
		if (piece[i].page >= q->user_pages)
			q->bounce_stack[q->bounce_sp++] = piece[i].page;
	s->req = NF_BLK_NONE;
	q->slot_stack[q->slot_sp++] = (uint16_t)(s - q->slots);
}

static void slot_finish(struct nf_blk_queue *q, struct nf_blk_front_slot *s, int16_t status)
{
	uint32_t req = s->req;
	struct nf_blk_front_req *r = &q->reqs[req];
	int error = status == NF_BLKIF_RSP_OKAY		? 0
		    : status == NF_BLKIF_RSP_EOPNOTSUPP ? -EOPNOTSUPP
							: -EIO;
	part_count(q, s, error);
	if (nf__unlikely(error && r->error == 0))
		r->error = error;
	if (s->is_read && s->is_bounced && !error && r->r.segs)
		nf__bfq_bounce_out(q, s);
	slot_free(q, s);
	if (--r->parts > 0 || r->stage == NF_BLK_REQ_WAITING)
		return;
	if (nf__unlikely(r->error == 0 && needs_sync(q, r))) {
		r->stage = NF_BLK_REQ_SYNCING;
		nf__bfq_fifo_put(q, req);
		return;
	}
	nf__bfq_done(q, req, r->error);
}

int nf__bfq_reap(struct nf_blk_queue *q)
{
	struct nf_ring_front *ring = &q->rings->ring;
	int pending = nf_ring_front_pending(ring);
	if (pending <= 0)
		return pending == 0 ? 0
				    : nf__blk_fault(&q->fault, "rsp_prod",
						    nf_load_relaxed(&ring->shared_hdr->rsp_prod),
						    ring->rsp_cons, ring->req_prod);
	uint32_t idx = ring->rsp_cons;
	uint32_t end = idx + (uint32_t)pending;
	for (uint32_t i = idx; i != end; i++) /* the next requests go there */
		nf__blk_slot_prefetch(nf_ring_front_slot(ring, i));
	for (; idx != end; idx++) {
		struct nf_blkif_response rsp;
		nf__blk_rsp_load(q->features.abi, nf_ring_front_slot(ring, idx), &rsp);
		if (nf__unlikely(rsp.id >= ring->count))
			return nf__blk_fault(&q->fault, "response id", (int64_t)rsp.id, 0,
					     ring->count - 1);
		struct nf_blk_front_slot *s = &q->slots[rsp.id];
		if (nf__unlikely(s->req == NF_BLK_NONE))
			return nf__blk_fault(&q->fault, "response id not in flight",
					     (int64_t)rsp.id, 0, ring->count - 1);
		/* Linux's back answers what was inside, others echo the request */
		if (nf__unlikely(rsp.operation != s->op &&
				 !(s->is_indirect && rsp.operation == NF_BLK_INDIRECT)))
			return nf__blk_fault(&q->fault, "response operation", rsp.operation, s->op,
					     s->op);
		ring->rsp_cons = idx + 1;
		slot_finish(q, s, rsp.status);
	}
	return pending;
}
