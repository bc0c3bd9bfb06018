/* SPDX-License-Identifier: MIT */
/* What a keeper holds: descriptors by number, some of them mapped. Knows nothing of their meaning.
 */
#ifndef NF_DAEMON_KEEPER_H
#define NF_DAEMON_KEEPER_H

#include <stddef.h>
#include <stdint.h>

struct keeper_entry {
	uint64_t id;
	uint8_t *base; /* NULL: not mapped */
	size_t bytes;
	int fd;
};

struct keeper {
	struct keeper_entry *entries; /* by id, ascending */
	size_t count, capacity;
};

/* Takes fd, also on failure: 0, -ENOMEM, or what mmap said. */
int keeper_put(struct keeper *k, uint64_t id, int fd, uint64_t map_bytes);
/* Nothing when there is none of that id. */
void keeper_drop(struct keeper *k, uint64_t id);
/* 0; -ENOENT nothing mapped under id; -ERANGE outside the mapping or not a multiple of 4. */
int keeper_store(struct keeper *k, uint64_t id, uint64_t offset, uint32_t value);
/* Closes and frees everything. */
void keeper_fini(struct keeper *k);

/* Serves the socket until everybody at its other end is gone: 0, or 1 after saying why. */
int keeper_serve(struct keeper *k, int fd);

#endif
