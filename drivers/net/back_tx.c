/* SPDX-License-Identifier: MIT */
/*
 * netback, guest to provider. Packets are read from the ring into frames that point at the guest's
 * mapped pages (or at a private copy), put to the port in one call, and answered in order. What the
 * port does not take stays in the ring, untouched.
 */
#include "net_internal.h"

#include <string.h>

#define RSP_WORD(id, status) ((uint32_t)(uint16_t)(id) | (uint32_t)(uint16_t)(status) << 16)

struct tx_batch {
	uint32_t frames, bufs, slots, errors;
	uint64_t bytes;
};

/* One data slot to a buffer: the mapped page, else a copy of it. */
static int frag_take(struct nf_back_queue *q, const struct nf_netif_tx_request *r, uint32_t idx,
		     struct tx_batch *b)
{
	const struct nf_gref_map *map = q->rings->grefs;
	uint8_t *page = map ? nf__gref_map_page(map, r->gref, false) : NULL;
	if (r->size == 0)
		return 0;
	if (!page) {
		if (q->static_only)
			return nf__net_fault(&q->fault, "tx gref not registered", r->gref,
					     NF_GREF_RESERVED, NF_GREF_NONE);
		page = q->tx_bounce + (size_t)(idx & NF_NET_MASK) * NF_PAGE_BYTES;
		nf__back_copy_add(q, r->gref, page + r->offset, r->offset, r->size, false,
				  b->frames);
	}
	__builtin_prefetch(page + r->offset);
	q->tx_bufs[b->bufs++] = (struct nf_buf){.data = page + r->offset, .bytes = r->size};
	return 0;
}

/* Responses of a packet in slot order: the first, its extras, the other fragments. */
static void packet_answer(struct nf_back_queue *q, const struct nf_tx_packet *p, uint32_t idx)
{
	uint32_t slot = idx;
	for (uint32_t i = 0; i < p->frags; i++) {
		q->j.tx_rsp[slot++ & NF_NET_MASK] = RSP_WORD(p->frag[i].id, p->status);
		for (uint32_t e = 0; i == 0 && e < p->extras; e++)
			q->j.tx_rsp[slot++ & NF_NET_MASK] = RSP_WORD(0, NF_NETIF_RSP_NULL);
	}
}

/* Anything but a whole packet in one mapped slot. */
static int packet_take(struct nf_back_queue *q, uint32_t idx, uint32_t pending, struct tx_batch *b)
{
	struct nf_tx_packet p;
	int rc = nf__tx_parse(&q->rings->tx, idx, pending, &q->offered, &p, &q->fault);
	if (rc)
		return rc;
	uint32_t first = b->bufs;
	for (uint32_t i = 0; p.status == NF_NETIF_RSP_OKAY && i < p.frags; i++) {
		rc = frag_take(q, &p.frag[i], idx + (i ? i + p.extras : 0), b);
		if (rc)
			return rc;
	}
	packet_answer(q, &p, idx);
	if (p.status == NF_NETIF_RSP_OKAY) {
		q->tx_frames[b->frames] = (struct nf_frame){.bytes = p.bytes,
							    .first = (uint16_t)first,
							    .count = (uint16_t)(b->bufs - first),
							    .gso_bytes = p.gso_bytes,
							    .gso_type = p.gso_type,
							    .flags = p.flags};
		q->tx_start[b->frames++] = b->slots;
		b->bytes += p.bytes;
	} else {
		b->errors++;
	}
	b->slots += p.slots;
	return (int)p.slots;
}

/* Whole packets in one slot of a mapped page, the common case; stops at anything else. */
static inline uint32_t plain_take(struct nf_back_queue *q, uint32_t idx, uint32_t end,
				  struct tx_batch *b)
{
	const struct nf_ring_back *tx = &q->rings->tx;
	const struct nf_gref_map *map = q->rings->grefs;
	if (!map)
		return idx;
	while (idx != end && b->frames < NF_NET_BATCH) {
		const uint32_t *shared = nf_ring_back_slot(tx, idx);
		uint32_t gref = nf_load_relaxed(shared);
		uint32_t where = nf_load_relaxed(shared + 1); /* offset, flags */
		uint32_t what = nf_load_relaxed(shared + 2);  /* id, size */
		uint32_t offset = where & 0xffffu;
		uint32_t bytes = what >> 16;
		uint8_t *page = nf__gref_map_page(map, gref, false);
		if (nf__unlikely(where >> 18 != 0 || bytes < NF_NET_FRAME_MIN ||
				 offset + bytes > NF_PAGE_BYTES || !page))
			break;
		__builtin_prefetch(page + offset);
		q->tx_bufs[b->bufs] = (struct nf_buf){.data = page + offset, .bytes = bytes};
		q->tx_frames[b->frames] = (struct nf_frame){.bytes = bytes,
							    .first = (uint16_t)b->bufs,
							    .count = 1,
							    .flags = nf__tx_frame_flags(where >>
											16)};
		q->tx_start[b->frames] = b->slots;
		q->j.tx_rsp[idx & NF_NET_MASK] = what & 0xffffu;
		b->bufs++;
		b->frames++;
		b->slots++;
		b->bytes += bytes;
		idx++;
	}
	return idx;
}

static int batch_take(struct nf_back_queue *q, uint32_t pending, struct tx_batch *b)
{
	uint32_t idx = q->rings->tx.req_cons;
	uint32_t end = idx + pending;
	*b = (struct tx_batch){0};
	for (;;) {
		idx = plain_take(q, idx, end, b);
		if (idx == end || b->frames >= NF_NET_BATCH)
			return 0;
		int slots = packet_take(q, idx, end - idx, b);
		if (slots < 0)
			return slots;
		idx += (uint32_t)slots;
	}
}

/* Frames of which a copy failed are answered with an error and leave the batch. */
static void batch_sift(struct nf_back_queue *q, struct tx_batch *b)
{
	uint32_t first = q->rings->tx.req_cons;
	uint32_t kept = 0;
	bool bad[NF_NET_BATCH] = {false};
	for (uint32_t i = 0; i < q->op_count; i++)
		if (q->ops[i].status < 0)
			bad[q->op_owner[i]] = true;
	for (uint32_t i = 0; i < b->frames; i++) {
		if (!bad[i]) {
			q->tx_start[kept] = q->tx_start[i];
			q->tx_frames[kept++] = q->tx_frames[i];
			continue;
		}
		/* its slots up to the next frame; errors in between are errors already */
		uint32_t end = i + 1 < b->frames ? q->tx_start[i + 1] : b->slots;
		for (uint32_t s = q->tx_start[i]; s < end; s++) {
			uint32_t *rsp = &q->j.tx_rsp[(first + s) & NF_NET_MASK];
			if (*rsp >> 16 != NF_NETIF_RSP_NULL)
				*rsp = RSP_WORD(*rsp, NF_NETIF_RSP_ERROR);
		}
		b->bytes -= q->tx_frames[i].bytes;
		b->errors++;
	}
	b->frames = kept;
}

/* Publishes the responses of `slots` requests. */
static int tx_respond(struct nf_back_queue *q, uint32_t slots)
{
	struct nf_ring_back *tx = &q->rings->tx;
	uint32_t idx = tx->rsp_prod;
	nf_store64(&q->j.tx_redo, (uint64_t)slots << 32 | idx);
	nf_kill_barrier(); /* the journal before the first slot */
	for (uint32_t end = idx + slots; idx != end; idx++)
		nf_store_relaxed(nf_ring_back_slot(tx, idx), q->j.tx_rsp[idx & NF_NET_MASK]);
	tx->rsp_prod = idx;
	tx->req_cons += slots;
	if (nf_ring_back_push(tx)) {
		if (q->layer->ops->chan_notify(&q->rings->tx_chan) < 0)
			return -ENODEV;
		NF_COUNT(q->counters, notify_sent, 1);
	}
	return (int)slots;
}

static void tx_count(struct nf_back_queue *q, const struct tx_batch *b)
{
	NF_COUNT(q->counters, tx_packets, b->frames);
	NF_COUNT(q->counters, tx_bytes, b->bytes);
	NF_COUNT(q->counters, tx_slots, b->slots);
	if (nf__unlikely(b->errors))
		NF_COUNT(q->counters, tx_dropped_error, b->errors);
}

int nf__back_tx_run(struct nf_back_queue *q)
{
	struct nf_ring_back *tx = &q->rings->tx;
	int pending = nf_ring_back_pending(tx);
	q->tx_left = 0;
	if (pending == 0)
		return 0;
	if (nf__unlikely(pending < 0))
		return nf__net_fault(&q->fault, "tx req_prod",
				     nf_load_relaxed(&tx->shared_hdr->req_prod), tx->req_cons,
				     (int64_t)tx->rsp_prod + tx->count);
	struct tx_batch b;
	q->op_count = 0;
	int rc = batch_take(q, (uint32_t)pending, &b);
	if (nf__unlikely(rc < 0))
		return rc;
	if (nf__unlikely(q->op_count)) {
		rc = nf__back_copy_run(q);
		if (rc < 0)
			return rc;
		if (rc > 0)
			batch_sift(q, &b);
	}
	if (b.frames > 0) {
		int taken = q->port->ops->put(q->port, q->tx_bufs, q->tx_frames, b.frames);
		if (nf__unlikely(taken < 0))
			return taken;
		if (nf__unlikely((uint32_t)taken < b.frames)) {
			for (uint32_t i = (uint32_t)taken; i < b.frames; i++)
				b.bytes -= q->tx_frames[i].bytes;
			b.frames = (uint32_t)taken;
			b.slots = q->tx_start[taken];
			b.errors = 0; /* a few may be answered here; those behind are met again */
			if (q->port->put_waits)
				q->tx_left = (uint32_t)pending - b.slots;
		}
	}
	if (b.slots == 0)
		return 0;
	tx_count(q, &b);
	return tx_respond(q, b.slots);
}
