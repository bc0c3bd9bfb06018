/* SPDX-License-Identifier: MIT */
/*
 * Two network namespaces with something plain between them, to compare paths with:
 *
 *   nf-netns veth ADDRESS PEER   a veth pair, what one kernel can do by itself (`native`)
 *   nf-netns splice ADDRESS PEER two TAPs with offloads and this process copying frames between
 *                                them: what one process without rings costs (`splice`)
 *
 *   nf-netns address IF ADDRESS  gives an interface of this namespace an address in a /24, waiting
 *                                for it to appear, and returns
 *
 * The first two run in a namespace of nf-launch, which is the first end (interface nf0,
 * ADDRESS/24); a child holds the second (nf0, PEER/24). Says `ready` on standard output; ends when
 * standard input does, and both namespaces with it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/netif.h"

#define FRAME_MAX (65535 + NETIF_VNET_BYTES)
#define BURST 64
#define SPIN_NS 50000u /* the adaptive drivers' own */
#define MTU 1500
#define APPEAR_NS 3000000000ull
#define APPEAR_STEP_NS 5000000ull

static int fail(const char *what, int error)
{
	fprintf(stderr, "nf-netns: %s: %s\n", what, strerror(-error));
	return error;
}

static int parse(const char *text, uint32_t *out)
{
	struct in_addr a;
	if (inet_pton(AF_INET, text, &a) != 1)
		return -EINVAL;
	*out = ntohl(a.s_addr);
	return 0;
}

/* A fresh network namespace for the whole process, and the descriptors of the old and the new. */
static int new_namespace(int *old)
{
	*old = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (*old < 0)
		return -errno;
	return unshare(CLONE_NEWNET) < 0 ? -errno : netif_loopback();
}

/* A child that stays in the current namespace until we die. */
static int hold(void)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid != 0)
		return pid < 0 ? -errno : 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(0);
	for (;;)
		pause();
}

static int go_back(int ns)
{
	int e = setns(ns, CLONE_NEWNET) < 0 ? -errno : 0;
	close(ns);
	return e;
}

static int make_veth(uint32_t peer)
{
	int first = -1;
	int e = new_namespace(&first);
	if (e < 0)
		return e;
	int second = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	e = second < 0 ? -errno : hold();
	if (e == 0)
		e = setns(first, CLONE_NEWNET) < 0 ? -errno : 0;
	if (e == 0)
		e = netif_veth("nf0", "nf0", second);
	if (e == 0) { /* the other end is up first: no carrier otherwise */
		e = setns(second, CLONE_NEWNET) < 0 ? -errno : netif_up("nf0", peer, 24, MTU);
		int back = go_back(first);
		e = e ? e : back;
	}
	if (second >= 0)
		close(second);
	return e;
}

/* TAPs in both namespaces: fds[0] here, fds[1] over there. */
static int make_taps(uint32_t peer, int fds[2])
{
	int first = -1;
	fds[0] = netif_tap("nf0");
	if (fds[0] < 0)
		return fds[0];
	int e = new_namespace(&first);
	if (e < 0)
		return e;
	fds[1] = netif_tap("nf0");
	e = fds[1] < 0 ? fds[1] : netif_up("nf0", peer, 24, MTU);
	if (e == 0)
		e = hold();
	int back = go_back(first);
	return e ? e : back;
}

/* Moves up to BURST frames; how many. A frame the other TAP does not take is dropped, as a wire
 * would. */
static int move(int from, int to)
{
	static unsigned char frame[FRAME_MAX];
	int moved = 0;
	while (moved < BURST) {
		ssize_t n = read(from, frame, sizeof(frame));
		if (n <= 0)
			break;
		moved++;
		if (write(to, frame, (size_t)n) < 0 && errno != EAGAIN && errno != ENOBUFS &&
		    errno != EINVAL && errno != EIO)
			return -errno;
	}
	return moved;
}

static int splice_frames(const int fds[2])
{
	struct pollfd wait[3] = {{fds[0], POLLIN, 0}, {fds[1], POLLIN, 0}, {0, POLLIN, 0}};
	uint64_t last = 0;

	for (;;) {
		int a = move(fds[0], fds[1]), b = move(fds[1], fds[0]);
		if (a < 0 || b < 0)
			return a < 0 ? a : b;
		uint64_t now = win_now_ns();
		if (a + b > 0)
			last = now;
		else if (now - last < SPIN_NS)
			continue;
		else if (poll(wait, 3, -1) > 0 && wait[2].revents)
			return 0;
	}
}

static int wait_for_end(void)
{
	char byte;
	ssize_t n;
	while ((n = read(0, &byte, 1)) > 0 || (n < 0 && errno == EINTR))
		;
	return 0;
}

static int give_address(const char *name, const char *text)
{
	uint64_t until = win_now_ns() + APPEAR_NS;
	uint32_t address;
	int e = parse(text, &address);

	if (e == 0)
		e = netif_loopback();
	if (e < 0)
		return e;
	while ((e = netif_up(name, address, 24, MTU)) == -ENODEV && win_now_ns() < until)
		win_sleep_ns(APPEAR_STEP_NS);
	return e;
}

static int make(bool splice, uint32_t own, uint32_t peer)
{
	int fds[2] = {-1, -1};
	int e = netif_loopback();
	if (e == 0)
		e = splice ? make_taps(peer, fds) : make_veth(peer);
	if (e == 0)
		e = netif_up("nf0", own, 24, MTU);
	if (e < 0)
		return fail(splice ? "splice" : "veth", e), 3;
	printf("ready\n");
	fflush(stdout);
	e = splice ? splice_frames(fds) : wait_for_end();
	return e < 0 ? (fail("splice", e), 1) : 0;
}

int main(int argc, char **argv)
{
	uint32_t own, peer;

	if (argc == 4 && strcmp(argv[1], "address") == 0) {
		int e = give_address(argv[2], argv[3]);
		return e < 0 ? (fail(argv[2], e), 3) : 0;
	}
	bool splice = argc == 4 && strcmp(argv[1], "splice") == 0;
	if (argc != 4 || (!splice && strcmp(argv[1], "veth") != 0) || parse(argv[2], &own) < 0 ||
	    parse(argv[3], &peer) < 0) {
		fprintf(stderr, "usage: nf-netns veth|splice ADDRESS PEER\n"
				"       nf-netns address INTERFACE ADDRESS\n");
		return 2;
	}
	return make(splice, own, peer);
}
