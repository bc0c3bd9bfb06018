/* SPDX-License-Identifier: MIT */
/* Starting under a hypervisor. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "live.h"

#define HELPER "dist/test/js/helpers/live.js"

bool live_started(void)
{
	return getenv("NF_TEST_LIVE") != NULL;
}

void live_start(const char *program, bool nested, char *why, size_t cap)
{
	const char *node = getenv("npm_node_execpath");
	char self[PATH_MAX];

	if (access(HELPER, R_OK) != 0) {
		snprintf(why, cap, "no %s: npm run build, and start from the package's root",
			 HELPER);
		return;
	}
	if (realpath(program, self))
		execlp(node ? node : "node", "node", HELPER, self, nested ? "nested" : NULL,
		       (char *)NULL);
	snprintf(why, cap, "can't start node: %s", strerror(errno));
}
