/* SPDX-License-Identifier: MIT */
/* The frontend's life and what a relay asks of it. */
#include "blk_front.h"

#include <stdlib.h>

int nf_blkfront_open(const struct nf_blk_config *cfg, struct nf_blkfront **out)
{
	struct nf_blkfront *f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->inner_owner = NF_DOMID_SELF;
	int rc = nf__blk_end_open(&f->e, cfg, false);
	for (uint32_t i = 0; rc == 0 && i < f->e.own.queues; i++)
		rc = nf__bfq_new(&f->queue[i], cfg->layer, f->e.event_fd);
	if (rc) {
		nf_blkfront_close(f);
		return rc;
	}
	*out = f;
	return 0;
}

int nf_blkfront_shutdown(struct nf_blkfront *f)
{
	f->e.is_shutdown = true;
	nf__blk_front_queues_stop(f);
	if (f->e.phase == NF_BLK_CLOSED)
		return 0;
	int rc = nf__blk_end_switch(&f->e, NF_XENBUS_CLOSING);
	if (f->e.phase != NF_BLK_FAILED)
		f->e.phase = NF_BLK_CLOSING;
	return rc;
}

void nf_blkfront_close(struct nf_blkfront *f)
{
	if (!f)
		return;
	nf__blk_front_queues_stop(f);
	nf__blk_front_users_close(f);
	nf__blk_front_rings_free(f);
	nf__blk_front_places_free(f);
	for (uint32_t i = 0; i < NF_BLK_QUEUES_MAX; i++)
		nf__bfq_free(f->queue[i]);
	nf__blk_end_close(&f->e);
	free(f);
}

int nf_blkfront_phase(const struct nf_blkfront *f)
{
	return f->e.phase;
}

int nf_blkfront_state(const struct nf_blkfront *f)
{
	return (int)f->e.dev.state;
}

int nf_blkfront_ctrl_fd(const struct nf_blkfront *f)
{
	return f->e.epoll_fd;
}

const struct nf_blk_features *nf_blkfront_offered(const struct nf_blkfront *f)
{
	return &f->offered;
}

const struct nf_blk_features *nf_blkfront_agreed(const struct nf_blkfront *f)
{
	return &f->agreed;
}

enum nf_blk_grants nf_blkfront_grants(const struct nf_blkfront *f)
{
	return f->grants;
}

uint32_t nf_blkfront_queues(const struct nf_blkfront *f)
{
	return f->queues;
}

struct nf_blkport *nf_blkfront_port(struct nf_blkfront *f, uint32_t queue)
{
	return queue < NF_BLK_QUEUES_MAX && f->queue[queue] ? &f->queue[queue]->port : NULL;
}

struct nf_poll_item *nf_blkfront_item(struct nf_blkfront *f, uint32_t queue)
{
	return queue < NF_BLK_QUEUES_MAX && f->queue[queue] ? &f->queue[queue]->item : NULL;
}

void nf_blkfront_hold(struct nf_blkfront *f, uint16_t inner_owner, bool rings_too)
{
	f->is_held = true;
	f->inner_owner = inner_owner;
	f->rings_too = rings_too;
}

int nf_blkfront_release(struct nf_blkfront *f, const struct nf_blk_features *limit)
{
	if (!f->is_held || f->e.phase != NF_BLK_PREPARED)
		return -EINVAL;
	f->limit = *limit;
	if (f->limit.queues == 0)
		f->limit.queues = 1;
	f->is_released = true;
	return 0;
}

struct nf_blkfront_rings *nf_blkfront_rings(struct nf_blkfront *f, uint32_t queue)
{
	return queue < f->queues ? f->rings[queue] : NULL;
}
