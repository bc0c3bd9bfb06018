/* SPDX-License-Identifier: MIT */
/*
 * Event channels: one end of a SOCK_SEQPACKET pair each. A notification is a message of one byte,
 * and what is waiting already is as good as one more. Nothing the other end does can block this
 * one: every call says MSG_DONTWAIT, and how much the peer can queue is bounded by its own send
 * buffer.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "embedded.h"

#define CLEAR_BATCH 16	/* messages a system call takes */
#define CLEAR_ROUNDS 64 /* then the rest waits: a storm must not keep the poller here */

/* Our pending notifications are bounded by our send buffer: the kernel's minimum holds a few, and
 * the peer drains those few in one call. */
static void shrink_queue(int fd)
{
	int bytes = 1;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static int open_chan(struct nf_layer *l, struct nf_hv_chan *q, struct nf_chan *out)
{
	struct nf__embedded *e = nf__embedded_of(l);
	struct nf__hv_call c = {.request = q,
				.request_bytes = sizeof(*q),
				.request_fd = -1,
				.reply_min = sizeof(struct nf_hv_chan_reply),
				.fds_min = 1,
				.fds_max = 1};

	pthread_mutex_lock(&e->lock);
	int rc = nf__hv_call(e, &c);
	if (rc == 0 && nf__hv_check_socket(c.fds[0], SOCK_SEQPACKET) < 0)
		rc = nf__hv_broken(e, &c);
	if (rc == 0) {
		const struct nf_hv_chan_reply *r = c.reply;

		shrink_queue(c.fds[0]);
		*out = (struct nf_chan){.layer = l, .fd = c.fds[0], .port = r->port};
	}
	pthread_mutex_unlock(&e->lock);
	return rc;
}

int nf__embedded_alloc_chan(struct nf_layer *l, uint16_t peer, uint16_t device, uint16_t queue,
			    uint8_t purpose, struct nf_chan *out)
{
	struct nf_hv_chan q = {.h = {.type = NF_HV_CHAN_ALLOC},
			       .peer = peer,
			       .device = device,
			       .queue = queue,
			       .purpose = purpose};

	return open_chan(l, &q, out);
}

int nf__embedded_bind_chan(struct nf_layer *l, uint16_t peer, uint32_t port, struct nf_chan *out)
{
	struct nf_hv_chan q = {.h = {.type = NF_HV_CHAN_BIND}, .peer = peer, .port = port};

	return open_chan(l, &q, out);
}

int nf__embedded_donate_chan(struct nf_layer *l, uint16_t inner, uint16_t device, uint16_t queue,
			     uint8_t purpose, const struct nf_chan *chan)
{
	struct nf__embedded *e = nf__embedded_of(l);
	struct nf_hv_chan q = {.h = {.type = NF_HV_CHAN_DONATE},
			       .peer = inner,
			       .device = device,
			       .queue = queue,
			       .purpose = purpose,
			       .port = chan->port};
	struct nf__hv_call c = {.request = &q,
				.request_bytes = sizeof(q),
				.request_fd = chan->fd,
				.reply_min = sizeof(struct nf_hv_header)};

	if (!(l->caps & NF_CAP_DONATE))
		return -ENOSYS;
	if (chan->fd < 0)
		return -EINVAL;
	pthread_mutex_lock(&e->lock);
	int rc = nf__hv_call(e, &c);
	pthread_mutex_unlock(&e->lock);
	return rc;
}

int nf__embedded_chan_notify(struct nf_chan *c)
{
	static const char one;

	if (c->fd < 0)
		return -ENODEV;
	for (;;) {
		if (send(c->fd, &one, 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno == EAGAIN)
			return 0;
		if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
			return -ENODEV;
		if (errno != EINTR)
			return -errno;
	}
}

int nf__embedded_chan_clear(struct nf_chan *c)
{
	struct mmsghdr m[CLEAR_BATCH];
	struct iovec iov[CLEAR_BATCH];
	char byte[CLEAR_BATCH];
	int merged = 0;

	if (c->fd < 0)
		return -ENODEV;
	/* no control buffers: descriptors a hostile peer attaches are closed by the kernel */
	memset(m, 0, sizeof(m));
	for (int i = 0; i < CLEAR_BATCH; i++) {
		iov[i] = (struct iovec){.iov_base = &byte[i], .iov_len = 1};
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	for (int round = 0; round < CLEAR_ROUNDS; round++) {
		int n = recvmmsg(c->fd, m, CLEAR_BATCH, MSG_DONTWAIT, NULL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || merged ? merged : -ENODEV;
		for (int i = 0; i < n; i++) {
			if (m[i].msg_len == 0) /* hang-up; seqpacket sends no empty messages */
				return merged ? merged : -ENODEV;
			merged++;
		}
		if (n < CLEAR_BATCH)
			break;
	}
	return merged;
}

void nf__embedded_chan_close(struct nf_chan *c)
{
	struct nf_hv_chan q = {.h = {.type = NF_HV_CHAN_CLOSE}, .port = c->port};
	struct nf__hv_call call = {.request = &q,
				   .request_bytes = sizeof(q),
				   .request_fd = -1,
				   .reply_min = sizeof(struct nf_hv_header)};

	if (c->fd < 0)
		return;
	struct nf__embedded *e = nf__embedded_of(c->layer);
	close(c->fd);
	c->fd = -1;
	/* a hypervisor that is gone has freed the port already, and any other frees it when this
	 * domain goes: nothing the caller could do about a failure */
	pthread_mutex_lock(&e->lock);
	(void)nf__hv_call(e, &call);
	pthread_mutex_unlock(&e->lock);
}
