/* SPDX-License-Identifier: MIT */
/* An NBD server over a disk in a thread of its own, and the bytes of a client, right or wrong. */
#ifndef NF_TEST_NBD_CLIENT_H
#define NF_TEST_NBD_CLIENT_H

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "blkdisk.h"
#include "nf/atomics.h"
#include "port/nbd_wire.h"

struct served {
	struct disk_under_test d;
	struct nf_blkuser user;
	pthread_t thread;
	char path[100];
	uint32_t stop;
	int died; /* what run returned */
};

/* As a poller of mode event does: run, arm, sleep. */
__attribute__((unused)) static void *serve_main(void *arg)
{
	struct served *s = arg;
	struct nf_blkport *p = &s->d.port;
	while (!nf_load_acquire(&s->stop)) {
		struct pollfd fds[3] = {{.fd = p->fd, .events = POLLIN}};
		int n = s->user.ops->run(&s->user);
		if (n < 0) {
			s->died = n;
			break;
		}
		if (n > 0 || s->user.ops->arm(&s->user) > 0 || (p->ops->arm && p->ops->arm(p) > 0))
			continue;
		int fd[2];
		int count = s->user.ops->fds(&s->user, fd, 2);
		for (int i = 0; i < count; i++)
			fds[1 + i] = (struct pollfd){.fd = fd[i], .events = POLLIN};
		/* now and then only to see `stop` */
		if (poll(fds, (nfds_t)(1 + count), 50) > 0 && fds[0].revents && p->ops->woken)
			p->ops->woken(p);
	}
	return NULL;
}

__attribute__((unused)) static bool serve_start(struct served *s, const char *disk,
						const char *options)
{
	char spec[200], err[200] = "";
	const struct nf_blkuser_env env = {.queues = 1};
	memset(s, 0, sizeof(*s));
	if (dut_open(&s->d, disk, true, 0)) {
		diag("%s: %s", disk, s->d.err);
		return false;
	}
	snprintf(s->path, sizeof(s->path), "%s/nbd.sock", tmp_dir);
	snprintf(spec, sizeof(spec), "nbd:%s%s", s->path, options);
	int rc = nf_blkuser_open(spec, &env, &s->user, err, sizeof(err));
	if (rc == 0)
		rc = s->user.ops->start(&s->user, &s->d.port);
	if (rc == 0)
		rc = -pthread_create(&s->thread, NULL, serve_main, s);
	if (rc)
		diag("%s: %s (%d)", spec, err, rc);
	return rc == 0;
}

__attribute__((unused)) static void serve_stop(struct served *s)
{
	nf_store_release(&s->stop, 1);
	pthread_join(s->thread, NULL);
	s->user.ops->stop(&s->user);
	nf_blkuser_close(&s->user);
	dut_close(&s->d);
}

__attribute__((unused)) static int client_connect(const struct served *s)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = 20};
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", s->path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	/* a ring of io_uring that was closed in this thread interrupts it as a signal does */
	while (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		if (errno == EINTR)
			continue;
		close(fd);
		fd = -1;
	}
	return fd;
}

__attribute__((unused)) static bool send_bytes(int fd, const void *data, size_t bytes)
{
	const uint8_t *p = data;
	while (bytes) {
		ssize_t n = send(fd, p, bytes, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		bytes -= (size_t)n;
	}
	return true;
}

/* False: the server closed first, or said nothing in time. */
__attribute__((unused)) static bool get_bytes(int fd, void *data, size_t bytes)
{
	uint8_t *p = data;
	while (bytes) {
		ssize_t n = recv(fd, p, bytes, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		bytes -= (size_t)n;
	}
	return true;
}

/* The server has hung up, after anything it still had to say. */
__attribute__((unused)) static bool is_closed(int fd)
{
	uint8_t sink[4096];
	ssize_t n;
	do {
		n = recv(fd, sink, sizeof(sink), 0);
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n == 0 || errno == ECONNRESET;
}

__attribute__((unused)) static bool send_option(int fd, uint32_t option, const void *data,
						uint32_t bytes)
{
	uint8_t h[16];
	nbd_put32(nbd_put32(nbd_put64(h, NBD_IHAVEOPT), option), bytes);
	return send_bytes(fd, h, 16) && (!bytes || send_bytes(fd, data, bytes));
}

/* Type of the next reply to option, its data thrown away; 0: none came. */
__attribute__((unused)) static uint32_t get_reply(int fd, uint32_t option)
{
	uint8_t h[20], data[256];
	if (!get_bytes(fd, h, 20) || nbd_get64(h) != NBD_REP_MAGIC || nbd_get32(h + 8) != option)
		return 0;
	uint32_t bytes = nbd_get32(h + 16);
	if (bytes > sizeof(data) || (bytes && !get_bytes(fd, data, bytes)))
		return 0;
	return nbd_get32(h + 12);
}

/* Greeted and flags sent: options may follow. */
__attribute__((unused)) static int client_hello(const struct served *s)
{
	uint8_t h[18], flags[4];
	int fd = client_connect(s);
	nbd_put32(flags, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	if (fd >= 0 &&
	    (!get_bytes(fd, h, 18) || nbd_get64(h) != NBD_MAGIC || !send_bytes(fd, flags, 4))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Ready for requests; *bytes of the export, *flags. */
__attribute__((unused)) static int client_open(const struct served *s, uint64_t *bytes,
					       uint16_t *flags)
{
	uint8_t h[10];
	int fd = client_hello(s);
	if (fd < 0 || !send_option(fd, NBD_OPT_EXPORT_NAME, NULL, 0) || !get_bytes(fd, h, 10)) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (bytes)
		*bytes = nbd_get64(h);
	if (flags)
		*flags = nbd_get16(h + 8);
	return fd;
}

__attribute__((unused)) static bool send_request(int fd, uint16_t type, uint16_t flags,
						 uint64_t cookie, uint64_t offset, uint32_t bytes)
{
	uint8_t h[NBD_REQUEST_BYTES], *p = nbd_put32(h, NBD_REQUEST_MAGIC);
	p = nbd_put64(nbd_put16(nbd_put16(p, flags), type), cookie);
	nbd_put32(nbd_put64(p, offset), bytes);
	return send_bytes(fd, h, sizeof(h));
}

/* The next answer: its NBD error, or -1. */
__attribute__((unused)) static int get_answer(int fd, uint64_t *cookie)
{
	uint8_t h[NBD_REPLY_BYTES];
	if (!get_bytes(fd, h, sizeof(h)) || nbd_get32(h) != NBD_SIMPLE_REPLY_MAGIC)
		return -1;
	*cookie = nbd_get64(h + 8);
	return (int)nbd_get32(h + 4);
}

/* One request without payload and its answer. */
__attribute__((unused)) static int ask(int fd, uint16_t type, uint16_t flags, uint64_t offset,
				       uint32_t bytes)
{
	uint64_t cookie = 0;
	if (!send_request(fd, type, flags, 0xc0ffee, offset, bytes))
		return -1;
	int rc = get_answer(fd, &cookie);
	return cookie == 0xc0ffee ? rc : -1;
}

#endif
