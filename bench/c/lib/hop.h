/* SPDX-License-Identifier: MIT */
/*
 * The one-way time of a cache line between two CPUs. Virtual machines are moved between near and
 * far pairs of cores behind our back; ring throughput follows by 2 to 4 times.
 */
#ifndef NF_BENCH_HOP_H
#define NF_BENCH_HOP_H

#include <stdbool.h>
#include <stdint.h>

struct win_hop {
	uint32_t one_way_ns; /* median; 0: only one CPU, nothing to measure */
	bool gap;	     /* something held one of the CPUs up for more than 50 us */
};

/* Starts the second thread on CPU b and pins the caller to CPU a; a == b: one CPU. 0 or -errno. */
int win_hop_start(int a, int b);
void win_hop_stop(void);
/* About 0.2 ms near, 0.6 ms far. All pollers should sleep. */
struct win_hop win_hop_measure(void);

#endif
