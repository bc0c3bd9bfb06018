/* SPDX-License-Identifier: MIT */
/* Clocks, control messages, the seeded stream and its hash. */
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "netperf.h"

uint64_t np_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t np_cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void np_say(const char *fmt, ...)
{
	char line[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	fprintf(stderr, "nf-netperf: %s\n", line);
}

int np_write_all(int fd, const void *p, size_t n)
{
	const uint8_t *at = p;
	while (n) {
		ssize_t got = send(fd, at, n, MSG_NOSIGNAL);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EPIPE;
		at += got;
		n -= (size_t)got;
	}
	return 0;
}

int np_read_all(int fd, void *p, size_t n)
{
	uint8_t *at = p;
	while (n) {
		ssize_t got = recv(fd, at, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -ECONNRESET;
		at += got;
		n -= (size_t)got;
	}
	return 0;
}

void np_timeouts(int fd, uint32_t seconds)
{
	const struct timeval t = {.tv_sec = seconds};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

uint64_t np_retransmits(int fd)
{
	struct tcp_info info;
	socklen_t n = sizeof(info);
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0)
		return 0;
	return info.tcpi_total_retrans;
}

int np_pin(int cpu)
{
	cpu_set_t set;
	if (cpu < 0)
		return 0;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) < 0 ? -errno : 0;
}

void np_deadline(uint32_t seconds)
{
	/* SIGALRM's default action ends the process; no wait of ours can outlast it */
	alarm(seconds);
}

/* splitmix64 */
static uint64_t next_word(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

void np_seeded_fill(struct np_seeded *s, uint8_t *p, size_t n)
{
	while (n) {
		if (s->left == 0) {
			for (; n >= 8; n -= 8, p += 8) {
				uint64_t w = next_word(&s->state);
				memcpy(p, &w, 8);
			}
			if (n == 0)
				return;
			s->word = next_word(&s->state);
			s->left = 8;
		}
		*p++ = (uint8_t)s->word;
		s->word >>= 8;
		s->left--;
		n--;
	}
}

#define MIX_A 0xc2b2ae3d27d4eb4full
#define MIX_B 0x165667b19e3779f9ull

static uint64_t rotate(uint64_t v, int by)
{
	return v << by | v >> (64 - by);
}

static void take_block(struct np_hash *h, const uint8_t *p)
{
	for (int i = 0; i < 4; i++) {
		uint64_t w;
		memcpy(&w, p + 8 * i, 8);
		h->lane[i] = rotate(h->lane[i] + w * MIX_A, 31) * MIX_B;
	}
}

void np_hash_init(struct np_hash *h)
{
	*h = (struct np_hash){.lane = {1, 2, 3, 4}};
}

void np_hash_add(struct np_hash *h, const uint8_t *p, size_t n)
{
	h->total += n;
	while (n) {
		if (h->part_bytes == 0) {
			for (; n >= 32; n -= 32, p += 32)
				take_block(h, p);
			if (n == 0)
				return;
		}
		size_t room = 32 - h->part_bytes, some = n < room ? n : room;
		memcpy(h->part + h->part_bytes, p, some);
		h->part_bytes += (uint32_t)some;
		p += some;
		n -= some;
		if (h->part_bytes == 32) {
			take_block(h, h->part);
			h->part_bytes = 0;
		}
	}
}

uint64_t np_hash_end(struct np_hash *h)
{
	memset(h->part + h->part_bytes, 0, 32 - h->part_bytes);
	take_block(h, h->part);
	uint64_t v = h->total * MIX_A;
	for (int i = 0; i < 4; i++)
		v = rotate(v ^ h->lane[i], 27) * MIX_B + h->lane[i];
	v ^= v >> 33;
	v *= MIX_A;
	return v ^ (v >> 29);
}
