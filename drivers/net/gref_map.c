/* SPDX-License-Identifier: MIT */
/*
 * One queue's static grants. A lookup is one load for small grant references, which is what every
 * front has; large ones go through a table of open addressing. Bounded: NF_NET_PAGES grants of each
 * access, because a queue has no use for more.
 */
#include "net_internal.h"

#include <stdlib.h>

int nf__gref_map_new(struct nf_gref_map **out)
{
	struct nf_gref_map *m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->direct = calloc(NF_GREF_DIRECT, sizeof(*m->direct));
	m->cells = calloc(NF_GREF_CELLS, sizeof(*m->cells));
	if (!m->direct || !m->cells) {
		nf__gref_map_free(m);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < NF_GREF_CELLS; i++)
		m->cells[i].gref = NF_GREF_NONE;
	*out = m;
	return 0;
}

void nf__gref_map_free(struct nf_gref_map *m)
{
	if (!m)
		return;
	free(m->direct);
	free(m->cells);
	free(m);
}

static uint32_t cell_start(uint32_t gref)
{
	return (gref * 2654435761u) >> 21; /* the top 11 bits: NF_GREF_CELLS */
}

_Static_assert(NF_GREF_CELLS == 1u << 11, "cell_start takes 11 bits");

/* The cell that holds gref, or the free one where it would go. The table is never full. */
static struct nf_gref_cell *cell_find(const struct nf_gref_map *m, uint32_t gref)
{
	uint32_t i = cell_start(gref);
	for (;;) {
		struct nf_gref_cell *c = &m->cells[i];
		uint32_t key = nf_load_acquire(&c->gref); /* the word before its key */
		if (key == gref || key == NF_GREF_NONE)
			return c;
		i = (i + 1) & (NF_GREF_CELLS - 1);
	}
}

uint64_t nf__gref_map_hashed(const struct nf_gref_map *m, uint32_t gref)
{
	if (gref == NF_GREF_NONE)
		return 0;
	const struct nf_gref_cell *c = cell_find(m, gref);
	return nf_load_relaxed(&c->gref) == gref ? nf_load64(&c->word) : 0;
}

static int position_take(struct nf_gref_map *m, int access)
{
	for (uint32_t i = 0; i < NF_NET_PAGES / 64; i++) {
		if (m->taken[access][i] == UINT64_MAX)
			continue;
		int bit = __builtin_ctzll(~m->taken[access][i]);
		m->taken[access][i] |= 1ull << bit;
		m->count[access]++;
		return (int)(i * 64) + bit;
	}
	return -ENOSPC;
}

static void position_drop(struct nf_gref_map *m, uint64_t word)
{
	int access = word & 2u ? NF_GREF_WRITABLE : NF_GREF_READONLY;
	uint32_t position = (uint32_t)(word >> 2) & NF_NET_MASK;
	m->taken[access][position / 64] &= ~(1ull << (position % 64));
	m->count[access]--;
}

/* Where gref's word is kept; NULL when a new cell would fill the table. */
static uint64_t *word_of(struct nf_gref_map *m, uint32_t gref, bool create)
{
	if (gref < NF_GREF_DIRECT)
		return &m->direct[gref];
	if (gref == NF_GREF_NONE)
		return NULL;
	struct nf_gref_cell *c = cell_find(m, gref);
	if (c->gref == gref)
		return &c->word;
	if (!create || m->cells_used >= NF_GREF_CELLS / 2)
		return NULL;
	m->cells_used++;
	nf_store64(&c->word, 0);
	nf_store_release(&c->gref, gref); /* its empty word before the key */
	return &c->word;
}

int nf__gref_map_add(struct nf_gref_map *m, uint32_t gref, void *addr, bool writable)
{
	int access = writable ? NF_GREF_WRITABLE : NF_GREF_READONLY;
	uint64_t *word = word_of(m, gref, m->count[access] < NF_NET_PAGES);
	if (word && *word)
		return -EEXIST;
	int position = word ? position_take(m, access) : -ENOSPC;
	if (position < 0)
		return position;
	nf_store64(word, (uint64_t)(uintptr_t)addr | (uint64_t)(uint32_t)position << 2 |
				 (writable ? 2u : 0u) | 1u);
	return 0;
}

/* Drops the cells of deleted grefs: a front that goes through new numbers for ever must not fill
 * the table with what it left. The poller is off the queue, as for every deletion. */
static void cells_rebuild(struct nf_gref_map *m)
{
	struct nf_gref_cell live[NF_NET_GREFS_MAX];
	uint32_t count = 0;
	for (uint32_t i = 0; i < NF_GREF_CELLS; i++) {
		if (m->cells[i].word != 0)
			live[count++] = m->cells[i];
		m->cells[i] = (struct nf_gref_cell){.gref = NF_GREF_NONE};
	}
	for (uint32_t i = 0; i < count; i++)
		*cell_find(m, live[i].gref) = live[i];
	m->cells_used = count;
}

int nf__gref_map_del(struct nf_gref_map *m, uint32_t gref)
{
	uint64_t *word = word_of(m, gref, false);
	if (!word || !*word)
		return -ENOENT;
	position_drop(m, *word);
	nf_store64(word, 0);
	if (m->cells_used > NF_GREF_CELLS / 2 - NF_NET_GREFS_MAX)
		cells_rebuild(m);
	return 0;
}

int nf__gref_map_move(struct nf_gref_map *m, uint32_t gref, void *addr)
{
	uint64_t *word = word_of(m, gref, false);
	if (!word || !*word)
		return -ENOENT;
	nf_store64(word, (uint64_t)(uintptr_t)addr | (*word & (NF_PAGE_BYTES - 1)));
	return 0;
}

uint8_t *nf_gref_map_find(const struct nf_gref_map *m, uint32_t gref, bool write)
{
	return nf__gref_map_page(m, gref, write);
}

int nf_gref_map_index(const struct nf_gref_map *m, uint32_t gref, bool write)
{
	uint64_t word = nf__gref_map_word(m, gref);
	if (word == 0 || !(word & 2u) != !write)
		return -ENOENT;
	return (int)((word >> 2) & NF_NET_MASK);
}
