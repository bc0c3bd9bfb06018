/* SPDX-License-Identifier: MIT */
/* The AF_XDP port's parts: the redirecting program, the socket's memory and rings, the data. */
#ifndef NF_PORT_AFXDP_H
#define NF_PORT_AFXDP_H

#include <linux/if_xdp.h>

#include "iface.h"

#define NF_XDP_CHUNK 4096u
#define NF_XDP_CHUNKS 2048u		       /* half for each direction */
#define NF_XDP_RING 1024u		       /* descriptors of each ring */
#define NF_XDP_FRAME_MAX (NF_XDP_CHUNK - 512u) /* the kernel keeps headroom and tailroom */

/* One of the four rings. */
struct nf__xdp_ring {
	uint32_t *shared_prod, *shared_cons, *shared_flags;
	void *descs;
	void *map;
	size_t map_bytes;
	uint32_t next; /* our own index: producer or consumer */
};

struct nf__xdp {
	int fd, link_fd, map_fd;
	int ifindex;
	bool is_back;
	bool is_zerocopy;
	uint32_t quiet;
	uint8_t *chunks; /* NF_XDP_CHUNKS, shared with the kernel */
	struct nf__xdp_ring fill, done, rx, tx;
	uint32_t free[NF_XDP_RING]; /* chunks to send from */
	uint32_t free_count;
};

/* ---- afxdp_prog.c: a program that hands what a queue receives to its socket, the rest on ---- */
/* Loads and attaches it; x->link_fd holds it there. *what: which step failed. */
int nf__xdp_attach(struct nf__xdp *x, uint32_t queue, const char **what);
int nf__xdp_register(struct nf__xdp *x, uint32_t queue);

/* ---- afxdp_mem.c ---- */
int nf__xdp_mem_open(struct nf__xdp *x, const char **what);
void nf__xdp_mem_close(struct nf__xdp *x);

/* ---- afxdp_io.c ---- */
int nf__xdp_get(struct nf_port *p, struct nf_buf *bufs, uint32_t nbufs, struct nf_frame *frames,
		uint32_t nframes);
int nf__xdp_put(struct nf_port *p, const struct nf_buf *bufs, const struct nf_frame *frames,
		uint32_t nframes);

#endif
