/* SPDX-License-Identifier: MIT */
/*
 * One end of a shaped link, with the generator and the sink of the "gen" port and no rings of ours:
 *
 *   nf-line far LINE BITS   makes a veth LINE in this network namespace, its other end in one of
 * its own, both shaped to BITS a second, and is that other end nf-line near LINE       this end:
 * the plain sender and receiver that others are compared with
 *
 * Says `ready`; then obeys lines on standard input: `send BYTES`, `idle`, `count`. The last answers
 * with one line of numbers: time in ns, frames generated, frames sunk, lost, duplicated, reordered,
 * corrupted, frames the port dropped, frames the shaper dropped. Ends with standard input.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/netif.h"
#include "lib/shape.h"
#include "nf/control.h"
#include "nf/port.h"

#define PAGES 256u
#define BATCH 64u
#define LIMIT_BYTES (64u << 20) /* the sender's own send buffer is far below */
#define MTU 1500u

struct end {
	char line[16];
	struct nf_port gen, wire;
	struct nf_control_dev control;
	struct nf_counters counters;
	uint8_t *pages;
	/* frames of the generator that the wire had no room for */
	struct nf_buf bufs[PAGES];
	struct nf_frame frames[BATCH];
	uint32_t from, left;
	char command[64];
	size_t typed;
};

static int fail(const char *what, int error)
{
	fprintf(stderr, "nf-line: %s: %s\n", what, strerror(-error));
	return error;
}

/* The veth; we are in the new namespace afterwards. */
static int make_link(const char *line, uint64_t bits)
{
	int first = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), second = -1;
	int e = first < 0 || unshare(CLONE_NEWNET) < 0 ? -errno : 0;
	if (e == 0)
		second = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (e == 0 && (second < 0 || setns(first, CLONE_NEWNET) < 0))
		e = -errno;
	if (e == 0)
		e = netif_veth(line, line, second);
	if (e == 0)
		e = shape_line(line, bits, LIMIT_BYTES);
	if (e == 0 && setns(second, CLONE_NEWNET) < 0)
		e = -errno;
	if (e == 0)
		e = shape_line(line, bits, LIMIT_BYTES);
	if (first >= 0)
		close(first);
	if (second >= 0)
		close(second);
	return e;
}

static int end_open(struct end *e, const char *line)
{
	char spec[64], err[320] = "";
	struct nf_port_env env = {
		.queues = 1, .mtu = MTU, .control = &e->control, .counters = &e->counters};
	snprintf(e->line, sizeof(e->line), "%s", line);
	snprintf(spec, sizeof(spec), "afpacket:%s", line);
	e->control.frame_bytes = 60;
	e->pages = aligned_alloc(4096, (size_t)PAGES * 4096);
	if (!e->pages)
		return fail("pages", -ENOMEM);
	memset(e->pages, 0, (size_t)PAGES * 4096);
	int rc = nf_port_open("gen", &env, &e->gen, err, sizeof(err));
	if (rc == 0)
		rc = nf_port_open(spec, &env, &e->wire, err, sizeof(err));
	if (rc < 0)
		fprintf(stderr, "nf-line: %s\n", err);
	return rc;
}

static void lend(struct end *e)
{
	for (uint32_t i = 0; i < PAGES; i++)
		e->bufs[i] = (struct nf_buf){e->pages + (size_t)i * 4096, 4096, i};
}

/* Generator to wire: frames moved, or negative errno. */
static int outward(struct end *e)
{
	if (e->left == 0) {
		lend(e);
		int n = e->gen.ops->get(&e->gen, e->bufs, PAGES, e->frames, BATCH);
		if (n == 0) /* another size: it wants to be asked again */
			n = e->gen.ops->get(&e->gen, e->bufs, PAGES, e->frames, BATCH);
		if (n <= 0)
			return n;
		e->from = 0;
		e->left = (uint32_t)n;
	}
	int taken = e->wire.ops->put(&e->wire, e->bufs, &e->frames[e->from], e->left);
	if (taken < 0)
		return taken;
	e->from += (uint32_t)taken;
	e->left -= (uint32_t)taken;
	return taken;
}

/* Wire to sink. */
static int inward(struct end *e)
{
	struct nf_buf bufs[PAGES];
	struct nf_frame frames[BATCH];
	static uint8_t pages[PAGES][4096];
	for (uint32_t i = 0; i < PAGES; i++)
		bufs[i] = (struct nf_buf){pages[i], 4096, i};
	int n = e->wire.ops->get(&e->wire, bufs, PAGES, frames, BATCH);
	return n <= 0 ? n : e->gen.ops->put(&e->gen, bufs, frames, (uint32_t)n);
}

static uint64_t word(const struct end *e, enum nf_counter c)
{
	return e->counters.words[c];
}

static void count(const struct end *e)
{
	int64_t drops = shape_drops(e->line);
	printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
	       " %" PRIu64 " %" PRId64 "\n",
	       win_now_ns(), word(e, NF_COUNTER_gen_packets) - e->left,
	       word(e, NF_COUNTER_sink_packets), word(e, NF_COUNTER_sink_lost),
	       word(e, NF_COUNTER_sink_duplicated), word(e, NF_COUNTER_sink_reordered),
	       word(e, NF_COUNTER_sink_corrupted),
	       word(e, NF_COUNTER_tx_dropped_port) + word(e, NF_COUNTER_rx_dropped_port), drops);
	fflush(stdout);
}

static int obey(struct end *e, const char *line)
{
	unsigned bytes;
	if (sscanf(line, "send %u", &bytes) == 1 && bytes >= 60 && bytes <= MTU + 14) {
		e->control.frame_bytes = bytes;
		e->control.mode = NF_GEN_SEND;
	} else if (!strcmp(line, "idle")) {
		e->control.mode = NF_GEN_IDLE;
	} else if (!strcmp(line, "count")) {
		count(e);
	} else {
		fprintf(stderr, "nf-line: send BYTES, idle or count, not '%s'\n", line);
		return -EINVAL;
	}
	return 0;
}

/* Lines that came; 1: standard input has ended. */
static int listen_in(struct end *e)
{
	char byte;
	ssize_t n;
	while ((n = read(0, &byte, 1)) == 1) {
		if (byte != '\n') {
			if (e->typed + 1 < sizeof(e->command))
				e->command[e->typed++] = byte;
			continue;
		}
		e->command[e->typed] = '\0';
		e->typed = 0;
		int rc = obey(e, e->command);
		if (rc < 0)
			return rc;
	}
	return n == 0;
}

/* Sleeps whenever there is nothing to do: beside it others are measured. */
static int serve(struct end *e)
{
	uint32_t rounds = 0;
	for (;;) {
		int out = outward(e), in = out < 0 ? out : inward(e);
		if (in < 0)
			return fail(e->line, in);
		bool idle = out + in == 0;
		if (!idle && ++rounds % 64)
			continue;
		short wire = e->left ? POLLIN | POLLOUT : POLLIN;
		struct pollfd p[2] = {{0, POLLIN, 0}, {e->wire.fd, wire, 0}};
		if (poll(p, 2, idle ? -1 : 0) < 0 && errno != EINTR)
			return fail("poll", -errno);
		if (!p[0].revents)
			continue;
		int rc = listen_in(e);
		if (rc != 0)
			return rc < 0 ? rc : 0;
	}
}

int main(int argc, char **argv)
{
	static struct end e;
	bool far = argc == 4 && !strcmp(argv[1], "far");
	if ((!far && (argc != 3 || strcmp(argv[1], "near") != 0)) || strlen(argv[2]) > 15) {
		fprintf(stderr, "usage: nf-line far LINE BITS_PER_SECOND\n"
				"       nf-line near LINE\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	int rc = far ? make_link(argv[2], strtoull(argv[3], NULL, 10)) : 0;
	if (rc < 0)
		return fail(rc == -ENOENT ? "shaping (a kernel without sch_tbf?)" : "the link", rc),
		       3;
	if (end_open(&e, argv[2]) < 0)
		return 3;
	if (fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK) < 0)
		return fail("standard input", -errno), 3;
	printf("ready\n");
	fflush(stdout);
	return serve(&e) < 0 ? 1 : 0;
}
