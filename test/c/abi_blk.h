/* SPDX-License-Identifier: MIT */
/* The comparison of abi_blk.c and abi_blk32.c: OURS(x) names our struct of one ABI. */
#ifndef NF_TEST_ABI_BLK_H
#define NF_TEST_ABI_BLK_H

#include "tap.h"

#include "nf/blkif.h"

#define FIELD(ours, f, xens, x)                                                                    \
	do {                                                                                       \
		is(offsetof(struct ours, f), offsetof(struct xens, x), #ours "." #f " is where");  \
		is(sizeof(((struct ours *)0)->f), sizeof(((struct xens *)0)->x),                   \
		   #ours "." #f " is as wide");                                                    \
	} while (0)
#define CONSTANT(ours, xens) is((ours), (xens), #ours " = " #xens)

/* Fields of the four structs, whatever the ABI. */
#define COMPARE(request, discard, indirect, response)                                              \
	do {                                                                                       \
		FIELD(request, operation, blkif_request, operation);                               \
		FIELD(request, nr_segments, blkif_request, nr_segments);                           \
		FIELD(request, handle, blkif_request, handle);                                     \
		FIELD(request, id, blkif_request, id);                                             \
		FIELD(request, sector_number, blkif_request, sector_number);                       \
		FIELD(request, seg, blkif_request, seg);                                           \
		FIELD(discard, flag, blkif_request_discard, flag);                                 \
		FIELD(discard, handle, blkif_request_discard, handle);                             \
		FIELD(discard, id, blkif_request_discard, id);                                     \
		FIELD(discard, sector_number, blkif_request_discard, sector_number);               \
		FIELD(discard, nr_sectors, blkif_request_discard, nr_sectors);                     \
		FIELD(indirect, indirect_op, blkif_request_indirect, indirect_op);                 \
		FIELD(indirect, nr_segments, blkif_request_indirect, nr_segments);                 \
		FIELD(indirect, id, blkif_request_indirect, id);                                   \
		FIELD(indirect, sector_number, blkif_request_indirect, sector_number);             \
		FIELD(indirect, handle, blkif_request_indirect, handle);                           \
		FIELD(indirect, indirect_grefs, blkif_request_indirect, indirect_grefs);           \
		FIELD(response, id, blkif_response, id);                                           \
		FIELD(response, operation, blkif_response, operation);                             \
		FIELD(response, status, blkif_response, status);                                   \
		FIELD(nf_blkif_segment, gref, blkif_request_segment, gref);                        \
		FIELD(nf_blkif_segment, first_sect, blkif_request_segment, first_sect);            \
		FIELD(nf_blkif_segment, last_sect, blkif_request_segment, last_sect);              \
		is(sizeof(struct request), sizeof(struct blkif_request), "a request is as large"); \
		is(sizeof(struct request), sizeof(((struct blkif_sring *)0)->ring[0]),             \
		   "and a slot is one");                                                           \
		is(sizeof(struct discard), sizeof(struct blkif_request_discard),                   \
		   "a discard is as large");                                                       \
		is(sizeof(struct response), sizeof(struct blkif_response),                         \
		   "a response is as large");                                                      \
		is(sizeof(struct nf_blkif_segment), sizeof(struct blkif_request_segment),          \
		   "a segment is as large");                                                       \
	} while (0)

#endif
