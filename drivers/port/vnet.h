/* SPDX-License-Identifier: MIT */
/*
 * Between the kernel's virtio_net_hdr and netif's flags. The header says where a checksum goes,
 * netif does not: so going out the headers are parsed, coming in the parse must agree with the
 * header.
 */
#ifndef NF_PORT_VNET_H
#define NF_PORT_VNET_H

#include "nf/offload.h"

#define NF_VNET_HDR_BYTES_MAX 32u
#define NF_VNET_NEEDS_CSUM 1u
#define NF_VNET_DATA_VALID 2u
#define NF_VNET_GSO_NONE 0u
#define NF_VNET_GSO_TCPV4 1u
#define NF_VNET_GSO_TCPV6 4u

struct nf_vnet_hdr {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t num_buffers; /* in the 12-byte form only */
};
_Static_assert(sizeof(struct nf_vnet_hdr) == 12, "virtio_net_hdr_v1 is 12 B");

/*
 * A frame read from a TAP: sets f->flags, gso_bytes and gso_type. head: private copy of its first
 * bytes. allowed: enum nf_port_features the other side takes. 0; 1: the checksum must be completed
 * in software over csum_start .. end of frame; -EINVAL: inconsistent, or an offload nobody agreed
 * to.
 */
int nf__vnet_to_frame(const struct nf_vnet_hdr *v, const uint8_t *head, uint32_t head_bytes,
		      uint32_t allowed, struct nf_frame *f);

/* A frame for a TAP of these features. 0, or -EINVAL: its flags and headers disagree. */
int nf__vnet_from_frame(const struct nf_frame *f, const uint8_t *head, uint32_t head_bytes,
			uint32_t features, struct nf_vnet_hdr *out);

/* Completes the checksum the way the kernel would: the field already holds the pseudo-header's sum.
 * csum_start + csum_offset + 2 <= f->bytes. */
void nf__vnet_complete(const struct nf_vnet_hdr *v, struct nf_buf *bufs, const struct nf_frame *f);

#endif
