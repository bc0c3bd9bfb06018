/* SPDX-License-Identifier: MIT */
/* "tap:NAME[,csum=off][,gso=off][,mq]": a TAP of the network namespace we are in. */
#include "tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "nf/netif.h"
#include "ports.h"
#include "vnet.h"

#define TUN_DEVICE "/dev/net/tun"
#define VNET_HDR_BYTES 10 /* the plain header; a TAP that insists on another size is obeyed */

static bool valid_name(const char *s, size_t n)
{
	if (n == 0 || n >= IFNAMSIZ)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-",
			    s[i]))
			return false;
	return s[0] != '.' && s[0] != '-';
}

int nf__tap_parse(const char *spec, struct tap_options *o, char *err, uint32_t err_cap)
{
	size_t n = strcspn(spec, ",");
	struct tap_options out = {
		.features = NF_PORT_CSUM | NF_PORT_GSO4 | NF_PORT_GSO6 | NF_PORT_SG,
	};

	if (!valid_name(spec, n)) {
		if (err)
			snprintf(err, err_cap, "tap:%.40s: a name is 1 to 15 of A-Z a-z 0-9 _ . -",
				 spec);
		return -EINVAL;
	}
	memcpy(out.name, spec, n);
	for (spec += n; *spec; spec += n) {
		spec++;
		n = strcspn(spec, ",");
		if (n == 8 && !strncmp(spec, "csum=off", n)) {
			/* a GSO frame's segments need their checksums made */
			out.features &= ~(uint32_t)(NF_PORT_CSUM | NF_PORT_GSO4 | NF_PORT_GSO6);
		} else if (n == 7 && !strncmp(spec, "gso=off", n)) {
			out.features &= ~(uint32_t)(NF_PORT_GSO4 | NF_PORT_GSO6);
		} else if (n == 2 && !strncmp(spec, "mq", n)) {
			out.mq = true;
		} else if ((n != 7 || strncmp(spec, "csum=on", n)) &&
			   (n != 6 || strncmp(spec, "gso=on", n))) {
			if (err)
				snprintf(err, err_cap,
					 "tap option '%.20s': csum=off, gso=off or mq", spec);
			return -EINVAL;
		}
	}
	*o = out;
	return 0;
}

int nf__port_probe_tap(const char *options)
{
	struct tap_options o;
	int rc = nf__tap_parse(options, &o, NULL, 0);
	return rc < 0 ? rc : (int)o.features;
}

static int open_failed(int error, const char *what, const char *name, char *err, uint32_t err_cap)
{
	const char *remedy = "";
	if (error == ENOENT || error == ENXIO || error == ENODEV)
		remedy = ": modprobe tun; in docker: --device /dev/net/tun --cap-add NET_ADMIN";
	else if (error == EPERM || error == EACCES)
		remedy = ": run with sudo, or in a network namespace of your own; in docker: "
			 "--device /dev/net/tun --cap-add NET_ADMIN";
	else if (error == EBUSY)
		remedy = ": another process has this TAP open";
	else if (error == EINVAL)
		remedy = ": it exists and is no TAP, or was made with another number of queues";
	if (err)
		snprintf(err, err_cap, "tap:%s: %s: %s%s", name, what, strerror(error), remedy);
	return -error;
}

/* What the kernel may hand us unfinished; everything else it completes or segments itself. */
static unsigned long offload_flags(uint32_t allowed)
{
	unsigned long f = 0;
	if (allowed & NF_PORT_CSUM) {
		f |= TUN_F_CSUM;
		f |= allowed & NF_PORT_GSO4 ? TUN_F_TSO4 : 0;
		f |= allowed & NF_PORT_GSO6 ? TUN_F_TSO6 : 0;
	}
	return f;
}

static int set_up(struct tap *t, const struct tap_options *o, const struct nf_port_env *env,
		  char *err, uint32_t err_cap)
{
	struct ifreq ifr = {0};
	int size = VNET_HDR_BYTES;

	memcpy(ifr.ifr_name, o->name, IFNAMSIZ);
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (o->mq || env->queues > 1)
		ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_MULTI_QUEUE);
	if (ioctl(t->fd, TUNSETIFF, &ifr) < 0)
		return open_failed(errno, "TUNSETIFF", o->name, err, err_cap);
	if (ioctl(t->fd, TUNSETVNETHDRSZ, &size) < 0 && ioctl(t->fd, TUNGETVNETHDRSZ, &size) < 0)
		return open_failed(errno, "TUNGETVNETHDRSZ", o->name, err, err_cap);
	if (size < VNET_HDR_BYTES || size > (int)NF_VNET_HDR_BYTES_MAX)
		return open_failed(EPROTO, "vnet header size", o->name, err, err_cap);
	t->hdr_bytes = (uint32_t)size;
	if (ioctl(t->fd, TUNSETOFFLOAD, offload_flags(t->allowed)) < 0)
		return open_failed(errno, "TUNSETOFFLOAD", o->name, err, err_cap);
	return env->queue == 0 ? nf__tap_link_up(o->name, env, err, err_cap) : 0;
}

static void tap_close(struct nf_port *p)
{
	struct tap *t = p->priv;
	if (!t)
		return;
	close(t->fd);
	free(t);
	p->priv = NULL;
	p->fd = -1;
}

static void tap_carrier(struct nf_port *p, int on)
{
	const struct tap *t = p->priv;
	/* a kernel before 4.20 has no such call: its TAPs look connected while they are open */
	(void)ioctl(t->fd, TUNSETCARRIER, &on);
}

static const struct nf_port_ops tap_ops = {
	.name = "tap",
	.get = nf__tap_get,
	.put = nf__tap_put,
	.close = tap_close,
	.carrier = tap_carrier,
};

int nf__port_open_tap(const char *options, const struct nf_port_env *env, struct nf_port *out,
		      char *err, uint32_t err_cap)
{
	struct tap_options o;
	int rc = nf__tap_parse(options, &o, err, err_cap);
	if (rc < 0)
		return rc;
	struct tap *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->is_back = env->is_back;
	t->allowed = o.features & ~env->features_refused;
	if (!(t->allowed & NF_PORT_SG) || !(t->allowed & NF_PORT_CSUM))
		t->allowed &= ~(uint32_t)(NF_PORT_GSO4 | NF_PORT_GSO6);
	t->fd = open(TUN_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	rc = t->fd < 0 ? open_failed(errno, TUN_DEVICE, o.name, err, err_cap)
		       : set_up(t, &o, env, err, err_cap);
	if (rc < 0) {
		if (t->fd >= 0)
			close(t->fd);
		free(t);
		return rc;
	}
	uint32_t mtu = env->mtu ? env->mtu : 1500;
	*out = (struct nf_port){
		.ops = &tap_ops,
		.fd = t->fd,
		.features = o.features,
		.frame_bytes_max = mtu + 18, /* Ethernet and one VLAN tag */
		.counters = env->counters,
		.priv = t,
	};
	if (t->allowed & (NF_PORT_GSO4 | NF_PORT_GSO6))
		out->frame_bytes_max = NF_NETIF_FRAME_MAX;
	return 0;
}
