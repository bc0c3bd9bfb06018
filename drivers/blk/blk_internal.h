/* SPDX-License-Identifier: MIT */
/* Inside of drivers/blk: what front, back and their queues share. Control thread unless a line says
 * poller. */
#ifndef NF_BLK_INTERNAL_H
#define NF_BLK_INTERNAL_H

#include "nf/blk.h"
#include "wire.h"

#define NF_BLK_BATCH 64u	  /* requests a call of a port, completions a call of reap */
#define NF_BLK_SEGMENTS_MAX 1024u /* we take or make at most, indirect: 4 MiB */
#define NF_BLK_INDIRECT_DEFAULT 64u
#define NF_BLK_MAP_BATCH 256u /* grefs a call of the layer's map */

#define nf__likely(x) __builtin_expect(!!(x), 1)
#define nf__unlikely(x) __builtin_expect(!!(x), 0)

/* What the peer did wrong. Poller writes before failed(), control reads after. */
struct nf_blk_fault {
	const char *field;
	int64_t value, low, high;
};

/* Cold: notes the fault and returns -EPROTO. Poller. */
int nf__blk_fault(struct nf_blk_fault *f, const char *field, int64_t value, int64_t low,
		  int64_t high);
/* Wakes the control thread; never blocks. Poller. */
void nf__blk_tell(int event_fd);

/* Bytes of a ring slot. */
static inline uint32_t nf__blk_slot_bytes(uint8_t abi)
{
	return abi == NF_BLK_ABI_X86_32 ? sizeof(struct nf_blkif_x86_32_request)
					: sizeof(struct nf_blkif_request);
}

static inline uint32_t nf__blk_ring_count(uint8_t abi, uint32_t pages)
{
	return nf_ring_count((size_t)pages * NF_PAGE_BYTES, nf__blk_slot_bytes(abi));
}

/* Sectors of the wire (units) as 512-byte ones: shift left by this. */
static inline uint32_t nf__blk_unit_shift(const struct nf_blk_features *f)
{
	return f->units == NF_BLK_UNITS_SECTOR && f->disk.sector_bytes > NF_BLK_SECTOR_BYTES
		       ? (uint32_t)__builtin_ctz(f->disk.sector_bytes / NF_BLK_SECTOR_BYTES)
		       : 0;
}

/* ---- grefs.c: a peer's grants that stay mapped ---- */
struct nf_blk_cell {
	uint32_t gref; /* NF_GREF_NONE: free */
	uint32_t position;
	uint8_t *addr; /* NULL: recorded, not mapped */
	uint64_t used; /* poller: round of the last lookup; the oldest go first */
};

/* Open addressing, at most half full. Cells are filled by the control thread, the gref last, and
 * read by the poller; they are emptied with the queue detached. */
struct nf_blk_grefs {
	struct nf_blk_cell *cells;
	uint32_t mask;
	uint32_t count, cap;
};

int nf__blk_grefs_new(struct nf_blk_grefs **out, uint32_t cap);
void nf__blk_grefs_free(struct nf_blk_grefs *g); /* NULL is fine */
/* -EEXIST, -ENOSPC */
int nf__blk_grefs_add(struct nf_blk_grefs *g, uint32_t gref, uint8_t *addr, uint32_t position);
/* Queue detached. Takes a cell out, the others' places change. */
void nf__blk_grefs_del(struct nf_blk_grefs *g, uint32_t gref);
/* Poller. NULL: not there. */
static inline struct nf_blk_cell *nf__blk_grefs_find(const struct nf_blk_grefs *g, uint32_t gref)
{
	uint32_t i = gref * 2654435761u >> 7;
	for (;; i++) {
		struct nf_blk_cell *c = &g->cells[i & g->mask];
		uint32_t key = nf_load_acquire(&c->gref); /* the address before its key */
		if (key == gref)
			return gref == NF_GREF_NONE ? NULL : c;
		if (key == NF_GREF_NONE)
			return NULL;
	}
}

#endif
