/* SPDX-License-Identifier: MIT */
/* One queue of the file disk: blk_fileport.c takes requests and hands completions out,
 * blk_transfer.c knows what a request becomes. */
#ifndef NF_PORT_BLK_FILEPORT_H
#define NF_PORT_BLK_FILEPORT_H

#include "blk_file.h"

struct nf__fileslot {
	struct nf__io io; /* first: completions are ios */
	struct nf_blkreq req;
	uint64_t bytes, moved;
	struct iovec one; /* a linear piece: bounce, merged segments, or the rest of one */
	uint8_t *bounce;
	uint64_t bounce_bytes;
	struct nf__fileslot *next_free;
	uint16_t tries;
	bool is_bounced, is_direct, is_refused; /* refused: direct I/O did not take it */
};

struct nf__fileport {
	struct nf__filedisk *disk;
	struct nf__engine *engine, *ioctls; /* the second for block devices; may be the first */
	struct nf__blkready ready;
	struct nf__fileslot *slots, *free;
	uint64_t bounce_bytes; /* in all slots */
	uint32_t depth, in_flight, side_in_flight, serial;
	bool is_copied;
};

/* Makes s->io from s->req. False: no bounce memory before others are done. */
bool nf__transfer_begin(struct nf__fileport *q, struct nf__fileslot *s);
/* After s->io. True: s->io was made anew, start it; false: it ended with *error. */
bool nf__transfer_next(struct nf__fileport *q, struct nf__fileslot *s, int *error);

#endif
