/* SPDX-License-Identifier: MIT */
/* The TAP's network interface: ioctls, and one netlink message for what has no ioctl. */
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nf/netif.h"
#include "tap.h"

struct gso_request {
	struct nlmsghdr h;
	struct ifinfomsg info;
	struct rtattr attr;
	uint32_t value;
};

/*
 * netif's packet size has 16 bits, the kernel makes GSO frames of up to 65,549 bytes. Told the
 * limit it segments them itself. Where it refuses, get drops and counts what does not fit: no
 * reason to fail.
 */
static void limit_gso(int index)
{
	struct gso_request r = {
		.h = {.nlmsg_len = sizeof(r),
		      .nlmsg_type = RTM_NEWLINK,
		      .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.info = {.ifi_family = AF_UNSPEC, .ifi_index = index},
		.attr = {.rta_len = sizeof(r.attr) + sizeof(r.value),
			 .rta_type = IFLA_GSO_MAX_SIZE},
		.value = NF_NETIF_FRAME_MAX,
	};
	char answer[512];
	const struct timeval second = {.tv_sec = 1};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	/* the answer is waited for, so that the limit holds before the interface is up */
	if (send(fd, &r, sizeof(r), 0) == (ssize_t)sizeof(r))
		(void)!recv(fd, answer, sizeof(answer), 0);
	close(fd);
}

static int link_failed(const char *name, const char *what, char *err, uint32_t err_cap)
{
	int error = errno;
	if (err)
		snprintf(err, err_cap, "tap:%s: %s: %s", name, what, strerror(error));
	return -error;
}

static int set_address(int fd, struct ifreq *ifr, const struct nf_port_env *env)
{
	static const uint8_t none[6];
	struct ifreq now = *ifr;

	if (env->is_back || !memcmp(env->mac, none, sizeof(none)))
		return 0; /* the guest's address is the front's; this end has its own */
	if (ioctl(fd, SIOCGIFHWADDR, &now) == 0 && !memcmp(now.ifr_hwaddr.sa_data, env->mac, 6))
		return 0;
	ifr->ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr->ifr_hwaddr.sa_data, env->mac, 6);
	return ioctl(fd, SIOCSIFHWADDR, ifr);
}

static int set_mtu(int fd, struct ifreq *ifr, const struct nf_port_env *env)
{
	struct ifreq now = *ifr;
	if (env->mtu == 0 || (ioctl(fd, SIOCGIFMTU, &now) == 0 && now.ifr_mtu == (int)env->mtu))
		return 0;
	ifr->ifr_mtu = (int)env->mtu;
	return ioctl(fd, SIOCSIFMTU, ifr);
}

static int set_up_flag(int fd, struct ifreq *ifr)
{
	if (ioctl(fd, SIOCGIFFLAGS, ifr) < 0)
		return -1;
	if (ifr->ifr_flags & IFF_UP)
		return 0;
	ifr->ifr_flags = (short)(ifr->ifr_flags | IFF_UP);
	return ioctl(fd, SIOCSIFFLAGS, ifr);
}

int nf__tap_link_up(const char *name, const struct nf_port_env *env, char *err, uint32_t err_cap)
{
	struct ifreq ifr = {0};
	int rc = 0;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return link_failed(name, "socket", err, err_cap);
	memcpy(ifr.ifr_name, name, IFNAMSIZ);
	if (ioctl(fd, SIOCGIFINDEX, &ifr) == 0)
		limit_gso(ifr.ifr_ifindex);
	if (set_address(fd, &ifr, env) < 0)
		rc = link_failed(name, "setting its address", err, err_cap);
	else if (set_mtu(fd, &ifr, env) < 0)
		rc = link_failed(name, "setting its MTU", err, err_cap);
	else if (set_up_flag(fd, &ifr) < 0)
		rc = link_failed(name, "bringing it up", err, err_cap);
	close(fd);
	return rc;
}
