/* SPDX-License-Identifier: MIT */
/*
 * The AF_PACKET port between real interfaces: TCP of two kernels through two of them with and
 * without offloads, a slow link that must not lose, VLAN tags, fanout, and interfaces that go.
 */
#include "port/afpacket.h"
#include "port_line.h"

#include <arpa/inet.h>
#include <linux/capability.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define STREAM_BYTES (16u << 20)

static pid_t far[2];
static uint32_t gso_seen;

static void fill(uint8_t *p, size_t n, uint64_t *state)
{
	for (size_t i = 0; i < n; i++) {
		*state = *state * 6364136223846793005ull + 1442695040888963407ull;
		p[i] = (uint8_t)(*state >> 56);
	}
}

/* In the second namespace: takes the stream, compares each byte, answers with one. */
static void receiver(int listener)
{
	static uint8_t buf[65536], want[65536];
	uint64_t state = 1;
	uint32_t total = 0;
	ssize_t n;
	int fd = accept(listener, NULL, NULL);
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		fill(want, (size_t)n, &state);
		if (memcmp(buf, want, (size_t)n))
			_exit(3);
		total += (uint32_t)n;
	}
	_exit(total == STREAM_BYTES && send(fd, "k", 1, MSG_NOSIGNAL) == 1 ? 0 : 4);
}

static void sender(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(7000)};
	static uint8_t buf[65536];
	uint64_t state = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0), tries = 200;
	a.sin_addr.s_addr = inet_addr("10.92.0.2");
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

static int pump(struct nf_port *from, struct nf_port *to)
{
	struct nf_buf bufs[LINE_BUFS];
	struct nf_frame frames[64];
	for (int i = 0; i < LINE_BUFS; i++)
		bufs[i] = (struct nf_buf){line_pages[i], 4096, 0};
	int n = from->ops->get(from, bufs, LINE_BUFS, frames, 64);
	for (int i = 0; i < n; i++)
		gso_seen += frames[i].gso_bytes != 0;
	return n <= 0 ? n : line_put(to, bufs, frames, (uint32_t)n);
}

static pid_t in_far(int i, void (*listen_then)(int), void (*plain)(void))
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	enter(far[i]);
	if (plain)
		plain();
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(7000)};
	int on = 1, l = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(l, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(l, 1) < 0)
		_exit(1);
	listen_then(l);
	_exit(1);
}

static void stream(const char *what, const char *options, uint32_t refused)
{
	char spec[2][64];
	int left = 2, bad = 0, status;
	gso_seen = 0;
	for (int i = 0; i < 2; i++) {
		snprintf(spec[i], sizeof(spec[i]), "afpacket:nfm%d%s", i, options);
		is(line_open(i, spec[i], refused, 0, 1, 1500), 0, "%s: %s opens", what, spec[i]);
	}
	pid_t b = in_far(1, receiver, NULL), a = in_far(0, NULL, sender);
	time_t end = time(NULL) + 60;
	while (left && time(NULL) < end) {
		struct pollfd p[2] = {{line_ports[0].fd, POLLIN, 0}, {line_ports[1].fd, POLLIN, 0}};
		poll(p, 2, 10);
		for (int k = 0; k < 100; k++) {
			int rc = pump(&line_ports[0], &line_ports[1]) +
				 pump(&line_ports[1], &line_ports[0]);
			if (rc <= 0)
				break;
		}
		pid_t ended = waitpid(a, &status, WNOHANG);
		if (ended != a)
			ended = waitpid(b, &status, WNOHANG) == b ? b : 0;
		if (ended > 0) {
			left--;
			bad |= status;
		}
	}
	if (left) {
		end_process(a);
		end_process(b);
	}
	is(left | bad, 0, "%s: %u bytes of TCP arrive unchanged", what, STREAM_BYTES);
	is(line_count(0, NF_COUNTER_rx_dropped_malformed) +
		   line_count(1, NF_COUNTER_rx_dropped_malformed),
	   0, "%s: nothing was malformed", what);
	diag("%s: %u with GSO, %llu segmented, %llu checksums completed", what, gso_seen,
	     (unsigned long long)(line_count(0, NF_COUNTER_gso_segmented)),
	     (unsigned long long)(line_count(0, NF_COUNTER_csum_completed)));
	nf_port_close(&line_ports[0]);
	nf_port_close(&line_ports[1]);
}

static uint32_t batch(uint32_t bytes, uint32_t from, uint32_t n, struct nf_buf *bufs,
		      struct nf_frame *frames)
{
	for (uint32_t i = 0; i < n; i++) {
		line_frame(line_pages[i], bytes, from + i);
		bufs[i] = (struct nf_buf){line_pages[i], bytes, 0};
		frames[i] = (struct nf_frame){.bytes = bytes, .first = (uint16_t)i, .count = 1};
	}
	return n;
}

/* 4,000 frames into 20 Mbit/s: put takes fewer than it is given, POLLOUT comes, all arrive. */
static void slow_link(void)
{
	struct nf_buf bufs[64];
	struct nf_frame frames[64];
	uint32_t bad = 0, sent = 0, refused = 0;
	int ends[2];
	if (run("tc qdisc add dev nfm0 root tbf rate 40mbit burst 16kb limit 64mb") != 0) {
		skip("a slow link loses nothing", "no tc, or a kernel without sch_tbf");
		return;
	}
	is(line_open(0, "afpacket:nfm0", 0, 0, 1, 1500), 0, "opens on a shaped link");
	if (pipe(ends) < 0)
		abort();
	pid_t taker = fork();
	if (taker == 0) {
		enter(far[0]);
		if (line_open(1, "afpacket:nff0", 0, 0, 1, 1500) != 0 || write(ends[1], "", 1) != 1)
			_exit(9);
		uint32_t got = 0;
		uint64_t drops = 0;
		/* on a busy machine this end is late: its own ring overflows, and says so */
		for (int i = 0; i < 20 && got + drops < 4000; i++) {
			got += line_take(1, 4000 - got - (uint32_t)drops, 1500, 1000, &bad);
			nf__afp_check(&line_ports[1]);
			drops = line_count(1, NF_COUNTER_rx_dropped_port);
		}
		if (drops || bad)
			diag("%u came, %u bad, %llu dropped by the ring", got, bad,
			     (unsigned long long)drops);
		got += (uint32_t)drops;
		_exit(got == 4000 && bad == 0 ? 0 : 1);
	}
	char byte;
	ok(read(ends[0], &byte, 1) == 1, "somebody listens");
	while (sent < 4000) {
		uint32_t n = batch(1500, sent, 40, bufs, frames), done = 0;
		while (done < n) {
			int rc = line_ports[0].ops->put(&line_ports[0], bufs, &frames[done],
							n - done);
			if (rc < 0)
				break;
			refused += (uint32_t)rc < n - done;
			done += (uint32_t)rc;
			struct pollfd room = {line_ports[0].fd, POLLOUT, 0};
			if (done < n)
				poll(&room, 1, 1000);
		}
		sent += n;
	}
	int status = -1;
	waitpid(taker, &status, 0);
	is(status, 0, "all 4,000 frames arrive or are counted, none changed");
	ok(refused > 0, "the port said %u times that it is full", refused);
	is(line_count(0, NF_COUNTER_tap_drops), 0, "and dropped nothing");
	is(line_ports[0].put_waits, 1, "its room is POLLOUT");
	nf_port_close(&line_ports[0]);
	close(ends[0]);
	close(ends[1]);
	run("tc qdisc del dev nfm0 root");
}

static void tagged_and_large(void)
{
	struct nf_buf b = {line_pages[0], 1500, 0}, in[4];
	struct nf_frame f = {.bytes = 1500, .count = 1}, got[4];
	uint8_t sent[1500];
	is(line_open(0, "afpacket:nfm0,gso=off", 0, 0, 1, 1000), 0, "opens with an MTU of 1,000");
	enter(far[0]);
	is(line_open(1, "afpacket:nff0", 0, 0, 1, 1500), 0, "the far end opens");
	line_frame(line_pages[0], 1500, 1);
	is(line_put(&line_ports[1], &b, &f, 1), 1, "a frame above this MTU is sent");
	b.bytes = f.bytes = 300;
	line_frame(line_pages[0], 300, 2);
	memcpy(line_pages[0] + 12, "\x81\x00\x00\x2a\x88\xb5", 6);
	memcpy(sent, line_pages[0], 300);
	is(line_put(&line_ports[1], &b, &f, 1), 1, "and a tagged one");
	int n = 0;
	for (int tries = 0; tries < 200 && n <= 0; tries++) {
		for (int k = 0; k < 4; k++)
			in[k] = (struct nf_buf){line_pages[k], 4096, 0};
		n = line_ports[0].ops->get(&line_ports[0], in, 4, got, 4);
		if (n > 0 && memcmp(line_pages[0] + 6, sent + 6, 6) != 0)
			n = 0;
		if (n == 0)
			usleep(5000);
	}
	ok(n >= 1, "the tagged one comes");
	ok(n >= 1 && got[0].bytes == 300 && !memcmp(line_pages[0], sent, 300),
	   "with its tag where it was");
	ok(line_count(0, NF_COUNTER_rx_dropped_malformed) >= 1, "the large one is counted");
	ok(line_count(0, NF_COUNTER_rx_dropped_port) >= 1, "as a drop of this port");
	nf_port_close(&line_ports[0]);
	nf_port_close(&line_ports[1]);
}

static void fanout(int home)
{
	struct nf_buf bufs[64];
	struct nf_frame frames[64];
	uint32_t bad = 0;
	is(line_open(0, "afpacket:nfm0", 0, 0, 2, 1500), 0, "the first queue of two opens");
	is(line_open(1, "afpacket:nfm0", 0, 1, 2, 1500), 0, "and the second joins it");
	enter(far[0]);
	is(line_open(2, "afpacket:nff0", 0, 0, 1, 1500), 0, "the far end opens");
	batch(200, 0, 64, bufs, frames);
	is(line_put(&line_ports[2], bufs, frames, 64), 64, "64 frames are sent");
	uint32_t got = line_take(0, 64, 200, 500, &bad) + line_take(1, 64, 200, 500, &bad);
	is(got, 64, "each comes once, by one of the queues");
	is(bad, 0, "unchanged");
	for (int i = 0; i < 3; i++)
		nf_port_close(&line_ports[i]);
	setns(home, CLONE_NEWNET);
}

static void gone_under_load(int home)
{
	struct nf_buf bufs[64];
	struct nf_frame frames[64];
	int put = 0, get = 0;
	run("ip link add nfx0 type veth peer name nfx1 && ip link set nfx1 up");
	is(line_open(0, "afpacket:nfx0", 0, 0, 1, 1500), 0, "opens; it was down and is brought up");
	is(line_open(1, "afpacket:nfx0", 0, 0, 1, 1500), 0, "a second one beside it");
	batch(1500, 0, 64, bufs, frames);
	for (int i = 0; i < 2000 && put >= 0; i++) {
		put = line_ports[0].ops->put(&line_ports[0], bufs, frames, 64);
		if (i == 20)
			run("ip link set nfx0 down");
		if (i == 30)
			is(put < 0, 0, "an interface that is only down is no end");
		if (i == 40)
			run("ip link del nfx0");
	}
	is(put, -ENODEV, "a sender is told that it is gone");
	for (int i = 0; i < 2000 && get >= 0; i++) {
		for (int k = 0; k < 64; k++)
			bufs[k] = (struct nf_buf){line_pages[k], 4096, 0};
		get = line_ports[1].ops->get(&line_ports[1], bufs, 64, frames, 64);
	}
	is(get, -ENODEV, "and a receiver");
	nf_port_close(&line_ports[0]);
	nf_port_close(&line_ports[1]);
	setns(home, CLONE_NEWNET);
}

static void no_rights(void)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
		struct __user_cap_data_struct none[2] = {{0}};
		struct nf_port_env env = {.queues = 1};
		char err[320] = "";
		if (syscall(SYS_capset, &h, none) < 0)
			_exit(8);
		int rc = nf_port_open("afpacket:nfm0", &env, &line_ports[0], err, sizeof(err));
		_exit(rc == -EPERM && strstr(err, "CAP_NET_RAW") ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	is(status, 0, "without CAP_NET_RAW: EPERM, and it says which capability");
}

static void refusals(void)
{
	static const char *const bad[] = {"afpacket:", "afpacket:no/slash", "afpacket:x,gro=off",
					  "afpacket:averyveryverylongname", "afpacket:lo,"};
	char err[320] = "";
	struct nf_port_env env = {.queues = 1};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		is(nf_port_open(bad[i], &env, &line_ports[0], err, sizeof(err)), -EINVAL, "%s",
		   bad[i]);
		is(nf_port_probe(bad[i]), -EINVAL, "nor can it be probed");
	}
	is(nf_port_open("afpacket:nosuch0", &env, &line_ports[0], err, sizeof(err)), -ENODEV,
	   "an interface that is not there");
	ok(strstr(err, "nosuch0") && strstr(err, "ip link"), "by name, with what to do: %s", err);
	is(nf_port_probe("afpacket:x,csum=off"), NF_PORT_SG, "no checksums, no segmentation");
	no_rights();
}

static int lines_make(void)
{
	for (int i = 0; i < 2; i++) {
		far[i] = other_namespace();
		if (far[i] < 0)
			return -1;
		if (run("ip link add nfm%d type veth peer name nff%d netns %d", i, i,
			(int)far[i]) ||
		    run("ip link set nfm%d up", i))
			return -1;
		if (run("nsenter -n -t %d ip addr add 10.92.0.%d/24 dev nff%d", (int)far[i], i + 1,
			i) ||
		    run("nsenter -n -t %d ip link set nff%d up", (int)far[i], i))
			return -1;
	}
	return 0;
}

int main(void)
{
	const char *why = enter_namespaces();
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (why)
		skip_all("%s", why);
	if (home < 0 || lines_make() < 0)
		skip_all("no iproute2 (ip) or nsenter here, or no veth");
	signal(SIGPIPE, SIG_IGN);
	stream("all offloads", "", 0);
	ok(gso_seen > 0, "offloads were used");
	stream("cut here", "", NF_PORT_GSO4 | NF_PORT_GSO6);
	is(gso_seen, 0, "no GSO frame came");
	ok(line_count(0, NF_COUNTER_gso_segmented) > 0, "they were cut in software");
	stream("no offloads", ",csum=off", NF_PORT_GSO4 | NF_PORT_GSO6 | NF_PORT_CSUM);
	is(gso_seen, 0, "none was used");
	slow_link();
	setns(home, CLONE_NEWNET);
	tagged_and_large();
	setns(home, CLONE_NEWNET);
	fanout(home);
	gone_under_load(home);
	refusals();
	end_process(far[0]);
	end_process(far[1]);
	return done();
}
