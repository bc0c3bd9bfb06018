/* SPDX-License-Identifier: MIT */
/* The grantee's side of the in-process layer: map, unmap, copy. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem.h"

/* Neighbouring pages of one arena are one run: one mmap between two guard pages. */
struct run {
	struct mem_pages *pages;
	uint8_t *base;
	uint32_t count;
};

struct record {
	uint32_t generation;
	uint32_t runs;
	struct run run[];
};

/* The entry that names a page granted to us, or the error a hypervisor would give. */
static int look_up(struct mem_layer *m, uint16_t peer, uint32_t gref, bool write,
		   struct mem_grant **out)
{
	if (peer >= MEM_DOMAINS || !m->w->domains[peer].grants || gref >= MEM_GREFS)
		return -EACCES;
	struct mem_grant *g = &m->w->domains[peer].grants[gref];
	if (!g->pages || g->peer != m->l.domid || (write && g->is_readonly))
		return -EACCES;
	*out = g;
	return 0;
}

static void undo(struct mem_world *w, struct record *rec, bool is_alive)
{
	for (uint32_t i = 0; i < rec->runs; i++) {
		struct run *r = &rec->run[i];
		munmap(r->base - NF_PAGE_BYTES, ((size_t)r->count + 2) * NF_PAGE_BYTES);
		if (is_alive && r->pages->mapped >= r->count) {
			r->pages->mapped -= r->count;
			w->mapped_pages -= r->count;
		}
		mem__pages_put(r->pages);
	}
	free(rec);
}

/* count pages of p from page on, with nothing mapped on either side. NULL: no memory. */
static uint8_t *map_guarded(const struct mem_pages *p, uint32_t page, uint32_t count, int prot)
{
	size_t bytes = (size_t)count * NF_PAGE_BYTES;
	uint8_t *room = mmap(NULL, bytes + 2 * NF_PAGE_BYTES, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (room == MAP_FAILED)
		return NULL;
	uint64_t offset = p->offset + (uint64_t)page * NF_PAGE_BYTES;
	void *at = mmap(room + NF_PAGE_BYTES, bytes, prot, MAP_SHARED | MAP_FIXED, p->fd,
			(off_t)offset);
	if (at == MAP_FAILED) {
		munmap(room, bytes + 2 * NF_PAGE_BYTES);
		return NULL;
	}
	return at;
}

/* Maps the run that starts at grefs[0]; returns its length. */
static int map_run(struct mem_layer *m, uint16_t peer, const uint32_t *grefs, uint32_t count,
		   bool readonly, struct run *r)
{
	struct mem_grant *g = NULL, *more = NULL;
	int err = look_up(m, peer, grefs[0], !readonly, &g);
	if (err)
		return err;
	uint32_t n = 1;
	while (n < count && look_up(m, peer, grefs[n], !readonly, &more) == 0 &&
	       more->pages == g->pages && more->page == g->page + n)
		n++;
	uint8_t *base = map_guarded(g->pages, g->page, n,
				    readonly ? PROT_READ : PROT_READ | PROT_WRITE);
	if (!base)
		return -ENOMEM;
	*r = (struct run){g->pages, base, n};
	g->pages->refs++;
	g->pages->mapped += n;
	m->w->mapped_pages += n;
	return (int)n;
}

static int map_locked(struct mem_layer *m, uint16_t peer, uint32_t *grefs, uint32_t count,
		      bool readonly, void **addrs, struct nf_mapping *out)
{
	struct record *rec = calloc(1, sizeof(*rec) + count * sizeof(struct run));
	if (!rec)
		return -ENOMEM;
	rec->generation = m->generation;
	for (uint32_t at = 0; at < count;) {
		struct run *r = &rec->run[rec->runs];
		int n = map_run(m, peer, grefs + at, count - at, readonly, r);
		if (n < 0) {
			undo(m->w, rec, true);
			return n;
		}
		rec->runs++;
		at += (uint32_t)n;
	}
	for (uint32_t i = 0, at = 0; i < rec->runs; i++)
		for (uint32_t k = 0; k < rec->run[i].count; k++)
			addrs[at++] = rec->run[i].base + (size_t)k * NF_PAGE_BYTES;
	*out = (struct nf_mapping){
		.peer = peer, .count = count, .grefs = grefs, .addrs = addrs, .priv = rec};
	return 0;
}

int mem__map(struct nf_layer *l, uint16_t peer, uint32_t *grefs, uint32_t count, bool readonly,
	     void **addrs, struct nf_mapping *out)
{
	struct mem_layer *m = (struct mem_layer *)l;
	pthread_mutex_lock(&m->w->lock);
	int err = mem__enter(m, MEM_MAP);
	if (!err && count == 0)
		err = -EINVAL;
	if (!err)
		err = map_locked(m, peer, grefs, count, readonly, addrs, out);
	pthread_mutex_unlock(&m->w->lock);
	return err;
}

int mem__unmap(struct nf_layer *l, struct nf_mapping *map)
{
	struct mem_layer *m = (struct mem_layer *)l;
	struct record *rec = map->priv;
	if (!rec)
		return -EINVAL;
	pthread_mutex_lock(&m->w->lock);
	int err = mem__enter(m, MEM_UNMAP);
	undo(m->w, rec, rec->generation == mem__domain(m)->generation);
	pthread_mutex_unlock(&m->w->lock);
	map->priv = NULL;
	for (uint32_t i = 0; i < map->count; i++)
		map->addrs[i] = NULL;
	return err;
}

static int copy_one(struct mem_layer *m, struct nf_grant_copy *op)
{
	struct mem_grant *g = NULL;
	if ((uint32_t)op->offset + op->bytes > NF_PAGE_BYTES)
		return -ERANGE;
	int err = look_up(m, op->peer, op->gref, op->to_peer != 0, &g);
	if (err)
		return err;
	uint64_t at = g->pages->offset + (uint64_t)g->page * NF_PAGE_BYTES + op->offset;
	ssize_t n = op->to_peer ? pwrite(g->pages->fd, op->local, op->bytes, (off_t)at)
				: pread(g->pages->fd, op->local, op->bytes, (off_t)at);
	return n == (ssize_t)op->bytes ? 0 : -EIO;
}

int mem__copy(struct nf_layer *l, struct nf_grant_copy *ops, uint32_t count)
{
	struct mem_layer *m = (struct mem_layer *)l;
	pthread_mutex_lock(&m->w->lock);
	int err = mem__enter(m, MEM_COPY);
	for (uint32_t i = 0; !err && i < count; i++)
		ops[i].status = copy_one(m, &ops[i]);
	pthread_mutex_unlock(&m->w->lock);
	return err;
}
