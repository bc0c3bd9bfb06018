/* SPDX-License-Identifier: MIT */
#include "window.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"

#define FIRST_NS 1500000000ull /* until the first packet must have come */
#define DRAIN_NS 2000000000ull
#define DRAIN_STEP_NS 200000ull
#define LATE_NS 2000000ull
#define CHANGED_RATIO 1.5  /* of the hop before and after: the machine flipped in between */
#define BUSY_SHARE_MIN 0.9 /* of the CPUs' time that pollers must have had */

static uint64_t steal_ticks(void)
{
	unsigned long long f[8] = {0};
	FILE *stat = fopen("/proc/stat", "re");
	if (!stat)
		return 0;
	int n = fscanf(stat, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &f[0], &f[1], &f[2],
		       &f[3], &f[4], &f[5], &f[6], &f[7]);
	fclose(stat);
	return n == 8 ? f[7] : 0;
}

static enum nf_counter moved_word(const struct win_plan *plan)
{
	return plan->ping ? NF_COUNTER_echo_packets : NF_COUNTER_sink_packets;
}

/* What counts as arrived: frames at the sink, or round trips at the pinger. */
static const struct win_domain *meter(const struct win_variant *v, const struct win_plan *plan)
{
	return plan->ping ? v->send : v->sink;
}

static void open_variant(const struct win_variant *v, const struct win_plan *plan)
{
	for (uint32_t i = 0; i < v->count; i++)
		win_domain_order(v->domain[i], NF_GEN_IDLE, plan->frame_bytes, plan->batch,
				 plan->verify_every);
	for (uint32_t i = 0; i < v->count; i++)
		win_domain_unpark(v->domain[i]);
	if (plan->ping)
		win_domain_order(v->sink, NF_GEN_ECHO, plan->frame_bytes, plan->batch,
				 plan->verify_every);
	win_domain_order(v->send, plan->ping ? NF_GEN_PING : NF_GEN_SEND, plan->frame_bytes,
			 plan->batch, plan->verify_every);
}

static int settle(const struct win_variant *v, const struct win_plan *plan, uint64_t start_count)
{
	const struct win_domain *m = meter(v, plan);
	uint64_t until = win_now_ns() + FIRST_NS;

	while (win_domain_count(m, moved_word(plan)) == start_count) {
		if (win_now_ns() > until)
			return -EIO;
		win_sleep_ns(DRAIN_STEP_NS);
	}
	win_sleep_ns(plan->settle_ns);
	return 0;
}

/* Frames the sender wrote and the sink has not seen, since `base` was taken the same way. */
static uint64_t under_way(const struct win_variant *v)
{
	return win_domain_count(v->send, NF_COUNTER_gen_packets) -
	       win_domain_count(v->sink, NF_COUNTER_sink_packets);
}

/* Stops the generator and waits until every frame has arrived; false: some never did. A generator
 * that was preempted in the middle of a batch is done with it once its process sleeps. */
static bool drain(const struct win_variant *v, const struct win_plan *plan, uint64_t base)
{
	uint64_t until = win_now_ns() + DRAIN_NS;

	win_domain_order(v->send, NF_GEN_IDLE, plan->frame_bytes, plan->batch, plan->verify_every);
	bool done = plan->ping || win_domain_park(v->send);
	while (under_way(v) != base && win_now_ns() < until)
		win_sleep_ns(DRAIN_STEP_NS);
	if (plan->ping) {
		win_sleep_ns(DRAIN_STEP_NS); /* the last reply */
		win_domain_order(v->sink, NF_GEN_IDLE, plan->frame_bytes, plan->batch,
				 plan->verify_every);
	}
	return done && under_way(v) == base;
}

static int park_all(const struct win_variant *v)
{
	for (uint32_t i = 0; i < v->count; i++)
		if (!win_domain_park(v->domain[i]))
			return -ETIMEDOUT;
	return 0;
}

/* The window itself, between two reads of the same counters. */
static void sample(const struct win_variant *v, const struct win_plan *plan, struct win_result *out)
{
	const struct win_domain *m = meter(v, plan);
	uint64_t latency[NF_LATENCY_BUCKETS];

	if (plan->ping)
		win_domain_latency(v->send, latency);
	for (uint32_t i = 0; i < v->count; i++)
		out->cpu_ns[i] = win_domain_cpu_ns(v->domain[i]);
	uint64_t start = win_now_ns();
	uint64_t packets = win_domain_count(m, moved_word(plan));
	uint64_t bytes = win_domain_count(v->sink, NF_COUNTER_sink_bytes);

	win_sleep_ns(plan->window_ns);

	uint64_t end = win_now_ns();
	out->packets = win_domain_count(m, moved_word(plan)) - packets;
	out->bytes = win_domain_count(v->sink, NF_COUNTER_sink_bytes) - bytes;
	out->ns = end - start;
	for (uint32_t i = 0; i < v->count; i++)
		out->cpu_ns[i] = win_domain_cpu_ns(v->domain[i]) - out->cpu_ns[i];
	if (plan->ping) {
		win_domain_latency(v->send, out->latency);
		for (uint32_t i = 0; i < NF_LATENCY_BUCKETS; i++)
			out->latency[i] -= latency[i];
	}
}

static const char *why_dropped(const struct win_variant *v, const struct win_plan *plan,
			       const struct win_result *r, uint64_t stolen)
{
	uint32_t low = r->before.one_way_ns, high = r->after.one_way_ns;
	uint64_t busy = 0;

	if (low > high) {
		low = r->after.one_way_ns;
		high = r->before.one_way_ns;
	}
	if ((double)high > (double)low * CHANGED_RATIO)
		return "class";
	if (stolen)
		return "steal";
	if (r->ns > plan->window_ns + LATE_NS)
		return "late";
	if (r->before.gap || r->after.gap)
		return "gap";
	for (uint32_t i = 0; i < v->count; i++)
		busy += r->cpu_ns[i];
	if (plan->polled && (double)busy < (double)r->ns * v->busy * BUSY_SHARE_MIN)
		return "contended";
	return NULL;
}

int win_run(const struct win_variant *v, const struct win_plan *plan, struct win_result *out)
{
	memset(out, 0, sizeof(*out));
	uint64_t steal = steal_ticks();
	out->before = win_hop_measure();

	uint64_t first = win_domain_count(meter(v, plan), moved_word(plan));
	uint64_t base = under_way(v);
	open_variant(v, plan);
	int e = settle(v, plan, first);
	if (e == 0)
		sample(v, plan, out);
	bool drained = drain(v, plan, base);
	int parked = park_all(v);

	out->after = win_hop_measure();
	out->dropped = why_dropped(v, plan, out, steal_ticks() - steal);
	if (!drained)
		out->dropped = "undrained";
	return e ? e : parked;
}
