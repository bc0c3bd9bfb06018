/* SPDX-License-Identifier: MIT */
/*
 * nf-launch: makes a domain's container of namespaces, or enters one. Shared by its files.
 *
 * What keeps siblings apart, when all of them run as one uid: each has a user namespace of its own,
 * and a process may only be read, traced or have its descriptors taken by a holder of
 * CAP_SYS_PTRACE in the namespace it was executed in; a sibling never is. PR_SET_DUMPABLE 0 would
 * not do: execve resets it, so nestfrontd sets it again as its first act, and any other program
 * relies on the user namespace. A pid namespace with its own /proc and a mount namespace without
 * the host's files do the rest.
 */
#ifndef NF_DAEMON_LAUNCH_H
#define NF_DAEMON_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LAUNCH_PATHS 64
#define LAUNCH_FDS 64
#define LAUNCH_USAGE 2	 /* exit code: bad arguments */
#define LAUNCH_REFUSED 3 /* exit code: the machine can't; the remedy was printed */

enum launch_bind { LAUNCH_RO, LAUNCH_RW, LAUNCH_DEV };

struct launch_path {
	const char *path; /* absolute; the same inside */
	enum launch_bind kind;
};

struct launch {
	bool isolate; /* false: --no-isolation */
	bool new_net;
	bool terminal; /* the program leads the foreground group of stdin's terminal */
	pid_t join;    /* 0: none */
	const char *hostname;
	struct launch_path paths[LAUNCH_PATHS];
	uint32_t path_count;
	int keep[LAUNCH_FDS]; /* ascending after launch_fds_sort */
	uint32_t keep_count;
	int status_fd; /* -1: none */
	char **argv;   /* program and its arguments, NULL at the end */
};

/* args.c: 0, or the exit code of a usage error that was printed; 1 in *help when help was asked. */
int launch_parse(struct launch *l, int argc, char **argv, bool *help);
void launch_usage(void);

/* fds.c */
void launch_fds_sort(struct launch *l);
/* Closes everything from 3 up, at once or with execve, but the kept ones, which will survive exec.
 */
void launch_fds_close(const struct launch *l, bool at_exec);
/* The environment a program gets: no secret of the caller's by accident. */
char **launch_environment(void);

/* namespaces.c: 0, or a negative errno after printing one line. */
int launch_map_ids(uid_t uid, gid_t gid);
int launch_lo_up(void);
int launch_enter(pid_t pid);
/* Prints "nf-launch: WHAT: ERROR" and what to do about refused namespaces. */
int launch_refused(const char *what, int error);

/* root.c: pivots into a private root; 0 or a negative errno after printing one line. */
int launch_make_root(const struct launch *l);

/* rootfs.c: nothing where / is an ordinary mount. 0 or a negative errno after printing one line. */
int launch_leave_rootfs(void);

/* supervise.c: runs it and returns the exit code. */
int launch_run(struct launch *l);

/* Prints one line to stderr. */
void launch_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
