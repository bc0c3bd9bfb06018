/* SPDX-License-Identifier: MIT */
/* What disk.c and the disks share. */
#ifndef NF_PORT_DISKS_H
#define NF_PORT_DISKS_H

#include <stddef.h>

#include "nf/blkport.h"

#define NF__DISK_PATH 1024u
#define NF__DISK_DEPTH 256u /* requests in flight, when nobody says */

enum nf__disk_kind { NF__DISK_FILE, NF__DISK_BLOCK, NF__DISK_MEM, NF__DISK_NULL };
enum nf__disk_direct { NF__DIRECT_AUTO, NF__DIRECT_ON, NF__DIRECT_OFF };
enum nf__disk_engine { NF__ENGINE_AUTO, NF__ENGINE_URING, NF__ENGINE_THREADS };

struct nf__disk_options {
	enum nf__disk_kind kind;
	char path[NF__DISK_PATH];
	uint64_t bytes; /* mem, null: the size; file: size to create it with, 0: it exists */
	bool is_readonly;
	enum nf__disk_direct direct;
	enum nf__disk_engine engine;
};

/* 0, or -EINVAL and a line in err (which may be NULL). */
int nf__disk_parse(const char *spec, struct nf__disk_options *o, char *err, uint32_t err_cap);

int nf__disk_open_file(const struct nf__disk_options *o, const struct nf_disk_env *env,
		       struct nf_disk *out, char *err, uint32_t err_cap);
int nf__disk_open_mem(const struct nf__disk_options *o, const struct nf_disk_env *env,
		      struct nf_disk *out, char *err, uint32_t err_cap);
int nf__disk_open_null(const struct nf__disk_options *o, const struct nf_disk_env *env,
		       struct nf_disk *out, char *err, uint32_t err_cap);

/* Everything about a request that does not depend on the disk's kind: range, sizes, read-only,
 * discard. 0 or the error it completes with; *bytes: of its segments. */
int nf__blkreq_check(const struct nf_disk_geometry *g, const struct nf_blkreq *r, uint64_t *bytes);

/* Size of the disk, which a refresh may change meanwhile. */
uint64_t nf__disk_sectors(const struct nf_disk_geometry *g);

/* Completions that wait to be reaped, for what completes at once. Holds as many as the port has
 * in flight, so it never overflows. */
struct nf__blkready {
	struct nf_blkdone *ring; /* of a power of two */
	uint32_t mask, head, tail;
};

int nf__blkready_init(struct nf__blkready *r, uint32_t depth); /* 0 or -ENOMEM */
void nf__blkready_fini(struct nf__blkready *r);
int nf__blkready_take(struct nf__blkready *r, struct nf_blkdone *done, uint32_t cap);

static inline uint32_t nf__blkready_count(const struct nf__blkready *r)
{
	return r->tail - r->head;
}

static inline void nf__blkready_put(struct nf__blkready *r, uint64_t token, int error)
{
	r->ring[r->tail++ & r->mask] = (struct nf_blkdone){.token = token, .error = error};
}

/* ---- blk_inline.c ---- */
/* Does n requests in order, wrong ones included, and puts what each completes with into done. */
typedef void nf__blkreq_execute(void *ctx, const struct nf_disk_geometry *g,
				const struct nf_blkreq *r, uint32_t n, struct nf__blkready *done);
/* A disk's queue whose requests are done when they are submitted; ctx is the disk's priv. */
int nf__inline_queue(struct nf_disk *d, nf__blkreq_execute *execute, uint32_t depth,
		     struct nf_counters *counters, struct nf_blkport *out);

#endif
