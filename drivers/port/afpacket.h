/* SPDX-License-Identifier: MIT */
/* The AF_PACKET port's parts: options and socket, its receive ring, its transmit batches. */
#ifndef NF_PORT_AFPACKET_H
#define NF_PORT_AFPACKET_H

#include <linux/if_packet.h>
#include <sys/socket.h>

#include "iface.h"
#include "segment.h"
#include "vnet.h"
#include "vnet_iov.h"

#define NF_AFP_BLOCK_BYTES (256u << 10) /* more than the largest frame and its headers */
#define NF_AFP_BLOCKS 16u
#define NF_AFP_SEND 32u	     /* frames of one sendmmsg */
#define NF_AFP_VNET_BYTES 10 /* PACKET_VNET_HDR's */

struct nf__afp {
	int fd;
	int ifindex;
	uint32_t allowed; /* enum nf_port_features get may hand out */
	bool is_back;
	uint32_t quiet; /* empty gets since the last frame */

	/* TPACKET_V3: blocks of frames; a block is the kernel's again after its last frame */
	uint8_t *ring;
	size_t ring_bytes;
	uint32_t block;	    /* being read */
	uint32_t left;	    /* frames of it not handed out yet */
	uint32_t at;	    /* offset of the next one in the block */
	bool is_open;	    /* the block is ours */
	struct nf__cut cut; /* a large frame being handed out in segments */

	struct nf__vnet_out out[NF_AFP_SEND];
	struct mmsghdr msgs[NF_AFP_SEND];
};

int nf__afp_ring_open(struct nf__afp *a);
void nf__afp_ring_close(struct nf__afp *a);
int nf__afp_get(struct nf_port *p, struct nf_buf *bufs, uint32_t nbufs, struct nf_frame *frames,
		uint32_t nframes);
int nf__afp_put(struct nf_port *p, const struct nf_buf *bufs, const struct nf_frame *frames,
		uint32_t nframes);
/* 0 as long as the interface is there; -ENODEV. Counts what the kernel dropped meanwhile. */
int nf__afp_check(struct nf_port *p);

#endif
