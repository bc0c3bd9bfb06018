/* SPDX-License-Identifier: MIT */
/*
 * netif has no csum_start: whoever needs one parses the headers, from a private copy. VLAN tags
 * (802.1Q, 802.1ad, two deep) and IPv6 extension headers are walked.
 */
#ifndef NF_OFFLOAD_H
#define NF_OFFLOAD_H

#include <stdint.h>

#include "nf/port.h"

#define NF_HEADERS_MAX 256u /* bytes of a frame a parser looks at */

struct nf_headers {
	uint16_t l3_offset;
	uint16_t l4_offset;
	uint16_t payload_offset; /* after the TCP/UDP header */
	uint16_t csum_offset;	 /* of the checksum, from l4_offset */
	uint8_t version;	 /* 4, 6 */
	uint8_t protocol;	 /* 6 TCP, 17 UDP */
	uint8_t fragment;	 /* 1: an IP fragment: no offload applies */
};

/* Private bytes of the frame's start, at most NF_HEADERS_MAX. -EINVAL: not IP, not TCP/UDP or cut.
 */
int nf_headers_parse(const uint8_t *bytes, uint32_t count, uint32_t frame_bytes,
		     struct nf_headers *out);

/* Copies up to cap bytes from the frame's buffers at offset; returns bytes copied. */
uint32_t nf_frame_peek(const struct nf_buf *bufs, const struct nf_frame *f, uint32_t offset,
		       uint8_t *out, uint32_t cap);

/* One's complement sum, to be folded; odd: the first byte continues an odd position. */
uint32_t nf_csum_add(uint32_t sum, const uint8_t *bytes, uint32_t count, int odd);
uint16_t nf_csum_fold(uint32_t sum);

/* Pseudo-header sum of a parsed header for an L4 length, not complemented. */
uint16_t nf_csum_pseudo(const uint8_t *bytes, const struct nf_headers *h, uint32_t l4_bytes);

/* The value of the checksum field of a linear private frame whose headers were parsed. */
uint16_t nf_csum_complete(const uint8_t *frame, uint32_t bytes, const struct nf_headers *h);

#endif
