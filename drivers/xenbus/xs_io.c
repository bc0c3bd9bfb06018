/* SPDX-License-Identifier: MIT */
/* Messages to and from a xenstored: one request at a time, watch events on the way. */
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

struct request {
	char bytes[sizeof(struct nf_xs_header) + NF_XS_PAYLOAD_MAX];
	size_t total, sent;
	enum nf_xs_type type;
};

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

/* 0, or -ECONNRESET: no more can be written. What the server wrote before it went is still to be
 * read, so that is not sticky yet. */
static int write_some(struct nf_store *s, struct request *r)
{
	while (r->sent < r->total) {
		const char *from = r->bytes + r->sent;
		size_t bytes = r->total - r->sent;
		ssize_t n = s->is_socket ? send(s->fd, from, bytes, MSG_DONTWAIT | MSG_NOSIGNAL)
					 : write(s->fd, from, bytes);
		if (n > 0)
			r->sent += (size_t)n;
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

/*
 * Looks at the message just received. 1: it answers the request in progress; 0: an event (queued)
 * or the late answer to a request given up (dropped); or an error, sticky but for -ENOMEM.
 */
static int classify(struct nf_store *s, const struct request *r)
{
	if (s->in.type == NF_XS_WATCH_EVENT) {
		int err = nf__xs_event_push(s);
		return err == -EPROTO ? fail(s, err) : err;
	}
	/* answers come in order: only ids after the last one seen can, up to the last one sent */
	uint32_t ahead = s->in.req_id - s->answered;
	/* the last one again, once: a server killed after an answer cannot know that it was sent */
	if (ahead == 0 && s->answered != 0 && !s->is_repeated) {
		s->is_repeated = true;
		return 0;
	}
	if (ahead == 0 || ahead > s->seq - s->answered)
		return fail(s, -EPROTO);
	s->answered = s->in.req_id;
	s->is_repeated = false;
	if (!r || s->in.req_id != s->seq)
		return 0;
	if (r->sent < r->total || (s->in.type != (uint32_t)r->type && s->in.type != NF_XS_ERROR))
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

static int build(struct nf_store *s, struct request *r, enum nf_xs_type type, uint32_t tx,
		 const struct iovec *parts, int count)
{
	struct nf_xs_header h = {.type = (uint32_t)type, .tx_id = tx};

	r->total = sizeof(h);
	r->sent = 0;
	r->type = type;
	for (int i = 0; i < count; i++) {
		if (parts[i].iov_len > sizeof(r->bytes) - r->total)
			return -EINVAL;
		memcpy(r->bytes + r->total, parts[i].iov_base, parts[i].iov_len);
		r->total += parts[i].iov_len;
	}
	h.len = (uint32_t)(r->total - sizeof(h));
	h.req_id = ++s->seq;
	memcpy(r->bytes, &h, sizeof(h));
	return 0;
}

/* Waits until the store can be read, or written while the request is not out. 0 or -ETIMEDOUT. */
static int wait_io(struct nf_store *s, const struct request *r, int64_t deadline)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};
	int64_t left = deadline - now_ms();

	if (r->sent < r->total)
		p.events |= POLLOUT;
	if (left > 0 && (poll(&p, 1, (int)left) >= 0 || errno == EINTR))
		return 0;
	/* half a request leaves the stream unusable; a late answer can be told by its id */
	if (r->sent > 0 && r->sent < r->total)
		return fail(s, -ETIMEDOUT);
	if (r->sent == 0)
		s->seq--;
	return -ETIMEDOUT;
}

/* Reading goes on while the request is being written: a server that is itself blocked writing
 * events to us would otherwise never take it. */
static int exchange(struct nf_store *s, struct request *r)
{
	int64_t deadline = now_ms() + NF_LAYER_TIMEOUT_MS;
	int lost = 0;

	for (;;) {
		int written = write_some(s, r);
		int rc = receive_message(s);
		if (rc == 1) {
			rc = classify(s, r);
			if (rc == 1)
				return lost;
			if (rc == -ENOMEM)
				lost = rc; /* an event was lost: finish, then say so */
			else if (rc < 0)
				return rc;
			continue;
		}
		if (rc == 0)
			rc = written < 0 ? fail(s, written) : wait_io(s, r, deadline);
		if (rc < 0)
			return rc;
	}
}

static int error_of(const char *name)
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
	struct request r;

	if (s->error)
		return s->error;
	int rc = build(s, &r, type, tx, parts, count);
	if (rc == 0)
		rc = exchange(s, &r);
	if (rc < 0)
		return rc;
	if (s->in.type == NF_XS_ERROR)
		return error_of(s->in_payload);
	if (out) {
		out->payload = s->in_payload;
		out->bytes = s->in.len;
	}
	return 0;
}
