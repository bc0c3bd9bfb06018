/* SPDX-License-Identifier: MIT */
/*
 * translate: descriptors cross, payload does not. L2's gref becomes the outer gref of the same page
 * by its position in the arena; ids are ours outside and L2's inside.
 *
 * Every request taken from L2 makes one outer request and every outer response makes one response
 * to L2, so what is in flight is equal on both rings and neither can overflow the other. rx keeps
 * order, so an outer rx response's ring index is its request's, and so is L2's.
 */
#include "relay/internal.h"

int nf__translate_init(struct nf__queue *q)
{
	struct nf__translate *t = &q->tr;
	memset(t, 0, sizeof(*t));
	for (uint32_t i = 0; i < NF__IDS; i++)
		t->tx_free[i] = (uint16_t)(NF__IDS - 1 - i);
	t->tx_free_count = NF__IDS;
	return 0;
}

/* The total, bounded table: any number L2 writes is one of its own pages or nothing. */
static inline int outer_gref(struct nf__queue *q, uint32_t gref, bool write, uint32_t *out)
{
	int position = nf_gref_map_index(q->in->grefs, gref, write);
	if (__builtin_expect(position < 0 || position >= (int)NF_NET_PAGES, 0))
		return nf__inner_fault(q, write ? "rx gref" : "tx gref", gref, 1, 0);
	*out = write ? q->out->rx_grefs[position] : q->out->tx_grefs[position];
	return 0;
}

static inline uint16_t tx_take_id(struct nf__translate *t, uint16_t inner_id)
{
	uint16_t id = t->tx_free[--t->tx_free_count];
	t->tx_inner_id[id] = inner_id;
	t->tx_busy[id] = 1;
	return id;
}

static int tx_response(struct nf__queue *q, struct nf_netif_tx_response *r)
{
	struct nf__translate *t = &q->tr;
	if (r->status == NF_NETIF_RSP_NULL) {
		if (t->tx_extras == 0)
			return nf__outer_fault(q, "tx null responses", 1, 0, 0);
		t->tx_extras--;
		r->id = 0;
		return 0;
	}
	if (r->id >= NF__IDS || !t->tx_busy[r->id])
		return nf__outer_fault(q, "tx response id", r->id, 0, NF__IDS - 1);
	if (r->status > NF_NETIF_RSP_OKAY || r->status < NF_NETIF_RSP_DROPPED)
		return nf__outer_fault(q, "tx response status", r->status, NF_NETIF_RSP_DROPPED,
				       NF_NETIF_RSP_NULL);
	t->tx_busy[r->id] = 0;
	t->tx_free[t->tx_free_count++] = r->id;
	if (r->status < 0)
		NF_COUNT(q->counters, tx_dropped_error, 1);
	r->id = t->tx_inner_id[r->id];
	return 0;
}

static int tx_responses(struct nf__queue *q)
{
	struct nf_ring_front *out = &q->out->tx;
	struct nf_ring_back *in = &q->in->tx;
	int n = nf_ring_front_pending(out);
	if (n < 0)
		return nf__outer_fault(q, "tx rsp_prod", out->rsp_cons, out->rsp_cons,
				       out->req_prod);
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		struct nf_netif_tx_response r = nf__load_tx_response(
			nf_ring_front_slot(out, out->rsp_cons + i));
		int rc = tx_response(q, &r);
		if (rc < 0)
			return rc;
		memcpy(nf_ring_back_slot(in, in->rsp_prod + i), &r, sizeof(r));
	}
	out->rsp_cons += (uint32_t)n;
	in->rsp_prod += (uint32_t)n;
	int rc = nf__push_inner(q, in, &q->in->tx_chan);
	return rc < 0 ? rc : n;
}

/* What one pass over L2's tx requests did so far. */
struct tx_pass {
	uint32_t taken, made; /* inner slots, outer slots */
	uint32_t packets, bytes;
};

/* A runt, or 19 or 20 slots: more than any back must take. */
static void tx_refuse(struct nf__queue *q, const struct nf__tx_packet *p)
{
	struct nf_ring_back *in = &q->in->tx;
	for (uint32_t i = 0; i < p->slots; i++) {
		struct nf_netif_tx_response r = {.id = p->slot[i].id, .status = NF_NETIF_RSP_ERROR};
		memcpy(nf_ring_back_slot(in, in->rsp_prod++), &r, sizeof(r));
		for (uint32_t e = 0; i == 0 && e < p->extras; e++) {
			r = (struct nf_netif_tx_response){.status = NF_NETIF_RSP_NULL};
			memcpy(nf_ring_back_slot(in, in->rsp_prod++), &r, sizeof(r));
		}
	}
	NF_COUNT(q->counters, tx_dropped_error, 1);
}

/* A packet of several slots, whole or not at all. */
static int tx_long(struct nf__queue *q, struct tx_pass *pass, uint32_t avail, uint32_t room)
{
	struct nf__tx_packet p;
	uint32_t grefs[NF__SLOTS_FATAL];
	struct nf_ring_front *out = &q->out->tx;
	q->inner_fault = true;
	int n = nf__tx_read(&q->in->tx, q->in->tx.req_cons + pass->taken, avail, &q->tx, &p,
			    &q->fault);
	if (n <= 0)
		return n;
	if (p.refused) {
		tx_refuse(q, &p);
		pass->taken += (uint32_t)n;
		return n;
	}
	if (room < p.ring_slots)
		return 0;
	for (uint32_t i = 0; i < p.slots; i++) {
		int rc = outer_gref(q, p.slot[i].gref, false, &grefs[i]);
		if (rc < 0)
			return rc;
	}
	uint32_t idx = out->req_prod + pass->made;
	for (uint32_t i = 0; i < p.slots; i++) {
		struct nf_netif_tx_request r = p.slot[i];
		r.gref = grefs[i];
		r.id = tx_take_id(&q->tr, r.id);
		memcpy(nf_ring_front_slot(out, idx++), &r, sizeof(r));
		if (i == 0 && p.extras)
			memcpy(nf_ring_front_slot(out, idx++), &p.extra, sizeof(p.extra));
	}
	q->tr.tx_extras += p.extras;
	pass->taken += p.ring_slots;
	pass->made += p.ring_slots;
	pass->packets++;
	pass->bytes += p.bytes;
	return n;
}

/* The common packet: one slot, no extra. */
static inline int tx_short(struct nf__queue *q, struct tx_pass *pass, struct nf_netif_tx_request r)
{
	struct nf_ring_front *out = &q->out->tx;
	uint32_t gref;
	int rc = outer_gref(q, r.gref, false, &gref);
	if (rc < 0)
		return rc;
	r.gref = gref;
	r.flags &= NF__TX_FLAGS;
	r.id = tx_take_id(&q->tr, r.id);
	memcpy(nf_ring_front_slot(out, out->req_prod + pass->made), &r, sizeof(r));
	pass->taken++;
	pass->made++;
	pass->packets++;
	pass->bytes += r.size;
	return 1;
}

static int tx_requests(struct nf__queue *q)
{
	struct nf_ring_front *out = &q->out->tx;
	struct nf_ring_back *in = &q->in->tx;
	int n = nf_ring_back_pending(in);
	if (n < 0)
		return nf__inner_fault(q, "tx req_prod", in->req_cons, in->req_cons,
				       (int64_t)in->rsp_prod + in->count);
	uint32_t avail = (uint32_t)n, room = nf_ring_front_free(out);
	struct tx_pass pass = {0};
	while (pass.taken < avail && pass.made < room) {
		struct nf_netif_tx_request r = nf__load_tx(
			nf_ring_back_slot(in, in->req_cons + pass.taken));
		bool common = !(r.flags & NF__TX_MULTI) && nf__tx_fits(r.offset, r.size);
		int rc = __builtin_expect(common, 1)
				 ? tx_short(q, &pass, r)
				 : tx_long(q, &pass, avail - pass.taken, room - pass.made);
		if (rc < 0)
			return rc;
		if (rc == 0)
			break;
	}
	in->req_cons += pass.taken;
	out->req_prod += pass.made;
	q->left[NF__TX_REQ] = avail - pass.taken;
	if (pass.taken == 0)
		return 0;
	NF_COUNT(q->counters, tx_packets, pass.packets);
	NF_COUNT(q->counters, tx_bytes, pass.bytes);
	NF_COUNT(q->counters, tx_slots, pass.taken);
	int rc = nf__push_outer(q, out, &q->out->tx_chan);
	if (rc >= 0 && pass.made != pass.taken)
		rc = nf__push_inner(q, in, &q->in->tx_chan);
	return rc < 0 ? rc : (int)pass.taken;
}

static int rx_requests(struct nf__queue *q)
{
	struct nf_ring_front *out = &q->out->rx;
	struct nf_ring_back *in = &q->in->rx;
	int pending = nf_ring_back_pending(in);
	if (pending < 0)
		return nf__inner_fault(q, "rx req_prod", in->req_cons, in->req_cons,
				       (int64_t)in->rsp_prod + in->count);
	uint32_t n = (uint32_t)pending, room = nf_ring_front_free(out);
	if (n > room)
		n = room;
	for (uint32_t i = 0; i < n; i++) {
		struct nf_netif_rx_request r;
		nf__load_two(nf_ring_back_slot(in, in->req_cons + i), &r);
		uint32_t gref;
		int rc = outer_gref(q, r.gref, true, &gref);
		if (rc < 0)
			return rc;
		uint32_t index = (out->req_prod + i) & (NF__IDS - 1);
		q->tr.rx_inner_id[index] = r.id;
		r = (struct nf_netif_rx_request){.id = (uint16_t)index, .gref = gref};
		memcpy(nf_ring_front_slot(out, out->req_prod + i), &r, sizeof(r));
	}
	in->req_cons += n;
	out->req_prod += n;
	q->left[NF__RX_REQ] = (uint32_t)pending - n;
	int rc = nf__push_outer(q, out, nf__outer_rx_chan(q));
	return rc < 0 ? rc : (int)n;
}

/* What one pass over L0's rx responses did so far. */
struct rx_pass {
	uint32_t moved, packets, bytes, errors;
};

static void rx_put(struct nf__queue *q, uint32_t at, struct nf_netif_rx_response r)
{
	r.id = q->tr.rx_inner_id[(q->out->rx.rsp_cons + at) & (NF__IDS - 1)];
	memcpy(nf_ring_back_slot(&q->in->rx, q->in->rx.rsp_prod + at), &r, sizeof(r));
}

/* An extra overlays the slot of a request L2 posted: L2 sees it there and posts that buffer again.
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

static inline int rx_short(struct nf__queue *q, struct rx_pass *pass, struct nf_netif_rx_response r)
{
	uint32_t index = (q->out->rx.rsp_cons + pass->moved) & (NF__IDS - 1);
	if (__builtin_expect(r.id != index, 0))
		return nf__outer_fault(q, "rx id", r.id, index, index);
	if (__builtin_expect(!nf__rx_fits(r.offset, r.status), 0))
		return nf__outer_fault(q, "rx status", r.status, NF_NETIF_RSP_DROPPED,
				       (int64_t)NF_PAGE_BYTES - r.offset);
	if (__builtin_expect(r.status < 0, 0)) {
		r.offset = 0;
		pass->errors++;
	} else {
		pass->packets++;
		pass->bytes += (uint16_t)r.status;
	}
	r.flags &= NF__RX_FLAGS;
	rx_put(q, pass->moved++, r);
	return 1;
}

static int rx_responses(struct nf__queue *q)
{
	struct nf_ring_front *out = &q->out->rx;
	struct nf_ring_back *in = &q->in->rx;
	int n = nf_ring_front_pending(out);
	if (n < 0)
		return nf__outer_fault(q, "rx rsp_prod", out->rsp_cons, out->rsp_cons,
				       out->req_prod);
	struct rx_pass pass = {0};
	while (pass.moved < (uint32_t)n) {
		struct nf_netif_rx_response r;
		nf__load_two(nf_ring_front_slot(out, out->rsp_cons + pass.moved), &r);
		bool lone = !(r.flags & (NF__RX_MULTI | NF_NETRXF_gso_prefix));
		int rc = __builtin_expect(lone, 1) ? rx_short(q, &pass, r)
						   : rx_long(q, &pass, (uint32_t)n - pass.moved);
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

int nf__translate_pass(struct nf__queue *q)
{
	static int (*const steps[])(struct nf__queue *) = {tx_responses, tx_requests, rx_requests,
							   rx_responses};
	int moved = 0;
	for (uint32_t i = 0; i < NF__SOURCES; i++) {
		int rc = steps[i](q);
		if (rc < 0)
			return rc;
		moved += rc;
	}
	return moved;
}
