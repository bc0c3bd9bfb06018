/* SPDX-License-Identifier: MIT */
/*
 * netfront, provider to guest: page i is always posted in slot i, because responses come in the
 * slot of their request and pages go back in the order they came. So an extra, which has no id,
 * needs no search: the page it overlays is the slot's.
 */
#include "net_internal.h"

#include <string.h>

/* A packet being put together from local copies of its responses. */
struct rx_packet {
	struct nf_frame frame;
	uint32_t slots;
	bool is_error; /* the back said so, or it is too short: dropped */
};

void nf__front_rx_post(struct nf_front_queue *q, uint32_t first, uint32_t count)
{
	struct nf_ring_front *rx = &q->rings->rx;
	for (uint32_t idx = first; idx != first + count; idx++) {
		uint64_t *shared = nf_ring_front_slot(rx, idx);
		nf_store64(shared, q->rx_req[idx & NF_NET_MASK]);
	}
	rx->req_prod = first + count;
}

static struct nf_netif_rx_response rsp_copy(const struct nf_ring_front *rx, uint32_t idx)
{
	uint64_t word = nf_load64(nf_ring_front_slot(rx, idx));
	struct nf_netif_rx_response rsp;
	memcpy(&rsp, &word, sizeof(rsp));
	return rsp;
}

static inline uint8_t *rx_page(const struct nf_front_queue *q, uint32_t slot)
{
	return q->rings->rx_pages.base + (size_t)slot * NF_PAGE_BYTES;
}

static int gso_take(struct nf_front_queue *q, const struct nf_netif_extra_info *e,
		    struct rx_packet *p)
{
	if (e->u.gso.size == 0)
		return nf__net_fault(&q->fault, "rx extra gso.size", 0, 1, UINT16_MAX);
	if (!nf__net_gso_allowed(&q->features, e->u.gso.type))
		return nf__net_fault(&q->fault, "rx extra gso.type", e->u.gso.type,
				     NF_NETIF_GSO_TYPE_TCPV4, NF_NETIF_GSO_TYPE_TCPV6);
	p->frame.gso_bytes = e->u.gso.size;
	p->frame.gso_type = e->u.gso.type;
	return 0;
}

static int extras_take(struct nf_front_queue *q, uint32_t idx, uint32_t pending,
		       struct rx_packet *p)
{
	struct nf_netif_extra_info e;
	uint32_t extras = 0;
	do {
		if (p->slots >= pending)
			return nf__net_fault(&q->fault, "rx extras beyond rsp_prod", p->slots + 1,
					     1, pending);
		if (++extras > NF_NET_EXTRAS_MAX)
			return nf__net_fault(&q->fault, "rx extras", extras, 0, NF_NET_EXTRAS_MAX);
		uint64_t word = nf_load64(nf_ring_front_slot(&q->rings->rx, idx + p->slots));
		memcpy(&e, &word, sizeof(e));
		p->slots++;
		if (e.type != NF_NETIF_EXTRA_TYPE_GSO)
			return nf__net_fault(&q->fault, "rx extra type", e.type,
					     NF_NETIF_EXTRA_TYPE_GSO, NF_NETIF_EXTRA_TYPE_GSO);
		int rc = gso_take(q, &e, p);
		if (rc)
			return rc;
	} while (e.flags & NF_NETIF_EXTRA_FLAG_MORE);
	return 0;
}

/* One response of data: a buffer at bufs[frame.count], or an error that drops the packet. */
static int data_take(struct nf_front_queue *q, uint32_t idx, const struct nf_netif_rx_response *rsp,
		     struct nf_buf *bufs, struct rx_packet *p)
{
	uint32_t slot = idx & NF_NET_MASK;
	if (rsp->id != slot)
		return nf__net_fault(&q->fault, "rx response id", rsp->id, slot, slot);
	if (rsp->status == NF_NETIF_RSP_ERROR || rsp->status == NF_NETIF_RSP_DROPPED) {
		p->is_error = true;
		return 0;
	}
	if (rsp->status < 0)
		return nf__net_fault(&q->fault, "rx response status", rsp->status,
				     NF_NETIF_RSP_DROPPED, NF_PAGE_BYTES);
	uint32_t bytes = (uint16_t)rsp->status;
	if (rsp->offset + bytes > NF_PAGE_BYTES)
		return nf__net_fault(&q->fault, "rx offset + status", rsp->offset + bytes, 0,
				     NF_PAGE_BYTES);
	p->frame.bytes += bytes;
	if (p->frame.bytes > NF_NETIF_FRAME_MAX)
		return nf__net_fault(&q->fault, "rx frame bytes", p->frame.bytes, 0,
				     NF_NETIF_FRAME_MAX);
	if (bytes == 0)
		return 0;
	bufs[p->frame.count++] = (struct nf_buf){
		.data = rx_page(q, slot) + rsp->offset, .bytes = bytes, .tag = slot};
	return 0;
}

/* Anything but a whole packet in one slot. */
static int packet_take(struct nf_front_queue *q, uint32_t idx, uint32_t pending,
		       struct nf_buf *bufs, struct rx_packet *p)
{
	struct nf_netif_rx_response rsp = rsp_copy(&q->rings->rx, idx);
	uint32_t frags = 1;
	p->slots = 1;
	p->frame.flags = 0;
	if (rsp.flags & NF_NETRXF_csum_blank)
		p->frame.flags |= NF_FRAME_CSUM_BLANK;
	if (rsp.flags & NF_NETRXF_data_validated)
		p->frame.flags |= NF_FRAME_DATA_VALID;
	if (rsp.flags & NF_NETRXF_gso_prefix)
		return nf__net_fault(&q->fault, "rx flags", rsp.flags, 0, 15);
	int rc = data_take(q, idx, &rsp, bufs, p);
	if (rc == 0 && (rsp.flags & NF_NETRXF_extra_info))
		rc = extras_take(q, idx, pending, p);
	while (rc == 0 && (rsp.flags & NF_NETRXF_more_data)) {
		if (p->slots >= pending)
			return nf__net_fault(&q->fault, "rx fragments beyond rsp_prod",
					     p->slots + 1, 1, pending);
		if (++frags > NF_NETIF_SLOTS_MIN)
			return nf__net_fault(&q->fault, "rx fragments", frags, 1,
					     NF_NETIF_SLOTS_MIN);
		rsp = rsp_copy(&q->rings->rx, idx + p->slots);
		rc = data_take(q, idx + p->slots, &rsp, bufs, p);
		p->slots++;
	}
	if (p->frame.bytes < NF_NET_FRAME_MIN)
		p->is_error = true;
	if (p->frame.gso_bytes >= p->frame.bytes)
		p->frame.gso_bytes = p->frame.gso_type = 0;
	return rc;
}

struct rx_batch {
	uint32_t frames, bufs, slots, drops;
	uint64_t bytes;
};

/* Whole packets in one slot, the common case; stops at anything else. */
static inline uint32_t plain_take(struct nf_front_queue *q, uint32_t idx, uint32_t end,
				  struct rx_batch *b)
{
	struct nf_ring_front *rx = &q->rings->rx;
	while (idx != end && b->frames < NF_NET_BATCH) {
		const uint64_t *shared = nf_ring_front_slot(rx, idx);
		uint64_t word = nf_load64(shared);
		uint32_t slot = idx & NF_NET_MASK;
		uint32_t offset = (uint32_t)(word >> 16) & 0xffffu;
		uint32_t bytes = (uint32_t)(word >> 48);
		if (nf__unlikely((word & 0xffffu) != slot || (word >> 34 & 0x3fffu) != 0 ||
				 bytes < NF_NET_FRAME_MIN || bytes + offset > NF_PAGE_BYTES))
			break;
		uint8_t *data = rx_page(q, slot) + offset;
		__builtin_prefetch(data);
		/* csum_blank and data_validated are the other way round on this side */
		uint32_t flags = (uint32_t)(word >> 32) & 3u;
		flags = (flags >> 1 | flags << 1) & 3u;
		q->rx_bufs[b->bufs] = (struct nf_buf){.data = data, .bytes = bytes, .tag = slot};
		q->rx_frames[b->frames] = (struct nf_frame){.bytes = bytes,
							    .first = (uint16_t)b->bufs,
							    .count = 1,
							    .flags = (uint8_t)flags};
		q->rx_start[b->frames] = b->slots;
		q->rx_drops[b->frames] = b->drops;
		b->frames++;
		b->bufs++;
		b->slots++;
		b->bytes += bytes;
		idx++;
	}
	return idx;
}

static int batch_take(struct nf_front_queue *q, uint32_t pending, struct rx_batch *b)
{
	uint32_t idx = q->rings->rx.rsp_cons;
	uint32_t end = idx + pending;
	*b = (struct rx_batch){0};
	for (;;) {
		idx = plain_take(q, idx, end, b);
		if (idx == end || b->frames >= NF_NET_BATCH)
			return 0; /* buffers can't run out: one a slot at most */
		struct rx_packet p = {.frame.first = (uint16_t)b->bufs};
		int rc = packet_take(q, idx, end - idx, &q->rx_bufs[b->bufs], &p);
		if (rc)
			return rc;
		if (p.is_error) {
			b->drops++;
		} else {
			q->rx_start[b->frames] = b->slots;
			q->rx_drops[b->frames] = b->drops;
			q->rx_frames[b->frames++] = p.frame;
			b->bufs += p.frame.count;
			b->bytes += p.frame.bytes;
		}
		b->slots += p.slots;
		idx += p.slots;
	}
}

/* The port took fewer than the batch: the rest stays in the ring. */
static void batch_cut(const struct nf_front_queue *q, struct rx_batch *b, uint32_t taken)
{
	for (uint32_t i = taken; i < b->frames; i++)
		b->bytes -= q->rx_frames[i].bytes;
	b->slots = q->rx_start[taken];
	b->drops = q->rx_drops[taken];
	b->frames = taken;
}

int nf__front_rx_run(struct nf_front_queue *q)
{
	struct nf_ring_front *rx = &q->rings->rx;
	int pending = nf_ring_front_pending(rx);
	q->rx_left = 0;
	if (pending == 0)
		return 0;
	if (nf__unlikely(pending < 0))
		return nf__net_fault(&q->fault, "rx rsp_prod",
				     nf_load_relaxed(&rx->shared_hdr->rsp_prod), rx->rsp_cons,
				     rx->req_prod);
	struct rx_batch b;
	int rc = batch_take(q, (uint32_t)pending, &b);
	if (nf__unlikely(rc < 0))
		return rc;
	if (b.frames > 0) {
		uint32_t frames = b.frames;
		int taken = q->port->ops->put(q->port, q->rx_bufs, q->rx_frames, frames);
		if (nf__unlikely(taken < 0))
			return taken;
		if (nf__unlikely((uint32_t)taken < b.frames))
			batch_cut(q, &b, (uint32_t)taken);
		if (nf__unlikely((uint32_t)taken < frames && q->port->put_waits))
			q->rx_left = (uint32_t)pending - b.slots;
	}
	if (b.slots == 0)
		return 0;
	rx->rsp_cons += b.slots;
	nf__front_rx_post(q, rx->req_prod, b.slots);
	if (nf_ring_front_push(rx)) {
		struct nf_chan *chan = q->rings->rx_chan.fd >= 0 ? &q->rings->rx_chan
								 : &q->rings->tx_chan;
		if (q->layer->ops->chan_notify(chan) < 0)
			return -ENODEV;
		NF_COUNT(q->counters, notify_sent, 1);
	}
	NF_COUNT(q->counters, rx_packets, b.frames);
	NF_COUNT(q->counters, rx_bytes, b.bytes);
	NF_COUNT(q->counters, rx_slots, b.slots);
	if (nf__unlikely(b.drops))
		NF_COUNT(q->counters, rx_dropped_error, b.drops);
	return (int)b.slots;
}
