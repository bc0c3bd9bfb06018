/* SPDX-License-Identifier: MIT */
/* netfront's queue with a hostile back: groups 1, 4 and 8 of HOSTILE.md. */
#include "netport.h"
#include "targets.h"

static struct {
	uint8_t *tx_ring, *rx_ring, *tx_pages, *rx_pages;
	struct nf_front_queue q;
	struct nf_front_rings rings;
	struct nf_counters counters;
} world;

static int layer_notify(struct nf_chan *c)
{
	(void)c;
	return 0;
}

static const struct nf_layer_ops layer_ops = {.kind = "fuzz", .chan_notify = layer_notify};

static uint8_t *pages(void)
{
	uint8_t *p = aligned_alloc(4096, (size_t)NF_NET_PAGES * NF_PAGE_BYTES);
	if (!p)
		abort();
	memset(p, 0, (size_t)NF_NET_PAGES * NF_PAGE_BYTES);
	return p;
}

static void world_make(struct nf_layer *layer)
{
	if (!world.tx_ring) {
		world.tx_ring = fuzz_page();
		world.rx_ring = fuzz_page();
		world.tx_pages = pages();
		world.rx_pages = pages();
	}
	world.rings = (struct nf_front_rings){.tx_chan = {.layer = layer, .fd = -1},
					      .rx_chan = {.layer = layer, .fd = -1}};
	nf_ring_front_init(&world.rings.tx, world.tx_ring, 4096, NF_NETIF_TX_SLOT_BYTES);
	nf_ring_front_init(&world.rings.rx, world.rx_ring, 4096, NF_NETIF_RX_SLOT_BYTES);
	world.rings.tx_pages.base = world.tx_pages;
	world.rings.rx_pages.base = world.rx_pages;
	for (uint32_t i = 0; i < NF_NET_PAGES; i++) {
		world.rings.tx_grefs[i] = 100 + i;
		world.rings.rx_grefs[i] = 400 + i;
	}
}

struct peer {
	uint32_t tx_rsp, rx_rsp;
};

static void rx_response(struct fuzz_in *in, struct peer *p)
{
	uint8_t how = fuzz_u8(in);
	uint32_t idx = p->rx_rsp++;
	void *slot = nf_ring_front_slot(&world.rings.rx, idx);
	struct nf_netif_rx_response r = {.id = (uint16_t)(idx & NF_NET_MASK),
					 .flags = how & 15,
					 .status = (int16_t)fuzz_u16(in)};
	if (how & 0x80)
		r.id = fuzz_u16(in);
	if (how & 0x40)
		r.offset = fuzz_u16(in);
	if (!(how & 0x20))
		r.status &= 0x7ff;
	if ((how & 0x30) == 0x30) {
		struct nf_netif_extra_info e = {.type = how & 7, .flags = how >> 3 & 1};
		e.u.gso.size = (uint16_t)r.status;
		e.u.gso.type = fuzz_u8(in) & 3;
		memcpy(slot, &e, sizeof(e));
		return;
	}
	memcpy(slot, &r, sizeof(r));
}

static void tx_response(struct fuzz_in *in, struct peer *p)
{
	uint8_t how = fuzz_u8(in);
	struct nf_netif_tx_request req;
	void *slot = nf_ring_front_slot(&world.rings.tx, p->tx_rsp++);
	memcpy(&req, slot, sizeof(req)); /* the request it answers, as it lies there */
	struct nf_netif_tx_response r = {.id = req.id, .status = 0};
	if (how & 1)
		r.id = fuzz_u16(in);
	if (how & 2)
		r.status = (int16_t)((int)(how >> 2 & 7) - 3);
	memcpy(slot, &r, sizeof(r));
}

static void peer_act(struct fuzz_in *in, struct peer *p, uint8_t op)
{
	struct nf_sring *tx = (struct nf_sring *)world.tx_ring,
			*rx = (struct nf_sring *)world.rx_ring;
	switch (op & 3) {
	case 0:
		for (uint32_t i = 0; i <= (uint32_t)(op >> 4); i++)
			tx_response(in, p);
		break;
	case 1:
		for (uint32_t i = 0; i <= (uint32_t)(op >> 4); i++)
			rx_response(in, p);
		break;
	case 2:
		tx->rsp_prod = p->tx_rsp;
		rx->rsp_prod = p->rx_rsp;
		break;
	default: {
		uint8_t how = fuzz_u8(in);
		uint32_t *ring = (uint32_t *)(how & 4 ? rx : tx);
		uint32_t near = how & 4 ? p->rx_rsp : p->tx_rsp;
		ring[how & 3] = how & 8 ? fuzz_u32(in) : fuzz_near(in, near);
	}
	}
}

/* False once it has refused the peer. */
static bool victim_runs(bool arm)
{
	struct nf_front_queue *q = &world.q;
	int rc = arm ? q->item.ops->arm(&q->item) : q->item.ops->run(&q->item);
	FUZZ_EXPECT(rc >= 0 || rc == -EPROTO, "netfront's errors");
	if (rc < 0) {
		FUZZ_EXPECT(q->fault.field != NULL, "a refusal names the field");
		return false;
	}
	uint32_t busy = 0;
	for (uint32_t i = 0; i < NF_NET_PAGES; i++)
		busy += q->tx_busy[i];
	FUZZ_EXPECT(busy + (NF_NET_PAGES - q->tx_sp) == NF_NET_PAGES,
		    "a tx page is free or in flight, and once");
	FUZZ_EXPECT(busy + q->tx_extras == q->rings->tx.req_prod - q->rings->tx.rsp_cons,
		    "what is in flight is on the ring");
	FUZZ_EXPECT(q->rings->rx.req_prod - q->rings->rx.rsp_cons == NF_NET_PAGES,
		    "every rx page is posted");
	return true;
}

void fuzz_net_front(const uint8_t *data, size_t bytes)
{
	struct fuzz_in in = fuzz_input(data, bytes);
	struct nf_layer layer = {.ops = &layer_ops};
	struct fuzz_port port;
	struct nf_net_features f = fuzz_features(fuzz_u8(&in));
	world_make(&layer);
	fuzz_port_init(&port, &in, &f);
	nf__front_queue_init(&world.q, &world.rings, &layer, &port.p, &world.counters, &f, -1);
	struct peer p = {0};
	while (fuzz_left(&in) > 0) {
		uint8_t op = fuzz_u8(&in);
		if (op & 4)
			peer_act(&in, &p, (uint8_t)((op & 3) | (op & 0xf8)));
		else if (!victim_runs((op & 3) == 3))
			break;
	}
}
