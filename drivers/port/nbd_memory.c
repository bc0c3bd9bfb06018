/* SPDX-License-Identifier: MIT */
/* Payload of NBD requests: runs of the disk's pool, which cost no copy, else of the heap. Both are
 * bounded a connection. */
#include "nbd.h"

#include <stdlib.h>

#define PAGE 4096u

static bool is_used(const struct nf__nbd *n, uint32_t page)
{
	return n->pool_used[page / 64] >> (page % 64) & 1;
}

static void mark(struct nf__nbd *n, uint32_t page, uint32_t count, bool used)
{
	for (uint32_t i = page; i < page + count; i++) {
		if (used)
			n->pool_used[i / 64] |= 1ull << (i % 64);
		else
			n->pool_used[i / 64] &= ~(1ull << (i % 64));
	}
}

/* First page of the lowest free run (low pages are warm); UINT32_MAX: none. */
static uint32_t find_run(const struct nf__nbd *n, uint32_t count)
{
	uint32_t run = 0;
	for (uint32_t i = 0; i < n->pool_pages; i++) {
		if (i % 64 == 0 && run == 0 && n->pool_used[i / 64] == UINT64_MAX) {
			i += 63;
			continue;
		}
		run = is_used(n, i) ? 0 : run + 1;
		if (run == count)
			return i + 1 - count;
	}
	return UINT32_MAX;
}

static bool pool_take(struct nf__nbd *n, struct nf__nbd_request *r, uint64_t bytes)
{
	uint32_t count = (uint32_t)((bytes + PAGE - 1) / PAGE);
	/* a client that does not read its answers must leave something for the others */
	uint64_t share = (uint64_t)n->pool_pages * PAGE / (n->conn_count > 1 ? 2 : 1);
	if (r->conn->pool_bytes + (uint64_t)count * PAGE > share)
		return false;
	uint32_t at = find_run(n, count);
	if (at == UINT32_MAX)
		return false;
	mark(n, at, count, true);
	r->mem = n->disk->pool + (uint64_t)at * PAGE;
	r->mem_bytes = (uint64_t)count * PAGE;
	r->is_heap = false;
	r->conn->pool_bytes += r->mem_bytes;
	return true;
}

bool nf__nbd_memory_take(struct nf__nbd_request *r, uint64_t bytes)
{
	struct nf__nbd *n = r->conn->nbd;
	uint64_t whole = (bytes + PAGE - 1) / PAGE * PAGE;

	if (n->pool_pages && pool_take(n, r, bytes))
		return true;
	if (r->conn->heap_bytes + whole > NF__NBD_HEAP_MAX)
		return false;
	uint8_t *mem = aligned_alloc(PAGE, whole);
	if (!mem)
		return false;
	memset(mem, 0, whole); /* a read that fills less must not show what was here before */
	r->mem = mem;
	r->mem_bytes = whole;
	r->is_heap = true;
	r->conn->heap_bytes += whole;
	return true;
}

void nf__nbd_memory_give(struct nf__nbd_request *r)
{
	if (!r->mem)
		return;
	struct nf__nbd *n = r->conn->nbd;
	if (r->is_heap) {
		free(r->mem);
		r->conn->heap_bytes -= r->mem_bytes;
	} else {
		uint32_t at = (uint32_t)((uint64_t)(r->mem - n->disk->pool) / PAGE);
		mark(n, at, (uint32_t)(r->mem_bytes / PAGE), false);
		r->conn->pool_bytes -= r->mem_bytes;
	}
	r->mem = NULL;
}
