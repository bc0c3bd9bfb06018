/* SPDX-License-Identifier: MIT */
/* Event channels through /dev/xen/evtchn: one open file a channel, so that its fd is the channel's.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "uapi.h"

#include "xen.h"

static int chan_open(struct nf_layer *l, unsigned long request, void *arg, struct nf_chan *out)
{
	int fd = nf__xen_device(nf__xen_of(l), "evtchn", O_NONBLOCK);
	if (fd < 0)
		return fd;
	int port = ioctl(fd, request, arg);
	if (port < 0) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	*out = (struct nf_chan){.layer = l, .fd = fd, .port = (uint32_t)port};
	return 0;
}

int nf__xen_alloc_chan(struct nf_layer *l, uint16_t peer, uint16_t device, uint16_t queue,
		       uint8_t purpose, struct nf_chan *out)
{
	struct ioctl_evtchn_bind_unbound_port q = {.remote_domain = peer};
	(void)device, (void)queue, (void)purpose;
	return chan_open(l, IOCTL_EVTCHN_BIND_UNBOUND_PORT, &q, out);
}

int nf__xen_bind_chan(struct nf_layer *l, uint16_t peer, uint32_t port, struct nf_chan *out)
{
	struct ioctl_evtchn_bind_interdomain q = {.remote_domain = peer, .remote_port = port};
	return chan_open(l, IOCTL_EVTCHN_BIND_INTERDOMAIN, &q, out);
}

int nf__xen_chan_notify(struct nf_chan *c)
{
	struct ioctl_evtchn_notify q = {.port = c->port};
	/* a peer that is gone is seen in the store, not here: Xen says yes to a half-open port */
	return ioctl(c->fd, IOCTL_EVTCHN_NOTIFY, &q) < 0 ? -ENODEV : 0;
}

int nf__xen_chan_clear(struct nf_chan *c)
{
	uint32_t port;
	ssize_t n = read(c->fd, &port, sizeof(port));
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -ENODEV;
	if (n != (ssize_t)sizeof(port))
		return -ENODEV;
	/* the kernel masked the port when it delivered it; written back = unmasked */
	if (write(c->fd, &port, sizeof(port)) != (ssize_t)sizeof(port))
		return -ENODEV;
	return 1;
}

void nf__xen_chan_close(struct nf_chan *c)
{
	struct nf__xen *x = nf__xen_of(c->layer);
	if (c->fd < 0)
		return;
	if (!x->is_abandoning)
		close(c->fd);
	else if (x->lost_count < NF__XEN_LOST_MAX)
		x->lost[x->lost_count++] = c->fd;
	/* more than there is room for: leaked, which does no harm */
	c->fd = -1;
}
