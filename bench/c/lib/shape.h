/* SPDX-License-Identifier: MIT */
/* A link's speed on an interface of this namespace: the token bucket filter, without tc. */
#ifndef NF_BENCH_SHAPE_H
#define NF_BENCH_SHAPE_H

#include <stdint.h>

/*
 * Frames leave at bits_per_second of a wire: each counts with its preamble, gap and FCS (24 B), and
 * as 84 B at least. limit_bytes may wait. 0 or -errno; -ENOENT: a kernel without sch_tbf.
 */
int shape_line(const char *name, uint64_t bits_per_second, uint32_t limit_bytes);

/* Frames the interface's queueing discipline dropped, or negative errno. */
int64_t shape_drops(const char *name);

#endif
