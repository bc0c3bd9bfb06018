/* SPDX-License-Identifier: MIT */
#include "vnet_iov.h"

#include <errno.h>

#include "nf/netif.h"

int nf__vnet_gather(const struct nf_buf *bufs, const struct nf_frame *f, uint32_t features,
		    uint32_t hdr_bytes, struct nf__vnet_out *out)
{
	uint32_t skip = 0;
	int n = 1;

	if (f->count > NF_VNET_OUT_BUFS)
		return -EINVAL;
	out->hdr.v = (struct nf_vnet_hdr){0};
	out->iov[0] = (struct iovec){&out->hdr, hdr_bytes};
	if (f->flags & NF_FRAME_CSUM_BLANK || f->gso_type != NF_NETIF_GSO_TYPE_NONE) {
		skip = nf_frame_peek(bufs, f, 0, out->head, sizeof(out->head));
		out->iov[n++] = (struct iovec){out->head, skip};
	}
	if (nf__vnet_from_frame(f, out->head, skip, features, &out->hdr.v) < 0)
		return -EINVAL;
	uint32_t left = f->bytes - skip;
	for (uint32_t i = f->first; i < (uint32_t)f->first + f->count && left; i++) {
		uint32_t bytes = bufs[i].bytes;
		if (skip >= bytes) {
			skip -= bytes;
			continue;
		}
		bytes -= skip;
		bytes = bytes > left ? left : bytes;
		out->iov[n++] = (struct iovec){bufs[i].data + skip, bytes};
		left -= bytes;
		skip = 0;
	}
	return n;
}
