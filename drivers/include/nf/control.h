/* SPDX-License-Identifier: MIT */
/*
 * The control page of one domain: written by the toolstack, read-only for the domain. Benchmarks
 * use it to start, stop and reshape generators without a message, and to park whole processes.
 */
#ifndef NF_CONTROL_H
#define NF_CONTROL_H

#include <stdint.h>

#define NF_CONTROL_MAGIC 0x4e464354u /* "NFCT" */
#define NF_CONTROL_DEVICES 63u	     /* entry of devid d: dev[d % 63] */

enum nf_gen_mode {
	NF_GEN_IDLE = 0,
	NF_GEN_SEND = 1, /* generate back to back */
	NF_GEN_ECHO = 2, /* return each frame to its sender */
	NF_GEN_PING = 3, /* one frame at a time, timing its return */
	/* generator of a blkfront; frame_bytes is the block size, batch the queue depth */
	NF_GEN_SEQ_READ = 8,
	NF_GEN_SEQ_WRITE = 9,
	NF_GEN_RAND_READ = 10,
	NF_GEN_RAND_WRITE = 11,
};

struct nf_control_dev {
	uint32_t mode;	       /* enum nf_gen_mode */
	uint32_t frame_bytes;  /* 60 .. 65535; blocks: multiple of 512, .. 1 MiB; 0 = 4096 */
	uint32_t batch;	       /* frames a call, 1 .. 256; 0 = the port's own; blocks: 32 */
	uint32_t verify_every; /* the sink checks every byte of one frame in this many; 0 = 1024 */
	uint32_t limit;	       /* stop after so many frames, 0 = none */
	uint32_t epoch;	       /* changes: the limit starts again */
	uint8_t pad[40];
};

struct nf_control_page {
	uint32_t magic;
	uint32_t park; /* not 0: pollers of the domain sleep (futex on this word) */
	uint32_t bell; /* counts changes; pollers that sleep hear of them by a futex on this word */
	uint8_t pad[52];
	struct nf_control_dev dev[NF_CONTROL_DEVICES];
};

/* Who wrote to the page says so: after the last store, and after setting `park` too. */
void nf_control_ring(struct nf_control_page *page);

_Static_assert(sizeof(struct nf_control_dev) == 64, "one line a device");
_Static_assert(sizeof(struct nf_control_page) == 4096, "one page");

#endif
