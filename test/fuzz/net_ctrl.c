/* SPDX-License-Identifier: MIT */
/*
 * netback's control ring with a hostile front: groups 11 and 18 of HOSTILE.md. Whatever is asked
 * for, in any order, what was mapped is unmapped once, and no more than the limit is ever mapped.
 */
#include "net/net_back.h"
#include "targets.h"

#define GREFS 600u /* of the front, from FIRST on; odd ones are granted read-only */
#define FIRST 50u
#define PAGES 8u

static struct {
	uint8_t *ring, *list, *page[PAGES];
	struct nf_netback b;
	struct nf_back_rings rings;
	struct nf_counters counters;
	uint32_t mapped[GREFS];
	uint32_t maps, map_calls, fail_at;
} world;

static int layer_map(struct nf_layer *l, uint16_t peer, uint32_t *grefs, uint32_t count,
		     bool readonly, void **addrs, struct nf_mapping *out)
{
	(void)l;
	if (++world.map_calls == world.fail_at)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		if (grefs[i] - FIRST >= GREFS || (!readonly && (grefs[i] & 1)))
			return -EACCES;
	for (uint32_t i = 0; i < count; i++) {
		world.mapped[grefs[i] - FIRST]++;
		addrs[i] = world.page[grefs[i] % PAGES];
	}
	world.maps += count;
	/* a list is mapped before the limit is known to hold: twice the limit, and a remap */
	FUZZ_EXPECT(world.maps <= 3 * NF_NET_GREFS_MAX, "more is mapped than a queue may have");
	*out = (struct nf_mapping){.peer = peer, .count = count, .grefs = grefs, .addrs = addrs};
	return 0;
}

static int layer_unmap(struct nf_layer *l, struct nf_mapping *m)
{
	(void)l;
	for (uint32_t i = 0; i < m->count; i++) {
		uint32_t at = m->grefs[i] - FIRST;
		FUZZ_EXPECT(at < GREFS && world.mapped[at] > 0, "unmapped what was not mapped");
		world.mapped[at]--;
	}
	world.maps -= m->count;
	m->count = 0;
	return 0;
}

static int layer_copy(struct nf_layer *l, struct nf_grant_copy *ops, uint32_t count)
{
	(void)l;
	FUZZ_EXPECT(count == 1 && ops->bytes <= NF_PAGE_BYTES, "the list's copy");
	ops->status = ops->gref == FIRST ? 0 : -EACCES;
	if (ops->status == 0 && ops->to_peer)
		memcpy(world.list, ops->local, ops->bytes);
	else if (ops->status == 0)
		memcpy(ops->local, world.list, ops->bytes);
	return 0;
}

static int layer_notify(struct nf_chan *c)
{
	(void)c;
	return 0;
}

static const struct nf_layer_ops layer_ops = {.kind = "fuzz",
					      .map = layer_map,
					      .unmap = layer_unmap,
					      .copy = layer_copy,
					      .chan_notify = layer_notify};

static void world_make(struct nf_layer *layer)
{
	if (!world.ring) {
		world.ring = fuzz_page();
		world.list = fuzz_page();
		for (uint32_t i = 0; i < PAGES; i++)
			world.page[i] = fuzz_page();
	}
	memset(world.ring, 0, 4096);
	memset(world.mapped, 0, sizeof(world.mapped));
	world.maps = world.map_calls = world.fail_at = 0;
	memset(&world.rings, 0, sizeof(world.rings));
	memset(&world.b, 0, sizeof(world.b));
	struct nf_netback *b = &world.b;
	b->e.cfg.layer = layer;
	b->e.timer_fd = b->e.epoll_fd = b->e.event_fd = -1;
	b->e.blocks[0] = &world.counters;
	b->map_grefs = true;
	b->queues = 1;
	b->rings[0] = &world.rings;
	b->ctrl.chan = (struct nf_chan){.layer = layer, .fd = -1};
	b->ctrl.is_open = true;
	b->ctrl.tokens = 64;
	nf_ring_back_init(&b->ctrl.ring, world.ring, 4096, NF_NETIF_CTRL_SLOT_BYTES, 0);
	if (nf__gref_map_new(&world.rings.grefs) != 0)
		abort();
}

/* A run of the front's grefs, or junk. */
static void list_write(struct fuzz_in *in)
{
	struct nf_netif_gref *list = (struct nf_netif_gref *)world.list;
	uint32_t count = fuzz_u16(in) % (NF_NETIF_CTRL_GREFS_MAX + 1), first = fuzz_u16(in) % GREFS;
	uint8_t how = fuzz_u8(in);
	for (uint32_t i = 0; i < count; i++)
		list[i] = (struct nf_netif_gref){.ref = FIRST + first + i * (1u + (how & 1)),
						 .flags = how & 2 ? (uint16_t)((first + i) & 1)
								  : how >> 2 & 1};
	if (how & 0x80)
		(void)fuzz_bytes(in, world.list + (first * 8) % 4096, 8);
}

static void request_put(struct fuzz_in *in, uint32_t *prod)
{
	uint8_t how = fuzz_u8(in);
	struct nf_netif_ctrl_request r = {.id = (uint16_t)*prod, .type = (uint16_t)(8 + how % 3)};
	r.data[0] = how & 0x40 ? fuzz_u8(in) : 0;
	r.data[1] = how & 0x20 ? fuzz_u32(in) : FIRST;
	r.data[2] = how & 0x10 ? fuzz_u32(in) : fuzz_u16(in) % (NF_NETIF_CTRL_GREFS_MAX + 2);
	if ((how & 0x88) == 0x88)
		r.type = fuzz_u16(in);
	memcpy(nf_ring_back_slot(&world.b.ctrl.ring, (*prod)++), &r, sizeof(r));
}

void fuzz_net_ctrl(const uint8_t *data, size_t bytes)
{
	struct fuzz_in in = fuzz_input(data, bytes);
	struct nf_layer layer = {.ops = &layer_ops, .caps = NF_CAP_COPY};
	uint32_t prod = 0;
	world_make(&layer);
	if (fuzz_u8(&in) & 1)
		world.fail_at = 1u + fuzz_u8(&in);
	struct nf_sring *shared = (struct nf_sring *)world.ring;
	for (int rc = 0; rc == 0 && fuzz_left(&in) > 0;) {
		uint8_t op = fuzz_u8(&in);
		if ((op & 3) == 0)
			list_write(&in);
		else if ((op & 3) == 1)
			request_put(&in, &prod);
		else if ((op & 0xf3) == 0xf3)
			((uint32_t *)shared)[op >> 2 & 3] = fuzz_u32(&in);
		else
			shared->req_prod = prod;
		rc = nf__ctrl_back_step(&world.b);
		FUZZ_EXPECT(rc == 0 || rc == -EPROTO, "the control ring's errors");
	}
	const struct nf_gref_map *m = world.rings.grefs;
	FUZZ_EXPECT(m->count[0] + m->count[1] <= NF_NET_GREFS_MAX, "grefs of a queue");
	nf__back_grefs_drop(&world.b, 0);
	nf__gref_map_free(world.rings.grefs);
	FUZZ_EXPECT(world.maps == 0, "a grant stays mapped");
}
