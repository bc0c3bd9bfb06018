/* SPDX-License-Identifier: MIT */
#include "relay/packet.h"

/*
 * The only extra anybody negotiates through a relay is one GSO descriptor: a chain (FLAG_MORE)
 * could only go on with a type nobody offered, so it ends here and never loops.
 */
static int extra_read(const void *shared_slot, const struct nf__direction *dir,
		      struct nf_netif_extra_info *out, struct nf__fault *fault)
{
	struct nf_netif_extra_info e;
	nf__load_two(shared_slot, &e);
	if (e.type != NF_NETIF_EXTRA_TYPE_GSO)
		return nf__fault(fault, "extra type", e.type, NF_NETIF_EXTRA_TYPE_GSO,
				 NF_NETIF_EXTRA_TYPE_GSO);
	if (e.flags != 0)
		return nf__fault(fault, "extra flags", e.flags, 0, 0);
	bool known = (e.u.gso.type == NF_NETIF_GSO_TYPE_TCPV4 && dir->gso4) ||
		     (e.u.gso.type == NF_NETIF_GSO_TYPE_TCPV6 && dir->gso6);
	if (!known)
		return nf__fault(fault, "gso type", e.u.gso.type,
				 dir->gso4 ? NF_NETIF_GSO_TYPE_TCPV4 : NF_NETIF_GSO_TYPE_TCPV6,
				 dir->gso6 ? NF_NETIF_GSO_TYPE_TCPV6 : NF_NETIF_GSO_TYPE_TCPV4);
	if (e.u.gso.size == 0)
		return nf__fault(fault, "gso size", 0, 1, UINT16_MAX);
	/* only what was understood goes on: no byte of padding crosses the relay */
	memset(out, 0, sizeof(*out));
	out->type = NF_NETIF_EXTRA_TYPE_GSO;
	out->u.gso.size = e.u.gso.size;
	out->u.gso.type = e.u.gso.type;
	return 0;
}

/*
 * The first slot's size is the frame's; what the others leave of it is its own. Empty slots and
 * frames too short for Ethernet are foolish, not hostile: Linux netback lives with both.
 */
static int tx_sizes(struct nf__tx_packet *p, struct nf__fault *fault)
{
	uint32_t rest = p->slot[0].size;
	for (uint32_t i = 1; i < p->slots; i++) {
		const struct nf_netif_tx_request *r = &p->slot[i];
		if (r->size > rest)
			return nf__fault(fault, "tx slot size", r->size, 0, rest);
		if ((uint32_t)r->offset + r->size > NF_PAGE_BYTES)
			return nf__fault(fault, "tx slot end", (int64_t)r->offset + r->size, 0,
					 NF_PAGE_BYTES);
		rest -= r->size;
	}
	if (p->slot[0].offset + rest > NF_PAGE_BYTES)
		return nf__fault(fault, "tx slot end", (int64_t)p->slot[0].offset + rest, 0,
				 NF_PAGE_BYTES);
	p->first_bytes = rest;
	p->bytes = p->slot[0].size;
	p->refused = p->bytes < NF__FRAME_MIN;
	return 0;
}

int nf__tx_read(const struct nf_ring_back *ring, uint32_t idx, uint32_t avail,
		const struct nf__direction *dir, struct nf__tx_packet *p, struct nf__fault *fault)
{
	if (avail == 0)
		return 0;
	uint32_t n = 1;
	struct nf_netif_tx_request r = nf__load_tx(nf_ring_back_slot(ring, idx));
	p->extras = 0;
	if (r.flags & NF_NETTXF_extra_info) {
		if (n >= avail)
			return 0;
		int rc = extra_read(nf_ring_back_slot(ring, idx + n), dir, &p->extra, fault);
		if (rc < 0)
			return rc;
		p->extras = 1;
		n++;
	}
	r.flags &= NF__TX_FLAGS;
	p->slot[0] = r;
	p->slots = 1;
	while (r.flags & NF_NETTXF_more_data) {
		if (!dir->sg || p->slots == NF__SLOTS_FATAL)
			return nf__fault(fault, "tx slots", (int64_t)p->slots + 1, 1,
					 dir->sg ? NF_NETIF_SLOTS_MIN : 1);
		if (n >= avail)
			return 0;
		r = nf__load_tx(nf_ring_back_slot(ring, idx + n));
		r.flags &= NF_NETTXF_more_data; /* the others mean nothing past the first slot */
		p->slot[p->slots++] = r;
		n++;
	}
	p->ring_slots = n;
	p->refused = p->slots > NF_NETIF_SLOTS_MIN;
	if (p->refused)
		return (int)n;
	int rc = tx_sizes(p, fault);
	return rc < 0 ? rc : (int)n;
}

static int rx_slot(const struct nf_ring_front *ring, uint32_t idx, struct nf__rx_packet *p,
		   struct nf__fault *fault)
{
	struct nf_netif_rx_response r;
	uint32_t index = idx & (ring->count - 1);
	nf__load_two(nf_ring_front_slot(ring, idx), &r);
	if (r.id != index)
		return nf__fault(fault, "rx id", r.id, index, index);
	if (!nf__rx_fits(r.offset, r.status))
		return nf__fault(fault, "rx status", r.status, NF_NETIF_RSP_DROPPED,
				 (int64_t)NF_PAGE_BYTES - r.offset);
	if (r.flags & NF_NETRXF_gso_prefix)
		return nf__fault(fault, "rx flags", r.flags, 0, NF__RX_FLAGS);
	if (r.status < 0) {
		p->error = true;
		r.offset = 0;
	} else {
		p->bytes += (uint16_t)r.status;
	}
	r.flags &= p->slots == 0 ? NF__RX_FLAGS : NF_NETRXF_more_data;
	p->slot[p->slots++] = r;
	return 0;
}

int nf__rx_read(const struct nf_ring_front *ring, uint32_t idx, uint32_t avail,
		const struct nf__direction *dir, struct nf__rx_packet *p, struct nf__fault *fault)
{
	if (avail == 0)
		return 0;
	p->slots = p->extras = p->bytes = 0;
	p->error = false;
	uint32_t n = 1;
	int rc = rx_slot(ring, idx, p, fault);
	if (rc < 0)
		return rc;
	if (p->slot[0].flags & NF_NETRXF_extra_info) {
		if (n >= avail)
			return 0;
		rc = extra_read(nf_ring_front_slot(ring, idx + n), dir, &p->extra, fault);
		if (rc < 0)
			return rc;
		p->extras = 1;
		n++;
	}
	while (p->slot[p->slots - 1].flags & NF_NETRXF_more_data) {
		uint32_t most = dir->sg ? NF_NETIF_SLOTS_MIN : 1;
		if (p->slots >= most)
			return nf__fault(fault, "rx slots", (int64_t)p->slots + 1, 1, most);
		if (n >= avail)
			return 0;
		rc = rx_slot(ring, idx + n, p, fault);
		if (rc < 0)
			return rc;
		n++;
	}
	p->ring_slots = n;
	if (p->bytes > NF_NETIF_FRAME_MAX)
		return nf__fault(fault, "rx frame size", p->bytes, 1, NF_NETIF_FRAME_MAX);
	return (int)n;
}
