/* SPDX-License-Identifier: MIT */
/*
 * translate, from L0 to L2: outer buffers are L2's and no others. Both rings keep order, so a slot
 * outside is the slot at the same distance inside, and the outer id is the ring index.
 */
#include "relay/internal.h"

int nf__translate_rx_req(struct nf__queue *q)
{
	struct nf_ring_front *out = &q->out->rx;
	struct nf_ring_back *in = &q->in->rx;
	int pending = nf_ring_back_pending(in);
	if (pending <= 0)
		return pending == 0 ? 0 : nf__req_prod_fault(q, in, "rx req_prod");
	uint32_t n = (uint32_t)pending, room = nf_ring_front_free(out);
	if (n > room)
		n = room;
	uint32_t from = in->req_cons, to = out->req_prod;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t want = nf_load_relaxed_u64(nf__rx_slot(in->shared_slots, from + i));
		const uint32_t *gref = nf__outer_gref(q, (uint32_t)(want >> 32), true);
		if (nf__unlikely(!gref))
			return nf__inner_fault(q, "rx gref", (int64_t)(want >> 32), 1, 0);
		uint32_t index = (to + i) & (NF__IDS - 1);
		q->tr.rx_inner_id[index] = (uint16_t)want;
		nf_store64(nf__rx_slot(out->shared_slots, to + i), (uint64_t)*gref << 32 | index);
	}
	in->req_cons += n;
	out->req_prod += n;
	q->left[NF__RX_REQ] = (uint32_t)pending - n;
	int rc = nf__push_outer(q, out, nf__outer_rx_chan(q));
	return rc < 0 ? rc : (int)n;
}

/* What one pass over L0's rx responses did so far. */
struct rx_pass {
	uint32_t moved, packets, errors;
	uint64_t bytes;
};

static void rx_put(struct nf__queue *q, uint32_t at, struct nf_netif_rx_response r)
{
	r.id = q->tr.rx_inner_id[(q->out->rx.rsp_cons + at) & (NF__IDS - 1)];
	memcpy(nf_ring_back_slot(&q->in->rx, q->in->rx.rsp_prod + at), &r, sizeof(r));
}

/*
 * Anything but a whole good frame in one slot. An extra overlays the slot of a request L2 posted:
 * L2 sees it in that slot and posts the buffer again itself.
 */
static int rx_long(struct nf__queue *q, struct rx_pass *pass, uint32_t avail)
{
	struct nf__rx_packet p;
	uint32_t at = pass->moved;
	q->inner_fault = false;
	int n = nf__rx_read(&q->out->rx, q->out->rx.rsp_cons + at, avail, &q->rx, &p, &q->fault);
	if (n <= 0)
		return n;
	for (uint32_t i = 0; i < p.slots; i++) {
		rx_put(q, at++, p.slot[i]);
		if (i == 0 && p.extras)
			memcpy(nf_ring_back_slot(&q->in->rx, q->in->rx.rsp_prod + at++), &p.extra,
			       sizeof(p.extra));
	}
	pass->moved = at;
	pass->packets += !p.error;
	pass->errors += p.error;
	pass->bytes += p.error ? 0 : p.bytes;
	return n;
}

/* A run of good frames of one slot each; anything else ends it and is rx_long's. */
static void rx_plain(struct nf__queue *q, struct rx_pass *pass, uint32_t n)
{
	const uint8_t *shared_from = q->out->rx.shared_slots;
	uint8_t *shared_to = q->in->rx.shared_slots;
	uint32_t from = q->out->rx.rsp_cons + pass->moved, to = q->in->rx.rsp_prod + pass->moved;
	uint64_t bytes = 0;
	uint32_t i;
	for (i = 0; i < n; i++) {
		uint64_t w = nf_load_relaxed_u64(nf__rx_slot(shared_from, from + i));
		uint32_t index = (from + i) & (NF__IDS - 1);
		if (nf__unlikely(!nf__rx_is_plain(w, index)))
			break;
		w = (w & ~0xffffull) | q->tr.rx_inner_id[index];
		nf_store64(nf__rx_slot(shared_to, to + i), w);
		bytes += w >> 48;
	}
	pass->moved += i;
	pass->packets += i;
	pass->bytes += bytes;
}

int nf__translate_rx_rsp(struct nf__queue *q)
{
	struct nf_ring_front *out = &q->out->rx;
	struct nf_ring_back *in = &q->in->rx;
	int n = nf_ring_front_pending(out);
	if (n <= 0)
		return n == 0 ? 0 : nf__rsp_prod_fault(q, out, "rx rsp_prod");
	struct rx_pass pass = {0};
	for (;;) {
		rx_plain(q, &pass, (uint32_t)n - pass.moved);
		if (pass.moved == (uint32_t)n)
			break;
		int rc = rx_long(q, &pass, (uint32_t)n - pass.moved);
		if (rc < 0)
			return rc;
		if (rc == 0)
			break;
	}
	out->rsp_cons += pass.moved;
	in->rsp_prod += pass.moved;
	q->left[NF__RX_RSP] = (uint32_t)n - pass.moved;
	if (pass.moved == 0)
		return 0;
	NF_COUNT(q->counters, rx_packets, pass.packets);
	NF_COUNT(q->counters, rx_bytes, pass.bytes);
	NF_COUNT(q->counters, rx_slots, pass.moved);
	NF_COUNT(q->counters, rx_dropped_error, pass.errors);
	int rc = nf__push_inner(q, in, nf__inner_rx_chan(q));
	return rc < 0 ? rc : (int)pass.moved;
}
