/* SPDX-License-Identifier: MIT */
/* Channels that do not tell of the other end's death, as Xen's do not. */
#include "silent.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define PORTS 256u
#define FDS 4096

static int ends[PORTS][2]; /* by port: the owner's event, the binder's */
static uint32_t ports = 1;
static int other_of[FDS];

static int chan_make(struct nf_layer *l, uint32_t port, int side, struct nf_chan *out)
{
	int fd = dup(ends[port][side]);
	if (fd < 0 || fd >= FDS)
		return -EMFILE;
	other_of[fd] = ends[port][!side];
	*out = (struct nf_chan){.layer = l, .fd = fd, .port = port};
	return 0;
}

static int silent_alloc(struct nf_layer *l, uint16_t peer, uint16_t device, uint16_t queue,
			uint8_t purpose, struct nf_chan *out)
{
	(void)peer, (void)device, (void)queue, (void)purpose;
	if (ports == PORTS)
		return -ENOSPC;
	for (int i = 0; i < 2; i++)
		ends[ports][i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return chan_make(l, ports++, 0, out);
}

static int silent_bind(struct nf_layer *l, uint16_t peer, uint32_t port, struct nf_chan *out)
{
	(void)peer;
	return port == 0 || port >= ports ? -EINVAL : chan_make(l, port, 1, out);
}

static int silent_notify(struct nf_chan *c)
{
	const uint64_t one = 1;
	return write(other_of[c->fd], &one, sizeof(one)) < 0 ? -EIO : 0;
}

static int silent_clear(struct nf_chan *c)
{
	uint64_t n;
	return read(c->fd, &n, sizeof(n)) == (ssize_t)sizeof(n) ? (int)n : 0;
}

static void silent_close(struct nf_chan *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

void silence(struct rig_domain *d)
{
	static struct nf_layer_ops ops;
	ops = *d->layer->ops;
	ops.alloc_chan = silent_alloc;
	ops.bind_chan = silent_bind;
	ops.chan_notify = silent_notify;
	ops.chan_clear = silent_clear;
	ops.chan_close = silent_close;
	d->layer->ops = &ops;
}
