/* SPDX-License-Identifier: MIT */
/* "mem:SIZE": a disk in anonymous memory, gone with the process. Requests complete as submitted. */
#include "disks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096u

struct memdisk {
	uint8_t *base;
	uint64_t bytes;
};

static void transfer(uint8_t *disk, const struct nf_blkreq *r)
{
	for (uint32_t i = 0; i < r->nsegs; i++) {
		size_t n = r->segs[i].iov_len;
		if (r->op == NF_BLKOP_READ)
			memcpy(r->segs[i].iov_base, disk, n);
		else
			memcpy(disk, r->segs[i].iov_base, n);
		disk += n;
	}
}

/* Whole pages go back to the kernel, and read as zeros; the ends are zeroed. */
static void discard(uint8_t *from, uint64_t bytes)
{
	uint64_t head = (PAGE - (uintptr_t)from % PAGE) % PAGE;
	if (head > bytes)
		head = bytes;
	uint64_t whole = (bytes - head) / PAGE * PAGE;
	memset(from, 0, head);
	if (whole && madvise(from + head, whole, MADV_DONTNEED) != 0)
		memset(from + head, 0, whole);
	memset(from + head + whole, 0, bytes - head - whole);
}

static int execute_one(const struct memdisk *m, const struct nf_disk_geometry *g,
		       const struct nf_blkreq *r)
{
	uint64_t bytes;
	int rc = nf__blkreq_check(g, r, &bytes);
	if (rc || r->op == NF_BLKOP_FLUSH)
		return rc;
	uint8_t *at = m->base + r->sector * NF_SECTOR_BYTES;
	if (r->op == NF_BLKOP_DISCARD)
		discard(at, r->sectors * NF_SECTOR_BYTES);
	else
		transfer(at, r);
	return 0;
}

static void execute(void *ctx, const struct nf_disk_geometry *g, const struct nf_blkreq *r,
		    uint32_t n, struct nf__blkready *done)
{
	for (uint32_t i = 0; i < n; i++)
		nf__blkready_put(done, r[i].token, execute_one(ctx, g, &r[i]));
}

static int mem_queue(struct nf_disk *d, uint32_t queue, uint32_t depth,
		     struct nf_counters *counters, struct nf_blkport *out)
{
	(void)queue;
	return nf__inline_queue(d, execute, depth, counters, out);
}

static void mem_disk_close(struct nf_disk *d)
{
	struct memdisk *m = d->priv;
	munmap(m->base, m->bytes);
	free(m);
	d->priv = NULL;
}

static const struct nf_disk_ops mem_ops = {
	.name = "mem",
	.queue = mem_queue,
	.close = mem_disk_close,
};

int nf__disk_open_mem(const struct nf__disk_options *o, const struct nf_disk_env *env,
		      struct nf_disk *out, char *err, uint32_t err_cap)
{
	struct memdisk *m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->bytes = o->bytes;
	m->base = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->base == MAP_FAILED) {
		int rc = -errno;
		snprintf(err, err_cap, "mem: %llu bytes: %s: take a smaller disk or a file",
			 (unsigned long long)o->bytes, strerror(-rc));
		free(m);
		return rc;
	}
	*out = (struct nf_disk){
		.ops = &mem_ops,
		.geometry = {.sectors = o->bytes / NF_SECTOR_BYTES,
			     .physical_bytes = PAGE,
			     .discard_bytes = PAGE,
			     .readonly = env->readonly || o->is_readonly},
		.cache = "none",
		.engine = "inline",
		.priv = m,
	};
	return 0;
}
