/* SPDX-License-Identifier: MIT */
/*
 * The processes of a domain: this launcher outside; pid 1 inside, which reaps; the program. The
 * death of any of them ends the ones after it: the launcher's by PDEATHSIG, pid 1's by its
 * namespace.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "confine/confine.h"
#include "launch.h"

#define GRACE_S 6 /* from a forwarded SIGTERM to SIGKILL: nestfrontd takes at most 3 */

static void watched_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGQUIT);
	sigaddset(set, SIGCHLD);
}

static int exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Only comes back with an exit code when the program cannot be executed. */
static int become_program(const struct launch *l)
{
	sigset_t none;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		launch_refused("no_new_privs", errno);
		return LAUNCH_REFUSED;
	}
	int error = confine_domain();
	if (error < 0 && error != -ENOSYS) {
		launch_refused("seccomp", error);
		return LAUNCH_REFUSED;
	}
	if (error < 0)
		launch_say("this kernel has no seccomp: Xen's devices are not kept from %.100s",
			   l->argv[0]);
	launch_fds_close(l, true); /* the launcher waits for the end of our end of its socket */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvpe(l->argv[0], l->argv, launch_environment());
	int err = errno;
	launch_say("executing %.200s: %s", l->argv[0], strerror(err));
	return err == ENOENT ? 127 : 126;
}

/*
 * Until child ends: reaps, forwards signals. grace_s after the first SIGTERM the child is killed,
 * 0: never. Ctrl-C reaches the program from the terminal itself, so only signals sent by processes
 * are passed on.
 */
static int supervise(pid_t child, time_t grace_s)
{
	sigset_t set;
	time_t deadline = 0;

	watched_signals(&set);
	for (;;) {
		const struct timespec second = {.tv_sec = 1};
		struct timespec now;
		siginfo_t si;
		int status, sig = sigtimedwait(&set, &si, &second);
		pid_t p;

		while ((p = waitpid(-1, &status, WNOHANG)) > 0)
			if (p == child)
				return exit_code(status);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (deadline && now.tv_sec >= deadline)
			kill(child, SIGKILL);
		if (sig <= 0 || sig == SIGCHLD ||
		    ((sig == SIGINT || sig == SIGQUIT) && si.si_code == SI_KERNEL))
			continue;
		kill(child, sig);
		if (grace_s && !deadline && sig != SIGHUP)
			deadline = now.tv_sec + grace_s + 1;
	}
}

static void close_all(void)
{
	const struct launch none = {.status_fd = -1};
	launch_fds_close(&none, false);
}

/* pid 1 of the domain. ctl: to the launcher; its end closed means the launcher is gone. */
static int init_main(const struct launch *l, int ctl, uid_t uid, gid_t gid)
{
	char byte = 'p';

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
	    recv(ctl, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
		return LAUNCH_REFUSED; /* it died before the line above */
	if (!isatty(0))
		setsid(); /* a terminal's Ctrl-C is for the toolstack, which takes domains down in
			     order */
	if (launch_map_ids(uid, gid) || (l->new_net && launch_lo_up()) || launch_make_root(l))
		return LAUNCH_REFUSED;
	if (l->hostname && sethostname(l->hostname, strlen(l->hostname)) < 0) {
		launch_say("--hostname %s: %s", l->hostname, strerror(errno));
		return LAUNCH_REFUSED;
	}
	prctl(PR_SET_DUMPABLE, 0);
	pid_t program = fork();
	if (program < 0) {
		launch_say("starting %.200s: %s", l->argv[0], strerror(errno));
		return LAUNCH_REFUSED;
	}
	if (program == 0) {
		/* the kernel tells the launcher who sent this, numbered as outside */
		if (send(ctl, &byte, 1, MSG_NOSIGNAL) != 1)
			return LAUNCH_REFUSED;
		return become_program(l);
	}
	close_all(); /* the hypervisor is to see the program's end of its socket close */
	return supervise(program, 0);
}

static void write_status(const struct launch *l, pid_t program, pid_t init)
{
	if (l->status_fd < 0)
		return;
	if (init)
		dprintf(l->status_fd, "{\"pid\":%d,\"initPid\":%d}\n", (int)program, (int)init);
	else
		dprintf(l->status_fd, "{\"pid\":%d}\n", (int)program);
}

/* The program's pid outside, or 0 when pid 1 ended without it. */
static pid_t program_pid(int ctl)
{
	union {
		char space[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.space,
			   .msg_controllen = sizeof(control.space)};
	ssize_t n;

	do
		n = recvmsg(ctl, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	struct cmsghdr *c = n == 1 ? CMSG_FIRSTHDR(&m) : NULL;
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
		return 0;
	struct ucred who;
	memcpy(&who, CMSG_DATA(c), sizeof(who));
	return who.pid;
}

/* Returns when the program's end was closed by execve (or by its death). */
static void wait_exec(int ctl)
{
	char byte;
	while (recv(ctl, &byte, 1, 0) > 0)
		;
}

static int run_isolated(const struct launch *l)
{
	unsigned long flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC |
			      CLONE_NEWUTS;
	uid_t uid = geteuid();
	gid_t gid = getegid();
	const int on = 1;
	int ctl[2];

	if (launch_leave_rootfs())
		return LAUNCH_REFUSED;
	if (l->new_net)
		flags |= CLONE_NEWNET;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ctl) < 0 ||
	    setsockopt(ctl[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0) {
		launch_say("socketpair: %s", strerror(errno));
		return LAUNCH_REFUSED;
	}
	pid_t init = (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
	if (init < 0) {
		launch_refused("making namespaces", errno);
		return LAUNCH_REFUSED;
	}
	if (init == 0) {
		close(ctl[0]);
		_exit(init_main(l, ctl[1], uid, gid));
	}
	close(ctl[1]);
	pid_t program = program_pid(ctl[0]);
	wait_exec(ctl[0]);
	if (program)
		write_status(l, program, init);
	close_all();
	return supervise(init, GRACE_S);
}

/*
 * Makes a group the terminal's foreground one. A shell that takes the terminal wants it from a
 * group that it can name, and give it back to: in its pid namespace ours has no number, so it gets
 * one of its own, and we take the terminal back when it has ended.
 */
static void to_foreground(pid_t group)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTTOU); /* blocked, it lets a background group do this */
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (isatty(STDIN_FILENO))
		tcsetpgrp(STDIN_FILENO, group);
}

static int run_here(const struct launch *l)
{
	if (l->join && launch_enter(l->join))
		return LAUNCH_REFUSED;
	int ctl[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ctl) < 0) {
		launch_say("socketpair: %s", strerror(errno));
		return LAUNCH_REFUSED;
	}
	pid_t self = getpid();
	pid_t program = fork();
	if (program < 0) {
		launch_say("starting %.200s: %s", l->argv[0], strerror(errno));
		return LAUNCH_REFUSED;
	}
	if (program == 0) {
		/* a joined pid namespace shows a parent outside it as 0 */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || (getppid() != self && getppid() != 0))
			_exit(LAUNCH_REFUSED);
		if (l->terminal && setpgid(0, 0) == 0)
			to_foreground(getpid());
		_exit(become_program(l));
	}
	close(ctl[1]);
	wait_exec(ctl[0]);
	write_status(l, program, 0);
	close_all();
	int code = supervise(program, GRACE_S);
	if (l->terminal)
		to_foreground(getpgrp());
	return code;
}

int launch_run(struct launch *l)
{
	sigset_t set;

	watched_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0) {
		launch_say("PDEATHSIG: %s", strerror(errno));
		return LAUNCH_REFUSED;
	}
	launch_fds_sort(l);
	return l->isolate && !l->join ? run_isolated(l) : run_here(l);
}
