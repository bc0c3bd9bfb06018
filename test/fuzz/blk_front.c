/* SPDX-License-Identifier: MIT */
/*
 * blkfront's queue with a hostile back: groups 1 and 4 of HOSTILE.md. Each of the user's requests
 * is answered at most once, and whatever is left is done again on the next connection.
 */
#include "blk/blk_front.h"
#include "targets.h"

#define DISK_SECTORS 4096u
#define POOL_PAGES 32u
#define TOKENS 64u
#define BUFFER_BYTES 65536u

static struct {
	uint8_t *ring, *pool, *lists, *buffer;
	struct nf_counters counters;
	struct iovec iov[TOKENS][2];
	bool is_asked[TOKENS];
} world;

static int layer_notify(struct nf_chan *c)
{
	(void)c;
	return 0;
}

static const struct nf_layer_ops layer_ops = {.kind = "fuzz", .chan_notify = layer_notify};

static uint8_t *pages(size_t count)
{
	uint8_t *p = aligned_alloc(4096, count * 4096);
	if (!p)
		abort();
	memset(p, 0, count * 4096);
	return p;
}

static void rings_make(struct nf_blkfront_rings *r, struct nf_layer *layer,
		       const struct nf_blk_features *f)
{
	if (!world.ring) {
		world.ring = fuzz_page();
		world.pool = pages(POOL_PAGES);
		world.lists = pages(64);
		world.buffer = pages(BUFFER_BYTES / 4096);
	}
	memset(r, 0, sizeof(*r));
	r->chan = (struct nf_chan){.layer = layer, .fd = -1};
	nf_ring_front_init(&r->ring, world.ring, 4096, nf__blk_slot_bytes(f->abi));
	r->pool = (struct nf_arena){.base = world.pool, .pages = POOL_PAGES, .fd = -1};
	if (f->indirect > 0)
		r->lists = (struct nf_arena){.base = world.lists, .pages = r->ring.count, .fd = -1};
	for (uint32_t i = 0; i < POOL_PAGES; i++)
		r->pool_grefs[i] = 100 + i;
	for (uint32_t i = 0; i < r->lists.pages; i++)
		r->list_grefs[i] = 500 + i;
}

/* The user asks: from the pool or from elsewhere, in one or two segments. */
static void user_submit(struct fuzz_in *in, struct nf_blkport *port)
{
	uint8_t how = fuzz_u8(in);
	uint32_t token = how % TOKENS, sectors = 1u + fuzz_u8(in) % 64u;
	if (world.is_asked[token])
		return;
	uint8_t *from = how & 0x40 ? world.buffer : world.pool;
	uint32_t room = how & 0x40 ? BUFFER_BYTES : POOL_PAGES / 2 * 4096;
	uint32_t first = 1u + fuzz_u8(in) % sectors;
	struct iovec *v = world.iov[token];
	v[0] = (struct iovec){from + (fuzz_u8(in) * 512u) % (room - 32768), first * 512u};
	v[1] = (struct iovec){from + room - (sectors - first) * 512u, (sectors - first) * 512u};
	struct nf_blkreq r = {.token = token,
			      .sector = fuzz_u16(in) % (DISK_SECTORS + 8),
			      .sectors = sectors,
			      .segs = v,
			      .nsegs = sectors == first ? 1 : 2,
			      .op = how & 0x80 ? fuzz_u8(in) & 3 : how & 1,
			      .flags = fuzz_u8(in) & 1};
	if (r.op == NF_BLKOP_FLUSH || r.op == NF_BLKOP_DISCARD)
		r.nsegs = 0;
	if (port->ops->submit(port, &r, 1) == 1)
		world.is_asked[token] = true;
}

static void user_reap(struct nf_blkport *port)
{
	struct nf_blkdone done[8];
	int n = port->ops->reap(port, done, 8);
	FUZZ_EXPECT(n >= 0 && n <= 8, "completions");
	for (int i = 0; i < n; i++) {
		FUZZ_EXPECT(done[i].token < TOKENS && world.is_asked[done[i].token],
			    "a completion nobody waits for");
		FUZZ_EXPECT(done[i].error <= 0 && done[i].error != -EAGAIN, "its error");
		world.is_asked[done[i].token] = false;
	}
}

static void peer_act(struct fuzz_in *in, struct nf_blkfront_rings *r, uint8_t abi, uint32_t *rsp,
		     uint8_t op)
{
	struct nf_sring *shared = (struct nf_sring *)world.ring;
	for (uint32_t i = 0; (op & 3) == 0 && i <= (uint32_t)(op >> 2); i++) {
		uint8_t how = fuzz_u8(in);
		union nf_blk_slot slot = {0};
		void *at = nf_ring_front_slot(&r->ring, (*rsp)++);
		nf__blk_slot_load(abi, at, &slot);
		uint64_t id = how & 1 ? fuzz_u32(in) : slot.rw.id;
		uint8_t what = how & 2 ? fuzz_u8(in) : slot.rw.operation;
		nf__blk_rsp_store(abi, at, id, what, (int16_t)(how & 4 ? -(how >> 3 & 3) : 0));
	}
	if ((op & 3) == 1 || (op & 3) == 2)
		shared->rsp_prod = *rsp;
	if ((op & 3) == 3)
		((uint32_t *)shared)[op >> 2 & 3] = op & 0x10 ? fuzz_u32(in) : fuzz_near(in, *rsp);
}

static void pages_check(const struct nf_blk_queue *q)
{
	uint32_t busy = 0;
	for (uint32_t i = 0; i < q->rings->ring.count; i++)
		busy += q->slots[i].req != NF_BLK_NONE;
	FUZZ_EXPECT(busy + q->slot_sp == q->rings->ring.count, "a slot is free or busy, and once");
	FUZZ_EXPECT(q->rings->ring.req_prod - q->rings->ring.rsp_cons == busy,
		    "what is in flight is on the ring");
	FUZZ_EXPECT(q->bounce_sp <= q->pages - q->user_pages, "bounce pages");
}

/* False once it has refused the peer. */
static bool victim_runs(struct nf_blk_queue *q, bool arm)
{
	int rc = arm ? q->item.ops->arm(&q->item) : q->item.ops->run(&q->item);
	FUZZ_EXPECT(rc >= 0 || rc == -EPROTO, "blkfront's errors");
	if (rc < 0) {
		FUZZ_EXPECT(q->fault.field != NULL, "a refusal names the field");
		return false;
	}
	pages_check(q);
	return true;
}

void fuzz_blk_front(const uint8_t *data, size_t bytes)
{
	struct fuzz_in in = fuzz_input(data, bytes);
	struct nf_layer layer = {.ops = &layer_ops};
	struct nf_blkfront_rings rings;
	uint8_t bits = fuzz_u8(&in);
	struct nf_blk_features f = {.disk = {.sectors = DISK_SECTORS,
					     .sector_bytes = bits & 1 ? 4096 : 512,
					     .physical_bytes = 4096,
					     .flush = bits >> 1 & 1,
					     .barrier = bits >> 2 & 1,
					     .discard = bits >> 3 & 1},
				    .abi = bits >> 4 & 1,
				    .units = bits >> 5 & 1,
				    .indirect = bits & 0x40 ? 32 : 0,
				    .ring_pages = 1,
				    .queues = 1};
	struct nf_blk_queue *q;
	rings_make(&rings, &layer, &f);
	memset(world.is_asked, 0, sizeof(world.is_asked));
	if (nf__bfq_new(&q, &layer, -1) != 0 ||
	    nf__bfq_connect(q, &rings, &f, &world.counters) != 0)
		abort();
	uint32_t rsp = 0;
	while (fuzz_left(&in) > 0) {
		uint8_t op = fuzz_u8(&in);
		if ((op & 7) < 3)
			user_submit(&in, &q->port);
		else if ((op & 7) == 3)
			user_reap(&q->port);
		else if ((op & 7) < 6)
			peer_act(&in, &rings, f.abi, &rsp, op >> 3);
		else if (!victim_runs(q, (op & 0xf0) == 0xf0))
			break;
	}
	nf__bfq_disconnect(q);
	nf__bfq_free(q);
}
