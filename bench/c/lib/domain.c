/* SPDX-License-Identifier: MIT */
#include "domain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "nf/atomics.h"

#define PARK_NS 2000000000ull
#define QUIET_NS 60000ull /* without CPU time used: asleep */

static int map_counters(struct win_domain *d, int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)(NF_COUNTERS_HEADER_BYTES + NF_COUNTERS_BLOCK_BYTES))
		return -EPROTO;
	void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	d->counters = at;
	d->counters_bytes = (size_t)st.st_size;
	const struct nf_counters_header *h = at;
	return h->magic == NF_COUNTERS_MAGIC && h->version == NF_COUNTERS_VERSION ? 0 : -EPROTO;
}

int win_domain_open(struct win_domain *d, const char *name, int control_fd, int counters_fd,
		    pid_t pid)
{
	memset(d, 0, sizeof(*d));
	snprintf(d->name, sizeof(d->name), "%s", name);
	d->pid = pid;
	int e = clock_getcpuclockid(pid, &d->cpu_clock);
	if (e)
		return -e;
	void *at = mmap(NULL, sizeof(struct nf_control_page), PROT_READ | PROT_WRITE, MAP_SHARED,
			control_fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	d->control = at;
	e = d->control->magic == NF_CONTROL_MAGIC ? map_counters(d, counters_fd) : -EPROTO;
	if (e)
		win_domain_close(d);
	return e;
}

void win_domain_close(struct win_domain *d)
{
	if (d->control)
		munmap(d->control, sizeof(struct nf_control_page));
	if (d->counters)
		munmap((void *)(uintptr_t)d->counters, d->counters_bytes);
	d->control = NULL;
	d->counters = NULL;
}

/* The block after *at of the wanted kind (latency or not), NULL at the end. */
static const struct nf_counters *next_block(const struct win_domain *d, uint32_t *at, bool latency)
{
	const struct nf_counters_header *h = (const void *)d->counters;
	uint32_t fit = (uint32_t)((d->counters_bytes - NF_COUNTERS_HEADER_BYTES) /
				  NF_COUNTERS_BLOCK_BYTES);
	uint32_t blocks = h->blocks < fit ? h->blocks : fit;

	while (*at < blocks) {
		const struct nf_counters *b = (const void *)(d->counters +
							     NF_COUNTERS_HEADER_BYTES +
							     (size_t)*at * NF_COUNTERS_BLOCK_BYTES);
		bool is_latency = b->h.kind == NF_BLOCK_LATENCY;
		*at += is_latency ? NF_LATENCY_BLOCKS : 1;
		if (b->h.kind != NF_BLOCK_FREE && is_latency == latency && *at <= blocks)
			return b;
	}
	return NULL;
}

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

void win_domain_totals(const struct win_domain *d, struct win_totals *out)
{
	const struct nf_counters *b;
	uint32_t at = 0;

	memset(out, 0, sizeof(*out));
	while ((b = next_block(d, &at, false)))
		for (uint32_t i = 0; i < NF_COUNTER_COUNT; i++)
			out->words[i] += load(&b->words[i]);
}

void win_domain_latency(const struct win_domain *d, uint64_t buckets[NF_LATENCY_BUCKETS])
{
	const struct nf_counters *b;
	uint32_t at = 0;

	memset(buckets, 0, NF_LATENCY_BUCKETS * sizeof(buckets[0]));
	while ((b = next_block(d, &at, true))) {
		/* a region: one header, then buckets over the rest of its blocks */
		const uint64_t *first = (const void *)((const uint8_t *)b + sizeof(b->h));
		for (uint32_t i = 0; i < NF_LATENCY_BUCKETS; i++)
			buckets[i] += load(&first[i]);
	}
}

uint64_t win_domain_count(const struct win_domain *d, enum nf_counter word)
{
	const struct nf_counters *b;
	uint32_t at = 0;
	uint64_t sum = 0;

	while ((b = next_block(d, &at, false)))
		sum += load(&b->words[word]);
	return sum;
}

uint64_t win_domain_cpu_ns(const struct win_domain *d)
{
	struct timespec t;
	if (clock_gettime(d->cpu_clock, &t) < 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* True when none of its threads runs or wants to: one that was preempted uses no CPU either. */
static bool all_asleep(pid_t pid)
{
	char path[64], stat[256];
	struct dirent *entry;
	bool asleep = true;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	if (!tasks)
		return true; /* it has ended */
	int dir = dirfd(tasks);
	while (asleep && (entry = readdir(tasks))) {
		snprintf(path, sizeof(path), "%.20s/stat", entry->d_name);
		int fd = entry->d_name[0] == '.' ? -1 : openat(dir, path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		ssize_t n = read(fd, stat, sizeof(stat) - 1);
		close(fd);
		stat[n > 0 ? n : 0] = '\0';
		const char *end = strrchr(stat, ')'); /* of the name, which may hold anything */
		asleep = !end || end[1] == '\0' || end[2] != 'R';
	}
	closedir(tasks);
	return asleep;
}

bool win_domain_park(const struct win_domain *d)
{
	uint64_t until = win_now_ns() + PARK_NS;
	uint64_t before, after = win_domain_cpu_ns(d);
	bool asleep;

	nf_store_relaxed(&d->control->park, 1);
	nf_control_ring(d->control); /* who sleeps is to see the word too */
	do {
		before = after;
		win_sleep_ns(QUIET_NS);
		after = win_domain_cpu_ns(d);
		asleep = after == before && all_asleep(d->pid);
	} while (!asleep && win_now_ns() < until);
	return asleep;
}

void win_domain_unpark(const struct win_domain *d)
{
	nf_store_relaxed(&d->control->park, 0);
	syscall(SYS_futex, &d->control->park, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void win_domain_order(const struct win_domain *d, enum nf_gen_mode mode, uint32_t frame_bytes,
		      uint32_t batch, uint32_t verify_every)
{
	for (uint32_t i = 0; i < NF_CONTROL_DEVICES; i++) {
		struct nf_control_dev *c = &d->control->dev[i];
		nf_store_relaxed(&c->frame_bytes, frame_bytes);
		nf_store_relaxed(&c->batch, batch);
		nf_store_relaxed(&c->verify_every, verify_every);
		nf_store_relaxed(&c->limit, 0);
		nf_store_release(&c->mode, mode); /* the orders before the word to go */
	}
	nf_control_ring(d->control);
}
