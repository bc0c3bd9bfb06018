/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "diskcheck.h"

#define WORDS (DC_BLOCK_BYTES / 8u)
#define LINES_MAX 5 /* told; all are counted */

/* Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014), figure 17. */
uint64_t dc_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void dc_fill(uint8_t *block, uint64_t number, uint64_t version, uint64_t seed)
{
	uint64_t words[WORDS] = {number, version, seed};
	uint64_t state = seed ^ (number << 20) ^ (version << 44) ^ version;
	for (uint32_t i = 3; i < WORDS; i++)
		words[i] = dc_next(&state);
	memcpy(block, words, sizeof(words));
}

bool dc_check(const uint8_t *block, uint64_t number, uint64_t version, uint64_t seed)
{
	static _Atomic int told;
	uint8_t want[DC_BLOCK_BYTES];
	uint64_t got[3];
	uint32_t at = 0;

	dc_fill(want, number, version, seed);
	if (memcmp(block, want, sizeof(want)) == 0)
		return true;
	while (block[at] == want[at])
		at++;
	memcpy(got, block, sizeof(got));
	if (told++ < LINES_MAX)
		dc_say("block %" PRIu64 " is wrong from byte %u: wanted version %" PRIu64
		       " of seed %" PRIu64 ", its first words say block %" PRIu64
		       ", version %" PRIu64 ", seed %" PRIu64,
		       number, at, version, seed, got[0], got[1], got[2]);
	return false;
}
