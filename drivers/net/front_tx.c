/* SPDX-License-Identifier: MIT */
/*
 * netfront, guest to provider: free pages are a stack of port buffers, so that the page used last
 * is used next (it is warm at both ends) and a port fills the top of the stack in place.
 */
#include "net_internal.h"

#include <string.h>

static inline void buffer_give(struct nf_front_queue *q, uint32_t id)
{
	q->tx_stack[--q->tx_sp] = (struct nf_buf){
		.data = q->rings->tx_pages.base + (size_t)id * NF_PAGE_BYTES + q->tx_req[id].offset,
		.bytes = nf__net_capacity(q->tx_bytes_max),
		.tag = id,
	};
}

void nf__front_tx_reset(struct nf_front_queue *q)
{
	uint32_t max = q->port->frame_bytes_max;
	for (uint32_t id = 0; id < NF_NET_PAGES; id++) {
		if (q->tx_busy[id]) /* keeps its old offset until the response */
			continue;
		q->tx_req[id].offset = (uint16_t)nf__net_offset(id, max);
	}
	q->tx_bytes_max = max;
	q->tx_sp = NF_NET_PAGES;
	for (uint32_t id = NF_NET_PAGES; id-- > 0;)
		if (!q->tx_busy[id])
			buffer_give(q, id);
}

static int rsp_violation(struct nf_front_queue *q, uint32_t id, int16_t status)
{
	if (status == NF_NETIF_RSP_NULL)
		return nf__net_fault(&q->fault, "tx null responses", 1, 0, q->tx_extras);
	if (id >= NF_NET_PAGES)
		return nf__net_fault(&q->fault, "tx response id", id, 0, NF_NET_PAGES - 1);
	if (!q->tx_busy[id])
		return nf__net_fault(&q->fault, "tx response id not in flight", id, 0,
				     NF_NET_PAGES - 1);
	return nf__net_fault(&q->fault, "tx response status", status, NF_NETIF_RSP_DROPPED,
			     NF_NETIF_RSP_NULL);
}

/* Responses to pages. An extra's is RSP_NULL and carries nothing. */
static int tx_reap(struct nf_front_queue *q)
{
	struct nf_ring_front *tx = &q->rings->tx;
	int pending = nf_ring_front_pending(tx);
	if (nf__unlikely(pending < 0))
		return nf__net_fault(&q->fault, "tx rsp_prod",
				     nf_load_relaxed(&tx->shared_hdr->rsp_prod), tx->rsp_cons,
				     tx->req_prod);
	uint32_t errors = 0;
	uint32_t idx = tx->rsp_cons;
	uint32_t end = idx + (uint32_t)pending;
	for (; idx != end; idx++) {
		const uint32_t *shared = nf_ring_front_slot(tx, idx);
		uint32_t word = nf_load_relaxed(shared);
		uint32_t id = word & 0xffffu;
		int16_t status = (int16_t)(word >> 16);
		if (nf__likely(id < NF_NET_PAGES && q->tx_busy[id] && status <= 0 &&
			       status >= NF_NETIF_RSP_DROPPED)) {
			errors += status < 0;
			q->tx_busy[id] = 0;
			if (nf__unlikely(q->tx_bytes_max > NF_NET_SMALL_BYTES))
				q->tx_req[id].offset = 0;
			buffer_give(q, id);
			nf__prefetch_own(q->tx_stack[q->tx_sp].data);
		} else if (status == NF_NETIF_RSP_NULL && q->tx_extras > 0) {
			q->tx_extras--;
		} else {
			return rsp_violation(q, id, status);
		}
	}
	tx->rsp_cons = end;
	if (nf__unlikely(errors))
		NF_COUNT(q->counters, tx_dropped_error, errors);
	return pending;
}

static inline void slot_put(struct nf_ring_front *tx, const struct nf_netif_tx_request *r,
			    uint32_t flags, uint32_t size)
{
	uint32_t *shared = nf_ring_front_slot(tx, tx->req_prod++);
	nf_store_relaxed(shared, r->gref);
	nf_store_relaxed(shared + 1, r->offset | flags << 16);
	nf_store_relaxed(shared + 2, r->id | size << 16);
}

static void extra_put(struct nf_front_queue *q, const struct nf_frame *f)
{
	uint32_t *shared = nf_ring_front_slot(&q->rings->tx, q->rings->tx.req_prod++);
	nf_store_relaxed(shared, NF_NETIF_EXTRA_TYPE_GSO | (uint32_t)f->gso_bytes << 16);
	nf_store_relaxed(shared + 1, f->gso_type);
	nf_store_relaxed(shared + 2, 0);
	q->tx_extras++;
}

/* False: no peer would take this frame as negotiated. */
static bool frame_is_sendable(const struct nf_front_queue *q, const struct nf_buf *bufs,
			      const struct nf_frame *f)
{
	uint32_t sum = 0;
	if (f->count == 0 || f->count > NF_NETIF_SLOTS_MIN || (f->count > 1 && !q->features.sg))
		return false;
	for (uint32_t i = 0; i < f->count; i++)
		sum += bufs[i].bytes;
	if (sum != f->bytes || sum > NF_NETIF_FRAME_MAX)
		return false;
	return f->gso_bytes == 0 || nf__net_gso_allowed(&q->features, f->gso_type);
}

/* Several slots or an extra; returns slots, 0 when the frame was dropped. */
static uint32_t frame_put(struct nf_front_queue *q, const struct nf_buf *bufs,
			  const struct nf_frame *f)
{
	struct nf_ring_front *tx = &q->rings->tx;
	if (!frame_is_sendable(q, bufs, f))
		return 0;
	uint32_t first = tx->req_prod;
	uint32_t flags = f->flags;
	if (flags & NF_FRAME_CSUM_BLANK)
		flags |= NF_NETTXF_data_validated;
	if (f->gso_bytes)
		flags |= NF_NETTXF_extra_info;
	for (uint32_t i = 0; i < f->count; i++) {
		uint32_t id = bufs[i].tag;
		if (i + 1u < f->count)
			flags |= NF_NETTXF_more_data;
		slot_put(tx, &q->tx_req[id], flags, i == 0 ? f->bytes : bufs[i].bytes);
		q->tx_busy[id] = 1;
		if (i == 0 && f->gso_bytes)
			extra_put(q, f);
		flags = 0;
	}
	return tx->req_prod - first;
}

/* Frames of the stack's top to the ring. Dropped frames' pages go back when all are out. */
static uint32_t frames_put(struct nf_front_queue *q, uint32_t count, uint64_t *bytes)
{
	struct nf_ring_front *tx = &q->rings->tx;
	const struct nf_buf *bufs = &q->tx_stack[q->tx_sp];
	const struct nf_frame *frames = q->tx_frames;
	uint16_t dropped[NF_NET_PAGES];
	uint32_t used = 0, drops = 0, drop_frames = 0;
	for (uint32_t i = 0; i < count; i++) {
		const struct nf_frame *f = &frames[i];
		const struct nf_buf *b = &bufs[used];
		if (nf__likely(f->count == 1 && f->gso_bytes == 0)) {
			uint32_t flags = f->flags & (NF_FRAME_CSUM_BLANK | NF_FRAME_DATA_VALID);
			flags |= (flags & NF_FRAME_CSUM_BLANK) << 1;
			q->tx_busy[b->tag] = 1;
			slot_put(tx, &q->tx_req[b->tag], flags, f->bytes);
		} else if (frame_put(q, b, f) == 0) {
			for (uint32_t k = 0; k < f->count; k++)
				dropped[drops++] = (uint16_t)b[k].tag;
			drop_frames++;
			*bytes -= f->bytes;
		}
		*bytes += f->bytes;
		used += f->count;
	}
	q->tx_sp += used;
	while (drops > 0)
		buffer_give(q, dropped[--drops]);
	if (nf__unlikely(drop_frames))
		NF_COUNT(q->counters, rx_dropped_malformed, drop_frames);
	return count - drop_frames;
}

/* How many frames fit for sure: each may need an extra slot beside its buffers. */
static uint32_t tx_room(struct nf_front_queue *q, uint32_t *nbufs)
{
	uint32_t room = nf_ring_front_free(&q->rings->tx);
	uint32_t pages = NF_NET_PAGES - q->tx_sp;
	uint32_t frames = room < NF_NET_BATCH ? room : NF_NET_BATCH;
	if (q->port->features & (NF_PORT_GSO4 | NF_PORT_GSO6)) {
		frames = room / 2 < NF_NET_BATCH ? room / 2 : NF_NET_BATCH;
		room -= frames;
	}
	if (room > NF_NET_BATCH_SLOTS)
		room = NF_NET_BATCH_SLOTS;
	*nbufs = pages < room ? pages : room;
	return frames;
}

static int tx_send(struct nf_front_queue *q)
{
	struct nf_ring_front *tx = &q->rings->tx;
	uint32_t nbufs;
	uint32_t nframes = tx_room(q, &nbufs);
	/* no room for one frame, be it slots or pages: the next response is waited for */
	q->tx_blocked = nframes == 0 || nbufs < nf__net_need(q->tx_bytes_max);
	if (q->tx_blocked)
		return 0;
	int got = q->port->ops->get(q->port, &q->tx_stack[q->tx_sp], nbufs, q->tx_frames, nframes);
	if (got <= 0)
		return got;
	uint32_t first = tx->req_prod;
	uint64_t bytes = 0;
	uint32_t sent = frames_put(q, (uint32_t)got, &bytes);
	uint32_t slots = tx->req_prod - first;
	if (nf_ring_front_push(tx)) {
		if (q->layer->ops->chan_notify(&q->rings->tx_chan) < 0)
			return -ENODEV;
		NF_COUNT(q->counters, notify_sent, 1);
	}
	NF_COUNT(q->counters, tx_packets, sent);
	NF_COUNT(q->counters, tx_bytes, bytes);
	NF_COUNT(q->counters, tx_slots, slots);
	return got;
}

int nf__front_tx_run(struct nf_front_queue *q)
{
	int reaped = tx_reap(q);
	if (nf__unlikely(reaped < 0))
		return reaped;
	if (nf__unlikely(q->port->frame_bytes_max != q->tx_bytes_max))
		nf__front_tx_reset(q);
	int sent = tx_send(q);
	if (nf__unlikely(sent == 0 && q->port->frame_bytes_max != q->tx_bytes_max))
		sent = 1; /* it wants other buffers first: no sleep before it was asked again */
	return sent < 0 ? sent : reaped + sent;
}
