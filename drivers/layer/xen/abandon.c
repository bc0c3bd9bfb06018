/* SPDX-License-Identifier: MIT */
/* Event channels that a restore left behind, see nf/xen.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nf/xen.h"
#include "xen.h"

void nf_xen_abandon_begin(struct nf_layer *l)
{
	nf__xen_of(l)->is_abandoning = true;
}

/* In the child: only what is safe after a fork of a process with threads. */
static void become_holder(const struct nf__xen *x)
{
	char name[] = "nestfrontd", option[] = "--hold-evtchn";
	char *const argv[] = {name, option, NULL};
	for (uint32_t i = 0; i < x->lost_count; i++)
		fcntl(x->lost[i], F_SETFD, 0);
	/* everything else of ours is close-on-exec, and our mappings go with the program */
	execv("/proc/self/exe", argv);
	_exit(1);
}

int nf_xen_abandon_end(struct nf_layer *l)
{
	struct nf__xen *x = nf__xen_of(l);
	int status;
	x->is_abandoning = false;
	if (x->lost_count == 0)
		return 0;
	/* twice, so that the holder is init's child and nobody waits for it */
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		if (fork() == 0)
			become_holder(x);
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	int count = (int)x->lost_count;
	for (uint32_t i = 0; i < x->lost_count; i++)
		close(x->lost[i]); /* the holder has it */
	x->lost_count = 0;
	return count;
}

void nf_xen_hold(void)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "nf-hold-evtchn");
	int null = open("/dev/null", O_RDWR);
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	(void)!chdir("/");
	setsid();
	for (;;)
		pause();
}
