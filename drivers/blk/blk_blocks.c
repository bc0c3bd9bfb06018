/* SPDX-License-Identifier: MIT */
/* Counter blocks of a device's queues. They outlive a reconnection. */
#include <string.h>

#include "blk_end.h"

static struct nf_counters *block_take(struct nf_blk_end *e, uint32_t queue, uint8_t kind,
				      uint32_t run)
{
	struct nf_counters *b = NULL;
	if (e->cfg.counters)
		b = nf_counters_take(e->cfg.counters, run);
	if (!b && run > 1)
		return NULL;
	if (!b) {
		nf__blk_end_notice(e, "queue %u: no counter block left, its counters are not shown",
				   queue);
		b = &e->spare[queue];
	}
	nf_block_begin(b);
	b->h.kind = kind;
	b->h.of = kind == NF_BLOCK_LATENCY ? NF_BLOCK_BLKFRONT : 0; /* only fronts are timed */
	b->h.mode = NF_MODE_NONE;
	b->h.peer = e->dev.other_domid;
	b->h.devid = e->dev.devid;
	b->h.queue = (uint16_t)queue;
	nf_block_end(b);
	return b;
}

void nf__blk_blocks_open(struct nf_blk_end *e, uint32_t queues)
{
	for (uint32_t i = 0; i < queues; i++) {
		if (!e->blocks[i])
			e->blocks[i] = block_take(
				e, i, e->dev.is_back ? NF_BLOCK_BLKBACK : NF_BLOCK_BLKFRONT, 1);
		if (!e->latency[i] && !e->dev.is_back && strcmp(e->spec, "gen") == 0)
			e->latency[i] = block_take(e, i, NF_BLOCK_LATENCY, NF_LATENCY_BLOCKS);
	}
}

void nf__blk_blocks_close(struct nf_blk_end *e)
{
	for (uint32_t i = 0; i < NF_BLK_QUEUES_MAX; i++) {
		if (e->latency[i])
			nf_counters_drop(e->cfg.counters, e->latency[i], NF_LATENCY_BLOCKS);
		if (e->blocks[i] && e->blocks[i] != &e->spare[i])
			nf_counters_drop(e->cfg.counters, e->blocks[i], 1);
		e->blocks[i] = e->latency[i] = NULL;
	}
}

void nf__blk_blocks(struct nf_blk_end *e, uint8_t grants, int error)
{
	for (uint32_t i = 0; i < NF_BLK_QUEUES_MAX; i++) {
		struct nf_counters *b = e->blocks[i];
		if (!b)
			continue;
		nf_block_begin(b);
		b->h.state = (uint8_t)e->dev.state;
		b->h.grants = grants;
		b->h.generation = e->generation;
		b->h.error = error;
		nf_block_end(b);
	}
}
