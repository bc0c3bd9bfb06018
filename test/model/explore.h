/* SPDX-License-Identifier: MIT */
/*
 * All executions of one function that asks what happens next: depth first over its answers, each
 * execution from the start, a state that was seen before not entered again. Included by one
 * program; not thread safe; what runs in it may keep nothing but static memory.
 */
#ifndef NF_MODEL_EXPLORE_H
#define NF_MODEL_EXPLORE_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPLORE_DEPTH 8192u
#define EXPLORE_SEEN (1u << 24)

static struct {
	uint8_t path[EXPLORE_DEPTH], width[EXPLORE_DEPTH];
	uint32_t depth, known;
	uint64_t states, executions;
	uint64_t *seen;
	const char *why; /* what went wrong */
	bool is_telling; /* the failed execution once more, in words */
	jmp_buf end;
} explore;

static inline uint64_t explore_mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0xff51afd7ed558ccdu;
	return hash ^ (hash >> 32);
}

static inline uint64_t explore_hash(uint64_t hash, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;
	uint64_t word = 0;
	for (; n >= 8; n -= 8, at += 8) {
		memcpy(&word, at, 8);
		hash = explore_mix(hash, word);
	}
	word = 0;
	memcpy(&word, at, n);
	return explore_mix(hash, word + n);
}

_Noreturn static void explore_fail(const char *why)
{
	explore.why = why;
	longjmp(explore.end, 1);
}

/* An execution is over and was good. */
_Noreturn static void explore_done(void)
{
	longjmp(explore.end, 1);
}

/* True when this state was new. */
static bool explore_enter(uint64_t state)
{
	uint64_t h = state ? state : 1;
	for (uint32_t i = (uint32_t)(h >> 8) & (EXPLORE_SEEN - 1);;
	     i = (i + 1) & (EXPLORE_SEEN - 1)) {
		if (explore.seen[i] == h)
			return false;
		if (explore.seen[i])
			continue;
		explore.seen[i] = h;
		if (++explore.states > EXPLORE_SEEN / 2)
			explore_fail("too many states");
		return true;
	}
}

/* True while the way here is the last execution's: no state is asked for. */
static inline bool explore_follows(void)
{
	return explore.depth < explore.known;
}

/*
 * One of n possibilities. state: hash of all that decides what happens from here on. Does not come
 * back when everything from here on was looked at before.
 */
static uint32_t explore_choose(uint64_t state, uint32_t n)
{
	uint32_t at = explore.depth;
	if (at >= EXPLORE_DEPTH)
		explore_fail("an execution without end");
	if (n == 0 || n > UINT8_MAX)
		explore_fail("the model asks for what there is not");
	if (at >= explore.known) {
		if (!explore_enter(state))
			explore_done();
		explore.path[at] = 0;
	}
	explore.depth++;
	explore.width[at] = (uint8_t)n;
	return explore.path[at];
}

static void explore_execute(void (*run)(void))
{
	explore.depth = 0;
	if (setjmp(explore.end) == 0)
		run();
}

/* NULL when all executions of run are good, else what was wrong in the first that is not; the path
 * to it is kept for explore_tell. */
static const char *explore_all(void (*run)(void))
{
	free(explore.seen);
	explore.seen = calloc(EXPLORE_SEEN, sizeof(*explore.seen));
	if (!explore.seen)
		abort();
	explore.known = 0;
	explore.why = NULL;
	explore.states = explore.executions = 0;
	for (;;) {
		explore_execute(run);
		explore.executions++;
		uint32_t depth = explore.depth;
		explore.known = depth;
		if (explore.why)
			return explore.why;
		while (depth > 0 && explore.path[depth - 1] + 1 >= explore.width[depth - 1])
			depth--;
		if (depth == 0)
			return NULL;
		explore.path[depth - 1]++;
		explore.known = depth;
	}
}

/* The execution that failed again, with explore.is_telling. */
__attribute__((unused)) static void explore_tell(void (*run)(void))
{
	const char *why = explore.why;
	explore.is_telling = true;
	explore_execute(run);
	explore.is_telling = false;
	explore.why = why;
}

#endif
