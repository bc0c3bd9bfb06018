/* SPDX-License-Identifier: MIT */
/*
 * What the filters forbid, tried from inside: each attempt runs in a child that has given the calls
 * up, and tells the errno it got. Programs of a domain may do nothing with Xen's devices; a driver
 * daemon may do little at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine/confine.h"
#include "layer/xen/uapi.h"
#include "tap.h"

enum who { NOBODY, DOMAIN, DRIVER, XEN_DRIVER };

#define SIGNALLED 200

/* errno of what in a child that is confined as who; 0: it succeeded. */
static int tried(enum who who, int (*what)(void))
{
	int status = 0;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		int rc = who == NOBODY	 ? 0
			 : who == DOMAIN ? prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) + confine_domain()
					 : confine_driver(who == XEN_DRIVER);
		if (rc < 0)
			_exit(199);
		errno = 0;
		_exit(what() < 0 ? errno : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFSIGNALED(status) ? SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
}

static int null_ioctl(unsigned long request)
{
	char argument[256] = {0};
	int fd = open("/dev/null", O_RDWR);
	int rc = ioctl(fd, request, argument);
	int error = errno;
	close(fd);
	errno = error;
	return rc;
}

static int try_alloc_gref(void)
{
	return null_ioctl(IOCTL_GNTALLOC_ALLOC_GREF);
}
static int try_dealloc_gref(void)
{
	return null_ioctl(IOCTL_GNTALLOC_DEALLOC_GREF);
}
static int try_unmap_notify(void)
{
	return null_ioctl(IOCTL_GNTALLOC_SET_UNMAP_NOTIFY);
}
static int try_map_gref(void)
{
	return null_ioctl(IOCTL_GNTDEV_MAP_GRANT_REF);
}
static int try_grant_copy(void)
{
	return null_ioctl(IOCTL_GNTDEV_GRANT_COPY);
}
static int try_notify(void)
{
	return null_ioctl(IOCTL_EVTCHN_NOTIFY);
}
static int try_bind(void)
{
	return null_ioctl(IOCTL_EVTCHN_BIND_INTERDOMAIN);
}
/* the kernel takes 32 bits of a request: more must not make it another one */
static int try_high_bits(void)
{
	int fd = open("/dev/null", O_RDWR);
	char argument[64] = {0};
	return (int)syscall(SYS_ioctl, fd, IOCTL_GNTALLOC_ALLOC_GREF | 1ul << 40, argument);
}
static int try_tun(void)
{
	return null_ioctl(TUNSETIFF);
}
static int try_terminal(void)
{
	return null_ioctl(TIOCSTI);
}
#ifdef __x86_64__
/* getpid of the 32-bit ABI: calls that a filter of this ABI's numbers would take for others */
static int try_other_abi(void)
{
	long rc;
	__asm__ volatile("int $0x80" : "=a"(rc) : "a"(20L) : "memory");
	errno = (int)-rc;
	return rc < 0 ? -1 : 0;
}
static int try_x32(void)
{
	return (int)syscall(0x40000000 + SYS_getpid);
}
#endif

static int try_exec(void)
{
	char name[] = "/bin/true";
	char *argv[] = {name, NULL};
	return execv(name, argv);
}
static int try_fork(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	return pid;
}
static int try_ptrace(void)
{
	return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}
static int try_mount(void)
{
	return mount("none", "/tmp", "tmpfs", 0, NULL);
}
static int try_unshare(void)
{
	return unshare(CLONE_NEWUSER);
}
static int try_setns(void)
{
	return setns(0, 0);
}
static int try_chroot(void)
{
	return chroot("/tmp");
}
static int try_kill(void)
{
	return kill(getpid(), 0);
}
static int try_process_read(void)
{
	return (int)syscall(SYS_process_vm_readv, getpid(), NULL, 0ul, NULL, 0ul, 0ul);
}
static int try_bpf(void)
{
	return (int)syscall(SYS_bpf, 13 /* BPF_PROG_GET_FD_BY_ID */, NULL, 0);
}
static int try_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1);
}
static int try_exec_map(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? -1 : 0;
}
static int try_exec_protect(void)
{
	void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? 0 : mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static void *thread_main(void *arg)
{
	return arg;
}

/* What a driver does all day, and a thread of its own. */
static int try_honest_work(void)
{
	pthread_t thread;
	void *got = NULL;
	int pair[2], fd = open("/dev/null", O_RDWR | O_CLOEXEC), poll_fd = epoll_create1(0);
	char byte = 1, *heap = malloc(8u << 20);
	if (!heap || fd < 0 || poll_fd < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
	    send(pair[0], &byte, 1, MSG_DONTWAIT) != 1 ||
	    recv(pair[1], &byte, 1, MSG_DONTWAIT) != 1 || write(fd, heap, 4096) != 4096)
		return -1;
	free(heap);
	errno = pthread_create(&thread, NULL, thread_main, &byte);
	if (errno || pthread_join(thread, &got) || got != &byte)
		return -1;
	errno = 0;
	return sched_yield();
}

static int other_thread_rc, other_thread_errno;
static pthread_barrier_t barrier;

static void *later(void *arg)
{
	pthread_barrier_wait(&barrier); /* started before the filter */
	pthread_barrier_wait(&barrier); /* it is there now */
	other_thread_rc = try_mount();
	other_thread_errno = errno;
	return arg;
}

/* The filter is everybody's, of the poller that runs already as well. */
static int try_other_thread(void)
{
	pthread_t thread;
	pthread_barrier_init(&barrier, NULL, 2);
	if (pthread_create(&thread, NULL, later, NULL))
		return 0;
	pthread_barrier_wait(&barrier);
	if (confine_driver(false) < 0)
		return 0;
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	errno = other_thread_errno;
	return other_thread_rc;
}

static const struct {
	const char *name;
	int (*what)(void);
	int nobody; /* what an unconfined child gets, -1: not tried */
	int domain, driver, xen;
} attempts[] = {
	{"gntalloc: grant more pages", try_alloc_gref, ENOTTY, EPERM, EPERM, ENOTTY},
	{"gntalloc: end the grants", try_dealloc_gref, ENOTTY, EPERM, EPERM, ENOTTY},
	{"gntalloc: unmap notify", try_unmap_notify, ENOTTY, EPERM, EPERM, ENOTTY},
	{"gntdev: map", try_map_gref, ENOTTY, EPERM, EPERM, ENOTTY},
	{"gntdev: copy", try_grant_copy, ENOTTY, EPERM, EPERM, ENOTTY},
	{"evtchn: notify", try_notify, ENOTTY, EPERM, EPERM, ENOTTY},
	{"evtchn: bind", try_bind, ENOTTY, EPERM, EPERM, ENOTTY},
	{"gntalloc with high bits set", try_high_bits, ENOTTY, EPERM, EPERM, ENOTTY},
	{"a TAP", try_tun, ENOTTY, ENOTTY, ENOTTY, ENOTTY},
	{"typing on a terminal", try_terminal, ENOTTY, ENOTTY, EPERM, EPERM},
	/* a driver on Xen may run itself, which is static: what needs a loader cannot start */
	{"another program", try_exec, 0, 0, EPERM, 127},
	{"another process", try_fork, 0, 0, EPERM, 0},
	{"ptrace", try_ptrace, 0, 0, EPERM, EPERM},
	{"mount", try_mount, -1, -1, EPERM, EPERM},
	{"unshare", try_unshare, -1, -1, EPERM, EPERM},
	{"setns", try_setns, EINVAL, EINVAL, EPERM, EPERM},
	{"chroot", try_chroot, -1, -1, EPERM, EPERM},
	{"kill", try_kill, 0, 0, EPERM, EPERM},
	{"reading a process", try_process_read, 0, 0, EPERM, EPERM},
	{"others' bpf programs", try_bpf, -1, -1, EPERM, EPERM},
	{"being dumpable again", try_dumpable, 0, 0, EPERM, EPERM},
	{"executable memory", try_exec_map, 0, 0, EPERM, EPERM},
	{"memory made executable", try_exec_protect, 0, 0, EPERM, EPERM},
	{"honest work", try_honest_work, 0, 0, 0, 0},
#ifdef __x86_64__
	{"the x32 ABI", try_x32, -1, EPERM, EPERM, EPERM},
#endif
};

static void expect(enum who who, const char *as, size_t i, int want)
{
	if (want >= 0)
		is(tried(who, attempts[i].what), want, "%s: %s", as, attempts[i].name);
}

static void test_capabilities(void)
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (confine_capabilities() < 0)
			_exit(1);
		bool is_root = geteuid() == 0;
		/* gone from what execve could give, and from what we have */
		if (is_root && prctl(PR_CAPBSET_READ, 21 /* CAP_SYS_ADMIN */) != 0)
			_exit(2);
		if (is_root && prctl(PR_CAPBSET_READ, 12 /* CAP_NET_ADMIN */) != 1)
			_exit(3);
		if (mount("none", "/tmp", "tmpfs", 0, NULL) == 0 || errno != EPERM)
			_exit(4);
		_exit(confine_capabilities() < 0 ? 5 : 0);
	}
	waitpid(pid, &status, 0);
	is(status, 0, "capabilities: the network's stay, the system's go, twice is fine");
}

int main(void)
{
	bool has_filter = tried(DOMAIN, sched_yield) == 0,
	     has_driver = tried(DRIVER, sched_yield) == 0;
	if (!has_filter) {
		diag("this kernel has no seccomp");
		return 77;
	}
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		expect(NOBODY, "anybody", i, attempts[i].nobody);
		expect(DOMAIN, "in a domain", i, attempts[i].domain);
		if (!has_driver)
			continue; /* a sanitizer's build */
		expect(DRIVER, "a driver", i, attempts[i].driver);
		expect(XEN_DRIVER, "a driver on Xen", i, attempts[i].xen);
	}
#ifdef __x86_64__
	int other = tried(NOBODY, try_other_abi);
	if (other == 0)
		is(tried(DOMAIN, try_other_abi), EPERM, "in a domain: the 32-bit ABI");
	else
		diag("this kernel runs no 32-bit programs");
#endif
	if (has_driver)
		is(tried(NOBODY, try_other_thread), EPERM, "a driver: threads of before");
	test_capabilities();
	return done();
}
