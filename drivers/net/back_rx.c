/* SPDX-License-Identifier: MIT */
/*
 * netback, provider to guest. Posted requests are copied and looked up once, into port buffers in
 * slot order (kept twice, so that any run of slots is contiguous); the port fills those, responses
 * go to the slots of their requests.
 *
 * A GSO extra takes the slot behind the first one of its packet, so its page holds no data. Whether
 * a frame has one is known only after the port filled it: where the port may give GSO frames it
 * gets pages for one frame at a time, with or without that gap as the frame before had it, and data
 * in the wrong pages is moved. Traffic is rarely mixed: GSO flows have the gap, jumbo frames don't.
 */
#include "net_internal.h"

#include <string.h>

static inline void rsp_put(struct nf_back_queue *q, uint32_t idx, uint32_t offset, uint32_t flags,
			   uint32_t status)
{
	uint64_t *shared = nf_ring_back_slot(&q->rings->rx, idx);
	nf_store64(shared, (uint64_t)q->j.rx_slot[idx & NF_NET_MASK].id | (uint64_t)offset << 16 |
				   (uint64_t)flags << 32 | (uint64_t)status << 48);
}

/* csum_blank and data_validated are the other way round on this side. */
static inline uint32_t rsp_flags(uint32_t frame_flags)
{
	return frame_flags & NF_FRAME_CSUM_BLANK ? NF_NETRXF_csum_blank | NF_NETRXF_data_validated
						 : (frame_flags & NF_FRAME_DATA_VALID) >> 1;
}

/* Copies and looks up requests that came since the last time. */
static int requests_take(struct nf_back_queue *q, uint32_t end)
{
	const struct nf_ring_back *rx = &q->rings->rx;
	const struct nf_gref_map *map = q->rings->grefs;
	uint32_t bytes = nf__net_capacity(q->rx_bytes_max);
	/* what was published once stays published: else this loop would go once round 2^32 */
	uint32_t seen = q->j.rx_seen;
	if (nf__unlikely(end - rx->req_cons < seen - rx->req_cons))
		return nf__net_fault(&q->fault, "rx req_prod", end, seen,
				     (int64_t)rx->rsp_prod + rx->count);
	for (; seen != end; seen++) {
		uint64_t word = nf_load64(nf_ring_back_slot(rx, seen));
		uint32_t slot = seen & NF_NET_MASK;
		uint32_t gref = (uint32_t)(word >> 32);
		uint8_t *page = map ? nf__gref_map_page(map, gref, true) : NULL;
		bool is_copy = !page;
		if (nf__unlikely(is_copy)) {
			if (q->static_only)
				return nf__net_fault(&q->fault, "rx gref not registered", gref,
						     NF_GREF_RESERVED, NF_GREF_NONE);
			page = q->rx_bounce + (size_t)slot * NF_PAGE_BYTES;
		}
		struct nf_buf buf = {.data = page + nf__net_offset(slot, q->rx_bytes_max),
				     .bytes = bytes,
				     .tag = slot};
		q->j.rx_slot[slot] = (struct nf_back_rx_slot){
			.gref = gref, .id = (uint16_t)word, .is_copy = is_copy};
		nf__prefetch_own(buf.data); /* the guest has it: fetch it while others are filled */
		q->rx_bufs[slot] = buf;
		q->rx_bufs[slot + NF_NET_PAGES] = buf;
	}
	nf_kill_barrier(); /* the requests before the index, and both before any response */
	nf_store_relaxed(&q->j.rx_seen, seen);
	nf_kill_barrier();
	return 0;
}

/* Answers the request at idx with the bytes of a filled buffer. */
static inline void data_put(struct nf_back_queue *q, uint32_t idx, const struct nf_buf *b,
			    uint32_t flags)
{
	const struct nf_back_rx_slot *s = &q->j.rx_slot[idx & NF_NET_MASK];
	uint32_t offset = (uint32_t)((uintptr_t)b->data & (NF_PAGE_BYTES - 1));
	if (nf__unlikely(s->is_copy))
		nf__back_copy_add(q, s->gref, b->data, offset, b->bytes, true, idx & NF_NET_MASK);
	rsp_put(q, idx, offset, flags, b->bytes);
}

/* Frames without GSO, filled in slot order. Returns slots used. */
static uint32_t frames_put(struct nf_back_queue *q, const struct nf_buf *bufs, uint32_t count,
			   uint64_t *bytes)
{
	uint32_t idx = q->rings->rx.req_cons;
	for (uint32_t i = 0; i < count; i++) {
		const struct nf_frame *f = &q->rx_frames[i];
		uint32_t flags = rsp_flags(f->flags);
		*bytes += f->bytes;
		for (uint32_t k = 1; k < f->count; k++) {
			data_put(q, idx++, bufs++, flags | NF_NETRXF_more_data);
			flags = 0;
		}
		data_put(q, idx++, bufs++, flags);
	}
	return idx - q->rings->rx.req_cons;
}

/* Moves a frame's fragments from 1 on to the layout with the gap or to that without, page by page:
 * upwards from the last, downwards from the first. */
static void layout_move(struct nf_back_queue *q, uint32_t idx, struct nf_buf *bufs, uint32_t count,
			bool has_gap)
{
	for (uint32_t i = 1; i < count; i++) {
		uint32_t k = has_gap ? count - i : i;
		struct nf_buf *to = &q->rx_bufs[(idx + k + has_gap) & NF_NET_MASK];
		memcpy(to->data, bufs[k].data, bufs[k].bytes);
		bufs[k].data = to->data;
	}
}

/* A frame that may have an extra. Returns slots used. */
static uint32_t gso_put(struct nf_back_queue *q, uint32_t idx, struct nf_buf *bufs,
			const struct nf_frame *f)
{
	uint32_t flags = rsp_flags(f->flags);
	uint32_t first = idx;
	bool has_gap = f->gso_bytes != 0;
	if (f->count > 1 && has_gap != q->rx_gap) {
		layout_move(q, idx, bufs, f->count, has_gap);
		q->rx_gap = has_gap; /* the next is likely of the same kind */
	}
	if (f->count > 1)
		flags |= NF_NETRXF_more_data;
	if (has_gap)
		flags |= NF_NETRXF_extra_info;
	data_put(q, idx++, &bufs[0], flags);
	if (has_gap) {
		uint64_t *shared = nf_ring_back_slot(&q->rings->rx, idx++);
		nf_store64(shared, NF_NETIF_EXTRA_TYPE_GSO | (uint64_t)f->gso_bytes << 16 |
					   (uint64_t)f->gso_type << 32);
	}
	for (uint32_t k = 1; k < f->count; k++)
		data_put(q, idx++, &bufs[k], k + 1u < f->count ? NF_NETRXF_more_data : 0);
	return idx - first;
}

/* One frame a call of the port, pages lent in the layout the last frame had. */
static int gso_get(struct nf_back_queue *q, uint32_t *slots, uint64_t *bytes)
{
	struct nf_ring_back *rx = &q->rings->rx;
	uint32_t need = nf__back_rx_need(q);
	int frames = 0;
	for (uint32_t tries = 0; tries < NF_NET_BATCH && *slots + need <= NF_NET_BATCH_SLOTS;
	     tries++) {
		uint32_t idx = rx->req_cons + *slots;
		struct nf_buf bufs[NF_NETIF_SLOTS_MIN + 1];
		if (q->j.rx_seen - idx < need) {
			q->rx_blocked = true;
			break;
		}
		const struct nf_buf *from = &q->rx_bufs[idx & NF_NET_MASK];
		bufs[0] = from[0];
		for (uint32_t i = 1; i + 1 < need; i++)
			bufs[i] = from[i + q->rx_gap];
		struct nf_frame *f = &q->rx_frames[0];
		int got = q->port->ops->get(q->port, bufs, need - 1, f, 1);
		if (got < 0)
			return got;
		if (got == 0)
			break;
		if (f->gso_bytes && !nf__net_gso_allowed(&q->features, f->gso_type)) {
			NF_COUNT(q->counters, rx_dropped_malformed, 1);
			continue;
		}
		*slots += gso_put(q, idx, bufs, f);
		*bytes += f->bytes;
		frames++;
	}
	return frames;
}

static int plain_get(struct nf_back_queue *q, uint32_t *slots, uint64_t *bytes)
{
	struct nf_ring_back *rx = &q->rings->rx;
	uint32_t avail = q->j.rx_seen - rx->req_cons;
	if (avail < nf__back_rx_need(q)) {
		q->rx_blocked = true;
		return 0;
	}
	if (avail > NF_NET_BATCH_SLOTS)
		avail = NF_NET_BATCH_SLOTS;
	struct nf_buf *bufs = &q->rx_bufs[rx->req_cons & NF_NET_MASK];
	int got = q->port->ops->get(q->port, bufs, avail, q->rx_frames, NF_NET_BATCH);
	if (got > 0)
		*slots = frames_put(q, bufs, (uint32_t)got, bytes);
	return got;
}

static bool rx_has_gso(const struct nf_back_queue *q)
{
	return (q->features.gso4 || q->features.gso6) && q->rx_bytes_max > NF_NET_SMALL_BYTES &&
	       (q->port->features & (NF_PORT_GSO4 | NF_PORT_GSO6));
}

uint32_t nf__back_rx_need(const struct nf_back_queue *q)
{
	return nf__net_need(q->rx_bytes_max) + (rx_has_gso(q) ? 1 : 0);
}

/* A slot whose copy failed carries an error in place of its bytes: the front drops the packet. */
static int copies_run(struct nf_back_queue *q)
{
	int failed = nf__back_copy_run(q);
	if (failed <= 0)
		return failed;
	uint32_t base = q->rings->rx.req_cons;
	for (uint32_t i = 0; i < q->op_count; i++) {
		if (q->ops[i].status >= 0)
			continue;
		uint32_t idx = base + ((q->op_owner[i] - base) & NF_NET_MASK);
		uint64_t *shared = nf_ring_back_slot(&q->rings->rx, idx);
		uint64_t word = nf_load64(shared) & 0xffffffffffffull;
		nf_store64(shared, word | (uint64_t)(uint16_t)NF_NETIF_RSP_ERROR << 48);
	}
	NF_COUNT(q->counters, rx_dropped_error, failed);
	return 0;
}

static int rx_push(struct nf_back_queue *q, uint32_t slots)
{
	struct nf_ring_back *rx = &q->rings->rx;
	rx->req_cons += slots;
	rx->rsp_prod = rx->req_cons;
	if (nf_ring_back_push(rx)) {
		struct nf_chan *chan = q->rings->rx_chan.fd >= 0 ? &q->rings->rx_chan
								 : &q->rings->tx_chan;
		if (q->layer->ops->chan_notify(chan) < 0)
			return -ENODEV;
		NF_COUNT(q->counters, notify_sent, 1);
	}
	return (int)slots;
}

int nf__back_rx_run(struct nf_back_queue *q)
{
	struct nf_ring_back *rx = &q->rings->rx;
	int pending = nf_ring_back_pending(rx);
	if (nf__unlikely(pending < 0))
		return nf__net_fault(&q->fault, "rx req_prod",
				     nf_load_relaxed(&rx->shared_hdr->req_prod), rx->req_cons,
				     (int64_t)rx->rsp_prod + rx->count);
	if (nf__unlikely(q->port->frame_bytes_max != q->rx_bytes_max))
		nf__back_queue_forget(q);
	int rc = requests_take(q, rx->req_cons + (uint32_t)pending);
	if (nf__unlikely(rc < 0))
		return rc;
	uint32_t slots = 0;
	uint64_t bytes = 0;
	q->op_count = 0;
	q->rx_blocked = false;
	int got = rx_has_gso(q) ? gso_get(q, &slots, &bytes) : plain_get(q, &slots, &bytes);
	if (nf__unlikely(got < 0))
		return got;
	if (slots == 0) /* 1: it wants other buffers first, no sleep before it was asked again */
		return q->port->frame_bytes_max != q->rx_bytes_max;
	if (nf__unlikely(q->op_count)) {
		rc = copies_run(q);
		if (rc < 0)
			return rc;
	}
	NF_COUNT(q->counters, rx_packets, got);
	NF_COUNT(q->counters, rx_bytes, bytes);
	NF_COUNT(q->counters, rx_slots, slots);
	return rx_push(q, slots);
}
