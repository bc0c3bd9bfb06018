/* SPDX-License-Identifier: MIT */
/* A queue whose requests are done when submit returns: what mem and null have in common. */
#include "disks.h"

#include <stdlib.h>

struct inlineport {
	struct nf__blkready ready;
	nf__blkreq_execute *execute;
	void *ctx;
	uint32_t depth;
};

static int inline_submit(struct nf_blkport *p, const struct nf_blkreq *reqs, uint32_t n)
{
	struct inlineport *q = p->priv;
	uint32_t room = q->depth - nf__blkready_count(&q->ready);
	if (n > room)
		n = room;
	q->execute(q->ctx, p->geometry, reqs, n, &q->ready);
	return (int)n;
}

static int inline_reap(struct nf_blkport *p, struct nf_blkdone *done, uint32_t cap)
{
	struct inlineport *q = p->priv;
	return nf__blkready_take(&q->ready, done, cap);
}

static int inline_arm(struct nf_blkport *p)
{
	const struct inlineport *q = p->priv;
	return (int)nf__blkready_count(&q->ready);
}

static void inline_close(struct nf_blkport *p)
{
	struct inlineport *q = p->priv;
	nf__blkready_fini(&q->ready);
	free(q);
	p->priv = NULL;
}

static const struct nf_blkport_ops inline_ops = {
	.name = "inline",
	.submit = inline_submit,
	.reap = inline_reap,
	.arm = inline_arm,
	.close = inline_close,
};

int nf__inline_queue(struct nf_disk *d, nf__blkreq_execute *execute, uint32_t depth,
		     struct nf_counters *counters, struct nf_blkport *out)
{
	depth = depth ? depth : NF__DISK_DEPTH;
	if (depth > NF_BLKPORT_DEPTH_MAX)
		return -EINVAL;
	struct inlineport *q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->execute = execute;
	q->ctx = d->priv;
	q->depth = depth;
	int rc = nf__blkready_init(&q->ready, depth);
	if (rc) {
		free(q);
		return rc;
	}
	*out = (struct nf_blkport){
		.ops = &inline_ops,
		.fd = -1,
		.depth = depth,
		.mem_align = NF_SECTOR_BYTES,
		.segs_max = NF_BLKREQ_SEGS_MAX,
		.idle_poll = 1,
		.geometry = &d->geometry,
		.counters = counters,
		.priv = q,
	};
	return 0;
}
