/* SPDX-License-Identifier: MIT */
/* A frontend's queues and who uses them. Both outlive a reconnection; so do requests. */
#include "blk_front.h"

#include <stdlib.h>
#include <string.h>

static int user_open(struct nf_blkfront *f, uint32_t i)
{
	char err[200] = "";
	const struct nf_blkuser_env env = {
		.devid = f->e.dev.devid,
		.queue = i,
		.queues = f->queues,
		.control = f->e.cfg.control
				   ? &f->e.cfg.control->dev[f->e.dev.devid % NF_CONTROL_DEVICES]
				   : NULL,
		.counters = f->e.blocks[i],
		.latency = f->e.latency[i],
	};
	if (f->queue[i]->user)
		return 0;
	if (f->e.cfg.users) {
		f->queue[i]->user = &f->e.cfg.users[i];
		return 0;
	}
	if (!f->e.cfg.port)
		return 0;
	int rc = nf_blkuser_open(f->e.spec, &env, &f->users[i], err, sizeof(err));
	if (rc < 0)
		return nf__blk_end_fail(&f->e, rc, "user %s: %s", f->e.spec,
					err[0] ? err : strerror(-rc));
	f->queue[i]->user = &f->users[i];
	return 0;
}

static int user_start(struct nf_blkfront *f, uint32_t i)
{
	struct nf_blk_queue *q = f->queue[i];
	int rc = user_open(f, i);
	if (rc || !q->user || f->is_started[i])
		return rc;
	if (q->user->ops->start)
		rc = q->user->ops->start(q->user, &q->port);
	if (rc < 0)
		return nf__blk_end_fail(&f->e, rc, "user %s does not start: %s", q->user->ops->name,
					strerror(-rc));
	f->is_started[i] = true;
	return 0;
}

/* What the poller is asked to do to a queue between two rounds. */
struct change {
	struct nf_blkfront *f;
	uint32_t queue;
	const struct nf_blk_disk *disk;
};

static int poller_connect(void *ctx)
{
	const struct change *c = ctx;
	struct nf_blkfront *f = c->f;
	uint32_t i = c->queue;
	return nf__bfq_connect(f->queue[i], f->rings[i], &f->agreed, f->e.blocks[i]);
}

static int poller_disconnect(void *ctx)
{
	nf__bfq_disconnect(ctx);
	return 0;
}

static int poller_resize(void *ctx)
{
	const struct change *c = ctx;
	nf__bfq_resize(c->f->queue[c->queue], c->disk);
	return 0;
}

static int queue_start(struct nf_blkfront *f, uint32_t i)
{
	struct nf_blk_queue *q = f->queue[i];
	struct change c = {.f = f, .queue = i};
	NF_COUNT(f->e.blocks[i], connects, 1);
	int rc = nf_poller_call(f->e.cfg.poller, poller_connect, &c);
	if (rc)
		return rc;
	rc = user_start(f, i);
	if (rc == 0 && f->e.cfg.poller) {
		q->item.error = 0;
		rc = nf_poller_attach(f->e.cfg.poller, &q->item);
	}
	return rc;
}

int nf__blk_front_queues_start(struct nf_blkfront *f)
{
	if (f->is_held)
		return 0;
	nf__blk_blocks_open(&f->e, f->queues);
	for (uint32_t i = 0; i < f->queues; i++) {
		int rc = queue_start(f, i);
		if (rc) {
			nf__blk_front_queues_stop(f);
			return rc;
		}
	}
	return 0;
}

void nf__blk_front_queues_stop(struct nf_blkfront *f)
{
	for (uint32_t i = 0; i < NF_BLK_QUEUES_MAX; i++) {
		if (!f->queue[i])
			continue;
		nf_poller_detach(&f->queue[i]->item);
		if (f->queue[i]->rings)
			nf_poller_call(f->e.cfg.poller, poller_disconnect, f->queue[i]);
	}
}

void nf__blk_front_queues_resize(struct nf_blkfront *f, const struct nf_blk_disk *disk)
{
	for (uint32_t i = 0; !f->is_held && i < f->queues; i++) {
		struct change c = {.f = f, .queue = i, .disk = disk};
		nf_poller_call(f->e.cfg.poller, poller_resize, &c);
	}
}

void nf__blk_front_users_close(struct nf_blkfront *f)
{
	for (uint32_t i = 0; i < NF_BLK_QUEUES_MAX; i++) {
		struct nf_blkuser *u = f->queue[i] ? f->queue[i]->user : NULL;
		if (u && f->is_started[i] && u->ops->stop)
			u->ops->stop(u);
		f->is_started[i] = false;
		if (u == &f->users[i])
			nf_blkuser_close(u);
		if (f->queue[i])
			f->queue[i]->user = NULL;
	}
}
