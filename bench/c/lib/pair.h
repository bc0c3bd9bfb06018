/* SPDX-License-Identifier: MIT */
/*
 * What nf-bare-ring and nf-copy-limit have in common: two processes that share memory and nothing
 * else, with the generator and sink of the "gen" port, told what to do by a control page. They are
 * the measure for the rings: the same writes and copies without what makes a ring safe.
 */
#ifndef NF_BENCH_PAIR_H
#define NF_BENCH_PAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "nf/control.h"
#include "nf/counters.h"
#include "nf/port.h"

#define PAIR_PAGES 256u
#define PAIR_PAGE_BYTES 4096u
#define PAIR_HEADER_BYTES 8192u /* before the payload pages */
#define PAIR_SHARED_BYTES (PAIR_HEADER_BYTES + PAIR_PAGES * PAIR_PAGE_BYTES)
#define PAIR_COUNTERS_BYTES 4096u
#define PAIR_BATCH 64u

struct pair {
	bool front; /* writes frames; the other end copies them out */
	uint8_t *shared;
	const struct nf_control_page *control;
	struct nf_counters_map counters;
	struct nf_counters *block;
	struct nf_port port;
};

/* Descriptors inherited by both processes. */
enum pair_fd { PAIR_FD_SHARED = 3, PAIR_FD_CONTROL = 4, PAIR_FD_COUNTERS = 5 };

/* argv: front|back CPU. 0 or -errno with a line on stderr; close is safe after a failure. */
int pair_open(struct pair *p, int argc, char **argv);
void pair_close(struct pair *p);
/* Sleeps while the control page says so; false: the coordinator is gone. */
bool pair_go_on(struct pair *p);

static inline uint8_t *pair_page(const struct pair *p, uint32_t page)
{
	return p->shared + PAIR_HEADER_BYTES + (uint64_t)page * PAIR_PAGE_BYTES;
}

/* Varied 64-byte offsets: page-aligned payloads all fall into the same cache sets. */
static inline uint32_t pair_offset(uint32_t page, uint32_t frame_bytes)
{
	return frame_bytes <= PAIR_PAGE_BYTES / 2 ? (page % 31u) * 64u : 0;
}

/* The reader has the line: fetch it once, to write. (__builtin_prefetch for writing is a plain read
 * on the x86-64 baseline, which would move the line twice.) */
static inline void pair_prefetch_own(const uint8_t *p)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" : : "m"(*p));
#else
	__builtin_prefetch(p, 1);
#endif
}

#endif
