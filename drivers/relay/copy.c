/* SPDX-License-Identifier: MIT */
/*
 * copy: two devices that share nothing. Payload crosses L1 by one memcpy (or one batched grant copy
 * when L2's pages are not mapped) between L2's pages and L1's own on the outer rings.
 */
#include "relay/internal.h"

#include <stdlib.h>

/* All outer rx buffers are ours and stay posted: page i is always the one at ring index i. */
static void post_all(struct nf__queue *q)
{
	struct nf_ring_front *out = &q->out->rx;
	while (nf_ring_front_free(out) > 0) {
		uint32_t index = out->req_prod & (out->count - 1);
		struct nf_netif_rx_request r = {.id = (uint16_t)index,
						.gref = q->out->rx_grefs[index]};
		memcpy(nf_ring_front_slot(out, out->req_prod), &r, sizeof(r));
		out->req_prod++;
	}
}

int nf__copy_init(struct nf__queue *q)
{
	struct nf__copy *c = &q->cp;
	memset(c, 0, sizeof(*c));
	if (!q->out->tx_pages.base || !q->out->rx_pages.base)
		return -EINVAL;
	if (!q->in->grefs) {
		c->ops = calloc(NF__IDS, sizeof(*c->ops));
		if (!c->ops)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < NF__IDS; i++)
		c->tx_free[i] = (uint16_t)(NF__IDS - 1 - i);
	c->tx_free_count = NF__IDS;
	post_all(q);
	int rc = nf__push_outer(q, &q->out->rx, nf__outer_rx_chan(q));
	return rc == -ENODEV ? 0 : rc; /* a peer that hung up already is found by the first pass */
}

void nf__copy_fini(struct nf__queue *q)
{
	free(q->cp.ops);
	q->cp.ops = NULL;
}

int nf__copy_move(struct nf__queue *q, uint32_t gref, uint32_t offset, uint32_t bytes,
		  uint8_t *ours, bool to_inner)
{
	struct nf__copy *c = &q->cp;
	if (c->ops) {
		/* a pass moves at most a ring's slots a direction and flushes after each */
		c->ops[c->op_count++] = (struct nf_grant_copy){.peer = q->inner_owner,
							       .offset = (uint16_t)offset,
							       .bytes = (uint16_t)bytes,
							       .to_peer = to_inner,
							       .gref = gref,
							       .local = ours};
		return 0;
	}
	uint8_t *page = nf_gref_map_find(q->in->grefs, gref, to_inner);
	if (__builtin_expect(!page, 0))
		return nf__inner_fault(q, to_inner ? "rx gref" : "tx gref", gref, 1, 0);
	if (to_inner)
		nf__copy_bytes(page + offset, ours, bytes);
	else
		nf__copy_bytes(ours, page + offset, bytes);
	return 0;
}

/* Runs what the pass collected. Nothing of it was published yet, so a bad gref ends the device. */
int nf__copy_flush(struct nf__queue *q)
{
	struct nf__copy *c = &q->cp;
	uint32_t n = c->op_count;
	if (n == 0)
		return 0;
	c->op_count = 0;
	struct nf_layer *layer = q->in->tx_chan.layer;
	int rc = layer->ops->copy(layer, c->ops, n);
	if (rc < 0)
		return rc;
	NF_COUNT(q->counters, grant_copies, n);
	for (uint32_t i = 0; i < n; i++) {
		if (c->ops[i].status != 0)
			return nf__inner_fault(q, c->ops[i].to_peer ? "rx gref" : "tx gref",
					       c->ops[i].gref, 1, 0);
	}
	return 0;
}

int nf__copy_pass(struct nf__queue *q)
{
	int tx = nf__copy_tx(q);
	if (tx < 0)
		return tx;
	int rx = nf__copy_rx(q);
	return rx < 0 ? rx : tx + rx;
}
