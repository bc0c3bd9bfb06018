/* SPDX-License-Identifier: MIT */
/* Building and installing a seccomp program (linux/seccomp.h, linux/filter.h). */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"

_Static_assert(sizeof(((struct confine_filter *)0)->step[0]) == sizeof(struct sock_filter),
	       "a step is a sock_filter");

#if defined(__x86_64__)
#define ABI AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ABI AUDIT_ARCH_AARCH64
#endif

#define REFUSED (SECCOMP_RET_ERRNO | EPERM)
#define X32_BIT 0x40000000u

static void step(struct confine_filter *f, unsigned code, uint32_t k, uint8_t jt, uint8_t jf)
{
	if (f->count == CONFINE_STEPS) {
		f->is_full = true;
		return;
	}
	f->step[f->count].code = (uint16_t)code;
	f->step[f->count].k = k;
	f->step[f->count].jt = jt;
	f->step[f->count++].jf = jf;
}

static void load(struct confine_filter *f, size_t offset)
{
	step(f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void answer(struct confine_filter *f, uint32_t action)
{
	step(f, BPF_RET | BPF_K, action, 0, 0);
}

/* The low word of an argument: all that the calls we look into take of it. */
static void load_argument(struct confine_filter *f, int argument)
{
	size_t at = offsetof(struct seccomp_data, args) + (size_t)argument * sizeof(uint64_t);
	load(f, at); /* both CPUs are little-endian */
}

void confine_begin(struct confine_filter *f)
{
	f->count = 0;
	f->is_full = false;
#ifdef ABI
	load(f, offsetof(struct seccomp_data, arch));
	step(f, BPF_JMP | BPF_JEQ | BPF_K, ABI, 1, 0);
	answer(f, REFUSED);
#endif
	load(f, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
	step(f, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
	answer(f, REFUSED);
#endif
}

void confine_allow(struct confine_filter *f, long call)
{
	step(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1);
	answer(f, SECCOMP_RET_ALLOW);
}

void confine_refuse(struct confine_filter *f, long call, int error)
{
	step(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1);
	answer(f, SECCOMP_RET_ERRNO | (uint32_t)error);
}

void confine_if_listed(struct confine_filter *f, long call, int argument, const uint32_t *values,
		       uint32_t count, bool is_listed_allowed)
{
	/* past the load, two steps a value and the answer for the rest */
	uint32_t body = 1 + 2 * count + 1;
	if (body > UINT8_MAX) {
		f->is_full = true;
		return;
	}
	step(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, (uint8_t)body);
	load_argument(f, argument);
	for (uint32_t i = 0; i < count; i++) {
		step(f, BPF_JMP | BPF_JEQ | BPF_K, values[i], 0, 1);
		answer(f, is_listed_allowed ? SECCOMP_RET_ALLOW : REFUSED);
	}
	answer(f, is_listed_allowed ? REFUSED : SECCOMP_RET_ALLOW);
}

void confine_if_masked(struct confine_filter *f, long call, int argument, uint32_t mask,
		       uint32_t wanted)
{
	step(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 5);
	load_argument(f, argument);
	step(f, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
	step(f, BPF_JMP | BPF_JEQ | BPF_K, wanted, 0, 1);
	answer(f, SECCOMP_RET_ALLOW);
	answer(f, REFUSED);
}

int confine_install(struct confine_filter *f, bool is_rest_allowed)
{
	answer(f, is_rest_allowed ? SECCOMP_RET_ALLOW : REFUSED);
	if (f->is_full)
		return -EOVERFLOW;
#ifndef ABI
	return -ENOSYS;
#else
	struct sock_fprog program = {.len = (unsigned short)f->count,
				     .filter = (struct sock_filter *)(void *)f->step};
	long rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC,
			  &program);
	if (rc > 0)
		return -EAGAIN; /* that thread has a filter of another line */
	if (rc < 0)
		return errno == EINVAL ? -ENOSYS : -errno;
	return 0;
#endif
}
