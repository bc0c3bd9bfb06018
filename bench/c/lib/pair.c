/* SPDX-License-Identifier: MIT */
#include "pair.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nf/atomics.h"

static int fail(const char *what, int error)
{
	fprintf(stderr, "%s: %s\n", what, strerror(-error));
	return error;
}

static int pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) < 0 ? -errno : 0;
}

static int map(struct pair *p)
{
	p->shared = mmap(NULL, PAIR_SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			 PAIR_FD_SHARED, 0);
	if (p->shared == MAP_FAILED) {
		p->shared = NULL;
		return fail("shared memory", -errno);
	}
	void *at = mmap(NULL, sizeof(*p->control), PROT_READ, MAP_SHARED, PAIR_FD_CONTROL, 0);
	if (at == MAP_FAILED)
		return fail("control page", -errno);
	p->control = at;
	int e = nf_counters_open(
		&p->counters, PAIR_FD_COUNTERS,
		(PAIR_COUNTERS_BYTES - NF_COUNTERS_HEADER_BYTES) / NF_COUNTERS_BLOCK_BYTES, 0);
	return e < 0 ? fail("counters", e) : 0;
}

static int open_port(struct pair *p)
{
	char err[120] = "";

	p->block = nf_counters_take(&p->counters, 1);
	if (!p->block)
		return fail("counters", -ENOSPC);
	nf_block_begin(p->block);
	p->block->h.kind = p->front ? NF_BLOCK_NETFRONT : NF_BLOCK_NETBACK;
	p->block->h.state = 4;
	nf_block_end(p->block);
	struct nf_port_env env = {.queues = 1,
				  .mtu = 1500,
				  .is_back = !p->front,
				  .control = &p->control->dev[0],
				  .counters = p->block};
	int e = nf_port_open("gen", &env, &p->port, err, sizeof(err));
	return e < 0 ? fail(err, e) : 0;
}

int pair_open(struct pair *p, int argc, char **argv)
{
	memset(p, 0, sizeof(*p));
	if (argc != 3 || (strcmp(argv[1], "front") != 0 && strcmp(argv[1], "back") != 0))
		return fail("usage: front|back CPU, started by nf-window", -EINVAL);
	p->front = strcmp(argv[1], "front") == 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	int e = pin(atoi(argv[2]));
	if (e < 0)
		return fail("pinning to a CPU", e);
	e = map(p);
	return e < 0 ? e : open_port(p);
}

void pair_close(struct pair *p)
{
	nf_port_close(&p->port);
	if (p->counters.hdr)
		nf_counters_close(&p->counters);
	if (p->control)
		munmap((void *)(uintptr_t)p->control, sizeof(*p->control));
	if (p->shared)
		munmap(p->shared, PAIR_SHARED_BYTES);
}

bool pair_go_on(struct pair *p)
{
	const uint32_t *word = &p->control->park;
	uint32_t value;

	while (__builtin_expect((value = nf_load_relaxed(word)) != 0, 0)) {
		if (getppid() == 1)
			return false;
		/* not private: the coordinator's page */
		syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
	}
	return true;
}
