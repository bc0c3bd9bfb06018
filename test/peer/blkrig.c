/* SPDX-License-Identifier: MIT */
/* Honest block devices for tests. */
#include "blkrig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- the user ---- */

static int user_start(struct nf_blkuser *u, struct nf_blkport *disk)
{
	struct blkrig_user *x = u->priv;
	x->port = disk;
	x->starts++;
	return 0;
}

static void user_stop(struct nf_blkuser *u)
{
	struct blkrig_user *x = u->priv;
	x->port = NULL;
	x->stops++;
}

static int user_run(struct nf_blkuser *u)
{
	struct blkrig_user *x = u->priv;
	struct nf_blkdone done[64];
	int n = x->port->ops->reap(x->port, done, 64), moved = n;
	pthread_mutex_lock(&x->lock);
	for (int i = 0; i < n; i++)
		x->result[done[i].token % BLKRIG_BOX] = done[i].error;
	x->done += n > 0 ? (uint64_t)n : 0;
	while (x->in_got != x->in_put) {
		int taken = x->port->ops->submit(x->port, &x->in[x->in_got % BLKRIG_BOX], 1);
		if (taken <= 0)
			break;
		x->in_got++;
		moved++;
	}
	pthread_mutex_unlock(&x->lock);
	return moved;
}

static int user_arm(struct nf_blkuser *u)
{
	struct blkrig_user *x = u->priv;
	pthread_mutex_lock(&x->lock);
	/* only what can be submitted: a port that has no room tells by a completion */
	bool is_new = x->in_got != x->in_put;
	pthread_mutex_unlock(&x->lock);
	return is_new;
}

static int user_fds(struct nf_blkuser *u, int *fds, int cap)
{
	(void)u;
	(void)fds;
	(void)cap;
	return 0;
}

static void user_close(struct nf_blkuser *u)
{
	(void)u;
}

static const struct nf_blkuser_ops user_ops = {
	.name = "test",
	.start = user_start,
	.stop = user_stop,
	.run = user_run,
	.arm = user_arm,
	.fds = user_fds,
	.close = user_close,
};

static void boxes_make(struct blkrig_end *e)
{
	for (uint32_t i = 0; i < BLKRIG_QUEUES; i++) {
		e->box[i] = calloc(1, sizeof(*e->box[i]));
		if (!e->box[i])
			abort();
		pthread_mutex_init(&e->box[i]->lock, NULL);
		e->users[i] = (struct nf_blkuser){.ops = &user_ops, .priv = e->box[i]};
	}
}

/* ---- ends ---- */

void blkrig_open(struct blkrig *b, struct rig *r)
{
	*b = (struct blkrig){.r = r};
}

void blkrig_close(struct blkrig *b)
{
	for (uint32_t i = 0; i < BLKRIG_ENDS; i++)
		blkrig_end_close(&b->ends[i]);
}

static void notice(void *ctx, const char *line)
{
	struct blkrig_end *e = ctx;
	snprintf(e->notice, sizeof(e->notice), "%s", line);
	if (getenv("NF_TEST_VERBOSE"))
		printf("# %s: %s\n", e->path, line);
}

static struct blkrig_end *take(struct blkrig *b)
{
	for (uint32_t i = 0; i < BLKRIG_ENDS; i++)
		if (!b->ends[i].is_used)
			return &b->ends[i];
	abort();
}

static struct blkrig_end *open_end(struct blkrig *b, const struct mem_vbd *v,
				   const struct nf_blk_config *given, bool is_back, int *err)
{
	struct blkrig_end *e = take(b);
	struct nf_blk_config cfg = given ? *given : (struct nf_blk_config){0};
	*e = (struct blkrig_end){.r = b->r,
				 .d = rig_domain(b->r, is_back ? v->back : v->front),
				 .is_back = is_back,
				 .devid = v->devid};
	if (is_back)
		snprintf(e->path, sizeof(e->path), "backend/vbd/%u/%u", v->front, v->devid);
	else
		snprintf(e->path, sizeof(e->path), "device/vbd/%u", v->devid);
	snprintf(e->token, sizeof(e->token), "%s%u", is_back ? "B" : "F", (unsigned)(e - b->ends));
	cfg.layer = e->d->layer;
	cfg.store = e->d->store;
	cfg.poller = b->r->poller;
	cfg.counters = &e->d->counters;
	cfg.control = e->d->control;
	cfg.path = e->path;
	cfg.token = e->token;
	cfg.notice = notice;
	cfg.ctx = e;
	if (!is_back) {
		boxes_make(e);
		cfg.users = e->users;
	} else if (!cfg.port && !cfg.disk) {
		cfg.port = "mem:16M";
	}
	e->is_used = true;
	int rc = is_back ? nf_blkback_open(&cfg, &e->back) : nf_blkfront_open(&cfg, &e->front);
	if (err)
		*err = rc;
	if (rc == 0)
		return e;
	blkrig_end_close(e);
	return NULL;
}

struct blkrig_end *blkrig_front(struct blkrig *b, const struct mem_vbd *v,
				const struct nf_blk_config *cfg, int *err)
{
	return open_end(b, v, cfg, false, err);
}

struct blkrig_end *blkrig_back(struct blkrig *b, const struct mem_vbd *v,
			       const struct nf_blk_config *cfg, int *err)
{
	return open_end(b, v, cfg, true, err);
}

void blkrig_end_close(struct blkrig_end *e)
{
	if (!e->is_used)
		return;
	nf_blkfront_close(e->front);
	nf_blkback_close(e->back);
	for (uint32_t i = 0; i < BLKRIG_QUEUES; i++) {
		if (e->box[i])
			pthread_mutex_destroy(&e->box[i]->lock);
		free(e->box[i]);
		e->box[i] = NULL;
	}
	e->front = NULL;
	e->back = NULL;
	e->is_used = false;
}

int blkrig_phase(const struct blkrig_end *e)
{
	return e->is_back ? nf_blkback_phase(e->back) : nf_blkfront_phase(e->front);
}

void blkrig_turn(struct blkrig *b)
{
	rig_turn(b->r);
	if (b->also)
		b->also();
	for (uint32_t i = 0; i < BLKRIG_ENDS; i++) {
		struct blkrig_end *e = &b->ends[i];
		if (!e->is_used)
			continue;
		e->last = e->is_back ? nf_blkback_step(e->back) : nf_blkfront_step(e->front);
		e->failures += e->last < 0;
	}
}

void blkrig_turn_cb(void *blkrig)
{
	blkrig_turn(blkrig);
}

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void round_of(struct blkrig *b)
{
	blkrig_turn(b);
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

int blkrig_until_phase(struct blkrig *b, struct blkrig_end *e, int phase, unsigned ms)
{
	uint64_t end = now_ms() + ms;
	while (blkrig_phase(e) != phase) {
		if (now_ms() > end)
			return -ETIMEDOUT;
		round_of(b);
	}
	return 0;
}

void blkrig_linger(struct blkrig *b, unsigned ms)
{
	uint64_t end = now_ms() + ms;
	do
		round_of(b);
	while (now_ms() < end);
}

uint64_t blkrig_counter(const struct blkrig_end *e, enum nf_counter c)
{
	uint8_t kind = e->is_back ? NF_BLOCK_BLKBACK : NF_BLOCK_BLKFRONT;
	uint64_t sum = 0;
	for (uint32_t i = 0; i < e->d->counters.count; i++) {
		const struct nf_counters *k = &e->d->counters.blocks[i];
		if (k->h.kind == kind && k->h.devid == e->devid)
			sum += nf_load64(&k->words[c]);
	}
	return sum;
}

/* ---- requests ---- */

void blkrig_post(struct blkrig *b, struct blkrig_end *e, uint32_t q, struct nf_blkreq *reqs,
		 uint32_t n)
{
	struct blkrig_user *x = e->box[q];
	pthread_mutex_lock(&x->lock);
	for (uint32_t i = 0; i < n; i++) {
		reqs[i].token = ++b->serial;
		x->result[reqs[i].token % BLKRIG_BOX] = 1;
		x->in[x->in_put++ % BLKRIG_BOX] = reqs[i];
	}
	pthread_mutex_unlock(&x->lock);
	nf_poller_kick(b->r->poller);
}

int32_t blkrig_result(struct blkrig_end *e, uint32_t q, const struct nf_blkreq *req)
{
	struct blkrig_user *x = e->box[q];
	pthread_mutex_lock(&x->lock);
	int32_t rc = x->result[req->token % BLKRIG_BOX];
	pthread_mutex_unlock(&x->lock);
	return rc;
}

int blkrig_wait(struct blkrig *b, struct blkrig_end *e, uint32_t q, const struct nf_blkreq *reqs,
		uint32_t n, unsigned ms)
{
	uint64_t end = now_ms() + ms;
	for (uint32_t i = 0; i < n; i++) {
		while (blkrig_result(e, q, &reqs[i]) == 1) {
			if (now_ms() > end)
				return -ETIMEDOUT;
			round_of(b);
		}
	}
	return 0;
}

int blkrig_do(struct blkrig *b, struct blkrig_end *e, uint8_t op, uint64_t sector, void *data,
	      uint64_t bytes)
{
	struct iovec v = {.iov_base = data, .iov_len = bytes};
	struct nf_blkreq r = {.op = op,
			      .sector = sector,
			      .sectors = bytes / 512,
			      .segs = data ? &v : NULL,
			      .nsegs = data ? 1 : 0};
	blkrig_post(b, e, 0, &r, 1);
	int rc = blkrig_wait(b, e, 0, &r, 1, 10000);
	return rc ? rc : blkrig_result(e, 0, &r);
}

int blkrig_pair_open(struct blkrig_pair *p, struct blkrig *b, uint16_t front, uint16_t back,
		     uint16_t devid, const struct nf_blk_config *front_cfg,
		     const struct nf_blk_config *back_cfg)
{
	*p = (struct blkrig_pair){0};
	int rc = mem_vbd_create(&p->v, b->r->w, front, back, devid);
	if (rc)
		return rc;
	p->back = blkrig_back(b, &p->v, back_cfg, &rc);
	if (p->back)
		p->front = blkrig_front(b, &p->v, front_cfg, &rc);
	if (!p->front)
		return rc;
	rc = blkrig_until_phase(b, p->front, NF_BLK_RUNNING, 5000);
	return rc ? rc : blkrig_until_phase(b, p->back, NF_BLK_RUNNING, 5000);
}

void blkrig_pair_close(struct blkrig_pair *p)
{
	if (p->front)
		blkrig_end_close(p->front);
	if (p->back)
		blkrig_end_close(p->back);
	if (p->v.w)
		mem_vbd_remove(&p->v);
	*p = (struct blkrig_pair){0};
}

static uint8_t byte_at(uint64_t offset, uint32_t seed)
{
	uint64_t x = (offset >> 3) * 0x9e3779b97f4a7c15u + seed * 0xc2b2ae3d27d4eb4fu;
	x ^= x >> 29;
	return (uint8_t)(x >> (offset & 7) * 8);
}

void blkrig_fill(uint8_t *data, uint64_t bytes, uint64_t offset, uint32_t seed)
{
	for (uint64_t i = 0; i < bytes; i++)
		data[i] = byte_at(offset + i, seed);
}

int64_t blkrig_check(const uint8_t *data, uint64_t bytes, uint64_t offset, uint32_t seed)
{
	for (uint64_t i = 0; i < bytes; i++)
		if (data[i] != byte_at(offset + i, seed))
			return (int64_t)i;
	return -1;
}
