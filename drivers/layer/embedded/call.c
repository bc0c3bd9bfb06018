/* SPDX-License-Identifier: MIT */
/*
 * Requests to the hypervisor. It is trusted with this domain's memory, but not with this process's
 * sanity: every reply is checked for length, number, type and descriptors, and what does not fit is
 * closed, not kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/major.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "embedded.h"

#define REPLY_FLAG 1u
#define KERNEL_FDS_MAX 253 /* SCM_MAX_FD: room for all, so that none is lost unclosed */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int fail(struct nf__embedded *e, int error)
{
	if (!e->error)
		e->error = error;
	return e->error;
}

void nf__hv_close_fds(struct nf__hv_call *c, int from)
{
	while (c->fd_count > from)
		close(c->fds[--c->fd_count]);
}

int nf__hv_broken(struct nf__embedded *e, struct nf__hv_call *c)
{
	nf__hv_close_fds(c, 0);
	return fail(e, -EPROTO);
}

/* A page beyond a memfd's end, or of a shrunken one, is SIGBUS; with F_SEAL_SHRINK it cannot come
 * to that. A hole punched on revocation is inside the file: reading it yields zeros, never a
 * signal. */
int nf__hv_check_memory(int fd, uint64_t offset, uint64_t bytes)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	/* pages a relay granted on real Xen: gntalloc's, which have no size and cannot shrink; the
	 * hypervisor made sure that it is that device, whose name need not be in a domain's /dev */
	if (seals < 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) &&
	    major(st.st_rdev) == MISC_MAJOR)
		return offset % NF_PAGE_BYTES ? -EPROTO : 0;
	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0 || st.st_size < 0)
		return -EPROTO;
	uint64_t size = (uint64_t)st.st_size;
	if (offset % NF_PAGE_BYTES || offset > size || bytes > size - offset)
		return -EPROTO;
	return 0;
}

int nf__hv_check_socket(int fd, int type)
{
	int domain = -1, is = -1;
	socklen_t n = sizeof(domain), m = sizeof(is);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &is, &m) < 0 || domain != AF_UNIX || is != type)
		return -EPROTO;
	return 0;
}

/* Waits for events or the other end's death. 0 or -ETIMEDOUT. */
static int wait_io(const struct nf__embedded *e, short events, int64_t deadline)
{
	struct pollfd p = {.fd = e->fd, .events = events};
	int64_t left = deadline - now_ms();

	if (left > 0 && (poll(&p, 1, (int)left) >= 0 || errno == EINTR))
		return 0;
	return -ETIMEDOUT;
}

static int send_request(struct nf__embedded *e, struct nf__hv_call *c, int64_t deadline)
{
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov[2] = {
		{.iov_base = c->request, .iov_len = c->request_bytes},
		{.iov_base = (void *)(uintptr_t)c->tail, .iov_len = c->tail_bytes},
	};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = c->tail_bytes ? 2 : 1};

	if (c->request_fd >= 0) {
		control.h.cmsg_level = SOL_SOCKET;
		control.h.cmsg_type = SCM_RIGHTS;
		control.h.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.h), &c->request_fd, sizeof(int));
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control.bytes);
	}
	for (;;) {
		if (sendmsg(e->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
			return fail(e, -ECONNRESET);
		if (errno == EBADF && c->request_fd >= 0)
			return -EINVAL; /* the caller's descriptor is none */
		if (errno != EAGAIN && errno != EINTR)
			return -errno; /* seqpacket: nothing was sent */
		int rc = wait_io(e, POLLOUT, deadline);
		if (rc < 0)
			return rc;
	}
}

/* Takes the descriptors out of a received message: at most NF_HV_FDS_MAX, the rest is closed. */
static void take_fds(struct msghdr *m, struct nf__hv_call *c)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
			if (c->fd_count < (int)NF_HV_FDS_MAX)
				c->fds[c->fd_count++] = fd;
			else
				close(fd);
		}
	}
}

/* One message into e->in. 1 received, 0 none yet, or the sticky error. */
static int receive(struct nf__embedded *e, struct nf__hv_call *c)
{
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(KERNEL_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = e->in, .iov_len = NF_HV_MESSAGE_MAX};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.bytes,
			   .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(e->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return fail(e, -ECONNRESET);
	c->fd_count = 0;
	take_fds(&m, c);
	if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || (size_t)n < sizeof(struct nf_hv_header))
		return nf__hv_broken(e, c);
	c->reply = e->in;
	c->reply_bytes = (size_t)n;
	return 1;
}

/*
 * 1: the reply to this request; 0: one that is closed and forgotten: to a request that timed out,
 * or the last one again, once, since a hypervisor killed after an answer cannot know that it was
 * sent; or -EPROTO.
 */
static int classify(struct nf__embedded *e, struct nf__hv_call *c)
{
	const struct nf_hv_header *h = c->reply, *q = c->request;
	uint32_t ahead = h->seq - e->answered;

	if (ahead == 0 && !e->is_repeated && h->magic == NF_HV_MAGIC && h->flags == REPLY_FLAG) {
		e->is_repeated = e->answered != 0;
		nf__hv_close_fds(c, 0);
		return e->is_repeated ? 0 : fail(e, -EPROTO);
	}
	if (h->magic != NF_HV_MAGIC || h->flags != REPLY_FLAG || ahead == 0 ||
	    ahead > e->seq - e->answered)
		return nf__hv_broken(e, c);
	e->answered = h->seq;
	e->is_repeated = false;
	if (h->seq != e->seq) {
		nf__hv_close_fds(c, 0);
		return 0;
	}
	if (h->type != q->type || h->status > 0 || h->status < -4095)
		return nf__hv_broken(e, c);
	if (h->status < 0) {
		if (c->fd_count > 0)
			return nf__hv_broken(e, c);
		return 1;
	}
	if (c->reply_bytes < c->reply_min || c->fd_count < c->fds_min || c->fd_count > c->fds_max)
		return nf__hv_broken(e, c);
	return 1;
}

int nf__hv_call(struct nf__embedded *e, struct nf__hv_call *c)
{
	struct nf_hv_header *q = c->request;
	int64_t deadline = now_ms() + NF_LAYER_TIMEOUT_MS;
	int rc;

	c->fd_count = 0;
	if (e->error)
		return e->error;
	if (c->request_bytes + c->tail_bytes > NF_HV_MESSAGE_MAX)
		return -EINVAL;
	q->magic = NF_HV_MAGIC;
	q->flags = 0;
	q->seq = ++e->seq;
	q->status = 0;
	rc = send_request(e, c, deadline);
	if (rc < 0) {
		e->seq--;
		return rc;
	}
	for (;;) {
		rc = receive(e, c);
		if (rc == 1)
			rc = classify(e, c);
		else if (rc == 0 && (rc = wait_io(e, POLLIN, deadline)) == 0)
			continue;
		if (rc < 0)
			return rc;
		if (rc == 1)
			return ((const struct nf_hv_header *)c->reply)->status;
	}
}
