/* SPDX-License-Identifier: MIT */
/* Writes test frames: every byte of every frame, into the lent buffers. */
#include "gen.h"

void nf__gen_init(struct nf_gen *g, uint32_t flow)
{
	static const struct nf_gen_header first = {
		.dst = {0x02, 0x4e, 0x46, 0x00, 0x00, 0x02},
		.src = {0x02, 0x4e, 0x46, 0x00, 0x00, 0x01},
		.ethertype_be = NF_GEN_ETHERTYPE_BE,
		.version = NF_GEN_VERSION,
		.kind = NF_GEN_DATA,
	};
	g->h = first;
	g->h.flow = flow;
}

/* Bytes off .. off + n of the frame, any off: a buffer may end anywhere. */
static void write_piece(const struct nf_gen_header *h, uint64_t base, uint8_t *dst, uint32_t off,
			uint32_t n)
{
	if (off < NF_GEN_HEADER_BYTES) {
		uint32_t head = NF_GEN_HEADER_BYTES - off;
		if (head > n)
			head = n;
		memcpy(dst, (const uint8_t *)h + off, head);
		dst += head;
		off += head;
		n -= head;
	}
	for (; n && (off & 7); n--, off++)
		*dst++ = (uint8_t)((base + (off / 8) * NF_GEN_STEP) >> (8 * (off & 7)));
	if (n)
		nf__gen_words(dst, off, n, base);
}

/* The frame over as many buffers as it needs; how many, 0 when they do not suffice. */
static uint32_t write_frame(const struct nf_gen_header *h, struct nf_buf *bufs, uint32_t nbufs)
{
	uint32_t count = 0;
	uint64_t room = 0;
	while (room < h->bytes) {
		if (count == nbufs)
			return 0;
		room += bufs[count++].bytes;
	}
	uint64_t base = nf__gen_base(h->flow, h->seq);
	uint32_t off = 0;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t n = h->bytes - off;
		if (n > bufs[i].bytes)
			n = bufs[i].bytes;
		write_piece(h, base, bufs[i].data, off, n);
		bufs[i].bytes = n;
		off += n;
	}
	return count;
}

uint32_t nf__gen_fill(struct nf_gen *g, struct nf_buf *bufs, uint32_t nbufs,
		      struct nf_frame *frames, uint32_t nframes, uint32_t frame_bytes, uint8_t kind)
{
	uint32_t done = 0, used = 0;

	if (frame_bytes < NF_GEN_FRAME_MIN || frame_bytes > NF_GEN_FRAME_MAX)
		return 0;
	g->h.bytes = frame_bytes;
	g->h.kind = kind;
	/* in registers: a load of the header right after a store of its seq would wait for it */
	const nf__v2 head = *(const nf__v2 *)&g->h;
	const uint64_t middle = g->h.flow | (uint64_t)frame_bytes << 32;
	uint64_t seq = g->h.seq;
	for (; done < nframes && used < nbufs; done++) {
		struct nf_buf *b = &bufs[used];
		uint32_t count = 1;
		if (__builtin_expect(b->bytes >= frame_bytes, 1)) {
			const nf__v2 rest = {middle, seq};
			*(nf__v2 *)b->data = head;
			*(nf__v2 *)(b->data + 16) = rest;
			nf__gen_words(b->data + NF_GEN_HEADER_BYTES, NF_GEN_HEADER_BYTES,
				      frame_bytes - NF_GEN_HEADER_BYTES,
				      nf__gen_base(g->h.flow, seq));
			b->bytes = frame_bytes;
		} else {
			g->h.seq = seq;
			count = write_frame(&g->h, b, nbufs - used);
			if (count == 0)
				break;
		}
		frames[done] = (struct nf_frame){
			.bytes = frame_bytes, .first = (uint16_t)used, .count = (uint16_t)count};
		used += count;
		seq++;
	}
	g->h.seq = seq;
	return done;
}
