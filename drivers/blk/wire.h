/* SPDX-License-Identifier: MIT */
/*
 * Slots of any ABI as the 64-bit layouts, each word loaded once. The 32-bit layout is the 64-bit
 * one without bytes 4 to 7, in every kind of request, so one decoding does for both. Poller.
 */
#ifndef NF_BLK_WIRE_H
#define NF_BLK_WIRE_H

#include "nf/atomics.h"
#include "nf/blkif.h"

#define NF_BLK_SLOT_WORDS 28u /* of the 64-bit layout */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "as is the wire");

union nf_blk_slot {
	uint32_t words[NF_BLK_SLOT_WORDS];
	uint64_t longs[NF_BLK_SLOT_WORDS / 2];
	struct nf_blkif_request rw;
	struct nf_blkif_discard discard;
	struct nf_blkif_indirect indirect;
};

/* Words of the 64-bit layout that the request of this first word uses. */
static inline uint32_t nf__blk_slot_words(uint32_t first)
{
	uint32_t operation = first & 0xffu;
	uint32_t segments = first >> 8 & 0xffu;
	if (__builtin_expect(operation == NF_BLK_DISCARD, 0))
		return 8;
	if (__builtin_expect(operation == NF_BLK_INDIRECT, 0))
		return 7 + NF_BLKIF_INDIRECT_PAGES_MAX;
	if (segments > NF_BLKIF_SEGMENTS_MAX) /* refused by whoever looks; nothing is read beyond */
		segments = NF_BLKIF_SEGMENTS_MAX;
	return 6 + 2 * segments; /* operation and pad, id, sector */
}

/* wire.c: the same in the 32-bit layout. */
void nf__blk_slot_load32(const void *shared, union nf_blk_slot *out);
void nf__blk_slot_store32(void *shared, const union nf_blk_slot *in);

/* What a request needs of its slot; the rest of out is left as it was. */
static inline void nf__blk_slot_load(uint8_t abi, const void *shared, union nf_blk_slot *out)
{
	const uint64_t *shared_longs = shared;
	if (__builtin_expect(abi == NF_BLK_ABI_X86_32, 0)) {
		nf__blk_slot_load32(shared, out);
		return;
	}
	uint32_t first = (uint32_t)nf_load_relaxed_u64(shared_longs);
	uint32_t count = nf__blk_slot_words(first);
	out->longs[0] = first; /* the padding is nobody's */
	for (uint32_t i = 1; i < count / 2; i++)
		out->longs[i] = nf_load_relaxed_u64(&shared_longs[i]);
	if (__builtin_expect(count & 1, 0))
		out->words[count - 1] = nf_load_relaxed((const uint32_t *)shared + count - 1);
}

static inline void nf__blk_slot_store(uint8_t abi, void *shared, const union nf_blk_slot *in)
{
	uint64_t *shared_longs = shared;
	if (__builtin_expect(abi == NF_BLK_ABI_X86_32, 0)) {
		nf__blk_slot_store32(shared, in);
		return;
	}
	uint32_t first = in->words[0];
	uint32_t count = nf__blk_slot_words(first);
	nf_store_relaxed_u64(shared_longs, first);
	for (uint32_t i = 1; i < count / 2; i++)
		nf_store_relaxed_u64(&shared_longs[i], in->longs[i]);
	if (__builtin_expect(count & 1, 0))
		nf_store_relaxed((uint32_t *)shared + count - 1, in->words[count - 1]);
}

/* Responses differ in nothing but their size. */
static inline void nf__blk_rsp_load(uint8_t abi, const void *shared, struct nf_blkif_response *out)
{
	const uint32_t *shared_words = shared;
	(void)abi;
	uint32_t low = nf_load_relaxed(&shared_words[0]);
	uint32_t high = nf_load_relaxed(&shared_words[1]);
	uint32_t rest = nf_load_relaxed(&shared_words[2]);
	out->id = (uint64_t)high << 32 | low;
	out->operation = (uint8_t)rest;
	out->status = (int16_t)(rest >> 16);
}

/* Padding is written as zeroes: nothing else of ours gets into the slot. */
static inline void nf__blk_rsp_store(uint8_t abi, void *shared, uint64_t id, uint8_t operation,
				     int16_t status)
{
	uint32_t *shared_words = shared;
	nf_store_relaxed(&shared_words[0], (uint32_t)id);
	nf_store_relaxed(&shared_words[1], (uint32_t)(id >> 32));
	nf_store_relaxed(&shared_words[2], operation | (uint32_t)(uint16_t)status << 16);
	if (abi != NF_BLK_ABI_X86_32)
		nf_store_relaxed(&shared_words[3], 0);
}

/* The lines of a slot that a request of one page and its response use: they are read, then written.
 * All of a batch are asked for before the first is looked at, so that their ways overlap. */
static inline void nf__blk_slot_prefetch(const void *shared)
{
	nf_prefetch_write(shared);
	nf_prefetch_write((const uint8_t *)shared + 31);
}

#endif
