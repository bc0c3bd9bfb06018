/* SPDX-License-Identifier: MIT */
/* A domain as the window coordinator sees it: its control page, its counters page, its CPU clock.
 */
#ifndef NF_BENCH_DOMAIN_H
#define NF_BENCH_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "nf/control.h"
#include "nf/counters.h"

#define WIN_NAME_MAX 40

struct win_domain {
	char name[WIN_NAME_MAX];
	pid_t pid; /* as this process numbers it */
	clockid_t cpu_clock;
	struct nf_control_page *control; /* shared, written here */
	const uint8_t *counters;	 /* shared, written by the domain */
	size_t counters_bytes;
};

/* Sums over all blocks of a domain, latency regions left out. */
struct win_totals {
	uint64_t words[NF_COUNTER_COUNT];
};

/*
 * Maps both pages (the descriptors stay the caller's) and finds the CPU clock of pid. 0 or -errno:
 * -EPROTO the control page or counters are not what they should be, -ESRCH no such process.
 */
int win_domain_open(struct win_domain *d, const char *name, int control_fd, int counters_fd,
		    pid_t pid);
void win_domain_close(struct win_domain *d);

void win_domain_totals(const struct win_domain *d, struct win_totals *out);
/* Round trip histograms of all its pingers, added up. */
void win_domain_latency(const struct win_domain *d, uint64_t buckets[NF_LATENCY_BUCKETS]);
/* One counter over all blocks: what is sampled at a window's edges. */
uint64_t win_domain_count(const struct win_domain *d, enum nf_counter word);
/* CPU time the process has used so far, all threads, ns; 0 when it has ended. */
uint64_t win_domain_cpu_ns(const struct win_domain *d);

/* Puts its pollers to sleep and waits until no thread runs or wants to; false: one still does after
 * two seconds. */
bool win_domain_park(const struct win_domain *d);
void win_domain_unpark(const struct win_domain *d);
/* Orders for every generator of the domain; mode is written last. */
void win_domain_order(const struct win_domain *d, enum nf_gen_mode mode, uint32_t frame_bytes,
		      uint32_t batch, uint32_t verify_every);

#endif
