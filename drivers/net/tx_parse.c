/* SPDX-License-Identifier: MIT */
/*
 * A packet out of a tx ring, for a peer that lies. netif.h, "Guest transmit": fragment 1 carries
 * the packet's size, extras follow it, then the other fragments. Each slot is copied once and only
 * the copy is looked at.
 *
 * Where Linux netback answers with an error we do too (a frame too short for Ethernet, 19 or 20
 * slots); where it turns the device off the packet is a violation of the protocol.
 */
#include "net_internal.h"

#include <string.h>

int nf__net_fault(struct nf_net_fault *f, const char *field, int64_t value, int64_t low,
		  int64_t high)
{
	*f = (struct nf_net_fault){.field = field, .value = value, .low = low, .high = high};
	return -EPROTO;
}

static void slot_copy(const struct nf_ring_back *tx, uint32_t idx, void *out, size_t bytes)
{
	const volatile uint32_t *shared = nf_ring_back_slot(tx, idx);
	uint32_t words[3] = {shared[0], shared[1], shared[2]};
	memcpy(out, words, bytes);
}

static int gso_parse(const struct nf_netif_extra_info *e, const struct nf_net_features *offered,
		     struct nf_tx_packet *pkt, struct nf_net_fault *fault)
{
	if (e->u.gso.size == 0)
		return nf__net_fault(fault, "tx extra gso.size", 0, 1, UINT16_MAX);
	if (!nf__net_gso_allowed(offered, e->u.gso.type))
		return nf__net_fault(fault, "tx extra gso.type", e->u.gso.type,
				     offered->gso4 ? NF_NETIF_GSO_TYPE_TCPV4 : 2,
				     1 + offered->gso6);
	pkt->gso_bytes = e->u.gso.size;
	pkt->gso_type = e->u.gso.type;
	return 0;
}

/* Extras after the first slot; sets pkt->extras. */
static int extras_parse(const struct nf_ring_back *tx, uint32_t idx, uint32_t pending,
			const struct nf_net_features *offered, struct nf_tx_packet *pkt,
			struct nf_net_fault *fault)
{
	struct nf_netif_extra_info e;
	do {
		if (pkt->slots >= pending)
			return nf__net_fault(fault, "tx extras beyond req_prod", pkt->slots + 1, 1,
					     pending);
		if (pkt->extras >= NF_NET_EXTRAS_MAX)
			return nf__net_fault(fault, "tx extras", pkt->extras + 1, 0,
					     NF_NET_EXTRAS_MAX);
		slot_copy(tx, idx + pkt->slots, &e, sizeof(e));
		if (e.type != NF_NETIF_EXTRA_TYPE_GSO)
			return nf__net_fault(fault, "tx extra type", e.type,
					     NF_NETIF_EXTRA_TYPE_GSO, NF_NETIF_EXTRA_TYPE_GSO);
		int rc = gso_parse(&e, offered, pkt, fault);
		if (rc)
			return rc;
		pkt->slots++;
		pkt->extras++;
	} while (e.flags & NF_NETIF_EXTRA_FLAG_MORE);
	return 0;
}

/* Fragments after the first; takes their sizes off the first one's. */
static int frags_parse(const struct nf_ring_back *tx, uint32_t idx, uint32_t pending,
		       struct nf_tx_packet *pkt, struct nf_net_fault *fault)
{
	uint32_t rest = pkt->bytes;
	uint32_t more = pkt->frag[0].flags & NF_NETTXF_more_data;
	while (more) {
		if (pkt->slots >= pending)
			return nf__net_fault(fault, "tx fragments beyond req_prod", pkt->slots + 1,
					     1, pending);
		if (pkt->frags >= NF_NET_SLOTS_TOLERATED)
			return nf__net_fault(fault, "tx fragments", pkt->frags + 1, 1,
					     NF_NET_SLOTS_TOLERATED);
		struct nf_netif_tx_request *r = &pkt->frag[pkt->frags];
		slot_copy(tx, idx + pkt->slots, r, sizeof(*r));
		if (r->size > rest)
			return nf__net_fault(fault, "tx fragment size", r->size, 0, rest);
		if ((uint32_t)r->offset + r->size > NF_PAGE_BYTES)
			return nf__net_fault(fault, "tx offset + size", r->offset + r->size, 0,
					     NF_PAGE_BYTES);
		rest -= r->size;
		more = r->flags & NF_NETTXF_more_data;
		pkt->slots++;
		pkt->frags++;
	}
	if (pkt->frags > NF_NETIF_SLOTS_MIN) /* its sizes say nothing: nobody will copy it */
		pkt->status = NF_NETIF_RSP_ERROR;
	else if (pkt->frag[0].offset + rest > NF_PAGE_BYTES)
		return nf__net_fault(fault, "tx offset + size", pkt->frag[0].offset + rest, 0,
				     NF_PAGE_BYTES);
	pkt->frag[0].size = (uint16_t)rest;
	return 0;
}

int nf__tx_parse(const struct nf_ring_back *tx, uint32_t idx, uint32_t pending,
		 const struct nf_net_features *offered, struct nf_tx_packet *pkt,
		 struct nf_net_fault *fault)
{
	struct nf_netif_tx_request *first = &pkt->frag[0];
	slot_copy(tx, idx, first, sizeof(*first));
	pkt->slots = pkt->frags = 1;
	pkt->extras = 0;
	pkt->bytes = first->size;
	pkt->gso_bytes = 0;
	pkt->gso_type = NF_NETIF_GSO_TYPE_NONE;
	pkt->flags = nf__tx_frame_flags(first->flags);
	pkt->status = NF_NETIF_RSP_OKAY;
	if (first->flags & NF_NETTXF_extra_info) {
		int rc = extras_parse(tx, idx, pending, offered, pkt, fault);
		if (rc)
			return rc;
	}
	int rc = frags_parse(tx, idx, pending, pkt, fault);
	if (rc)
		return rc;
	if (pkt->bytes < NF_NET_FRAME_MIN)
		pkt->status = NF_NETIF_RSP_ERROR;
	if (pkt->gso_bytes >= pkt->bytes) { /* one segment holds it */
		pkt->gso_bytes = 0;
		pkt->gso_type = NF_NETIF_GSO_TYPE_NONE;
	}
	return 0;
}
