/* SPDX-License-Identifier: MIT */
/* Event channels of the in-process layer: SOCK_SEQPACKET pairs, never blocking. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mem.h"

static int port_new(struct mem_domain *dom)
{
	for (uint32_t i = 1; i < MEM_PORTS; i++) {
		if (!dom->ports[i].is_used)
			return (int)i;
	}
	return -ENOSPC;
}

static int alloc_locked(struct mem_layer *m, const struct nf_arena_key *key, struct nf_chan *out)
{
	struct mem_domain *dom = mem__domain(m);
	int port = port_new(dom);
	if (port < 0)
		return port;
	int pair[2] = {-1, -1};
	struct mem_donation *d = mem__donation_take(dom, key, true);
	if (d) {
		pair[0] = fcntl(d->fd, F_DUPFD_CLOEXEC, 3);
		mem__donation_free(d);
	} else if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) <
		   0) {
		return -ENOMEM;
	}
	if (pair[0] < 0)
		return -ENOMEM;
	dom->ports[port] = (struct mem_port){
		.is_used = true, .peer = key->peer, .unbound = pair[1], .ours = pair[0]};
	*out = (struct nf_chan){.layer = &m->l, .fd = pair[0], .port = (uint32_t)port};
	return 0;
}

int mem__alloc_chan(struct nf_layer *l, uint16_t peer, uint16_t device, uint16_t queue,
		    uint8_t purpose, struct nf_chan *out)
{
	struct mem_layer *m = (struct mem_layer *)l;
	struct nf_arena_key key = {
		.peer = peer, .device = device, .queue = queue, .purpose = purpose};
	pthread_mutex_lock(&m->w->lock);
	int err = mem__enter(m, MEM_ALLOC_CHAN);
	if (!err)
		err = alloc_locked(m, &key, out);
	pthread_mutex_unlock(&m->w->lock);
	return err;
}

static int bind_locked(struct mem_layer *m, uint16_t peer, uint32_t port, struct nf_chan *out)
{
	if (peer >= MEM_DOMAINS || !m->w->domains[peer].ports || port >= MEM_PORTS)
		return -EACCES;
	struct mem_port *theirs = &m->w->domains[peer].ports[port];
	if (!theirs->is_used || theirs->peer != m->l.domid || theirs->unbound < 0)
		return -EACCES;
	struct mem_domain *dom = mem__domain(m);
	int ours = port_new(dom);
	if (ours < 0)
		return ours;
	dom->ports[ours] = (struct mem_port){
		.is_used = true, .peer = peer, .unbound = -1, .ours = theirs->unbound};
	*out = (struct nf_chan){.layer = &m->l, .fd = theirs->unbound, .port = (uint32_t)ours};
	theirs->unbound = -1;
	return 0;
}

int mem__bind_chan(struct nf_layer *l, uint16_t peer, uint32_t port, struct nf_chan *out)
{
	struct mem_layer *m = (struct mem_layer *)l;
	pthread_mutex_lock(&m->w->lock);
	int err = mem__enter(m, MEM_BIND_CHAN);
	if (!err)
		err = bind_locked(m, peer, port, out);
	pthread_mutex_unlock(&m->w->lock);
	return err;
}

int mem__donate_chan(struct nf_layer *l, uint16_t inner, uint16_t device, uint16_t queue,
		     uint8_t purpose, const struct nf_chan *chan)
{
	struct mem_layer *m = (struct mem_layer *)l;
	struct nf_arena_key key = {
		.peer = l->domid, .device = device, .queue = queue, .purpose = purpose};
	pthread_mutex_lock(&m->w->lock);
	int err = mem__enter(m, MEM_DONATE_CHAN);
	if (!err && !mem__domain(m)->is_privileged)
		err = -EACCES;
	if (!err && (inner >= MEM_DOMAINS || !m->w->domains[inner].ports))
		err = -ENOENT;
	struct mem_donation *d = err ? NULL : calloc(1, sizeof(*d));
	int fd = d ? fcntl(chan->fd, F_DUPFD_CLOEXEC, 3) : -1;
	if (!err && fd < 0) {
		free(d);
		err = -ENOMEM;
	}
	if (!err) {
		struct mem_domain *dom = &m->w->domains[inner];
		struct mem_donation *old = mem__donation_take(dom, &key, true);
		if (old)
			mem__donation_free(old);
		*d = (struct mem_donation){.next = dom->donations,
					   .donor = l->domid,
					   .device = device,
					   .queue = queue,
					   .purpose = purpose,
					   .is_chan = true,
					   .fd = fd};
		dom->donations = d;
	}
	pthread_mutex_unlock(&m->w->lock);
	return err;
}

int mem__chan_notify(struct nf_chan *c)
{
	struct mem_layer *m = (struct mem_layer *)c->layer;
	if (c->fd < 0)
		return -ENODEV;
	pthread_mutex_lock(&m->w->lock);
	int err = mem__enter(m, MEM_NOTIFY);
	pthread_mutex_unlock(&m->w->lock);
	if (err && err != -ECONNRESET) /* channels outlive the hypervisor */
		return err;
	if (send(c->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 || errno == EAGAIN)
		return 0;
	return -ENODEV;
}

int mem__chan_clear(struct nf_chan *c)
{
	if (c->fd < 0)
		return -ENODEV;
	for (int n = 0; n < 4096; n++) { /* a peer that never stops must not keep us here */
		char byte;
		ssize_t got = recv(c->fd, &byte, 1, MSG_DONTWAIT);
		if (got < 0 && errno == EAGAIN)
			return n;
		if (got <= 0)
			return -ENODEV;
	}
	return 4096;
}

void mem__chan_close(struct nf_chan *c)
{
	struct mem_layer *m = (struct mem_layer *)c->layer;
	if (c->fd < 0)
		return;
	pthread_mutex_lock(&m->w->lock);
	struct mem_domain *dom = mem__domain(m);
	if (dom->ports && m->generation == dom->generation && c->port < MEM_PORTS &&
	    dom->ports[c->port].ours == c->fd) {
		if (dom->ports[c->port].unbound >= 0)
			close(dom->ports[c->port].unbound);
		dom->ports[c->port] = (struct mem_port){.unbound = -1, .ours = -1};
	}
	pthread_mutex_unlock(&m->w->lock);
	close(c->fd);
	c->fd = -1;
}
