/* SPDX-License-Identifier: MIT */
/* What grant copy knows of a peer. Shared by copy.c (per batch) and copy_cache.c (at first use). */
#ifndef NF_EMBEDDED_COPY_H
#define NF_EMBEDDED_COPY_H

#include "embedded.h"

#define NF__COPY_ARENAS 1024u

/*
 * A resolved gref is one word, so that a reader never sees half of one:
 * bit 0 valid, 1 writable, 2..12 page in the arena, 16..31 arena, 32..63 frame number of the entry.
 */
#define NF__SLOT_VALID 1ull
#define NF__SLOT_WRITABLE 2ull
#define NF__SLOT_PAGE(s) ((uint32_t)((s) >> 2) & 0x7ffu)
#define NF__SLOT_ARENA(s) ((uint32_t)((s) >> 16) & 0xffffu)
#define NF__SLOT_FRAME(s) ((uint32_t)((s) >> 32))
_Static_assert(NF_ARENA_PAGES_MAX <= 2048, "a page number fits the slot");

/* Everything mapped of a peer for copying; replaced as a whole when something in it is stale. */
struct nf__copy_cache {
	const uint64_t *shared_table; /* the peer's grant entries, read-only for us */
	size_t table_bytes;
	uint32_t entries;
	uint32_t arenas;
	struct nf__arena_map *maps[NF__COPY_ARENAS];
	_Atomic uint64_t slots[]; /* by gref */
};

/* Peers are added, never removed before the layer closes. */
struct nf__copy_peer {
	struct nf__copy_peer *next;
	_Atomic(struct nf__copy_cache *) cache; /* NULL: nothing known */
	uint16_t domid;
	/* lookups the peer may still make fail, under the lock: see solvent() */
	uint32_t credit;
	int64_t refilled_ms;
};

/* The fields of a grant entry, which is read once. */
struct nf__entry {
	uint16_t flags;
	uint16_t domid;
	uint32_t frame;
};

static inline struct nf__entry nf__entry_of(uint64_t word)
{
	struct nf__entry n = {.flags = (uint16_t)word,
			      .domid = (uint16_t)(word >> 16),
			      .frame = (uint32_t)(word >> 32)};
	return n;
}

static inline struct nf__copy_peer *nf__copy_find(struct nf__embedded *e, uint16_t domid)
{
	struct nf__copy_peer *p = atomic_load(&e->peers);

	while (p && p->domid != domid)
		p = p->next;
	return p;
}

/* 0, or why this operation may not go by this entry. */
int nf__copy_permit(const struct nf__entry *n, uint16_t self, bool write);
/* The slot is what this entry names now. */
static inline bool nf__slot_matches(uint64_t slot, const struct nf__entry *n)
{
	return (slot & NF__SLOT_VALID) && NF__SLOT_FRAME(slot) == n->frame &&
	       !(slot & NF__SLOT_WRITABLE) == !!(n->flags & NF_GTF_readonly);
}

/* Resolves the grefs that ops need and the cache lacks, as far as they are like the first one.
 * 0: try the first again; negative: its status. Takes the lock, talks to the hypervisor. */
int nf__copy_resolve(struct nf__embedded *e, const struct nf_grant_copy *ops, uint32_t count);

#endif
