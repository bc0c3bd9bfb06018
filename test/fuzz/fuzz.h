/* SPDX-License-Identifier: MIT */
/*
 * Fuzz targets: each takes bytes as a peer's behaviour, so that small inputs reach deep. They are
 * deterministic and leave nothing behind, so libFuzzer, AFL++ and the corpus replay of `npm test`
 * run the same function. A broken invariant aborts, with its text.
 */
#ifndef NF_FUZZ_H
#define NF_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fuzz_target {
	const char *name;
	void (*run)(const uint8_t *data, size_t bytes);
	const char *help;
};

/* Ends with name NULL. The canary is not among them: it must crash. */
extern const struct fuzz_target fuzz_targets[];
extern const struct fuzz_target fuzz_canary;
/* NULL: no such target. */
const struct fuzz_target *fuzz_find(const char *name);

#define FUZZ_EXPECT(good, what)                                                                    \
	do {                                                                                       \
		if (!(good)) {                                                                     \
			fprintf(stderr, "invariant broken: %s (%s:%d)\n", what, __FILE__,          \
				__LINE__);                                                         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* ---- reading an input: past its end everything is 0 ---- */
struct fuzz_in {
	const uint8_t *at, *end;
};

static inline struct fuzz_in fuzz_input(const uint8_t *data, size_t bytes)
{
	return (struct fuzz_in){.at = data, .end = data + bytes};
}

static inline size_t fuzz_left(const struct fuzz_in *in)
{
	return (size_t)(in->end - in->at);
}

static inline uint8_t fuzz_u8(struct fuzz_in *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static inline uint16_t fuzz_u16(struct fuzz_in *in)
{
	uint32_t low = fuzz_u8(in);
	return (uint16_t)(low | (uint32_t)fuzz_u8(in) << 8);
}

static inline uint32_t fuzz_u32(struct fuzz_in *in)
{
	uint32_t low = fuzz_u16(in);
	return low | (uint32_t)fuzz_u16(in) << 16;
}

/* A value at most 128 away: most lies about an index are near the truth. */
static inline uint32_t fuzz_near(struct fuzz_in *in, uint32_t value)
{
	return value + fuzz_u8(in) - 128u;
}

/* Up to cap bytes; how many. */
static inline size_t fuzz_bytes(struct fuzz_in *in, void *to, size_t cap)
{
	size_t n = fuzz_left(in) < cap ? fuzz_left(in) : cap;
	if (n > 0)
		memcpy(to, in->at, n);
	in->at += n;
	return n;
}

/* A page of its own: with AddressSanitizer its neighbours are forbidden ground. Never freed. */
static inline uint8_t *fuzz_page(void)
{
	uint8_t *page = aligned_alloc(4096, 4096);
	if (!page)
		abort();
	memset(page, 0x5a, 4096);
	return page;
}

/* Reads every byte, so that the sanitizer sees each access. */
static inline void fuzz_touch(const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		(void)((const volatile uint8_t *)bytes)[i];
}

#endif
