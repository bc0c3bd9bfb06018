/* SPDX-License-Identifier: MIT */
/*
 * The test frame: how it is written and how it is checked. The generator and sink of the "gen"
 * port, the bare ring and the copy limit all use these, so that they do the same work.
 *
 *   0  destination, source: locally administered
 *  12  ethertype 0x88b5 (local experimental), version, kind
 *  16  flow (u32), frame length (u32), sequence number (u64), little endian
 *  32  payload: the 64-bit word at offset 8 w is base(flow, seq) + w * STEP
 */
#ifndef NF_PORT_GEN_H
#define NF_PORT_GEN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "nf/port.h"

#define NF_GEN_HEADER_BYTES 32u
#define NF_GEN_FRAME_MIN 60u
#define NF_GEN_FRAME_MAX 65535u
#define NF_GEN_BATCH 64u
#define NF_GEN_ETHERTYPE_BE 0xb588u /* 0x88b5 as its two bytes read on a little endian machine */
#define NF_GEN_VERSION 1u
#define NF_GEN_STEP 0x9e3779b97f4a7c15ull

enum nf_gen_kind { NF_GEN_DATA = 1, NF_GEN_PROBE = 2 };

struct nf_gen_header {
	uint8_t dst[6];
	uint8_t src[6];
	uint16_t ethertype_be;
	uint8_t version;
	uint8_t kind; /* enum nf_gen_kind */
	uint32_t flow;
	uint32_t bytes;
	uint64_t seq;
};
_Static_assert(sizeof(struct nf_gen_header) == NF_GEN_HEADER_BYTES, "header is 32 B");

/* One source of frames. flow tells it from every other; seq is the next frame's. */
struct nf_gen {
	struct nf_gen_header h; /* template; h.seq is the next sequence number */
};

void nf__gen_init(struct nf_gen *g, uint32_t flow);
/*
 * Writes frames of frame_bytes (60 .. 65535) each into bufs, as nf_port_ops.get does; kind is enum
 * nf_gen_kind. Returns frames written: fewer than nframes when the buffers end.
 */
uint32_t nf__gen_fill(struct nf_gen *g, struct nf_buf *bufs, uint32_t nbufs,
		      struct nf_frame *frames, uint32_t nframes, uint32_t frame_bytes,
		      uint8_t kind);

#define NF_SINK_FLOWS 8u
#define NF_SINK_HOLES 32u

struct nf_sink_hole {
	uint64_t from, to; /* sequence numbers missing: from .. to, both included */
};

struct nf_sink_flow {
	uint32_t flow; /* 0: unused */
	uint32_t holes;
	uint64_t next; /* sequence number expected */
	uint64_t used; /* age, for replacement */
	struct nf_sink_hole hole[NF_SINK_HOLES];
};

/* Totals since init. A number that comes late leaves `lost` again and counts as reordered. */
struct nf_sink_totals {
	uint64_t packets, bytes, lost, duplicated, reordered, corrupted, verified;
};

struct nf_sink {
	struct nf_sink_totals n;
	struct nf_sink_flow *last;
	uint32_t verify_every; /* every byte of one frame in this many; 1 = all */
	uint32_t verify_in;
	uint64_t probes; /* probes seen, and the newest of them */
	uint32_t probe_flow;
	uint64_t probe_seq;
	uint64_t age;
	struct nf_sink_flow flow[NF_SINK_FLOWS];
	uint8_t copy[NF_GEN_FRAME_MAX + 1] __attribute__((aligned(64)));
};

void nf__sink_init(struct nf_sink *s, uint32_t verify_every);
/* Copies every byte of each frame out of the buffers into private memory and checks the copy. */
void nf__sink_take(struct nf_sink *s, const struct nf_buf *bufs, const struct nf_frame *frames,
		   uint32_t nframes);
/* The check alone, of a private linear copy. */
void nf__sink_check(struct nf_sink *s, const uint8_t *frame, uint32_t bytes);
/* Copies a frame out of its buffers; dst has room for f->bytes. Returns bytes copied, fewer than
 * f->bytes when the buffers hold fewer. */
uint32_t nf__frame_gather(uint8_t *dst, const struct nf_buf *bufs, const struct nf_frame *f);

static inline uint64_t nf__gen_base(uint32_t flow, uint64_t seq)
{
	return (seq + ((uint64_t)flow << 32)) * 0xd6e8feb86659fd93ull;
}

/* x86-64 reads and writes these at any address; gcc makes two 64-bit accesses elsewhere. */
typedef uint64_t nf__v2 __attribute__((vector_size(16), aligned(1), may_alias));

/* Writes the pattern's bytes for frame offsets off .. off + n, off a multiple of 8. */
static inline void nf__gen_words(uint8_t *dst, uint32_t off, uint32_t n, uint64_t base)
{
	uint64_t w = base + (off / 8) * NF_GEN_STEP;
	nf__v2 a = {w, w + NF_GEN_STEP};
	const nf__v2 two = {2 * NF_GEN_STEP, 2 * NF_GEN_STEP};

	if (n >= 64) {
		const nf__v2 four = two + two, eight = four + four;
		nf__v2 b = a + two, c = a + four, d = b + four;
		for (; n >= 64; n -= 64, dst += 64) {
			*(nf__v2 *)(dst) = a;
			*(nf__v2 *)(dst + 16) = b;
			*(nf__v2 *)(dst + 32) = c;
			*(nf__v2 *)(dst + 48) = d;
			a += eight;
			b += eight;
			c += eight;
			d += eight;
		}
	}
	while (n >= 16) {
		*(nf__v2 *)dst = a;
		a += two;
		dst += 16;
		n -= 16;
	}
	uint64_t rest[2] = {a[0], a[1]};
	if (n & 8) {
		memcpy(dst, &rest[0], 8);
		dst += 8;
		rest[0] = rest[1];
	}
	if (n & 4) {
		memcpy(dst, &rest[0], 4);
		dst += 4;
		rest[0] >>= 32;
	}
	for (n &= 3; n; n--, rest[0] >>= 8)
		*dst++ = (uint8_t)rest[0];
}

#endif
