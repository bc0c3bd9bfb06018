/* SPDX-License-Identifier: MIT */
/* HOSTILE.md group 21: header bytes of frames, and what a TAP says of them. */
#include "nf/netif.h"
#include "nf/offload.h"
#include "port/vnet.h"
#include "targets.h"

/* A frame of the input in one to three exact buffers, so that a byte too far is caught. */
static uint32_t frame_make(struct fuzz_in *in, struct nf_buf *bufs, struct nf_frame *f)
{
	uint32_t total = (uint32_t)fuzz_left(in);
	uint32_t count = 1 + total % 3, done = 0;
	*f = (struct nf_frame){.bytes = total, .count = (uint16_t)count};
	for (uint32_t i = 0; i < count; i++) {
		uint32_t part = i + 1 == count ? total - done : (total - done) / 2;
		bufs[i] = (struct nf_buf){.data = malloc(part ? part : 1), .bytes = part};
		if (!bufs[i].data)
			abort();
		(void)fuzz_bytes(in, bufs[i].data, part);
		done += part;
	}
	return count;
}

static void headers_check(const uint8_t *head, uint32_t n, uint32_t frame_bytes)
{
	struct nf_headers h;
	if (nf_headers_parse(head, n, frame_bytes, &h) != 0)
		return;
	FUZZ_EXPECT(h.version == 4 || h.version == 6, "IP version");
	FUZZ_EXPECT(h.l3_offset >= 14 && h.l3_offset < h.l4_offset, "IP before TCP");
	if (h.fragment)
		return;
	FUZZ_EXPECT(h.protocol == 6 || h.protocol == 17, "TCP or UDP");
	FUZZ_EXPECT(h.payload_offset <= n && h.payload_offset <= frame_bytes, "headers are there");
	FUZZ_EXPECT(h.l4_offset + h.csum_offset + 2u <= h.payload_offset, "checksum in its header");
	(void)nf_csum_pseudo(head, &h, frame_bytes - h.l4_offset);
	if (n == frame_bytes)
		(void)nf_csum_complete(head, frame_bytes, &h);
}

static void vnet_check(struct nf_vnet_hdr *v, uint32_t allowed, struct nf_buf *bufs,
		       struct nf_frame *f, const uint8_t *head, uint32_t n)
{
	struct nf_vnet_hdr out;
	int rc = nf__vnet_to_frame(v, head, n, allowed, f);
	FUZZ_EXPECT(rc == 0 || rc == 1 || rc == -EINVAL, "answers of vnet_to_frame");
	if (rc == 1)
		nf__vnet_complete(v, bufs, f);
	if (rc != 0)
		return;
	FUZZ_EXPECT(f->gso_type == 0 || (f->gso_bytes > 0 && f->gso_bytes < f->bytes), "gso");
	FUZZ_EXPECT(!(f->flags & NF_FRAME_CSUM_BLANK) || f->gso_type || (allowed & NF_PORT_CSUM),
		    "a blank checksum nobody takes");
	if (nf__vnet_from_frame(f, head, n, allowed, &out) != 0)
		return;
	FUZZ_EXPECT(!(out.flags & NF_VNET_NEEDS_CSUM) ||
			    (out.csum_start == v->csum_start && out.csum_offset == v->csum_offset),
		    "there and back, the checksum's place moved");
}

void fuzz_headers(const uint8_t *data, size_t bytes)
{
	struct fuzz_in in = fuzz_input(data, bytes);
	struct nf_vnet_hdr v = {0};
	struct nf_buf bufs[3];
	struct nf_frame f;
	uint32_t allowed = fuzz_u8(&in) & 15;
	if (fuzz_left(&in) < sizeof(v) + 14)
		return;
	(void)fuzz_bytes(&in, &v, sizeof(v));
	uint32_t count = frame_make(&in, bufs, &f);
	uint32_t cap = f.bytes < NF_HEADERS_MAX ? f.bytes : NF_HEADERS_MAX;
	uint8_t *head = malloc(cap);
	if (!head)
		abort();
	uint32_t n = nf_frame_peek(bufs, &f, 0, head, cap);
	FUZZ_EXPECT(n == cap, "the frame's first bytes");
	headers_check(head, n, f.bytes);
	vnet_check(&v, allowed, bufs, &f, head, n);
	free(head);
	for (uint32_t i = 0; i < count; i++)
		free(bufs[i].data);
}
