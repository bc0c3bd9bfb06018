/* SPDX-License-Identifier: MIT */
/* The engine for kernels, seccomp profiles and sysctls that refuse io_uring: threads that call
 * preadv2 and pwritev2. Also for ioctls, which io_uring does not know. */
#include "blk_io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "nf/atomics.h"

#define THREADS_MAX 16u

struct pool {
	struct nf__engine e;
	pthread_mutex_t lock;
	pthread_cond_t work, finished;
	struct nf__io *todo, **todo_end;   /* under lock */
	struct nf__io *done, **done_end;   /* under lock */
	bool is_stopping;		   /* under lock */
	uint32_t done_count;		   /* written under lock, looked at without */
	struct nf__io *added, **added_end; /* the poller's */
	uint32_t threads;
	pthread_t thread[THREADS_MAX];
};

static void append(struct nf__io ***end, struct nf__io *io)
{
	io->next = NULL;
	**end = io;
	*end = &io->next;
}

static int64_t call(const struct nf__io *io)
{
	uint64_t range[2] = {io->offset, io->bytes};
	switch (io->op) {
	case NF__IO_READV:
		return preadv(io->fd, io->iov, (int)io->niov, (off_t)io->offset);
	case NF__IO_WRITEV:
		return pwritev2(io->fd, io->iov, (int)io->niov, (off_t)io->offset,
				io->is_sync ? RWF_DSYNC : 0);
	case NF__IO_FDATASYNC:
		return fdatasync(io->fd);
	case NF__IO_PUNCH:
		return fallocate(io->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 (off_t)io->offset, (off_t)io->bytes);
	case NF__IO_BLKDISCARD:
		return ioctl(io->fd, BLKDISCARD, range);
	default:
		return ioctl(io->fd, BLKSECDISCARD, range);
	}
}

static void *thread_main(void *arg)
{
	struct pool *p = arg;
	const uint64_t one = 1;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (!p->todo && !p->is_stopping)
			pthread_cond_wait(&p->work, &p->lock);
		if (!p->todo)
			break;
		struct nf__io *io = p->todo;
		p->todo = io->next;
		if (!p->todo)
			p->todo_end = &p->todo;
		pthread_mutex_unlock(&p->lock);
		int64_t rc = call(io);
		io->result = rc < 0 ? -errno : (int32_t)rc;
		pthread_mutex_lock(&p->lock);
		append(&p->done_end, io);
		nf_store_release(&p->done_count, p->done_count + 1); /* what it counts is there */
		pthread_cond_signal(&p->finished);
		if (write(p->e.fd, &one, sizeof(one)) < 0)
			continue; /* full: readable already */
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int start_thread(struct pool *p)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the control thread's */
	int rc = pthread_create(&p->thread[p->threads], NULL, thread_main, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		p->threads++;
	return -rc;
}

static void threads_add(struct nf__engine *e, struct nf__io *io)
{
	struct pool *p = (struct pool *)e;
	append(&p->added_end, io);
}

static int threads_submit(struct nf__engine *e)
{
	struct pool *p = (struct pool *)e;
	if (!p->added)
		return 0;
	pthread_mutex_lock(&p->lock);
	*p->todo_end = p->added;
	p->todo_end = p->added_end;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	p->added = NULL;
	p->added_end = &p->added;
	return 0;
}

static uint32_t threads_reap(struct nf__engine *e, struct nf__io **out, uint32_t cap)
{
	struct pool *p = (struct pool *)e;
	uint32_t n = 0;
	if (nf_load_acquire(&p->done_count) == 0) /* a hint: the lock orders the list */
		return 0;
	pthread_mutex_lock(&p->lock);
	while (p->done && n < cap) {
		out[n++] = p->done;
		p->done = p->done->next;
	}
	if (!p->done)
		p->done_end = &p->done;
	nf_store_release(&p->done_count, p->done_count - n);
	pthread_mutex_unlock(&p->lock);
	return n;
}

static void threads_wait(struct nf__engine *e)
{
	struct pool *p = (struct pool *)e;
	threads_submit(e);
	pthread_mutex_lock(&p->lock);
	while (!p->done)
		pthread_cond_wait(&p->finished, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

static void threads_woken(struct nf__engine *e)
{
	uint64_t count;
	if (read(e->fd, &count, sizeof(count)) < 0)
		return; /* drained already */
}

static void threads_close(struct nf__engine *e)
{
	struct pool *p = (struct pool *)e;
	pthread_mutex_lock(&p->lock);
	p->is_stopping = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (uint32_t i = 0; i < p->threads; i++)
		pthread_join(p->thread[i], NULL);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->finished);
	pthread_mutex_destroy(&p->lock);
	if (p->e.fd >= 0)
		close(p->e.fd);
	free(p);
}

static const struct nf__engine_ops threads_ops = {
	.add = threads_add,
	.submit = threads_submit,
	.reap = threads_reap,
	.wait = threads_wait,
	.woken = threads_woken,
	.close = threads_close,
};

int nf__io_threads_open(uint32_t depth, struct nf__engine **out)
{
	struct pool *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->e = (struct nf__engine){.ops = &threads_ops, .fd = -1};
	p->todo_end = &p->todo;
	p->done_end = &p->done;
	p->added_end = &p->added;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->finished, NULL);
	p->e.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc = p->e.fd < 0 ? -errno : 0;
	uint32_t want = depth < THREADS_MAX ? depth : THREADS_MAX;
	while (rc == 0 && p->threads < want)
		rc = start_thread(p);
	if (rc) {
		threads_close(&p->e);
		return rc;
	}
	*out = &p->e;
	return 0;
}
