/* SPDX-License-Identifier: MIT */
#include "iface.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nf/atomics.h"

bool nf__iface_name_ok(const char *s, size_t n)
{
	static const char chars[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	if (n == 0 || n >= IFNAMSIZ || s[0] == '.' || s[0] == '-')
		return false;
	return strspn(s, chars) >= n;
}

static const char *remedy_of(const char *kind, int error)
{
	bool is_xdp = !strcmp(kind, "afxdp");
	switch (error) {
	case EPERM:
	case EACCES:
		return is_xdp ? ": it takes CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW of the machine "
				"itself, not of a domain's namespace: isolation off and root, or "
				"afpacket:"
			      : ": it takes CAP_NET_RAW in this network namespace: run as root, or "
				"in docker with --cap-add NET_RAW --cap-add NET_ADMIN";
	case ENODEV:
	case ENXIO:
		return ": no such interface in this network namespace: see ip link; one of another "
		       "is moved by ip link set NAME netns PID";
	case EAFNOSUPPORT:
		return is_xdp ? ": a kernel without CONFIG_XDP_SOCKETS: use afpacket:"
			      : ": a kernel without CONFIG_PACKET";
	case ENETDOWN:
		return ": it is down: ip link set NAME up";
	case EBUSY:
		return ": another program has its XDP hook or this queue: ip link shows which";
	case ENOMEM:
	case ENOBUFS:
		return ": no memory for its rings: fewer queues, or ulimit -l";
	default:
		return "";
	}
}

int nf__iface_failed(const char *kind, const char *name, int error, const char *what, char *err,
		     uint32_t err_cap)
{
	if (err)
		snprintf(err, err_cap, "%s:%s: %s: %s%s", kind, name, what, strerror(error),
			 remedy_of(kind, error));
	return -error;
}

static int request(const char *name, unsigned long what, struct ifreq *r)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int error = 0;

	if (fd < 0)
		return -errno;
	memcpy(r->ifr_name, name, strnlen(name, IFNAMSIZ - 1) + 1);
	if (ioctl(fd, what, r) < 0)
		error = -errno;
	close(fd);
	return error;
}

int nf__iface_open(const char *kind, const char *name, char *err, uint32_t err_cap)
{
	struct ifreq r = {0};
	int rc = request(name, SIOCGIFINDEX, &r);
	int index = r.ifr_ifindex;

	if (rc < 0)
		return nf__iface_failed(kind, name, -rc, "looking it up", err, err_cap);
	rc = request(name, SIOCGIFFLAGS, &r);
	if (rc < 0)
		return nf__iface_failed(kind, name, -rc, "reading its flags", err, err_cap);
	if (r.ifr_flags & IFF_UP)
		return index;
	r.ifr_flags = (short)(r.ifr_flags | IFF_UP);
	rc = request(name, SIOCSIFFLAGS, &r);
	if (rc < 0)
		return nf__iface_failed(kind, name, ENETDOWN, "bringing it up", err, err_cap);
	return index;
}

bool nf__iface_is_there(int fd, int ifindex)
{
	struct ifreq r = {.ifr_ifindex = ifindex};
	return ioctl(fd, SIOCGIFNAME, &r) == 0;
}

uint32_t nf__iface_mtu(const char *name)
{
	struct ifreq r = {0};
	return request(name, SIOCGIFMTU, &r) == 0 && r.ifr_mtu > 0 ? (uint32_t)r.ifr_mtu : 1500;
}

void nf__port_count_drop(struct nf_port *p, bool is_back, bool put, uint64_t frames)
{
	if (!p->counters || frames == 0)
		return;
	if (put == is_back)
		NF_COUNT(p->counters, tx_dropped_port, frames);
	else
		NF_COUNT(p->counters, rx_dropped_port, frames);
}
