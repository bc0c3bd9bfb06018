/* SPDX-License-Identifier: MIT */
#include "segment.h"

#include <errno.h>
#include <string.h>

#define PROTO_TCP 6u
#define TCP_FIN 0x01u
#define TCP_PSH 0x08u
#define TCP_CWR 0x80u

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

int nf__cut_begin(struct nf__cut *c, const uint8_t *data, uint32_t bytes, uint32_t mss)
{
	struct nf_headers h;
	uint32_t head = bytes < NF_HEADERS_MAX ? bytes : NF_HEADERS_MAX;

	if (mss == 0 || nf_headers_parse(data, head, bytes, &h) < 0 || h.fragment ||
	    h.protocol != PROTO_TCP || h.payload_offset >= bytes)
		return -EINVAL;
	*c = (struct nf__cut){.data = data, .bytes = bytes, .mss = mss, .h = h};
	return 0;
}

uint32_t nf__cut_bytes_max(const struct nf__cut *c)
{
	return c->h.payload_offset + c->mss;
}

/* Lengths, IPv4's identification and checksum. */
static void fix_ip(const struct nf__cut *c, uint8_t *out, uint32_t bytes)
{
	uint8_t *ip = out + c->h.l3_offset;
	if (c->h.version == 6) {
		put16(ip + 4, bytes - c->h.l3_offset - 40);
		return;
	}
	uint32_t head = (uint32_t)c->h.l4_offset - c->h.l3_offset;
	put16(ip + 2, bytes - c->h.l3_offset);
	put16(ip + 4, ((uint32_t)ip[4] << 8 | ip[5]) + c->at / c->mss);
	put16(ip + 10, 0);
	put16(ip + 10, (uint16_t)~nf_csum_fold(nf_csum_add(0, ip, head, 0)));
}

static void fix_tcp(const struct nf__cut *c, uint8_t *out, uint32_t bytes, bool last, bool blank)
{
	uint8_t *tcp = out + c->h.l4_offset;
	uint32_t seq = get32(tcp + 4) + c->at;

	put16(tcp + 4, seq >> 16);
	put16(tcp + 6, seq);
	if (!last)
		tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (c->at > 0)
		tcp[13] &= (uint8_t)~TCP_CWR;
	if (blank)
		put16(tcp + 16, nf_csum_pseudo(out, &c->h, bytes - c->h.l4_offset));
	else
		put16(tcp + 16, nf_csum_complete(out, bytes, &c->h));
}

uint32_t nf__cut_next(struct nf__cut *c, bool blank, uint8_t *out)
{
	uint32_t head = c->h.payload_offset, left = c->bytes - head - c->at;
	uint32_t payload = left < c->mss ? left : c->mss;
	bool last = payload == left;

	memcpy(out, c->data, head);
	memcpy(out + head, c->data + head + c->at, payload);
	fix_ip(c, out, head + payload);
	fix_tcp(c, out, head + payload, last, blank);
	c->at += payload;
	if (last)
		c->data = NULL;
	return head + payload;
}
