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

struct memport {
	struct nf__blkready ready;
	const struct memdisk *disk;
	uint32_t depth;
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

static int execute(const struct memdisk *m, const struct nf_disk_geometry *g,
		   const struct nf_blkreq *r, uint64_t *bytes)
{
	int rc = nf__blkreq_check(g, r, bytes);
	if (rc || r->op == NF_BLKOP_FLUSH)
		return rc;
	uint8_t *at = m->base + r->sector * NF_SECTOR_BYTES;
	if (r->op == NF_BLKOP_DISCARD)
		discard(at, r->sectors * NF_SECTOR_BYTES);
	else
		transfer(at, r);
	return 0;
}

static int mem_submit(struct nf_blkport *p, const struct nf_blkreq *reqs, uint32_t n)
{
	struct memport *q = p->priv;
	uint32_t i = 0;
	for (; i < n && nf__blkready_count(&q->ready) < q->depth; i++) {
		uint64_t bytes;
		nf__blkready_put(&q->ready, reqs[i].token,
				 execute(q->disk, p->geometry, &reqs[i], &bytes));
	}
	return (int)i;
}

static int mem_reap(struct nf_blkport *p, struct nf_blkdone *done, uint32_t cap)
{
	struct memport *q = p->priv;
	return nf__blkready_take(&q->ready, done, cap);
}

static int mem_arm(struct nf_blkport *p)
{
	const struct memport *q = p->priv;
	return (int)nf__blkready_count(&q->ready);
}

static void mem_close(struct nf_blkport *p)
{
	struct memport *q = p->priv;
	nf__blkready_fini(&q->ready);
	free(q);
	p->priv = NULL;
}

static const struct nf_blkport_ops mem_port_ops = {
	.name = "mem",
	.submit = mem_submit,
	.reap = mem_reap,
	.arm = mem_arm,
	.close = mem_close,
};

static int mem_queue(struct nf_disk *d, uint32_t queue, uint32_t depth,
		     struct nf_counters *counters, struct nf_blkport *out)
{
	(void)queue;
	depth = depth ? depth : NF__DISK_DEPTH;
	if (depth > NF_BLKPORT_DEPTH_MAX)
		return -EINVAL;
	struct memport *q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->disk = d->priv;
	q->depth = depth;
	int rc = nf__blkready_init(&q->ready, depth);
	if (rc) {
		free(q);
		return rc;
	}
	*out = (struct nf_blkport){
		.ops = &mem_port_ops,
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
