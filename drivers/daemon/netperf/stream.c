/* SPDX-License-Identifier: MIT */
/* Both ends of a stream. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netperf.h"

int np_send_stream(int fd, const struct np_request *q, bool datagrams, struct np_result *r)
{
	uint8_t *buf = calloc(1, q->message);
	struct np_seeded seeded = {.state = q->seed};
	struct np_hash hash;
	uint64_t start = np_now_ns(), end = start + (uint64_t)q->ms * 1000000u, now = start;

	np_hash_init(&hash);
	r->error = buf ? 0 : -ENOMEM;
	while (!r->error && now < end) {
		if (q->seeded) {
			np_seeded_fill(&seeded, buf, q->message);
			np_hash_add(&hash, buf, q->message);
		}
		if (!datagrams) {
			r->error = np_write_all(fd, buf, q->message);
		} else if (send(fd, buf, q->message, MSG_NOSIGNAL) < 0) {
			/* a full queue or a receiver that is not there yet loses a datagram, no
			 * more */
			if (errno != ENOBUFS && errno != ECONNREFUSED && errno != EAGAIN)
				r->error = -errno;
		}
		r->bytes += q->message;
		r->messages++;
		now = np_now_ns();
	}
	r->ns = now - start;
	r->hash = q->seeded ? np_hash_end(&hash) : 0;
	if (!datagrams && !r->error && shutdown(fd, SHUT_WR) < 0)
		r->error = -errno;
	free(buf);
	return r->error;
}

/* Readable: 1 data, 0 the other end says it is done (datagrams), negative errno. */
static int wait_data(int fd, int ctl, uint32_t patience_s)
{
	struct pollfd p[2] = {{fd, POLLIN, 0}, {ctl, POLLIN, 0}};
	int n = poll(p, ctl >= 0 ? 2 : 1, (int)patience_s * 1000);
	if (n <= 0)
		return n < 0 ? -errno : -ETIMEDOUT;
	return p[0].revents ? 1 : 0;
}

int np_receive_stream(int fd, int ctl, const struct np_request *q, struct np_result *r)
{
	/* MAERTS and its like give the receiver's buffer the message's size, as netperf does */
	size_t cap = q->message > 65536 || ctl < 0 ? q->message : 65536;
	uint8_t *buf = malloc(cap);
	struct np_hash hash;
	uint64_t first = 0, last = 0;

	np_hash_init(&hash);
	r->error = buf ? 0 : -ENOMEM;
	while (!r->error) {
		if (ctl >= 0) {
			int ready = wait_data(fd, ctl, q->patience_s);
			if (ready <= 0) {
				r->error = ready;
				break;
			}
		}
		ssize_t n = recv(fd, buf, cap, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r->error = errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (n <= 0)
			break;
		last = np_now_ns();
		if (!first)
			first = last;
		r->bytes += (uint64_t)n;
		r->messages++;
		if (q->seeded)
			np_hash_add(&hash, buf, (size_t)n);
	}
	r->ns = last - first;
	r->hash = q->seeded ? np_hash_end(&hash) : 0;
	free(buf);
	return r->error;
}
