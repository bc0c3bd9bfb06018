/* SPDX-License-Identifier: MIT */
/* The socket. Every frame has one size; what is none ends the keeper: its hypervisor is broken. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keeper.h"
#include "nf/keep.h"

union control {
	struct cmsghdr h;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static int broken(const char *what)
{
	fprintf(stderr, "nf-keeper: %s: what was kept goes\n", what);
	return 1;
}

/* 1 a frame (fd -1: none beside it), 0 nobody is there any more, -1 what is no frame. */
static int receive(int socket, struct nf_keep_frame *f, int *fd)
{
	union control control;
	struct iovec iov = {.iov_base = f, .iov_len = sizeof(*f)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.bytes,
			   .msg_controllen = sizeof(control.bytes)};
	ssize_t n;

	*fd = -1;
	do
		n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return 0;
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(c), sizeof(int));
	if (n != (ssize_t)sizeof(*f) || m.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ||
	    f->magic != NF_KEEP_MAGIC || (f->op == NF_KEEP_PUT) != (*fd >= 0))
		return -1;
	return 1;
}

/* False when nobody is there any more. Blocks while nobody reads: the next hypervisor does. */
static bool answer(int socket, enum nf_keep_op op, uint64_t id, uint64_t value, int fd)
{
	struct nf_keep_frame f = {.magic = NF_KEEP_MAGIC, .op = op, .id = id, .value = value};
	union control control = {.bytes = {0}};
	struct iovec iov = {.iov_base = &f, .iov_len = sizeof(f)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		control.h.cmsg_level = SOL_SOCKET;
		control.h.cmsg_type = SCM_RIGHTS;
		control.h.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.h), &fd, sizeof(int));
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control.bytes);
	}
	for (;;) {
		if (sendmsg(socket, &m, MSG_NOSIGNAL) >= 0)
			return true;
		if (errno == ETOOMANYREFS)
			usleep(1000); /* others have descriptors on their way; they arrive */
		else if (errno != EINTR)
			return false;
	}
}

static bool fetch(const struct keeper *k, int socket, uint64_t value)
{
	for (size_t i = 0; i < k->count; i++)
		if (!answer(socket, NF_KEEP_HAVE, k->entries[i].id, value, k->entries[i].fd))
			return false;
	return answer(socket, NF_KEEP_END, k->count, value, -1);
}

int keeper_serve(struct keeper *k, int socket)
{
	struct nf_keep_frame f;
	int fd, got;

	while ((got = receive(socket, &f, &fd)) > 0) {
		int rc = 0;
		bool is_there = true;

		if (f.op == NF_KEEP_PUT)
			rc = keeper_put(k, f.id, fd, f.value);
		else if (f.op == NF_KEEP_DROP)
			keeper_drop(k, f.id);
		else if (f.op == NF_KEEP_STORE)
			rc = keeper_store(k, f.id, f.offset, (uint32_t)f.value);
		else if (f.op == NF_KEEP_SYNC)
			is_there = answer(socket, NF_KEEP_SYNC, f.id, f.value, -1);
		else if (f.op == NF_KEEP_FETCH)
			is_there = fetch(k, socket, f.value);
		else
			return broken("a frame of no known kind");
		if (rc < 0)
			return broken(strerror(-rc));
		if (!is_there)
			return 0;
	}
	if (fd >= 0)
		close(fd);
	return got == 0 ? 0 : broken("a message that is no frame");
}
