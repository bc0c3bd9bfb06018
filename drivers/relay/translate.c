/* SPDX-License-Identifier: MIT */
/*
 * translate: descriptors cross, payload does not. L2's gref becomes the outer gref of the same page
 * by its position in the arena; ids are ours outside and L2's inside.
 *
 * Every request taken from L2 makes one outer request and every outer response makes one response
 * to L2, so what is in flight is equal on both rings and neither can overflow the other. rx keeps
 * order, so an outer rx response's ring index is its request's, and so is L2's.
 */
#include "relay/internal.h"

int nf__translate_init(struct nf__queue *q)
{
	struct nf__translate *t = &q->tr;
	if (!q->in->grefs)
		return -EINVAL; /* no table, no translation */
	memset(t, 0, sizeof(*t));
	for (uint32_t i = 0; i < NF__IDS; i++)
		t->tx_free[i] = (uint16_t)(NF__IDS - 1 - i);
	t->tx_free_count = NF__IDS;
	return 0;
}

int nf__translate_pass(struct nf__queue *q)
{
	static int (*const steps[])(
		struct nf__queue *) = {nf__translate_tx_rsp, nf__translate_tx_req,
				       nf__translate_rx_req, nf__translate_rx_rsp};
	int moved = 0;
	for (uint32_t i = 0; i < NF__SOURCES; i++) {
		int rc = steps[i](q);
		if (rc < 0)
			return rc;
		moved += rc;
	}
	return moved;
}
