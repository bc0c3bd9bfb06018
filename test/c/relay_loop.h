/* SPDX-License-Identifier: MIT */
/*
 * One relay queue between an L2 front and an L0 back, all rings in plain memory and stepped by
 * hand: the ends are the test's to play, honestly or not.
 */
#ifndef NF_TEST_RELAY_LOOP_H
#define NF_TEST_RELAY_LOOP_H

#include "net/net_internal.h"
#include "relay/internal.h"
#include "tap.h"

#define LOOP_SLOTS NF_NETIF_RING_SLOTS
#define LOOP_TX_GREF 1000u /* L2's names: tx pages in reverse, rx pages by threes */
#define LOOP_RX_GREF 20000u
#define LOOP_OUTER_TX 0x5000u /* L1's names outside */
#define LOOP_OUTER_RX 0x7000u

struct loop {
	_Alignas(4096) uint8_t in_tx[4096], in_rx[4096], out_tx[4096], out_rx[4096];
	uint8_t l2_tx[LOOP_SLOTS][4096], l2_rx[LOOP_SLOTS][4096]; /* L2's pages */
	uint8_t l1_tx[LOOP_SLOTS][4096], l1_rx[LOOP_SLOTS][4096]; /* copy: L1's */
	struct nf_ring_front l2_tx_ring, l2_rx_ring;
	struct nf_ring_back l0_tx_ring, l0_rx_ring;
	struct nf_layer layer;
	struct nf_back_rings in;
	struct nf_front_rings out;
	struct nf_counters counters;
	struct nf__queue q;
	uint32_t
		notified; /* channels by port: bit 1 inner tx, 2 inner rx, 3 outer tx, 4 outer rx */
	int chan_error;
};

__attribute__((unused)) static struct loop *loop_now; /* the fake layer's */
__attribute__((unused)) static struct loop *loop_spare;

__attribute__((unused)) static int loop_notify(struct nf_chan *c)
{
	loop_now->notified |= 1u << c->port;
	return loop_now->chan_error;
}

__attribute__((unused)) static int loop_clear(struct nf_chan *c)
{
	(void)c;
	return loop_now->chan_error ? loop_now->chan_error : 1;
}

/* Grant copy out of L2's pages by its numbers. */
__attribute__((unused)) static uint8_t *loop_page(uint32_t gref, bool write)
{
	uint32_t tx = LOOP_TX_GREF + LOOP_SLOTS - 1 - gref, rx = (gref - LOOP_RX_GREF) / 3;
	if (gref >= LOOP_RX_GREF)
		return rx < LOOP_SLOTS && gref == LOOP_RX_GREF + 3 * rx ? loop_now->l2_rx[rx]
									: NULL;
	return !write && tx < LOOP_SLOTS ? loop_now->l2_tx[tx] : NULL;
}

__attribute__((unused)) static int loop_copy(struct nf_layer *l, struct nf_grant_copy *ops,
					     uint32_t n)
{
	(void)l;
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *page = loop_page(ops[i].gref, ops[i].to_peer);
		ops[i].status = !page || ops[i].offset + ops[i].bytes > 4096 ? -EACCES : 0;
		if (ops[i].status == 0 && ops[i].to_peer)
			memcpy(page + ops[i].offset, ops[i].local, ops[i].bytes);
		else if (ops[i].status == 0)
			memcpy(ops[i].local, page + ops[i].offset, ops[i].bytes);
	}
	return 0;
}

static const struct nf_layer_ops loop_ops = {
	.kind = "loop", .chan_notify = loop_notify, .chan_clear = loop_clear, .copy = loop_copy};

static inline uint32_t loop_tx_gref(uint32_t page)
{
	return LOOP_TX_GREF + LOOP_SLOTS - 1 - page;
}

static inline uint32_t loop_rx_gref(uint32_t page)
{
	return LOOP_RX_GREF + 3 * page;
}

/* All indices of the four rings, shared and private, as if so many slots had gone by. */
__attribute__((unused)) static void loop_seek(struct loop *r, uint32_t first)
{
	struct nf_ring_front *fronts[] = {&r->l2_tx_ring, &r->l2_rx_ring, &r->out.tx, &r->out.rx};
	struct nf_ring_back *backs[] = {&r->in.tx, &r->in.rx, &r->l0_tx_ring, &r->l0_rx_ring};
	for (int i = 0; i < 4; i++) {
		struct nf_sring *s = fronts[i]->shared_hdr;
		s->req_prod = s->rsp_prod = first;
		s->req_event = s->rsp_event = first + 1;
		fronts[i]->req_prod = fronts[i]->rsp_cons = first;
		backs[i]->rsp_prod = backs[i]->req_cons = first;
	}
}

__attribute__((unused)) static void loop_map(struct loop *r)
{
	if (nf__gref_map_new(&r->in.grefs) != 0)
		abort();
	for (uint32_t i = 0; i < LOOP_SLOTS; i++) {
		if (nf__gref_map_add(r->in.grefs, loop_tx_gref(i), r->l2_tx[i], false) != 0 ||
		    nf__gref_map_add(r->in.grefs, loop_rx_gref(i), r->l2_rx[i], true) != 0)
			abort();
	}
}

/* static_grants: L2's pages by the map, else by grant copy (copy mode only). first: indices. */
__attribute__((unused)) static struct loop *loop_new(enum nf_relay_mode mode, bool static_grants,
						     uint32_t first)
{
	struct loop *r = loop_spare ? loop_spare
				    : aligned_alloc(4096, (sizeof(*r) + 4095) / 4096 * 4096);
	loop_spare = NULL;
	if (!r)
		abort();
	memset(r, 0, sizeof(*r));
	loop_now = r;
	r->layer = (struct nf_layer){.ops = &loop_ops};
	nf_ring_front_init(&r->l2_tx_ring, r->in_tx, 4096, NF_NETIF_TX_SLOT_BYTES);
	nf_ring_front_init(&r->l2_rx_ring, r->in_rx, 4096, NF_NETIF_RX_SLOT_BYTES);
	nf_ring_back_init(&r->in.tx, r->in_tx, 4096, NF_NETIF_TX_SLOT_BYTES, 0);
	nf_ring_back_init(&r->in.rx, r->in_rx, 4096, NF_NETIF_RX_SLOT_BYTES, 0);
	nf_ring_front_init(&r->out.tx, r->out_tx, 4096, NF_NETIF_TX_SLOT_BYTES);
	nf_ring_front_init(&r->out.rx, r->out_rx, 4096, NF_NETIF_RX_SLOT_BYTES);
	nf_ring_back_init(&r->l0_tx_ring, r->out_tx, 4096, NF_NETIF_TX_SLOT_BYTES, 0);
	nf_ring_back_init(&r->l0_rx_ring, r->out_rx, 4096, NF_NETIF_RX_SLOT_BYTES, 0);
	loop_seek(r, first);
	r->in.tx_chan = (struct nf_chan){.layer = &r->layer, .fd = 1, .port = 1};
	r->in.rx_chan = (struct nf_chan){.layer = &r->layer, .fd = 2, .port = 2};
	r->out.tx_chan = (struct nf_chan){.layer = &r->layer, .fd = 3, .port = 3};
	r->out.rx_chan = (struct nf_chan){.layer = &r->layer, .fd = 4, .port = 4};
	r->out.tx_pages.base = r->l1_tx[0];
	r->out.rx_pages.base = r->l1_rx[0];
	for (uint32_t i = 0; i < LOOP_SLOTS; i++) {
		r->out.tx_grefs[i] = LOOP_OUTER_TX + i;
		r->out.rx_grefs[i] = LOOP_OUTER_RX + i;
	}
	if (static_grants)
		loop_map(r);
	r->q.in = &r->in;
	r->q.out = &r->out;
	r->q.counters = &r->counters;
	r->q.tx = r->q.rx = (struct nf__direction){.sg = true, .gso4 = true, .gso6 = true};
	if (nf__queue_init(&r->q, mode) != 0)
		abort();
	return r;
}

__attribute__((unused)) static void loop_free(struct loop *r)
{
	nf__queue_fini(&r->q);
	nf__gref_map_free(r->in.grefs);
	free(loop_spare);
	loop_spare = r; /* page faults cost more than the tests do */
}

/* ---- L2 ---- */
__attribute__((unused)) static void l2_tx(struct loop *r, struct nf_netif_tx_request req)
{
	memcpy(nf_ring_front_slot(&r->l2_tx_ring, r->l2_tx_ring.req_prod++), &req, sizeof(req));
}

__attribute__((unused)) static void l2_tx_extra(struct loop *r, struct nf_netif_extra_info e)
{
	memcpy(nf_ring_front_slot(&r->l2_tx_ring, r->l2_tx_ring.req_prod++), &e, sizeof(e));
}

__attribute__((unused)) static void l2_push(struct loop *r)
{
	nf_ring_front_push(&r->l2_tx_ring);
	nf_ring_front_push(&r->l2_rx_ring);
}

/* Posts L2's rx page in the next slot under any id. */
__attribute__((unused)) static void l2_post(struct loop *r, uint16_t id, uint32_t page)
{
	struct nf_netif_rx_request req = {.id = id, .gref = loop_rx_gref(page)};
	memcpy(nf_ring_front_slot(&r->l2_rx_ring, r->l2_rx_ring.req_prod++), &req, sizeof(req));
}

/* ---- L0 ---- */
__attribute__((unused)) static bool l0_tx_take(struct loop *r, void *slot)
{
	if (nf_ring_back_pending(&r->l0_tx_ring) <= 0)
		return false;
	memcpy(slot, nf_ring_back_slot(&r->l0_tx_ring, r->l0_tx_ring.req_cons++), 12);
	return true;
}

__attribute__((unused)) static void l0_tx_answer(struct loop *r, uint16_t id, int16_t status)
{
	struct nf_netif_tx_response rsp = {.id = id, .status = status};
	memcpy(nf_ring_back_slot(&r->l0_tx_ring, r->l0_tx_ring.rsp_prod++), &rsp, sizeof(rsp));
}

__attribute__((unused)) static bool l0_rx_take(struct loop *r, struct nf_netif_rx_request *req)
{
	if (nf_ring_back_pending(&r->l0_rx_ring) <= 0)
		return false;
	memcpy(req, nf_ring_back_slot(&r->l0_rx_ring, r->l0_rx_ring.req_cons++), sizeof(*req));
	return true;
}

__attribute__((unused)) static void l0_rx_answer(struct loop *r, const void *eight)
{
	memcpy(nf_ring_back_slot(&r->l0_rx_ring, r->l0_rx_ring.rsp_prod++), eight, 8);
}

__attribute__((unused)) static void l0_push(struct loop *r)
{
	nf_ring_back_push(&r->l0_tx_ring);
	nf_ring_back_push(&r->l0_rx_ring);
}

#endif
