/* SPDX-License-Identifier: MIT */
/*
 * Two TAPs in two network namespaces, joined by the ports' own get and put: a TCP stream of a
 * seeded pattern between the two kernels, with and without offloads; and what a TAP must not hand
 * on.
 */
#include "nf/netif.h"
#include "nf/offload.h"
#include "nf/port.h"
#include "netns.h"
#include "tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BUFS 128
#define STREAM_BYTES (24u << 20)

static struct nf_counters counters[2];
static uint8_t pages[BUFS][4096] __attribute__((aligned(4096)));
static struct nf_port ports[2];
static uint32_t gso_seen, blank_seen, largest;

static void set_ip(const char *name, const char *ip)
{
	struct ifreq r = {0};
	struct sockaddr_in a = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	a.sin_addr.s_addr = inet_addr(ip);
	memcpy(&r.ifr_addr, &a, sizeof(a));
	if (ioctl(fd, SIOCSIFADDR, &r) < 0)
		diag("address of %s: %s", name, strerror(errno));
	a.sin_addr.s_addr = inet_addr("255.255.255.0");
	memcpy(&r.ifr_addr, &a, sizeof(a));
	ioctl(fd, SIOCSIFNETMASK, &r);
	close(fd);
}

static void fill(uint8_t *p, size_t n, uint64_t *state)
{
	for (size_t i = 0; i < n; i++) {
		*state = *state * 6364136223846793005ull + 1442695040888963407ull;
		p[i] = (uint8_t)(*state >> 56);
	}
}

/* Connects to the other end and sends; exits 0 when all went. */
static void sender(const char *to)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(7000)};
	static uint8_t buf[65536];
	uint64_t state = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0), tries = 200;

	a.sin_addr.s_addr = inet_addr(to);
	while (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && --tries)
		usleep(20000);
	for (uint32_t sent = 0; sent < STREAM_BYTES; sent += sizeof(buf)) {
		fill(buf, sizeof(buf), &state);
		if (send(fd, buf, sizeof(buf), MSG_NOSIGNAL) != (ssize_t)sizeof(buf))
			_exit(1);
	}
	shutdown(fd, SHUT_WR);
	_exit(recv(fd, buf, 1, 0) == 1 ? 0 : 2);
}

/* Takes the stream and compares each byte; answers with one. */
static void receiver(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(7000)};
	static uint8_t buf[65536], want[65536];
	uint64_t state = 1;
	uint32_t total = 0;
	ssize_t n;
	int on = 1, l = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(l, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(l, 1) < 0)
		_exit(1);
	int fd = accept(l, NULL, NULL);
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		fill(want, (size_t)n, &state);
		if (memcmp(buf, want, (size_t)n))
			_exit(3);
		total += (uint32_t)n;
	}
	if (total != STREAM_BYTES || send(fd, "k", 1, MSG_NOSIGNAL) != 1)
		_exit(4);
	_exit(0);
}

/* Frames from one TAP to the other, as two drivers would. */
static int pump(struct nf_port *from, struct nf_port *to)
{
	struct nf_buf bufs[BUFS];
	struct nf_frame frames[32];

	for (int i = 0; i < BUFS; i++)
		bufs[i] = (struct nf_buf){pages[i], 4096, 0};
	int n = from->ops->get(from, bufs, BUFS, frames, 32);
	for (int i = 0; i < n; i++) {
		gso_seen += frames[i].gso_bytes != 0;
		blank_seen += (frames[i].flags & NF_FRAME_CSUM_BLANK) != 0;
		if (frames[i].bytes > largest)
			largest = frames[i].bytes;
	}
	if (n > 0 && to->ops->put(to, bufs, frames, (uint32_t)n) != n)
		return -EIO;
	return n;
}

/* Runs both pumps until the children ended; 0 when both were content. */
static int pump_until(pid_t a, pid_t b)
{
	int bad = 0, left = 2, status;
	time_t end = time(NULL) + 20;

	while (left && time(NULL) < end) {
		struct pollfd p[2] = {{ports[0].fd, POLLIN, 0}, {ports[1].fd, POLLIN, 0}};
		poll(p, 2, 10);
		for (int i = 0; i < 100; i++)
			if (pump(&ports[0], &ports[1]) + pump(&ports[1], &ports[0]) == 0)
				break;
		pid_t done_pid = waitpid(-1, &status, WNOHANG);
		if (done_pid > 0) {
			left--;
			bad |= status;
			if (status)
				diag("%s ended with %#x", done_pid == a ? "sender" : "receiver",
				     (unsigned)status);
		}
	}
	if (left) {
		kill(a, SIGKILL);
		kill(b, SIGKILL);
		while (waitpid(-1, &status, 0) > 0)
			;
		return -ETIMEDOUT;
	}
	return bad;
}

static int open_tap(int i, const char *spec, uint32_t refused)
{
	char err[200];
	struct nf_port_env env = {.queues = 1,
				  .mtu = 1500,
				  .mac = {2, 0x4e, 0x46, 0, 0, 7},
				  .is_back = (uint8_t)i,
				  .features_refused = refused,
				  .counters = &counters[i]};
	int rc = nf_port_open(spec, &env, &ports[i], err, sizeof(err));
	if (rc)
		diag("%s", err);
	return rc;
}

/* One stream; the second TAP and the receiver are in a namespace of their own. */
static void stream(const char *what, const char *spec0, const char *spec1, uint32_t refused)
{
	int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	gso_seen = blank_seen = largest = 0;
	is(open_tap(0, spec0, refused), 0, "%s: the front's TAP opens", what);
	set_ip("nft0", "10.91.0.1");
	pid_t a = fork();
	if (a == 0)
		sender("10.91.0.2");
	if (unshare(CLONE_NEWNET) < 0)
		diag("unshare: %s", strerror(errno));
	is(open_tap(1, spec1, refused), 0, "%s: the back's TAP opens", what);
	set_ip("nft1", "10.91.0.2");
	pid_t b = fork();
	if (b == 0)
		receiver();
	is(pump_until(a, b), 0, "%s: %u bytes of TCP arrive unchanged", what, STREAM_BYTES);
	diag("%s: largest frame %u, %u with GSO, %u with a blank checksum", what, largest, gso_seen,
	     blank_seen);
	is(counters[0].words[NF_COUNTER_rx_dropped_malformed] +
		   counters[1].words[NF_COUNTER_rx_dropped_malformed],
	   0, "%s: nothing was malformed", what);
	nf_port_close(&ports[0]);
	nf_port_close(&ports[1]);
	if (setns(here, CLONE_NEWNET) < 0)
		diag("setns: %s", strerror(errno));
	close(here);
	memset(counters, 0, sizeof(counters));
}

static struct nf_frame frame_of(uint32_t bytes)
{
	return (struct nf_frame){.bytes = bytes, .count = 1};
}

/* What a peer may ask the TAP to send and must not get. */
static void refusals(void)
{
	struct nf_buf b = {pages[0], 4096, 0};
	struct nf_frame f = frame_of(60);

	is(open_tap(0, "tap:nft0", 0), 0, "opens");
	memset(pages[0], 0, 4096);
	f.flags = NF_FRAME_CSUM_BLANK;
	b.bytes = 60;
	is(ports[0].ops->put(&ports[0], &b, &f, 1), 1,
	   "a blank checksum without TCP or UDP is taken");
	is(counters[0].words[NF_COUNTER_rx_dropped_malformed], 1, "and dropped as malformed");
	f = frame_of(60);
	f.gso_type = NF_NETIF_GSO_TYPE_TCPV4;
	f.gso_bytes = 1448;
	ports[0].ops->put(&ports[0], &b, &f, 1);
	is(counters[0].words[NF_COUNTER_rx_dropped_malformed], 2, "GSO without TCP too");
	f = frame_of(60);
	is(ports[0].ops->put(&ports[0], &b, &f, 1), 1, "a plain frame is taken");
	is(counters[0].words[NF_COUNTER_rx_dropped_port], 2, "two frames dropped in all");
	b.bytes = 4096;
	f = frame_of(0);
	is(ports[0].ops->get(&ports[0], &b, 0, &f, 1), 0, "get without buffers gives nothing");
	nf_port_close(&ports[0]);
	nf_port_close(&ports[0]);
	ok(true, "closing twice is harmless");
	char err[160] = "";
	struct nf_port_env env = {.queues = 1};
	is(nf_port_open("tap:lo", &env, &ports[0], err, sizeof(err)), -EINVAL,
	   "an interface that is no TAP is refused");
	ok(strstr(err, "lo") != NULL, "by name: %s", err);
}

int main(void)
{
	const char *why = enter_namespaces();
	if (why)
		skip_all("%s", why);
	signal(SIGPIPE, SIG_IGN);
	refusals();
	memset(counters, 0, sizeof(counters));
	stream("all offloads", "tap:nft0", "tap:nft1", 0);
	ok(gso_seen > 0 && blank_seen > 0, "offloads were used");
	ok(largest > 1514 && largest <= 65535, "frames of up to %u bytes", largest);
	stream("no GSO", "tap:nft0", "tap:nft1", NF_PORT_GSO4 | NF_PORT_GSO6);
	ok(gso_seen == 0 && largest <= 1518, "no GSO frame came, none above the MTU");
	ok(blank_seen > 0, "blank checksums did");
	stream("no offloads", "tap:nft0,csum=off", "tap:nft1,csum=off", 0);
	ok(gso_seen == 0 && blank_seen == 0, "none was used");
	return done();
}
