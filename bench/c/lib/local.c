/* SPDX-License-Identifier: MIT */
#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "nf/atomics.h"
#include "pair.h"

#define START_NS 2000000000ull

static int memory(const char *name, size_t bytes)
{
	int fd = memfd_create(name, MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) < 0) {
		int e = -errno;
		close(fd);
		return e;
	}
	return fd;
}

/* A control page as a hypervisor makes it, parked. */
static int control_memory(void)
{
	int fd = memory("nf-bench-control", sizeof(struct nf_control_page));
	if (fd < 0)
		return fd;
	struct nf_control_page *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
					 0);
	if (c == MAP_FAILED) {
		int e = -errno;
		close(fd);
		return e;
	}
	c->magic = NF_CONTROL_MAGIC;
	c->park = 1;
	munmap(c, sizeof(*c));
	return fd;
}

/* In the child: descriptors 3, 4 and 5, then the program. Does not return. */
static void become(const char *program, const char *role, int cpu, const int fds[3])
{
	char number[16];
	int high[3];

	snprintf(number, sizeof(number), "%d", cpu);
	for (int i = 0; i < 3; i++) /* out of the way of 3, 4 and 5 first */
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 64);
	for (int i = 0; i < 3; i++)
		if (high[i] < 0 || dup2(high[i], PAIR_FD_SHARED + i) < 0)
			_exit(126);
	execl(program, program, role, number, (char *)NULL);
	_exit(127);
}

static pid_t start_end(const char *program, const char *role, int cpu, const int fds[3])
{
	pid_t pid = fork();
	if (pid == 0)
		become(program, role, cpu, fds);
	return pid < 0 ? -errno : pid;
}

/* Opens the domain once its process has written the header of its counters. */
static int open_end(struct win_domain *d, const char *name, pid_t pid, const int fds[3])
{
	uint64_t until = win_now_ns() + START_NS;
	int e;

	while ((e = win_domain_open(d, name, fds[1], fds[2], pid)) == -EPROTO) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return -ECHILD;
		if (win_now_ns() > until)
			return -ETIMEDOUT;
		win_sleep_ns(1000000);
	}
	return e;
}

static int make_end(struct win_variant *v, struct win_domain *d, int end, int shared,
		    const char *program, int cpu)
{
	static const char *const role[2] = {"front", "back"};
	int fds[3] = {shared, control_memory(), memory("nf-bench-counters", PAIR_COUNTERS_BYTES)};
	int e = fds[1] < 0 ? fds[1] : fds[2] < 0 ? fds[2] : 0;

	if (e == 0) {
		pid_t pid = start_end(program, role[end], cpu, fds);
		if (pid > 0) {
			v->local[end] = pid;
			e = open_end(d, role[end], pid, fds);
		} else {
			e = (int)pid;
		}
	}
	if (fds[1] >= 0)
		close(fds[1]);
	if (fds[2] >= 0)
		close(fds[2]);
	return e;
}

int win_local_start(struct win_variant *v, struct win_domain domains[2], const char *name,
		    const char *program, const int cpus[2])
{
	memset(v, 0, sizeof(*v));
	memset(domains, 0, 2 * sizeof(domains[0]));
	snprintf(v->name, sizeof(v->name), "%s", name);
	int shared = memory("nf-bench-shared", PAIR_SHARED_BYTES);
	if (shared < 0)
		return shared;
	int e = make_end(v, &domains[0], 0, shared, program, cpus[0]);
	if (e == 0)
		e = make_end(v, &domains[1], 1, shared, program, cpus[1]);
	close(shared);
	v->count = 2;
	v->busy = 2;
	v->domain[0] = v->send = &domains[0];
	v->domain[1] = v->sink = &domains[1];
	if (e)
		win_local_stop(v);
	return e;
}

void win_local_stop(struct win_variant *v)
{
	for (int i = 0; i < 2; i++) {
		if (v->local[i] > 0) {
			kill(v->local[i], SIGKILL);
			waitpid(v->local[i], NULL, 0);
			win_domain_close(v->domain[i]);
		}
		v->local[i] = 0;
	}
}
