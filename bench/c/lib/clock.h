/* SPDX-License-Identifier: MIT */
/* Time for the benches. */
#ifndef NF_BENCH_CLOCK_H
#define NF_BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t win_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void win_sleep_ns(uint64_t ns)
{
	struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) != 0)
		;
}

#endif
