/* SPDX-License-Identifier: MIT */
/*
 * A domain's root: a small tmpfs with the system's folders bound read-only, a fresh /proc, a
 * minimal /dev, private /tmp, /run and /dev/shm. The old root stays at OLD until everything is
 * bound.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launch.h"

#define OLD "/.old"
#define PATH_BYTES 4096

/* linux/mount.h and sys/mount.h cannot both be included on older systems */
struct attr {
	uint64_t set, clear, propagation, userns_fd;
};
#define ATTR_RDONLY 0x1u
#define ATTR_NOSUID 0x2u
#define RECURSIVE 0x8000u
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

static int fail(const char *what, const char *path)
{
	int err = -errno;
	char line[256];
	snprintf(line, sizeof(line), "%s %.150s", what, path);
	if (err == -EPERM || err == -EACCES)
		return launch_refused(line, err);
	launch_say("%s: %s", line, strerror(-err));
	return err;
}

/* Folders above path (and path itself when `whole`), as far as they are missing. */
static int make_folders(const char *path, bool whole)
{
	char buf[PATH_BYTES];
	size_t n = strlen(path);
	if (n >= sizeof(buf)) {
		errno = ENAMETOOLONG;
		return fail("making", path);
	}
	memcpy(buf, path, n + 1);
	for (char *p = buf + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(buf, 0755) < 0 && errno != EEXIST && errno != EROFS)
			return fail("making", buf);
		*p = '/';
	}
	if (whole && mkdir(buf, 0755) < 0 && errno != EEXIST && errno != EROFS)
		return fail("making", buf);
	return 0;
}

static int make_target(const char *path, bool folder)
{
	struct stat st;
	int err = make_folders(path, folder);
	if (err || folder || stat(path, &st) == 0)
		return err;
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0)
		return fail("making", path);
	close(fd);
	return 0;
}

/* Read-only, with everything mounted below. */
static int protect(const char *path)
{
	struct attr a = {.set = ATTR_RDONLY | ATTR_NOSUID};
	if (syscall(SYS_mount_setattr, AT_FDCWD, path, RECURSIVE, &a, sizeof(a)) == 0)
		return 0;
	if (errno != ENOSYS)
		return fail("making read-only", path);
	/* before Linux 5.12: the one mount; flags that are locked must be given again */
	struct statvfs v;
	if (statvfs(path, &v) < 0)
		return fail("looking at", path);
	unsigned long flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID;
	flags |= (v.f_flag & ST_NODEV ? MS_NODEV : 0) | (v.f_flag & ST_NOEXEC ? MS_NOEXEC : 0) |
		 (v.f_flag & ST_NOATIME ? MS_NOATIME : 0) |
		 (v.f_flag & ST_RELATIME ? MS_RELATIME : 0);
	if (mount(NULL, path, NULL, flags, NULL) < 0)
		return fail("making read-only", path);
	return 0;
}

static int bind_path(const char *path, enum launch_bind kind)
{
	char from[PATH_BYTES];
	struct stat st;

	if (snprintf(from, sizeof(from), OLD "%s", path) >= (int)sizeof(from)) {
		errno = ENAMETOOLONG;
		return fail("binding", path);
	}
	if (stat(from, &st) < 0)
		return fail("binding", path);
	int err = make_target(path, S_ISDIR(st.st_mode));
	if (err)
		return err;
	if (mount(from, path, NULL, MS_BIND | MS_REC, NULL) < 0)
		return fail("binding", path);
	return kind == LAUNCH_RO ? protect(path) : 0;
}

/* The system's folders; where /bin is a link to /usr/bin, so it is inside. */
static int bind_system(void)
{
	static const char *const folders[] = {"/usr", "/etc",	"/bin",	  "/sbin",
					      "/lib", "/lib32", "/lib64", "/libx32"};
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		char from[64], target[256];
		struct stat st;
		snprintf(from, sizeof(from), OLD "%s", folders[i]);
		if (lstat(from, &st) < 0)
			continue;
		if (!S_ISLNK(st.st_mode)) {
			int err = bind_path(folders[i], LAUNCH_RO);
			if (err)
				return err;
			continue;
		}
		ssize_t n = readlink(from, target, sizeof(target) - 1);
		if (n < 0)
			return fail("reading link", folders[i]);
		target[n] = '\0';
		if (symlink(target, folders[i]) < 0)
			return fail("linking", folders[i]);
	}
	return 0;
}

static int tmpfs(const char *path, const char *options)
{
	int err = make_folders(path, true);
	if (err)
		return err;
	if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
		return fail("mounting a tmpfs on", path);
	return 0;
}

static int make_dev(void)
{
	static const char *const nodes[] = {"/dev/null",   "/dev/zero",	   "/dev/full",
					    "/dev/random", "/dev/urandom", "/dev/tty",
					    "/dev/net/tun"};
	int err = make_folders("/dev", true);
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]) && !err; i++) {
		char from[64];
		snprintf(from, sizeof(from), OLD "%s", nodes[i]);
		if (access(from, F_OK) == 0) /* a missing tun is for whoever opens it to report */
			err = bind_path(nodes[i], LAUNCH_DEV);
	}
	if (err)
		return err;
	if (symlink("/proc/self/fd", "/dev/fd") < 0 || symlink("fd/0", "/dev/stdin") < 0 ||
	    symlink("fd/1", "/dev/stdout") < 0 || symlink("fd/2", "/dev/stderr") < 0)
		return fail("linking in", "/dev");
	return tmpfs("/dev/shm", "mode=1777");
}

static int make_proc(void)
{
	int err = make_folders("/proc", true);
	if (err)
		return err;
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0)
		return 0;
	/* refused when parts of the outer /proc are covered, as container engines do */
	return fail("mounting", "/proc");
}

static int pivot(void)
{
	/* nothing mounted here spreads outward, nothing mounted outside appears here */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return fail("mount namespace:", "/");
	/* the mount on /tmp becomes the root itself, so the old root's /tmp is not covered by it */
	if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=16m") < 0)
		return fail("mounting a tmpfs on", "/tmp");
	if (chdir("/tmp") < 0 || mkdir(&OLD[1], 0700) < 0 ||
	    syscall(SYS_pivot_root, ".", &OLD[1]) < 0 || chdir("/") < 0)
		return fail("pivoting to", "the new root");
	return 0;
}

int launch_make_root(const struct launch *l)
{
	char cwd[PATH_BYTES];
	if (!getcwd(cwd, sizeof(cwd)))
		cwd[0] = '\0';
	int err = pivot();
	if (!err)
		err = bind_system();
	if (!err)
		err = make_dev();
	if (!err)
		err = tmpfs("/tmp", "mode=1777");
	if (!err)
		err = tmpfs("/run", "mode=0755");
	if (!err)
		err = make_proc();
	for (uint32_t i = 0; i < l->path_count && !err; i++)
		err = bind_path(l->paths[i].path, l->paths[i].kind);
	if (err)
		return err;
	if (umount2(OLD, MNT_DETACH) < 0 || rmdir(OLD) < 0)
		return fail("dropping", "the old root");
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) <
	    0)
		return fail("making read-only", "/");
	if (cwd[0] != '/' || chdir(cwd) < 0)
		return chdir("/") < 0 ? fail("entering", "/") : 0;
	return 0;
}
