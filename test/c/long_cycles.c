/* SPDX-License-Identifier: MIT */
/* 10,000 connections of one device: memory, descriptors and quarantine stay where they were. */
#include <dirent.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "../peer/rig.h"
#include "tap.h"

#define WARM 1000u /* connections after which the heap has its size */
#define CYCLES 10000u
#define STEPS 400
#define GROWTH_KB 1024

static long resident_kb(void)
{
	char line[128];
	long kb = -1;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && kb < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, "VmRSS:", 6))
			kb = strtol(line + 6, NULL, 10);
	if (f)
		fclose(f);
	return kb;
}

/* Bytes this thread's allocations have in use, whatever the heap's size and holes: that is exact,
 * so that a byte lost a connection shows. A sanitizer's heap has none, and finds leaks itself. */
static long used_bytes(void)
{
	struct mallinfo2 info = mallinfo2();
	return (long)(info.uordblks + info.hblkhd);
}

static int descriptors(void)
{
	int n = 0;
	DIR *d = opendir("/proc/self/fd");
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static bool reaches(struct rig *r, struct rig_end *e, int phase)
{
	for (int i = 0; i < STEPS && rig_phase(e) != phase; i++)
		rig_turn(r);
	return rig_phase(e) == phase;
}

/* The front closes in order, goes, and another connects; how many of `count` did. */
static uint32_t reconnect(struct rig *r, struct mem_vif *v, struct rig_end **front, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		nf_netfront_shutdown((*front)->front);
		if (!reaches(r, *front, NF_NET_CLOSED))
			return i;
		rig_end_close(*front);
		*front = rig_front(r, v, NULL, NULL);
		if (!reaches(r, *front, NF_NET_RUNNING))
			return i;
	}
	return count;
}

int main(void)
{
	struct rig r;
	struct mem_vif v;
	struct mem_baseline base;
	char why[256] = "";

	rig_open(&r, NF_POLL_EVENT);
	rig_domain(&r, 0);
	rig_domain(&r, 1);
	mem_vif_create(&v, r.w, 1, 0, 0, NULL);
	mem_world_baseline(r.w, &base);
	struct rig_end *back = rig_back(&r, &v, NULL, NULL);
	struct rig_end *front = rig_front(&r, &v, NULL, NULL);
	is(rig_until_phase(front, NF_NET_RUNNING, 5000), 0, "connected");
	is(reconnect(&r, &v, &front, WARM), WARM, "the first connections");
	long kb = resident_kb(), used = used_bytes();
	int fds = descriptors();
	is(reconnect(&r, &v, &front, CYCLES - WARM), CYCLES - WARM, "and the others");
	long grown = resident_kb() - kb, more = used_bytes() - used;
	ok(more < (long)(CYCLES - WARM), "not a byte is lost a connection");
	diag("%ld bytes more in use after %u connections", more, CYCLES - WARM);
	ok(grown < GROWTH_KB, "memory is where it was");
	diag("%ld KiB more after %u connections", grown, CYCLES - WARM);
	is(descriptors(), fds, "so are the descriptors");
	is(mem_world_quarantine(r.w, 0), 0, "no page went to quarantine");
	rig_end_close(front);
	rig_end_close(back);
	ok(mem_world_settle(r.w, &base, 2000, why, sizeof(why)) == 0, "nothing is left behind");
	diag("%s", why);
	mem_vif_remove(&v);
	rig_close(&r);
	return done();
}
