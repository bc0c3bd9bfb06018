/* SPDX-License-Identifier: MIT */
/*
 * "afxdp:NAME[,queue=N][,zerocopy]": one queue of an interface, past the kernel's network stack. No
 * offloads, frames up to 3,584 bytes, no queueing discipline.
 */
#include "afxdp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ports.h"

#define KIND "afxdp"
#define QUEUES_MAX 1024u
#define RELEASE_TRIES 50
#define RELEASE_US 10000

struct options {
	char name[IFNAMSIZ];
	uint32_t queue;
	bool zerocopy;
};

static int parse(const char *spec, struct options *o, char *err, uint32_t err_cap)
{
	size_t n = strcspn(spec, ",");
	struct options out = {0};

	if (!nf__iface_name_ok(spec, n)) {
		if (err)
			snprintf(err, err_cap,
				 KIND ":%.40s: a name is 1 to 15 of A-Z a-z 0-9 _ . -", spec);
		return -EINVAL;
	}
	memcpy(out.name, spec, n);
	for (spec += n; *spec; spec += n) {
		char *end;
		spec++;
		n = strcspn(spec, ",");
		if (n == 8 && !strncmp(spec, "zerocopy", n)) {
			out.zerocopy = true;
			continue;
		}
		bool good = n > 6 && !strncmp(spec, "queue=", 6) && spec[6] >= '0' &&
			    spec[6] <= '9';
		unsigned long queue = good ? strtoul(spec + 6, &end, 10) : 0;
		if (!good || end != spec + n || queue >= QUEUES_MAX) {
			if (err)
				snprintf(err, err_cap,
					 KIND " option '%.20s': queue=N (0 to %u) or zerocopy",
					 spec, QUEUES_MAX - 1);
			return -EINVAL;
		}
		out.queue = (uint32_t)queue;
	}
	*o = out;
	return 0;
}

int nf__port_probe_afxdp(const char *options)
{
	struct options o;
	int rc = parse(options, &o, NULL, 0);
	return rc < 0 ? rc : (int)NF_PORT_SG;
}

static int bind_queue(struct nf__xdp *x, uint32_t queue, uint16_t mode)
{
	struct sockaddr_xdp to = {.sxdp_family = AF_XDP,
				  .sxdp_flags = (uint16_t)(mode | XDP_USE_NEED_WAKEUP),
				  .sxdp_ifindex = (uint32_t)x->ifindex,
				  .sxdp_queue_id = queue};
	int rc = bind(x->fd, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
	/* the hook is ours already: who holds the queue is a socket closed a moment ago, which the
	 * kernel takes apart later */
	for (int i = 0; rc == -EBUSY && i < RELEASE_TRIES; i++) {
		usleep(RELEASE_US);
		rc = bind(x->fd, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
	}
	return rc;
}

/* Zero copy where it is wished and there; else the reason stands in err, with 0. */
static int bind_best(struct nf__xdp *x, const struct options *o, char *err, uint32_t err_cap)
{
	int refused = 0;
	if (o->zerocopy) {
		refused = bind_queue(x, o->queue, XDP_ZEROCOPY);
		x->is_zerocopy = refused == 0;
		if (refused == 0)
			return 0;
	}
	int rc = bind_queue(x, o->queue, XDP_COPY);
	if (rc == -EINVAL)
		return nf__iface_failed(KIND, o->name, -rc,
					"bind: has it this queue? see ethtool -l", err, err_cap);
	if (rc < 0)
		return nf__iface_failed(KIND, o->name, -rc, "bind", err, err_cap);
	if (refused && err)
		snprintf(err, err_cap, KIND ":%s: copy mode: its driver refuses zero copy here: %s",
			 o->name, strerror(-refused));
	return 0;
}

static int set_up(struct nf__xdp *x, const struct options *o, char *err, uint32_t err_cap)
{
	const char *what = "XDP socket";
	x->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (x->fd < 0)
		return nf__iface_failed(KIND, o->name, errno, what, err, err_cap);
	int rc = nf__iface_open(KIND, o->name, err, err_cap);
	if (rc < 0)
		return rc;
	x->ifindex = rc;
	rc = nf__xdp_mem_open(x, &what);
	if (rc == 0)
		rc = nf__xdp_attach(x, o->queue, &what);
	if (rc < 0)
		return nf__iface_failed(KIND, o->name, -rc, what, err, err_cap);
	rc = bind_best(x, o, err, err_cap);
	if (rc < 0)
		return rc;
	rc = nf__xdp_register(x, o->queue);
	return rc < 0 ? nf__iface_failed(KIND, o->name, -rc, "XDP map", err, err_cap) : 0;
}

static void drop(struct nf__xdp *x)
{
	const int fds[] = {x->link_fd, x->map_fd, x->fd}; /* no frame comes before the rings go */
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	nf__xdp_mem_close(x);
	free(x);
}

static void xdp_close(struct nf_port *p)
{
	if (!p->priv)
		return;
	drop(p->priv);
	p->priv = NULL;
	p->fd = -1;
}

static const struct nf_port_ops xdp_ops = {
	.name = KIND,
	.get = nf__xdp_get,
	.put = nf__xdp_put,
	.close = xdp_close,
};

int nf__port_open_afxdp(const char *options, const struct nf_port_env *env, struct nf_port *out,
			char *err, uint32_t err_cap)
{
	struct options o;
	int rc = parse(options, &o, err, err_cap);
	if (rc < 0)
		return rc;
	if (env->queues > 1) {
		if (err)
			snprintf(err, err_cap,
				 KIND ":%s: a device of one queue only: an interface has one XDP "
				      "program; use afpacket:%s",
				 o.name, o.name);
		return -EINVAL;
	}
	struct nf__xdp *x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->fd = x->link_fd = x->map_fd = -1;
	x->is_back = env->is_back;
	rc = set_up(x, &o, err, err_cap);
	if (rc < 0) {
		drop(x);
		return rc;
	}
	uint32_t mtu = env->mtu ? env->mtu : nf__iface_mtu(o.name);
	*out = (struct nf_port){
		.ops = &xdp_ops,
		.fd = x->fd,
		.features = NF_PORT_SG,
		.frame_bytes_max = mtu + 18 < NF_XDP_FRAME_MAX ? mtu + 18 : NF_XDP_FRAME_MAX,
		.put_waits = 1,
		.counters = env->counters,
		.priv = x,
	};
	return 0;
}
