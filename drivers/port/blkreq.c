/* SPDX-License-Identifier: MIT */
/* What every disk does with a request, and completions that wait. */
#include "disks.h"

#include <stdlib.h>

#include "nf/atomics.h"

uint64_t nf__disk_sectors(const struct nf_disk_geometry *g)
{
	return nf_load64(&g->sectors);
}

static int data_check(const struct nf_blkreq *r, uint64_t *bytes)
{
	uint64_t sum = 0;
	if (r->nsegs == 0 || r->nsegs > NF_BLKREQ_SEGS_MAX || !r->segs)
		return -EINVAL;
	for (uint32_t i = 0; i < r->nsegs; i++) {
		size_t n = r->segs[i].iov_len;
		if (n == 0 || n % NF_SECTOR_BYTES || n > NF_BLKREQ_BYTES_MAX)
			return -EINVAL;
		sum += n;
	}
	if (sum > NF_BLKREQ_BYTES_MAX || sum / NF_SECTOR_BYTES != r->sectors)
		return -EINVAL;
	*bytes = sum;
	return 0;
}

int nf__blkreq_check(const struct nf_disk_geometry *g, const struct nf_blkreq *r, uint64_t *bytes)
{
	uint64_t size = nf__disk_sectors(g);

	*bytes = 0;
	if (r->op == NF_BLKOP_FLUSH)
		return 0;
	if (r->op > NF_BLKOP_DISCARD)
		return -EOPNOTSUPP;
	if (r->op != NF_BLKOP_READ && g->readonly)
		return -EROFS;
	if (r->op == NF_BLKOP_DISCARD) {
		if (!g->discard_bytes || (r->flags & NF_BLKREQ_SECURE && !g->discard_secure))
			return -EOPNOTSUPP;
	} else {
		int rc = data_check(r, bytes);
		if (rc)
			return rc;
	}
	/* neither side can wrap */
	if (r->sectors == 0 || r->sectors > size || r->sector > size - r->sectors)
		return -EINVAL;
	return 0;
}

int nf__blkready_init(struct nf__blkready *r, uint32_t depth)
{
	uint32_t size = 1;
	while (size < depth)
		size *= 2;
	*r = (struct nf__blkready){.ring = calloc(size, sizeof(*r->ring)), .mask = size - 1};
	return r->ring ? 0 : -ENOMEM;
}

void nf__blkready_fini(struct nf__blkready *r)
{
	free(r->ring);
	r->ring = NULL;
}

int nf__blkready_take(struct nf__blkready *r, struct nf_blkdone *done, uint32_t cap)
{
	uint32_t n = nf__blkready_count(r);
	if (n > cap)
		n = cap;
	for (uint32_t i = 0; i < n; i++)
		done[i] = r->ring[r->head++ & r->mask];
	return (int)n;
}
