/* SPDX-License-Identifier: MIT */
#include "emit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const words[NF_COUNTER_COUNT] = {
#define NF_COUNTER(name, help) [NF_COUNTER_##name] = #name,
#include "nf/counters.def"
#undef NF_COUNTER
};

static void end_line(void)
{
	printf("}\n");
	fflush(stdout);
}

void win_emit_window(const char *group, uint32_t index, const struct win_variant *v,
		     const struct win_result *r)
{
	printf("{\"type\":\"window\",\"group\":\"%s\",\"index\":%u,\"variant\":\"%s\"", group,
	       index, v->name);
	printf(",\"hopNs\":[%u,%u]", r->before.one_way_ns, r->after.one_way_ns);
	printf(",\"packets\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"ns\":%" PRIu64, r->packets,
	       r->bytes, r->ns);
	printf(",\"cpuNs\":{");
	for (uint32_t i = 0; i < v->count; i++)
		printf("%s\"%s\":%" PRIu64, i ? "," : "", v->domain[i]->name, r->cpu_ns[i]);
	printf("},\"latency\":[");
	const char *comma = "";
	for (uint32_t i = 0; i < NF_LATENCY_BUCKETS; i++) {
		if (r->latency[i] == 0)
			continue;
		printf("%s[%u,%" PRIu64 "]", comma, i, r->latency[i]);
		comma = ",";
	}
	printf("]");
	if (r->dropped)
		printf(",\"dropped\":\"%s\"", r->dropped);
	end_line();
}

void win_emit_totals(const char *group, const struct win_variant *v,
		     const struct win_totals before[WIN_VARIANT_DOMAINS])
{
	printf("{\"type\":\"totals\",\"group\":\"%s\",\"variant\":\"%s\",\"domains\":{", group,
	       v->name);
	for (uint32_t i = 0; i < v->count; i++) {
		struct win_totals now;
		const char *comma = "";
		win_domain_totals(v->domain[i], &now);
		printf("%s\"%s\":{", i ? "," : "", v->domain[i]->name);
		for (uint32_t w = 0; w < NF_COUNTER_COUNT; w++) {
			uint64_t n = now.words[w] - before[i].words[w];
			if (n == 0)
				continue;
			printf("%s\"%s\":%" PRIu64, comma, words[w], n);
			comma = ",";
		}
		printf("}");
	}
	printf("}");
	end_line();
}

void win_emit_hop(struct win_hop hop)
{
	printf("{\"type\":\"hop\",\"ns\":%u,\"gap\":%s", hop.one_way_ns,
	       hop.gap ? "true" : "false");
	end_line();
}

void win_emit_local(const struct win_variant *v)
{
	printf("{\"type\":\"local\",\"variant\":\"%s\",\"pids\":[%d,%d]", v->name, (int)v->local[0],
	       (int)v->local[1]);
	end_line();
}

void win_emit_done(const char *group)
{
	printf("{\"type\":\"done\",\"group\":\"%s\"", group);
	end_line();
}

void win_emit_error(const char *context, int error)
{
	printf("{\"type\":\"error\",\"context\":\"%s\",\"errno\":%d,\"message\":\"%s\"", context,
	       error, strerror(-error));
	end_line();
}
