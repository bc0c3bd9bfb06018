/* SPDX-License-Identifier: MIT */
/* copy, from L2 to L0: L2's request is answered once its bytes are in L1's page. */
#include "relay/internal.h"

static int response(struct nf__queue *q, const struct nf_netif_tx_response *r)
{
	struct nf__copy *c = &q->cp;
	if (r->status == NF_NETIF_RSP_NULL) {
		if (c->tx_extras == 0)
			return nf__outer_fault(q, "tx null responses", 1, 0, 0);
		c->tx_extras--;
		return 0;
	}
	if (r->id >= NF__IDS || !c->tx_busy[r->id])
		return nf__outer_fault(q, "tx response id", r->id, 0, NF__IDS - 1);
	if (r->status > NF_NETIF_RSP_OKAY || r->status < NF_NETIF_RSP_DROPPED)
		return nf__outer_fault(q, "tx response status", r->status, NF_NETIF_RSP_DROPPED,
				       NF_NETIF_RSP_NULL);
	c->tx_busy[r->id] = 0;
	c->tx_free[c->tx_free_count++] = r->id;
	if (r->status < 0)
		NF_COUNT(q->counters, tx_dropped_error, 1);
	return 0;
}

/* Takes pages back. */
static int reap(struct nf__queue *q)
{
	struct nf_ring_front *out = &q->out->tx;
	int n = nf_ring_front_pending(out);
	if (n < 0)
		return nf__outer_fault(q, "tx rsp_prod", out->rsp_cons, out->rsp_cons,
				       out->req_prod);
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		struct nf_netif_tx_response r = nf__load_tx_response(
			nf_ring_front_slot(out, out->rsp_cons + i));
		int rc = response(q, &r);
		if (rc < 0)
			return rc;
	}
	out->rsp_cons += (uint32_t)n;
	return n;
}

struct pass {
	uint32_t taken, made, packets;
	uint64_t bytes;
};

/*
 * A run of the common packet out of a mapped page: one slot, no extra, nothing wrong with it.
 * Anything else ends the run and is packet()'s.
 */
static void plain(struct nf__queue *q, struct pass *pass, uint32_t n)
{
	struct nf__copy *c = &q->cp;
	uint8_t *shared_in = q->in->tx.shared_slots, *shared_out = q->out->tx.shared_slots;
	uint32_t from = q->in->tx.req_cons + pass->taken, to = q->out->tx.req_prod + pass->made;
	uint32_t rsp = q->in->tx.rsp_prod + pass->taken;
	uint64_t bytes = 0;
	uint32_t i;
	for (i = 0; i < n && c->tx_free_count > 0; i++) {
		struct nf__tx_words w = nf__load_tx_words(nf__tx_slot(shared_in, from + i));
		uint32_t size = w.id_size >> 16, offset = w.offset_flags & 0xffffu;
		if (nf__unlikely(w.offset_flags & ((uint32_t)NF__TX_MULTI << 16) ||
				 !nf__tx_fits(offset, size)))
			break;
		const uint8_t *page = nf__gref_map_page(q->in->grefs, w.gref, false);
		if (nf__unlikely(!page))
			break;
		uint16_t id = c->tx_free[--c->tx_free_count];
		c->tx_busy[id] = 1;
		nf__copy_bytes(q->out->tx_pages.base + (size_t)id * NF_PAGE_BYTES + offset,
			       page + offset, size);
		nf_store_relaxed(nf__tx_slot(shared_in, rsp + i), w.id_size & 0xffffu); /* OKAY */
		w.gref = q->out->tx_grefs[id];
		w.offset_flags &= (uint32_t)NF__TX_FLAGS << 16 | 0xffffu;
		w.id_size = size << 16 | id;
		nf__store_tx_words(nf__tx_slot(shared_out, to + i), w);
		bytes += size;
	}
	pass->taken += i;
	pass->made += i;
	pass->packets += i;
	pass->bytes += bytes;
}

static void answer(struct nf_ring_back *in, uint32_t idx, uint16_t id, int16_t status)
{
	struct nf_netif_tx_response r = {.id = id, .status = status};
	memcpy(nf_ring_back_slot(in, idx), &r, sizeof(r));
}

/* Copies one slot of L2's into a page of ours, produces it outside and answers it inside. */
static inline int move_slot(struct nf__queue *q, struct pass *pass, struct nf_netif_tx_request r,
			    uint32_t bytes)
{
	struct nf__copy *c = &q->cp;
	uint16_t id = c->tx_free[c->tx_free_count - 1];
	/* the offset is kept: senders spread theirs over cache sets */
	uint8_t *ours = q->out->tx_pages.base + (size_t)id * NF_PAGE_BYTES + r.offset;
	int rc = nf__copy_move(q, r.gref, r.offset, bytes, ours, false);
	if (rc < 0)
		return rc;
	c->tx_free_count--;
	c->tx_busy[id] = 1;
	answer(&q->in->tx, q->in->tx.rsp_prod + pass->taken, r.id, NF_NETIF_RSP_OKAY);
	r.id = id;
	r.gref = q->out->tx_grefs[id];
	memcpy(nf_ring_front_slot(&q->out->tx, q->out->tx.req_prod + pass->made), &r, sizeof(r));
	pass->taken++;
	pass->made++;
	return 0;
}

static void refuse(struct nf__queue *q, struct pass *pass, const struct nf__tx_packet *p)
{
	uint32_t idx = q->in->tx.rsp_prod + pass->taken;
	for (uint32_t i = 0; i < p->slots; i++) {
		answer(&q->in->tx, idx++, p->slot[i].id, NF_NETIF_RSP_ERROR);
		if (i == 0 && p->extras)
			answer(&q->in->tx, idx++, 0, NF_NETIF_RSP_NULL);
	}
	pass->taken += p->ring_slots;
	NF_COUNT(q->counters, tx_dropped_error, 1);
}

static int packet(struct nf__queue *q, struct pass *pass, uint32_t avail, uint32_t room)
{
	struct nf__tx_packet p;
	q->inner_fault = true;
	int n = nf__tx_read(&q->in->tx, q->in->tx.req_cons + pass->taken, avail, &q->tx, &p,
			    &q->fault);
	if (n <= 0)
		return n;
	if (p.refused) {
		refuse(q, pass, &p);
		return n;
	}
	if (room < p.ring_slots || q->cp.tx_free_count < p.slots)
		return 0;
	for (uint32_t i = 0; i < p.slots; i++) {
		int rc = move_slot(q, pass, p.slot[i], i ? p.slot[i].size : p.first_bytes);
		if (rc < 0)
			return rc;
		if (i > 0 || !p.extras)
			continue;
		memcpy(nf_ring_front_slot(&q->out->tx, q->out->tx.req_prod + pass->made++),
		       &p.extra, sizeof(p.extra));
		answer(&q->in->tx, q->in->tx.rsp_prod + pass->taken++, 0, NF_NETIF_RSP_NULL);
		q->cp.tx_extras++;
	}
	pass->packets++;
	pass->bytes += p.bytes;
	return n;
}

static int requests(struct nf__queue *q)
{
	struct nf_ring_front *out = &q->out->tx;
	struct nf_ring_back *in = &q->in->tx;
	int n = nf_ring_back_pending(in);
	if (n < 0)
		return nf__req_prod_fault(q, in, "tx req_prod");
	uint32_t avail = (uint32_t)n, room = nf_ring_front_free(out);
	struct pass pass = {0};
	while (pass.taken < avail) {
		uint32_t most = avail - pass.taken, free = room - pass.made;
		if (!q->cp.ops)
			plain(q, &pass, most < free ? most : free);
		if (pass.taken == avail)
			break;
		int rc = packet(q, &pass, avail - pass.taken, room - pass.made);
		if (rc < 0)
			return rc;
		if (rc == 0)
			break;
	}
	int rc = nf__copy_flush(q);
	if (rc < 0)
		return rc;
	in->req_cons += pass.taken;
	in->rsp_prod += pass.taken;
	out->req_prod += pass.made;
	q->left[NF__TX_REQ] = avail - pass.taken;
	if (pass.taken == 0)
		return 0;
	NF_COUNT(q->counters, tx_packets, pass.packets);
	NF_COUNT(q->counters, tx_bytes, pass.bytes);
	NF_COUNT(q->counters, tx_slots, pass.taken);
	NF_COUNT(q->counters, payload_copies, pass.bytes);
	rc = nf__push_outer(q, out, &q->out->tx_chan);
	if (rc >= 0)
		rc = nf__push_inner(q, in, &q->in->tx_chan);
	return rc < 0 ? rc : (int)pass.taken;
}

int nf__copy_tx(struct nf__queue *q)
{
	int reaped = reap(q);
	if (reaped < 0)
		return reaped;
	int taken = requests(q);
	return taken < 0 ? taken : reaped + taken;
}
