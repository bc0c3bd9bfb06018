/* SPDX-License-Identifier: MIT */
/* The scripted hypervisor's loop, and every way in which it breaks an answer. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fakehv_internal.h"

static void send_answer(int fd, const void *bytes, size_t count, const int *fds, int fd_count)
{
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(FAKEHV_KERNEL_FDS * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = count};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd_count > 0) {
		memset(&control, 0, sizeof(control));
		control.h.cmsg_level = SOL_SOCKET;
		control.h.cmsg_type = SCM_RIGHTS;
		control.h.cmsg_len = CMSG_LEN((size_t)fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.h), fds, (size_t)fd_count * sizeof(int));
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE((size_t)fd_count * sizeof(int));
	}
	(void)sendmsg(fd, &m, MSG_NOSIGNAL);
}

static void drop_fds(struct fakehv_answer *a)
{
	while (a->fd_count > 0)
		close(a->fds[--a->fd_count]);
}

static void replace_fds(struct fakehv_answer *a, bool memory)
{
	for (int i = 0; i < a->fd_count; i++) {
		close(a->fds[i]);
		a->fds[i] = memory ? fakehv_memory(1u << 20, F_SEAL_GROW)
				   : open("/dev/null", O_RDWR | O_CLOEXEC);
	}
}

static void stray_fds(struct fakehv_answer *a, int count)
{
	while (count-- > 0 && a->fd_count < FAKEHV_KERNEL_FDS)
		a->fds[a->fd_count++] = open("/dev/null", O_RDWR | O_CLOEXEC);
}

/* Faults of the header and the length; true when it was one. */
static bool break_header(struct fakehv *h, struct fakehv_answer *a)
{
	struct nf_hv_header *r = (void *)a->bytes;

	switch (h->fault) {
	case FAKEHV_EMPTY_HEADER:
		a->count = sizeof(*r) - 1;
		return true;
	case FAKEHV_SHORT:
		a->count -= (uint32_t)h->value;
		return true;
	case FAKEHV_LONG:
		a->count += (uint32_t)h->value;
		return true;
	case FAKEHV_OVERSIZED:
		a->count = NF_HV_MESSAGE_MAX + 8;
		return true;
	case FAKEHV_MAGIC:
		r->magic ^= 1;
		return true;
	case FAKEHV_TYPE:
		r->type++;
		return true;
	case FAKEHV_NO_REPLY_FLAG:
		r->flags = 0;
		return true;
	case FAKEHV_SEQ_OLD:
		r->seq -= 2; /* the last one again would be passed over */
		return true;
	case FAKEHV_SEQ_NEW:
		r->seq++;
		return true;
	case FAKEHV_STATUS_POSITIVE:
		r->status = 1;
		return true;
	case FAKEHV_STATUS_HUGE:
		r->status = INT32_MIN;
		return true;
	default:
		return false;
	}
}

static void break_answer(struct fakehv *h, struct fakehv_answer *a)
{
	struct nf_hv_header *r = (void *)a->bytes;

	if (break_header(h, a))
		return;
	switch (h->fault) {
	case FAKEHV_STATUS:
	case FAKEHV_STATUS_FD:
		drop_fds(a);
		r->status = h->value;
		a->count = sizeof(*r);
		stray_fds(a, h->fault == FAKEHV_STATUS_FD);
		break;
	case FAKEHV_STRAY_FDS:
		stray_fds(a, h->value);
		break;
	case FAKEHV_NO_FDS:
		drop_fds(a);
		break;
	case FAKEHV_WRONG_FDS:
	case FAKEHV_UNSEALED:
		replace_fds(a, h->fault == FAKEHV_UNSEALED);
		break;
	case FAKEHV_WORD:
		memcpy(a->bytes + h->offset, &h->value, sizeof(h->value));
		break;
	default:
		break;
	}
}

static void hold_back(struct fakehv *h, struct fakehv_answer *a)
{
	h->late_bytes = a->count < sizeof(h->late) ? a->count : (uint32_t)sizeof(h->late);
	memcpy(h->late, a->bytes, h->late_bytes);
	h->late_fd_count = a->fd_count < 4 ? a->fd_count : 4;
	memcpy(h->late_fds, a->fds, (size_t)h->late_fd_count * sizeof(int));
	a->fd_count = 0;
}

/* Answers one request; false: the connection ends. */
static bool serve_one(struct fakehv *h, const uint8_t *q, size_t bytes, int fd,
		      struct fakehv_answer *a)
{
	const struct nf_hv_header *head = (const void *)q;
	bool go_on = true;

	memset(a->bytes, 0, sizeof(a->bytes));
	memcpy(a->bytes, q, sizeof(*head));
	((struct nf_hv_header *)(void *)a->bytes)->flags = 1;
	a->count = sizeof(*head);
	a->fd_count = 0;
	pthread_mutex_lock(&h->lock);
	if (head->type < FAKEHV_TYPES)
		atomic_fetch_add(&h->messages[head->type], 1);
	bool hit = h->fault != FAKEHV_NONE && h->fault_type == head->type;
	if (hit && h->fault == FAKEHV_DIE_BEFORE) {
		pthread_mutex_unlock(&h->lock);
		if (fd >= 0)
			close(fd);
		return false;
	}
	fakehv_answer(h, q, bytes, fd, a);
	if (hit && h->fault == FAKEHV_SILENT) {
		hold_back(h, a);
	} else {
		if (hit)
			break_answer(h, a);
		send_answer(h->fd, a->bytes, a->count, a->fds, a->fd_count);
		if (hit && h->fault == FAKEHV_TWICE)
			send_answer(h->fd, a->bytes, a->count, a->fds, a->fd_count);
		go_on = !(hit && h->fault == FAKEHV_DIE_AFTER);
	}
	drop_fds(a);
	if (fd >= 0)
		close(fd);
	if (hit)
		h->fault = FAKEHV_NONE;
	pthread_mutex_unlock(&h->lock);
	return go_on;
}

void *fakehv_serve(void *arg)
{
	struct fakehv *h = arg;
	_Alignas(8) static __thread uint8_t q[NF_HV_MESSAGE_MAX];
	struct fakehv_answer *a = malloc(sizeof(*a));

	while (a) {
		union {
			struct cmsghdr h;
			char bytes[CMSG_SPACE(sizeof(int))];
		} control;
		struct iovec iov = {.iov_base = q, .iov_len = sizeof(q)};
		struct msghdr m = {.msg_iov = &iov,
				   .msg_iovlen = 1,
				   .msg_control = control.bytes,
				   .msg_controllen = sizeof(control.bytes)};
		ssize_t n = recvmsg(h->fd, &m, MSG_CMSG_CLOEXEC);
		int fd = -1;

		if (n < (ssize_t)sizeof(struct nf_hv_header))
			break;
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		if (c && c->cmsg_type == SCM_RIGHTS)
			memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		if (!serve_one(h, q, (size_t)n, fd, a))
			break;
	}
	shutdown(h->fd, SHUT_RDWR);
	free(a);
	return NULL;
}

void fakehv_arm(struct fakehv *h, enum fakehv_fault fault, uint16_t type, int32_t value)
{
	pthread_mutex_lock(&h->lock);
	h->fault = fault;
	h->fault_type = type;
	h->value = value;
	pthread_mutex_unlock(&h->lock);
}

void fakehv_late(struct fakehv *h)
{
	pthread_mutex_lock(&h->lock);
	send_answer(h->fd, h->late, h->late_bytes, h->late_fds, h->late_fd_count);
	while (h->late_fd_count > 0)
		close(h->late_fds[--h->late_fd_count]);
	pthread_mutex_unlock(&h->lock);
}
