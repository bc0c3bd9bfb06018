/* SPDX-License-Identifier: MIT */
/*
 * The relay's data loops of translate, the real ones, with rings and a table of MODEL_SLOTS. At
 * each access of theirs to a ring model_access() decides who else does something first, or whether
 * the relay is killed there. Stores are seen at once: what may be seen late is model_ring's.
 */
#ifndef NF_MODEL_TABLE_H
#define NF_MODEL_TABLE_H

#define NF_ATOMICS_H /* ours instead */
#include "../model/explore.h"

#define MODEL_GENERATIONS 2
#define MODEL_RING_BYTES (64 + MODEL_SLOTS * 12)

enum model_ring { IN_TX, IN_RX, OUT_TX, OUT_RX, MODEL_RINGS };

/* All that two domains see of the same: each connection has rings of its own. */
static struct {
	_Alignas(
		64) uint8_t ring[MODEL_GENERATIONS][MODEL_RINGS][(MODEL_RING_BYTES + 63) / 64 * 64];
} model_rings;

static uint64_t model_history; /* hash of what the relay read in this pass: with the code, where it
				  stands and what it has in its locals */
static void model_access(const void *at);

static inline bool model_is_shared(const void *at)
{
	return (uintptr_t)at - (uintptr_t)&model_rings < sizeof(model_rings);
}

static inline void model_before(const void *at)
{
	if (model_is_shared(at))
		model_access(at);
}

static inline void model_read(uint64_t value)
{
	model_history = explore_mix(model_history, value + 1);
}

static inline uint32_t nf_load_relaxed(const uint32_t *at)
{
	model_before(at);
	model_read(*at);
	return *at;
}

static inline uint32_t nf_load_acquire(const uint32_t *at)
{
	return nf_load_relaxed(at);
}

static inline uint64_t nf_load_relaxed_u64(const uint64_t *at)
{
	model_before(at);
	model_read(*at);
	return *at;
}

static inline uint64_t nf_load64(const uint64_t *at)
{
	return nf_load_relaxed_u64(at);
}

static inline void nf_store_relaxed(uint32_t *at, uint32_t value)
{
	model_before(at);
	*at = value;
}

static inline void nf_store_release(uint32_t *at, uint32_t value)
{
	nf_store_relaxed(at, value);
}

static inline void nf_store64(uint64_t *at, uint64_t value)
{
	model_before(at);
	*at = value;
}

static inline void nf_full_barrier(void)
{
}
static inline void nf_kill_barrier(void)
{
}
static inline void nf_cpu_relax(void)
{
}

static inline void nf_count(uint64_t *word, uint64_t add)
{
	*word += add;
}

static inline void nf_gauge(uint64_t *word, uint64_t now)
{
	*word = now;
}

#include "nf/netif.h"
#undef NF_NETIF_RING_SLOTS
#define NF_NETIF_RING_SLOTS 64u /* the least that the list of grefs can be made for */
#include "net/net_internal.h"
#undef NF_NET_PAGES
#define NF_NET_PAGES 64u
#undef NF_NETIF_RING_SLOTS
#define NF_NETIF_RING_SLOTS ((uint32_t)MODEL_SLOTS)
#include "relay/internal.h"

/* Bugs a checker must find, by what stands in for a function of the relay's. The test for long has
 * more, in copies of the sources. */
enum model_mutant {
	SOUND,
	NAMES_PASS,  /* what L2 wrote goes outward as a gref */
	SIZE_AGAIN,  /* the size is read once more after it was checked */
	NO_CLAMP,    /* L0's index is believed */
	NOT_BUSY,    /* an id in flight is not marked as such */
	NO_RESET,    /* a new connection begins with the old one's table */
	HELD_REUSED, /* pages that L0 still holds are handed out again (the allocator's) */
};
static enum model_mutant model_mutant;

static inline const uint32_t *model_outer_gref(const struct nf__queue *q, uint32_t gref, bool write)
{
	static uint32_t name;
	name = gref;
	return model_mutant == NAMES_PASS ? &name : nf__outer_gref(q, gref, write);
}

static inline void model_store_tx(const uint8_t *shared_from, uint32_t idx, uint32_t *shared_to,
				  struct nf__tx_words w)
{
	if (model_mutant == SIZE_AGAIN)
		w.id_size = (w.id_size & 0xffffu) |
			    (nf_load_relaxed(nf__tx_slot(shared_from, idx) + 2) & 0xffff0000u);
	nf__store_tx_words(shared_to, w);
}

static inline int model_pending(struct nf_ring_front *r)
{
	if (model_mutant == NO_CLAMP)
		return (int)(nf_load_acquire(&r->shared_hdr->rsp_prod) - r->rsp_cons);
	return nf_ring_front_pending(r);
}

static inline void model_clear(void *at, int value, size_t bytes)
{
	uint8_t *to = at;
	for (size_t i = 0; model_mutant != NO_RESET && i < bytes; i++)
		to[i] = (uint8_t)value;
}

int nf__copy_init(struct nf__queue *q)
{
	(void)q;
	return -ENOSYS;
}

void nf__copy_fini(struct nf__queue *q)
{
	(void)q;
}

int nf__copy_pass(struct nf__queue *q)
{
	(void)q;
	return -ENOSYS;
}

#include "net/gref_map.c"
#include "relay/packet.c"
#include "relay/queue.c"

#define memset(at, value, bytes) model_clear(at, value, bytes)
#include "relay/translate.c"
#undef memset

#define nf__outer_gref(q, gref, write) model_outer_gref(q, gref, write)
#define nf__store_tx_words(to, w) model_store_tx(shared_from, from + i, to, w)
#undef NF__ID_BUSY
#define NF__ID_BUSY (model_mutant == NOT_BUSY ? 0u : 0x10000u)
#define nf_ring_front_pending(r) model_pending(r)
#include "relay/translate_rx.c"
#include "relay/translate_tx.c"
#undef nf__outer_gref
#undef nf__store_tx_words
#undef nf_ring_front_pending

#endif
