/* SPDX-License-Identifier: MIT */
/*
 * Slots of both layouts. The 32-bit one is the 64-bit one without bytes 4 to 7, in every kind of
 * request, so one decoding does for both.
 */
#include "blk_internal.h"

#define HEAD_WORDS 6u /* operation, (pad,) id, sector */

/* Words of the 64-bit layout that the request of this first word uses. */
static uint32_t words_of(uint32_t first)
{
	uint32_t operation = first & 0xffu;
	if (operation == NF_BLK_DISCARD)
		return HEAD_WORDS + 2;
	if (operation == NF_BLK_INDIRECT)
		return HEAD_WORDS + 1 + NF_BLKIF_INDIRECT_PAGES_MAX;
	uint32_t segments = first >> 8 & 0xffu;
	if (segments > NF_BLKIF_SEGMENTS_MAX) /* refused by whoever looks; nothing is read beyond */
		segments = NF_BLKIF_SEGMENTS_MAX;
	return HEAD_WORDS + 2 * segments;
}

void nf__blk_slot_load(uint8_t abi, const void *shared, union nf_blk_slot *out)
{
	const uint32_t *shared_words = shared;
	uint32_t first = nf_load_relaxed(shared_words);
	uint32_t skip = abi == NF_BLK_ABI_X86_32;
	uint32_t count = words_of(first);
	out->words[0] = first;
	out->words[1] = 0;
	for (uint32_t i = 2; i < count; i++)
		out->words[i] = nf_load_relaxed(&shared_words[i - skip]);
}

void nf__blk_slot_store(uint8_t abi, void *shared, const union nf_blk_slot *in)
{
	uint32_t *shared_words = shared;
	uint32_t skip = abi == NF_BLK_ABI_X86_32;
	uint32_t count = words_of(in->words[0]);
	nf_store_relaxed(shared_words, in->words[0]);
	if (!skip)
		nf_store_relaxed(&shared_words[1], 0);
	for (uint32_t i = 2; i < count; i++)
		nf_store_relaxed(&shared_words[i - skip], in->words[i]);
}

void nf__blk_rsp_load(uint8_t abi, const void *shared, struct nf_blkif_response *out)
{
	const uint32_t *shared_words = shared;
	(void)abi; /* only the size differs */
	uint32_t low = nf_load_relaxed(&shared_words[0]);
	uint32_t high = nf_load_relaxed(&shared_words[1]);
	uint32_t rest = nf_load_relaxed(&shared_words[2]);
	*out = (struct nf_blkif_response){.id = (uint64_t)high << 32 | low,
					  .operation = (uint8_t)rest,
					  .status = (int16_t)(rest >> 16)};
}

void nf__blk_rsp_store(uint8_t abi, void *shared, uint64_t id, uint8_t operation, int16_t status)
{
	uint32_t *shared_words = shared;
	nf_store_relaxed(&shared_words[0], (uint32_t)id);
	nf_store_relaxed(&shared_words[1], (uint32_t)(id >> 32));
	nf_store_relaxed(&shared_words[2], operation | (uint32_t)(uint16_t)status << 16);
	if (abi != NF_BLK_ABI_X86_32)
		nf_store_relaxed(&shared_words[3], 0);
}
