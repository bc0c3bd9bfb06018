/* SPDX-License-Identifier: MIT */
/*
 * nf-keeper: holds the descriptors of an embedded hypervisor, so that the next process can go on
 * where a killed one was. Usage: nf-keeper, its socket as descriptor 3. It ends when nobody holds
 * the other end any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "keeper/keeper.h"

#define SOCKET_FD 3

int main(void)
{
	struct keeper k = {.count = 0};
	struct rlimit files;

	prctl(PR_SET_DUMPABLE, 0);
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files); /* refused: as many as before */
	}
	/* its file flags are nobody else's: who made the socket has the other end */
	if (fcntl(SOCKET_FD, F_SETFL, 0) < 0) {
		fprintf(stderr, "nf-keeper: descriptor %d is no socket of mine: %s\n", SOCKET_FD,
			strerror(errno));
		return 2;
	}
	printf("ready\n");
	fflush(stdout);
	int code = keeper_serve(&k, SOCKET_FD);
	keeper_fini(&k);
	return code;
}
