/* SPDX-License-Identifier: MIT */
/*
 * The TAP of a back on Xen. libxl runs the hotplug script as soon as the back says 2 and gives up
 * after ten seconds, so the interface exists before that; and it outlives a daemon that is killed,
 * so that the guest's link and the bridge's port stay while the next one re-attaches.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "nfd.h"

static int set_persistent(const char *name, int on, bool mq)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	if (mq)
		ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_MULTI_QUEUE);
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	int rc = 0;
	if (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETPERSIST, on) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

int nfd_tap_hold(const char *name, bool mq)
{
	int rc = set_persistent(name, 1, mq);
	if (rc == -EINVAL) { /* left by a daemon with another number of queues */
		set_persistent(name, 0, !mq);
		rc = set_persistent(name, 1, mq);
	}
	if (rc == -EBUSY)
		nfd_log("%s: the interface is another program's: is there another nestfrontd, or "
			"xen-netback loaded?",
			name);
	else if (rc < 0)
		nfd_log("%s: no TAP: %s%s", name, strerror(-rc),
			rc == -ENOENT || rc == -ENXIO ? ": modprobe tun" : "");
	return rc;
}

void nfd_tap_let_go(const char *name)
{
	int rc = set_persistent(name, 0, false);
	if (rc == -EINVAL)
		rc = set_persistent(name, 0, true);
	if (rc < 0 && rc != -ENXIO && rc != -ENOENT)
		nfd_log("%s: left behind: %s", name, strerror(-rc));
}
