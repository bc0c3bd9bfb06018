/* SPDX-License-Identifier: MIT */
/* netback's queue with a hostile front: groups 1, 3 to 7 and 16 of HOSTILE.md in one machine. */
#include "netport.h"
#include "targets.h"

#define PAGES 24u
#define TX_GREF 100u
#define RX_GREF 40000u /* beyond the direct lookup */

static struct {
	uint8_t *tx_ring, *rx_ring, *tx[PAGES], *rx[PAGES];
	struct nf_gref_map *map;
	struct nf_back_queue q;
	struct nf_counters counters;
} world;

static uint8_t *page_of(uint32_t gref, bool write)
{
	if (gref - RX_GREF < PAGES)
		return world.rx[gref - RX_GREF];
	return !write && gref - TX_GREF < PAGES ? world.tx[gref - TX_GREF] : NULL;
}

static int layer_copy(struct nf_layer *l, struct nf_grant_copy *ops, uint32_t count)
{
	(void)l;
	for (uint32_t i = 0; i < count; i++) {
		struct nf_grant_copy *o = &ops[i];
		uint8_t *page = page_of(o->gref, o->to_peer);
		o->status = page ? 0 : -EACCES;
		if (o->offset + o->bytes > NF_PAGE_BYTES)
			o->status = -ERANGE;
		if (o->status == 0 && o->to_peer)
			memcpy(page + o->offset, o->local, o->bytes);
		else if (o->status == 0)
			memcpy(o->local, page + o->offset, o->bytes);
	}
	return 0;
}

static int layer_notify(struct nf_chan *c)
{
	(void)c;
	return 0;
}

static const struct nf_layer_ops layer_ops = {
	.kind = "fuzz", .copy = layer_copy, .chan_notify = layer_notify};

static void world_make(void)
{
	if (world.map)
		return;
	world.tx_ring = fuzz_page();
	world.rx_ring = fuzz_page();
	if (nf__gref_map_new(&world.map) != 0)
		abort();
	for (uint32_t i = 0; i < PAGES; i++) {
		world.tx[i] = fuzz_page();
		world.rx[i] = fuzz_page();
		if (nf__gref_map_add(world.map, TX_GREF + i, world.tx[i], false) != 0 ||
		    nf__gref_map_add(world.map, RX_GREF + i, world.rx[i], true) != 0)
			abort();
	}
}

static uint32_t some_gref(struct fuzz_in *in)
{
	uint8_t which = fuzz_u8(in);
	if (which < 2 * PAGES)
		return which < PAGES ? TX_GREF + which : RX_GREF + which - PAGES;
	return which < 240 ? TX_GREF + which % PAGES : fuzz_u32(in);
}

/* One slot of the front's, legal in most fields. */
static void tx_slot(struct fuzz_in *in, void *slot)
{
	uint8_t how = fuzz_u8(in);
	if (how & 0x80) { /* an extra, or any 12 bytes */
		struct nf_netif_extra_info e = {.type = how & 7, .flags = how >> 3 & 1};
		e.u.gso.size = fuzz_u16(in);
		e.u.gso.type = fuzz_u8(in) & 3;
		if (how & 0x40)
			(void)fuzz_bytes(in, slot, NF_NETIF_TX_SLOT_BYTES);
		else
			memcpy(slot, &e, sizeof(e));
		return;
	}
	struct nf_netif_tx_request r = {
		.gref = some_gref(in), .flags = how & 15, .id = fuzz_u8(in), .size = fuzz_u16(in)};
	r.offset = how & 0x20 ? fuzz_u16(in) : fuzz_u8(in);
	if (!(how & 0x40))
		r.size &= 0x7ff;
	memcpy(slot, &r, sizeof(r));
}

struct peer {
	uint32_t tx_prod, rx_prod;
	bool is_lying; /* wrote an index of its own */
};

static void peer_poke(struct fuzz_in *in, struct peer *p)
{
	uint8_t how = fuzz_u8(in);
	uint32_t *ring = (uint32_t *)(how & 4 ? world.rx_ring : world.tx_ring);
	uint32_t near = how & 4 ? p->rx_prod : p->tx_prod;
	ring[how & 3] = how & 8 ? fuzz_u32(in) : fuzz_near(in, near);
	p->is_lying = true;
}

static void peer_act(struct fuzz_in *in, struct peer *p, uint8_t op)
{
	struct nf_netif_rx_request rx;
	switch (op & 3) {
	case 0:
		for (uint32_t i = 0; i <= (uint32_t)(op >> 5); i++) /* a slot, or a run of it */
			tx_slot(in, nf_ring_back_slot(&world.q.rings->tx, p->tx_prod++));
		break;
	case 1:
		for (uint32_t i = 0; i <= (uint32_t)(op >> 3); i++) {
			rx = (struct nf_netif_rx_request){.id = (uint16_t)p->rx_prod,
							  .gref = some_gref(in)};
			memcpy(nf_ring_back_slot(&world.q.rings->rx, p->rx_prod++), &rx,
			       sizeof(rx));
		}
		break;
	case 2:
		((struct nf_sring *)world.tx_ring)->req_prod = p->tx_prod;
		((struct nf_sring *)world.rx_ring)->req_prod = p->rx_prod;
		break;
	default:
		peer_poke(in, p);
	}
}

/* One pass of the victim; false once it has refused the peer. */
static bool victim_runs(struct peer *p, bool arm)
{
	struct nf_back_queue *q = &world.q;
	uint32_t tx = q->rings->tx.rsp_prod, rx = q->rings->rx.rsp_prod;
	int rc = arm ? q->item.ops->arm(&q->item) : q->item.ops->run(&q->item);
	FUZZ_EXPECT(rc >= 0 || rc == -EPROTO, "netback's errors");
	if (rc < 0) {
		FUZZ_EXPECT(q->fault.field != NULL, "a refusal names the field");
		return false;
	}
	FUZZ_EXPECT(q->rings->tx.rsp_prod - tx <= NF_NET_PAGES, "tx responses of one pass");
	FUZZ_EXPECT(q->rings->rx.rsp_prod - rx <= NF_NET_PAGES, "rx responses of one pass");
	FUZZ_EXPECT(q->rings->tx.rsp_prod == q->rings->tx.req_cons, "tx is answered in order");
	FUZZ_EXPECT(p->is_lying || q->rings->tx.req_cons - p->tx_prod == 0 ||
			    p->tx_prod - q->rings->tx.req_cons <= 0x7fffffffu,
		    "took requests nobody made");
	return true;
}

void fuzz_net_back(const uint8_t *data, size_t bytes)
{
	struct fuzz_in in = fuzz_input(data, bytes);
	struct nf_layer layer = {.ops = &layer_ops, .caps = NF_CAP_COPY};
	struct fuzz_port port;
	struct nf_back_rings rings = {.tx_chan = {.layer = &layer, .fd = -1},
				      .rx_chan = {.layer = &layer, .fd = -1}};
	world_make();
	uint8_t mode = fuzz_u8(&in);
	struct nf_net_features f = fuzz_features(mode);
	/* a queue that copies makes its bounce pages anew each time: seldom, it is slow */
	f.static_only = mode >> 5 < 6;
	rings.grefs = mode >> 5 == 7 ? NULL : world.map;
	uint32_t first = fuzz_u8(&in) & 1 ? fuzz_u32(&in) : 0;
	struct nf_sring *shared[2] = {(struct nf_sring *)world.tx_ring,
				      (struct nf_sring *)world.rx_ring};
	for (int i = 0; i < 2; i++)
		*shared[i] = (struct nf_sring){first, first + 1, first, first + 1, {0}};
	nf_ring_back_init(&rings.tx, world.tx_ring, 4096, NF_NETIF_TX_SLOT_BYTES, first);
	nf_ring_back_init(&rings.rx, world.rx_ring, 4096, NF_NETIF_RX_SLOT_BYTES, first);
	fuzz_port_init(&port, &in, &f);
	if (nf__back_queue_init(&world.q, &rings, &layer, &port.p, &world.counters, &f, &f, 1, -1))
		abort();
	struct peer p = {.tx_prod = first, .rx_prod = first};
	while (fuzz_left(&in) > 0) {
		uint8_t op = fuzz_u8(&in);
		if (op & 4)
			peer_act(&in, &p, (uint8_t)((op & 3) | (op & 0xf8)));
		else if (!victim_runs(&p, (op & 3) == 3))
			break;
	}
	nf__back_queue_fini(&world.q);
}
