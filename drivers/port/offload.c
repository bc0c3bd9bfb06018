/* SPDX-License-Identifier: MIT */
/* Headers of frames and their checksums, from private memory. */
#include "nf/offload.h"

#include <errno.h>
#include <string.h>

#define ETH_BYTES 14u
#define VLAN_BYTES 4u
#define VLANS_MAX 2u
#define EXTENSIONS_MAX 8u /* of one IPv6 packet; more is nobody's honest packet */
#define PROTO_TCP 6u
#define PROTO_UDP 17u

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static int parse_l4(const uint8_t *b, uint32_t count, uint32_t end, struct nf_headers *h)
{
	uint32_t at = h->l4_offset, bytes;

	if (h->protocol == PROTO_TCP) {
		if (at + 20 > count)
			return -EINVAL;
		bytes = (uint32_t)(b[at + 12] >> 4) * 4;
		if (bytes < 20)
			return -EINVAL;
		h->csum_offset = 16;
	} else if (h->protocol == PROTO_UDP) {
		bytes = 8;
		h->csum_offset = 6;
	} else {
		return -EINVAL;
	}
	if (at + bytes > count || at + bytes > end)
		return -EINVAL;
	h->payload_offset = (uint16_t)(at + bytes);
	return 0;
}

static int parse_v4(const uint8_t *b, uint32_t count, uint32_t frame_bytes, struct nf_headers *h)
{
	uint32_t at = h->l3_offset;

	if (at + 20 > count || b[at] >> 4 != 4)
		return -EINVAL;
	uint32_t head = (uint32_t)(b[at] & 15) * 4, total = be16(b + at + 2);
	if (head < 20 || at + head > count || total < head || at + total > frame_bytes)
		return -EINVAL;
	h->version = 4;
	h->protocol = b[at + 9];
	h->l4_offset = (uint16_t)(at + head);
	h->fragment = (be16(b + at + 6) & 0x3fff) != 0; /* more fragments, or not the first */
	if (h->fragment) {
		h->payload_offset = h->l4_offset;
		return 0;
	}
	return parse_l4(b, count, at + total, h);
}

/* Steps over one extension header: its length, 0 when next is none, -EINVAL when it is cut. */
static int extension(const uint8_t *b, uint32_t count, uint32_t at, struct nf_headers *h)
{
	switch (h->protocol) {
	case 0:	  /* hop by hop */
	case 43:  /* routing */
	case 60:  /* destination */
	case 135: /* mobility */
	case 139: /* host identity */
	case 140: /* shim6 */
	case 44:  /* fragment */
	case 51:  /* authentication */
		break;
	default:
		return 0;
	}
	if (at + 8 > count)
		return -EINVAL;
	uint32_t bytes = ((uint32_t)b[at + 1] + 1) * 8;
	if (h->protocol == 51) {
		bytes = ((uint32_t)b[at + 1] + 2) * 4;
	} else if (h->protocol == 44) {
		bytes = 8;
		/* offset 0 and no more to come: an atomic fragment is a whole packet */
		h->fragment = (be16(b + at + 2) & 0xfff9) != 0;
	}
	h->protocol = b[at];
	return at + bytes > count ? -EINVAL : (int)bytes;
}

static int parse_v6(const uint8_t *b, uint32_t count, uint32_t frame_bytes, struct nf_headers *h)
{
	uint32_t at = h->l3_offset;

	if (at + 40 > count || b[at] >> 4 != 6)
		return -EINVAL;
	uint32_t end = at + 40 + be16(b + at + 4);
	if (end > frame_bytes)
		return -EINVAL;
	h->version = 6;
	h->protocol = b[at + 6];
	at += 40;
	for (uint32_t i = 0; i <= EXTENSIONS_MAX && !h->fragment; i++) {
		int n = extension(b, count, at, h);
		if (n < 0)
			return n;
		if (n == 0)
			break;
		if (i == EXTENSIONS_MAX)
			return -EINVAL;
		at += (uint32_t)n;
	}
	if (at > end)
		return -EINVAL;
	h->l4_offset = h->payload_offset = (uint16_t)at;
	return h->fragment ? 0 : parse_l4(b, count, end, h);
}

int nf_headers_parse(const uint8_t *bytes, uint32_t count, uint32_t frame_bytes,
		     struct nf_headers *out)
{
	struct nf_headers h = {0};
	uint32_t at = 12;

	if (count > frame_bytes)
		count = frame_bytes;
	if (count < ETH_BYTES)
		return -EINVAL;
	uint16_t type = be16(bytes + at);
	for (uint32_t i = 0; type == 0x8100 || type == 0x88a8; i++) {
		at += VLAN_BYTES;
		if (i == VLANS_MAX || at + 2 > count)
			return -EINVAL;
		type = be16(bytes + at);
	}
	h.l3_offset = (uint16_t)(at + 2);
	int err = -EINVAL;
	if (type == 0x0800)
		err = parse_v4(bytes, count, frame_bytes, &h);
	else if (type == 0x86dd)
		err = parse_v6(bytes, count, frame_bytes, &h);
	if (err == 0)
		*out = h;
	return err;
}

uint32_t nf_frame_peek(const struct nf_buf *bufs, const struct nf_frame *f, uint32_t offset,
		       uint8_t *out, uint32_t cap)
{
	uint32_t done = 0;

	if (offset >= f->bytes)
		return 0;
	if (cap > f->bytes - offset)
		cap = f->bytes - offset;
	for (uint32_t i = f->first; i < (uint32_t)f->first + f->count && done < cap; i++) {
		uint32_t n = bufs[i].bytes;
		if (offset >= n) {
			offset -= n;
			continue;
		}
		n -= offset;
		if (n > cap - done)
			n = cap - done;
		memcpy(out + done, bufs[i].data + offset, n);
		done += n;
		offset = 0;
	}
	return done;
}

/* Sums as the machine's own 32-bit words: one's complement does not mind the order of bytes, only
 * that the result is turned round at the end (RFC 1071). */
uint32_t nf_csum_add(uint32_t sum, const uint8_t *bytes, uint32_t count, int odd)
{
	uint64_t acc = 0;

	for (; count >= 8; count -= 8, bytes += 8) {
		uint32_t w[2];
		memcpy(w, bytes, 8);
		acc += (uint64_t)w[0] + w[1];
	}
	uint8_t rest[8] = {0};
	uint32_t w[2];
	memcpy(rest, bytes, count);
	memcpy(w, rest, 8);
	acc += (uint64_t)w[0] + w[1];
	acc = (acc & 0xffffffffu) + (acc >> 32);
	acc = (acc & 0xffffffffu) + (acc >> 32);
	uint32_t folded = (uint32_t)(acc & 0xffff) + (uint32_t)(acc >> 16);
	folded = (folded & 0xffff) + (folded >> 16);
	int swap = !odd; /* the machine is little endian */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	swap = !swap;
#endif
	if (swap)
		folded = (folded & 0xff) << 8 | folded >> 8;
	uint64_t total = (uint64_t)sum + folded;
	return (uint32_t)((total & 0xffffffffu) + (total >> 32));
}

uint16_t nf_csum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

uint16_t nf_csum_pseudo(const uint8_t *bytes, const struct nf_headers *h, uint32_t l4_bytes)
{
	const uint8_t *ip = bytes + h->l3_offset;
	uint32_t sum = h->protocol + (l4_bytes >> 16) + (l4_bytes & 0xffff);

	sum = h->version == 4 ? nf_csum_add(sum, ip + 12, 8, 0) : nf_csum_add(sum, ip + 8, 32, 0);
	return nf_csum_fold(sum);
}

uint16_t nf_csum_complete(const uint8_t *frame, uint32_t bytes, const struct nf_headers *h)
{
	const uint8_t *ip = frame + h->l3_offset;
	/* by the IP header: a short frame is padded behind it */
	uint32_t end = h->version == 4 ? h->l3_offset + (uint32_t)be16(ip + 2)
				       : h->l3_offset + 40u + be16(ip + 4);
	if (end > bytes)
		end = bytes;
	uint32_t n = end - h->l4_offset, at = h->l4_offset + (uint32_t)h->csum_offset;
	uint32_t sum = nf_csum_pseudo(frame, h, n);
	sum = nf_csum_add(sum, frame + h->l4_offset, h->csum_offset, 0);
	sum = nf_csum_add(sum, frame + at + 2, end - at - 2, 0);
	uint16_t value = (uint16_t)~nf_csum_fold(sum);
	/* 0 in UDP means none was computed */
	return value == 0 && h->protocol == PROTO_UDP ? 0xffff : value;
}
