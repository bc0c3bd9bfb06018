/* SPDX-License-Identifier: MIT */
/* The file disk's parts: what is stored (blk_probe.c), the disk (blk_file.c), its queues
 * (blk_fileport.c). */
#ifndef NF_PORT_BLK_FILE_H
#define NF_PORT_BLK_FILE_H

#include "blk_io.h"
#include "disks.h"

#define NF__FILE_REGIONS 8u /* lent memory */

struct nf__filedisk {
	int fd;		    /* through the page cache */
	int direct_fd;	    /* O_DIRECT, -1: not used */
	bool is_block;	    /* a block device */
	bool is_copied;	    /* direct I/O only from and to memory of our own */
	uint32_t mem_align; /* direct: address of memory */
	uint32_t len_align; /* direct: offset, and length of each piece */
	enum nf__disk_engine engine;
	struct iovec regions[NF__FILE_REGIONS];
	uint32_t region_count, region_serial;
};

/* What the descriptor says of itself. */
struct nf__probe {
	bool is_block, is_regular;
	uint64_t bytes;
	uint32_t logical_bytes, physical_bytes;
	uint32_t mem_align, len_align; /* of direct I/O, 0: none, or not known */
	uint32_t discard_bytes, discard_align;
	bool can_discard_securely;
};

/* 0 or -errno. Discards are tried on nothing, so fd must be writable for them to be found. */
int nf__file_probe(int fd, struct nf__probe *out);
/* Size alone. */
int nf__file_bytes(int fd, uint64_t *bytes);
/* Alignment found by reading; 0, or -EINVAL: fd cannot do direct I/O. */
int nf__file_probe_direct(int fd, struct nf__probe *p);

int nf__fileport_open(struct nf_disk *d, uint32_t depth, struct nf_counters *counters,
		      struct nf_blkport *out);

#endif
