/* SPDX-License-Identifier: MIT */
/* Bytes of one NBD client: in, parsed, and out. Nothing here waits. */
#include "nbd.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVES 8u /* calls a turn: others wait */
#define SEND_PIECES 32u

void nf__nbd_conn_drop(struct nf__nbd_conn *c)
{
	struct nf__nbd_request *r;
	if (c->fd < 0)
		return;
	close(c->fd); /* and out of epoll */
	c->fd = -1;
	if (c->receiving)
		nf__nbd_request_free(c->receiving);
	c->receiving = NULL;
	while ((r = nf__nbd_shift(&c->replies)))
		nf__nbd_request_free(r);
}

static void used(struct nf__nbd_conn *c, uint32_t bytes)
{
	c->in_bytes -= bytes;
	if (c->in_bytes)
		memmove(c->in, c->in + bytes, c->in_bytes);
}

static bool payload_done(struct nf__nbd_conn *c)
{
	if (c->received < c->receiving->bytes)
		return false;
	nf__nbd_request_ready(c->receiving);
	c->receiving = NULL;
	return true;
}

/* Payload that came with a header; bytes used. */
static uint32_t payload_from(struct nf__nbd_conn *c, const uint8_t *in, uint32_t bytes)
{
	uint64_t n = c->receiving->bytes - c->received;
	if (n > bytes)
		n = bytes;
	memcpy(c->receiving->mem + c->received, in, n);
	c->received += n;
	payload_done(c);
	return (uint32_t)n;
}

static uint32_t throw_away(struct nf__nbd_conn *c, uint32_t bytes)
{
	uint64_t n = bytes < c->skip ? bytes : c->skip;
	c->skip -= n;
	return (uint32_t)n;
}

/* One thing out of `in`: bytes it took, 0: more is needed, -EAGAIN, -EPROTO. */
static int parse_one(struct nf__nbd_conn *c, const uint8_t *in, uint32_t bytes)
{
	if (c->skip)
		return (int)throw_away(c, bytes);
	if (c->receiving)
		return (int)payload_from(c, in, bytes);
	if (c->phase < NF__NBD_MOVING)
		return nf__nbd_hello(c, in, bytes);
	if (c->phase == NF__NBD_ENDING || bytes < NBD_REQUEST_BYTES)
		return 0;
	int rc = nf__nbd_request_begin(c, in);
	return rc < 0 ? rc : (int)NBD_REQUEST_BYTES;
}

/* 0 or -EPROTO. */
static int parse(struct nf__nbd_conn *c)
{
	uint32_t at = 0;
	int rc = 1;
	while (rc > 0 && at < c->in_bytes) {
		rc = parse_one(c, c->in + at, c->in_bytes - at);
		at += rc > 0 ? (uint32_t)rc : 0;
	}
	used(c, at);
	c->is_stalled = rc == -EAGAIN;
	return rc == -EPROTO ? rc : 0;
}

static ssize_t receive(struct nf__nbd_conn *c)
{
	struct iovec v[2];
	struct msghdr m = {.msg_iov = v};
	if (c->receiving) {
		v[m.msg_iovlen++] = (struct iovec){c->receiving->mem + c->received,
						   c->receiving->bytes - c->received};
	}
	v[m.msg_iovlen++] = (struct iovec){c->in + c->in_bytes, sizeof(c->in) - c->in_bytes};
	ssize_t n = recvmsg(c->fd, &m, MSG_DONTWAIT);
	if (n <= 0)
		return n < 0 ? -errno : -ECONNRESET;
	if (c->receiving) {
		uint64_t left = c->receiving->bytes - c->received;
		uint64_t mine = (uint64_t)n < left ? (uint64_t)n : left;
		c->received += mine;
		c->in_bytes += (uint32_t)((uint64_t)n - mine);
		payload_done(c);
	} else {
		c->in_bytes += (uint32_t)n;
	}
	return n;
}

/* Things moved, or -errno: the client is to be dropped. */
static int receive_all(struct nf__nbd_conn *c)
{
	int moved = 0;
	int rc = c->in_bytes ? parse(c) : 0;
	for (uint32_t i = 0; rc == 0 && i < RECEIVES; i++) {
		if (c->phase == NF__NBD_ENDING || c->is_stalled)
			break;
		ssize_t n = receive(c);
		if (n == -EAGAIN || n == -EINTR)
			break;
		if (n < 0)
			return (int)n;
		moved++;
		rc = parse(c);
	}
	return rc < 0 ? rc : moved;
}

static uint64_t reply_bytes(const struct nf__nbd_request *r)
{
	return r->head_bytes + r->data_bytes;
}

static uint32_t gather(struct nf__nbd_conn *c, struct iovec *v)
{
	uint32_t n = 0;
	if (c->out_bytes)
		v[n++] = (struct iovec){c->out, c->out_bytes};
	for (struct nf__nbd_request *r = c->replies.head; r && n + 2 <= SEND_PIECES; r = r->next) {
		uint64_t head = r->head_bytes, data = r->sent > head ? r->sent - head : 0;
		if (r->sent < head)
			v[n++] = (struct iovec){r->reply + r->sent, head - r->sent};
		if (data < r->data_bytes)
			v[n++] = (struct iovec){r->mem + data, r->data_bytes - data};
	}
	return n;
}

static void sent(struct nf__nbd_conn *c, uint64_t bytes)
{
	uint64_t hello = bytes < c->out_bytes ? bytes : c->out_bytes;
	if (hello) {
		c->out_bytes -= (uint32_t)hello;
		memmove(c->out, c->out + hello, c->out_bytes);
		bytes -= hello;
	}
	while (bytes) {
		struct nf__nbd_request *r = c->replies.head;
		uint64_t left = reply_bytes(r) - r->sent;
		if (bytes < left) {
			r->sent += bytes;
			return;
		}
		bytes -= left;
		nf__nbd_request_free(nf__nbd_shift(&c->replies));
	}
}

/* Things moved, or -errno. */
static int send_all(struct nf__nbd_conn *c)
{
	int moved = 0;
	c->is_blocked = false;
	while (c->out_bytes || c->replies.head) {
		struct iovec v[SEND_PIECES + 1];
		struct msghdr m = {.msg_iov = v, .msg_iovlen = gather(c, v)};
		ssize_t n = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			c->is_blocked = true;
			return moved;
		}
		if (n < 0)
			return -errno;
		sent(c, (uint64_t)n);
		moved++;
	}
	return moved;
}

/* What epoll shall tell of: nothing that would wake us for what we cannot take. */
static void listen_for(struct nf__nbd_conn *c)
{
	uint32_t events = c->is_blocked ? EPOLLOUT : 0;
	if (!c->is_stalled && c->phase != NF__NBD_ENDING)
		events |= EPOLLIN;
	if (events == c->events)
		return;
	struct epoll_event e = {.events = events, .data.ptr = c};
	if (epoll_ctl(c->nbd->epoll_fd, EPOLL_CTL_MOD, c->fd, &e) == 0)
		c->events = events;
}

uint32_t nf__nbd_conn_turn(struct nf__nbd_conn *c)
{
	uint32_t moved = 0;
	for (int again = 1; again && c->fd >= 0;) {
		int in = receive_all(c);
		int out = in < 0 ? 0 : send_all(c);
		if (in < 0 || out < 0) {
			nf__nbd_conn_drop(c);
			return moved + 1;
		}
		moved += (uint32_t)(in + out);
		again = c->is_stalled && out > 0; /* what was sent made room */
	}
	if (c->fd < 0)
		return moved;
	if (c->phase == NF__NBD_ENDING && c->unanswered == 0 && c->out_bytes == 0)
		nf__nbd_conn_drop(c);
	else
		listen_for(c);
	return moved;
}
