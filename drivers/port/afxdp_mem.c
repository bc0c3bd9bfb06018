/* SPDX-License-Identifier: MIT */
/* An AF_XDP socket's frames and its four rings. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "afxdp.h"
#include "nf/atomics.h"

static int ring_size(int fd, int option)
{
	int size = NF_XDP_RING;
	return setsockopt(fd, SOL_XDP, option, &size, sizeof(size)) < 0 ? -errno : 0;
}

static int ring_map(struct nf__xdp_ring *r, int fd, const struct xdp_ring_offset *o,
		    size_t desc_bytes, uint64_t where)
{
	r->map_bytes = o->desc + NF_XDP_RING * desc_bytes;
	void *map = mmap(NULL, r->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
			 (off_t)where);
	if (map == MAP_FAILED)
		return -errno;
	r->map = map;
	r->shared_prod = (uint32_t *)((uint8_t *)map + o->producer);
	r->shared_cons = (uint32_t *)((uint8_t *)map + o->consumer);
	r->shared_flags = (uint32_t *)((uint8_t *)map + o->flags);
	r->descs = (uint8_t *)map + o->desc;
	return 0;
}

static int rings_open(struct nf__xdp *x)
{
	struct xdp_mmap_offsets o;
	socklen_t n = sizeof(o);
	const int options[] = {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING,
			       XDP_TX_RING};
	for (int i = 0; i < 4; i++) {
		int rc = ring_size(x->fd, options[i]);
		if (rc < 0)
			return rc;
	}
	if (getsockopt(x->fd, SOL_XDP, XDP_MMAP_OFFSETS, &o, &n) < 0)
		return -errno;
	if (n != sizeof(o))
		return -ENOSYS; /* before Linux 5.4: no flags */
	int rc = ring_map(&x->fill, x->fd, &o.fr, sizeof(uint64_t), XDP_UMEM_PGOFF_FILL_RING);
	if (rc == 0)
		rc = ring_map(&x->done, x->fd, &o.cr, sizeof(uint64_t),
			      XDP_UMEM_PGOFF_COMPLETION_RING);
	if (rc == 0)
		rc = ring_map(&x->rx, x->fd, &o.rx, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING);
	if (rc == 0)
		rc = ring_map(&x->tx, x->fd, &o.tx, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING);
	return rc;
}

int nf__xdp_mem_open(struct nf__xdp *x, const char **what)
{
	size_t bytes = (size_t)NF_XDP_CHUNK * NF_XDP_CHUNKS;
	void *chunks = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);
	*what = "its frames";
	if (chunks == MAP_FAILED)
		return -errno;
	x->chunks = chunks;
	struct xdp_umem_reg reg = {
		.addr = (uint64_t)(uintptr_t)chunks, .len = bytes, .chunk_size = NF_XDP_CHUNK};
	if (setsockopt(x->fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) < 0)
		return -errno;
	*what = "its rings";
	int rc = rings_open(x);
	if (rc < 0)
		return rc;
	uint64_t *fill = x->fill.descs;
	for (uint32_t i = 0; i < NF_XDP_RING; i++) {
		fill[i] = (uint64_t)i * NF_XDP_CHUNK;
		x->free[i] = NF_XDP_RING + i;
	}
	x->free_count = NF_XDP_RING;
	x->fill.next = NF_XDP_RING;
	nf_store_release(x->fill.shared_prod, x->fill.next); /* chunks before the index */
	return 0;
}

void nf__xdp_mem_close(struct nf__xdp *x)
{
	struct nf__xdp_ring *rings[] = {&x->fill, &x->done, &x->rx, &x->tx};
	for (int i = 0; i < 4; i++) {
		if (rings[i]->map)
			munmap(rings[i]->map, rings[i]->map_bytes);
		*rings[i] = (struct nf__xdp_ring){0};
	}
	if (x->chunks)
		munmap(x->chunks, (size_t)NF_XDP_CHUNK * NF_XDP_CHUNKS);
	x->chunks = NULL;
}
