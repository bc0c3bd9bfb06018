/* SPDX-License-Identifier: MIT */
/* "afpacket:NAME[,csum=off][,gso=off]": an interface of the network namespace, by a packet socket.
 */
#include "afpacket.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nf/netif.h"
#include "ports.h"

#define KIND "afpacket"
#define SEND_BYTES (1 << 20) /* the kernel doubles it: some 900 full frames, 10 ms of a gigabit */

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

struct options {
	char name[IFNAMSIZ];
	uint32_t features;
};

static int parse(const char *spec, struct options *o, char *err, uint32_t err_cap)
{
	size_t n = strcspn(spec, ",");
	struct options out = {.features = NF_PORT_CSUM | NF_PORT_GSO4 | NF_PORT_GSO6 | NF_PORT_SG};

	if (!nf__iface_name_ok(spec, n)) {
		if (err)
			snprintf(err, err_cap,
				 KIND ":%.40s: a name is 1 to 15 of A-Z a-z 0-9 _ . -", spec);
		return -EINVAL;
	}
	memcpy(out.name, spec, n);
	for (spec += n; *spec; spec += n) {
		spec++;
		n = strcspn(spec, ",");
		if (n == 8 && !strncmp(spec, "csum=off", n)) {
			out.features &= ~(uint32_t)(NF_PORT_CSUM | NF_PORT_GSO4 | NF_PORT_GSO6);
		} else if (n == 7 && !strncmp(spec, "gso=off", n)) {
			out.features &= ~(uint32_t)(NF_PORT_GSO4 | NF_PORT_GSO6);
		} else if ((n != 7 || strncmp(spec, "csum=on", n)) &&
			   (n != 6 || strncmp(spec, "gso=on", n))) {
			if (err)
				snprintf(err, err_cap, KIND " option '%.20s': csum=off or gso=off",
					 spec);
			return -EINVAL;
		}
	}
	*o = out;
	return 0;
}

int nf__port_probe_afpacket(const char *options)
{
	struct options o;
	int rc = parse(options, &o, NULL, 0);
	return rc < 0 ? rc : (int)o.features;
}

static int option(int fd, int name, int value)
{
	return setsockopt(fd, SOL_PACKET, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* The guest's address is not the interface's: take what is for anybody. */
static int promiscuous(int fd, int ifindex)
{
	struct packet_mreq m = {.mr_ifindex = ifindex, .mr_type = PACKET_MR_PROMISC};
	int rc = setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof(m));
	return rc < 0 ? -errno : 0;
}

/* Sockets of one device share its frames by flow. */
static int fan_out(int fd, const struct nf_port_env *env, int ifindex)
{
	uint32_t group = (uint32_t)getpid() * 31 + env->devid * 7 + (uint32_t)ifindex;
	if (env->queues < 2)
		return 0;
	return option(fd, PACKET_FANOUT, (int)((group & 0xffff) | PACKET_FANOUT_HASH << 16));
}

static int set_up(struct nf__afp *a, const struct options *o, const struct nf_port_env *env,
		  char *err, uint32_t err_cap)
{
	int send = SEND_BYTES, rc;
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};

	a->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd < 0)
		return nf__iface_failed(KIND, o->name, errno, "packet socket", err, err_cap);
	rc = nf__iface_open(KIND, o->name, err, err_cap);
	if (rc < 0)
		return rc;
	a->ifindex = to.sll_ifindex = rc;
	rc = option(a->fd, PACKET_VNET_HDR, 1);
	if (rc == 0)
		rc = option(a->fd, PACKET_IGNORE_OUTGOING, 1);
	if (rc == -ENOPROTOOPT)
		rc = 0; /* before Linux 4.20: what programs here send on it is seen too */
	if (rc == 0)
		rc = promiscuous(a->fd, a->ifindex);
	if (rc == 0)
		rc = nf__afp_ring_open(a);
	if (rc < 0)
		return nf__iface_failed(KIND, o->name, -rc, "its ring", err, err_cap);
	/* as much as we may: what is in flight on a slow link keeps its sender waiting, not losing
	 */
	if (setsockopt(a->fd, SOL_SOCKET, SO_SNDBUFFORCE, &send, sizeof(send)) < 0)
		(void)setsockopt(a->fd, SOL_SOCKET, SO_SNDBUF, &send, sizeof(send));
	if (bind(a->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return nf__iface_failed(KIND, o->name, errno, "bind", err, err_cap);
	rc = fan_out(a->fd, env, a->ifindex);
	return rc < 0 ? nf__iface_failed(KIND, o->name, -rc, "fanout", err, err_cap) : 0;
}

static void drop(struct nf__afp *a)
{
	nf__afp_ring_close(a);
	if (a->fd >= 0)
		close(a->fd);
	free(a);
}

static void afp_close(struct nf_port *p)
{
	if (!p->priv)
		return;
	drop(p->priv);
	p->priv = NULL;
	p->fd = -1;
}

static const struct nf_port_ops afp_ops = {
	.name = KIND,
	.get = nf__afp_get,
	.put = nf__afp_put,
	.close = afp_close,
};

int nf__port_open_afpacket(const char *options, const struct nf_port_env *env, struct nf_port *out,
			   char *err, uint32_t err_cap)
{
	struct options o;
	int rc = parse(options, &o, err, err_cap);
	if (rc < 0)
		return rc;
	struct nf__afp *a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->fd = -1;
	a->is_back = env->is_back;
	a->allowed = o.features & ~env->features_refused;
	if (!(a->allowed & NF_PORT_SG) || !(a->allowed & NF_PORT_CSUM))
		a->allowed &= ~(uint32_t)(NF_PORT_GSO4 | NF_PORT_GSO6);
	rc = set_up(a, &o, env, err, err_cap);
	if (rc < 0) {
		drop(a);
		return rc;
	}
	uint32_t mtu = env->mtu ? env->mtu : nf__iface_mtu(o.name);
	*out = (struct nf_port){
		.ops = &afp_ops,
		.fd = a->fd,
		.features = o.features,
		.frame_bytes_max = mtu + 18, /* Ethernet and one VLAN tag */
		.put_waits = 1,
		.counters = env->counters,
		.priv = a,
	};
	if (a->allowed & (NF_PORT_GSO4 | NF_PORT_GSO6))
		out->frame_bytes_max = NF_NETIF_FRAME_MAX;
	return 0;
}
