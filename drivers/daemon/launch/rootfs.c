/* SPDX-License-Identifier: MIT */
/*
 * A machine whose root is an initramfs: pivot_root refuses, because the first of all mounts cannot
 * be anybody's child. So the launcher, in a mount namespace of its own, binds that root over
 * itself; the domain's namespace then begins with an ordinary mount on top, which belongs to
 * another user namespace and is locked: pivot_root takes it, and hands its lock on to the new root.
 * Unlocked, the domain could unmount its root and find the machine's below.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "launch.h"

#define PATH_BYTES 4096

/* True when what is at / is the kernel's first mount (proc(5), mountinfo). */
static bool root_is_rootfs(void)
{
	char line[1024];
	bool is_rootfs = false;
	FILE *f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return false;
	/* a line a mount, the topmost of a place last: ID PARENT DEVICE WITHIN POINT ... - TYPE ...
	 */
	while (fgets(line, sizeof(line), f)) {
		char point[8] = "";
		if (sscanf(line, "%*d %*d %*s %*s %7s", point) == 1 && !strcmp(point, "/"))
			is_rootfs = strstr(line, " - rootfs ") != NULL;
	}
	fclose(f);
	return is_rootfs;
}

static int fail(const char *what)
{
	int err = -errno;
	launch_say("an initramfs as root: %s: %s; start it as root, or boot with a root that can "
		   "be pivoted (switch_root to a tmpfs)",
		   what, strerror(-err));
	return err;
}

int launch_leave_rootfs(void)
{
	char cwd[PATH_BYTES];
	if (!root_is_rootfs())
		return 0;
	if (!getcwd(cwd, sizeof(cwd)))
		strcpy(cwd, "/");
	if (unshare(CLONE_NEWNS) < 0)
		return fail("a mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return fail("making mounts private");
	if (mount("/", "/tmp", NULL, MS_BIND | MS_REC, NULL) < 0)
		return fail("binding / to /tmp");
	if (chdir("/tmp") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
		return fail("moving it to /");
	return chdir(cwd) < 0 && chdir("/") < 0 ? fail("entering it") : 0;
}
