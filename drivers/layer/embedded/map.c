/* SPDX-License-Identifier: MIT */
/*
 * Mapping a peer's grants. The hypervisor answers with the arenas the grants lie in and a
 * descriptor for each; an arena is mapped whole, once for each access, and shared by all grants in
 * it.
 *
 * When the granter ends an arena we still map, the hypervisor punches its pages out (but where a
 * read-only grant's seal forbids it: those bytes we were shown already, and nobody writes them any
 * more) and keeps the arena in quarantine, charged to us, until we unmap it. Our mapping stays
 * valid meanwhile: the memfd cannot shrink (checked in nf__hv_check_memory), so a hole reads as
 * zeros and a write goes to pages nobody else gets. No SIGBUS, and nothing of a later owner can be
 * seen: memory of an ended arena is never granted again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "embedded.h"

/* What nf_mapping.priv points to. */
struct mapping {
	bool readonly;
	struct nf__map_slot slots[];
};

static struct nf__arena_map *find_map(const struct nf__embedded *e, uint16_t peer, uint64_t id,
				      bool readonly)
{
	struct nf__arena_map *m = e->maps;

	while (m && (m->peer != peer || m->id != id || m->readonly != readonly))
		m = m->next;
	return m;
}

/* The arena as the reply describes it, mapped now or before; a new one starts with no references.
 * NULL and *rc: -EPROTO when the description is impossible, or what mmap says. */
static struct nf__arena_map *open_map(struct nf__embedded *e, uint16_t peer, bool readonly,
				      const struct nf_hv_map_arena *a, int fd, int *rc)
{
	size_t bytes = (size_t)a->pages * NF_PAGE_BYTES;
	struct nf__arena_map *m = find_map(e, peer, a->arena, readonly);

	*rc = -EPROTO;
	if (m)
		return m->pages == a->pages ? m : NULL;
	if (a->pages == 0 || a->pages > NF_ARENA_PAGES_MAX || a->readonly > 1 ||
	    (a->readonly && !readonly) || nf__hv_check_memory(fd, a->fd_offset, bytes) < 0)
		return NULL;
	*rc = -ENOMEM;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->base = mmap(NULL, bytes, readonly ? PROT_READ : PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, fd, (off_t)a->fd_offset);
	if (m->base == MAP_FAILED) {
		*rc = -errno;
		free(m);
		return NULL;
	}
	m->id = a->arena;
	m->pages = a->pages;
	m->peer = peer;
	m->readonly = readonly;
	m->next = e->maps;
	e->maps = m;
	return m;
}

/* Unmaps and frees every map nobody refers to. */
static void sweep(struct nf__embedded *e)
{
	struct nf__arena_map **at = &e->maps;

	while (*at) {
		struct nf__arena_map *m = *at;

		if (m->refs > 0) {
			at = &m->next;
			continue;
		}
		*at = m->next;
		munmap(m->base, (size_t)m->pages * NF_PAGE_BYTES);
		free(m);
	}
}

/* Where the slots of a reply start; NULL when its counts and its length disagree. */
static const struct nf_hv_map_slot *reply_slots(const struct nf__hv_call *c, uint32_t count)
{
	const struct nf_hv_map_reply *r = c->reply;
	uint64_t arenas = r->arenas;

	if (r->count != count || arenas != (uint64_t)c->fd_count || arenas > count ||
	    c->reply_bytes != sizeof(*r) + arenas * sizeof(struct nf_hv_map_arena) +
				      (uint64_t)count * sizeof(struct nf_hv_map_slot))
		return NULL;
	return (const void *)((const uint8_t *)(r + 1) + arenas * sizeof(struct nf_hv_map_arena));
}

/* Opens the reply's arenas and fills slots; takes the references last, when nothing can fail. */
static int accept_reply(struct nf__embedded *e, struct nf__hv_call *c, uint16_t peer, bool readonly,
			uint32_t count, struct nf__map_slot *slots)
{
	const struct nf_hv_map_reply *r = c->reply;
	const struct nf_hv_map_arena *arenas = (const void *)(r + 1);
	const struct nf_hv_map_slot *in = reply_slots(c, count);
	struct nf__arena_map *maps[NF_HV_FDS_MAX];
	int rc = -EPROTO;

	if (!in)
		return rc;
	for (uint32_t i = 0; i < r->arenas; i++) {
		maps[i] = open_map(e, peer, readonly, &arenas[i], c->fds[i], &rc);
		if (!maps[i])
			return rc;
	}
	for (uint32_t i = 0; i < count; i++)
		if (in[i].arena_index >= r->arenas || in[i].page >= maps[in[i].arena_index]->pages)
			return -EPROTO;
	for (uint32_t i = 0; i < count; i++) {
		slots[i].map = maps[in[i].arena_index];
		slots[i].page = in[i].page;
		slots[i].map->refs++;
	}
	return 0;
}

static int tell_unmap(struct nf__embedded *e, uint16_t peer, const uint32_t *grefs, uint32_t count,
		      bool readonly)
{
	struct nf_hv_unmap q = {
		.h = {.type = NF_HV_UNMAP}, .peer = peer, .readonly = readonly, .count = count};
	struct nf__hv_call c = {.request = &q,
				.request_bytes = sizeof(q),
				.tail = grefs,
				.tail_bytes = count * sizeof(*grefs),
				.request_fd = -1,
				.reply_min = sizeof(struct nf_hv_header)};

	return nf__hv_call(e, &c);
}

int nf__map_grefs(struct nf__embedded *e, uint16_t peer, const uint32_t *grefs, uint32_t count,
		  bool readonly, struct nf__map_slot *slots)
{
	struct nf_hv_map q = {
		.h = {.type = NF_HV_MAP}, .peer = peer, .readonly = readonly, .count = count};
	struct nf__hv_call c = {.request = &q,
				.request_bytes = sizeof(q),
				.tail = grefs,
				.tail_bytes = count * sizeof(*grefs),
				.request_fd = -1,
				.reply_min = sizeof(struct nf_hv_map_reply),
				.fds_min = 1,
				.fds_max = (int)NF_HV_FDS_MAX};
	int rc = nf__hv_call(e, &c);

	if (rc < 0)
		return rc;
	rc = accept_reply(e, &c, peer, readonly, count, slots);
	nf__hv_close_fds(&c, 0); /* a mapping does not need its descriptor */
	if (rc == 0)
		return 0;
	sweep(e);
	if (rc == -EPROTO)
		return nf__hv_broken(e, &c);
	(void)tell_unmap(e, peer, grefs, count, readonly); /* out of memory is the error to tell */
	return rc;
}

int nf__unmap_grefs(struct nf__embedded *e, uint16_t peer, const uint32_t *grefs, uint32_t count,
		    bool readonly, const struct nf__map_slot *slots)
{
	for (uint32_t i = 0; i < count; i++)
		slots[i].map->refs--;
	sweep(e);
	return tell_unmap(e, peer, grefs, count, readonly);
}

int nf__embedded_map(struct nf_layer *l, uint16_t peer, uint32_t *grefs, uint32_t count,
		     bool readonly, void **addrs, struct nf_mapping *out)
{
	struct nf__embedded *e = nf__embedded_of(l);

	if (count == 0 || count > NF_HV_GREFS_MAX)
		return -EINVAL;
	struct mapping *m = malloc(sizeof(*m) + count * sizeof(m->slots[0]));
	if (!m)
		return -ENOMEM;
	m->readonly = readonly;
	pthread_mutex_lock(&e->lock);
	int rc = nf__map_grefs(e, peer, grefs, count, readonly, m->slots);
	pthread_mutex_unlock(&e->lock);
	if (rc < 0) {
		free(m);
		return rc;
	}
	for (uint32_t i = 0; i < count; i++)
		addrs[i] = m->slots[i].map->base + (size_t)m->slots[i].page * NF_PAGE_BYTES;
	*out = (struct nf_mapping){
		.peer = peer, .count = count, .grefs = grefs, .addrs = addrs, .priv = m};
	return 0;
}

/*
 * A device that unmaps is about to let its peer end everything it granted: what grant copy keeps
 * mapped of that peer must not stand in the way, or each reconnect would leave a quarantined arena
 * behind. Other devices of the same peer find their pages again at their next copy.
 */
int nf__embedded_unmap(struct nf_layer *l, struct nf_mapping *map)
{
	struct nf__embedded *e = nf__embedded_of(l);
	struct mapping *m = map->priv;

	if (!m)
		return -EINVAL;
	pthread_mutex_lock(&e->lock);
	nf__copy_purge(e, map->peer);
	int rc = nf__unmap_grefs(e, map->peer, map->grefs, map->count, m->readonly, m->slots);
	pthread_mutex_unlock(&e->lock);
	for (uint32_t i = 0; i < map->count; i++)
		map->addrs[i] = NULL;
	free(m);
	map->priv = NULL;
	map->count = 0;
	return rc;
}
