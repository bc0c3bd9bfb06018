/* SPDX-License-Identifier: MIT */
/* The daemon's folder: counters for others to map, journals for whoever comes after a crash. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nfd.h"

#define DEFAULT_DIR "/run/nestfront"

static int make_dir(const char *path)
{
	return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* Two daemons on one folder would drive the same rings. */
static int take_lock(struct nfd *d)
{
	char path[NFD_PATH_MAX];
	snprintf(path, sizeof(path), "%s/lock", d->run_dir);
	d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock_fd < 0)
		return -errno;
	return flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

int nfd_rundir_open(struct nfd *d)
{
	const char *base = d->opt.run_dir;
	bool is_wanted = base != NULL;
	if (!base && !d->opt.layer.xen_dir)
		return 0;
	if (!base)
		base = DEFAULT_DIR;
	int n = snprintf(d->run_dir, sizeof(d->run_dir), "%s/%s", base, d->opt.name);
	int rc = n < 0 || (size_t)n >= sizeof(d->run_dir) || strchr(d->opt.name, '/') ? -EINVAL : 0;
	if (rc == 0)
		rc = make_dir(base);
	if (rc == 0)
		rc = make_dir(d->run_dir);
	if (rc == 0)
		rc = take_lock(d);
	if (rc == -EWOULDBLOCK) {
		nfd_log("%s: another nestfrontd uses it: stop that one, or give this one a --name",
			d->run_dir);
		return rc;
	}
	if (rc == 0)
		return 0;
	nfd_log("%s: %s: %s", d->run_dir, strerror(-rc),
		is_wanted ? "choose another --run-dir"
			  : "no counters for others, and killed, backs could not re-attach "
			    "(--run-dir)");
	d->run_dir[0] = '\0';
	return is_wanted ? rc : 0;
}

void nfd_rundir_counters(struct nfd *d)
{
	struct nfd_where *where[NFD_SIDES] = {&d->opt.layer, &d->opt.outer};
	static const char *const names[NFD_SIDES] = {"counters", "counters-outer"};
	for (int i = 0; d->run_dir[0] && i < NFD_SIDES; i++) {
		if (!where[i]->xen_dir || where[i]->counters)
			continue;
		snprintf(d->counters[i], sizeof(d->counters[i]), "%s/%s", d->run_dir, names[i]);
		where[i]->counters = d->counters[i];
	}
}

void nfd_rundir_close(struct nfd *d)
{
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	d->lock_fd = -1;
}
