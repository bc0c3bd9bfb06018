/* SPDX-License-Identifier: MIT */
/* Fills and drops what grant copy keeps of a peer. All under the layer's lock. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "copy.h"
#include "nf/atomics.h"

#define TABLE_ENTRIES_MAX (1u << 20)
#define RESOLVE_MAX 256u /* grefs of one request */
#define CREDIT_MAX 32u
#define CREDIT_MS 10

/*
 * Looking up costs a message, and a peer that forges its table can make every lookup fail or look
 * stale. An honest one never does, but for a few when it ends grants in mid-flight: each peer has a
 * small credit, refilled with time, and without credit its operations fail at no cost.
 */
static bool solvent(struct nf__copy_peer *p)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	int64_t now = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	int64_t earned = (now - p->refilled_ms) / CREDIT_MS;
	if (earned > 0) {
		p->refilled_ms = now;
		p->credit = earned > CREDIT_MAX - p->credit ? CREDIT_MAX
							    : p->credit + (uint32_t)earned;
	}
	return p->credit > 0;
}

/* Until every reader that may have seen what was unpublished before this call has left. */
static void wait_readers(struct nf__embedded *e)
{
	for (int i = 0; i < 2; i++) {
		unsigned int old = atomic_fetch_add(&e->epoch, 1) & 1u;
		while (atomic_load(&e->readers[old]))
			sched_yield();
	}
}

/* Gives all slots of one access back to the hypervisor; its failure changes nothing here. */
static void release_slots(struct nf__embedded *e, uint16_t peer, struct nf__copy_cache *c,
			  bool readonly)
{
	struct nf__map_slot slots[RESOLVE_MAX];
	uint32_t grefs[RESOLVE_MAX], n = 0;

	for (uint32_t g = NF_GREF_RESERVED; g < c->entries; g++) {
		uint64_t s = atomic_load_explicit(&c->slots[g], memory_order_relaxed);

		if (!(s & NF__SLOT_VALID) || !(s & NF__SLOT_WRITABLE) != readonly)
			continue;
		grefs[n] = g;
		slots[n++] = (struct nf__map_slot){.map = c->maps[NF__SLOT_ARENA(s)]};
		if (n == RESOLVE_MAX) {
			(void)nf__unmap_grefs(e, peer, grefs, n, readonly, slots);
			n = 0;
		}
	}
	if (n > 0)
		(void)nf__unmap_grefs(e, peer, grefs, n, readonly, slots);
}

static void purge(struct nf__embedded *e, struct nf__copy_peer *p)
{
	struct nf__copy_cache *c = atomic_exchange(&p->cache, NULL);

	if (!c)
		return;
	wait_readers(e);
	release_slots(e, p->domid, c, true);
	release_slots(e, p->domid, c, false);
	munmap((void *)(uintptr_t)c->shared_table, c->table_bytes);
	free(c);
}

void nf__copy_purge(struct nf__embedded *e, uint16_t peer)
{
	struct nf__copy_peer *p = nf__copy_find(e, peer);

	if (p)
		purge(e, p);
}

void nf__copy_cache_fini(struct nf__embedded *e)
{
	struct nf__copy_peer *p = atomic_exchange(&e->peers, NULL);

	while (p) {
		struct nf__copy_peer *next = p->next;

		purge(e, p);
		free(p);
		p = next;
	}
}

static struct nf__copy_peer *add_peer(struct nf__embedded *e, uint16_t domid)
{
	struct nf__copy_peer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->domid = domid;
	p->credit = CREDIT_MAX;
	p->next = atomic_load(&e->peers);
	atomic_store(&e->peers, p);
	return p;
}

/* Maps the peer's grant table and makes an empty cache for it. */
static int open_cache(struct nf__embedded *e, uint16_t peer, struct nf__copy_cache **out)
{
	struct nf_hv_table q = {.h = {.type = NF_HV_TABLE}, .peer = peer};
	struct nf__hv_call call = {.request = &q,
				   .request_bytes = sizeof(q),
				   .request_fd = -1,
				   .reply_min = sizeof(struct nf_hv_header),
				   .fds_min = 1,
				   .fds_max = 1};
	struct stat st = {0};
	int rc = nf__hv_call(e, &call);

	if (rc < 0)
		return rc;
	if (fstat(call.fds[0], &st) < 0 || st.st_size < NF_PAGE_BYTES ||
	    st.st_size > (off_t)(TABLE_ENTRIES_MAX * sizeof(struct nf_grant_entry)) ||
	    nf__hv_check_memory(call.fds[0], 0, (uint64_t)st.st_size) < 0)
		return nf__hv_broken(e, &call);
	size_t bytes = (size_t)st.st_size;
	uint32_t entries = (uint32_t)(bytes / sizeof(struct nf_grant_entry));
	void *table = mmap(NULL, bytes, PROT_READ, MAP_SHARED, call.fds[0], 0);
	rc = table == MAP_FAILED ? -errno : 0;
	nf__hv_close_fds(&call, 0);
	if (rc < 0)
		return rc;
	struct nf__copy_cache *c = calloc(1, sizeof(*c) + entries * sizeof(c->slots[0]));
	if (!c) {
		munmap(table, bytes);
		return -ENOMEM;
	}
	c->shared_table = table;
	c->table_bytes = bytes;
	c->entries = entries;
	*out = c;
	return 0;
}

/* Index of the map among the cache's, added when new; -ENOSPC. */
static int map_index(struct nf__copy_cache *c, struct nf__arena_map *m)
{
	for (uint32_t i = 0; i < c->arenas; i++)
		if (c->maps[i] == m)
			return (int)i;
	if (c->arenas == NF__COPY_ARENAS)
		return -ENOSPC;
	c->maps[c->arenas] = m;
	return (int)c->arenas++;
}

static int resolve_grefs(struct nf__embedded *e, struct nf__copy_peer *p, struct nf__copy_cache *c,
			 const uint32_t *grefs, const uint32_t *frames, uint32_t count,
			 bool readonly)
{
	struct nf__map_slot slots[RESOLVE_MAX];
	uint32_t done = 0;
	int rc = nf__map_grefs(e, p->domid, grefs, count, readonly, slots);

	if (rc < 0)
		return rc;
	for (; done < count; done++) {
		rc = map_index(c, slots[done].map);
		if (rc < 0)
			break;
		uint64_t s = NF__SLOT_VALID | (readonly ? 0 : NF__SLOT_WRITABLE) |
			     (uint64_t)slots[done].page << 2 | (uint64_t)rc << 16 |
			     (uint64_t)frames[done] << 32;
		/* the map before the slot that points to it */
		atomic_store_explicit(&c->slots[grefs[done]], s, memory_order_release);
	}
	if (done == count)
		return 0;
	(void)nf__unmap_grefs(e, p->domid, grefs + done, count - done, readonly, slots + done);
	return rc;
}

/* What a gref needs: 0 nothing (resolved or not permitted, run() tells), 1 to be looked up, 2 its
 * slot is of a grant that was ended. */
static int need(const struct nf__embedded *e, const struct nf__copy_cache *c,
		const struct nf_grant_copy *op, struct nf__entry *n)
{
	if (op->gref < NF_GREF_RESERVED || op->gref >= c->entries)
		return 0;
	*n = nf__entry_of(nf_load_relaxed_u64(&c->shared_table[op->gref]));
	uint64_t slot = atomic_load_explicit(&c->slots[op->gref], memory_order_relaxed);
	int rc = nf__copy_permit(n, e->base.domid, op->to_peer);
	if (rc == -ENOENT && slot & NF__SLOT_VALID)
		return 2;
	if (rc < 0 || nf__slot_matches(slot, n))
		return 0;
	return slot & NF__SLOT_VALID ? 2 : 1;
}

static bool listed(const uint32_t *grefs, uint32_t count, uint32_t gref)
{
	for (uint32_t i = 0; i < count; i++)
		if (grefs[i] == gref)
			return true;
	return false;
}

/* Looks up the first op's gref, together with those of later ops of the same peer and access. */
static int resolve_batch(struct nf__embedded *e, struct nf__copy_peer *p, struct nf__copy_cache *c,
			 const struct nf_grant_copy *ops, uint32_t count)
{
	uint32_t grefs[RESOLVE_MAX], frames[RESOLVE_MAX], n = 0;
	uint16_t readonly = 0;

	for (uint32_t i = 0; i < count && n < RESOLVE_MAX; i++) {
		struct nf__entry entry;

		if (ops[i].peer != p->domid || need(e, c, &ops[i], &entry) != 1 ||
		    listed(grefs, n, ops[i].gref))
			continue;
		if (n == 0)
			readonly = entry.flags & NF_GTF_readonly;
		if ((entry.flags & NF_GTF_readonly) != readonly)
			continue;
		grefs[n] = ops[i].gref;
		frames[n++] = entry.frame;
	}
	if (n == 0)
		return 0;
	int rc = resolve_grefs(e, p, c, grefs, frames, n, readonly != 0);
	/* one bad gref refuses all: the first op must not suffer for a later one */
	if (rc < 0 && n > 1 && !e->error)
		rc = resolve_grefs(e, p, c, grefs, frames, 1, readonly != 0);
	return rc;
}

static int resolve_locked(struct nf__embedded *e, const struct nf_grant_copy *ops, uint32_t count)
{
	struct nf__copy_peer *p = nf__copy_find(e, ops->peer);
	struct nf__copy_cache *c;
	struct nf__entry entry;

	if (!p)
		p = add_peer(e, ops->peer);
	if (!p)
		return -ENOMEM;
	if (!solvent(p))
		return -EAGAIN;
	c = atomic_load(&p->cache);
	if (c && (need(e, c, ops, &entry) == 2 || c->arenas == NF__COPY_ARENAS)) {
		p->credit--;
		purge(e, p);
		c = NULL;
	}
	int rc = c ? 0 : open_cache(e, p->domid, &c);
	if (rc == 0) {
		atomic_store(&p->cache, c);
		rc = resolve_batch(e, p, c, ops, count);
	}
	if (rc < 0 && p->credit > 0)
		p->credit--;
	return rc;
}

int nf__copy_resolve(struct nf__embedded *e, const struct nf_grant_copy *ops, uint32_t count)
{
	pthread_mutex_lock(&e->lock);
	int rc = resolve_locked(e, ops, count);
	pthread_mutex_unlock(&e->lock);
	return rc;
}
