/* SPDX-License-Identifier: MIT */
/*
 * Granting pages through gntalloc, mapping and copying a peer's through gntdev.
 *
 * gntalloc makes a fresh page for every gref and one domid; a page of ours cannot be granted. Its
 * limit is global to the guest (module parameter limit=, 1,024 pages by default): -ENOSPC.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "uapi.h"

#include "xen.h"

#define COPY_BATCH 32u /* segments an ioctl: measured, no gain beyond */

/* Grants pages of fd; index is their offset for mmap. */
static int alloc_grefs(int fd, const struct nf_arena_key *key, uint32_t pages, uint32_t *grefs,
		       uint64_t *index)
{
	size_t bytes = sizeof(struct ioctl_gntalloc_alloc_gref) + pages * sizeof(uint32_t);
	struct ioctl_gntalloc_alloc_gref *q = calloc(1, bytes);
	if (!q)
		return -ENOMEM;
	q->domid = key->peer;
	q->flags = key->readonly ? 0 : GNTALLOC_FLAG_WRITABLE;
	q->count = pages;
	int rc = ioctl(fd, IOCTL_GNTALLOC_ALLOC_GREF, q) < 0 ? -errno : 0;
	if (rc == 0) {
		memcpy(grefs, q->gref_ids, pages * sizeof(uint32_t));
		*index = q->index;
	}
	free(q);
	return rc;
}

int nf__xen_alloc(struct nf_layer *l, const struct nf_arena_key *key, uint32_t pages,
		  uint32_t flags, uint32_t *grefs, struct nf_arena *out)
{
	void *base = NULL;
	uint64_t index = 0;

	if (pages == 0 || pages > NF_ARENA_PAGES_MAX)
		return -EINVAL;
	int fd = nf__xen_device(nf__xen_of(l), "gntalloc", 0);
	if (fd < 0)
		return fd;
	int rc = alloc_grefs(fd, key, pages, grefs, &index);
	if (rc == 0 && !(flags & NF_ALLOC_NOMAP)) {
		base = mmap(NULL, (size_t)pages * NF_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			    fd, (off_t)index);
		if (base == MAP_FAILED)
			rc = -errno;
	}
	if (rc < 0) {
		close(fd); /* takes the grefs back with it */
		return rc;
	}
	nf__xen_of(l)->pages_held += pages;
	*out = (struct nf_arena){.key = *key,
				 .id = index,
				 .base = base,
				 .pages = pages,
				 .fd = fd,
				 .fd_offset = index,
				 .grefs = grefs};
	return 0;
}

int nf__xen_end(struct nf_layer *l, struct nf_arena *a)
{
	if (a->fd < 0)
		return 0;
	nf__xen_of(l)->pages_held -= a->pages;
	struct ioctl_gntalloc_dealloc_gref q = {.index = a->fd_offset, .count = a->pages};
	if (a->base)
		munmap(a->base, (size_t)a->pages * NF_PAGE_BYTES);
	/* a page the peer still maps stays the kernel's until it does not: gntalloc tries again */
	int rc = ioctl(a->fd, IOCTL_GNTALLOC_DEALLOC_GREF, &q) < 0 ? -errno : 0;
	close(a->fd);
	a->fd = -1;
	a->base = NULL;
	return rc;
}

static int map_refs(int fd, uint16_t peer, const uint32_t *grefs, uint32_t count, uint64_t *index)
{
	size_t bytes = sizeof(struct ioctl_gntdev_map_grant_ref) +
		       count * sizeof(struct ioctl_gntdev_grant_ref);
	struct ioctl_gntdev_map_grant_ref *q = calloc(1, bytes);
	if (!q)
		return -ENOMEM;
	q->count = count;
	for (uint32_t i = 0; i < count; i++)
		q->refs[i] = (struct ioctl_gntdev_grant_ref){.domid = peer, .ref = grefs[i]};
	int rc = ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, q) < 0 ? -errno : 0;
	if (rc == 0)
		*index = q->index;
	free(q);
	return rc;
}

int nf__xen_map(struct nf_layer *l, uint16_t peer, uint32_t *grefs, uint32_t count, bool readonly,
		void **addrs, struct nf_mapping *out)
{
	uint64_t index = 0;

	if (count == 0 || count > NF_ARENA_PAGES_MAX)
		return -EINVAL;
	int fd = nf__xen_device(nf__xen_of(l), "gntdev", 0);
	if (fd < 0)
		return fd;
	int rc = map_refs(fd, peer, grefs, count, &index);
	uint8_t *base = MAP_FAILED;
	if (rc == 0) {
		base = mmap(NULL, (size_t)count * NF_PAGE_BYTES,
			    readonly ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			    (off_t)index);
		if (base == MAP_FAILED)
			rc = -errno; /* -EINVAL or -EAGAIN: a gref that is none of ours */
	}
	if (rc < 0) {
		close(fd);
		return rc == -EINVAL ? -EACCES : rc;
	}
	for (uint32_t i = 0; i < count; i++)
		addrs[i] = base + (size_t)i * NF_PAGE_BYTES;
	*out = (struct nf_mapping){.peer = peer,
				   .count = count,
				   .grefs = grefs,
				   .addrs = addrs,
				   .priv = (void *)(intptr_t)(fd + 1)};
	return 0;
}

int nf__xen_unmap(struct nf_layer *l, struct nf_mapping *m)
{
	(void)l;
	int fd = (int)(intptr_t)m->priv - 1;
	if (fd < 0)
		return 0;
	munmap(m->addrs[0], (size_t)m->count * NF_PAGE_BYTES);
	close(fd); /* the last of its mappings is gone: the kernel unmaps the grants */
	memset(m->addrs, 0, m->count * sizeof(*m->addrs));
	m->priv = NULL;
	return 0;
}

static void copy_segment(struct gntdev_grant_copy_segment *s, const struct nf_grant_copy *op)
{
	*s = (struct gntdev_grant_copy_segment){.len = op->bytes};
	if (op->to_peer) {
		s->flags = NF_GNTCOPY_dest_gref;
		s->source.virt = op->local;
		s->dest.foreign.ref = op->gref;
		s->dest.foreign.offset = op->offset;
		s->dest.foreign.domid = op->peer;
	} else {
		s->flags = NF_GNTCOPY_source_gref;
		s->source.foreign.ref = op->gref;
		s->source.foreign.offset = op->offset;
		s->source.foreign.domid = op->peer;
		s->dest.virt = op->local;
	}
}

/* One ioctl; ops that leave their page were marked before: the kernel would refuse the whole batch.
 */
static int copy_batch(int fd, struct nf_grant_copy *ops, uint32_t count)
{
	struct gntdev_grant_copy_segment seg[COPY_BATCH];
	uint32_t n = 0;
	for (uint32_t i = 0; i < count; i++) {
		if ((uint32_t)ops[i].offset + ops[i].bytes > NF_PAGE_BYTES)
			ops[i].status = -ERANGE;
		else if (ops[i].gref < NF_GREF_RESERVED)
			ops[i].status = -EACCES; /* the guest's console and store rings */
		else
			ops[i].status = 1;
		if (ops[i].status == 1)
			copy_segment(&seg[n++], &ops[i]);
	}
	struct ioctl_gntdev_grant_copy q = {.count = n, .segments = seg};
	if (n > 0 && ioctl(fd, IOCTL_GNTDEV_GRANT_COPY, &q) < 0)
		return -errno;
	n = 0;
	for (uint32_t i = 0; i < count; i++)
		if (ops[i].status == 1)
			ops[i].status = seg[n++].status == 0 ? 0 : -EACCES;
	return 0;
}

int nf__xen_copy(struct nf_layer *l, struct nf_grant_copy *ops, uint32_t count)
{
	for (uint32_t i = 0; i < count; i += COPY_BATCH) {
		uint32_t n = count - i < COPY_BATCH ? count - i : COPY_BATCH;
		int rc = copy_batch(nf__xen_of(l)->copy_fd, ops + i, n);
		if (rc < 0)
			return rc;
	}
	return 0;
}
