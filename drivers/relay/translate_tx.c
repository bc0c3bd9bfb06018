/* SPDX-License-Identifier: MIT */
/* translate, from L2 to L0: requests outward under our ids, answers inward under L2's. */
#include "relay/internal.h"

static inline uint16_t tx_take_id(struct nf__translate *t, uint32_t inner_id)
{
	uint16_t id = t->tx_free[--t->tx_free_count];
	t->tx_inner_id[id] = inner_id | NF__ID_BUSY;
	return id;
}

/* Anything but an OKAY: a null for an extra, an error, a lie. *rsp becomes L2's. */
static int tx_response_odd(struct nf__queue *q, uint32_t *rsp)
{
	struct nf__translate *t = &q->tr;
	struct nf_netif_tx_response r;
	memcpy(&r, rsp, sizeof(r));
	if (r.status == NF_NETIF_RSP_NULL) {
		if (t->tx_extras == 0)
			return nf__outer_fault(q, "tx null responses", 1, 0, 0);
		t->tx_extras--;
		*rsp = (uint32_t)NF_NETIF_RSP_NULL << 16;
		return 0;
	}
	if (r.id >= NF__IDS || !t->tx_inner_id[r.id])
		return nf__outer_fault(q, "tx response id", r.id, 0, NF__IDS - 1);
	if (r.status != NF_NETIF_RSP_ERROR && r.status != NF_NETIF_RSP_DROPPED)
		return nf__outer_fault(q, "tx response status", r.status, NF_NETIF_RSP_DROPPED,
				       NF_NETIF_RSP_NULL);
	*rsp = (*rsp & 0xffff0000u) | (uint16_t)t->tx_inner_id[r.id];
	t->tx_inner_id[r.id] = 0;
	t->tx_free[t->tx_free_count++] = r.id;
	NF_COUNT(q->counters, tx_dropped_error, 1);
	return 0;
}

int nf__translate_tx_rsp(struct nf__queue *q)
{
	struct nf__translate *t = &q->tr;
	struct nf_ring_front *out = &q->out->tx;
	struct nf_ring_back *in = &q->in->tx;
	int n = nf_ring_front_pending(out);
	if (n <= 0)
		return n == 0 ? 0 : nf__rsp_prod_fault(q, out, "tx rsp_prod");
	uint32_t from = out->rsp_cons, to = in->rsp_prod;
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		uint32_t rsp = nf_load_relaxed(nf__tx_slot(out->shared_slots, from + i));
		/* OKAY is 0: the word is the id */
		if (nf__likely(rsp < NF__IDS && t->tx_inner_id[rsp])) {
			t->tx_free[t->tx_free_count++] = (uint16_t)rsp;
			uint32_t inner_id = t->tx_inner_id[rsp] & 0xffffu;
			t->tx_inner_id[rsp] = 0;
			rsp = inner_id;
		} else {
			int rc = tx_response_odd(q, &rsp);
			if (rc < 0)
				return rc;
		}
		nf_store_relaxed(nf__tx_slot(in->shared_slots, to + i), rsp);
	}
	out->rsp_cons += (uint32_t)n;
	in->rsp_prod += (uint32_t)n;
	int rc = nf__push_inner(q, in, &q->in->tx_chan);
	return rc < 0 ? rc : n;
}

/* What one pass over L2's tx requests did so far. */
struct tx_pass {
	uint32_t taken, made; /* inner slots, outer slots */
	uint32_t packets;
	uint64_t bytes;
};

/*
 * A run of the common packet, one slot, no extra, nothing wrong with it. Anything else ends the run
 * and is tx_long's, which also names what is wrong.
 */
static void tx_plain(struct nf__queue *q, struct tx_pass *pass, uint32_t n)
{
	struct nf__translate *t = &q->tr;
	const uint8_t *shared_from = q->in->tx.shared_slots;
	uint8_t *shared_to = q->out->tx.shared_slots;
	uint32_t from = q->in->tx.req_cons + pass->taken, to = q->out->tx.req_prod + pass->made;
	uint64_t bytes = 0;
	uint32_t i;
	for (i = 0; i < n; i++) {
		struct nf__tx_words w = nf__load_tx_words(nf__tx_slot(shared_from, from + i));
		uint32_t size = w.id_size >> 16;
		if (nf__unlikely(w.offset_flags & ((uint32_t)NF__TX_MULTI << 16) ||
				 !nf__tx_fits(w.offset_flags & 0xffffu, size)))
			break;
		const uint32_t *gref = nf__outer_gref(q, w.gref, false);
		if (nf__unlikely(!gref))
			break;
		w.gref = *gref;
		w.offset_flags &= (uint32_t)NF__TX_FLAGS << 16 | 0xffffu;
		w.id_size = size << 16 | tx_take_id(t, w.id_size & 0xffffu);
		nf__store_tx_words(nf__tx_slot(shared_to, to + i), w);
		bytes += size;
	}
	pass->taken += i;
	pass->made += i;
	pass->packets += i;
	pass->bytes += bytes;
}

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
	const uint32_t *grefs[NF__SLOTS_FATAL];
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
		grefs[i] = nf__outer_gref(q, p.slot[i].gref, false);
		if (!grefs[i])
			return nf__inner_fault(q, "tx gref", p.slot[i].gref, 1, 0);
	}
	uint32_t idx = out->req_prod + pass->made;
	for (uint32_t i = 0; i < p.slots; i++) {
		struct nf_netif_tx_request r = p.slot[i];
		r.gref = *grefs[i];
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

int nf__translate_tx_req(struct nf__queue *q)
{
	struct nf_ring_front *out = &q->out->tx;
	struct nf_ring_back *in = &q->in->tx;
	int n = nf_ring_back_pending(in);
	if (n <= 0)
		return n == 0 ? 0 : nf__req_prod_fault(q, in, "tx req_prod");
	uint32_t avail = (uint32_t)n, room = nf_ring_front_free(out);
	struct tx_pass pass = {0};
	for (;;) {
		uint32_t most = avail - pass.taken, free = room - pass.made;
		tx_plain(q, &pass, most < free ? most : free);
		if (pass.taken == avail || pass.made == room)
			break;
		int rc = tx_long(q, &pass, avail - pass.taken, room - pass.made);
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
