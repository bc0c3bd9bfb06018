/* SPDX-License-Identifier: MIT */
/*
 * nf-diskcheck: what was written to a disk is what is read from it. Every 4 KiB block carries its
 * number, the version of what was written and the seed, and is filled from these, so that a wrong
 * one tells whether it is old, another's or nobody's. Past the page cache (O_DIRECT).
 */
#ifndef NF_DAEMON_DISKCHECK_H
#define NF_DAEMON_DISKCHECK_H

#include <stdbool.h>
#include <stdint.h>

#define DC_BLOCK_BYTES 4096u
#define DC_RUN_BLOCKS 64u /* longest request */
#define DC_THREADS 4u

enum dc_test { DC_WRITE, DC_VERIFY, DC_DISCARD, DC_CHURN };

struct dc_options {
	enum dc_test test;
	const char *path;
	uint64_t seed;
	uint64_t from, bytes; /* multiples of DC_BLOCK_BYTES; bytes 0: to the end */
	double seconds;	      /* churn */
	bool discard;	      /* churn: some, too */
};

struct dc_result {
	uint64_t bytes; /* read and compared; written for write, given back for discard */
	uint64_t wrong; /* blocks */
	uint64_t writes, reads, flushes, discards;
	int error; /* negative errno of the first request that failed */
};

void dc_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* pattern.c: one block. check: true when it is right, else one line tells what is there. */
void dc_fill(uint8_t *block, uint64_t number, uint64_t version, uint64_t seed);
bool dc_check(const uint8_t *block, uint64_t number, uint64_t version, uint64_t seed);
uint64_t dc_next(uint64_t *state); /* splitmix64 */
/* requests.c: whole requests; 0 or negative errno. */
int dc_write(int fd, const void *buf, uint64_t bytes, uint64_t at);
int dc_read(int fd, void *buf, uint64_t bytes, uint64_t at);
int dc_discard(int fd, uint64_t bytes, uint64_t at);
/* one pass over the region, of version 1 */
void dc_pass(int fd, const struct dc_options *o, struct dc_result *r);
/* churn.c */
void dc_churn(int fd, const struct dc_options *o, struct dc_result *r);

#endif
