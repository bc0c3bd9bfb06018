/* SPDX-License-Identifier: MIT */
/*
 * One front queue and one back queue on plain memory, stepped by hand, each with a port that the
 * test loads with frames and reads from. Frame n of a port has bytes that follow from n, so that a
 * frame that arrives shows which one it is and whether every byte is right.
 */
#ifndef NF_TEST_NET_PAIR_H
#define NF_TEST_NET_PAIR_H

#include "net/net_internal.h"
#include "tap.h"

#define PAIR_FRAMES 512u
#define PAIR_TX_GREF 600u /* tx page i is gref 600 + i, rx page i is 40000 + 3 i: both lookups */
#define PAIR_RX_GREF 40000u

struct pair_frame {
	uint32_t bytes;
	uint16_t gso_bytes;
	uint8_t gso_type, flags;
};

struct pair_port {
	struct nf_port p; /* first */
	struct pair_frame out[PAIR_FRAMES], in[PAIR_FRAMES];
	bool is_good[PAIR_FRAMES]; /* in[n] has the bytes of frame n */
	uint32_t out_count, out_at, in_count;
	uint32_t take;	    /* frames a put takes at most */
	uint32_t slots_max; /* most buffers seen in one frame */
	int error;	    /* what get and put return, when not 0 */
};

struct pair {
	_Alignas(4096) uint8_t tx_ring[4096], rx_ring[4096];
	uint8_t tx_pages[NF_NET_PAGES][4096], rx_pages[NF_NET_PAGES][4096];
	struct nf_layer layer;
	struct nf_front_rings fr;
	struct nf_back_rings br;
	struct nf_net_features features;
	struct nf_counters fc, bc;
	struct pair_port fp, bp;
	struct nf_front_queue fq;
	struct nf_back_queue bq;
	uint32_t notified[2];		/* by port: 1 front, 2 back */
	uint32_t copies, copy_fails_at; /* fails the nth operation (1: the next); 0 none */
};

__attribute__((unused)) static struct pair *pair_now;

static inline uint8_t pair_byte(uint32_t n, uint32_t at)
{
	return (uint8_t)(n * 31u + at * 7u + (at >> 8));
}

__attribute__((unused)) static uint8_t *pair_page(uint32_t gref, bool write)
{
	uint32_t tx = gref - PAIR_TX_GREF, rx = (gref - PAIR_RX_GREF) / 3;
	if (gref >= PAIR_RX_GREF && rx < NF_NET_PAGES && gref == PAIR_RX_GREF + 3 * rx)
		return pair_now->rx_pages[rx];
	return !write && tx < NF_NET_PAGES ? pair_now->tx_pages[tx] : NULL;
}

__attribute__((unused)) static int pair_copy(struct nf_layer *l, struct nf_grant_copy *ops,
					     uint32_t n)
{
	(void)l;
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *page = pair_page(ops[i].gref, ops[i].to_peer);
		ops[i].status = page ? 0 : -EACCES;
		if (pair_now->copy_fails_at && --pair_now->copy_fails_at == 0)
			ops[i].status = -EACCES;
		if (ops[i].offset + ops[i].bytes > 4096)
			ops[i].status = -ERANGE;
		if (ops[i].status)
			continue;
		pair_now->copies++;
		if (ops[i].to_peer)
			memcpy(page + ops[i].offset, ops[i].local, ops[i].bytes);
		else
			memcpy(ops[i].local, page + ops[i].offset, ops[i].bytes);
	}
	return 0;
}

__attribute__((unused)) static int pair_notify(struct nf_chan *c)
{
	pair_now->notified[c->port - 1]++;
	return 0;
}

__attribute__((unused)) static int pair_get(struct nf_port *port, struct nf_buf *bufs,
					    uint32_t nbufs, struct nf_frame *frames,
					    uint32_t nframes)
{
	struct pair_port *p = (struct pair_port *)port;
	uint32_t used = 0, n = 0;
	if (p->error)
		return p->error;
	for (; n < nframes && p->out_at < p->out_count; n++, p->out_at++) {
		const struct pair_frame *w = &p->out[p->out_at];
		uint32_t first = used, done = 0, room = 0;
		for (uint32_t i = used; i < nbufs; i++)
			room += bufs[i].bytes;
		if (room < port->frame_bytes_max)
			break;
		for (; done < w->bytes; used++) {
			uint32_t part = w->bytes - done;
			if (part > bufs[used].bytes)
				part = bufs[used].bytes;
			for (uint32_t i = 0; i < part; i++)
				bufs[used].data[i] = pair_byte(p->out_at, done + i);
			bufs[used].bytes = part;
			done += part;
		}
		frames[n] = (struct nf_frame){.bytes = w->bytes,
					      .first = (uint16_t)first,
					      .count = (uint16_t)(used - first),
					      .gso_bytes = w->gso_bytes,
					      .gso_type = w->gso_type,
					      .flags = w->flags};
	}
	return (int)n;
}

__attribute__((unused)) static int pair_put(struct nf_port *port, const struct nf_buf *bufs,
					    const struct nf_frame *frames, uint32_t nframes)
{
	struct pair_port *p = (struct pair_port *)port;
	uint32_t n = 0;
	if (p->error)
		return p->error;
	for (; n < nframes && n < p->take && p->in_count < PAIR_FRAMES; n++, p->in_count++) {
		const struct nf_frame *f = &frames[n];
		uint32_t at = 0;
		bool good = true;
		for (uint32_t i = 0; i < f->count; i++) {
			const struct nf_buf *b = &bufs[f->first + i];
			for (uint32_t k = 0; k < b->bytes; k++)
				good = good && b->data[k] == pair_byte(p->in_count, at + k);
			at += b->bytes;
		}
		p->is_good[p->in_count] = good && at == f->bytes;
		p->slots_max = f->count > p->slots_max ? f->count : p->slots_max;
		p->in[p->in_count] = (struct pair_frame){.bytes = f->bytes,
							 .gso_bytes = f->gso_bytes,
							 .gso_type = f->gso_type,
							 .flags = f->flags};
	}
	return (int)n;
}

__attribute__((unused)) static void pair_port_make(struct pair_port *p, uint32_t frame_bytes_max)
{
	static const struct nf_port_ops ops = {.name = "pair", .get = pair_get, .put = pair_put};
	memset(p, 0, sizeof(*p));
	p->p = (struct nf_port){.ops = &ops,
				.fd = -1,
				.features = NF_PORT_CSUM | NF_PORT_GSO4 | NF_PORT_GSO6 | NF_PORT_SG,
				.frame_bytes_max = frame_bytes_max};
	p->take = UINT32_MAX;
}

/* first: where all ring indices start. is_static: pages are in the back's map, else grant copy. */
__attribute__((unused)) static struct pair *pair_new(bool is_static, uint32_t frame_bytes_max,
						     uint32_t first)
{
	static const struct nf_layer_ops ops = {
		.kind = "pair", .copy = pair_copy, .chan_notify = pair_notify};
	struct pair *p = aligned_alloc(4096, (sizeof(*p) + 4095) & ~(size_t)4095);
	if (!p)
		abort();
	memset(p, 0, sizeof(*p));
	pair_now = p;
	p->layer.ops = &ops;
	p->features = (struct nf_net_features){
		.sg = 1, .gso4 = 1, .gso6 = 1, .csum4 = 1, .csum6 = 1, .queues = 1, .mtu = 1500};
	nf_ring_front_init(&p->fr.tx, p->tx_ring, 4096, NF_NETIF_TX_SLOT_BYTES);
	nf_ring_front_init(&p->fr.rx, p->rx_ring, 4096, NF_NETIF_RX_SLOT_BYTES);
	struct nf_ring_front *fronts[2] = {&p->fr.tx, &p->fr.rx};
	for (int i = 0; i < 2; i++) {
		fronts[i]->req_prod = fronts[i]->rsp_cons = first;
		fronts[i]->shared_hdr->req_prod = fronts[i]->shared_hdr->rsp_prod = first;
		fronts[i]->shared_hdr->req_event = fronts[i]->shared_hdr->rsp_event = first + 1;
	}
	nf_ring_back_init(&p->br.tx, p->tx_ring, 4096, NF_NETIF_TX_SLOT_BYTES, first);
	nf_ring_back_init(&p->br.rx, p->rx_ring, 4096, NF_NETIF_RX_SLOT_BYTES, first);
	p->fr.tx_pages.base = p->tx_pages[0];
	p->fr.rx_pages.base = p->rx_pages[0];
	p->fr.rx_chan.fd = p->br.rx_chan.fd = -1;
	p->fr.tx_chan.port = 1;
	p->br.tx_chan.port = 2;
	if (is_static && nf__gref_map_new(&p->br.grefs) != 0)
		abort();
	for (uint32_t i = 0; i < NF_NET_PAGES; i++) {
		p->fr.tx_grefs[i] = PAIR_TX_GREF + i;
		p->fr.rx_grefs[i] = PAIR_RX_GREF + 3 * i;
		if (is_static &&
		    (nf__gref_map_add(p->br.grefs, p->fr.tx_grefs[i], p->tx_pages[i], false) ||
		     nf__gref_map_add(p->br.grefs, p->fr.rx_grefs[i], p->rx_pages[i], true)))
			abort();
	}
	pair_port_make(&p->fp, frame_bytes_max);
	pair_port_make(&p->bp, frame_bytes_max);
	nf__front_queue_init(&p->fq, &p->fr, &p->layer, &p->fp.p, &p->fc, &p->features, -1);
	if (nf__back_queue_init(&p->bq, &p->br, &p->layer, &p->bp.p, &p->bc, &p->features,
				&p->features, 1, -1))
		abort();
	return p;
}

__attribute__((unused)) static void pair_free(struct pair *p)
{
	nf__back_queue_fini(&p->bq);
	nf__gref_map_free(p->br.grefs);
	free(p);
	pair_now = NULL;
}

__attribute__((unused)) static void pair_send(struct pair_port *p, uint32_t bytes, uint16_t gso,
					      uint8_t type, uint8_t flags)
{
	p->out[p->out_count++] = (struct pair_frame){bytes, gso, type, flags};
}

/* Rounds of both ends until neither moves; the first error of either, or 0. */
__attribute__((unused)) static int pair_run(struct pair *p)
{
	for (int i = 0; i < 100000; i++) {
		int f = p->fq.item.ops->run(&p->fq.item);
		int b = f < 0 ? 0 : p->bq.item.ops->run(&p->bq.item);
		if (f < 0 || b < 0)
			return f < 0 ? f : b;
		if (f == 0 && b == 0)
			return 0;
	}
	return -ETIMEDOUT;
}

/* Everything `from` was loaded with arrived at `to` in order, whole and as it was meant. */
__attribute__((unused)) static bool pair_arrived(const struct pair_port *from,
						 const struct pair_port *to)
{
	if (from->out_at != from->out_count || to->in_count != from->out_count) {
		diag("%u of %u frames sent, %u arrived", from->out_at, from->out_count,
		     to->in_count);
		return false;
	}
	for (uint32_t i = 0; i < to->in_count; i++) {
		const struct pair_frame *a = &from->out[i], *b = &to->in[i];
		uint8_t flags = a->flags & NF_FRAME_CSUM_BLANK ? a->flags | NF_FRAME_DATA_VALID
							       : a->flags;
		if (!to->is_good[i] || a->bytes != b->bytes || a->gso_bytes != b->gso_bytes ||
		    a->gso_type != b->gso_type || flags != b->flags) {
			diag("frame %u: %u bytes, gso %u/%u, flags %u; arrived %s: %u, %u/%u, %u",
			     i, a->bytes, a->gso_bytes, a->gso_type, flags,
			     to->is_good[i] ? "whole" : "damaged", b->bytes, b->gso_bytes,
			     b->gso_type, b->flags);
			return false;
		}
	}
	return true;
}

/* Nothing in flight: all tx pages free, all rx pages posted. */
__attribute__((unused)) static bool pair_at_rest(const struct pair *p)
{
	return p->fq.tx_sp == 0 && p->fq.tx_extras == 0 && p->fr.tx.req_prod == p->fr.tx.rsp_cons &&
	       p->fr.rx.req_prod - p->fr.rx.rsp_cons == NF_NET_PAGES;
}

#endif
