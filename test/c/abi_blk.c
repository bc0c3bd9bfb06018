/* SPDX-License-Identifier: MIT */
/* nf/blkif.h against Xen's io/blkif.h and io/protocols.h (libxen-dev), the 64-bit ABI. */
#include "abi_blk.h"

#if __has_include(<xen/io/blkif.h>) && __has_include(<xen/io/protocols.h>)
#include <xen/io/blkif.h>
#include <xen/io/protocols.h>

int main(void)
{
	COMPARE(nf_blkif_request, nf_blkif_discard, nf_blkif_indirect, nf_blkif_response);
	is(sizeof(struct nf_blkif_indirect), sizeof(struct blkif_request_indirect),
	   "an indirect request is as large");
	CONSTANT(NF_BLK_READ, BLKIF_OP_READ);
	CONSTANT(NF_BLK_WRITE, BLKIF_OP_WRITE);
	CONSTANT(NF_BLK_BARRIER, BLKIF_OP_WRITE_BARRIER);
	CONSTANT(NF_BLK_FLUSH, BLKIF_OP_FLUSH_DISKCACHE);
	CONSTANT(NF_BLK_DISCARD, BLKIF_OP_DISCARD);
	CONSTANT(NF_BLK_INDIRECT, BLKIF_OP_INDIRECT);
	CONSTANT(NF_BLKIF_DISCARD_SECURE, BLKIF_DISCARD_SECURE);
	CONSTANT(NF_BLKIF_RSP_OKAY, BLKIF_RSP_OKAY);
	CONSTANT(NF_BLKIF_RSP_ERROR, BLKIF_RSP_ERROR);
	CONSTANT(NF_BLKIF_RSP_EOPNOTSUPP, BLKIF_RSP_EOPNOTSUPP);
	CONSTANT(NF_BLKIF_SEGMENTS_MAX, BLKIF_MAX_SEGMENTS_PER_REQUEST);
	CONSTANT(NF_BLKIF_INDIRECT_PAGES_MAX, BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST);
	CONSTANT(NF_VDISK_CDROM, VDISK_CDROM);
	CONSTANT(NF_VDISK_REMOVABLE, VDISK_REMOVABLE);
	CONSTANT(NF_VDISK_READONLY, VDISK_READONLY);
	CONSTANT(NF_BLKIF_INDIRECT_PAGE_SEGMENTS, 4096 / sizeof(struct blkif_request_segment));
	is_str(NF_BLK_PROTO_X86_64, XEN_IO_PROTO_ABI_X86_64, "x86_64's name");
	is_str(NF_BLK_PROTO_X86_32, XEN_IO_PROTO_ABI_X86_32, "x86_32's name");
	is_str(NF_BLK_PROTO_ARM, XEN_IO_PROTO_ABI_ARM, "arm's name");
	return done();
}
#else
int main(void)
{
	skip_all("no xen/io/blkif.h: apt install libxen-dev");
}
#endif
