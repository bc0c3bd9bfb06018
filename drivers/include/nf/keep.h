/* SPDX-License-Identifier: MIT */
/*
 * Frames between an embedded hypervisor and its keeper, on one SOCK_SEQPACKET: all of one size,
 * little endian, at most one descriptor beside each. lib/hypervisor/keeper.ts mirrors this file.
 */
#ifndef NF_KEEP_H
#define NF_KEEP_H

#include <stdint.h>

#define NF_KEEP_MAGIC 0x4b45464eu /* "NFEK" */

enum nf_keep_op {
	/* Keep the descriptor under id, in place of one that is there. value > 0: it is a memfd of
	 * at least that many bytes which is mapped now, for NF_KEEP_STORE: a seal may forbid it
	 * later. No answer. */
	NF_KEEP_PUT = 1,
	/* Close it, if it is there. No answer. */
	NF_KEEP_DROP = 2,
	/* Write the low 32 bits of value at offset (a multiple of 4) of the mapping. No answer. */
	NF_KEEP_STORE = 3,
	/* Everything before is done: answered with the same frame. */
	NF_KEEP_SYNC = 4,
	/* Answered with a NF_KEEP_HAVE for each descriptor, then NF_KEEP_END; value is echoed. */
	NF_KEEP_FETCH = 5,
	NF_KEEP_HAVE = 6,
	NF_KEEP_END = 7,
};

struct nf_keep_frame {
	uint32_t magic;
	uint32_t op;
	uint64_t id;
	uint64_t offset;
	uint64_t value;
};

_Static_assert(sizeof(struct nf_keep_frame) == 32, "a frame is 32 B");

#endif
