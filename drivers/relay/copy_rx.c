/* SPDX-License-Identifier: MIT */
/*
 * copy, from L0 to L2: a response of L0's is moved into the slot of L2's next request, extras into
 * the slots they overlay, and L1's buffers of both are posted again by ring index.
 */
#include "relay/internal.h"

struct pass {
	uint32_t moved, packets, errors;
	uint64_t bytes;
};

/* A run of good frames of one slot each into mapped pages; anything else ends it. */
static void plain(struct nf__queue *q, struct pass *pass, uint32_t n)
{
	const uint8_t *shared_out = q->out->rx.shared_slots;
	uint8_t *shared_in = q->in->rx.shared_slots;
	uint32_t from = q->out->rx.rsp_cons + pass->moved, to = q->in->rx.req_cons + pass->moved;
	uint64_t bytes = 0;
	uint32_t i;
	for (i = 0; i < n; i++) {
		uint64_t w = nf_load_relaxed_u64(nf__rx_slot(shared_out, from + i));
		uint64_t want = nf_load_relaxed_u64(nf__rx_slot(shared_in, to + i));
		uint32_t index = (from + i) & (NF__IDS - 1);
		if (nf__unlikely(!nf__rx_is_plain(w, index)))
			break;
		uint32_t offset = (uint16_t)(w >> 16), size = (uint32_t)(w >> 48);
		uint8_t *page = nf__gref_map_page(q->in->grefs, (uint32_t)(want >> 32), true);
		if (nf__unlikely(!page))
			break;
		nf__copy_bytes(page + offset,
			       q->out->rx_pages.base + (size_t)index * NF_PAGE_BYTES + offset,
			       size);
		nf_store64(nf__rx_slot(shared_in, to + i), (w & ~0xffffull) | (want & 0xffffull));
		bytes += size;
	}
	pass->moved += i;
	pass->packets += i;
	pass->bytes += bytes;
}

/* Answers L2's request at this position of the pass with L0's slot, its bytes copied. */
static int move_slot(struct nf__queue *q, uint32_t at, struct nf_netif_rx_response r)
{
	struct nf_ring_back *in = &q->in->rx;
	struct nf_netif_rx_request want;
	nf__load_two(nf_ring_back_slot(in, in->req_cons + at), &want);
	if (r.status > 0) {
		uint32_t index = (q->out->rx.rsp_cons + at) & (NF__IDS - 1);
		uint8_t *ours = q->out->rx_pages.base + (size_t)index * NF_PAGE_BYTES + r.offset;
		int rc = nf__copy_move(q, want.gref, r.offset, (uint16_t)r.status, ours, true);
		if (rc < 0)
			return rc;
	}
	r.id = want.id;
	memcpy(nf_ring_back_slot(in, in->req_cons + at), &r, sizeof(r));
	return 0;
}

static int packet(struct nf__queue *q, struct pass *pass, uint32_t avail, uint32_t room)
{
	struct nf__rx_packet p;
	q->inner_fault = false;
	int n = nf__rx_read(&q->out->rx, q->out->rx.rsp_cons + pass->moved, avail, &q->rx, &p,
			    &q->fault);
	if (n <= 0)
		return n;
	if (room < p.ring_slots)
		return 0;
	uint32_t at = pass->moved;
	for (uint32_t i = 0; i < p.slots; i++) {
		int rc = move_slot(q, at++, p.slot[i]);
		if (rc < 0)
			return rc;
		if (i == 0 && p.extras)
			memcpy(nf_ring_back_slot(&q->in->rx, q->in->rx.req_cons + at++), &p.extra,
			       sizeof(p.extra));
	}
	pass->moved = at;
	pass->packets += !p.error;
	pass->errors += p.error;
	pass->bytes += p.error ? 0 : p.bytes;
	return n;
}

/* Buffer i goes back to ring index i, whether a frame or an extra came in its slot. */
static int repost(struct nf__queue *q, uint32_t n)
{
	struct nf_ring_front *out = &q->out->rx;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t index = out->req_prod & (NF__IDS - 1);
		struct nf_netif_rx_request r = {.id = (uint16_t)index,
						.gref = q->out->rx_grefs[index]};
		memcpy(nf_ring_front_slot(out, out->req_prod), &r, sizeof(r));
		out->req_prod++;
	}
	return nf__push_outer(q, out, nf__outer_rx_chan(q));
}

int nf__copy_rx(struct nf__queue *q)
{
	struct nf_ring_front *out = &q->out->rx;
	struct nf_ring_back *in = &q->in->rx;
	int avail = nf_ring_front_pending(out);
	if (avail < 0)
		return nf__outer_fault(q, "rx rsp_prod", out->rsp_cons, out->rsp_cons,
				       out->req_prod);
	int room = nf_ring_back_pending(in);
	if (room < 0)
		return nf__req_prod_fault(q, in, "rx req_prod");
	struct pass pass = {0};
	while (pass.moved < (uint32_t)avail) {
		uint32_t most = (uint32_t)(avail < room ? avail : room) - pass.moved;
		if (!q->cp.ops)
			plain(q, &pass, most);
		if (pass.moved == (uint32_t)avail)
			break;
		int rc = packet(q, &pass, (uint32_t)avail - pass.moved,
				(uint32_t)room - pass.moved);
		if (rc < 0)
			return rc;
		if (rc == 0)
			break;
	}
	int rc = nf__copy_flush(q);
	if (rc < 0)
		return rc;
	q->left[NF__RX_RSP] = (uint32_t)avail - pass.moved;
	q->left[NF__RX_REQ] = (uint32_t)room - pass.moved;
	if (pass.moved == 0)
		return 0;
	in->req_cons += pass.moved;
	in->rsp_prod += pass.moved;
	out->rsp_cons += pass.moved;
	NF_COUNT(q->counters, rx_packets, pass.packets);
	NF_COUNT(q->counters, rx_bytes, pass.bytes);
	NF_COUNT(q->counters, rx_slots, pass.moved);
	NF_COUNT(q->counters, rx_dropped_error, pass.errors);
	NF_COUNT(q->counters, payload_copies, pass.bytes);
	rc = repost(q, pass.moved);
	if (rc >= 0)
		rc = nf__push_inner(q, in, nf__inner_rx_chan(q));
	return rc < 0 ? rc : (int)pass.moved;
}
