/* SPDX-License-Identifier: MIT */
/* Two veth pairs whose inner ends are ours: in main's namespace nfm0 and nfm1, out in two others.
 */
#ifndef NF_TEST_PORT_LINE_H
#define NF_TEST_PORT_LINE_H

#include "nf/netif.h"
#include "nf/offload.h"
#include "nf/port.h"
#include "netns.h"
#include "tap.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define LINE_BUFS 256

static struct nf_counters line_counters[4];
static struct nf_port line_ports[4];
static uint8_t line_pages[LINE_BUFS][4096] __attribute__((aligned(4096)));

/* A shell line in this namespace; 0 when it succeeded. */
__attribute__((unused, format(printf, 1, 2))) static int run(const char *fmt, ...)
{
	char text[512], quiet[560];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(quiet, sizeof(quiet), "%s >/dev/null 2>&1", text);
	return system(quiet);
}

/* A process in a network namespace of its own, which lives as long as it; its pid. */
__attribute__((unused)) static pid_t other_namespace(void)
{
	int ready[2];
	char byte;
	if (pipe(ready) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	if (read(ready[0], &byte, 1) != 1)
		pid = -1;
	close(ready[0]);
	close(ready[1]);
	return pid;
}

__attribute__((unused)) static int enter(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = fd < 0 ? -1 : setns(fd, CLONE_NEWNET);
	close(fd);
	return rc;
}

__attribute__((unused)) static void end_process(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* One port on an interface of this namespace. */
__attribute__((unused)) static int line_open(int i, const char *spec, uint32_t refused,
					     uint32_t queue, uint32_t queues, uint32_t mtu)
{
	char err[320] = "";
	struct nf_port_env env = {.queue = queue,
				  .queues = queues,
				  .devid = 5,
				  .mtu = mtu,
				  .is_back = 1,
				  .features_refused = refused,
				  .counters = &line_counters[i]};
	memset(&line_counters[i], 0, sizeof(line_counters[i]));
	int rc = nf_port_open(spec, &env, &line_ports[i], err, sizeof(err));
	if (rc || err[0])
		diag("%s", err);
	return rc;
}

__attribute__((unused)) static uint64_t line_count(int i, enum nf_counter c)
{
	return line_counters[i].words[c];
}

/* Puts all of them, waiting for room as a poller would; how many, or a negative errno. */
__attribute__((unused)) static int line_put(struct nf_port *p, const struct nf_buf *bufs,
					    const struct nf_frame *frames, uint32_t n)
{
	uint32_t done = 0;
	for (int tries = 0; done < n && tries < 5000; tries++) {
		int rc = p->ops->put(p, bufs, &frames[done], n - done);
		if (rc < 0)
			return rc;
		done += (uint32_t)rc;
		struct pollfd room = {p->fd, POLLOUT, 0};
		if (done < n)
			poll(&room, 1, 100);
	}
	return (int)done;
}

/* A raw frame of this length and number, of a type no stack cares for. */
__attribute__((unused)) static void line_frame(uint8_t *data, uint32_t bytes, uint32_t number)
{
	memset(data, 0xff, 6);
	memcpy(data + 6, "\x02\x4e\x46\x00\x00\x01\x88\xb5", 8);
	for (uint32_t i = 14; i < bytes; i++)
		data[i] = (uint8_t)(number + i);
	memcpy(data + 14, &number, 4);
}

/* Whole frames that come within ms; each is checked. Returns how many; *bad counts wrong ones. */
__attribute__((unused)) static uint32_t line_take(int i, uint32_t want, uint32_t bytes, int ms,
						  uint32_t *bad)
{
	struct nf_port *p = &line_ports[i];
	uint32_t got = 0;
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	time_t end = t.tv_sec + ms / 1000 + 1;
	while (got < want && t.tv_sec <= end) {
		struct nf_buf bufs[LINE_BUFS];
		struct nf_frame frames[64];
		static uint8_t whole[65536], expect[65536];
		for (int k = 0; k < LINE_BUFS; k++)
			bufs[k] = (struct nf_buf){line_pages[k], 4096, 0};
		int n = p->ops->get(p, bufs, LINE_BUFS, frames, 64);
		if (n < 0)
			return got;
		for (int k = 0; k < n; k++) {
			uint32_t number;
			nf_frame_peek(bufs, &frames[k], 0, whole, sizeof(whole));
			if (whole[12] != 0x88 || whole[13] != 0xb5)
				continue; /* the kernels' own: router solicitations and the like */
			memcpy(&number, whole + 14, 4);
			line_frame(expect, frames[k].bytes, number);
			*bad += frames[k].bytes != bytes || memcmp(whole, expect, bytes) != 0;
			got++;
		}
		struct pollfd in = {p->fd, POLLIN, 0};
		if (n == 0)
			poll(&in, 1, 20);
		clock_gettime(CLOCK_MONOTONIC, &t);
	}
	return got;
}

#endif
