/* SPDX-License-Identifier: MIT */
/*
 * io_uring by its three system calls (man io_uring_setup, io_uring_enter, io_uring_register; the
 * layouts are linux/io_uring.h's). The static daemon links no liburing.
 */
#include "blk_io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nf/atomics.h"

struct uring {
	struct nf__engine e;
	struct io_uring_params p;
	uint8_t *rings; /* SQ and CQ, one mapping */
	size_t rings_bytes;
	struct io_uring_sqe *sqes;
	size_t sqes_bytes;
	uint32_t *shared_sq_tail, *shared_sq_flags, *shared_cq_head, *shared_cq_tail;
	const struct io_uring_cqe *shared_cqes;
	uint32_t sq_tail, sq_mask, cq_head, cq_mask;
	uint32_t to_submit; /* added since the last submit that went through */
};

static int sys_setup(uint32_t entries, struct io_uring_params *p)
{
	long rc = syscall(SYS_io_uring_setup, entries, p);
	return rc < 0 ? -errno : (int)rc;
}

static int sys_enter(const struct uring *u, uint32_t submit, uint32_t wait, uint32_t flags)
{
	long rc = syscall(SYS_io_uring_enter, u->e.fd, submit, wait, flags, NULL, 0);
	return rc < 0 ? -errno : (int)rc;
}

static void prepare(struct io_uring_sqe *s, const struct nf__io *io)
{
	*s = (struct io_uring_sqe){
		.fd = io->fd,
		.off = io->offset,
		.user_data = (uint64_t)(uintptr_t)io,
	};
	bool is_read = io->op == NF__IO_READV;
	switch (io->op) {
	case NF__IO_FDATASYNC:
		s->opcode = IORING_OP_FSYNC;
		s->fsync_flags = IORING_FSYNC_DATASYNC;
		s->off = 0;
		return;
	case NF__IO_PUNCH:
		s->opcode = IORING_OP_FALLOCATE;
		s->len = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
		s->addr = io->bytes;
		return;
	default:
		break;
	}
	if (io->niov == 1) {
		s->opcode = is_read ? IORING_OP_READ : IORING_OP_WRITE;
		s->addr = (uint64_t)(uintptr_t)io->iov[0].iov_base;
		s->len = (uint32_t)io->iov[0].iov_len;
		if (io->buffer >= 0) {
			s->opcode = is_read ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED;
			s->buf_index = (uint16_t)io->buffer;
		}
	} else {
		s->opcode = is_read ? IORING_OP_READV : IORING_OP_WRITEV;
		s->addr = (uint64_t)(uintptr_t)io->iov;
		s->len = io->niov;
	}
	s->rw_flags = io->is_sync ? RWF_DSYNC : 0;
}

static void uring_add(struct nf__engine *e, struct nf__io *io)
{
	struct uring *u = (struct uring *)e;
	/* as many entries as are ever in flight: there is always one free */
	prepare(&u->sqes[u->sq_tail & u->sq_mask], io);
	u->sq_tail++;
	u->to_submit++;
	/* the entry before the index by which the kernel finds it */
	nf_store_release(u->shared_sq_tail, u->sq_tail);
}

static int uring_submit(struct nf__engine *e)
{
	struct uring *u = (struct uring *)e;
	while (u->to_submit) {
		int rc = sys_enter(u, u->to_submit, 0, 0);
		if (rc == -EINTR)
			continue;
		if (rc <= 0)
			return rc < 0 ? rc : -EAGAIN;
		u->to_submit -= (uint32_t)rc;
	}
	return 0;
}

static uint32_t uring_reap(struct nf__engine *e, struct nf__io **out, uint32_t cap)
{
	struct uring *u = (struct uring *)e;
	/* the kernel's entries are there once its index is seen */
	uint32_t tail = nf_load_acquire(u->shared_cq_tail), n = 0;

	if (tail == u->cq_head &&
	    nf_load_relaxed(u->shared_sq_flags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) {
		/* completions wait for this thread to enter the kernel */
		sys_enter(u, 0, 0, IORING_ENTER_GETEVENTS);
		tail = nf_load_acquire(u->shared_cq_tail);
	}
	for (; u->cq_head != tail && n < cap; u->cq_head++) {
		const struct io_uring_cqe *c = &u->shared_cqes[u->cq_head & u->cq_mask];
		struct nf__io *io = (struct nf__io *)(uintptr_t)c->user_data;
		io->result = c->res;
		out[n++] = io;
	}
	if (n) /* we have read the entries before the kernel may write there again */
		nf_store_release(u->shared_cq_head, u->cq_head);
	return n;
}

static void uring_wait(struct nf__engine *e)
{
	struct uring *u = (struct uring *)e;
	sys_enter(u, u->to_submit, 1, IORING_ENTER_GETEVENTS);
}

static void uring_woken(struct nf__engine *e)
{
	(void)e; /* readable until reaped */
}

static void uring_close(struct nf__engine *e)
{
	struct uring *u = (struct uring *)e;
	if (u->sqes)
		munmap(u->sqes, u->sqes_bytes);
	if (u->rings)
		munmap(u->rings, u->rings_bytes);
	close(u->e.fd);
	free(u);
}

static const struct nf__engine_ops uring_ops = {
	.add = uring_add,
	.submit = uring_submit,
	.reap = uring_reap,
	.wait = uring_wait,
	.woken = uring_woken,
	.close = uring_close,
};

static int map_rings(struct uring *u)
{
	const struct io_uring_params *p = &u->p;
	size_t sq = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
	size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);

	u->rings_bytes = sq > cq ? sq : cq;
	void *rings = mmap(NULL, u->rings_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			   u->e.fd, IORING_OFF_SQ_RING);
	if (rings == MAP_FAILED)
		return -errno;
	u->rings = rings;
	u->sqes_bytes = p->sq_entries * sizeof(struct io_uring_sqe);
	void *sqes = mmap(NULL, u->sqes_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			  u->e.fd, IORING_OFF_SQES);
	if (sqes == MAP_FAILED)
		return -errno;
	u->sqes = sqes;
	u->shared_sq_tail = (uint32_t *)(void *)(u->rings + p->sq_off.tail);
	u->shared_sq_flags = (uint32_t *)(void *)(u->rings + p->sq_off.flags);
	u->shared_cq_head = (uint32_t *)(void *)(u->rings + p->cq_off.head);
	u->shared_cq_tail = (uint32_t *)(void *)(u->rings + p->cq_off.tail);
	u->shared_cqes = (const struct io_uring_cqe *)(void *)(u->rings + p->cq_off.cqes);
	u->sq_mask = p->sq_entries - 1;
	u->cq_mask = p->cq_entries - 1;
	uint32_t *array = (uint32_t *)(void *)(u->rings + p->sq_off.array);
	for (uint32_t i = 0; i < p->sq_entries; i++)
		array[i] = i; /* entry i is always at i */
	return 0;
}

int nf__uring_open(uint32_t depth, struct nf__engine **out)
{
	struct uring *u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	/* completions run when we enter the kernel anyway, not by interrupting the poller */
	u->p.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
	int fd = sys_setup(depth, &u->p);
	if (fd == -EINVAL) { /* a kernel before 5.19 */
		u->p = (struct io_uring_params){0};
		fd = sys_setup(depth, &u->p);
	}
	if (fd < 0) {
		free(u);
		return fd;
	}
	u->e = (struct nf__engine){.ops = &uring_ops, .fd = fd};
	/* one mapping for both rings: 5.4; READ, WRITE and FALLOCATE: 5.6, as
	 * IORING_FEAT_RW_CUR_POS */
	int rc = u->p.features & IORING_FEAT_SINGLE_MMAP && u->p.features & IORING_FEAT_RW_CUR_POS
			 ? map_rings(u)
			 : -ENOSYS;
	if (rc) {
		uring_close(&u->e);
		return rc;
	}
	*out = &u->e;
	return 0;
}

int nf__uring_register(struct nf__engine *e, const struct iovec *regions, uint32_t count)
{
	const struct uring *u = (const struct uring *)e;
	if (u->e.ops != &uring_ops)
		return -ENOSYS;
	syscall(SYS_io_uring_register, u->e.fd, IORING_UNREGISTER_BUFFERS, NULL, 0);
	if (count == 0)
		return 0;
	long rc = syscall(SYS_io_uring_register, u->e.fd, IORING_REGISTER_BUFFERS, regions, count);
	return rc < 0 ? -errno : 0;
}
