/* SPDX-License-Identifier: MIT */
/*
 * mux, to the guests: frames land in L1's buffers, which are posted again at once; a guest gets a
 * copy in its own. One that posts none loses its frames and holds up nobody.
 */
#include "relay/mux.h"

struct nf__mux_queue *nf__mux_find(const struct nf__mux_core *c, const uint8_t mac[6])
{
	for (uint32_t i = 0; i < c->count; i++) {
		struct nf__mux_queue *q = c->members[i];
		if (q && !nf__mux_error(q) && !memcmp(q->mac, mac, 6))
			return q;
	}
	return NULL;
}

/* Rx slots the frame takes in pages of its own. */
static uint32_t slots_of(const struct nf__mux_frame *f)
{
	return (f->bytes + NF_PAGE_BYTES - 1) / NF_PAGE_BYTES + f->has_extra;
}

/* The guest's next buffer, its id noted: NULL, and the guest is stopped. */
static uint8_t *buffer(struct nf__mux_queue *q, uint32_t idx, uint16_t *id)
{
	struct nf_netif_rx_request want;
	nf__load_two(nf_ring_back_slot(&q->in->rx, idx), &want);
	uint8_t *page = nf__gref_map_page(q->in->grefs, want.gref, true);
	if (nf__unlikely(!page))
		nf__mux_stop(q, nf__mux_fault(q, "rx gref", want.gref, 1, 0));
	*id = want.id;
	return page;
}

/* Where the next byte of the frame is. */
struct cursor {
	const struct nf__mux_frame *f;
	uint32_t piece, at;
};

static uint32_t copy_some(struct cursor *c, uint8_t *to, uint32_t cap)
{
	uint32_t done = 0;
	while (done < cap && c->piece < c->f->pieces) {
		const struct nf__mux_piece *p = &c->f->piece[c->piece];
		uint32_t n = p->bytes - c->at < cap - done ? p->bytes - c->at : cap - done;
		memcpy(to + done, p->data + c->at, n);
		done += n;
		c->at += n;
		if (c->at == p->bytes) {
			c->piece++;
			c->at = 0;
		}
	}
	return done;
}

/* False: the guest's request named no page of its. Nothing was published. */
static bool fill(struct nf__mux_queue *q, const struct nf__mux_frame *f, uint32_t slots)
{
	struct nf_ring_back *rx = &q->in->rx;
	struct cursor c = {.f = f};
	uint32_t left = f->bytes;
	for (uint32_t i = 0; i < slots; i++) {
		if (i == 1 && f->has_extra) {
			memcpy(nf_ring_back_slot(rx, rx->req_cons + i), &f->extra,
			       sizeof(f->extra));
			continue;
		}
		struct nf_netif_rx_response r = {0};
		uint8_t *page = buffer(q, rx->req_cons + i, &r.id);
		if (!page)
			return false;
		uint32_t n = copy_some(&c, page, left < NF_PAGE_BYTES ? left : NF_PAGE_BYTES);
		left -= n;
		r.status = (int16_t)n;
		r.flags = left > 0 ? NF_NETRXF_more_data : 0;
		if (i == 0)
			r.flags |= (uint16_t)(f->flags | (f->has_extra ? NF_NETRXF_extra_info : 0));
		memcpy(nf_ring_back_slot(rx, rx->req_cons + i), &r, sizeof(r));
	}
	return true;
}

void nf__mux_deliver(struct nf__mux_queue *q, const struct nf__mux_frame *f)
{
	struct nf_ring_back *rx = &q->in->rx;
	uint32_t slots = slots_of(f);
	int room = nf_ring_back_pending(rx);
	if (nf__mux_error(q))
		return;
	if (room < 0) {
		nf__mux_stop(q, nf__mux_fault(q, "rx req_prod",
					      nf_load_relaxed(&rx->shared_hdr->req_prod),
					      rx->req_cons, (int64_t)rx->rsp_prod + rx->count));
		return;
	}
	if ((uint32_t)room < slots) {
		NF_COUNT(q->counters, rx_dropped_no_slots, 1);
		return;
	}
	if (!fill(q, f, slots))
		return;
	rx->req_cons += slots;
	rx->rsp_prod += slots;
	q->rx_push = true;
	NF_COUNT(q->counters, rx_packets, 1);
	NF_COUNT(q->counters, rx_bytes, f->bytes);
	NF_COUNT(q->counters, rx_slots, slots);
	NF_COUNT(q->counters, payload_copies, f->bytes);
}

void nf__mux_flood(struct nf__mux_core *c, const struct nf__mux_queue *from,
		   const struct nf__mux_frame *f)
{
	for (uint32_t i = 0; i < c->count; i++) {
		struct nf__mux_queue *q = c->members[i];
		if (!q || q == from || nf__mux_error(q))
			continue;
		/* the receiver's budget: a storm outside costs L1 no more than that */
		if (!from && !nf__mux_credit_take(&q->flood, 1, c->now_ns)) {
			NF_COUNT(q->counters, flood_limited, 1);
			continue;
		}
		NF_COUNT(q->counters, flooded, 1);
		nf__mux_deliver(q, f);
	}
}

/* Who gets it, by a copy of its addresses: L0 may write to the page until it is posted again. */
static void route(struct nf__mux_core *c, struct nf__mux_frame *f)
{
	uint8_t head[14];
	if (f->piece[0].bytes < sizeof(head)) {
		NF_COUNT(c->counters, rx_dropped_malformed, 1);
		return;
	}
	memcpy(head, f->piece[0].data, sizeof(head));
	/* a bridge that floods gives us back what we sent */
	if (nf__mux_find(c, head + 6)) {
		NF_COUNT(c->counters, rx_reflected, 1);
		return;
	}
	if (head[0] & 1) {
		nf__mux_flood(c, NULL, f);
		return;
	}
	struct nf__mux_queue *q = nf__mux_find(c, head);
	if (q)
		nf__mux_deliver(q, f);
	else
		NF_COUNT(c->counters, rx_unknown, 1);
}

static void packet_route(struct nf__mux_core *c, const struct nf__rx_packet *p, uint32_t idx)
{
	struct nf__mux_frame f = {.bytes = p->bytes, .has_extra = p->extras != 0};
	if (p->error) {
		NF_COUNT(c->counters, rx_dropped_error, 1);
		return;
	}
	f.flags = p->slot[0].flags & (NF_NETRXF_csum_blank | NF_NETRXF_data_validated);
	f.extra = p->extra;
	for (uint32_t i = 0; i < p->slots; i++) {
		/* page n is always at ring index n; an extra has the second one */
		uint32_t slot = (idx + i + (i > 0 ? p->extras : 0)) & (NF__MUX_IDS - 1);
		const uint8_t *page = c->out->rx_pages.base + (size_t)slot * NF_PAGE_BYTES;
		if (p->slot[i].status > 0)
			f.piece[f.pieces++] = (struct nf__mux_piece){page + p->slot[i].offset,
								     (uint16_t)p->slot[i].status};
	}
	if (f.pieces > 0)
		route(c, &f);
}

static void repost(struct nf__mux_core *c, uint32_t n)
{
	struct nf_ring_front *rx = &c->out->rx;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t index = rx->req_prod & (NF__MUX_IDS - 1);
		struct nf_netif_rx_request r = {.id = (uint16_t)index,
						.gref = c->out->rx_grefs[index]};
		memcpy(nf_ring_front_slot(rx, rx->req_prod++), &r, sizeof(r));
	}
}

int nf__mux_rx(struct nf__mux_core *c)
{
	struct nf_ring_front *rx = &c->out->rx;
	/* what a guest may take is what the outer end agreed to, checked when it connected */
	const struct nf__direction all = {.sg = true, .gso4 = true, .gso6 = true};
	int pending = nf_ring_front_pending(rx);
	if (pending < 0)
		return nf__fault(&c->fault, "rx rsp_prod",
				 nf_load_relaxed(&rx->shared_hdr->rsp_prod), rx->rsp_cons,
				 rx->req_prod);
	uint32_t moved = 0;
	while (moved < (uint32_t)pending) {
		struct nf__rx_packet p;
		int n = nf__rx_read(rx, rx->rsp_cons + moved, (uint32_t)pending - moved, &all, &p,
				    &c->fault);
		if (n < 0)
			return n;
		if (n == 0)
			break;
		packet_route(c, &p, rx->rsp_cons + moved);
		moved += (uint32_t)n;
	}
	c->rx_left = (uint32_t)pending - moved;
	rx->rsp_cons += moved;
	repost(c, moved);
	return (int)moved;
}
