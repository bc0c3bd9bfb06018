/* SPDX-License-Identifier: MIT */
/*
 * What a driver daemon may ask of the kernel. By groups, so that who adds a port sees where its
 * calls belong; the first are those of the data path.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "confine.h"

#define COUNT(list) (uint32_t)(sizeof(list) / sizeof(list[0]))

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#define SYS_io_uring_enter 426
#define SYS_io_uring_register 427
#endif
#ifndef SYS_rseq
#define SYS_rseq 334
#endif

static const long calls[] = {
	/* notifications, frames, sectors */
	SYS_read,
	SYS_write,
	SYS_readv,
	SYS_writev,
	SYS_sendto,
	SYS_recvfrom,
	SYS_sendmsg,
	SYS_recvmsg,
	SYS_sendmmsg,
	SYS_recvmmsg,
	SYS_epoll_pwait,
	SYS_ppoll,
	SYS_pread64,
	SYS_pwrite64,
	SYS_preadv,
	SYS_pwritev,
	SYS_preadv2,
	SYS_pwritev2,
	SYS_futex,
	SYS_sched_yield,
	/* disks */
	SYS_fsync,
	SYS_fdatasync,
	SYS_fallocate,
	SYS_sync_file_range,
	SYS_io_setup,
	SYS_io_submit,
	SYS_io_getevents,
	SYS_io_destroy,
	SYS_io_uring_enter,
	SYS_io_uring_setup,
	SYS_io_uring_register,
	SYS_io_cancel,
	SYS_fadvise64,
	/* waiting, clocks */
	SYS_epoll_create1,
	SYS_epoll_ctl,
	SYS_eventfd2,
	SYS_timerfd_create,
	SYS_timerfd_settime,
	SYS_timerfd_gettime,
	SYS_clock_gettime,
	SYS_clock_nanosleep,
	SYS_nanosleep,
	SYS_gettimeofday,
	SYS_restart_syscall,
	/* memory; mmap and mprotect below */
	SYS_munmap,
	SYS_mremap,
	SYS_madvise,
	SYS_brk,
	SYS_mlock,
	SYS_munlock,
	SYS_msync,
	/* files */
	SYS_openat,
	SYS_close,
	SYS_fstat,
	SYS_newfstatat,
	SYS_statx,
	SYS_lseek,
	SYS_ftruncate,
	SYS_fchmod,
	SYS_fcntl,
	SYS_flock,
	SYS_getdents64,
	SYS_readlinkat,
	SYS_faccessat,
	SYS_faccessat2,
	SYS_unlinkat,
	SYS_mkdirat,
	SYS_renameat2,
	SYS_umask,
	SYS_dup,
	SYS_dup3,
	SYS_pipe2,
	SYS_memfd_create,
	SYS_statfs,
	SYS_fstatfs,
	SYS_getcwd,
	/* sockets: layers, stores, the control socket, systemd's, ports */
	SYS_socket,
	SYS_socketpair,
	SYS_bind,
	SYS_listen,
	SYS_accept4,
	SYS_connect,
	SYS_shutdown,
	SYS_getsockopt,
	SYS_setsockopt,
	SYS_getsockname,
	SYS_getpeername,
	/* itself and its threads; clone below */
	SYS_exit,
	SYS_exit_group,
	SYS_rt_sigaction,
	SYS_rt_sigprocmask,
	SYS_rt_sigreturn,
	SYS_sigaltstack,
	SYS_set_robust_list,
	SYS_rseq,
	SYS_gettid,
	SYS_getpid,
	SYS_getppid,
	SYS_getuid,
	SYS_geteuid,
	SYS_getgid,
	SYS_getegid,
	SYS_tgkill,
	SYS_sched_getaffinity,
	SYS_sched_setaffinity,
	SYS_getcpu,
	SYS_getrandom,
	SYS_getrusage,
	SYS_uname,
	SYS_sysinfo,
	SYS_capget,
	SYS_set_tid_address,
	SYS_prlimit64,
#ifdef __x86_64__
	SYS_poll,
	SYS_epoll_wait,
	SYS_open,
	SYS_stat,
	SYS_lstat,
	SYS_access,
	SYS_readlink,
	SYS_unlink,
	SYS_mkdir,
	SYS_rename,
	SYS_dup2,
	SYS_pipe,
	SYS_eventfd,
	SYS_time,
	SYS_arch_prctl,
#else
	SYS_renameat,
#endif
};

static const uint32_t requests[] = {
	TUNSETIFF,	 TUNGETIFF,	TUNSETPERSIST, TUNSETQUEUE,   TUNSETVNETHDRSZ,
	TUNGETVNETHDRSZ, TUNSETVNETLE,	TUNSETOFFLOAD, TUNSETCARRIER, TUNGETFEATURES,
	TUNSETSNDBUF,	 SIOCGIFHWADDR, SIOCSIFHWADDR, SIOCGIFMTU,    SIOCSIFMTU,
	SIOCGIFNAME,	 SIOCGIFFLAGS,	SIOCSIFFLAGS,  SIOCGIFINDEX,  SIOCETHTOOL,
	SIOCINQ,	 SIOCOUTQ,	FIONBIO,       TCGETS,	      BLKGETSIZE64,
	BLKSSZGET,	 BLKPBSZGET,	BLKROGET,      BLKFLSBUF,     BLKDISCARD,
	BLKZEROOUT,	 BLKIOMIN,	BLKIOOPT,      BLKALIGNOFF,   BLKROTATIONAL,
	BLKSECDISCARD,
};

/* The process that holds event channels of before a restore, and what xen.c asks of its devices. */
static void allow_xen(struct confine_filter *f)
{
	static const long more[] = {SYS_clone, SYS_execve, SYS_wait4, SYS_setsid, SYS_chdir,
#ifdef __x86_64__
				    SYS_pause,
#endif
				    SYS_ppoll};
	for (uint32_t i = 0; i < COUNT(more); i++)
		confine_allow(f, more[i]);
}

static void allow_requests(struct confine_filter *f, bool is_xen)
{
	uint32_t all[96], count = 0, xen_count;
	const uint32_t *xen = confine_xen_requests(&xen_count);

	for (; count < COUNT(requests); count++)
		all[count] = requests[count];
	for (uint32_t i = 0; is_xen && i < xen_count; i++)
		all[count++] = xen[i];
	confine_if_listed(f, SYS_ioctl, 1, all, count, true);
}

int confine_driver(bool is_xen)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	(void)is_xen;
	(void)calls;
	(void)allow_requests;
	(void)allow_xen;
	return -ENOSYS;
#else
	static const uint32_t names[] = {PR_SET_NAME, PR_GET_NAME};
	static const uint32_t commands[] = {BPF_MAP_CREATE, BPF_MAP_UPDATE_ELEM, BPF_PROG_LOAD,
					    BPF_LINK_CREATE}; /* AF_XDP's */
	struct confine_filter f;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	confine_begin(&f);
	for (uint32_t i = 0; i < COUNT(calls); i++)
		confine_allow(&f, calls[i]);
	allow_requests(&f, is_xen);
	confine_if_listed(&f, SYS_prctl, 0, names, COUNT(names), true);
	confine_if_listed(&f, SYS_bpf, 0, commands, COUNT(commands), true);
	confine_if_masked(&f, SYS_mmap, 2, PROT_EXEC, 0);
	confine_if_masked(&f, SYS_mprotect, 2, PROT_EXEC, 0);
	confine_refuse(&f, SYS_clone3, ENOSYS); /* its flags are in memory; libc then uses clone */
	if (is_xen)
		allow_xen(&f);
	else
		confine_if_masked(&f, SYS_clone, 0, CLONE_THREAD, CLONE_THREAD);
	return confine_install(&f, false);
#endif
}
