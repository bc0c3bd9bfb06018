/* SPDX-License-Identifier: MIT */
/* Opening the xen layer: real Xen through the kernel's devices. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nf/store.h"
#include "nf/xen.h"
#include "xen.h"

int nf__xen_device(const struct nf__xen *x, const char *name, int flags)
{
	char path[sizeof(x->dir) + 16];
	snprintf(path, sizeof(path), "%s/%s", x->dir, name);
	int fd = open(path, O_RDWR | O_CLOEXEC | flags);
	return fd < 0 ? -errno : fd;
}

static int no_donate(struct nf_layer *l, uint16_t inner, const struct nf_arena *arena, bool equal)
{
	(void)l, (void)inner, (void)arena, (void)equal;
	return -ENOSYS; /* only an inner layer of our own takes pages from outside */
}

static int no_donate_chan(struct nf_layer *l, uint16_t inner, uint16_t device, uint16_t queue,
			  uint8_t purpose, const struct nf_chan *chan)
{
	(void)l, (void)inner, (void)device, (void)queue, (void)purpose, (void)chan;
	return -ENOSYS;
}

static int store_fd(struct nf_layer *l)
{
	return nf__xen_device(nf__xen_of(l), "xenbus", O_NONBLOCK);
}

static void close_layer(struct nf_layer *l)
{
	struct nf__xen *x = nf__xen_of(l);
	if (x->copy_fd >= 0)
		close(x->copy_fd);
	free(x);
}

static const struct nf_layer_ops xen_ops = {
	.kind = "xen",
	.alloc = nf__xen_alloc,
	.end = nf__xen_end,
	.donate = no_donate,
	.donate_chan = no_donate_chan,
	.map = nf__xen_map,
	.unmap = nf__xen_unmap,
	.copy = nf__xen_copy,
	.alloc_chan = nf__xen_alloc_chan,
	.bind_chan = nf__xen_bind_chan,
	.chan_notify = nf__xen_chan_notify,
	.chan_clear = nf__xen_chan_clear,
	.chan_close = nf__xen_chan_close,
	.store_fd = store_fd,
	.close = close_layer,
};

/* Our own domid is a node of the store, nothing in /dev/xen tells it. */
static int own_domid(struct nf_layer *l, uint16_t *out)
{
	struct nf_store *store;
	uint32_t domid;
	int fd = store_fd(l);
	if (fd < 0)
		return fd;
	int rc = nf_store_open(fd, &store);
	if (rc < 0)
		return rc;
	rc = nf_store_read_u32(store, 0, "domid", 0, NF_DOMID_SELF - 1, &domid);
	nf_store_close(store);
	if (rc < 0)
		return rc;
	*out = (uint16_t)domid;
	return 0;
}

int nf_xen_refresh(struct nf_layer *l)
{
	uint16_t domid;
	int rc = own_domid(l, &domid);
	if (rc < 0 || domid == l->domid)
		return rc;
	l->domid = domid;
	return 1;
}

int nf_xen_probe_grants(struct nf_layer *l)
{
	int fd = nf__xen_device(nf__xen_of(l), "gntalloc", 0);
	if (fd < 0)
		return fd;
	l->caps |= NF_CAP_GRANT;
	close(fd);
	return 0;
}

/* Without event channels nothing works; without gntalloc there are no fronts. */
static int probe(struct nf__xen *x)
{
	int fd = nf__xen_device(x, "evtchn", O_NONBLOCK);
	if (fd < 0)
		return fd;
	close(fd);
	int rc = nf_xen_probe_grants(&x->base);
	return rc == -ENOENT ? 0 : rc;
}

int nf_layer_open_xen(const char *dir, struct nf_layer **out)
{
	struct nf__xen *x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->base = (struct nf_layer){.ops = &xen_ops,
				    .caps = NF_CAP_READONLY | NF_CAP_BACKING,
				    .counters_fd = -1,
				    .control_fd = -1,
				    .copies_per_call = NF__XEN_COPY_CALL};
	int len = snprintf(x->dir, sizeof(x->dir), "%s", dir ? dir : "/dev/xen");
	x->copy_fd = -1;
	nf__xen_sys_root(x->dir, x->sys, sizeof(x->sys));
	int rc = len < 0 || (size_t)len >= sizeof(x->dir) ? -EINVAL
							  : own_domid(&x->base, &x->base.domid);
	if (rc == 0)
		rc = probe(x);
	if (rc == 0) {
		x->copy_fd = nf__xen_device(x, "gntdev", 0);
		if (x->copy_fd >= 0)
			x->base.caps |= NF_CAP_MAP | NF_CAP_COPY;
		else if (x->copy_fd != -ENOENT)
			rc = x->copy_fd;
	}
	if (rc < 0) {
		close_layer(&x->base);
		return rc;
	}
	*out = &x->base;
	return 0;
}
