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

/*
 * How much of what is asked for the disk is given at once. A virtual disk often says that it is
 * done when it has run out of work, with all requests together. If those who ask then take long to
 * come back (front and relay wake up one after the other) it has nothing to do all the while. So
 * one half is held back, and given when the other half is done. A disk that answers piece by piece
 * gets all.
 */
struct nf__filewindow {
	uint32_t limit;	     /* in flight at most */
	uint32_t was;	     /* in flight before all were done at once; 0: they were not */
	uint32_t slow;	     /* times in a row that it took long to ask again */
	uint32_t pieces;     /* times in a row that a half was answered in part */
	uint64_t emptied_ns; /* when they were done */
};

struct nf__fileport {
	struct nf__filedisk *disk;
	struct nf__engine *engine, *ioctls; /* the second for block devices; may be the first */
	struct nf__blkready ready;
	struct nf__fileslot *slots, *free;
	struct nf__filewindow window;
	uint64_t bounce_bytes; /* in all slots */
	uint32_t depth, in_flight, side_in_flight, serial;
	bool is_copied;
};

/* Requests are about to go to an idle disk; all that were in flight are done, or some of them. */
void nf__window_begin(struct nf__filewindow *w);
void nf__window_wanted(struct nf__filewindow *w, uint32_t all); /* in flight and held back */
void nf__window_reaped(struct nf__filewindow *w, uint32_t done, uint32_t left, uint32_t depth);

/* Makes s->io from s->req. False: no bounce memory before others are done. */
bool nf__transfer_begin(struct nf__fileport *q, struct nf__fileslot *s);
/* After s->io. True: s->io was made anew, start it; false: it ended with *error. */
bool nf__transfer_next(struct nf__fileport *q, struct nf__fileslot *s, int *error);

#endif
