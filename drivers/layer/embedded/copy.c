/* SPDX-License-Identifier: MIT */
/*
 * Grant copy without a message: the peer's grant table and its arenas are mapped at first use, each
 * operation is checked against the entry in the table, then it is a memcpy.
 *
 * The entry decides whether (it is the granter's to revoke), the hypervisor's answer decides where:
 * a forged entry can at most name a page the same peer granted us anyway. The frame number in the
 * entry tells a gref that was ended and granted anew from the one resolved earlier.
 *
 * Pollers take no lock. Between enter and leave the cache they see stays mapped: whoever drops one
 * (copy_cache.c) unpublishes it first and then waits until both generations of readers have left.
 * A reader waits for nothing, and never holds a generation while it resolves.
 */
#include <errno.h>
#include <string.h>

#include "copy.h"
#include "nf/atomics.h"

#define MISS 1 /* not resolved, or stale */
#define TRIES 64

static unsigned int enter(struct nf__embedded *e)
{
	unsigned int generation = atomic_load(&e->epoch) & 1u;

	atomic_fetch_add(&e->readers[generation], 1);
	return generation;
}

static void leave(struct nf__embedded *e, unsigned int generation)
{
	atomic_fetch_sub(&e->readers[generation], 1);
}

int nf__copy_permit(const struct nf__entry *n, uint16_t self, bool write)
{
	const unsigned int known = NF_GTF_permit_access | NF_GTF_readonly | NF_GTF_reading |
				   NF_GTF_writing;

	if ((n->flags & 3u) != NF_GTF_permit_access)
		return -ENOENT;
	if (n->flags & ~known || n->domid != self || (write && n->flags & NF_GTF_readonly))
		return -EACCES;
	return 0;
}

/* The operation's status, or MISS. */
static int run_one(const struct nf__copy_cache *c, uint16_t self, const struct nf_grant_copy *op)
{
	if ((uint32_t)op->offset + op->bytes > NF_PAGE_BYTES)
		return -ERANGE;
	if (op->gref < NF_GREF_RESERVED || op->gref >= c->entries)
		return -ENOENT;
	struct nf__entry n = nf__entry_of(nf_load_relaxed_u64(&c->shared_table[op->gref]));
	int rc = nf__copy_permit(&n, self, op->to_peer);
	/* the map it points into was filled before */
	uint64_t slot = atomic_load_explicit(&c->slots[op->gref], memory_order_acquire);
	if (rc == -ENOENT && slot & NF__SLOT_VALID)
		return MISS; /* ended: let go of the pages, then say so */
	if (rc < 0 || op->bytes == 0)
		return rc;
	if (!nf__slot_matches(slot, &n))
		return MISS;
	uint8_t *page = c->maps[NF__SLOT_ARENA(slot)]->base +
			(size_t)NF__SLOT_PAGE(slot) * NF_PAGE_BYTES + op->offset;
	if (op->to_peer)
		memcpy(page, op->local, op->bytes);
	else
		memcpy(op->local, page, op->bytes);
	return 0;
}

/* Runs ops in order from `done` on until one misses; returns where it stopped. */
static uint32_t run(struct nf__embedded *e, struct nf_grant_copy *ops, uint32_t done,
		    uint32_t count)
{
	const struct nf__copy_cache *c = NULL;
	uint16_t self = e->base.domid;
	uint32_t peer = UINT32_MAX;

	for (; done < count; done++) {
		if (ops[done].peer != peer) {
			struct nf__copy_peer *p = nf__copy_find(e, ops[done].peer);
			peer = ops[done].peer;
			c = p ? atomic_load(&p->cache) : NULL;
		}
		int rc = c ? run_one(c, self, &ops[done]) : MISS;
		if (rc == MISS)
			break;
		ops[done].status = rc;
	}
	return done;
}

int nf__embedded_copy(struct nf_layer *l, struct nf_grant_copy *ops, uint32_t count)
{
	struct nf__embedded *e = nf__embedded_of(l);
	uint32_t done = 0, tries = 0;

	while (done < count) {
		uint32_t from = done;
		unsigned int generation = enter(e);
		done = run(e, ops, from, count);
		leave(e, generation);
		if (done == count)
			break;
		/* between resolving and running the control thread may purge and the peer may
		 * change its table; neither keeps a poller here for ever */
		tries = done == from ? tries + 1 : 1;
		int rc = tries > TRIES ? -EAGAIN : nf__copy_resolve(e, ops + done, count - done);
		if (rc < 0) {
			ops[done++].status = rc;
			tries = 0;
		}
	}
	return 0;
}
