/* SPDX-License-Identifier: MIT */
/*
 * Wire layouts of Xen's block protocol (io/blkif.h, io/protocols.h of Xen's public headers), stated
 * anew; test/c/abi_blk.c compares both. A ring slot is the union of the three requests and the
 * response; three ABIs differ in where 64-bit fields are aligned:
 *   x86_64-abi, arm-abi  as below: slots of 112 bytes
 *   x86_32-abi           64-bit fields at 4-byte boundaries: slots of 108 bytes
 * All sector numbers count 512 bytes, whatever the disk's sector size, unless the dialect says
 * otherwise (enum nf_blk_units in nf/blk.h).
 */
#ifndef NF_BLKIF_H
#define NF_BLKIF_H

#include <stddef.h>
#include <stdint.h>

/* Operations on the wire, and of struct nf_blk_io. */
enum nf_blk_op {
	NF_BLK_READ = 0,
	NF_BLK_WRITE = 1,
	NF_BLK_BARRIER = 2, /* a write that neither overtakes nor is overtaken by another */
	NF_BLK_FLUSH = 3,
	NF_BLK_DISCARD = 5,
	NF_BLK_INDIRECT = 6, /* on the wire only: a read or write with its segments in pages */
};

#define NF_BLKIF_RSP_OKAY 0
#define NF_BLKIF_RSP_ERROR (-1)
#define NF_BLKIF_RSP_EOPNOTSUPP (-2)

#define NF_BLKIF_DISCARD_SECURE 0x01u

#define NF_BLKIF_SEGMENTS_MAX 11u	     /* in a request itself */
#define NF_BLKIF_INDIRECT_PAGES_MAX 8u	     /* of one request */
#define NF_BLKIF_INDIRECT_PAGE_SEGMENTS 512u /* in one such page */
#define NF_BLKIF_INDIRECT_MAX (NF_BLKIF_INDIRECT_PAGES_MAX * NF_BLKIF_INDIRECT_PAGE_SEGMENTS)

#define NF_VDISK_CDROM 0x1u /* bits of the key "info" */
#define NF_VDISK_REMOVABLE 0x2u
#define NF_VDISK_READONLY 0x4u

#define NF_BLK_SECTOR_BYTES 512u
#define NF_BLK_PAGE_SECTORS 8u /* of 512 bytes in a granted page */

/* One run of sectors in a granted page: first_sect .. last_sect, both included. The same in all
 * ABIs. */
struct nf_blkif_segment {
	uint32_t gref;
	uint8_t first_sect, last_sect;
	uint16_t pad;
};

struct nf_blkif_request {
	uint8_t operation;
	uint8_t nr_segments;
	uint16_t handle;
	uint32_t pad;
	uint64_t id;
	uint64_t sector_number;
	struct nf_blkif_segment seg[NF_BLKIF_SEGMENTS_MAX];
};

struct nf_blkif_discard {
	uint8_t operation;
	uint8_t flag;
	uint16_t handle;
	uint32_t pad;
	uint64_t id;
	uint64_t sector_number;
	uint64_t nr_sectors;
};

struct nf_blkif_indirect {
	uint8_t operation;
	uint8_t indirect_op;
	uint16_t nr_segments;
	uint32_t pad;
	uint64_t id;
	uint64_t sector_number;
	uint16_t handle;
	uint16_t pad2;
	uint32_t indirect_grefs[NF_BLKIF_INDIRECT_PAGES_MAX];
	uint32_t pad3;
};

struct nf_blkif_response {
	uint64_t id;
	uint8_t operation;
	uint8_t pad;
	int16_t status;
	uint32_t pad2;
};

_Static_assert(sizeof(struct nf_blkif_segment) == 8, "segment is 8 B");
_Static_assert(offsetof(struct nf_blkif_segment, first_sect) == 4, "first_sect at 4");
_Static_assert(sizeof(struct nf_blkif_request) == 112, "request is 112 B");
_Static_assert(offsetof(struct nf_blkif_request, id) == 8, "id at 8");
_Static_assert(offsetof(struct nf_blkif_request, sector_number) == 16, "sector at 16");
_Static_assert(offsetof(struct nf_blkif_request, seg) == 24, "segments at 24");
_Static_assert(sizeof(struct nf_blkif_discard) == 32, "discard is 32 B");
_Static_assert(offsetof(struct nf_blkif_discard, nr_sectors) == 24, "nr_sectors at 24");
_Static_assert(sizeof(struct nf_blkif_indirect) == 64, "indirect is 64 B");
_Static_assert(offsetof(struct nf_blkif_indirect, handle) == 24, "handle at 24");
_Static_assert(offsetof(struct nf_blkif_indirect, indirect_grefs) == 28, "grefs at 28");
_Static_assert(sizeof(struct nf_blkif_response) == 16, "response is 16 B");
_Static_assert(offsetof(struct nf_blkif_response, operation) == 8, "operation at 8");
_Static_assert(offsetof(struct nf_blkif_response, status) == 10, "status at 10");

/* The same for a 32-bit x86 front. A struct of 4-byte words aligns alike on every machine. */
struct nf_blkif_x86_32_request {
	uint8_t operation;
	uint8_t nr_segments;
	uint16_t handle;
	uint32_t id[2]; /* low word first */
	uint32_t sector_number[2];
	struct nf_blkif_segment seg[NF_BLKIF_SEGMENTS_MAX];
};

struct nf_blkif_x86_32_discard {
	uint8_t operation;
	uint8_t flag;
	uint16_t handle;
	uint32_t id[2];
	uint32_t sector_number[2];
	uint32_t nr_sectors[2];
};

struct nf_blkif_x86_32_indirect {
	uint8_t operation;
	uint8_t indirect_op;
	uint16_t nr_segments;
	uint32_t id[2];
	uint32_t sector_number[2];
	uint16_t handle;
	uint16_t pad;
	uint32_t indirect_grefs[NF_BLKIF_INDIRECT_PAGES_MAX];
	uint32_t pad2[2];
};

struct nf_blkif_x86_32_response {
	uint32_t id[2];
	uint8_t operation;
	uint8_t pad;
	int16_t status;
};

_Static_assert(sizeof(struct nf_blkif_x86_32_request) == 108, "request is 108 B");
_Static_assert(offsetof(struct nf_blkif_x86_32_request, id) == 4, "id at 4");
_Static_assert(offsetof(struct nf_blkif_x86_32_request, sector_number) == 12, "sector at 12");
_Static_assert(offsetof(struct nf_blkif_x86_32_request, seg) == 20, "segments at 20");
_Static_assert(sizeof(struct nf_blkif_x86_32_discard) == 28, "discard is 28 B");
_Static_assert(offsetof(struct nf_blkif_x86_32_discard, nr_sectors) == 20, "nr_sectors at 20");
_Static_assert(sizeof(struct nf_blkif_x86_32_indirect) == 64, "indirect is 64 B");
_Static_assert(offsetof(struct nf_blkif_x86_32_indirect, handle) == 20, "handle at 20");
_Static_assert(offsetof(struct nf_blkif_x86_32_indirect, indirect_grefs) == 24, "grefs at 24");
_Static_assert(sizeof(struct nf_blkif_x86_32_response) == 12, "response is 12 B");
_Static_assert(offsetof(struct nf_blkif_x86_32_response, status) == 10, "status at 10");

/* Values of the key "protocol". */
enum nf_blk_abi { NF_BLK_ABI_64 = 0, NF_BLK_ABI_X86_32 = 1 };
#define NF_BLK_PROTO_X86_64 "x86_64-abi"
#define NF_BLK_PROTO_X86_32 "x86_32-abi"
#define NF_BLK_PROTO_ARM "arm-abi"

/*
 * What a disk is: a back's port says it, a back offers it, a front shows it to its user. Lengths in
 * sectors of 512 bytes, always.
 */
struct nf_blk_disk {
	uint64_t sectors;	 /* a multiple of sector_bytes / 512, >= 1 */
	uint32_t sector_bytes;	 /* logical: 512 or 4096; every request is a multiple of it */
	uint32_t physical_bytes; /* best unit of writes, a multiple of sector_bytes */
	uint32_t discard_granularity_bytes; /* 0: no discard */
	uint32_t discard_alignment_bytes;   /* where the first such extent starts */
	uint8_t is_readonly;
	uint8_t is_cdrom, is_removable;
	uint8_t flush;	 /* has a cache that a flush makes durable */
	uint8_t barrier; /* takes NF_BLK_BARRIER */
	uint8_t discard;
	uint8_t secure; /* discards can be made to leave nothing behind */
};

#endif
