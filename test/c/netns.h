/* SPDX-License-Identifier: MIT */
/* A network of a test's own, where nothing it does is seen. */
#ifndef NF_TEST_NETNS_H
#define NF_TEST_NETNS_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
	if (fd >= 0)
		close(fd);
	return n < 0 ? -errno : 0;
}

/* A user and a network namespace of our own, or why not. */
__attribute__((unused)) static const char *enter_namespaces(void)
{
	char map[64];
	unsigned uid = geteuid(), gid = getegid();
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return "user namespaces are refused here";
	write_text("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	if (write_text("/proc/self/uid_map", map))
		return "uid_map is refused here";
	snprintf(map, sizeof(map), "0 %u 1", gid);
	if (write_text("/proc/self/gid_map", map))
		return "gid_map is refused here";
	int fd = open("/dev/net/tun", O_RDWR);
	if (fd < 0)
		return "/dev/net/tun cannot be opened by this user";
	close(fd);
	return NULL;
}

#endif
