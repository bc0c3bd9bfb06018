/* SPDX-License-Identifier: MIT */
/* A frame as a vector: vnet header, the private headers it was made from, then the peer's pages. */
#ifndef NF_PORT_VNET_IOV_H
#define NF_PORT_VNET_IOV_H

#include <sys/uio.h>

#include "vnet.h"

#define NF_VNET_OUT_BUFS 32u

struct nf__vnet_out {
	union {
		struct nf_vnet_hdr v;
		uint8_t space[NF_VNET_HDR_BYTES_MAX];
	} hdr;
	uint8_t head[NF_HEADERS_MAX];
	struct iovec iov[2 + NF_VNET_OUT_BUFS];
};

/*
 * Entries of out->iov, which point into out and into bufs; -EINVAL: its flags and headers disagree
 * with each other or with features, or it has too many buffers. What was parsed is what is sent.
 */
int nf__vnet_gather(const struct nf_buf *bufs, const struct nf_frame *f, uint32_t features,
		    uint32_t hdr_bytes, struct nf__vnet_out *out);

#endif
