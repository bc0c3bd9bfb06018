/* SPDX-License-Identifier: MIT */
/* "null:SIZE": checks requests and moves nothing. What a read finds is what was in the buffer. */
#include "disks.h"

static void execute(void *ctx, const struct nf_disk_geometry *g, const struct nf_blkreq *r,
		    uint32_t n, struct nf__blkready *done)
{
	uint64_t bytes;
	(void)ctx;
	for (uint32_t i = 0; i < n; i++)
		nf__blkready_put(done, r[i].token, nf__blkreq_check(g, &r[i], &bytes));
}

static int null_queue(struct nf_disk *d, uint32_t queue, uint32_t depth,
		      struct nf_counters *counters, struct nf_blkport *out)
{
	(void)queue;
	return nf__inline_queue(d, execute, depth, counters, out);
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
