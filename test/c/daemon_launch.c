/* SPDX-License-Identifier: MIT */
/* nf-launch from outside: what a domain is given, what it cannot reach, and that nothing survives.
 */
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char launcher[4096];

struct run {
	pid_t launcher;
	int status_fd; /* its --status-fd */
	int out_fd;    /* stdout and stderr */
	char out[8192];
};

/* argv[] after the program's name; keep: inherited as descriptor 9 (-1 none). */
static void start(struct run *r, int keep, const char *const *args)
{
	int status[2], out[2];
	const char *argv[64] = {launcher, "--status-fd", "8"};
	size_t n = 3;

	while (*args)
		argv[n++] = *args++;
	argv[n] = NULL;
	if (pipe(status) < 0 || pipe(out) < 0)
		abort();
	fflush(stdout);
	r->launcher = fork();
	if (r->launcher == 0) {
		setpgid(0, 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		dup2(status[1], 8);
		if (keep >= 0)
			dup2(keep, 9);
		for (int fd = 10; fd < 64; fd++)
			close(fd);
		execv(launcher, (char *const *)(uintptr_t)argv);
		_exit(99);
	}
	close(status[1]);
	close(out[1]);
	r->status_fd = status[0];
	r->out_fd = out[0];
	r->out[0] = '\0';
}

/* The program's pid outside, 0 when there was none. */
static pid_t program_of(struct run *r)
{
	char line[128] = "";
	struct pollfd p = {r->status_fd, POLLIN, 0};
	int pid = 0;
	if (poll(&p, 1, 5000) == 1 && read(r->status_fd, line, sizeof(line) - 1) > 0)
		sscanf(line, "{\"pid\":%d", &pid);
	return pid;
}

/* Reads output to its end, waits; exit code, or 1000 + signal. */
static int finish(struct run *r)
{
	size_t n = 0;
	ssize_t got;
	int status;
	while (n < sizeof(r->out) - 1 &&
	       (got = read(r->out_fd, r->out + n, sizeof(r->out) - 1 - n)) > 0)
		n += (size_t)got;
	r->out[n] = '\0';
	close(r->out_fd);
	close(r->status_fd);
	waitpid(r->launcher, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static int shell(struct run *r, const char *script)
{
	start(r, -1, ARGS("--hostname", "l2", "--", "sh", "-c", script));
	return finish(r);
}

static bool alive(pid_t pid)
{
	return pid > 0 && kill(pid, 0) == 0;
}

static bool dies(pid_t pid, int ms)
{
	for (; ms > 0 && alive(pid); ms -= 10)
		usleep(10000);
	return !alive(pid);
}

static void inside(void)
{
	struct run r;
	is(shell(&r, "exit 7"), 7, "the program's status is the launcher's");
	is(shell(&r, "kill -9 $$"), 128 + 9, "a signal is 128 and its number");
	is(shell(&r, "id -u; cat /proc/sys/kernel/hostname; ls /"), 0, "a shell runs");
	is_str(strtok(r.out, "\n"), "0", "as root of its own namespace");
	is_str(strtok(NULL, "\n"), "l2", "with its own host name");
	is(shell(&r, "touch /x || touch /usr/x || touch /etc/x"), 1, "its root is read-only");
	is(shell(&r, "touch /tmp/x /run/x /dev/shm/x"), 0, "but for the private folders");
	is(shell(&r, "ls /proc | grep -c '^[0-9]*$'"), 0, "its /proc");
	ok(atoi(r.out) <= 5, "shows its own processes only: %d", atoi(r.out));
	is(shell(&r, "grep NoNewPrivs /proc/self/status"), 0, "no_new_privs");
	ok(strstr(r.out, "1") != NULL, "is set: %s", r.out);
	is(shell(&r, "cat /proc/net/dev | wc -l; cat /sys/class/net/x"), 1, "a network of its own");
	ok(atoi(r.out) == 3, "with lo alone");
	is(shell(&r, "exit $(env | grep -c SECRET)"), 0, "the caller's environment stays outside");
	is(shell(&r, "sleep 100 & sleep 100 & exit 3"), 3, "children left behind go with it");
}

static void descriptors(void)
{
	struct run r;
	int sv[2], other = open("/etc/passwd", O_RDONLY);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		abort();
	start(&r, sv[1],
	      ARGS("--keep-fd", "9", "--", "sh", "-c",
		   "ls /proc/self/fd | tr '\\n' ' '; sleep 100"));
	close(sv[1]);
	pid_t program = program_of(&r);
	ok(alive(program), "the status descriptor names a process");
	char path[64], name[64] = "";
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)program);
	FILE *f = fopen(path, "r");
	ok(f && fgets(name, sizeof(name), f) && !strcmp(name, "sh\n"), "the program itself: %s",
	   name);
	if (f)
		fclose(f);
	usleep(200000);
	kill(r.launcher, SIGTERM);
	is(finish(&r), 128 + SIGTERM, "SIGTERM is passed on");
	ok(strncmp(r.out, "0 1 2 ", 6) == 0 && strstr(r.out, " 9 ") && !strstr(r.out, " 8 "),
	   "it had what was kept and no more: %s", r.out);
	ok(dies(program, 1000), "it is gone");
	struct pollfd p = {sv[0], POLLIN, 0};
	ok(poll(&p, 1, 20000) == 1 && (p.revents & POLLHUP), "its socket has hung up");
	close(sv[0]);
	close(other);
}

static void lifetimes(void)
{
	struct run r;
	start(&r, -1, ARGS("--", "sleep", "100"));
	pid_t program = program_of(&r);
	ok(alive(program), "a domain");
	kill(r.launcher, SIGKILL);
	ok(dies(program, 2000), "does not survive its launcher");
	finish(&r);
	start(&r, -1, ARGS("--", "sh", "-c", "trap '' TERM; while :; do sleep 1; done"));
	program = program_of(&r);
	usleep(200000);
	time_t begin = time(NULL);
	kill(r.launcher, SIGTERM);
	is(finish(&r), 1000 * 0 + 137, "one that ignores SIGTERM is killed");
	ok(time(NULL) - begin <= 9 && !alive(program), "in bounded time");
}

static void joining(void)
{
	struct run r, j;
	char pid[16];
	start(&r, -1, ARGS("--hostname", "box", "--", "sleep", "100"));
	pid_t program = program_of(&r);
	snprintf(pid, sizeof(pid), "%d", (int)program);
	start(&j, -1,
	      ARGS("--join", pid, "--", "sh", "-c",
		   "cat /proc/sys/kernel/hostname; cat /proc/2/comm; exit 5"));
	is(finish(&j), 5, "a program joins a running domain");
	is_str(j.out, "box\nsleep\n", "and is in its namespaces");
	start(&j, -1, ARGS("--join", pid, "--", "sleep", "100"));
	pid_t joined = program_of(&j);
	ok(alive(joined), "another joins");
	kill(r.launcher, SIGTERM);
	finish(&r);
	ok(dies(joined, 2000), "and does not survive the domain");
	finish(&j);
	start(&j, -1, ARGS("--join", pid, "--", "true"));
	is(finish(&j), 3, "a domain that is gone is refused");
	ok(strstr(j.out, "no such process") != NULL, "by name");
}

/* A sibling of the same uid, even one that is shown the host's /proc, may not look in. */
static void siblings(void)
{
	struct run victim, thief;
	char script[512];
	start(&victim, -1, ARGS("--", "sleep", "100"));
	int pid = (int)program_of(&victim);
	snprintf(
		script, sizeof(script),
		"kill -0 %d 2>/dev/null && echo pid; readlink /proc/%d/fd/0 && echo fd;"
		"cat /proc/%d/maps && echo maps; cat /proc/%d/environ && echo environ;"
		"dd if=/proc/%d/mem bs=1 count=1 && echo mem; ls /proc/%d/root/ && echo root; true",
		pid, pid, pid, pid, pid, pid);
	start(&thief, -1, ARGS("--rw", "/proc", "--", "sh", "-c", script));
	is(finish(&thief), 0, "a thief runs");
	static const char *const loot[] = {"pid\n",	"fd\n",	 "maps\n",
					   "environ\n", "mem\n", "root\n"};
	for (size_t i = 0; i < 6; i++) {
		char line[16];
		snprintf(line, sizeof(line), "\n%s", loot[i]);
		ok(strncmp(thief.out, loot[i], strlen(loot[i])) && !strstr(thief.out, line),
		   "and gets no %.4s", loot[i]);
	}
	kill(victim.launcher, SIGTERM);
	finish(&victim);
}

static void refusals(void)
{
	struct run r;
	start(&r, -1, ARGS("--frob", "1", "--", "true"));
	is(finish(&r), 2, "an unknown option");
	ok(strstr(r.out, "--frob") != NULL, "is named: %s", r.out);
	start(&r, -1, ARGS("--net", "new"));
	is(finish(&r), 2, "no program");
	start(&r, -1, ARGS("--ro", "relative", "--", "true"));
	is(finish(&r), 2, "a relative path");
	start(&r, -1, ARGS("--ro", "/no/such/path", "--", "true"));
	is(finish(&r), 3, "a path that is not there");
	ok(strstr(r.out, "/no/such/path") != NULL, "is named");
	start(&r, -1, ARGS("--", "no-such-program"));
	is(finish(&r), 127, "a program that is not there");
	start(&r, -1, ARGS("--no-isolation", "--", "sh", "-c", "exit 9"));
	is(finish(&r), 9, "--no-isolation runs it as it is");
}

/* As where the administrator allows no user namespaces: inside one that has a limit of 0. */
static void no_namespaces(void)
{
	struct run r;
	char command[4600];
	snprintf(command, sizeof(command),
		 "echo 0 > /proc/sys/user/max_user_namespaces && exec '%s' -- true", launcher);
	start(&r, -1, ARGS("--ro", launcher, "--", "sh", "-c", command));
	is(finish(&r), 3, "refused namespaces end with 3");
	ok(strstr(r.out, "sudo sysctl user.max_user_namespaces") != NULL, "and with the remedy: %s",
	   r.out);
}

static bool find_launcher(void)
{
	char self[2048];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *given = getenv("NF_LAUNCH");
	if (n <= 0)
		return false;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	snprintf(launcher, sizeof(launcher), "%s", given ? given : "");
	if (!given)
		snprintf(launcher, sizeof(launcher), "%.*s/nf-launch",
			 (int)(strrchr(self, '/') - self), self);
	return access(launcher, X_OK) == 0;
}

int main(void)
{
	struct run r;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip_all("nf-launch clones itself into namespaces, where a sanitizer's runtime waits for "
		 "ever");
#endif
	if (!find_launcher())
		skip_all("nf-launch is not built beside this program");
	setenv("MY_SECRET", "1", 1);
	if (shell(&r, "true") == 3)
		skip_all("%s", strtok(r.out, "\n"));
	inside();
	descriptors();
	lifetimes();
	joining();
	siblings();
	refusals();
	no_namespaces();
	return done();
}
