/* SPDX-License-Identifier: MIT */
/* One queue of a file or block device: requests in, completions out. */
#include "blk_fileport.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define REAP_BATCH 64u
#define START 2u /* requests an idle disk gets at once: it works while the others are prepared */

static bool is_side(const struct nf__fileslot *s)
{
	return s->io.op == NF__IO_BLKDISCARD || s->io.op == NF__IO_BLKSECDISCARD;
}

static void launch(struct nf__fileport *q, struct nf__fileslot *s)
{
	if (is_side(s) && q->ioctls != q->engine) {
		q->ioctls->ops->add(q->ioctls, &s->io);
		q->side_in_flight++;
		q->ioctls->ops->submit(q->ioctls);
	} else {
		q->engine->ops->add(q->engine, &s->io);
		q->in_flight++;
	}
}

static void slot_free(struct nf__fileport *q, struct nf__fileslot *s)
{
	s->next_free = q->free;
	q->free = s;
}

/* Memory that was lent or taken back since the last look; nothing may be in flight in it. */
static void follow_regions(struct nf__fileport *q)
{
	struct nf__filedisk *f = q->disk;
	if (q->serial == f->region_serial || q->in_flight || f->engine != NF__ENGINE_URING)
		return;
	q->serial = f->region_serial;
	if (nf__uring_register(q->engine, f->regions, f->region_count) < 0)
		f->region_count = 0; /* over RLIMIT_MEMLOCK: it goes without */
}

static int engine_go(struct nf__fileport *q)
{
	int rc = q->engine->ops->submit(q->engine);
	/* short of kernel memory: what was added is still there for the next call */
	return rc == -EAGAIN || rc == -EBUSY || rc == -ENOMEM ? 0 : rc;
}

static int file_submit(struct nf_blkport *p, const struct nf_blkreq *reqs, uint32_t n)
{
	struct nf__fileport *q = p->priv;
	uint32_t i = 0;

	follow_regions(q);
	/* what waits to be reaped counts: `ready` has room for depth */
	uint32_t room = q->depth - nf__blkready_count(&q->ready) - q->in_flight - q->side_in_flight;
	if (n > room)
		n = room;
	bool is_idle = q->in_flight == 0;
	uint32_t asked = n;
	if (is_idle)
		nf__window_begin(&q->window);
	for (; i < n && q->in_flight < q->window.limit; i++) {
		uint64_t bytes;
		int rc = nf__blkreq_check(p->geometry, &reqs[i], &bytes);
		if (rc) {
			nf__blkready_put(&q->ready, reqs[i].token, rc);
			continue;
		}
		struct nf__fileslot *s = q->free;
		q->free = s->next_free;
		s->req = reqs[i];
		s->bytes = bytes;
		if (!nf__transfer_begin(q, s)) {
			slot_free(q, s);
			break;
		}
		launch(q, s);
		if (is_idle && q->in_flight == START && engine_go(q) < 0)
			return -ENODEV;
	}
	nf__window_wanted(&q->window, q->in_flight + asked - i);
	p->is_full = q->in_flight >= q->window.limit;
	return engine_go(q) < 0 ? -ENODEV : (int)i;
}

/* Takes what an engine has finished; true when something was started again. */
static bool collect(struct nf__fileport *q, struct nf__engine *e, uint32_t *in_flight)
{
	struct nf__io *ios[REAP_BATCH];
	bool is_again = false;
	uint32_t n = e->ops->reap(e, ios, REAP_BATCH);
	for (uint32_t i = 0; i < n; i++) {
		struct nf__fileslot *s = (struct nf__fileslot *)ios[i];
		int error = 0;
		(*in_flight)--;
		if (nf__transfer_next(q, s, &error)) {
			launch(q, s);
			is_again = true;
			continue;
		}
		nf__blkready_put(&q->ready, s->req.token, error);
		slot_free(q, s);
	}
	return is_again;
}

static int file_reap(struct nf_blkport *p, struct nf_blkdone *done, uint32_t cap)
{
	struct nf__fileport *q = p->priv;
	bool is_again = false;
	uint32_t before = q->in_flight;
	if (before)
		is_again = collect(q, q->engine, &q->in_flight);
	if (q->in_flight < before)
		nf__window_reaped(&q->window, before - q->in_flight, q->in_flight, q->depth);
	p->is_full = q->in_flight >= q->window.limit;
	if (q->side_in_flight)
		is_again |= collect(q, q->ioctls, &q->side_in_flight);
	if (is_again && engine_go(q) < 0)
		return -ENODEV;
	return nf__blkready_take(&q->ready, done, cap);
}

static int file_arm(struct nf_blkport *p)
{
	struct nf__fileport *q = p->priv;
	engine_go(q); /* what a shortage of memory left behind */
	return (int)nf__blkready_count(&q->ready);
}

static void file_woken(struct nf_blkport *p)
{
	struct nf__fileport *q = p->priv;
	q->engine->ops->woken(q->engine);
	if (q->ioctls != q->engine)
		q->ioctls->ops->woken(q->ioctls);
}

static void port_free(struct nf__fileport *q, int fd)
{
	if (q->ioctls && q->ioctls != q->engine) {
		q->ioctls->ops->close(q->ioctls);
		close(fd); /* the epoll descriptor over both */
	}
	if (q->engine)
		q->engine->ops->close(q->engine);
	for (uint32_t i = 0; q->slots && i < q->depth; i++)
		free(q->slots[i].bounce);
	free(q->slots);
	nf__blkready_fini(&q->ready);
	free(q);
}

static void file_port_close(struct nf_blkport *p)
{
	struct nf__fileport *q = p->priv;
	while (q->in_flight) {
		q->ready.head = q->ready.tail;
		collect(q, q->engine, &q->in_flight);
		if (q->in_flight)
			q->engine->ops->wait(q->engine);
	}
	while (q->side_in_flight) {
		q->ready.head = q->ready.tail;
		collect(q, q->ioctls, &q->side_in_flight);
		if (q->side_in_flight)
			q->ioctls->ops->wait(q->ioctls);
	}
	port_free(q, p->fd);
	p->priv = NULL;
	p->fd = -1;
}

static const struct nf_blkport_ops file_port_ops = {
	.name = "file",
	.submit = file_submit,
	.reap = file_reap,
	.arm = file_arm,
	.woken = file_woken,
	.close = file_port_close,
};

/* One descriptor for both engines of a block device. */
static int join_fds(const struct nf__fileport *q)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event main = {.events = EPOLLIN}, side = {.events = EPOLLIN};
	if (fd < 0)
		return -errno;
	if (epoll_ctl(fd, EPOLL_CTL_ADD, q->engine->fd, &main) != 0 ||
	    epoll_ctl(fd, EPOLL_CTL_ADD, q->ioctls->fd, &side) != 0) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

static int open_engines(struct nf__fileport *q)
{
	bool is_uring = q->disk->engine == NF__ENGINE_URING;
	int rc = is_uring ? nf__uring_open(q->depth, &q->engine)
			  : nf__io_threads_open(q->depth, &q->engine);
	if (rc)
		return rc;
	q->ioctls = q->engine;
	if (!is_uring || !q->disk->is_block)
		return q->engine->fd;
	q->ioctls = NULL;
	rc = nf__io_threads_open(1, &q->ioctls);
	return rc ? rc : join_fds(q);
}

int nf__fileport_open(struct nf_disk *d, uint32_t depth, struct nf_counters *counters,
		      struct nf_blkport *out)
{
	struct nf__filedisk *f = d->priv;
	if (depth > NF_BLKPORT_DEPTH_MAX)
		return -EINVAL;
	struct nf__fileport *q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->disk = f;
	q->depth = q->window.limit = depth;
	q->is_copied = f->is_copied;
	q->slots = calloc(depth, sizeof(*q->slots));
	int fd = q->slots ? nf__blkready_init(&q->ready, depth) : -ENOMEM;
	if (fd == 0)
		fd = open_engines(q);
	if (fd < 0) {
		port_free(q, -1);
		return fd;
	}
	for (uint32_t i = depth; i-- > 0;)
		slot_free(q, &q->slots[i]);
	*out = (struct nf_blkport){
		.ops = &file_port_ops,
		.fd = fd,
		.depth = depth,
		.mem_align = f->direct_fd >= 0 ? f->mem_align : NF_SECTOR_BYTES,
		.segs_max = NF_BLKREQ_SEGS_MAX,
		.geometry = &d->geometry,
		.counters = counters,
		.priv = q,
	};
	return 0;
}
