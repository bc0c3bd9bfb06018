/* SPDX-License-Identifier: MIT */
/* A disk in memory whose requests the test holds back and lets go, one by one or all. */
#ifndef NF_TEST_BLKGATE_H
#define NF_TEST_BLKGATE_H

#include <pthread.h>

#include "nf/blkport.h"

#define BLKGATE_HELD 256u

struct blkgate_held {
	struct nf_blkreq r;
	struct nf_blkport *port;
	int error;
	bool is_used, is_free; /* free: may be done now */
};

struct blkgate {
	struct nf_disk disk; /* first */
	pthread_mutex_t lock;
	uint8_t *bytes;
	uint64_t size;
	bool is_shut; /* writes are held */
	bool is_dead; /* a queue that is closed takes what it held with it, undone */
	struct blkgate_held held[BLKGATE_HELD];
	uint32_t holding;
	uint64_t writes, flushes; /* done */
	uint64_t closes_waited;	  /* a queue was closed while it held something */
};

void blkgate_open(struct blkgate *g, uint64_t bytes);
void blkgate_free(struct blkgate *g);
void blkgate_shut(struct blkgate *g, bool is_shut); /* false: lets all go */
/* Lets go of what is held, which then fails with error (0: is done). */
void blkgate_release(struct blkgate *g, int error);
uint32_t blkgate_holding(struct blkgate *g);
/* The disk, with all that was done to it before: its writers are other threads. */
uint8_t *blkgate_bytes(struct blkgate *g);

#endif
