/* SPDX-License-Identifier: MIT */
/* A disk through blkfront and blkback: every way the pages can be had, every size, every op. */
#include "tap.h"

#include "../peer/blkrig.h"

#define DISK_BYTES (16u << 20)

static struct rig rig;
static struct blkrig b;
static uint8_t *buffer, *shadow; /* of DISK_BYTES */

struct way {
	const char *name;
	struct nf_blk_config front, back;
};

static const struct way ways[] = {
	{"registered", {0}, {0}},
	{"registered only", {.registered_only = true}, {.registered_only = true}},
	{"persistent", {.grants = NF_BLK_GRANTS_PERSISTENT}, {0}},
	{"copied", {0}, {.grants = NF_BLK_GRANTS_COPY}},
	{"no indirect segments", {.indirect = 1}, {0}},
	{"32-bit front", {.abi = NF_BLK_ABI_X86_32}, {0}},
	{"four ring pages",
	 {.ring_pages = 4, .indirect = 256},
	 {.ring_pages = 16, .indirect = 1024}},
	{"sectors of 4096 in units of 512", {0}, {.sector_bytes = 4096}},
	{"sectors of 4096 in their own units",
	 {.units = NF_BLK_UNITS_SECTOR},
	 {.sector_bytes = 4096, .units = NF_BLK_UNITS_SECTOR}},
};

static uint32_t rnd(uint32_t *s)
{
	*s = *s * 1664525u + 1013904223u;
	return *s >> 8;
}

/* Writes and reads of all sizes at all places, with a shadow of what must be there. */
static bool mix(struct blkrig_pair *p, uint32_t unit, uint32_t rounds)
{
	uint32_t seed = 7;
	memset(shadow, 0, DISK_BYTES);
	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t most_sectors = (i % 5 == 0 ? 2000u : 40u) / (unit > 1 ? 2u : 1u);
		uint32_t sectors = (1 + rnd(&seed) % most_sectors) * unit;
		uint32_t most = DISK_BYTES / 512 - sectors;
		uint32_t sector = rnd(&seed) % most / unit * unit;
		size_t bytes = (size_t)sectors * 512, at = (size_t)sector * 512;
		bool is_write = rnd(&seed) & 1;
		int rc;
		if (is_write) {
			blkrig_fill(shadow + at, bytes, at, i);
			memcpy(buffer, shadow + at, bytes);
		} else {
			memset(buffer, 0xee, bytes);
		}
		rc = blkrig_do(&b, p->front, is_write ? NF_BLKOP_WRITE : NF_BLKOP_READ, sector,
			       buffer, bytes);
		if (rc || (!is_write && memcmp(buffer, shadow + at, bytes) != 0)) {
			diag("round %u: %s of %u sectors at %u: %d", i, is_write ? "write" : "read",
			     sectors, sector, rc);
			return false;
		}
	}
	return true;
}

/* Several segments, some in the pool, some not, of odd sizes; many requests at once. */
static bool scattered(struct blkrig_pair *p, uint32_t unit)
{
	struct nf_blkport *port = nf_blkfront_port(p->front->front, 0);
	struct nf_blkreq reqs[64];
	struct iovec v[64][4];
	uint32_t bytes = unit * 512, total = 0;
	for (uint32_t i = 0; i < 64; i++) {
		uint8_t *pool = port->pool + (size_t)i * 8192;
		v[i][0] = (struct iovec){.iov_base = pool, .iov_len = bytes};
		v[i][1] = (struct iovec){.iov_base = buffer + total + 3, .iov_len = 3 * bytes};
		total += 3 * bytes;
		v[i][2] = (struct iovec){.iov_base = pool + bytes, .iov_len = bytes};
		v[i][3] = (struct iovec){.iov_base = buffer + total + 3, .iov_len = bytes};
		total += bytes;
		uint64_t at = (uint64_t)i * 6 * bytes, done = 0;
		for (int k = 0; k < 4; k++) {
			blkrig_fill(v[i][k].iov_base, v[i][k].iov_len, at + done, 99);
			done += v[i][k].iov_len;
		}
		reqs[i] = (struct nf_blkreq){.op = NF_BLKOP_WRITE,
					     .sector = at / 512,
					     .sectors = 6 * unit,
					     .segs = v[i],
					     .nsegs = 4};
	}
	blkrig_post(&b, p->front, 0, reqs, 64);
	bool good = blkrig_wait(&b, p->front, 0, reqs, 64, 10000) == 0;
	for (uint32_t i = 0; i < 64; i++) {
		good = good && blkrig_result(p->front, 0, &reqs[i]) == 0;
		for (int k = 0; k < 4; k++)
			memset(v[i][k].iov_base, 0xdd, v[i][k].iov_len);
		reqs[i].op = NF_BLKOP_READ;
	}
	blkrig_post(&b, p->front, 0, reqs, 64);
	good = good && blkrig_wait(&b, p->front, 0, reqs, 64, 10000) == 0;
	for (uint32_t i = 0; good && i < 64; i++) {
		uint64_t at = (uint64_t)i * 6 * bytes, done = 0;
		good = blkrig_result(p->front, 0, &reqs[i]) == 0;
		for (int k = 0; good && k < 4; k++) {
			good = blkrig_check(v[i][k].iov_base, v[i][k].iov_len, at + done, 99) == -1;
			done += v[i][k].iov_len;
		}
	}
	return good;
}

static void way_run(const struct way *w)
{
	struct blkrig_pair p;
	struct mem_baseline base;
	char why[512];
	mem_world_baseline(rig.w, &base);
	int rc = blkrig_pair_open(&p, &b, 1, 0, 0, &w->front, &w->back);
	if (!is(rc, 0, "%s: connects", w->name)) {
		diag("%s / %s", p.front ? p.front->notice : "-", p.back ? p.back->notice : "-");
		blkrig_pair_close(&p);
		return;
	}
	uint32_t unit = w->back.sector_bytes == 4096 ? 8 : 1;
	ok(mix(&p, unit, 300), "%s: what was written is read", w->name);
	ok(scattered(&p, unit), "%s: segments here and there, 64 requests at once", w->name);
	is(blkrig_do(&b, p.front, NF_BLKOP_FLUSH, 0, NULL, 0), 0, "%s: flush", w->name);
	is(blkrig_do(&b, p.front, NF_BLKOP_DISCARD, 64, NULL, 4096 * 4), 0, "%s: discard", w->name);
	memset(buffer, 0xee, 16384);
	rc = blkrig_do(&b, p.front, NF_BLKOP_READ, 64, buffer, 16384);
	bool is_zero = true;
	for (int i = 0; i < 16384; i++)
		is_zero = is_zero && buffer[i] == 0;
	ok(rc == 0 && is_zero, "%s: what was discarded reads as zeroes", w->name);
	diag("%s: %llu copies, %llu maps, front bytes copied %llu", w->name,
	     (unsigned long long)blkrig_counter(p.back, NF_COUNTER_grant_copies),
	     (unsigned long long)blkrig_counter(p.back, NF_COUNTER_grant_maps),
	     (unsigned long long)blkrig_counter(p.front, NF_COUNTER_payload_copies));
	blkrig_pair_close(&p);
	if (!is(mem_world_settle(rig.w, &base, 2000, why, sizeof(why)), 0,
		"%s: nothing is left behind", w->name))
		diag("%s", why);
}

int main(void)
{
	buffer = malloc(DISK_BYTES + 8192);
	shadow = malloc(DISK_BYTES);
	rig_open(&rig, NF_POLL_ADAPTIVE);
	blkrig_open(&b, &rig);
	rig_domain(&rig, 0);
	rig_domain(&rig, 1);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		way_run(&ways[i]);
	blkrig_close(&b);
	rig_close(&rig);
	free(buffer);
	free(shadow);
	return done();
}
