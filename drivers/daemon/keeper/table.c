/* SPDX-License-Identifier: MIT */
/* The table: ids come in ascending order, so that a new one mostly goes to the end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "keeper.h"
#include "nf/atomics.h"

#define FIRST_CAPACITY 64

/* Index of the first entry whose id is not below. */
static size_t place(const struct keeper *k, uint64_t id)
{
	size_t low = 0, high = k->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (k->entries[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct keeper_entry *find(const struct keeper *k, uint64_t id)
{
	size_t i = place(k, id);

	return i < k->count && k->entries[i].id == id ? &k->entries[i] : NULL;
}

static void release(struct keeper_entry *e)
{
	if (e->base)
		munmap(e->base, e->bytes);
	close(e->fd);
}

static int grow(struct keeper *k)
{
	size_t capacity = k->capacity ? k->capacity * 2 : FIRST_CAPACITY;
	struct keeper_entry *entries = NULL;

	if (k->count < k->capacity)
		return 0;
	if (capacity <= SIZE_MAX / sizeof(*entries))
		entries = realloc(k->entries, capacity * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	k->entries = entries;
	k->capacity = capacity;
	return 0;
}

int keeper_put(struct keeper *k, uint64_t id, int fd, uint64_t map_bytes)
{
	struct keeper_entry e = {.id = id, .fd = fd, .bytes = (size_t)map_bytes};
	int rc = grow(k);

	if (rc == 0 && map_bytes > 0) {
		void *base = mmap(NULL, e.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (base == MAP_FAILED)
			rc = -errno;
		else
			e.base = base;
	}
	if (rc < 0) {
		close(fd);
		return rc;
	}
	size_t i = place(k, id);
	if (i < k->count && k->entries[i].id == id) {
		release(&k->entries[i]);
	} else {
		memmove(k->entries + i + 1, k->entries + i, (k->count - i) * sizeof(*k->entries));
		k->count++;
	}
	k->entries[i] = e;
	return 0;
}

void keeper_drop(struct keeper *k, uint64_t id)
{
	struct keeper_entry *e = find(k, id);

	if (!e)
		return;
	release(e);
	size_t i = (size_t)(e - k->entries);
	k->count--;
	memmove(e, e + 1, (k->count - i) * sizeof(*e));
}

int keeper_store(struct keeper *k, uint64_t id, uint64_t offset, uint32_t value)
{
	struct keeper_entry *e = find(k, id);

	if (!e || !e->base)
		return -ENOENT;
	if (offset % sizeof(value) != 0 || e->bytes < sizeof(value) ||
	    offset > e->bytes - sizeof(value))
		return -ERANGE;
	/* a grant entry's second word was stored before the first, which says that it is valid */
	nf_store_release((uint32_t *)(void *)(e->base + offset), value);
	return 0;
}

void keeper_fini(struct keeper *k)
{
	for (size_t i = 0; i < k->count; i++)
		release(&k->entries[i]);
	free(k->entries);
	*k = (struct keeper){.count = 0};
}
