/* SPDX-License-Identifier: MIT */
/* User, network and other people's namespaces. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launch.h"

static long sysctl_value(const char *path)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	long v = -1;
	return n > 0 && sscanf(text, "%ld", &v) == 1 ? v : -1;
}

int launch_refused(const char *what, int error)
{
	const char *remedy =
		"in a container: docker run --security-opt seccomp=unconfined --security-opt "
		"apparmor=unconfined --security-opt systempaths=unconfined, or --privileged";
	if (geteuid() != 0 &&
	    sysctl_value("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1)
		remedy = "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0, or run with "
			 "sudo";
	else if (geteuid() != 0 && sysctl_value("/proc/sys/kernel/unprivileged_userns_clone") == 0)
		remedy = "sudo sysctl kernel.unprivileged_userns_clone=1, or run with sudo";
	else if (sysctl_value("/proc/sys/user/max_user_namespaces") == 0)
		remedy = "sudo sysctl user.max_user_namespaces=15000";
	launch_say("%s: %s; %s", what, strerror(error < 0 ? -error : error), remedy);
	return error < 0 ? error : -error;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = write(fd, text, strlen(text));
	int err = n < 0 ? -errno : 0;
	close(fd);
	return err;
}

/* Inside: only the caller, as 0. An ordinary user may do no more, and root needs no more. */
int launch_map_ids(uid_t uid, gid_t gid)
{
	char line[64];
	int err = write_file("/proc/self/setgroups", "deny");
	if (err && err != -ENOENT)
		return launch_refused("user namespace (setgroups)", err);
	snprintf(line, sizeof(line), "0 %u 1\n", (unsigned)uid);
	err = write_file("/proc/self/uid_map", line);
	if (err)
		return launch_refused("user namespace (uid_map)", err);
	snprintf(line, sizeof(line), "0 %u 1\n", (unsigned)gid);
	err = write_file("/proc/self/gid_map", line);
	if (err)
		return launch_refused("user namespace (gid_map)", err);
	return 0;
}

int launch_lo_up(void)
{
	struct ifreq ifr = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err = 0;

	if (fd < 0)
		return launch_refused("network namespace (socket)", errno);
	if (ioctl(fd, SIOCGIFFLAGS, &ifr) < 0) {
		err = launch_refused("network namespace (lo)", errno);
	} else {
		ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
		if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
			err = launch_refused("network namespace (lo up)", errno);
	}
	close(fd);
	return err;
}

static bool same_namespace(int fd, const char *name)
{
	char path[64];
	struct stat theirs, ours;
	snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	return fstat(fd, &theirs) == 0 && stat(path, &ours) == 0 && theirs.st_ino == ours.st_ino &&
	       theirs.st_dev == ours.st_dev;
}

int launch_enter(pid_t pid)
{
	/* user first, for the right to enter the rest; mnt last, for /proc/self is needed till then
	 */
	static const char *const names[] = {"user", "pid", "net", "ipc", "uts", "mnt"};
	int fds[6], err = 0;
	size_t opened = 0;

	for (; opened < 6; opened++) {
		char path[64];
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, names[opened]);
		fds[opened] = open(path, O_RDONLY | O_CLOEXEC);
		if (fds[opened] < 0) {
			err = -errno;
			launch_say("--join %d: %s; is it a running domain of this user's?",
				   (int)pid, err == -ENOENT ? "no such process" : strerror(-err));
			break;
		}
	}
	for (size_t i = 0; i < opened && !err; i++) {
		if (same_namespace(fds[i], names[i]))
			continue;
		if (setns(fds[i], 0) < 0) {
			err = -errno;
			launch_say("--join %d: entering its %s namespace: %s", (int)pid, names[i],
				   strerror(-err));
		}
	}
	while (opened)
		close(fds[--opened]);
	return err;
}
