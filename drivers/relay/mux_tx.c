/* SPDX-License-Identifier: MIT */
/*
 * mux, from the guests: a frame's header is copied into a page of L1's and looked at there; the
 * rest stays where it is and goes out under L1's number of that page. Guests take turns by bytes
 * (deficit round robin), so that one with a full ring gets no more than the others.
 */
#include "relay/mux.h"

static void answer_one(struct nf_ring_back *in, uint16_t id, int16_t status)
{
	struct nf_netif_tx_response r = {.id = id, .status = status};
	memcpy(nf_ring_back_slot(in, in->rsp_prod++), &r, sizeof(r));
}

/* All slots of a guest's frame, its extras behind the first. */
static void answer(struct nf__mux_queue *q, const uint16_t *id, uint32_t slots, uint32_t extras,
		   int16_t status)
{
	for (uint32_t i = 0; i < slots; i++) {
		answer_one(&q->in->tx, id[i], status);
		for (uint32_t e = 0; i == 0 && e < extras; e++)
			answer_one(&q->in->tx, 0, NF_NETIF_RSP_NULL);
	}
	q->tx_push = true;
}

static void answer_packet(struct nf__mux_queue *q, const struct nf__tx_packet *p, int16_t status)
{
	uint16_t id[NF__SLOTS_FATAL];
	for (uint32_t i = 0; i < p->slots; i++)
		id[i] = p->slot[i].id;
	answer(q, id, p->slots, p->extras, status);
}

/* ---- of L0 ---- */

/* An outer slot is done; with the last one of its frame the guest hears of it. */
static void slot_done(struct nf__mux_core *c, uint32_t id, int16_t status)
{
	uint32_t frame = c->frame_of[id];
	struct nf__mux_sent *s = &c->sent[frame];
	if (status < s->status)
		s->status = (int8_t)status;
	if (id != frame) { /* the first id is free with its frame: its page is the frame's */
		c->busy[id] = 0;
		c->free[c->free_count++] = (uint16_t)id;
	}
	if (--s->pending > 0)
		return;
	c->busy[frame] = 0;
	c->free[c->free_count++] = (uint16_t)frame;
	struct nf__mux_queue *q = s->member == NF__MUX_NOBODY ? NULL : c->members[s->member];
	if (!q)
		return;
	nf_store_relaxed(&q->inflight, q->inflight - 1); /* the control thread reads it */
	if (s->status < 0)
		NF_COUNT(q->counters, tx_dropped_error, 1);
	if (s->slots && !nf__mux_error(q))
		answer(q, s->id, s->slots, s->extras, s->status);
}

int nf__mux_tx_answers(struct nf__mux_core *c)
{
	struct nf_ring_front *tx = &c->out->tx;
	int n = nf_ring_front_pending(tx);
	if (n < 0)
		return nf__fault(&c->fault, "tx rsp_prod",
				 nf_load_relaxed(&tx->shared_hdr->rsp_prod), tx->rsp_cons,
				 tx->req_prod);
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		struct nf_netif_tx_response r = nf__load_tx_response(
			nf_ring_front_slot(tx, tx->rsp_cons + i));
		if (r.status == NF_NETIF_RSP_NULL) {
			if (c->extras == 0)
				return nf__fault(&c->fault, "tx null responses", 1, 0, 0);
			c->extras--;
			continue;
		}
		/* busy 2: answered, its frame is not */
		if (r.id >= NF__MUX_IDS || c->busy[r.id] != 1)
			return nf__fault(&c->fault, "tx response id", r.id, 0, NF__MUX_IDS - 1);
		if (r.status > NF_NETIF_RSP_OKAY || r.status < NF_NETIF_RSP_DROPPED)
			return nf__fault(&c->fault, "tx response status", r.status,
					 NF_NETIF_RSP_DROPPED, NF_NETIF_RSP_NULL);
		c->busy[r.id] = 2;
		slot_done(c, r.id, r.status);
	}
	tx->rsp_cons += (uint32_t)n;
	return n;
}

/* ---- of the guests ---- */

/* A guest's frame, checked: where its bytes are in L1's mapping and under which outer names. */
struct cargo {
	struct nf__tx_packet p;
	const uint8_t *at[NF__MUX_SLOTS]; /* its bytes of each slot */
	uint32_t bytes[NF__MUX_SLOTS];
	uint32_t gref[NF__MUX_SLOTS]; /* outer */
	uint32_t head_bytes;	      /* copied to L1's page */
	uint8_t *head;		      /* there */
};

/* -EPROTO: a number that is none of its pages. */
static int locate(struct nf__mux_queue *q, struct cargo *g)
{
	for (uint32_t i = 0; i < g->p.slots; i++) {
		const struct nf_netif_tx_request *r = &g->p.slot[i];
		uint64_t word = nf__gref_map_word(q->in->grefs, r->gref);
		/* a page it may be read from is one of the donated ones */
		if (nf__unlikely(word == 0 || (word & 2u)))
			return nf__mux_fault(q, "tx gref", r->gref, 1, 0);
		uint32_t position = (uint32_t)(word >> 2) & (NF_NET_PAGES - 1);
		g->at[i] = (const uint8_t *)(uintptr_t)(word & ~(uint64_t)(NF_PAGE_BYTES - 1)) +
			   r->offset;
		g->bytes[i] = i ? r->size : g->p.first_bytes;
		g->gref[i] = q->tx_grefs[position];
	}
	return 0;
}

/* The first bytes, once; what is left of the slots is what L0 fetches itself. */
static void take_head(struct nf__mux_core *c, struct cargo *g, uint32_t page)
{
	bool whole = g->p.bytes <= NF__MUX_COPY || !c->tx.sg;
	uint32_t want = whole ? g->p.bytes : NF__MUX_HEAD, i = 0;
	g->head = c->out->tx_pages.base + (size_t)page * NF_PAGE_BYTES;
	g->head_bytes = 0;
	while (g->head_bytes < want) {
		uint32_t n = want - g->head_bytes < g->bytes[i] ? want - g->head_bytes
								: g->bytes[i];
		memcpy(g->head + g->head_bytes, g->at[i], n);
		g->head_bytes += n;
		g->at[i] += n;
		g->bytes[i] -= n;
		if (g->bytes[i] == 0)
			i++;
	}
}

static void to_siblings(struct nf__mux_core *c, struct nf__mux_queue *q, const struct cargo *g,
			struct nf__mux_queue *to)
{
	struct nf__mux_frame f = {.piece[0] = {g->head, g->head_bytes},
				  .pieces = 1,
				  .bytes = g->p.bytes,
				  .has_extra = g->p.extras != 0,
				  .extra = g->p.extra};
	if (g->p.slot[0].flags & NF_NETTXF_csum_blank)
		f.flags = NF_NETRXF_csum_blank | NF_NETRXF_data_validated;
	else if (g->p.slot[0].flags & NF_NETTXF_data_validated)
		f.flags = NF_NETRXF_data_validated;
	for (uint32_t i = 0; i < g->p.slots; i++)
		if (g->bytes[i])
			f.piece[f.pieces++] = (struct nf__mux_piece){g->at[i], g->bytes[i]};
	if (!to) {
		nf__mux_flood(c, q, &f);
		return;
	}
	NF_COUNT(q->counters, switched, 1);
	nf__mux_deliver(to, &f);
}

static void produce(struct nf__mux_core *c, uint32_t frame, uint16_t id, uint32_t gref,
		    uint32_t offset, uint32_t flags, uint32_t size)
{
	struct nf_netif_tx_request r = {.gref = gref,
					.offset = (uint16_t)offset,
					.flags = (uint16_t)flags,
					.id = id,
					.size = (uint16_t)size};
	c->busy[id] = 1;
	c->frame_of[id] = (uint8_t)frame;
	c->sent[frame].pending++;
	memcpy(nf_ring_front_slot(&c->out->tx, c->out->tx.req_prod++), &r, sizeof(r));
}

/* The header's page and what is left of the guest's, as one frame. */
static void send_out(struct nf__mux_core *c, struct nf__mux_queue *q, struct cargo *g)
{
	uint16_t frame = c->free[--c->free_count];
	struct nf__mux_sent *s = &c->sent[frame];
	uint32_t last = 0, left = 0;
	for (uint32_t i = 0; i < g->p.slots; i++) {
		if (g->bytes[i]) {
			last = i;
			left++;
		}
	}
	*s = (struct nf__mux_sent){.member = (uint8_t)q->index};
	if (left > 0) { /* the guest's pages are in use until L0 answers */
		s->slots = (uint8_t)g->p.slots;
		s->extras = (uint8_t)g->p.extras;
		for (uint32_t i = 0; i < g->p.slots; i++)
			s->id[i] = g->p.slot[i].id;
	} else {
		answer_packet(q, &g->p, NF_NETIF_RSP_OKAY);
	}
	uint32_t flags = g->p.slot[0].flags & (NF_NETTXF_csum_blank | NF_NETTXF_data_validated);
	flags |= left ? NF_NETTXF_more_data : 0;
	flags |= g->p.extras ? NF_NETTXF_extra_info : 0;
	produce(c, frame, frame, c->out->tx_grefs[frame], 0, flags, g->p.bytes);
	if (g->p.extras) {
		memcpy(nf_ring_front_slot(&c->out->tx, c->out->tx.req_prod++), &g->p.extra,
		       sizeof(g->p.extra));
		c->extras++;
	}
	for (uint32_t i = 0; i < g->p.slots; i++) {
		if (!g->bytes[i])
			continue;
		uint32_t offset = g->p.slot[i].offset;
		offset += (i ? g->p.slot[i].size : g->p.first_bytes) - g->bytes[i];
		produce(c, frame, c->free[--c->free_count], g->gref[i], offset,
			i == last ? 0 : NF_NETTXF_more_data, g->bytes[i]);
	}
	nf_store_relaxed(&q->inflight, q->inflight + 1);
	c->tx_push = true;
}

/* Where it goes. The page of its header is the one send_out would take. */
static void dispatch(struct nf__mux_core *c, struct nf__mux_queue *q, struct cargo *g)
{
	take_head(c, g, c->free[c->free_count - 1]);
	enum nf__mux_verdict v = nf__mux_look(q, g->head, g->head_bytes);
	if (v == NF__MUX_SPOOFED) {
		NF_COUNT(q->counters, tx_spoofed, 1);
		answer_packet(q, &g->p, NF_NETIF_RSP_DROPPED);
		return;
	}
	if (v == NF__MUX_FLOOD) {
		if (!nf__mux_credit_take(&q->flood, 1, c->now_ns)) {
			NF_COUNT(q->counters, flood_limited, 1);
			answer_packet(q, &g->p, NF_NETIF_RSP_DROPPED);
			return;
		}
		to_siblings(c, q, g, NULL);
	} else {
		struct nf__mux_queue *to = nf__mux_find(c, g->head);
		if (to) {
			to_siblings(c, q, g, to);
			answer_packet(q, &g->p, NF_NETIF_RSP_OKAY);
			return;
		}
	}
	send_out(c, q, g);
}

/* One frame: ring slots taken, 0 none can be now, negative: the guest broke the protocol. */
static int packet(struct nf__mux_core *c, struct nf__mux_queue *q, uint32_t avail)
{
	struct nf_ring_back *in = &q->in->tx;
	struct cargo g;
	int n = nf__tx_read(in, in->req_cons, avail, &c->tx, &g.p, &q->fault);
	if (n <= 0)
		return n;
	if (g.p.refused || g.p.slots > NF__MUX_SLOTS) {
		in->req_cons += (uint32_t)n;
		answer_packet(q, &g.p, NF_NETIF_RSP_ERROR);
		NF_COUNT(q->counters, tx_dropped_error, 1);
		return n;
	}
	if (nf_ring_front_free(&c->out->tx) < g.p.ring_slots + 1 || c->free_count < g.p.slots + 1)
		return 0;
	int rc = locate(q, &g);
	if (rc < 0)
		return rc;
	if (!nf__mux_credit_take(&q->rate, g.p.bytes, c->now_ns)) {
		NF_COUNT(q->counters, tx_rate_limited, !q->waits_rate);
		q->waits_rate = true;
		return 0;
	}
	in->req_cons += (uint32_t)n;
	q->waits_rate = false;
	q->deficit -= (int32_t)g.p.bytes + NF__MUX_OVERHEAD;
	NF_COUNT(q->counters, tx_packets, 1);
	NF_COUNT(q->counters, tx_bytes, g.p.bytes);
	NF_COUNT(q->counters, tx_slots, n);
	dispatch(c, q, &g);
	return n;
}

/* The largest frame does not fit. */
static bool is_full(const struct nf__mux_core *c)
{
	return nf_ring_front_free(&c->out->tx) < NF__MUX_SLOTS + 2 ||
	       c->free_count < NF__MUX_SLOTS + 1;
}

/* A member's turn: slots taken. *full: the outer ring has no room for its next frame. */
static uint32_t turn(struct nf__mux_core *c, struct nf__mux_queue *q, int32_t quantum, bool *full)
{
	struct nf_ring_back *in = &q->in->tx;
	int pending = nf_ring_back_pending(in);
	uint32_t taken = 0;
	if (pending < 0) {
		nf__mux_stop(q, nf__mux_fault(q, "tx req_prod",
					      nf_load_relaxed(&in->shared_hdr->req_prod),
					      in->req_cons, (int64_t)in->rsp_prod + in->count));
		return 0;
	}
	q->deficit += quantum;
	while (taken < (uint32_t)pending && q->deficit > 0) {
		int n = packet(c, q, (uint32_t)pending - taken);
		if (n < 0) {
			nf__mux_stop(q, n);
			return taken;
		}
		if (n == 0) {
			*full = !q->waits_rate && is_full(c);
			break;
		}
		taken += (uint32_t)n;
	}
	q->left = (uint32_t)pending - taken;
	c->is_owed |= q->left > 0 && q->deficit <= 0;
	/* nothing is saved up by one that had nothing to send */
	if ((q->left == 0 || q->waits_rate) && q->deficit > 0)
		q->deficit = 0;
	if (q->deficit > NF__MUX_QUANTUM)
		q->deficit = NF__MUX_QUANTUM;
	return taken;
}

int nf__mux_tx(struct nf__mux_core *c)
{
	uint32_t moved = 0;
	c->is_owed = false;
	for (uint32_t k = 0; k < c->count; k++) {
		uint32_t i = (c->next + k) % c->count;
		struct nf__mux_queue *q = c->members[i];
		bool full = false;
		if (!q || nf__mux_error(q))
			continue;
		/* a turn that met the full ring goes on, it does not begin again */
		moved += turn(c, q, k == 0 && c->was_full ? 0 : NF__MUX_QUANTUM, &full);
		if (full) {
			c->next = i;
			c->was_full = true;
			return (int)moved;
		}
	}
	c->was_full = false;
	if (c->count)
		c->next = (c->next + 1) % c->count;
	return (int)moved;
}
