/* SPDX-License-Identifier: MIT */
/* One short window of traffic through one variant, and what happened in it. */
#ifndef NF_BENCH_WINDOW_H
#define NF_BENCH_WINDOW_H

#include "domain.h"
#include "hop.h"

#define WIN_DOMAINS_MAX 64
#define WIN_VARIANT_DOMAINS 6
#define WIN_VARIANTS_MAX 16

/* A set-up that carries frames from one domain's generator to another's sink. */
struct win_variant {
	char name[WIN_NAME_MAX];
	uint32_t count;
	struct win_domain *domain[WIN_VARIANT_DOMAINS];
	struct win_domain *send, *sink; /* of those */
	uint32_t busy;			/* CPUs its pollers fill when polled */
	pid_t local[2];			/* processes started here, 0: none */
};

struct win_plan {
	uint64_t window_ns;
	uint64_t settle_ns;
	uint32_t frame_bytes;
	uint32_t batch;
	uint32_t verify_every;
	bool ping;   /* round trips in place of a stream */
	bool polled; /* pollers never sleep: CPU time missing from a window was stolen by others */
};

struct win_result {
	struct win_hop before, after;
	uint64_t packets, bytes, ns;
	uint64_t cpu_ns[WIN_VARIANT_DOMAINS];
	uint64_t latency[NF_LATENCY_BUCKETS]; /* only with ping */
	const char *dropped;		      /* why it does not count, NULL: it does */
};

/*
 * All variants are parked before and after. 0; -EIO nothing came through at all; -ETIMEDOUT a
 * domain does not park or does not drain.
 */
int win_run(const struct win_variant *v, const struct win_plan *plan, struct win_result *out);

#endif
