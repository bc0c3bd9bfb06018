/* SPDX-License-Identifier: MIT */
/* "null:SIZE": checks requests and moves nothing. What a read finds is what was in the buffer. */
#include "disks.h"

#include <stdlib.h>

struct nullport {
	struct nf__blkready ready;
	uint32_t depth;
};

static int null_submit(struct nf_blkport *p, const struct nf_blkreq *reqs, uint32_t n)
{
	struct nullport *q = p->priv;
	uint32_t i = 0;
	for (; i < n && nf__blkready_count(&q->ready) < q->depth; i++) {
		uint64_t bytes;
		nf__blkready_put(&q->ready, reqs[i].token,
				 nf__blkreq_check(p->geometry, &reqs[i], &bytes));
	}
	return (int)i;
}

static int null_reap(struct nf_blkport *p, struct nf_blkdone *done, uint32_t cap)
{
	struct nullport *q = p->priv;
	return nf__blkready_take(&q->ready, done, cap);
}

static int null_arm(struct nf_blkport *p)
{
	const struct nullport *q = p->priv;
	return (int)nf__blkready_count(&q->ready);
}

static void null_close(struct nf_blkport *p)
{
	struct nullport *q = p->priv;
	nf__blkready_fini(&q->ready);
	free(q);
	p->priv = NULL;
}

static const struct nf_blkport_ops null_port_ops = {
	.name = "null",
	.submit = null_submit,
	.reap = null_reap,
	.arm = null_arm,
	.close = null_close,
};

static int null_queue(struct nf_disk *d, uint32_t queue, uint32_t depth,
		      struct nf_counters *counters, struct nf_blkport *out)
{
	(void)queue;
	depth = depth ? depth : NF__DISK_DEPTH;
	if (depth > NF_BLKPORT_DEPTH_MAX)
		return -EINVAL;
	struct nullport *q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->depth = depth;
	int rc = nf__blkready_init(&q->ready, depth);
	if (rc) {
		free(q);
		return rc;
	}
	*out = (struct nf_blkport){
		.ops = &null_port_ops,
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

static void null_disk_close(struct nf_disk *d)
{
	(void)d;
}

static const struct nf_disk_ops null_ops = {
	.name = "null",
	.queue = null_queue,
	.close = null_disk_close,
};

int nf__disk_open_null(const struct nf__disk_options *o, const struct nf_disk_env *env,
		       struct nf_disk *out, char *err, uint32_t err_cap)
{
	(void)err, (void)err_cap;
	*out = (struct nf_disk){
		.ops = &null_ops,
		.geometry = {.sectors = o->bytes / NF_SECTOR_BYTES,
			     .physical_bytes = 4096,
			     .discard_bytes = 4096,
			     .readonly = env->readonly || o->is_readonly},
		.cache = "none",
		.engine = "inline",
	};
	return 0;
}
