/* SPDX-License-Identifier: MIT */
/*
 * The window coordinator. It alternates set-ups that are all alive but parked, gives each 10 to 20
 * ms of traffic, samples the sink's counters at the window's edges, and measures the cache-line hop
 * between the CPUs before and after. Orders come line by line on standard input, words or
 * key=value:
 *
 *   cpus A B                                  the two CPUs of the pollers
 *   domain NAME control=FD counters=FD pid=N  a running domain; descriptors are inherited
 *   variant NAME send=D sink=D domains=D,D,D busy=N    N: CPUs its pollers fill
 *   local NAME program=PATH                   nf-bare-ring or nf-copy-limit as a variant
 *   hop                                       one measurement, for orientation
 *   measure group=G variants=V,V windows=N ms=12 settle=2 frame=60 batch=64 verify=0 ping=0
 *           polled=1 reverse=0                reverse=1: from sink to send
 *   quit
 *
 * Answers are JSON lines: window, totals, local, hop, done, error. Exit 0 at quit or end of input.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/emit.h"
#include "lib/local.h"
#include "lib/window.h"

#define WORDS_MAX 16

static struct {
	struct win_domain domain[WIN_DOMAINS_MAX];
	struct win_variant variant[WIN_VARIANTS_MAX];
	uint32_t domains, variants;
	int cpus[2];
	bool hop_running;
} all;

struct words {
	uint32_t count;
	char *word[WORDS_MAX];
};

static const char *value_of(const struct words *w, const char *key)
{
	size_t n = strlen(key);
	for (uint32_t i = 1; i < w->count; i++)
		if (strncmp(w->word[i], key, n) == 0 && w->word[i][n] == '=')
			return w->word[i] + n + 1;
	return NULL;
}

static long number_of(const struct words *w, const char *key, long otherwise)
{
	const char *text = value_of(w, key);
	return text ? strtol(text, NULL, 10) : otherwise;
}

static struct win_domain *find_domain(const char *name, size_t n)
{
	for (uint32_t i = 0; name && i < all.domains; i++)
		if (strlen(all.domain[i].name) == n && memcmp(all.domain[i].name, name, n) == 0)
			return &all.domain[i];
	return NULL;
}

static struct win_variant *find_variant(const char *name, size_t n)
{
	for (uint32_t i = 0; name && i < all.variants; i++)
		if (strlen(all.variant[i].name) == n && memcmp(all.variant[i].name, name, n) == 0)
			return &all.variant[i];
	return NULL;
}

static int do_cpus(const struct words *w)
{
	if (w->count != 3 || all.hop_running)
		return -EINVAL;
	all.cpus[0] = atoi(w->word[1]);
	all.cpus[1] = atoi(w->word[2]);
	int e = win_hop_start(all.cpus[0], all.cpus[1]);
	all.hop_running = e == 0;
	return e;
}

static int do_domain(const struct words *w)
{
	long control = number_of(w, "control", -1), counters = number_of(w, "counters", -1);
	long pid = number_of(w, "pid", 0);

	if (w->count < 2 || control < 0 || counters < 0 || pid <= 0)
		return -EINVAL;
	if (all.domains == WIN_DOMAINS_MAX)
		return -ENOSPC;
	int e = win_domain_open(&all.domain[all.domains], w->word[1], (int)control, (int)counters,
				(pid_t)pid);
	if (e < 0)
		return e;
	return win_domain_park(&all.domain[all.domains++]) ? 0 : -ETIMEDOUT;
}

static int do_variant(const struct words *w)
{
	const char *send = value_of(w, "send"), *sink = value_of(w, "sink");
	const char *list = value_of(w, "domains");

	if (w->count < 2 || !send || !sink || !list)
		return -EINVAL;
	if (all.variants == WIN_VARIANTS_MAX)
		return -ENOSPC;
	struct win_variant *v = &all.variant[all.variants];
	memset(v, 0, sizeof(*v));
	v->busy = (uint32_t)number_of(w, "busy", 2);
	snprintf(v->name, sizeof(v->name), "%s", w->word[1]);
	v->send = find_domain(send, strlen(send));
	v->sink = find_domain(sink, strlen(sink));
	while (*list && v->count < WIN_VARIANT_DOMAINS) {
		size_t n = strcspn(list, ",");
		v->domain[v->count] = find_domain(list, n);
		if (!v->domain[v->count++])
			return -ENOENT;
		list += n + (list[n] == ',');
	}
	if (!v->send || !v->sink)
		return -ENOENT;
	all.variants++;
	return 0;
}

static int do_local(const struct words *w)
{
	const char *program = value_of(w, "program");

	if (w->count < 2 || !program)
		return -EINVAL;
	if (all.variants == WIN_VARIANTS_MAX || all.domains + 2 > WIN_DOMAINS_MAX)
		return -ENOSPC;
	struct win_variant *v = &all.variant[all.variants];
	int e = win_local_start(v, &all.domain[all.domains], w->word[1], program, all.cpus);
	if (e < 0)
		return e;
	all.variants++;
	all.domains += 2;
	win_emit_local(v);
	return 0;
}

struct measure {
	const char *group;
	struct win_plan plan;
	uint32_t count;
	struct win_variant *variant[WIN_VARIANTS_MAX];
	uint32_t dead_count;
	struct win_variant *dead[WIN_VARIANTS_MAX]; /* failed once: not tried again */
	struct win_totals before[WIN_VARIANTS_MAX][WIN_VARIANT_DOMAINS];
};

static int parse_measure(const struct words *w, struct measure *m)
{
	const char *list = value_of(w, "variants");

	m->group = value_of(w, "group");
	m->plan = (struct win_plan){
		.window_ns = (uint64_t)number_of(w, "ms", 12) * 1000000,
		.settle_ns = (uint64_t)number_of(w, "settle", 2) * 1000000,
		.frame_bytes = (uint32_t)number_of(w, "frame", 60),
		.batch = (uint32_t)number_of(w, "batch", 64),
		.verify_every = (uint32_t)number_of(w, "verify", 0),
		.ping = number_of(w, "ping", 0) != 0,
		.polled = number_of(w, "polled", 1) != 0,
	};
	while (list && *list && m->count < WIN_VARIANTS_MAX) {
		size_t n = strcspn(list, ",");
		m->variant[m->count] = find_variant(list, n);
		if (!m->variant[m->count++])
			return -ENOENT;
		list += n + (list[n] == ',');
	}
	return m->group && m->count ? 0 : -EINVAL;
}

/* False: nothing comes through this variant. */
static bool run_window(const struct measure *m, uint32_t index, struct win_variant *v, bool reverse)
{
	static struct win_result r;
	struct win_variant turned = *v;

	if (reverse) {
		turned.send = v->sink;
		turned.sink = v->send;
	}
	int e = win_run(&turned, &m->plan, &r);
	if (e < 0)
		win_emit_error(v->name, e);
	else
		win_emit_window(m->group, index, &turned, &r);
	return e >= 0;
}

/* A variant may be listed more than once, so that it stands beside each of the others. */
static bool first_of(const struct measure *m, uint32_t i)
{
	for (uint32_t k = 0; k < i; k++)
		if (m->variant[k] == m->variant[i])
			return false;
	return true;
}

/* Every round visits all variants, every other round backwards: neighbours in time are compared. */
static void run_round(struct measure *m, uint32_t round, uint32_t position, bool reverse)
{
	struct win_variant *v = m->variant[round & 1 ? m->count - 1 - position : position];

	for (uint32_t i = 0; i < m->dead_count; i++)
		if (m->dead[i] == v)
			return;
	if (!run_window(m, round * m->count + position, v, reverse))
		m->dead[m->dead_count++] = v;
}

static int do_measure(const struct words *w)
{
	static struct measure m;
	memset(&m, 0, sizeof(m));
	int e = parse_measure(w, &m);
	if (e < 0)
		return e;
	uint32_t rounds = (uint32_t)number_of(w, "windows", 20);
	bool reverse = number_of(w, "reverse", 0) != 0;
	for (uint32_t i = 0; i < m.count; i++)
		for (uint32_t d = 0; d < m.variant[i]->count; d++)
			win_domain_totals(m.variant[i]->domain[d], &m.before[i][d]);
	for (uint32_t r = 0; r < rounds; r++)
		for (uint32_t i = 0; i < m.count; i++)
			run_round(&m, r, i, reverse);
	for (uint32_t i = 0; i < m.count; i++)
		if (first_of(&m, i))
			win_emit_totals(m.group, m.variant[i], m.before[i]);
	win_emit_done(m.group);
	return 0;
}

static int do_hop(const struct words *w)
{
	(void)w;
	win_emit_hop(win_hop_measure());
	return 0;
}

static int obey(const struct words *w)
{
	static const struct {
		const char *name;
		int (*run)(const struct words *w);
	} orders[] = {{"cpus", do_cpus},   {"domain", do_domain},   {"variant", do_variant},
		      {"local", do_local}, {"measure", do_measure}, {"hop", do_hop}};

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		if (strcmp(w->word[0], orders[i].name) == 0)
			return orders[i].run(w);
	return -ENOSYS;
}

int main(void)
{
	char line[2048];

	while (fgets(line, sizeof(line), stdin)) {
		struct words w = {0};
		char *rest = line;
		for (char *t; (t = strtok_r(rest, " \n", &rest)) && w.count < WORDS_MAX;)
			w.word[w.count++] = t;
		if (w.count == 0)
			continue;
		if (strcmp(w.word[0], "quit") == 0)
			break;
		int e = obey(&w);
		if (e < 0)
			win_emit_error(w.count > 1 ? w.word[1] : w.word[0], e);
	}
	for (uint32_t i = 0; i < all.variants; i++)
		if (all.variant[i].local[0])
			win_local_stop(&all.variant[i]);
	win_hop_stop();
	return 0;
}
