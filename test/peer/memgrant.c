/* SPDX-License-Identifier: MIT */
/* Arenas of the in-process layer: alloc, test-and-end, donations. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem.h"

void mem__pages_put(struct mem_pages *p)
{
	if (--p->refs > 0)
		return;
	if (p->fd >= 0)
		close(p->fd);
	free(p);
}

static struct mem_pages *pages_new(uint32_t pages)
{
	struct mem_pages *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->fd = memfd_create("nf-mem", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	off_t bytes = (off_t)pages * (off_t)NF_PAGE_BYTES;
	if (p->fd < 0 || ftruncate(p->fd, bytes) < 0 ||
	    fcntl(p->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
		if (p->fd >= 0)
			close(p->fd);
		free(p);
		return NULL;
	}
	p->pages = pages;
	p->refs = 1;
	return p;
}

void mem__donation_free(struct mem_donation *d)
{
	if (d->pages)
		mem__pages_put(d->pages);
	if (d->is_chan)
		close(d->fd);
	free(d->grefs);
	free(d);
}

struct mem_donation *mem__donation_take(struct mem_domain *dom, const struct nf_arena_key *key,
					bool is_chan)
{
	for (struct mem_donation **at = &dom->donations; *at; at = &(*at)->next) {
		struct mem_donation *d = *at;
		if (d->is_chan == is_chan && d->donor == key->peer && d->device == key->device &&
		    d->queue == key->queue && d->purpose == key->purpose) {
			*at = d->next;
			return d;
		}
	}
	return NULL;
}

/* Numbers for all pages or none. */
static int pick_grefs(struct mem_domain *dom, uint32_t pages, uint32_t *grefs)
{
	uint32_t found = 0;
	for (uint32_t i = dom->gref_base; i < MEM_GREFS && found < pages; i++) {
		if (!dom->grants[i].pages && !dom->grants[i].is_reserved)
			grefs[found++] = i;
	}
	return found == pages ? 0 : -ENOSPC;
}

static struct mem_pages *backing(struct mem_donation *d, uint32_t pages)
{
	if (!d)
		return pages_new(pages);
	d->pages->refs++;
	return d->pages;
}

static int enter_grants(struct mem_domain *dom, const struct nf_arena_key *key, struct mem_pages *p,
			struct mem_arena *a)
{
	for (uint32_t i = 0; i < p->pages; i++)
		dom->grants[a->grefs[i]] = (struct mem_grant){.pages = p,
							      .page = i,
							      .peer = key->peer,
							      .is_readonly = key->readonly != 0,
							      .arena = a->id};
	a->peer = key->peer;
	a->pages = p;
	a->next = dom->arenas;
	dom->arenas = a;
	dom->granted_pages += p->pages;
	return 0;
}

/* Gives the caller its view: a descriptor and, unless NOMAP, a mapping. */
static int show(const struct mem_pages *p, uint32_t flags, int *fd, uint8_t **base)
{
	*fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 3);
	if (*fd < 0)
		return -ENOMEM;
	*base = NULL;
	if (flags & NF_ALLOC_NOMAP)
		return 0;
	void *at = mmap(NULL, (size_t)p->pages * NF_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			p->fd, (off_t)p->offset);
	if (at == MAP_FAILED) {
		close(*fd);
		return -ENOMEM;
	}
	*base = at;
	return 0;
}

static bool is_ring(uint8_t purpose)
{
	return purpose == NF_PURPOSE_TX_RING || purpose == NF_PURPOSE_RX_RING ||
	       purpose == NF_PURPOSE_CTRL || purpose == NF_PURPOSE_BLK_RING;
}

static int alloc_locked(struct mem_layer *m, const struct nf_arena_key *key, uint32_t pages,
			uint32_t flags, uint32_t *grefs, struct nf_arena *out)
{
	struct mem_domain *dom = mem__domain(m);
	if (dom->quota_pages && dom->granted_pages + pages > dom->quota_pages)
		return -EDQUOT;
	struct mem_arena *a = calloc(1, sizeof(*a) + pages * sizeof(uint32_t));
	if (!a)
		return -ENOMEM;
	struct mem_donation *d = mem__donation_take(dom, key, false);
	struct mem_pages *p = d && d->pages->pages != pages ? NULL : backing(d, pages);
	int fd = -1;
	uint8_t *base = NULL;
	int err = p ? 0 : d ? -EINVAL : -ENOMEM;
	if (!err && d && d->is_equal)
		memcpy(a->grefs, d->grefs, pages * sizeof(uint32_t));
	else if (!err)
		err = pick_grefs(dom, pages, a->grefs);
	if (!err)
		err = show(p, flags, &fd, &base);
	if (d && d->is_equal)
		for (uint32_t i = 0; i < d->pages->pages; i++)
			dom->grants[d->grefs[i]].is_reserved = false;
	uint64_t offset = p ? p->offset : 0;
	if (!err) {
		a->id = m->w->next_arena++;
		if (!d)
			p->is_kept = key->inner_owner != NF_DOMID_SELF || is_ring(key->purpose);
		enter_grants(dom, key, p, a);
		memcpy(grefs, a->grefs, pages * sizeof(uint32_t));
		*out = (struct nf_arena){.key = *key,
					 .id = a->id,
					 .base = base,
					 .pages = pages,
					 .fd = fd,
					 .fd_offset = offset,
					 .grefs = grefs};
	} else {
		if (p)
			mem__pages_put(p);
		free(a);
	}
	if (d)
		mem__donation_free(d);
	return err;
}

int mem__alloc(struct nf_layer *l, const struct nf_arena_key *key, uint32_t pages, uint32_t flags,
	       uint32_t *grefs, struct nf_arena *out)
{
	struct mem_layer *m = (struct mem_layer *)l;
	pthread_mutex_lock(&m->w->lock);
	int err = mem__enter(m, MEM_ALLOC);
	if (!err && (pages == 0 || pages > NF_ARENA_PAGES_MAX || key->peer >= MEM_DOMAINS))
		err = -EINVAL;
	if (!err)
		err = alloc_locked(m, key, pages, flags, grefs, out);
	pthread_mutex_unlock(&m->w->lock);
	return err;
}

/* Still mapped by the peer: punched, never reused, charged to it until it dies. */
static void quarantine(struct mem_world *w, struct mem_pages *p, uint16_t peer)
{
	if (!p->is_donated && !p->is_kept)
		(void)fallocate(p->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				(off_t)p->pages * (off_t)NF_PAGE_BYTES);
	p->is_ended = true;
	p->charged = peer;
	p->refs++;
	p->next = w->quarantine;
	w->quarantine = p;
}

/* is_death: the granter's; what is mapped lives on as long as it is mapped, charged to nobody. */
static int drop(struct mem_world *w, struct mem_domain *dom, struct mem_arena *a, bool is_death)
{
	struct mem_pages *p = a->pages;
	uint16_t peer = a->peer;
	for (uint32_t i = 0; i < p->pages; i++)
		dom->grants[a->grefs[i]] = (struct mem_grant){0};
	for (struct mem_arena **at = &dom->arenas; *at; at = &(*at)->next) {
		if (*at == a) {
			*at = a->next;
			break;
		}
	}
	dom->granted_pages -= p->pages;
	int err = p->mapped ? -EBUSY : 0;
	if (err && !is_death)
		quarantine(w, p, peer);
	mem__pages_put(p);
	free(a);
	return err;
}

void mem__arena_drop(struct mem_world *w, uint16_t domid, struct mem_arena *a)
{
	drop(w, &w->domains[domid], a, true);
}

int mem__end(struct nf_layer *l, struct nf_arena *arena)
{
	struct mem_layer *m = (struct mem_layer *)l;
	pthread_mutex_lock(&m->w->lock);
	int err = mem__enter(m, MEM_END);
	struct mem_arena *a = m->generation == mem__domain(m)->generation ? mem__domain(m)->arenas
									  : NULL;
	while (a && a->id != arena->id)
		a = a->next;
	if (a) {
		int busy = drop(m->w, mem__domain(m), a, false);
		err = err ? err : busy;
	} else if (!err) {
		err = -EINVAL;
	}
	pthread_mutex_unlock(&m->w->lock);
	if (arena->base)
		munmap(arena->base, (size_t)arena->pages * NF_PAGE_BYTES);
	if (arena->fd >= 0)
		close(arena->fd);
	arena->base = NULL;
	arena->fd = -1;
	return err;
}

static int reserve(struct mem_domain *dom, const uint32_t *grefs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (grefs[i] >= MEM_GREFS)
			return -ERANGE;
		if (dom->grants[grefs[i]].pages || dom->grants[grefs[i]].is_reserved)
			return -EEXIST;
	}
	for (uint32_t i = 0; i < count; i++)
		dom->grants[grefs[i]].is_reserved = true;
	return 0;
}

static void replace_donation(struct mem_domain *dom, const struct nf_arena_key *key)
{
	struct mem_donation *old = mem__donation_take(dom, key, false);
	if (!old)
		return;
	for (uint32_t i = 0; old->is_equal && i < old->pages->pages; i++)
		dom->grants[old->grefs[i]].is_reserved = false;
	mem__donation_free(old);
}

static int donate_locked(struct mem_layer *m, uint16_t inner, const struct nf_arena *arena,
			 bool equal)
{
	if (!mem__domain(m)->is_privileged)
		return -EACCES;
	if (inner >= MEM_DOMAINS || !m->w->domains[inner].grants)
		return -ENOENT;
	struct mem_domain *dom = &m->w->domains[inner];
	struct nf_arena_key key = arena->key;
	key.peer = m->l.domid;
	replace_donation(dom, &key);
	struct mem_donation *d = calloc(1, sizeof(*d));
	uint32_t *grefs = calloc(arena->pages, sizeof(*grefs));
	struct mem_pages *p = calloc(1, sizeof(*p));
	int fd = fcntl(arena->fd, F_DUPFD_CLOEXEC, 3);
	int err = d && grefs && p && fd >= 0 ? 0 : -ENOMEM;
	if (!err && equal)
		err = reserve(dom, arena->grefs, arena->pages);
	if (err) {
		if (fd >= 0)
			close(fd);
		free(p);
		free(grefs);
		free(d);
		return err;
	}
	memcpy(grefs, arena->grefs, arena->pages * sizeof(*grefs));
	*p = (struct mem_pages){.fd = fd,
				.pages = arena->pages,
				.offset = arena->fd_offset,
				.refs = 1,
				.is_donated = true};
	*d = (struct mem_donation){.next = dom->donations,
				   .donor = m->l.domid,
				   .device = key.device,
				   .queue = key.queue,
				   .purpose = key.purpose,
				   .is_equal = equal,
				   .fd = -1,
				   .pages = p,
				   .grefs = grefs};
	dom->donations = d;
	return 0;
}

int mem__donate(struct nf_layer *l, uint16_t inner, const struct nf_arena *arena, bool equal_grefs)
{
	struct mem_layer *m = (struct mem_layer *)l;
	pthread_mutex_lock(&m->w->lock);
	int err = mem__enter(m, MEM_DONATE);
	if (!err)
		err = donate_locked(m, inner, arena, equal_grefs);
	pthread_mutex_unlock(&m->w->lock);
	return err;
}

int mem_world_revoke(struct mem_world *w, uint16_t granter, uint32_t gref)
{
	int err = -ENOENT;
	pthread_mutex_lock(&w->lock);
	struct mem_domain *dom = &w->domains[granter];
	if (gref < MEM_GREFS && dom->grants && dom->grants[gref].pages) {
		dom->grants[gref].peer = NF_DOMID_SELF; /* nobody; the arena still owns the entry */
		err = 0;
	}
	pthread_mutex_unlock(&w->lock);
	return err;
}
