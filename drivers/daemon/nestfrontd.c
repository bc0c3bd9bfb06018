/* SPDX-License-Identifier: MIT */
/* The driver daemon of one domain. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "confine/confine.h"
#include "nf/xen.h"
#include "nfd/nfd.h"

/* Signals come through a descriptor; blocked before the poller's thread inherits the mask. */
static int open_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	int err = pthread_sigmask(SIG_BLOCK, &set, NULL);
	return err ? -err : signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* A device takes a few descriptors at each end, and nobody selects here. */
static void raise_files(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files); /* refused: as many as before */
}

/* 0, or an exit code after logging. */
static int open_all(struct nfd *d)
{
	const struct nfd_where *where[NFD_SIDES] = {&d->opt.layer, &d->opt.outer};

	if (nfd_rundir_open(d) < 0)
		return 1;
	nfd_rundir_counters(d);
	d->signal_fd = open_signals();
	d->watch_fd = epoll_create1(EPOLL_CLOEXEC);
	if (d->signal_fd < 0 || d->watch_fd < 0) {
		nfd_log("%s: %s", d->signal_fd < 0 ? "signalfd" : "epoll", strerror(errno));
		return 1;
	}
	for (uint32_t i = 0; i < NFD_SIDES && (where[i]->fd >= 0 || where[i]->xen_dir); i++) {
		if (nfd_side_open(&d->sides[i], where[i]) < 0)
			return where[i]->xen_dir ? NFD_EXIT_REFUSED : 1;
		d->side_count++;
	}
	if (nfd_control_open(d) < 0)
		return 1;
	d->opt.poll.control = d->sides[0].control;
	int err = nf_poller_start(&d->opt.poll, &d->poller);
	if (err < 0) {
		nfd_log("poller%s: %s", d->opt.poll.cpu >= 0 ? " (is --cpu a CPU here?)" : "",
			strerror(-err));
		return 1;
	}
	return 0;
}

/* From here on a peer that takes us over has little to work with. Without it we still run: the
 * peer's lies are refused before that. */
static void confine(const struct nfd *d)
{
	int err = d->opt.no_seccomp ? 0
				    : confine_driver(d->opt.layer.xen_dir || d->opt.outer.xen_dir);
	if (err < 0)
		nfd_log("system calls are not restricted: %s",
			err == -ENOSYS ? "this kernel or build has no seccomp" : strerror(-err));
}

static void close_all(struct nfd *d)
{
	for (uint32_t i = 0; i < d->side_count; i++)
		if (d->sides[i].silent)
			nf_store_give_up(d->sides[i].store);
	for (uint32_t i = 0; i < d->device_count; i++)
		if (d->devices[i].used)
			nfd_device_drop(d, &d->devices[i], false);
	nf_poller_stop(d->poller);
	nfd_control_close(d);
	for (uint32_t i = 0; i < NFD_SIDES; i++)
		nfd_side_close(&d->sides[i]);
	nfd_rundir_close(d);
	if (d->signal_fd >= 0)
		close(d->signal_fd);
	if (d->watch_fd >= 0)
		close(d->watch_fd);
}

/*
 * A program that sends wakes our poller with every frame, one that receives is woken by it. If each
 * took the CPU from the other, there would be two switches a frame; in a PV domain each is a
 * hypercall and a new address space. A batch thread waits until the other rests or has had its
 * share, and then finds many frames; at this niceness it also gets through with them.
 */
static void sched_as_backend(void)
{
	struct sched_param p = {0};
	if (sched_setscheduler(0, SCHED_BATCH, &p) < 0 || setpriority(PRIO_PROCESS, 0, -10) < 0)
		nfd_log("not scheduled as it should be: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	static struct nfd d;
	bool help;

	if (argc == 2 && !strcmp(argv[1], "--hold-evtchn"))
		nf_xen_hold();
	/* before any secret is here: nobody of this uid may look in, or take descriptors out */
	prctl(PR_SET_DUMPABLE, 0);
	d.signal_fd = d.watch_fd = d.lock_fd = -1;
	int code = nfd_parse(&d.opt, argc, argv, &help);
	if (code || help)
		return code;
	nfd_log_name(d.opt.name);
	raise_files();
	if (d.opt.layer.xen_dir)
		sched_as_backend();
	int err = confine_capabilities();
	if (err < 0)
		nfd_log("capabilities stay as they are: %s", strerror(-err));
	code = open_all(&d);
	if (code == 0) {
		confine(&d);
		printf("ready\n");
		fflush(stdout);
		nfd_notify("READY=1");
		code = nfd_loop(&d);
		nfd_log("stopped");
	}
	close_all(&d);
	return code;
}
