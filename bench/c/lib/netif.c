/* SPDX-License-Identifier: MIT */
#include "netif.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void set_name(struct ifreq *r, const char *name)
{
	memset(r, 0, sizeof(*r));
	snprintf(r->ifr_name, sizeof(r->ifr_name), "%s", name);
}

static void set_address(struct ifreq *r, uint32_t address)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(address)}};
	memcpy(&r->ifr_addr, &in, sizeof(in));
}

static int call(int fd, unsigned long request, struct ifreq *r)
{
	return ioctl(fd, request, r) < 0 ? -errno : 0;
}

static int raise_flags(int fd, struct ifreq *r)
{
	int e = call(fd, SIOCGIFFLAGS, r);
	if (e < 0)
		return e;
	r->ifr_flags = (short)(r->ifr_flags | IFF_UP | IFF_RUNNING);
	return call(fd, SIOCSIFFLAGS, r);
}

int netif_up(const char *name, uint32_t address, uint32_t prefix, uint32_t mtu)
{
	struct ifreq r;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	set_name(&r, name);
	r.ifr_mtu = (int)mtu;
	int e = call(fd, SIOCSIFMTU, &r);
	if (e == 0) {
		set_address(&r, address);
		e = call(fd, SIOCSIFADDR, &r);
	}
	if (e == 0) {
		set_address(&r, prefix ? ~0u << (32 - prefix) : 0);
		e = call(fd, SIOCSIFNETMASK, &r);
	}
	if (e == 0)
		e = raise_flags(fd, &r);
	close(fd);
	return e;
}

int netif_loopback(void)
{
	struct ifreq r;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	set_name(&r, "lo");
	int e = raise_flags(fd, &r);
	close(fd);
	return e;
}

/* One rtnetlink message under construction. */
struct message {
	struct nlmsghdr h;
	struct ifinfomsg i;
	uint8_t attributes[512];
};

static struct rtattr *add(struct message *m, unsigned short type, const void *data, size_t n)
{
	struct rtattr *a = (void *)((uint8_t *)m + NLMSG_ALIGN(m->h.nlmsg_len));
	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(n);
	if (n)
		memcpy(RTA_DATA(a), data, n);
	m->h.nlmsg_len = (uint32_t)(NLMSG_ALIGN(m->h.nlmsg_len) + RTA_ALIGN(a->rta_len));
	return a;
}

static void end(struct message *m, struct rtattr *nest)
{
	nest->rta_len = (unsigned short)((uint8_t *)m + m->h.nlmsg_len - (uint8_t *)nest);
}

static int talk(struct message *m)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		uint8_t rest[1024];
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	int e = 0;
	if (send(fd, m, m->h.nlmsg_len, 0) < 0)
		e = -errno;
	ssize_t n = e ? 0 : recv(fd, &answer, sizeof(answer), 0);
	if (n < 0)
		e = -errno;
	else if (e == 0)
		e = n >= (ssize_t)(sizeof(answer.h) + sizeof(answer.e)) ? answer.e.error : -EPROTO;
	close(fd);
	return e;
}

int netif_veth(const char *name, const char *peer, int peer_ns)
{
	const struct ifinfomsg any = {.ifi_family = AF_UNSPEC};
	struct message m = {
		.h = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
		      .nlmsg_type = RTM_NEWLINK,
		      .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK},
	};

	add(&m, IFLA_IFNAME, name, strlen(name) + 1);
	struct rtattr *info = add(&m, IFLA_LINKINFO, NULL, 0);
	add(&m, IFLA_INFO_KIND, "veth", 5);
	struct rtattr *data = add(&m, IFLA_INFO_DATA, NULL, 0);
	struct rtattr *other = add(&m, VETH_INFO_PEER, &any, sizeof(any));
	add(&m, IFLA_IFNAME, peer, strlen(peer) + 1);
	add(&m, IFLA_NET_NS_FD, &peer_ns, sizeof(peer_ns));
	end(&m, other);
	end(&m, data);
	end(&m, info);
	return talk(&m);
}

int netif_tap(const char *name)
{
	struct ifreq r;
	int vnet = NETIF_VNET_BYTES, e = 0;
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	set_name(&r, name);
	r.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (ioctl(fd, TUNSETIFF, &r) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &vnet) < 0 ||
	    ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0)
		e = -errno;
	if (e)
		close(fd);
	return e ? e : fd;
}
