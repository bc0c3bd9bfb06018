/* SPDX-License-Identifier: MIT */
/* Serves tests, each in a process of its own. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "netperf.h"

static int bound_socket(const struct np_options *o, int type, bool any_port, uint32_t *port)
{
	struct sockaddr_storage a = o->address;
	socklen_t n = o->address_bytes;
	const int on = 1;
	int fd = socket(a.ss_family, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (any_port)
		((struct sockaddr_in *)&a)->sin_port = 0;
	if (bind(fd, (struct sockaddr *)&a, n) < 0 || (type == SOCK_STREAM && listen(fd, 16) < 0) ||
	    getsockname(fd, (struct sockaddr *)&a, &n) < 0) {
		int err = -errno;
		close(fd);
		return err;
	}
	*port = ntohs(((struct sockaddr_in *)&a)->sin_port);
	np_timeouts(fd, NP_PATIENCE_S);
	return fd;
}

static bool valid(const struct np_request *q)
{
	return q->magic == NP_MAGIC && q->test >= NP_TCP_STREAM && q->test <= NP_UDP_RR &&
	       q->message >= 1 && q->message <= NP_MESSAGE_MAX && q->ms >= 1 &&
	       q->ms <= NP_SECONDS_MAX * 1000 && q->patience_s >= 1 &&
	       q->patience_s <= NP_PATIENCE_MAX;
}

static void run_test(int data, int ctl, const struct np_request *q, struct np_result *r)
{
	const int on = 1;
	switch (q->test) {
	case NP_TCP_STREAM:
		np_receive_stream(data, -1, q, r);
		break;
	case NP_TCP_MAERTS:
		np_send_stream(data, q, false, r);
		break;
	case NP_UDP_STREAM:
		np_receive_stream(data, ctl, q, r);
		break;
	case NP_TCP_RR:
		setsockopt(data, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		np_answer(data, -1, q, r);
		break;
	default:
		np_answer(data, ctl, q, r);
		break;
	}
}

static int serve(const struct np_options *o, int ctl)
{
	struct np_result r = {.magic = NP_MAGIC};
	struct np_ready ready = {.magic = NP_MAGIC};
	struct np_request q;

	np_timeouts(ctl, NP_PATIENCE_S);
	np_deadline(NP_GRACE_S(NP_PATIENCE_S));
	if (np_read_all(ctl, &q, sizeof(q)) < 0 || !valid(&q))
		return 1;
	np_deadline(q.ms / 1000 + NP_GRACE_S(q.patience_s));
	np_timeouts(ctl, q.patience_s);
	bool udp = q.test == NP_UDP_STREAM || q.test == NP_UDP_RR;
	int fd = bound_socket(o, udp ? SOCK_DGRAM : SOCK_STREAM, true, &ready.port);
	if (fd < 0 || np_write_all(ctl, &ready, sizeof(ready)) < 0)
		return 1;
	np_timeouts(fd, q.patience_s);
	int data = udp ? fd : accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	if (data < 0)
		return 1;
	np_timeouts(data, q.patience_s);
	uint64_t cpu = np_cpu_ns();
	run_test(data, ctl, &q, &r);
	r.cpu_ns = np_cpu_ns() - cpu;
	r.retransmits = udp ? 0 : np_retransmits(data);
	return np_write_all(ctl, &r, sizeof(r)) < 0;
}

static volatile sig_atomic_t stopped;

static void stop(int sig)
{
	(void)sig;
	stopped = 1;
}

int np_server(const struct np_options *o)
{
	/* no SA_RESTART: accept returns */
	const struct sigaction on_stop = {.sa_handler = stop};
	uint32_t port;
	int fd = bound_socket(o, SOCK_STREAM, false, &port);

	if (fd < 0) {
		np_say("listening: %s", strerror(-fd));
		return 1;
	}
	sigaction(SIGTERM, &on_stop, NULL);
	sigaction(SIGINT, &on_stop, NULL);
	signal(SIGCHLD, SIG_IGN); /* children are reaped by the kernel */
	printf("ready %u\n", port);
	fflush(stdout);
	uint64_t end = np_now_ns() + (uint64_t)o->max_seconds * 1000000000u;
	while (!stopped && np_now_ns() < end) {
		int ctl = accept4(fd, NULL, NULL, SOCK_CLOEXEC); /* wakes for the time, too */
		if (ctl < 0)
			continue;
		pid_t child = fork();
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(fd);
			signal(SIGTERM, SIG_DFL);
			_exit(np_pin(o->cpu) < 0 ? 1 : serve(o, ctl));
		}
		close(ctl);
	}
	close(fd);
	return 0;
}
