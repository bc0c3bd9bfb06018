/* SPDX-License-Identifier: MIT */
/* What the coordinator says: one JSON object a line on standard output, flushed at once. */
#ifndef NF_BENCH_EMIT_H
#define NF_BENCH_EMIT_H

#include "window.h"

void win_emit_window(const char *group, uint32_t index, const struct win_variant *v,
		     const struct win_result *r);
/* What the counters of all its domains did since `before`, in the order of v->domain. */
void win_emit_totals(const char *group, const struct win_variant *v,
		     const struct win_totals before[WIN_VARIANT_DOMAINS]);
void win_emit_hop(struct win_hop hop);
void win_emit_local(const struct win_variant *v);
void win_emit_done(const char *group);
/* context: what was being done; error: a negative errno. */
void win_emit_error(const char *context, int error);

#endif
