/* SPDX-License-Identifier: MIT */
/*
 * blkback's queue with a hostile front: groups 1, 3 to 5, 9 and 10 of HOSTILE.md. The disk below
 * checks what it is asked for, and answers late, out of order and with errors.
 */
#include "blk/blk_back.h"
#include "targets.h"

#define PAGES 24u
#define GREF 100u
#define DISK_SECTORS 4096u
#define ASKED_MAX 64u

static struct {
	uint8_t *ring, *page[PAGES];
	struct nf_counters counters;
	struct fuzz_in *in;
	const struct nf_blk_features *f;
	struct nf_blk_back_queue *q;
	struct nf_disk_geometry geometry;
	uint64_t asked[ASKED_MAX];
	uint32_t asked_count;
} world;

/* ---- a layer of PAGES pages ---- */
static int layer_copy(struct nf_layer *l, struct nf_grant_copy *ops, uint32_t count)
{
	(void)l;
	for (uint32_t i = 0; i < count; i++) {
		struct nf_grant_copy *o = &ops[i];
		uint32_t at = o->gref - GREF;
		o->status = at >= PAGES				   ? -EACCES
			    : o->offset + o->bytes > NF_PAGE_BYTES ? -ERANGE
								   : 0;
		if (o->status == 0 && o->to_peer)
			memcpy(world.page[at] + o->offset, o->local, o->bytes);
		else if (o->status == 0)
			memcpy(o->local, world.page[at] + o->offset, o->bytes);
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

/* ---- a disk that believes nothing ---- */
static void segs_check(const struct nf_blkreq *r)
{
	uint64_t bytes = 0;
	FUZZ_EXPECT(r->nsegs >= 1 && r->nsegs <= world.q->segments_max, "segments of a request");
	for (uint32_t i = 0; i < r->nsegs; i++) {
		const struct iovec *v = &r->segs[i];
		FUZZ_EXPECT(v->iov_len > 0 && v->iov_len % NF_SECTOR_BYTES == 0, "a segment");
		if (r->op == NF_BLKOP_WRITE)
			fuzz_touch(v->iov_base, v->iov_len);
		else
			memset(v->iov_base, 0x33, v->iov_len);
		bytes += v->iov_len;
	}
	FUZZ_EXPECT(bytes == r->sectors * NF_SECTOR_BYTES, "sectors are the segments' sum");
}

static int port_submit(struct nf_blkport *p, const struct nf_blkreq *reqs, uint32_t n)
{
	uint32_t take = fuzz_u8(world.in) & 1 ? fuzz_u8(world.in) % (n + 1) : n;
	(void)p;
	for (uint32_t i = 0; i < n; i++) {
		const struct nf_blkreq *r = &reqs[i];
		if (i >= take || world.asked_count >= ASKED_MAX)
			return (int)i;
		world.asked[world.asked_count++] = r->token;
		if (r->op == NF_BLKOP_FLUSH)
			continue;
		FUZZ_EXPECT(r->op <= NF_BLKOP_DISCARD, "an operation of a disk");
		FUZZ_EXPECT(r->sectors > 0 && r->sector < DISK_SECTORS &&
				    r->sectors <= DISK_SECTORS - r->sector,
			    "a request beyond the disk");
		FUZZ_EXPECT((r->sector | r->sectors) % (world.f->disk.sector_bytes / 512) == 0,
			    "a request that is no whole sectors");
		FUZZ_EXPECT(r->op == NF_BLKOP_READ || !world.f->disk.is_readonly,
			    "a write to a read-only disk");
		if (r->op != NF_BLKOP_DISCARD)
			segs_check(r);
		else
			FUZZ_EXPECT(world.f->disk.discard, "a discard nobody offered");
	}
	return (int)n;
}

static int port_reap(struct nf_blkport *p, struct nf_blkdone *done, uint32_t cap)
{
	static const int32_t errors[] = {0, 0, 0, 0, 0, -EIO, -ENOSPC, -EOPNOTSUPP};
	uint32_t n = 0;
	(void)p;
	uint32_t want = fuzz_u8(world.in) & 15;
	for (; n < want && n < cap && world.asked_count > 0; n++) {
		uint32_t at = fuzz_u8(world.in) % world.asked_count;
		done[n] = (struct nf_blkdone){.token = world.asked[at],
					      .error = errors[fuzz_u8(world.in) & 7]};
		world.asked[at] = world.asked[--world.asked_count];
	}
	return (int)n;
}

static void port_close(struct nf_blkport *p)
{
	(void)p;
}

static const struct nf_blkport_ops port_ops = {
	.name = "fuzz", .submit = port_submit, .reap = port_reap, .close = port_close};

static struct nf_blk_features features_make(struct fuzz_in *in)
{
	uint8_t a = fuzz_u8(in), b = fuzz_u8(in);
	struct nf_blk_features f = {.disk = {.sectors = DISK_SECTORS,
					     .sector_bytes = a & 1 ? 4096 : 512,
					     .physical_bytes = 4096,
					     .is_readonly = a >> 1 & 1,
					     .flush = a >> 2 & 1,
					     .barrier = a >> 3 & 1,
					     .discard = a >> 4 & 1,
					     .secure = a >> 5 & 1},
				    .abi = a >> 6 & 1,
				    .units = a >> 7 & 1,
				    .registered = b & 1,
				    .registered_only = (b & 3) == 3,
				    .indirect = b & 4 ? 1u + (b >> 3) * 8u : 0,
				    .ring_pages = 1,
				    .queues = 1};
	return f;
}

static uint32_t some_gref(struct fuzz_in *in)
{
	uint8_t which = fuzz_u8(in);
	return which < 248 ? GREF + which % PAGES : fuzz_u32(in);
}

static void segment_make(struct fuzz_in *in, struct nf_blkif_segment *s)
{
	uint8_t how = fuzz_u8(in);
	*s = (struct nf_blkif_segment){.gref = some_gref(in),
				       .first_sect = how & 7,
				       .last_sect = (uint8_t)((how & 7) + (how >> 3 & 7))};
	if (how & 0x80)
		s->last_sect = how & 0x40 ? fuzz_u8(in) : 7;
}

/* One request of the front's, mostly legal. */
static void slot_make(struct fuzz_in *in, union nf_blk_slot *s, uint32_t id)
{
	uint8_t how = fuzz_u8(in);
	memset(s, 0, sizeof(*s));
	s->rw.operation = how & 7;
	s->rw.id = id;
	s->rw.sector_number = how & 0x80 ? (uint64_t)fuzz_u32(in) << (how & 31)
					 : fuzz_u16(in) & 4095;
	if (s->rw.operation == NF_BLK_DISCARD) {
		s->discard.flag = how >> 3 & 1;
		s->discard.nr_sectors = how & 0x40 ? (uint64_t)fuzz_u32(in) << 32 : fuzz_u8(in);
		return;
	}
	if (s->rw.operation == NF_BLK_INDIRECT) {
		s->indirect.indirect_op = how >> 3 & 7;
		s->indirect.nr_segments = fuzz_u16(in) & (how & 0x40 ? 0xffff : 0x3f);
		for (uint32_t i = 0; i < NF_BLKIF_INDIRECT_PAGES_MAX; i++)
			s->indirect.indirect_grefs[i] = i < 2 ? some_gref(in) : GREF;
		return;
	}
	s->rw.nr_segments = fuzz_u8(in) & (how & 0x40 ? 0xff : 0x0f);
	for (uint32_t i = 0; i < s->rw.nr_segments && i < NF_BLKIF_SEGMENTS_MAX; i++)
		segment_make(in, &s->rw.seg[i]);
}

static void peer_act(struct fuzz_in *in, struct nf_blkback_rings *rings, uint32_t *prod, uint8_t op)
{
	struct nf_sring *shared = (struct nf_sring *)world.ring;
	union nf_blk_slot slot;
	switch (op & 3) {
	case 0:
		for (uint32_t i = 0; i <= (uint32_t)(op >> 6); i++, (*prod)++) {
			slot_make(in, &slot, *prod);
			nf__blk_slot_store(world.f->abi, nf_ring_back_slot(&rings->ring, *prod),
					   &slot);
		}
		break;
	case 1: /* a list of segments in one of its pages */
		for (uint32_t i = 0; i < 16; i++)
			segment_make(in, (struct nf_blkif_segment *)world.page[op >> 4] + i);
		break;
	case 2:
		shared->req_prod = *prod;
		break;
	default:
		((uint32_t *)shared)[op >> 4 & 3] = op & 0x40 ? fuzz_u32(in) : fuzz_near(in, *prod);
	}
}

/* False once it has refused the peer. */
static bool victim_runs(struct nf_blk_back_queue *q, bool arm)
{
	int rc = arm ? q->item.ops->arm(&q->item) : q->item.ops->run(&q->item);
	FUZZ_EXPECT(rc >= 0 || rc == -EPROTO, "blkback's errors");
	if (rc < 0) {
		FUZZ_EXPECT(q->fault.field != NULL, "a refusal names the field");
		return false;
	}
	FUZZ_EXPECT(q->rings->ring.req_cons - q->rings->ring.rsp_prod <= q->rings->ring.count,
		    "more requests in hand than slots");
	FUZZ_EXPECT(q->asked == world.asked_count, "what the disk is asked is counted");
	FUZZ_EXPECT(q->bounce_sp <= q->bounce_pages, "bounce pages");
	return true;
}

static void rings_make(struct nf_blkback_rings *rings, struct nf_layer *layer,
		       const struct nf_blk_features *f)
{
	if (!world.ring) {
		world.ring = fuzz_page();
		for (uint32_t i = 0; i < PAGES; i++)
			world.page[i] = fuzz_page();
	}
	*(struct nf_sring *)world.ring = (struct nf_sring){0, 1, 0, 1, {0}};
	*rings = (struct nf_blkback_rings){.chan = {.layer = layer, .fd = -1}};
	nf_ring_back_init(&rings->ring, world.ring, 4096, nf__blk_slot_bytes(f->abi), 0);
	if (!f->registered)
		return;
	if (nf__blk_grefs_new(&rings->grefs, 64) != 0)
		abort();
	for (uint32_t i = 0; i < PAGES; i++) /* the rest by grant copy, or refused */
		if (i % 3 != 0 && nf__blk_grefs_add(rings->grefs, GREF + i, world.page[i], i) != 0)
			abort();
}

void fuzz_blk_back(const uint8_t *data, size_t bytes)
{
	struct fuzz_in in = fuzz_input(data, bytes);
	struct nf_layer layer = {.ops = &layer_ops, .caps = NF_CAP_COPY};
	struct nf_blkback_rings rings;
	struct nf_blk_features f = features_make(&in);
	struct nf_blk_back_queue *q;
	rings_make(&rings, &layer, &f);
	world.in = &in;
	world.f = &f;
	world.asked_count = 0;
	world.geometry = (struct nf_disk_geometry){.sectors = DISK_SECTORS};
	if (nf__bbq_new(&q, &rings, &layer, &world.counters, &f, 1, -1) != 0)
		abort();
	world.q = q;
	q->port = (struct nf_blkport){
		.ops = &port_ops, .fd = -1, .depth = ASKED_MAX, .geometry = &world.geometry};
	uint32_t prod = 0;
	while (fuzz_left(&in) > 0) {
		uint8_t op = fuzz_u8(&in);
		if (op & 4)
			peer_act(&in, &rings, &prod, (uint8_t)((op & 3) | (op & 0xf8)));
		else if (!victim_runs(q, (op & 3) == 3))
			break;
	}
	nf__bbq_free(q);
	nf__blk_grefs_free(rings.grefs);
}
