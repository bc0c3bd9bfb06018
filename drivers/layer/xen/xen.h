/* SPDX-License-Identifier: MIT */
/*
 * Inside of the xen layer: the kernel's uAPI in /dev/xen, no libxen. One descriptor an arena, a
 * mapping and a channel: closing it is what the kernel undoes reliably, and a descriptor that is
 * passed on exposes that arena and nothing else.
 */
#ifndef NF_LAYER_XEN_H
#define NF_LAYER_XEN_H

#include "nf/layer.h"

#define NF__XEN_COPY_CALL 16u /* Linux' gntdev hands so many copies of an ioctl to Xen at once */
#define NF__XEN_LOST_MAX 64u  /* channels of all devices of a guest at once */

struct nf__xen {
	struct nf_layer base; /* first */
	char dir[64];	      /* "/dev/xen" */
	char sys[72];	      /* "/sys" */
	int copy_fd;	      /* gntdev for grant copies, shared by the pollers */
	bool is_abandoning;   /* channels are put aside, not closed */
	uint32_t lost_count;
	int lost[NF__XEN_LOST_MAX];
	uint32_t pages_held; /* granted and not ended */
};

static inline struct nf__xen *nf__xen_of(struct nf_layer *l)
{
	return (struct nf__xen *)(void *)l;
}

/* Opens dir/name read-write, close-on-exec. -errno; -ENOENT: this kernel or guest has no such
 * thing. */
int nf__xen_device(const struct nf__xen *x, const char *name, int flags);

/* The sysfs that belongs to a folder of devices. */
void nf__xen_sys_root(const char *dir, char *out, size_t cap);

int nf__xen_alloc(struct nf_layer *l, const struct nf_arena_key *key, uint32_t pages,
		  uint32_t flags, uint32_t *grefs, struct nf_arena *out);
int nf__xen_end(struct nf_layer *l, struct nf_arena *arena);
int nf__xen_map(struct nf_layer *l, uint16_t peer, uint32_t *grefs, uint32_t count, bool readonly,
		void **addrs, struct nf_mapping *out);
int nf__xen_unmap(struct nf_layer *l, struct nf_mapping *m);
int nf__xen_copy(struct nf_layer *l, struct nf_grant_copy *ops, uint32_t count);
int nf__xen_alloc_chan(struct nf_layer *l, uint16_t peer, uint16_t device, uint16_t queue,
		       uint8_t purpose, struct nf_chan *out);
int nf__xen_bind_chan(struct nf_layer *l, uint16_t peer, uint32_t port, struct nf_chan *out);
int nf__xen_chan_notify(struct nf_chan *c);
int nf__xen_chan_clear(struct nf_chan *c);
void nf__xen_chan_close(struct nf_chan *c);

#endif
