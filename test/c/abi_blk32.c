/* SPDX-License-Identifier: MIT */
/*
 * nf/blkif.h's x86_32 layouts against Xen's io/blkif.h compiled with i386's alignment: 64-bit
 * fields at 4-byte boundaries. i386's padding of the indirect request is behind an #ifdef there; it
 * is the last thing in a slot, so no offset depends on it.
 */
#include "abi_blk.h"

#if __has_include(<xen/io/blkif.h>)
#include <xen/grant_table.h>
#include <xen/io/ring.h>
#pragma pack(push, 4)
#include <xen/io/blkif.h>
#pragma pack(pop)

int main(void)
{
	COMPARE(nf_blkif_x86_32_request, nf_blkif_x86_32_discard, nf_blkif_x86_32_indirect,
		nf_blkif_x86_32_response);
	is(sizeof(struct nf_blkif_x86_32_indirect), sizeof(struct blkif_request_indirect) + 8,
	   "an indirect request is as large as with i386's padding");
	return done();
}
#else
int main(void)
{
	skip_all("no xen/io/blkif.h: apt install libxen-dev");
}
#endif
