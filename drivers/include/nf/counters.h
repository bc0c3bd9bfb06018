/* SPDX-License-Identifier: MIT */
/*
 * The counters page of one domain: a memfd that its drivers write and any process may map
 * read-only. A header, then blocks of NF_COUNTERS_BLOCK_BYTES: one block a (device, queue) or a
 * latency block. Each 64-bit counter has one writer (the poller that owns the queue); the block
 * header is written by the control thread. Readers use plain 64-bit loads; seq is odd while a
 * header changes.
 */
#ifndef NF_COUNTERS_H
#define NF_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

#define NF_COUNTERS_MAGIC 0x4e46434eu /* "NFCN" */
#define NF_COUNTERS_VERSION 1u
#define NF_COUNTERS_BLOCK_BYTES 512u
#define NF_COUNTERS_HEADER_BYTES 512u

enum nf_counter {
#define NF_COUNTER(name, help) NF_COUNTER_##name,
#include "nf/counters.def"
#undef NF_COUNTER
	NF_COUNTER_COUNT
};

enum nf_block_kind {
	NF_BLOCK_FREE = 0,
	NF_BLOCK_NETFRONT = 1,
	NF_BLOCK_NETBACK = 2,
	NF_BLOCK_NETRELAY = 3,
	NF_BLOCK_LATENCY = 4, /* words are buckets: see nf_latency_bucket; spans LATENCY_BLOCKS */
	NF_BLOCK_BLKFRONT = 5,
	NF_BLOCK_BLKBACK = 6,
	NF_BLOCK_BLKRELAY = 7,
};

enum nf_block_mode {
	NF_MODE_NONE = 0,
	NF_MODE_SINGLE,
	NF_MODE_COPY,
	NF_MODE_TRANSLATE,
	NF_MODE_DIRECT,
	NF_MODE_MUX
};
enum nf_block_grants {
	NF_GRANTS_NONE = 0,
	NF_GRANTS_STATIC,
	NF_GRANTS_PERSISTENT,
	NF_GRANTS_COPY,
	NF_GRANTS_MAP
};

struct nf_counters_header {
	uint32_t magic;
	uint16_t version;
	uint16_t counters; /* words per block: NF_COUNTER_COUNT */
	uint32_t blocks;
	uint32_t block_bytes;
	uint32_t pid; /* of the writer, in its own pid namespace */
	uint32_t domid;
	uint8_t pad[488];
};

struct nf_block_header {
	uint32_t seq;
	uint8_t kind;	/* enum nf_block_kind */
	uint8_t mode;	/* enum nf_block_mode, of a relay */
	uint8_t grants; /* enum nf_block_grants, in use */
	uint8_t state;	/* xenbus state */
	uint16_t peer;	/* domid at the other end */
	uint16_t devid;
	uint16_t queue;
	uint16_t confined; /* 1 confined, 2 unconfined, 0 not direct */
	uint32_t generation;
	int32_t error; /* sticky errno, 0 none */
	uint8_t run;   /* blocks from here on that are one; 0 free; the writer's book */
	uint8_t of;    /* latency: enum nf_block_kind of what it times */
	uint8_t pad[38];
};

struct nf_counters {
	struct nf_block_header h;
	uint64_t words[(NF_COUNTERS_BLOCK_BYTES - 64) / 8];
};

_Static_assert(sizeof(struct nf_counters_header) == NF_COUNTERS_HEADER_BYTES, "header is 512 B");
_Static_assert(sizeof(struct nf_block_header) == 64, "block header is 64 B");
_Static_assert(sizeof(struct nf_counters) == NF_COUNTERS_BLOCK_BYTES, "block is 512 B");
_Static_assert((size_t)NF_COUNTER_COUNT <= (NF_COUNTERS_BLOCK_BYTES - 64) / 8, "counters fit");

#define NF_COUNT(c, name, add) nf_count(&(c)->words[NF_COUNTER_##name], (uint64_t)(add))
/* Of a gauge: what it is now. */
#define NF_GAUGE(c, name, now) nf_gauge(&(c)->words[NF_COUNTER_##name], (uint64_t)(now))

/*
 * Latency histogram: NF_LATENCY_WORDS buckets over 8 consecutive blocks' words would waste; instead
 * a latency region is NF_LATENCY_BLOCKS whole blocks: one block header, then 64-bit bucket counts.
 * Bucket b of value v ns: v < 16: v; else 8 sub-buckets per power of two (12.5 % wide).
 */
#define NF_LATENCY_BLOCKS 4u
#define NF_LATENCY_BUCKETS 240u

static inline uint32_t nf_latency_bucket(uint64_t ns)
{
	if (ns < 16)
		return (uint32_t)ns;
	uint32_t log = 63u - (uint32_t)__builtin_clzll(ns); /* >= 4 */
	uint32_t b = 16u + (log - 4u) * 8u + (uint32_t)((ns >> (log - 3u)) & 7u);
	return b < NF_LATENCY_BUCKETS ? b : NF_LATENCY_BUCKETS - 1u;
}

/* A mapped counters page, as its writer uses it. Control thread only. */
struct nf_counters_map {
	struct nf_counters_header *hdr;
	struct nf_counters *blocks;
	uint32_t count;
	size_t bytes;
};

/* Maps fd (from the layer) or, with fd < 0, private memory of `blocks` blocks. 0 or -errno. */
int nf_counters_open(struct nf_counters_map *m, int fd, uint32_t blocks, uint16_t domid);
void nf_counters_close(struct nf_counters_map *m);
/* A zeroed block, or NULL when all are taken. `run` blocks in a row (latency: NF_LATENCY_BLOCKS).
 */
struct nf_counters *nf_counters_take(struct nf_counters_map *m, uint32_t run);
void nf_counters_drop(struct nf_counters_map *m, struct nf_counters *block, uint32_t run);
/* Header changes between begin and end; readers retry while seq is odd. */
void nf_block_begin(struct nf_counters *block);
void nf_block_end(struct nf_counters *block);

#endif
