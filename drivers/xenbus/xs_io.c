/* SPDX-License-Identifier: MIT */
/* Messages to and from a xenstored: flights of requests, watch events on the way. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "nf/layer.h"
#include "nf/store.h"
#include "xs_internal.h"

#define RECEIVE_BURST 64 /* messages one nf__xs_receive takes, so that a flood does not hold it */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int fail(struct nf_store *s, int error)
{
	if (!s->error)
		s->error = error;
	return s->error;
}

/* Bytes moved, 0 would block, or the sticky error. */
static ssize_t read_some(struct nf_store *s, void *to, size_t bytes)
{
	for (;;) {
		/* no control buffer: descriptors a server sends along are closed by the kernel */
		ssize_t n = s->is_socket ? recv(s->fd, to, bytes, MSG_DONTWAIT)
					 : read(s->fd, to, bytes);
		if (n > 0)
			return n;
		if (n == 0)
			return fail(s, -ECONNRESET);
		if (errno == EAGAIN)
			return 0;
		if (errno != EINTR)
			return fail(s, -ECONNRESET);
	}
}

/* How far a flight may be written now. */
static uint32_t sendable(const struct nf_store *s, const struct nf__xs_flight *f)
{
	/* the kernel's xenbus takes the next message when the last one was answered */
	return f->legs[s->is_socket ? f->count - 1 : f->done].end;
}

/* 0, or -ECONNRESET: no more can be written. What the server wrote before it went is still to be
 * read, so that is not sticky yet. */
static int write_some(struct nf_store *s, struct nf__xs_flight *f)
{
	uint32_t until = sendable(s, f);

	while (f->sent < until) {
		const char *from = f->bytes + f->sent;
		size_t bytes = until - f->sent;
		ssize_t n = s->is_socket ? send(s->fd, from, bytes, MSG_DONTWAIT | MSG_NOSIGNAL)
					 : write(s->fd, from, bytes);
		if (n > 0)
			f->sent += (uint32_t)n;
		else if (n < 0 && errno == EAGAIN)
			return 0;
		else if (n == 0 || errno != EINTR)
			return -ECONNRESET;
	}
	return 0;
}

/* 1: a whole message lies in s->in and s->in_payload; 0: not yet; or the sticky error. Never reads
 * beyond the message, so that readiness of the descriptor always tells the truth. */
static int receive_message(struct nf_store *s)
{
	const size_t head = sizeof(s->in);

	for (;;) {
		void *to;
		size_t want;

		if (s->in_bytes < head) {
			to = (char *)&s->in + s->in_bytes;
			want = head - s->in_bytes;
		} else {
			if (s->in.len > NF_XS_PAYLOAD_MAX)
				return fail(s, -EPROTO);
			to = s->in_payload + (s->in_bytes - head);
			want = head + s->in.len - s->in_bytes;
			if (want == 0)
				break;
		}
		ssize_t n = read_some(s, to, want);
		if (n <= 0)
			return (int)n;
		s->in_bytes += (size_t)n;
	}
	s->in_payload[s->in.len] = '\0';
	s->in_bytes = 0;
	return 1;
}

/* The answer of that number once more: a server killed after answers cannot know that they were
 * sent, so the next one gives those of its last requests again, in order. 0 or -EPROTO. */
static int take_again(struct nf_store *s, uint32_t id)
{
	bool in_flight = id - s->again_from <= s->answered - s->again_from;

	if (s->answered == 0 || !in_flight || (s->again_next && id != s->again_next))
		return fail(s, -EPROTO);
	s->again_next = id + 1;
	return 0;
}

/*
 * Looks at the message just received. 1: it answers the next request of the flight; 0: an event
 * (queued) or the late answer to a request given up (dropped); or an error, sticky but for -ENOMEM.
 */
static int classify(struct nf_store *s, const struct nf__xs_flight *f)
{
	uint32_t id = s->in.req_id;

	if (s->in.type == NF_XS_WATCH_EVENT) {
		int err = nf__xs_event_push(s);
		return err == -EPROTO ? fail(s, err) : err;
	}
	/* answers come in order: only ids after the last one seen can, up to the last one sent */
	if (id - s->answered - 1 >= s->seq - s->answered)
		return take_again(s, id);
	s->answered = id;
	s->again_next = 0;
	if (!f || id - f->first >= f->count) {
		s->again_from = id;
		return 0;
	}
	s->again_from = f->first;
	const struct nf__xs_leg *leg = &f->legs[f->done];
	if (id - f->first != f->done || leg->end > f->sent ||
	    (s->in.type != leg->type && s->in.type != NF_XS_ERROR))
		return fail(s, -EPROTO);
	return 1;
}

int nf__xs_receive(struct nf_store *s)
{
	for (int i = 0; i < RECEIVE_BURST && !s->error; i++) {
		int rc = receive_message(s);
		if (rc == 1)
			rc = classify(s, NULL);
		else if (rc == 0)
			break;
		if (rc < 0)
			return rc;
	}
	return s->error;
}

int nf__xs_build(char *to, size_t cap, enum nf_xs_type type, uint32_t tx, const struct iovec *parts,
		 int count)
{
	struct nf_xs_header h = {.type = (uint32_t)type, .tx_id = tx};
	size_t total = sizeof(h);

	for (int i = 0; i < count; i++)
		total += parts[i].iov_len;
	if (total > cap || total > sizeof(h) + NF_XS_PAYLOAD_MAX)
		return -EINVAL;
	h.len = (uint32_t)(total - sizeof(h));
	memcpy(to, &h, sizeof(h));
	total = sizeof(h);
	for (int i = 0; i < count; i++) {
		memcpy(to + total, parts[i].iov_base, parts[i].iov_len);
		total += parts[i].iov_len;
	}
	return (int)total;
}

/* Requests of which not one byte is out were never made. False: one is half out, which leaves the
 * stream unusable; a late answer can be told by its id. */
static bool take_back(struct nf_store *s, const struct nf__xs_flight *f)
{
	uint32_t whole = f->done;

	while (whole < f->count && f->legs[whole].end <= f->sent)
		whole++;
	s->seq = f->first + whole - 1;
	return f->sent == (whole ? f->legs[whole - 1].end : 0);
}

/* Waits until the store can be read, or written while a request is not out. 0 or -ETIMEDOUT. */
static int wait_io(struct nf_store *s, const struct nf__xs_flight *f, int64_t deadline)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};
	int64_t left = deadline - now_ms();

	if (f->sent < sendable(s, f))
		p.events |= POLLOUT;
	if (left > 0 && (poll(&p, 1, (int)left) >= 0 || errno == EINTR))
		return 0;
	return take_back(s, f) ? -ETIMEDOUT : fail(s, -ETIMEDOUT);
}

/* Reading goes on while requests are being written: a server that is itself blocked writing
 * events to us would otherwise never take them. */
static int exchange(struct nf_store *s, struct nf__xs_flight *f)
{
	int64_t deadline = now_ms() + NF_LAYER_TIMEOUT_MS;
	int lost = 0;

	while (f->done < f->count) {
		int written = write_some(s, f);
		int rc = receive_message(s);
		if (rc == 1) {
			rc = classify(s, f);
			if (rc == -ENOMEM)
				lost = rc; /* an event was lost: finish, then say so */
			else if (rc < 0)
				return rc;
			if (rc != 1)
				continue;
			if (f->answer)
				f->answer(f->ctx, f->done);
			f->done++;
			deadline = now_ms() + NF_LAYER_TIMEOUT_MS;
			continue;
		}
		if (rc == 0)
			rc = written < 0 ? fail(s, written) : wait_io(s, f, deadline);
		if (rc < 0)
			return rc;
	}
	return lost;
}

int nf__xs_fly(struct nf_store *s, struct nf__xs_flight *f, char *bytes)
{
	uint32_t at = 0;

	if (s->error)
		return s->error;
	f->bytes = bytes;
	f->sent = f->done = 0;
	f->first = s->seq + 1;
	for (uint32_t i = 0; i < f->count; i++) {
		s->seq++;
		memcpy(bytes + at + offsetof(struct nf_xs_header, req_id), &s->seq, sizeof(s->seq));
		at = f->legs[i].end;
	}
	return exchange(s, f);
}

int nf__xs_error_of(const char *name)
{
	static const struct {
		const char *name;
		int error;
	} known[] = {
		{"EINVAL", -EINVAL}, {"EACCES", -EACCES},   {"EEXIST", -EEXIST},
		{"EISDIR", -EISDIR}, {"ENOENT", -ENOENT},   {"ENOMEM", -ENOMEM},
		{"ENOSPC", -ENOSPC}, {"EIO", -EIO},	    {"ENOTEMPTY", -ENOTEMPTY},
		{"ENOSYS", -ENOSYS}, {"EROFS", -EROFS},	    {"EBUSY", -EBUSY},
		{"EAGAIN", -EAGAIN}, {"EISCONN", -EISCONN}, {"E2BIG", -E2BIG},
		{"EPERM", -EPERM},   {"EQUOTA", -EDQUOT},   {"EDQUOT", -EDQUOT},
		{"ERANGE", -ERANGE},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(name, known[i].name))
			return known[i].error;
	return -EIO; /* a refusal we have no number for is still a refusal */
}

int nf__xs_call(struct nf_store *s, enum nf_xs_type type, uint32_t tx, const struct iovec *parts,
		int count, struct nf__xs_reply *out)
{
	char bytes[sizeof(struct nf_xs_header) + NF_XS_PAYLOAD_MAX];
	struct nf__xs_leg leg = {.type = (uint16_t)type};
	struct nf__xs_flight f = {.legs = &leg, .count = 1};

	if (s->error)
		return s->error;
	nf__xs_known_note(s, type);
	int rc = nf__xs_posts_flush(s);
	if (rc < 0)
		return rc;
	rc = nf__xs_build(bytes, sizeof(bytes), type, tx, parts, count);
	if (rc < 0)
		return rc;
	leg.end = (uint32_t)rc;
	rc = nf__xs_fly(s, &f, bytes);
	if (rc < 0)
		return rc;
	if (s->in.type == NF_XS_ERROR)
		return nf__xs_error_of(s->in_payload);
	if (out) {
		out->payload = s->in_payload;
		out->bytes = s->in.len;
	}
	return 0;
}
