/* SPDX-License-Identifier: MIT */
/* What a program inherits: descriptors and environment. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launch.h"

static int ascending(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;
	return (x > y) - (x < y);
}

void launch_fds_sort(struct launch *l)
{
	qsort(l->keep, l->keep_count, sizeof(l->keep[0]), ascending);
}

#define AT_EXEC 4u /* CLOSE_RANGE_CLOEXEC, since Linux 5.11 */

static void close_span(unsigned from, unsigned to, unsigned flags)
{
	if (from > to)
		return;
	if (syscall(SYS_close_range, from, to, flags) == 0)
		return;
	long most = sysconf(_SC_OPEN_MAX); /* before Linux 5.9 */
	for (unsigned fd = from; fd <= to && (long)fd < most; fd++)
		close((int)fd);
}

void launch_fds_close(const struct launch *l, bool at_exec)
{
	unsigned how = at_exec ? AT_EXEC : 0;
	unsigned from = 3;
	for (uint32_t i = 0; i <= l->keep_count; i++) {
		unsigned stop = i < l->keep_count ? (unsigned)l->keep[i] : INT_MAX;
		if (i < l->keep_count && stop < from)
			continue; /* 0, 1, 2 stay anyway; or named twice */
		if (i < l->keep_count) {
			int flags = fcntl((int)stop, F_GETFD);
			if (flags >= 0)
				fcntl((int)stop, F_SETFD, flags & ~FD_CLOEXEC);
			close_span(from, stop - 1, how);
			from = stop + 1;
		} else {
			close_span(from, stop, how);
		}
	}
}

static bool wanted(const char *entry)
{
	static const char *const names[] = {
		"PATH=",	 "LANG=",	   "LC_",	    "TERM=",
		"TZ=",		 "NODE_",	   "NF_",	    "NESTFRONT_",
		"ASAN_OPTIONS=", "UBSAN_OPTIONS=", "TSAN_OPTIONS=", "LSAN_OPTIONS=",
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(entry, names[i], strlen(names[i])))
			return true;
	return false;
}

char **launch_environment(void)
{
	extern char **environ;
	static char *kept[128];
	static char home[] = "HOME=/tmp";
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	size_t n = 0;
	bool has_path = false;

	kept[n++] = home;
	for (char **e = environ; *e && n < sizeof(kept) / sizeof(kept[0]) - 2; e++) {
		if (!wanted(*e))
			continue;
		has_path |= !strncmp(*e, "PATH=", 5);
		kept[n++] = *e;
	}
	if (!has_path)
		kept[n++] = path;
	kept[n] = NULL;
	return kept;
}
