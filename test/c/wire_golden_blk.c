/* SPDX-License-Identifier: MIT */
/*
 * wire_golden_vectors for disks: requests and responses of both layouts as the bytes blkif.h puts
 * on the wire (little endian), and back. Needs none of Xen's headers.
 */
#include "blk/blk_internal.h"
#include "tap.h"

static void slot(const char *name, uint8_t abi, const union nf_blk_slot *in, const uint8_t *want,
		 size_t bytes)
{
	_Alignas(8) uint8_t wire[112];
	union nf_blk_slot back;
	memset(wire, 0xa5, sizeof(wire));
	memset(&back, 0, sizeof(back));
	nf__blk_slot_store(abi, wire, in);
	ok(memcmp(wire, want, bytes) == 0, "wire_golden_vectors: %s to bytes", name);
	for (size_t i = bytes; i < sizeof(wire); i++)
		if (wire[i] != 0xa5) {
			ok(false, "wire_golden_vectors: %s writes no more, but byte %zu", name, i);
			break;
		}
	nf__blk_slot_load(abi, wire, &back);
	ok(memcmp(&back, in, sizeof(back)) == 0, "wire_golden_vectors: %s from bytes", name);
}

static void responses(void)
{
	static const uint8_t want[] = {0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
				       0x03, 0x00, 0xfe, 0xff, 0x00, 0x00, 0x00, 0x00};
	for (uint8_t abi = 0; abi < 2; abi++) {
		_Alignas(8) uint8_t wire[16];
		struct nf_blkif_response back;
		size_t bytes = abi == NF_BLK_ABI_X86_32 ? 12 : 16;
		memset(wire, 0xa5, sizeof(wire));
		nf__blk_rsp_store(abi, wire, 0x0102030405060708ull, NF_BLK_FLUSH,
				  NF_BLKIF_RSP_EOPNOTSUPP);
		ok(memcmp(wire, want, bytes) == 0, "wire_golden_vectors: response, ABI %u", abi);
		ok(bytes == 16 || wire[12] == 0xa5, "wire_golden_vectors: no byte more");
		nf__blk_rsp_load(abi, wire, &back);
		ok(back.id == 0x0102030405060708ull && back.operation == NF_BLK_FLUSH &&
			   back.status == -2,
		   "wire_golden_vectors: response from bytes, ABI %u", abi);
	}
}

int main(void)
{
	union nf_blk_slot rw, discard, indirect;
	memset(&rw, 0, sizeof(rw));
	rw.rw.operation = NF_BLK_WRITE;
	rw.rw.nr_segments = 1;
	rw.rw.handle = 0xca00;
	rw.rw.id = 0x1122334455667788ull;
	rw.rw.sector_number = 0x99aabbccddeeff00ull;
	rw.rw.seg[0] = (struct nf_blkif_segment){
		.gref = 0x01020304, .first_sect = 2, .last_sect = 7};
	static const uint8_t rw64[] = {1,    1,	   0x00, 0xca, 0,    0,	   0,	 0,
				       0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
				       0x00, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99,
				       4,    3,	   2,	 1,    2,    7,	   0,	 0};
	static const uint8_t rw32[] = {1,    1,	   0x00, 0xca, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33,
				       0x22, 0x11, 0x00, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99,
				       4,    3,	   2,	 1,    2,    7,	   0,	 0};
	slot("write", NF_BLK_ABI_64, &rw, rw64, sizeof(rw64));
	slot("32-bit write", NF_BLK_ABI_X86_32, &rw, rw32, sizeof(rw32));

	memset(&discard, 0, sizeof(discard));
	discard.discard = (struct nf_blkif_discard){.operation = NF_BLK_DISCARD,
						    .flag = NF_BLKIF_DISCARD_SECURE,
						    .handle = 1,
						    .id = 2,
						    .sector_number = 3,
						    .nr_sectors = 0x0504};
	static const uint8_t d64[] = {5, 1, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
				      3, 0, 0, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0, 0, 0};
	static const uint8_t d32[] = {5, 1, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0,
				      0, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0, 0, 0};
	slot("discard", NF_BLK_ABI_64, &discard, d64, sizeof(d64));
	slot("32-bit discard", NF_BLK_ABI_X86_32, &discard, d32, sizeof(d32));

	memset(&indirect, 0, sizeof(indirect));
	indirect.indirect = (struct nf_blkif_indirect){.operation = NF_BLK_INDIRECT,
						       .indirect_op = NF_BLK_READ,
						       .nr_segments = 0x0201,
						       .id = 3,
						       .sector_number = 4,
						       .handle = 0x0605,
						       .indirect_grefs = {7, 8, 0, 0, 0, 0, 0, 9}};
	static const uint8_t i64[] = {6, 0, 1, 2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0,
				      0, 0, 0, 0, 5, 6, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0,
				      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0};
	static const uint8_t i32[] = {6, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0,
				      0, 5, 6, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0,
				      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0};
	slot("indirect", NF_BLK_ABI_64, &indirect, i64, sizeof(i64));
	slot("32-bit indirect", NF_BLK_ABI_X86_32, &indirect, i32, sizeof(i32));
	responses();
	is(nf__blk_ring_count(NF_BLK_ABI_64, 1), 32, "a page holds 32 slots");
	is(nf__blk_ring_count(NF_BLK_ABI_X86_32, 1), 32, "also of a 32-bit front");
	is(nf__blk_ring_count(NF_BLK_ABI_64, 16), 512, "16 pages hold 512");
	is(nf__blk_ring_count(NF_BLK_ABI_X86_32, 16), 512, "likewise");
	return done();
}
