/* SPDX-License-Identifier: MIT */
/* The counters page as its writer sees it. Which blocks are taken is noted in their headers, so
 * that a page needs no second book. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nf/atomics.h"
#include "nf/counters.h"

#define BLOCKS_MAX 65536u

/* Blocks in the run that starts here, 0 = free. Only a run's first block has a header. */
static uint8_t *run_of(struct nf_counters *b)
{
	return &b->h.run;
}

/* Zeroes all but the first block's seq: a reader that looked before must see that something
 * changed. In the others of a run the place of seq is data. */
static void clear(struct nf_counters *b, uint32_t run)
{
	const size_t seq = sizeof(b->h.seq);

	nf_block_begin(b);
	memset((uint8_t *)b + seq, 0, (size_t)run * sizeof(*b) - seq);
	nf_block_end(b);
}

int nf_counters_open(struct nf_counters_map *m, int fd, uint32_t blocks, uint16_t domid)
{
	size_t bytes = NF_COUNTERS_HEADER_BYTES + (size_t)blocks * NF_COUNTERS_BLOCK_BYTES;
	int flags = MAP_SHARED | MAP_POPULATE;

	if (fd >= 0) {
		struct stat st;

		if (fstat(fd, &st) < 0)
			return -errno;
		if (st.st_size < (off_t)(NF_COUNTERS_HEADER_BYTES + NF_COUNTERS_BLOCK_BYTES))
			return -EINVAL;
		bytes = (size_t)st.st_size;
		blocks = (uint32_t)((bytes - NF_COUNTERS_HEADER_BYTES) / NF_COUNTERS_BLOCK_BYTES);
	} else {
		flags |= MAP_ANONYMOUS;
	}
	if (blocks == 0 || blocks > BLOCKS_MAX)
		return -EINVAL;
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	m->hdr = p;
	m->blocks = (struct nf_counters *)((uint8_t *)p + NF_COUNTERS_HEADER_BYTES);
	m->count = blocks;
	m->bytes = bytes;
	/* an earlier writer of this page is gone, and its devices with it */
	for (uint32_t i = 0; i < blocks; i++)
		clear(&m->blocks[i], 1);
	*m->hdr = (struct nf_counters_header){
		.version = NF_COUNTERS_VERSION,
		.counters = NF_COUNTER_COUNT,
		.blocks = blocks,
		.block_bytes = NF_COUNTERS_BLOCK_BYTES,
		.pid = (uint32_t)getpid(),
		.domid = domid,
	};
	/* a reader that sees the magic sees the rest */
	nf_store_release(&m->hdr->magic, NF_COUNTERS_MAGIC);
	return 0;
}

void nf_counters_close(struct nf_counters_map *m)
{
	if (m->hdr)
		munmap(m->hdr, m->bytes);
	*m = (struct nf_counters_map){0};
}

struct nf_counters *nf_counters_take(struct nf_counters_map *m, uint32_t run)
{
	uint32_t first = 0;

	if (run == 0 || run > UINT8_MAX)
		return NULL;
	for (uint32_t i = 0; i < m->count;) {
		uint8_t taken = *run_of(&m->blocks[i]);

		i += taken ? taken : 1u;
		if (taken)
			first = i;
		else if (i - first == run) {
			clear(&m->blocks[first], run);
			*run_of(&m->blocks[first]) = (uint8_t)run;
			return &m->blocks[first];
		}
	}
	return NULL;
}

void nf_counters_drop(struct nf_counters_map *m, struct nf_counters *block, uint32_t run)
{
	if (!block || run == 0)
		return;
	size_t at = (size_t)(block - m->blocks);
	if (at >= m->count || run > m->count - at)
		return;
	clear(block, run);
}

void nf_block_begin(struct nf_counters *block)
{
	/* odd before any change; whatever an earlier writer left, it becomes the next odd number */
	nf_store_relaxed(&block->h.seq, (nf_load_relaxed(&block->h.seq) + 1) | 1u);
	nf_full_barrier();
}

void nf_block_end(struct nf_counters *block)
{
	/* the changes before the even number */
	nf_store_release(&block->h.seq, (nf_load_relaxed(&block->h.seq) | 1u) + 1);
}
