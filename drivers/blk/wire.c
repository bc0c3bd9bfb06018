/* SPDX-License-Identifier: MIT */
/* Slots of a 32-bit front, word by word: they are aligned to no more. */
#include "wire.h"

void nf__blk_slot_load32(const void *shared, union nf_blk_slot *out)
{
	const uint32_t *shared_words = shared;
	uint32_t first = nf_load_relaxed(shared_words);
	uint32_t count = nf__blk_slot_words(first);
	out->words[0] = first;
	out->words[1] = 0;
	for (uint32_t i = 2; i < count; i++)
		out->words[i] = nf_load_relaxed(&shared_words[i - 1]);
}

void nf__blk_slot_store32(void *shared, const union nf_blk_slot *in)
{
	uint32_t *shared_words = shared;
	uint32_t count = nf__blk_slot_words(in->words[0]);
	nf_store_relaxed(shared_words, in->words[0]);
	for (uint32_t i = 2; i < count; i++)
		nf_store_relaxed(&shared_words[i - 1], in->words[i]);
}
