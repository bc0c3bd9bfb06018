/* SPDX-License-Identifier: MIT */
/* Starts nf-bare-ring or nf-copy-limit as two more "domains" of the coordinator. */
#ifndef NF_BENCH_LOCAL_H
#define NF_BENCH_LOCAL_H

#include "window.h"

/*
 * program: path of the executable; cpus: of its two ends. Fills v and the two domains (front, back)
 * and parks them. 0 or -errno; nothing is left behind on failure.
 */
int win_local_start(struct win_variant *v, struct win_domain domains[2], const char *name,
		    const char *program, const int cpus[2]);
void win_local_stop(struct win_variant *v);

#endif
