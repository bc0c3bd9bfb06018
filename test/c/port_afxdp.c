/* SPDX-License-Identifier: MIT */
/* The AF_XDP port on a veth: frames both ways, the fallback from zero copy, interfaces that go. */
#include "port_line.h"

static pid_t far;
static int home;

static void batch(uint32_t bytes, uint32_t n, struct nf_buf *bufs, struct nf_frame *frames)
{
	for (uint32_t i = 0; i < n; i++) {
		line_frame(line_pages[i], bytes, i);
		bufs[i] = (struct nf_buf){line_pages[i], bytes, 0};
		frames[i] = (struct nf_frame){.bytes = bytes, .first = (uint16_t)i, .count = 1};
	}
}

/* 64 frames from one port to the other, so many times. */
static void carries(const char *what, int from, int to, uint32_t bytes)
{
	struct nf_buf bufs[64];
	struct nf_frame frames[64];
	uint32_t got = 0, bad = 0;
	for (int i = 0; i < 50; i++) {
		batch(bytes, 64, bufs, frames);
		if (line_put(&line_ports[from], bufs, frames, 64) != 64)
			break;
		got += line_take(to, 64, bytes, 2000, &bad);
	}
	is(got, 3200, "%s: 3,200 frames of %u bytes", what, bytes);
	is(bad, 0, "%s: unchanged", what);
}

static void both_ways(void)
{
	struct nf_buf bufs[64];
	struct nf_frame frames[64];
	if (!is(line_open(0, "afxdp:nfm0", 0, 0, 1, 1500), 0, "opens on a veth"))
		return;
	enter(far);
	is(line_open(1, "afpacket:nff0", 0, 0, 1, 1500), 0, "a packet socket at the far end");
	carries("to the wire", 0, 1, 60);
	carries("to the wire", 0, 1, 1514);
	carries("from the wire", 1, 0, 60);
	carries("from the wire", 1, 0, 1514);
	batch(4000, 1, bufs, frames);
	is(line_ports[0].ops->put(&line_ports[0], bufs, frames, 1), 1,
	   "a frame larger than a chunk is taken");
	is(line_count(0, NF_COUNTER_rx_dropped_malformed), 1, "and dropped, counted");
	batch(100, 1, bufs, frames);
	frames[0].flags = NF_FRAME_CSUM_BLANK;
	is(line_ports[0].ops->put(&line_ports[0], bufs, frames, 1), 1, "so is a blank checksum");
	is(line_count(0, NF_COUNTER_rx_dropped_malformed), 2, "which nobody would fill in");
	setns(home, CLONE_NEWNET);
	char err[320] = "";
	struct nf_port_env env = {.queues = 1};
	is(nf_port_open("afxdp:nfm0", &env, &line_ports[2], err, sizeof(err)), -EBUSY,
	   "a second one on it is refused: %s", err);
	nf_port_close(&line_ports[0]);
	ok(run("ip link show nfm0 | grep -q xdp") != 0, "its program goes with it");
	is(line_open(0, "afxdp:nfm0,queue=0", 0, 0, 1, 1500), 0, "and it opens again");
	nf_port_close(&line_ports[0]);
	nf_port_close(&line_ports[1]);
}

static void falls_back(void)
{
	char err[320] = "";
	struct nf_port_env env = {.queues = 1, .mtu = 1500};
	is(nf_port_open("afxdp:nfm0,zerocopy", &env, &line_ports[0], err, sizeof(err)), 0,
	   "zero copy on a veth opens");
	ok(strstr(err, "copy mode") != NULL, "in copy mode, and says so: %s", err);
	nf_port_close(&line_ports[0]);
}

static void refusals(void)
{
	static const char *const bad[] = {
		"afxdp:",	    "afxdp:a/b",	  "afxdp:x,queue=",
		"afxdp:x,queue=-1", "afxdp:x,queue=1024", "afxdp:x,zero"};
	char err[320] = "";
	struct nf_port_env env = {.queues = 1};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is(nf_port_open(bad[i], &env, &line_ports[0], err, sizeof(err)), -EINVAL, "%s",
		   bad[i]);
	is(nf_port_open("afxdp:nosuch0", &env, &line_ports[0], err, sizeof(err)), -ENODEV,
	   "an interface that is not there: %s", err);
	is(nf_port_open("afxdp:nfm0,queue=63", &env, &line_ports[0], err, sizeof(err)), -EINVAL,
	   "a queue it has not: %s", err);
	env.queues = 2;
	is(nf_port_open("afxdp:nfm0", &env, &line_ports[0], err, sizeof(err)), -EINVAL,
	   "a device of two queues: %s", err);
	is(nf_port_probe("afxdp:x"), NF_PORT_SG, "no offloads");
}

static void gone_under_load(void)
{
	struct nf_buf bufs[64];
	struct nf_frame frames[64];
	int rc = 0;
	if (!is(line_open(0, "afxdp:nfm0", 0, 0, 1, 1500), 0, "opens"))
		return;
	batch(1500, 64, bufs, frames);
	for (int i = 0; i < 3000 && rc >= 0; i++) {
		rc = line_ports[0].ops->put(&line_ports[0], bufs, frames, 64);
		if (i == 10)
			run("ip link del nfm0");
	}
	is(rc, -ENODEV, "a sender is told that it is gone");
	for (int i = 0, got = 0; i < 2000 && got >= 0; i++)
		rc = got = line_ports[0].ops->get(&line_ports[0], bufs, 64, frames, 64);
	is(rc, -ENODEV, "and a receiver");
	nf_port_close(&line_ports[0]);
}

int main(void)
{
	char err[320] = "";
	struct nf_port_env env = {.queues = 1};
	/* XDP programs take rights over the machine: a user namespace has none */
	home = unshare(CLONE_NEWNET) == 0 ? open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC) : -1;
	if (home < 0)
		skip_all("not root");
	far = other_namespace();
	if (far < 0 || run("ip link add nfm0 type veth peer name nff0 netns %d", (int)far) ||
	    run("ip link set nfm0 up") || run("nsenter -n -t %d ip link set nff0 up", (int)far))
		skip_all("no iproute2 (ip) or nsenter here, or no veth");
	int rc = nf_port_open("afxdp:nfm0", &env, &line_ports[0], err, sizeof(err));
	if (rc == -EPERM || rc == -EAFNOSUPPORT || rc == -ENOSYS) {
		end_process(far);
		skip_all("%s", err);
	}
	nf_port_close(&line_ports[0]);
	both_ways();
	falls_back();
	refusals();
	gone_under_load();
	end_process(far);
	return done();
}
