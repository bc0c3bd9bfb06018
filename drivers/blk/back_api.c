/* SPDX-License-Identifier: MIT */
/* The backend's life and what a relay asks of it. */
#include "blk_back.h"

#include <stdlib.h>

int nf_blkback_open(const struct nf_blk_config *cfg, struct nf_blkback **out)
{
	struct nf_blkback *b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->map_grefs = b->map_rings = true;
	b->journal.fd = -1;
	int rc = nf__blk_end_open(&b->e, cfg, true);
	if (rc == 0)
		rc = nf__blk_back_disk_open(b);
	if (rc) {
		nf__blk_back_disk_close(b);
		nf__blk_end_close(&b->e);
		free(b);
		return rc;
	}
	b->offered = b->e.own;
	*out = b;
	return 0;
}

void nf_blkback_close(struct nf_blkback *b)
{
	if (!b)
		return;
	nf__blk_back_queues_stop(b);
	nf__blk_back_rings_unmap(b);
	nf__blk_journal_close(b); /* it stays: whoever opens the device next may re-attach */
	nf__blk_back_disk_close(b);
	nf__blk_end_close(&b->e);
	free(b);
}

int nf_blkback_phase(const struct nf_blkback *b)
{
	return b->e.phase;
}

int nf_blkback_state(const struct nf_blkback *b)
{
	return (int)b->e.dev.state;
}

int nf_blkback_ctrl_fd(const struct nf_blkback *b)
{
	return b->e.epoll_fd;
}

void nf_blkback_hold(struct nf_blkback *b, bool map_grefs, bool map_rings)
{
	b->is_held = true;
	b->map_grefs = map_grefs;
	b->map_rings = map_rings;
}

int nf_blkback_offer(struct nf_blkback *b, const struct nf_blk_features *limit)
{
	if (!b->is_held || b->e.phase != NF_BLK_OFFERING)
		return -EINVAL;
	nf__blk_features_meet(&b->e.own, limit, &b->offered);
	/* how the front's pages are had is between the two of us */
	b->offered.persistent = b->e.own.persistent;
	b->offered.registered = b->e.own.registered;
	b->offered.registered_only = b->e.own.registered_only;
	if (b->offered.queues == 0)
		b->offered.queues = 1;
	b->is_offered = true;
	return 0;
}

int nf_blkback_accept(struct nf_blkback *b, const struct nf_blk_disk *disk)
{
	if (!b->is_held || b->e.phase != NF_BLK_MAPPED)
		return -EINVAL;
	b->offered.disk = b->agreed.disk = *disk;
	b->is_accepted = true;
	return 0;
}

const struct nf_blk_features *nf_blkback_agreed(const struct nf_blkback *b)
{
	return &b->agreed;
}

struct nf_blkback_rings *nf_blkback_rings(struct nf_blkback *b, uint32_t queue)
{
	return queue < b->queues ? b->rings[queue] : NULL;
}

uint32_t nf_blkback_queues(const struct nf_blkback *b)
{
	return b->queues;
}
