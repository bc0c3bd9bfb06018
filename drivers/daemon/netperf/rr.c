/* SPDX-License-Identifier: MIT */
/* Request and response, one at a time. */
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "netperf.h"

#define STEPS 64u /* buckets of a power of two */
#define LOST_MS 200

static uint32_t bucket_of(uint64_t ns)
{
	if (ns < STEPS)
		return (uint32_t)ns;
	uint32_t log = 63u - (uint32_t)__builtin_clzll(ns); /* >= 6 */
	uint32_t b = (log - 5) * STEPS + (uint32_t)((ns >> (log - 6)) & (STEPS - 1));
	return b < NP_HISTOGRAM ? b : NP_HISTOGRAM - 1;
}

/* The middle of a bucket. */
static uint64_t bucket_ns(uint32_t b)
{
	if (b < STEPS)
		return b;
	uint32_t log = b / STEPS + 5;
	if (log > 63)
		return UINT64_MAX; /* beyond what 64 bits of nanoseconds fill */
	uint64_t step = 1ull << (log - 6);
	return (1ull << log) + (b % STEPS) * step + step / 2;
}

uint64_t np_percentile(const struct np_latency *l, double share)
{
	uint64_t want = (uint64_t)(share * (double)l->count), seen = 0;
	for (uint32_t b = 0; b < NP_HISTOGRAM; b++) {
		seen += l->bucket[b];
		if (seen > want)
			return bucket_ns(b) < l->max_ns ? bucket_ns(b) : l->max_ns;
	}
	return l->max_ns;
}

static void note(struct np_latency *l, uint64_t ns)
{
	l->bucket[bucket_of(ns)]++;
	l->count++;
	l->sum_ns += ns;
	if (ns > l->max_ns)
		l->max_ns = ns;
}

/* A datagram and its answer, which carries the same number: 1, 0 lost, negative errno. */
static int ask_datagram(int fd, uint8_t *buf, uint32_t bytes, uint64_t number)
{
	uint64_t got = 0;
	size_t tag = bytes < sizeof(number) ? bytes : sizeof(number);

	memcpy(buf, &number, tag);
	if (send(fd, buf, bytes, MSG_NOSIGNAL) < 0)
		return errno == ECONNREFUSED || errno == ENOBUFS ? 0 : -errno;
	for (;;) {
		struct pollfd p = {fd, POLLIN, 0};
		int n = poll(&p, 1, LOST_MS);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		if (recv(fd, buf, bytes, 0) < 0)
			return errno == ECONNREFUSED ? 0 : -errno;
		memcpy(&got, buf, tag);
		if (memcmp(&got, &number, tag) == 0) /* else the late answer of a lost one */
			return 1;
	}
}

int np_ask(int fd, const struct np_request *q, bool datagrams, struct np_latency *l,
	   struct np_result *r)
{
	uint8_t *buf = calloc(1, q->message);
	uint64_t start = np_now_ns(), end = start + (uint64_t)q->ms * 1000000u, now = start;

	r->error = buf ? 0 : -ENOMEM;
	while (!r->error && now < end) {
		uint64_t sent = now;
		int n = 1;
		if (datagrams) {
			n = ask_datagram(fd, buf, q->message, r->messages + r->lost + 1);
		} else {
			r->error = np_write_all(fd, buf, q->message);
			if (!r->error)
				r->error = np_read_all(fd, buf, q->message);
		}
		now = np_now_ns();
		if (n < 0)
			r->error = n;
		if (r->error)
			break;
		if (n == 0) {
			r->lost++;
			continue;
		}
		note(l, now - sent);
		r->messages++;
		r->bytes += q->message;
	}
	r->ns = now - start;
	if (!datagrams && !r->error && shutdown(fd, SHUT_WR) < 0)
		r->error = -errno;
	free(buf);
	return r->error;
}

static int answer_datagrams(int fd, int ctl, uint8_t *buf, const struct np_request *q,
			    struct np_result *r)
{
	for (;;) {
		struct sockaddr_storage from;
		socklen_t n = sizeof(from);
		struct pollfd p[2] = {{fd, POLLIN, 0}, {ctl, POLLIN, 0}};
		int ready = poll(p, 2, (int)q->patience_s * 1000);
		if (ready <= 0)
			return ready < 0 ? -errno : -ETIMEDOUT;
		if (!p[0].revents)
			return 0; /* the client is done */
		ssize_t got = recvfrom(fd, buf, q->message, 0, (struct sockaddr *)&from, &n);
		if (got < 0)
			continue;
		if (sendto(fd, buf, (size_t)got, MSG_NOSIGNAL, (struct sockaddr *)&from, n) < 0)
			continue; /* the client counts it as lost */
		r->messages++;
		r->bytes += (uint64_t)got;
	}
}

int np_answer(int fd, int ctl, const struct np_request *q, struct np_result *r)
{
	uint8_t *buf = calloc(1, q->message);
	uint64_t start = np_now_ns();

	r->error = buf ? 0 : -ENOMEM;
	if (buf && ctl >= 0) {
		r->error = answer_datagrams(fd, ctl, buf, q, r);
	} else {
		while (!r->error) {
			int err = np_read_all(fd, buf, q->message);
			if (err == -ECONNRESET) /* the end of the stream, too */
				break;
			r->error = err ? err : np_write_all(fd, buf, q->message);
			r->messages += !r->error;
			r->bytes += r->error ? 0 : q->message;
		}
	}
	r->ns = np_now_ns() - start;
	free(buf);
	return r->error;
}
