/* SPDX-License-Identifier: MIT */
/*
 * translate for disks: descriptors cross, payload does not. L2's gref becomes the outer gref of the
 * same page by its position among the pages L2 registered; its sector is moved into its window; its
 * lists of indirect segments are copied into pages of L1's own.
 *
 * Every request taken from L2 makes one outer request or one answer, so neither ring overflows.
 */
#include "relay/blk.h"

#include <string.h>

static int inner_fault(struct nf__blk_queue *q, const char *field, int64_t value, int64_t low,
		       int64_t high)
{
	q->is_inner_fault = true;
	return nf__blk_fault(&q->fault, field, value, low, high);
}

static int outer_fault(struct nf__blk_queue *q, const char *field, int64_t value, int64_t low,
		       int64_t high)
{
	q->is_inner_fault = false;
	return nf__blk_fault(&q->fault, field, value, low, high);
}

static void answer(struct nf__blk_queue *q, uint64_t id, uint8_t op, int16_t status)
{
	struct nf_ring_back *ring = &q->in->ring;
	nf__blk_rsp_store(q->in_features.abi, nf_ring_back_slot(ring, ring->rsp_prod++), id, op,
			  status);
}

/* ---- L0's answers ---- */

static int answers_move(struct nf__blk_queue *q)
{
	struct nf_ring_front *out = &q->out->ring;
	int pending = nf_ring_front_pending(out);
	if (pending < 0)
		return outer_fault(q, "rsp_prod", nf_load_relaxed(&out->shared_hdr->rsp_prod),
				   out->rsp_cons, out->req_prod);
	for (int i = 0; i < pending; i++) /* the next requests go there */
		nf__blk_slot_prefetch(nf_ring_front_slot(out, out->rsp_cons + (uint32_t)i));
	for (int i = 0; i < pending; i++) {
		struct nf_blkif_response rsp;
		nf__blk_rsp_load(q->out_features.abi, nf_ring_front_slot(out, out->rsp_cons), &rsp);
		if (rsp.id >= out->count || !q->flight[rsp.id].is_busy)
			return outer_fault(q, "response id not in flight", (int64_t)rsp.id, 0,
					   out->count - 1);
		struct nf__blk_flight *f = &q->flight[rsp.id];
		int16_t status = rsp.status == NF_BLKIF_RSP_OKAY ||
						 rsp.status == NF_BLKIF_RSP_EOPNOTSUPP
					 ? rsp.status
					 : NF_BLKIF_RSP_ERROR;
		if (status)
			NF_COUNT(q->counters, blk_errors, 1);
		out->rsp_cons++;
		f->is_busy = false;
		q->free_stack[q->free_sp++] = (uint16_t)rsp.id;
		answer(q, f->inner_id, f->op, status);
	}
	return pending;
}

/* ---- L2's requests ---- */

/* The outer gref of L2's page; positions beyond the payload are its lists. */
static bool gref_move(const struct nf__blk_queue *q, uint32_t *gref)
{
	const struct nf_blk_cell *c = nf__blk_grefs_find(q->in->grefs, *gref);
	if (!c || c->position >= q->out->pool.pages)
		return false;
	*gref = q->out->pool_grefs[c->position];
	return true;
}

/* Checks, translates and sums segments in private memory; 0: one is wrong. */
static uint64_t segments_move(struct nf__blk_queue *q, struct nf_blkif_segment *seg, uint32_t count)
{
	uint64_t sectors = 0;
	for (uint32_t i = 0; i < count; i++) {
		if (seg[i].last_sect >= NF_BLK_PAGE_SECTORS ||
		    seg[i].first_sect > seg[i].last_sect || !gref_move(q, &seg[i].gref))
			return 0;
		seg[i].pad = 0;
		sectors += seg[i].last_sect - seg[i].first_sect + 1u;
	}
	return sectors;
}

static bool sector_move(const struct nf__blk_queue *q, uint64_t *sector, uint64_t sectors)
{
	if (sectors == 0 || *sector >= q->sectors || sectors > q->sectors - *sector)
		return false;
	*sector += q->start;
	return true;
}

static bool list_load(struct nf__blk_queue *q, const struct nf_blkif_indirect *r)
{
	uint32_t left = r->nr_segments;
	uint8_t *to = (uint8_t *)q->list;
	for (uint32_t i = 0; left > 0; i++) {
		uint32_t n = left < NF_BLKIF_INDIRECT_PAGE_SEGMENTS
				     ? left
				     : NF_BLKIF_INDIRECT_PAGE_SEGMENTS;
		struct nf_grant_copy op = {.peer = q->inner_owner,
					   .gref = r->indirect_grefs[i],
					   .bytes = (uint16_t)(n * sizeof(q->list[0])),
					   .local = to};
		if (q->inner->ops->copy(q->inner, &op, 1) < 0 || op.status < 0)
			return false;
		NF_COUNT(q->counters, grant_copies, 1);
		left -= n;
		to += op.bytes;
	}
	NF_COUNT(q->counters, blk_indirects, 1);
	return true;
}

static bool indirect_move(struct nf__blk_queue *q, struct nf_blkif_indirect *r, uint32_t id)
{
	uint32_t most = q->in_features.indirect;
	if (most > q->list_pages * NF_BLKIF_INDIRECT_PAGE_SEGMENTS)
		most = q->list_pages * NF_BLKIF_INDIRECT_PAGE_SEGMENTS;
	if (r->nr_segments == 0 || r->nr_segments > most ||
	    (r->indirect_op != NF_BLK_READ && r->indirect_op != NF_BLK_WRITE) || !list_load(q, r))
		return false;
	if (!sector_move(q, &r->sector_number, segments_move(q, q->list, r->nr_segments)))
		return false;
	uint32_t first = id * q->list_pages;
	uint32_t *shared = (uint32_t *)(void *)(q->out->lists.base + (size_t)first * NF_PAGE_BYTES);
	for (uint32_t i = 0; i < r->nr_segments; i++) {
		nf_store_relaxed(&shared[2 * i], q->list[i].gref);
		nf_store_relaxed(&shared[2 * i + 1],
				 q->list[i].first_sect | (uint32_t)q->list[i].last_sect << 8);
	}
	for (uint32_t i = 0; i < NF_BLKIF_INDIRECT_PAGES_MAX; i++)
		r->indirect_grefs[i] = i < q->list_pages ? q->out->list_grefs[first + i] : 0;
	r->handle = r->pad2 = 0;
	return true;
}

/* Makes L2's request one of L1's, in place. 0, or the status it is answered with. */
static int16_t request_move(struct nf__blk_queue *q, union nf_blk_slot *slot, uint32_t id)
{
	const struct nf_blk_disk *d = &q->out_features.disk;
	bool good = false;
	switch (slot->rw.operation) {
	case NF_BLK_READ:
	case NF_BLK_WRITE:
		good = slot->rw.nr_segments <= NF_BLKIF_SEGMENTS_MAX &&
		       sector_move(q, &slot->rw.sector_number,
				   segments_move(q, slot->rw.seg, slot->rw.nr_segments));
		break;
	case NF_BLK_BARRIER:
	case NF_BLK_FLUSH:
		if (slot->rw.operation == NF_BLK_FLUSH ? !d->flush : !d->barrier)
			return NF_BLKIF_RSP_EOPNOTSUPP;
		good = slot->rw.nr_segments == 0 ||
		       (slot->rw.nr_segments <= NF_BLKIF_SEGMENTS_MAX &&
			sector_move(q, &slot->rw.sector_number,
				    segments_move(q, slot->rw.seg, slot->rw.nr_segments)));
		break;
	case NF_BLK_DISCARD:
		if (!d->discard || (slot->discard.flag && !d->secure))
			return NF_BLKIF_RSP_EOPNOTSUPP;
		slot->discard.flag &= NF_BLKIF_DISCARD_SECURE;
		good = sector_move(q, &slot->discard.sector_number, slot->discard.nr_sectors);
		break;
	case NF_BLK_INDIRECT:
		if (q->in_features.indirect == 0)
			return NF_BLKIF_RSP_EOPNOTSUPP;
		good = indirect_move(q, &slot->indirect, id);
		break;
	default:
		return NF_BLKIF_RSP_EOPNOTSUPP;
	}
	slot->rw.handle = slot->rw.operation == NF_BLK_INDIRECT ? slot->rw.handle : 0;
	return good ? 0 : NF_BLKIF_RSP_ERROR;
}

static void request_count(struct nf__blk_queue *q, uint8_t op)
{
	struct nf_counters *c = q->counters;
	if (op == NF_BLK_READ)
		NF_COUNT(c, blk_reads, 1);
	else if (op == NF_BLK_FLUSH)
		NF_COUNT(c, blk_flushes, 1);
	else if (op == NF_BLK_DISCARD)
		NF_COUNT(c, blk_discards, 1);
	else
		NF_COUNT(c, blk_writes, 1);
}

static int requests_move(struct nf__blk_queue *q)
{
	struct nf_ring_back *in = &q->in->ring;
	struct nf_ring_front *out = &q->out->ring;
	int pending = nf_ring_back_pending(in), moved = 0;
	if (pending < 0)
		return inner_fault(q, "req_prod", nf_load_relaxed(&in->shared_hdr->req_prod),
				   in->req_cons, (int64_t)in->rsp_prod + in->count);
	for (int i = 0; i < pending; i++) /* the answers go there */
		nf__blk_slot_prefetch(nf_ring_back_slot(in, in->req_cons + (uint32_t)i));
	for (; moved < pending && q->free_sp > 0 && nf_ring_front_free(out) > 0; moved++) {
		union nf_blk_slot slot;
		uint32_t id = q->free_stack[q->free_sp - 1];
		nf__blk_slot_load(q->in_features.abi, nf_ring_back_slot(in, in->req_cons++), &slot);
		uint64_t inner_id = slot.rw.id;
		uint8_t op = slot.rw.operation == NF_BLK_INDIRECT ? slot.indirect.indirect_op
								  : slot.rw.operation;
		int16_t status = request_move(q, &slot, id);
		if (status) {
			NF_COUNT(q->counters, blk_refused, 1);
			answer(q, inner_id, op, status);
			continue;
		}
		q->free_sp--;
		q->flight[id] = (struct nf__blk_flight){
			.inner_id = inner_id, .op = op, .is_busy = true};
		slot.rw.id = id;
		request_count(q, op);
		nf__blk_slot_store(q->out_features.abi, nf_ring_front_slot(out, out->req_prod++),
				   &slot);
	}
	return moved;
}

static int queue_run(struct nf_poll_item *item)
{
	struct nf__blk_queue *q = (struct nf__blk_queue *)item;
	if (q->hung_up)
		return -ENODEV;
	int answers = answers_move(q);
	int requests = answers < 0 ? answers : requests_move(q);
	if (requests < 0)
		return requests;
	bool to_outer = nf_ring_front_push(&q->out->ring);
	bool to_inner = nf_ring_back_push(&q->in->ring);
	NF_GAUGE(q->counters, tx_ring_used, q->out->ring.req_prod - q->out->ring.rsp_cons);
	if ((to_outer && q->outer->ops->chan_notify(&q->out->chan) < 0) ||
	    (to_inner && q->inner->ops->chan_notify(&q->in->chan) < 0))
		return -ENODEV;
	if (to_outer || to_inner)
		NF_COUNT(q->counters, notify_sent, to_outer + to_inner);
	return answers + requests;
}

static int queue_arm(struct nf_poll_item *item)
{
	struct nf__blk_queue *q = (struct nf__blk_queue *)item;
	if (q->hung_up)
		return -ENODEV;
	int out = nf_ring_front_arm(&q->out->ring, 1);
	int in = nf_ring_back_arm(&q->in->ring, 1);
	if (out < 0)
		return outer_fault(q, "rsp_prod",
				   nf_load_relaxed(&q->out->ring.shared_hdr->rsp_prod),
				   q->out->ring.rsp_cons, q->out->ring.req_prod);
	if (in < 0)
		return inner_fault(q, "req_prod",
				   nf_load_relaxed(&q->in->ring.shared_hdr->req_prod),
				   q->in->ring.req_cons,
				   (int64_t)q->in->ring.rsp_prod + q->in->ring.count);
	bool is_full = q->free_sp == 0 || nf_ring_front_free(&q->out->ring) == 0;
	return is_full ? out : out + in;
}

static int queue_fds(struct nf_poll_item *item, int *fds, int cap)
{
	struct nf__blk_queue *q = (struct nf__blk_queue *)item;
	if (cap < 2)
		return 0;
	fds[0] = q->in->chan.fd;
	fds[1] = q->out->chan.fd;
	return 2;
}

static void queue_woken(struct nf_poll_item *item)
{
	struct nf__blk_queue *q = (struct nf__blk_queue *)item;
	int in = q->inner->ops->chan_clear(&q->in->chan);
	int out = q->outer->ops->chan_clear(&q->out->chan);
	if (in < 0 || out < 0)
		q->hung_up = true;
	else
		NF_COUNT(q->counters, notify_received, in + out);
}

static void queue_failed(struct nf_poll_item *item, int error)
{
	struct nf__blk_queue *q = (struct nf__blk_queue *)item;
	q->stopped(q->ctx, error);
}

static const struct nf_poll_item_ops queue_ops = {
	.run = queue_run,
	.arm = queue_arm,
	.fds = queue_fds,
	.woken = queue_woken,
	.failed = queue_failed,
};

int nf__blk_queue_init(struct nf__blk_queue *q)
{
	uint32_t count = q->out->ring.count;
	if (!q->in->grefs || q->in->ring.count > count)
		return -EINVAL;
	q->item.ops = &queue_ops;
	q->item.counters = q->counters;
	q->list_pages = q->out->lists.pages / count;
	for (uint32_t i = count; i-- > 0;)
		q->free_stack[q->free_sp++] = (uint16_t)i;
	return 0;
}
