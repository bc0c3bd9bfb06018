/* SPDX-License-Identifier: MIT */
/*
 * Static grants of a queue: a batch is what one request added with one access, mapped in one go.
 * Every mapping is unmapped exactly once, on every path.
 */
#include "net_back.h"

#include <stdlib.h>
#include <string.h>

static void batch_free(struct nf_netback *b, struct nf_gref_batch *t)
{
	struct nf_layer *l = b->e.cfg.layer;
	if (t->map.count > 0)
		l->ops->unmap(l, &t->map);
	free(t);
}

/* The entries of one access as a mapped batch; *out NULL when there are none. */
static int batch_make(struct nf_netback *b, const struct nf_netif_gref *list, uint32_t count,
		      bool writable, struct nf_gref_batch **out)
{
	struct nf_layer *l = b->e.cfg.layer;
	struct nf_gref_batch *t = calloc(1, sizeof(*t));
	*out = NULL;
	if (!t)
		return -ENOMEM;
	t->is_writable = writable;
	for (uint32_t i = 0; i < count; i++)
		if (writable == !(list[i].flags & NF_NETCTRLF_GREF_readonly))
			t->grefs[t->live++] = list[i].ref;
	if (t->live == 0) {
		free(t);
		return 0;
	}
	if (b->map_grefs) {
		int rc = l->ops->map(l, b->e.dev.other_domid, t->grefs, t->live, !writable,
				     t->addrs, &t->map);
		if (rc < 0) {
			free(t);
			return rc;
		}
	}
	*out = t;
	return 0;
}

static int batch_enter(struct nf_gref_map *map, const struct nf_gref_batch *t)
{
	for (uint32_t i = 0; t && i < t->live; i++) {
		int rc = nf__gref_map_add(map, t->grefs[i], t->addrs[i], t->is_writable);
		if (rc == 0)
			continue;
		while (i-- > 0)
			nf__gref_map_del(map, t->grefs[i]);
		return rc;
	}
	return 0;
}

static void batch_leave(struct nf_gref_map *map, const struct nf_gref_batch *t)
{
	for (uint32_t i = 0; t && i < t->live; i++)
		nf__gref_map_del(map, t->grefs[i]);
}

static void batch_link(struct nf_netback *b, uint32_t queue, struct nf_gref_batch *t)
{
	if (!t)
		return;
	t->next = b->batches[queue];
	b->batches[queue] = t;
	if (b->e.blocks[queue] && b->map_grefs)
		NF_COUNT(b->e.blocks[queue], grant_maps, t->live);
}

static int list_check(const struct nf_netif_gref *list, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (list[i].flags & ~NF_NETCTRLF_GREF_readonly || list[i].ref < NF_GREF_RESERVED ||
		    list[i].ref == NF_GREF_NONE)
			return -EINVAL;
	return 0;
}

int nf__back_grefs_add(struct nf_netback *b, uint32_t queue, const struct nf_netif_gref *list,
		       uint32_t count)
{
	struct nf_gref_map *map = b->rings[queue]->grefs;
	struct nf_gref_batch *ro, *rw;
	int rc = list_check(list, count);
	if (rc)
		return rc;
	if (map->count[NF_GREF_READONLY] + map->count[NF_GREF_WRITABLE] + count > NF_NET_GREFS_MAX)
		return -ENOSPC; /* before the layer maps anything */
	rc = batch_make(b, list, count, false, &ro);
	if (rc)
		return rc;
	rc = batch_make(b, list, count, true, &rw);
	if (rc)
		goto out_ro;
	rc = batch_enter(map, ro);
	if (rc)
		goto out_rw;
	rc = batch_enter(map, rw);
	if (rc)
		goto out_enter;
	batch_link(b, queue, ro);
	batch_link(b, queue, rw);
	return 0;
out_enter:
	batch_leave(map, ro);
out_rw:
	if (rw)
		batch_free(b, rw);
out_ro:
	if (ro)
		batch_free(b, ro);
	return rc;
}

/* Marks gref deleted in the batch that has it. */
static void batch_strike(struct nf_netback *b, uint32_t queue, uint32_t gref)
{
	for (struct nf_gref_batch *t = b->batches[queue]; t; t = t->next) {
		uint32_t total = b->map_grefs ? t->map.count : NF_NETIF_CTRL_GREFS_MAX;
		for (uint32_t i = 0; i < total; i++) {
			if (t->grefs[i] != gref || t->is_gone[i])
				continue;
			t->is_gone[i] = true;
			t->live--;
			return;
		}
	}
}

/* Maps what is left of a batch anew, so that the deleted pages are let go of. On failure it stays
 * as it is: the pages linger until the rest goes too. */
static void batch_shrink(struct nf_netback *b, uint32_t queue, struct nf_gref_batch **link)
{
	struct nf_gref_batch *t = *link;
	struct nf_layer *l = b->e.cfg.layer;
	struct nf_gref_batch *n = calloc(1, sizeof(*n));
	if (!n)
		return;
	n->is_writable = t->is_writable;
	for (uint32_t i = 0; i < t->map.count; i++)
		if (!t->is_gone[i])
			n->grefs[n->live++] = t->grefs[i];
	if (l->ops->map(l, b->e.dev.other_domid, n->grefs, n->live, !n->is_writable, n->addrs,
			&n->map) < 0) {
		free(n);
		return;
	}
	for (uint32_t i = 0; i < n->live; i++)
		nf__gref_map_move(b->rings[queue]->grefs, n->grefs[i], n->addrs[i]);
	n->next = t->next;
	*link = n;
	batch_free(b, t);
}

uint32_t nf__back_grefs_del(struct nf_netback *b, uint32_t queue, struct nf_netif_gref *list,
			    uint32_t count)
{
	uint32_t done = 0;
	for (uint32_t i = 0; i < count; i++) {
		bool ok = nf__gref_map_del(b->rings[queue]->grefs, list[i].ref) == 0;
		list[i].status = ok ? NF_NETIF_CTRL_STATUS_SUCCESS
				    : NF_NETIF_CTRL_STATUS_INVALID_PARAMETER;
		if (!ok)
			continue;
		done++;
		batch_strike(b, queue, list[i].ref);
	}
	struct nf_gref_batch **link = &b->batches[queue];
	while (*link) {
		struct nf_gref_batch *t = *link;
		if (t->live == 0) {
			*link = t->next;
			batch_free(b, t);
			continue;
		}
		if (b->map_grefs && t->live < t->map.count)
			batch_shrink(b, queue, link);
		link = &(*link)->next;
	}
	if (b->e.blocks[queue] && b->map_grefs)
		NF_COUNT(b->e.blocks[queue], grant_unmaps, done);
	return done;
}

void nf__back_grefs_drop(struct nf_netback *b, uint32_t queue)
{
	uint64_t dropped = 0;
	while (b->batches[queue]) {
		struct nf_gref_batch *t = b->batches[queue];
		b->batches[queue] = t->next;
		dropped += t->live;
		batch_free(b, t);
	}
	if (b->e.blocks[queue] && b->map_grefs)
		NF_COUNT(b->e.blocks[queue], grant_unmaps, dropped);
}
