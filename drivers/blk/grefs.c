/* SPDX-License-Identifier: MIT */
/* A table of grefs, at most half full, so that a lookup ends. */
#include <stdlib.h>

#include "blk_internal.h"

int nf__blk_grefs_new(struct nf_blk_grefs **out, uint32_t cap)
{
	struct nf_blk_grefs *g = calloc(1, sizeof(*g));
	uint32_t cells = 16;
	while (cells < cap * 2)
		cells *= 2;
	if (!g)
		return -ENOMEM;
	g->cells = aligned_alloc(64, cells * sizeof(*g->cells));
	if (!g->cells) {
		free(g);
		return -ENOMEM;
	}
	g->mask = cells - 1;
	g->cap = cap;
	for (uint32_t i = 0; i < cells; i++)
		g->cells[i] = (struct nf_blk_cell){.gref = NF_GREF_NONE};
	*out = g;
	return 0;
}

void nf__blk_grefs_free(struct nf_blk_grefs *g)
{
	if (!g)
		return;
	free(g->cells);
	free(g);
}

int nf__blk_grefs_add(struct nf_blk_grefs *g, uint32_t gref, uint8_t *addr, uint32_t position)
{
	if (gref == NF_GREF_NONE || nf__blk_grefs_find(g, gref))
		return -EEXIST;
	if (g->count >= g->cap)
		return -ENOSPC;
	uint32_t i = gref * 2654435761u >> 7;
	while (g->cells[i & g->mask].gref != NF_GREF_NONE)
		i++;
	struct nf_blk_cell *c = &g->cells[i & g->mask];
	c->addr = addr;
	c->position = position;
	c->used = 0;
	g->count++;
	nf_store_release(&c->gref, gref); /* all of it before the key */
	return 0;
}

void nf__blk_grefs_del(struct nf_blk_grefs *g, uint32_t gref)
{
	struct nf_blk_cell *c = nf__blk_grefs_find(g, gref);
	if (!c)
		return;
	uint32_t hole = (uint32_t)(c - g->cells);
	*c = (struct nf_blk_cell){.gref = NF_GREF_NONE};
	g->count--;
	/* those behind it that went past their place move up */
	for (uint32_t i = (hole + 1) & g->mask; g->cells[i].gref != NF_GREF_NONE;
	     i = (i + 1) & g->mask) {
		uint32_t home = g->cells[i].gref * 2654435761u >> 7 & g->mask;
		if (((i - home) & g->mask) < ((i - hole) & g->mask))
			continue;
		g->cells[hole] = g->cells[i];
		g->cells[i] = (struct nf_blk_cell){.gref = NF_GREF_NONE};
		hole = i;
	}
}
