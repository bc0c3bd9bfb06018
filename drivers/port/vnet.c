/* SPDX-License-Identifier: MIT */
/* virtio_net_hdr <-> netif flags. */
#include "vnet.h"

#include <errno.h>
#include <stdbool.h>

#include "nf/netif.h"

#define PROTO_TCP 6u

static bool gso_agrees(const struct nf_vnet_hdr *v, const struct nf_headers *h, uint32_t allowed)
{
	uint32_t need = v->gso_type == NF_VNET_GSO_TCPV4 ? NF_PORT_GSO4 : NF_PORT_GSO6;
	uint32_t version = v->gso_type == NF_VNET_GSO_TCPV4 ? 4 : 6;

	return (allowed & need) && h->version == version && h->protocol == PROTO_TCP &&
	       v->gso_size > 0 && (v->flags & NF_VNET_NEEDS_CSUM);
}

int nf__vnet_to_frame(const struct nf_vnet_hdr *v, const uint8_t *head, uint32_t head_bytes,
		      uint32_t allowed, struct nf_frame *f)
{
	struct nf_headers h;

	f->flags = 0;
	f->gso_bytes = 0;
	f->gso_type = NF_NETIF_GSO_TYPE_NONE;
	if (v->flags & NF_VNET_NEEDS_CSUM &&
	    (uint32_t)v->csum_start + v->csum_offset + 2u > f->bytes)
		return -EINVAL;
	/* others are not asked for (TUNSETOFFLOAD), nor can netif say them */
	if (v->gso_type != NF_VNET_GSO_NONE && v->gso_type != NF_VNET_GSO_TCPV4 &&
	    v->gso_type != NF_VNET_GSO_TCPV6)
		return -EINVAL;
	if (!(v->flags & NF_VNET_NEEDS_CSUM) && v->gso_type == NF_VNET_GSO_NONE) {
		if (v->flags & NF_VNET_DATA_VALID)
			f->flags = NF_FRAME_DATA_VALID;
		return 0;
	}
	bool plain = nf_headers_parse(head, head_bytes, f->bytes, &h) == 0 && !h.fragment &&
		     v->csum_start == h.l4_offset && v->csum_offset == h.csum_offset;
	if (v->gso_type != NF_VNET_GSO_NONE) {
		if (!plain || !gso_agrees(v, &h, allowed))
			return -EINVAL;
		if (f->bytes - h.payload_offset > v->gso_size) { /* else: one segment */
			f->gso_bytes = v->gso_size;
			f->gso_type = h.version == 4 ? NF_NETIF_GSO_TYPE_TCPV4
						     : NF_NETIF_GSO_TYPE_TCPV6;
		}
	}
	/* netif could not say where it goes, or the other side takes none: one segment is no GSO */
	if (!plain || (f->gso_type == NF_NETIF_GSO_TYPE_NONE && !(allowed & NF_PORT_CSUM)))
		return 1;
	f->flags = NF_FRAME_CSUM_BLANK | NF_FRAME_DATA_VALID;
	return 0;
}

int nf__vnet_from_frame(const struct nf_frame *f, const uint8_t *head, uint32_t head_bytes,
			uint32_t features, struct nf_vnet_hdr *out)
{
	struct nf_headers h;

	*out = (struct nf_vnet_hdr){0};
	if (!(f->flags & NF_FRAME_CSUM_BLANK) && f->gso_type == NF_NETIF_GSO_TYPE_NONE) {
		out->flags = f->flags & NF_FRAME_DATA_VALID ? NF_VNET_DATA_VALID : 0;
		return 0;
	}
	if (!(features & NF_PORT_CSUM) || nf_headers_parse(head, head_bytes, f->bytes, &h) < 0 ||
	    h.fragment)
		return -EINVAL;
	out->flags = NF_VNET_NEEDS_CSUM;
	out->csum_start = h.l4_offset;
	out->csum_offset = h.csum_offset;
	if (f->gso_type == NF_NETIF_GSO_TYPE_NONE)
		return 0;
	uint32_t version = f->gso_type == NF_NETIF_GSO_TYPE_TCPV4 ? 4 : 6;
	uint32_t need = version == 4 ? NF_PORT_GSO4 : NF_PORT_GSO6;
	if (f->gso_type > NF_NETIF_GSO_TYPE_TCPV6 || !(features & need) || h.version != version ||
	    h.protocol != PROTO_TCP || f->gso_bytes == 0)
		return -EINVAL;
	if (f->bytes - h.payload_offset <= f->gso_bytes)
		return 0;
	out->gso_type = version == 4 ? NF_VNET_GSO_TCPV4 : NF_VNET_GSO_TCPV6;
	out->gso_size = f->gso_bytes;
	out->hdr_len = h.payload_offset;
	return 0;
}

static void poke(struct nf_buf *bufs, const struct nf_frame *f, uint32_t offset, uint8_t value)
{
	for (uint32_t i = f->first; i < (uint32_t)f->first + f->count; i++) {
		if (offset < bufs[i].bytes) {
			bufs[i].data[offset] = value;
			return;
		}
		offset -= bufs[i].bytes;
	}
}

void nf__vnet_complete(const struct nf_vnet_hdr *v, struct nf_buf *bufs, const struct nf_frame *f)
{
	uint32_t sum = 0, skip = v->csum_start, left = f->bytes - v->csum_start;
	int odd = 0;

	for (uint32_t i = f->first; i < (uint32_t)f->first + f->count && left; i++) {
		uint32_t n = bufs[i].bytes;
		if (skip >= n) {
			skip -= n;
			continue;
		}
		n -= skip;
		if (n > left)
			n = left;
		sum = nf_csum_add(sum, bufs[i].data + skip, n, odd);
		odd ^= (int)(n & 1);
		left -= n;
		skip = 0;
	}
	uint16_t value = (uint16_t)~nf_csum_fold(sum);
	uint32_t at = (uint32_t)v->csum_start + v->csum_offset;
	if (value == 0)
		value = 0xffff; /* the same number; 0 in UDP would mean none */
	poke(bufs, f, at, (uint8_t)(value >> 8));
	poke(bufs, f, at + 1, (uint8_t)value);
}
