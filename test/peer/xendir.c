/* SPDX-License-Identifier: MIT */
#include "xendir.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "xenbus/xs_wire.h"

char xendir_domid[8] = "7";
static char dir[] = "/tmp/nf-xen-XXXXXX";
static int master = -1;

const char *xendir_make(void)
{
	return mkdtemp(dir);
}

static bool take(void *buf, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = read(master, (char *)buf + at, n - at);
		if (got <= 0)
			return false;
		at += (size_t)got;
	}
	return true;
}

static void *store_main(void *arg)
{
	struct nf_xs_header h;
	char body[256];
	(void)arg;
	while (take(&h, sizeof(h)) && h.len < sizeof(body) && take(body, h.len)) {
		bool is_domid = h.type == NF_XS_READ && !strcmp(body, "domid");
		const char *answer = is_domid ? xendir_domid : "ENOENT";
		if (!is_domid)
			h.type = NF_XS_ERROR;
		h.len = (uint32_t)strlen(answer) + !is_domid;
		if (write(master, &h, sizeof(h)) < 0 || write(master, answer, h.len) < 0)
			break;
	}
	return NULL;
}

void xendir_file(const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	for (char *at = strchr(path + strlen(dir) + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		mkdir(path, 0755);
		*at = '/';
	}
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	close(fd);
}

bool xendir_xenbus(void)
{
	char path[128];
	struct termios t;
	pthread_t thread;
	master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0 || grantpt(master) || unlockpt(master) || tcgetattr(master, &t))
		return false;
	cfmakeraw(&t);
	tcsetattr(master, TCSANOW, &t);
	/* held open, so that the line does not hang up between two clients */
	static int keep;
	keep = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/xenbus", dir);
	return keep >= 0 && symlink(ptsname(master), path) == 0 &&
	       pthread_create(&thread, NULL, store_main, NULL) == 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

void xendir_remove(void)
{
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
