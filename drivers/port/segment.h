/* SPDX-License-Identifier: MIT */
/*
 * TCP segmentation in software, for GSO frames the other side does not take or netif cannot say
 * (above 65,535 bytes): one large frame in private or kernel memory, one segment a call.
 */
#ifndef NF_PORT_SEGMENT_H
#define NF_PORT_SEGMENT_H

#include <stdbool.h>

#include "nf/offload.h"

struct nf__cut {
	const uint8_t *data; /* borrowed until the last segment; NULL: none begun */
	uint32_t bytes;
	uint32_t at;  /* payload already handed out */
	uint32_t mss; /* payload bytes a segment */
	struct nf_headers h;
};

/* Begins: -EINVAL: not a TCP packet whose headers agree with its length. */
int nf__cut_begin(struct nf__cut *c, const uint8_t *data, uint32_t bytes, uint32_t mss);
/* Bytes of a segment at most. */
uint32_t nf__cut_bytes_max(const struct nf__cut *c);
/*
 * The next segment into a linear buffer of nf__cut_bytes_max(). blank: its checksum holds the
 * pseudo-header's sum only. Returns its bytes; c->data is NULL after the last one.
 */
uint32_t nf__cut_next(struct nf__cut *c, bool blank, uint8_t *out);

#endif
