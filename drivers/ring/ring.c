/* SPDX-License-Identifier: MIT */
#include "nf/ring.h"

#include <string.h>

int nf_ring_front_init(struct nf_ring_front *r, void *page, size_t ring_bytes, uint32_t slot_bytes)
{
	uint32_t count = nf_ring_count(ring_bytes, slot_bytes);
	if (count == 0)
		return -EINVAL;
	memset(page, 0, ring_bytes);
	struct nf_sring *hdr = page;
	hdr->req_event = 1;
	hdr->rsp_event = 1;
	*r = (struct nf_ring_front){.shared_hdr = hdr,
				    .shared_slots = (uint8_t *)page + sizeof(*hdr),
				    .count = count,
				    .slot_bytes = slot_bytes};
	return 0;
}

int nf_ring_back_init(struct nf_ring_back *r, void *page, size_t ring_bytes, uint32_t slot_bytes,
		      uint32_t first)
{
	uint32_t count = nf_ring_count(ring_bytes, slot_bytes);
	if (count == 0)
		return -EINVAL;
	*r = (struct nf_ring_back){.shared_hdr = page,
				   .shared_slots = (uint8_t *)page + sizeof(struct nf_sring),
				   .rsp_prod = first,
				   .req_cons = first,
				   .count = count,
				   .slot_bytes = slot_bytes};
	return 0;
}
