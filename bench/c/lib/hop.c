/* SPDX-License-Identifier: MIT */
#include "hop.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "nf/atomics.h"

#define CHUNKS 15u
#define TRIPS 64u /* round trips a chunk */
#define GAP_NS 50000u
#define LIMIT_NS 20000000u /* on a machine that is busy with other things */

enum order { ORDER_SLEEP = 0, ORDER_PLAY = 1, ORDER_END = 2 };

static struct {
	uint32_t ball __attribute__((aligned(128)));
	uint32_t order __attribute__((aligned(128)));
	pthread_t thread;
	bool running;
} hop;

static void pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	/* refused in a cpuset without that CPU: the measurement says what it says all the same */
	(void)sched_setaffinity(0, sizeof(set), &set);
}

static void *second(void *cpu)
{
	pin((int)(intptr_t)cpu);
	for (;;) {
		uint32_t order = nf_load_acquire(&hop.order);
		if (order == ORDER_END)
			return NULL;
		if (order == ORDER_SLEEP) {
			syscall(SYS_futex, &hop.order, FUTEX_WAIT_PRIVATE, ORDER_SLEEP, NULL, NULL,
				0);
			continue;
		}
		if (nf_load_acquire(&hop.ball) == 1)
			nf_store_release(&hop.ball, 0);
	}
}

static void tell(enum order order)
{
	nf_store_release(&hop.order, order);
	syscall(SYS_futex, &hop.order, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

int win_hop_start(int a, int b)
{
	pin(a);
	if (a == b)
		return 0;
	hop.order = ORDER_SLEEP;
	int e = pthread_create(&hop.thread, NULL, second, (void *)(intptr_t)b);
	hop.running = e == 0;
	return -e;
}

void win_hop_stop(void)
{
	if (!hop.running)
		return;
	tell(ORDER_END);
	pthread_join(hop.thread, NULL);
	hop.running = false;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void play(uint32_t trips)
{
	for (uint32_t i = 0; i < trips; i++) {
		nf_store_release(&hop.ball, 1);
		while (nf_load_acquire(&hop.ball) != 0)
			;
	}
}

struct win_hop win_hop_measure(void)
{
	struct win_hop out = {0, false};
	uint64_t took[CHUNKS];

	if (!hop.running)
		return out;
	tell(ORDER_PLAY);
	play(TRIPS); /* the other thread is awake and both lines are warm after this */
	uint64_t began = win_now_ns();
	uint32_t n = 0;
	while (n < CHUNKS && (n == 0 || win_now_ns() - began < LIMIT_NS)) {
		uint64_t start = win_now_ns();
		play(TRIPS);
		took[n++] = win_now_ns() - start;
	}
	tell(ORDER_SLEEP);
	qsort(took, n, sizeof(took[0]), by_value);
	uint64_t median = took[n / 2];
	out.one_way_ns = (uint32_t)(median / (2 * TRIPS));
	out.gap = n < CHUNKS || took[n - 1] > median + GAP_NS;
	return out;
}
