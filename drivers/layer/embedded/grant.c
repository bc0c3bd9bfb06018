/* SPDX-License-Identifier: MIT */
/* Granting: arenas of our own, and passing an outer layer's pages on to an inner domain. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "embedded.h"

static struct nf_hv_key wire_key(const struct nf_arena_key *k)
{
	return (struct nf_hv_key){.peer = k->peer,
				  .inner_owner = k->inner_owner,
				  .device = k->device,
				  .queue = k->queue,
				  .purpose = k->purpose,
				  .readonly = k->readonly};
}

static int tell_end(struct nf__embedded *e, uint64_t id)
{
	struct nf_hv_end q = {.h = {.type = NF_HV_END}, .arena = id};
	struct nf__hv_call c = {.request = &q,
				.request_bytes = sizeof(q),
				.request_fd = -1,
				.reply_min = sizeof(struct nf_hv_header)};

	return nf__hv_call(e, &c);
}

/* The reply's grant numbers if it is a sane answer to an allocation of so many pages, else NULL. */
static const uint32_t *reply_grefs(const struct nf__hv_call *c, uint32_t pages)
{
	const struct nf_hv_alloc_reply *r = c->reply;
	const uint32_t *grefs = (const void *)(r + 1);

	if (r->pages != pages || r->donated > 1 ||
	    c->reply_bytes != sizeof(*r) + pages * sizeof(*grefs) ||
	    nf__hv_check_memory(c->fds[0], r->fd_offset, (uint64_t)pages * NF_PAGE_BYTES) < 0)
		return NULL;
	for (uint32_t i = 0; i < pages; i++)
		if (grefs[i] < NF_GREF_RESERVED || grefs[i] == NF_GREF_NONE)
			return NULL;
	return grefs;
}

/*
 * The mapping is made, and its pages are touched, before the caller can tell the peer a single
 * grant number: the first read-only map by the peer seals the memfd against new writable mappings.
 */
static int map_own(int fd, uint64_t offset, uint32_t pages, uint8_t **base)
{
	void *p = mmap(NULL, (size_t)pages * NF_PAGE_BYTES, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);

	if (p == MAP_FAILED)
		return -errno;
	*base = p;
	return 0;
}

int nf__embedded_alloc(struct nf_layer *l, const struct nf_arena_key *key, uint32_t pages,
		       uint32_t flags, uint32_t *grefs, struct nf_arena *out)
{
	struct nf__embedded *e = nf__embedded_of(l);
	struct nf_hv_alloc q = {.h = {.type = NF_HV_ALLOC}, .key = wire_key(key), .pages = pages};
	struct nf__hv_call c = {.request = &q,
				.request_bytes = sizeof(q),
				.request_fd = -1,
				.reply_min = sizeof(struct nf_hv_alloc_reply),
				.fds_min = 1,
				.fds_max = 1};
	uint8_t *base = NULL;

	if (pages == 0 || pages > NF_ARENA_PAGES_MAX || flags & ~NF_ALLOC_NOMAP)
		return -EINVAL;
	pthread_mutex_lock(&e->lock);
	int rc = nf__hv_call(e, &c);
	if (rc < 0)
		goto out_unlock;
	const struct nf_hv_alloc_reply *r = c.reply;
	const uint32_t *numbers = reply_grefs(&c, pages);
	if (!numbers) {
		rc = nf__hv_broken(e, &c);
		goto out_unlock;
	}
	if (!(flags & NF_ALLOC_NOMAP))
		rc = map_own(c.fds[0], r->fd_offset, pages, &base);
	if (rc < 0) {
		nf__hv_close_fds(&c, 0);
		(void)tell_end(e, r->arena); /* mmap's is the error to tell */
		goto out_unlock;
	}
	memcpy(grefs, numbers, pages * sizeof(*grefs));
	*out = (struct nf_arena){.key = *key,
				 .id = r->arena,
				 .base = base,
				 .pages = pages,
				 .fd = c.fds[0],
				 .fd_offset = r->fd_offset,
				 .grefs = grefs};
out_unlock:
	pthread_mutex_unlock(&e->lock);
	return rc;
}

int nf__embedded_end(struct nf_layer *l, struct nf_arena *arena)
{
	struct nf__embedded *e = nf__embedded_of(l);

	if (arena->pages == 0)
		return -EINVAL;
	if (arena->base)
		munmap(arena->base, (size_t)arena->pages * NF_PAGE_BYTES);
	if (arena->fd >= 0)
		close(arena->fd);
	pthread_mutex_lock(&e->lock);
	int rc = tell_end(e, arena->id);
	pthread_mutex_unlock(&e->lock);
	*arena = (struct nf_arena){.fd = -1};
	return rc;
}

int nf__embedded_donate(struct nf_layer *l, uint16_t inner, const struct nf_arena *arena,
			bool equal_grefs)
{
	struct nf__embedded *e = nf__embedded_of(l);
	struct nf_hv_donate q = {.h = {.type = NF_HV_DONATE},
				 .key = wire_key(&arena->key),
				 .pages = arena->pages,
				 .fd_offset = arena->fd_offset,
				 .equal_grefs = equal_grefs};
	struct nf__hv_call c = {.request = &q,
				.request_bytes = sizeof(q),
				.request_fd = arena->fd,
				.reply_min = sizeof(struct nf_hv_header)};

	if (!(l->caps & NF_CAP_DONATE))
		return -ENOSYS;
	if (arena->fd < 0 || arena->pages == 0)
		return -EINVAL;
	q.key.peer = inner;
	q.key.inner_owner = NF_DOMID_SELF; /* on this layer the pages are for `inner` itself */
	if (equal_grefs) {
		c.tail = arena->grefs;
		c.tail_bytes = arena->pages * sizeof(*arena->grefs);
	}
	pthread_mutex_lock(&e->lock);
	int rc = nf__hv_call(e, &c);
	pthread_mutex_unlock(&e->lock);
	return rc;
}
