/* SPDX-License-Identifier: MIT */
/*
 * The relay's data loops between a hostile L2 and a hostile L0: group 19 of HOSTILE.md. What
 * reaches an outer ring names L2's donated pages (translate) or L1's own (copy), whatever L2 wrote.
 */
#include "targets.h"

#include "net/net_internal.h"
#include "relay/internal.h"

#define SLOTS NF_NETIF_RING_SLOTS
#define PAGES 16u /* of L2, each way, by these numbers */
#define TX_GREF 1000u
#define RX_GREF 20000u
#define OUTER_TX 0x5000u
#define OUTER_RX 0x7000u

static struct {
	uint8_t *page[4]; /* inner tx, rx, outer tx, rx */
	uint8_t *l2_tx[PAGES], *l2_rx[PAGES];
	uint8_t *l1_tx, *l1_rx; /* SLOTS pages each */
	struct nf_gref_map *map;
	struct nf_layer layer;
	struct nf_back_rings in;
	struct nf_front_rings out;
	struct nf_counters counters;
	struct nf__queue q;
} world;

static int layer_notify(struct nf_chan *c)
{
	(void)c;
	return 0;
}

static uint8_t *l2_page(uint32_t gref, bool write)
{
	if (gref - RX_GREF < PAGES)
		return world.l2_rx[gref - RX_GREF];
	return !write && gref - TX_GREF < PAGES ? world.l2_tx[gref - TX_GREF] : NULL;
}

static int layer_copy(struct nf_layer *l, struct nf_grant_copy *ops, uint32_t count)
{
	(void)l;
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *page = l2_page(ops[i].gref, ops[i].to_peer);
		ops[i].status = page && ops[i].offset + ops[i].bytes <= 4096 ? 0 : -EACCES;
		if (ops[i].status == 0 && ops[i].to_peer)
			memcpy(page + ops[i].offset, ops[i].local, ops[i].bytes);
		else if (ops[i].status == 0)
			memcpy(ops[i].local, page + ops[i].offset, ops[i].bytes);
	}
	return 0;
}

static const struct nf_layer_ops layer_ops = {
	.kind = "fuzz", .copy = layer_copy, .chan_notify = layer_notify};

static uint8_t *pages(void)
{
	uint8_t *p = aligned_alloc(4096, (size_t)SLOTS * 4096);
	if (!p)
		abort();
	memset(p, 0, (size_t)SLOTS * 4096);
	return p;
}

static void memory_make(void)
{
	if (world.map)
		return;
	for (int i = 0; i < 4; i++)
		world.page[i] = fuzz_page();
	world.l1_tx = pages();
	world.l1_rx = pages();
	if (nf__gref_map_new(&world.map) != 0)
		abort();
	for (uint32_t i = 0; i < PAGES; i++) {
		world.l2_tx[i] = fuzz_page();
		world.l2_rx[i] = fuzz_page();
		if (nf__gref_map_add(world.map, TX_GREF + i, world.l2_tx[i], false) != 0 ||
		    nf__gref_map_add(world.map, RX_GREF + i, world.l2_rx[i], true) != 0)
			abort();
	}
}

static void queue_make(enum nf_relay_mode mode, uint8_t bits)
{
	struct nf_back_rings *in = &world.in;
	struct nf_front_rings *out = &world.out;
	struct nf_chan chan = {.layer = &world.layer, .fd = -1};
	memset(in, 0, sizeof(*in));
	memset(out, 0, sizeof(*out));
	memset(&world.q, 0, sizeof(world.q));
	world.layer = (struct nf_layer){.ops = &layer_ops, .caps = NF_CAP_COPY};
	for (int i = 0; i < 2; i++) /* as L2 leaves its rings, and L0 finds ours */
		*(struct nf_sring *)world.page[i] = (struct nf_sring){0, 1, 0, 1, {0}};
	nf_ring_back_init(&in->tx, world.page[0], 4096, NF_NETIF_TX_SLOT_BYTES, 0);
	nf_ring_back_init(&in->rx, world.page[1], 4096, NF_NETIF_RX_SLOT_BYTES, 0);
	nf_ring_front_init(&out->tx, world.page[2], 4096, NF_NETIF_TX_SLOT_BYTES);
	nf_ring_front_init(&out->rx, world.page[3], 4096, NF_NETIF_RX_SLOT_BYTES);
	in->tx_chan = in->rx_chan = out->tx_chan = out->rx_chan = chan;
	in->grefs = mode == NF_RELAY_TRANSLATE || (bits & 8) ? world.map : NULL;
	out->tx_pages.base = world.l1_tx;
	out->rx_pages.base = world.l1_rx;
	for (uint32_t i = 0; i < SLOTS; i++) {
		out->tx_grefs[i] = OUTER_TX + i;
		out->rx_grefs[i] = OUTER_RX + i;
	}
	world.q.in = in;
	world.q.out = out;
	world.q.counters = &world.counters;
	world.q.tx = world.q.rx = (struct nf__direction){
		.sg = bits & 1, .gso4 = bits & 2, .gso6 = bits & 4};
	if (nf__queue_init(&world.q, mode) != 0)
		abort();
}

struct peers {
	uint32_t tx_prod, rx_prod; /* L2's requests */
	uint32_t tx_rsp, rx_rsp;   /* L0's responses */
	uint32_t tx_seen, rx_seen; /* outer requests looked at */
};

static void l2_tx(struct fuzz_in *in, struct peers *p)
{
	uint8_t how = fuzz_u8(in), which = fuzz_u8(in);
	void *slot = nf_ring_back_slot(&world.in.tx, p->tx_prod++);
	if (how & 0x80) {
		struct nf_netif_extra_info e = {.type = how & 7, .flags = how >> 3 & 1};
		e.u.gso.size = fuzz_u16(in);
		e.u.gso.type = which & 3;
		memcpy(slot, &e, sizeof(e));
		return;
	}
	struct nf_netif_tx_request r = {.gref = which < 240 ? TX_GREF + which % PAGES
							    : fuzz_u32(in),
					.offset = how & 0x20 ? fuzz_u16(in) : fuzz_u8(in),
					.flags = how & 15,
					.id = which,
					.size = fuzz_u16(in)};
	if (!(how & 0x40))
		r.size &= 0x7ff;
	memcpy(slot, &r, sizeof(r));
}

static void l2_post(struct fuzz_in *in, struct peers *p)
{
	uint8_t which = fuzz_u8(in);
	struct nf_netif_rx_request r = {
		.id = which, .gref = which < 240 ? RX_GREF + which % PAGES : fuzz_u32(in)};
	memcpy(nf_ring_back_slot(&world.in.rx, p->rx_prod++), &r, sizeof(r));
}

static void l0_tx_answer(struct fuzz_in *in, struct peers *p)
{
	uint8_t how = fuzz_u8(in);
	void *slot = nf_ring_front_slot(&world.out.tx, p->tx_rsp++);
	struct nf_netif_tx_request req;
	memcpy(&req, slot, sizeof(req));
	struct nf_netif_tx_response r = {.id = how & 1 ? fuzz_u16(in) : req.id,
					 .status = how & 2 ? (int16_t)((how >> 2 & 7) - 3) : 0};
	memcpy(slot, &r, sizeof(r));
}

static void l0_rx_answer(struct fuzz_in *in, struct peers *p)
{
	uint8_t how = fuzz_u8(in);
	uint32_t idx = p->rx_rsp++;
	void *slot = nf_ring_front_slot(&world.out.rx, idx);
	struct nf_netif_rx_response r = {.id = how & 0x80 ? fuzz_u16(in) : (uint16_t)(idx % SLOTS),
					 .offset = how & 0x40 ? fuzz_u16(in) : 0,
					 .flags = how & 15,
					 .status = (int16_t)(fuzz_u16(in) & 0x9fff)};
	if ((how & 0x30) == 0x30) {
		struct nf_netif_extra_info e = {.type = how & 7, .flags = how >> 3 & 1};
		e.u.gso.size = (uint16_t)r.status;
		e.u.gso.type = fuzz_u8(in) & 3;
		memcpy(slot, &e, sizeof(e));
		return;
	}
	memcpy(slot, &r, sizeof(r));
}

static void poke(struct fuzz_in *in, const struct peers *p)
{
	uint8_t how = fuzz_u8(in);
	const uint32_t near[4] = {p->tx_prod, p->rx_prod, p->tx_rsp, p->rx_rsp};
	uint32_t *ring = (uint32_t *)world.page[how >> 2 & 3];
	ring[how & 3] = how & 0x10 ? fuzz_u32(in) : fuzz_near(in, near[how >> 2 & 3]);
}

static void publish(const struct peers *p)
{
	((struct nf_sring *)world.page[0])->req_prod = p->tx_prod;
	((struct nf_sring *)world.page[1])->req_prod = p->rx_prod;
	((struct nf_sring *)world.page[2])->rsp_prod = p->tx_rsp;
	((struct nf_sring *)world.page[3])->rsp_prod = p->rx_rsp;
}

static void peers_act(struct fuzz_in *in, struct peers *p, uint8_t op)
{
	static void (*const acts[])(struct fuzz_in *,
				    struct peers *) = {l2_tx, l2_post, l0_tx_answer, l0_rx_answer};
	if ((op & 7) < 4)
		for (uint32_t i = 0; i <= (uint32_t)(op >> 5); i++)
			acts[op & 3](in, p);
	else if ((op & 7) < 7)
		publish(p);
	else
		poke(in, p);
}

/* The confinement: every outer request names a page of this device's arenas of that direction. */
static void outer_check(struct peers *p)
{
	const struct nf_ring_front *tx = &world.out.tx, *rx = &world.out.rx;
	for (bool first = true; p->tx_seen != tx->req_prod; p->tx_seen++) {
		struct nf_netif_tx_request r;
		memcpy(&r, nf_ring_front_slot(tx, p->tx_seen), sizeof(r));
		FUZZ_EXPECT(r.gref - OUTER_TX < SLOTS, "an outer tx gref that is not L2's");
		FUZZ_EXPECT(r.offset <= 4096, "an outer tx offset");
		FUZZ_EXPECT(!first || r.size >= NF__FRAME_MIN, "an outer frame's size");
		FUZZ_EXPECT((r.flags & ~NF__TX_FLAGS) == 0, "outer tx flags");
		if (r.flags & NF_NETTXF_extra_info)
			p->tx_seen++;
		first = !(r.flags & NF_NETTXF_more_data);
	}
	for (; p->rx_seen != rx->req_prod; p->rx_seen++) {
		struct nf_netif_rx_request r;
		memcpy(&r, nf_ring_front_slot(rx, p->rx_seen), sizeof(r));
		FUZZ_EXPECT(r.gref - OUTER_RX < SLOTS, "an outer rx gref that is not L2's");
		FUZZ_EXPECT(r.id == p->rx_seen % SLOTS, "an outer rx id is the ring index");
	}
}

static void relay_run(enum nf_relay_mode mode, const uint8_t *data, size_t bytes)
{
	struct fuzz_in in = fuzz_input(data, bytes);
	memory_make();
	queue_make(mode, fuzz_u8(&in));
	struct peers p = {0};
	outer_check(&p);
	while (fuzz_left(&in) > 0) {
		uint8_t op = fuzz_u8(&in);
		if (op & 8) {
			peers_act(&in, &p, (uint8_t)((op & 7) | (op & 0xf0)));
			continue;
		}
		int rc = op & 1 ? nf__queue_arm(&world.q) : nf__queue_run(&world.q);
		FUZZ_EXPECT(rc >= 0 || rc == -EPROTO, "the relay's errors");
		if (rc < 0) {
			FUZZ_EXPECT(world.q.fault.field != NULL, "a refusal names the field");
			break;
		}
		outer_check(&p);
	}
	nf__queue_fini(&world.q);
}

void fuzz_relay_translate(const uint8_t *data, size_t bytes)
{
	relay_run(NF_RELAY_TRANSLATE, data, bytes);
}

void fuzz_relay_copy(const uint8_t *data, size_t bytes)
{
	relay_run(NF_RELAY_COPY, data, bytes);
}
