/* SPDX-License-Identifier: MIT */
/*
 * What a kernel may put into a TAP that netif cannot say, or nobody agreed to: frames with offload
 * headers of our choice, sent through a packet socket. And writes while the interface is taken
 * away.
 */
#include "nf/offload.h"
#include "nf/port.h"
#include "netns.h"
#include "tap.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct vnet {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset;
};

static struct nf_counters counters;
static struct nf_port port;
static uint8_t page[17][4096];
static struct nf_buf bufs[17];
static struct nf_frame frame;
static int packet_fd = -1;

static int open_port(uint32_t refused, uint32_t mtu)
{
	char err[200];
	struct nf_port_env env = {.queues = 1,
				  .mtu = mtu,
				  .is_back = 1,
				  .features_refused = refused,
				  .counters = &counters};
	memset(&counters, 0, sizeof(counters));
	int rc = nf_port_open("tap:hostile0", &env, &port, err, sizeof(err));
	if (rc)
		diag("%s", err);
	return rc;
}

/* A packet socket on the TAP that takes a virtio header before each frame. */
static int open_packet(void)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET,
				.sll_ifindex = (int)if_nametoindex("hostile0")};
	int on = 1, fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) < 0)
		return -1;
	return fd;
}

static bool inject(const struct vnet *v, const uint8_t *bytes, size_t n)
{
	static uint8_t out[70000];
	memcpy(out, v, sizeof(*v));
	memcpy(out + sizeof(*v), bytes, n);
	ssize_t sent = send(packet_fd, out, sizeof(*v) + n, 0);
	if (sent < 0)
		diag("injecting %zu bytes: %s", n, strerror(errno));
	return sent > 0;
}

/* The next frame into `count` pages; what get returned. Frames of other makers (IPv6) are passed
 * over. */
static int next(uint32_t count, uint16_t ethertype)
{
	for (int i = 0; i < 20; i++) {
		struct pollfd p = {port.fd, POLLIN, 0};
		if (poll(&p, 1, 200) <= 0)
			return 0;
		for (uint32_t k = 0; k < count; k++)
			bufs[k] = (struct nf_buf){page[k], 4096, 0};
		uint64_t bad = counters.words[NF_COUNTER_rx_dropped_malformed];
		int n = port.ops->get(&port, bufs, count, &frame, 1);
		if (n < 0 || counters.words[NF_COUNTER_rx_dropped_malformed] != bad)
			return n;
		if (n == 1 && page[0][12] == ethertype >> 8 && page[0][13] == (ethertype & 0xff))
			return 1;
	}
	return 0;
}

static void ethernet(uint8_t *f, uint16_t type)
{
	memset(f, 0x02, 12);
	f[12] = (uint8_t)(type >> 8);
	f[13] = (uint8_t)type;
}

/* A checksum at a place that is neither TCP's nor UDP's: done here, over the rest of the frame. */
static void odd_checksum(void)
{
	uint8_t f[200];
	const struct vnet v = {.flags = 1, .csum_start = 20, .csum_offset = 4};

	for (size_t i = 0; i < sizeof(f); i++)
		f[i] = (uint8_t)(i * 11);
	ethernet(f, 0x88b5);
	f[24] = f[25] = 0;
	ok(inject(&v, f, sizeof(f)), "a frame that asks for a checksum of its own kind");
	is(next(17, 0x88b5), 1, "comes");
	is(frame.flags, 0, "without a blank checksum");
	is(counters.words[NF_COUNTER_csum_completed], 1, "which was completed");
	is(nf_csum_fold(nf_csum_add(0, page[0] + 20, sizeof(f) - 20, 0)), 0xffff, "and is right");
}

/* IPv4 and TCP of n payload bytes, checksum blank; returns the frame's length. */
static size_t tcp_frame(uint8_t *f, uint32_t n)
{
	memset(f, 0, 54 + n);
	ethernet(f, 0x0800);
	uint8_t *ip = f + 14;
	ip[0] = 0x45;
	ip[2] = (uint8_t)((40 + n) >> 8);
	ip[3] = (uint8_t)(40 + n);
	ip[8] = 64;
	ip[9] = 6;
	memcpy(ip + 12, "\x0a\x01\x01\x01\x0a\x01\x01\x02", 8);
	uint16_t sum = (uint16_t)~nf_csum_fold(nf_csum_add(0, ip, 20, 0));
	ip[10] = (uint8_t)(sum >> 8);
	ip[11] = (uint8_t)sum;
	ip[20 + 12] = 0x50;
	struct nf_headers h;
	nf_headers_parse(f, 54, 54 + n, &h);
	uint16_t pseudo = nf_csum_pseudo(f, &h, 20 + n);
	f[50] = (uint8_t)(pseudo >> 8);
	f[51] = (uint8_t)pseudo;
	return 54 + n;
}

static void gso(uint32_t refused, const char *what)
{
	static uint8_t f[70000];
	const struct vnet v = {.flags = 1,
			       .gso_type = 1,
			       .hdr_len = 54,
			       .gso_size = 1000,
			       .csum_start = 34,
			       .csum_offset = 16};
	size_t n = tcp_frame(f, 5000);
	uint32_t segments = 0, wrong = 0;

	ok(inject(&v, f, n), "%s: a GSO frame of 5,000 bytes", what);
	if (!refused) {
		is(next(17, 0x0800), 1, "%s: comes", what);
		ok(frame.gso_bytes == 1000 && frame.gso_type == 1 && frame.bytes == n &&
			   frame.count == 2,
		   "%s: whole, over two pages", what);
		return;
	}
	while (segments < 10 && next(1, 0x0800) == 1) {
		struct nf_headers h;
		uint8_t head[256];
		uint32_t got = nf_frame_peek(bufs, &frame, 0, head, sizeof(head));
		wrong += frame.gso_type != 0 || frame.bytes > 1054 ||
			 nf_headers_parse(head, got, frame.bytes, &h) != 0;
		if (!(frame.flags & NF_FRAME_CSUM_BLANK))
			wrong += nf_csum_complete(page[0], frame.bytes, &h) !=
				 (page[0][50] << 8 | page[0][51]);
		segments++;
	}
	is(segments, 5, "%s: comes as five segments", what);
	is(wrong, 0, "%s: each right", what);
}

static void too_long(void)
{
	static uint8_t f[9014];
	const struct vnet v = {0};
	struct ifreq r = {.ifr_name = "hostile0", .ifr_mtu = 9000};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	is(ioctl(fd, SIOCSIFMTU, &r), 0, "the MTU is raised behind the port's back");
	close(fd);
	ethernet(f, 0x88b5);
	ok(inject(&v, f, sizeof(f)), "a frame of 9,014 bytes");
	is(next(1, 0x88b5), 0, "does not fit into one page");
	is(counters.words[NF_COUNTER_rx_dropped_malformed], 1, "it is dropped and counted");
	is(counters.words[NF_COUNTER_rx_dropped_port], 1, "as one the guest does not get");
	ok(inject(&v, f, sizeof(f)), "another");
	is(next(17, 0x88b5), 1, "fits into several");
	ok(frame.bytes == 9014 && frame.count == 3, "three of them");
	memset(f + 14, 7, 50);
	ok(inject(&v, f, 60), "and a small one");
	is(next(1, 0x88b5), 1, "still comes");
}

static void taken_away(void)
{
	struct ifreq r = {.ifr_name = "hostile0"};
	struct nf_frame f = {.bytes = 60, .count = 1};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	bufs[0] = (struct nf_buf){page[0], 60, 0};
	ethernet(page[0], 0x88b5);
	is(ioctl(fd, SIOCSIFFLAGS, &r), 0, "the interface goes down");
	is(port.ops->put(&port, bufs, &f, 1), 1, "a frame is taken");
	is(counters.words[NF_COUNTER_tap_drops], 1, "and dropped, counted");
	r.ifr_flags = IFF_UP;
	is(ioctl(fd, SIOCSIFFLAGS, &r), 0, "it comes up");
	is(port.ops->put(&port, bufs, &f, 1), 1, "a frame is taken");
	is(counters.words[NF_COUNTER_tap_drops], 1, "and sent");
	close(fd);
	pid_t child = fork();
	if (child == 0)
		_exit(system("ip link del hostile0 2>/dev/null") ? 1 : 0);
	int status = 1;
	waitpid(child, &status, 0);
	if (status) {
		skip("deleted interface", "there is no ip command to delete it with");
		return;
	}
	is(port.ops->put(&port, bufs, &f, 1), -ENODEV, "deleted: put says so");
	bufs[0].bytes = 4096;
	is(port.ops->get(&port, bufs, 1, &f, 1), -ENODEV, "and get");
}

int main(void)
{
	const char *why = enter_namespaces();
	if (why)
		skip_all("%s", why);
	is(open_port(0, 1500), 0, "a TAP with all offloads");
	packet_fd = open_packet();
	ok(packet_fd >= 0, "a packet socket on it");
	odd_checksum();
	gso(0, "agreed");
	close(packet_fd);
	nf_port_close(&port);
	is(open_port(NF_PORT_GSO4 | NF_PORT_GSO6, 1500), 0, "a TAP without GSO");
	packet_fd = open_packet();
	gso(NF_PORT_GSO4, "no GSO");
	close(packet_fd);
	nf_port_close(&port);
	is(open_port(NF_PORT_GSO4 | NF_PORT_GSO6 | NF_PORT_CSUM, 1500), 0, "a TAP without any");
	packet_fd = open_packet();
	gso(NF_PORT_GSO4, "no offloads");
	too_long();
	taken_away();
	close(packet_fd);
	nf_port_close(&port);
	return done();
}
