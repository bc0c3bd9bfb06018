/* SPDX-License-Identifier: MIT */
/*
 * The control socket: JSON lines on a Unix stream, one answer a request, in order. Served by the
 * control thread, so everything about a client is bounded: how many there are, how long a line is,
 * how many a turn, and how much may wait for one that does not read.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "nfd.h"

#define CLIENTS (NFD_CONTROL_FDS - 1)
#define LINE_MAX_BYTES 1024
#define LINES_A_TURN 16
#define ANSWER_BYTES 65536

struct client {
	int fd; /* -1: none */
	size_t bytes;
	char line[LINE_MAX_BYTES];
};

struct nfd_control {
	int fd;
	struct client client[CLIENTS];
	char answer[ANSWER_BYTES];
};

static void drop(struct client *c, const char *why)
{
	if (why)
		nfd_log("control: a client was dropped: %s", why);
	close(c->fd);
	c->fd = -1;
	c->bytes = 0;
}

static int listen_at(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct stat st;
	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	strcpy(a.sun_path, path);
	/* left by a daemon that was killed; anything but a socket is not ours to remove */
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	mode_t old = umask(0177);
	int rc = bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
	umask(old);
	if (rc == 0 && listen(fd, CLIENTS) < 0)
		rc = -errno;
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return fd;
}

int nfd_control_open(struct nfd *d)
{
	if (!d->opt.control)
		return 0;
	struct nfd_control *k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	for (int i = 0; i < CLIENTS; i++)
		k->client[i].fd = -1;
	k->fd = listen_at(d->opt.control);
	if (k->fd < 0) {
		int rc = k->fd;
		nfd_log("control socket %s: %s", d->opt.control, strerror(-rc));
		free(k);
		return rc;
	}
	d->ctl = k;
	return 0;
}

void nfd_control_close(struct nfd *d)
{
	struct nfd_control *k = d->ctl;
	if (!k)
		return;
	for (int i = 0; i < CLIENTS; i++)
		if (k->client[i].fd >= 0)
			drop(&k->client[i], NULL);
	close(k->fd);
	unlink(d->opt.control);
	free(k);
	d->ctl = NULL;
}

int nfd_control_collect(struct nfd *d, struct pollfd *fds)
{
	struct nfd_control *k = d->ctl;
	int n = 0;
	if (!k)
		return 0;
	fds[n++] = (struct pollfd){.fd = k->fd, .events = POLLIN};
	for (int i = 0; i < CLIENTS; i++)
		fds[n++] = (struct pollfd){.fd = k->client[i].fd, .events = POLLIN};
	return n;
}

static void accept_one(struct nfd_control *k)
{
	struct ucred who = {.uid = (uid_t)-1};
	socklen_t len = sizeof(who);
	int fd = accept4(k->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	bool may = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
		   (who.uid == geteuid() || who.uid == 0);
	for (int i = 0; may && i < CLIENTS; i++) {
		if (k->client[i].fd >= 0)
			continue;
		k->client[i].fd = fd;
		return;
	}
	nfd_log("control: a client of uid %u was refused: %s", (unsigned)who.uid,
		may ? "too many already" : "another user");
	close(fd);
}

/* Answers one line; false: the client is gone. */
static bool serve_line(struct nfd *d, struct client *c, char *line)
{
	struct nfd_control *k = d->ctl;
	size_t n = nfd_control_answer(d, line, k->answer, sizeof(k->answer));
	ssize_t sent = send(c->fd, k->answer, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent == (ssize_t)n)
		return true;
	drop(c, sent < 0 && errno != EAGAIN ? NULL : "it does not read its answers");
	return false;
}

static void serve(struct nfd *d, struct client *c)
{
	ssize_t got = recv(c->fd, c->line + c->bytes, sizeof(c->line) - 1 - c->bytes, 0);
	if (got <= 0) {
		if (got == 0 || (errno != EAGAIN && errno != EINTR))
			drop(c, NULL);
		return;
	}
	c->bytes += (size_t)got;
	char *at = c->line, *end = c->line + c->bytes;
	for (int lines = 0;; lines++) {
		char *nl = memchr(at, '\n', (size_t)(end - at));
		if (!nl)
			break;
		if (lines == LINES_A_TURN) {
			drop(c, "too many requests at once");
			return;
		}
		*nl = '\0';
		if (strlen(at) != (size_t)(nl - at)) { /* a NUL within */
			drop(c, "not text");
			return;
		}
		if (*at && !serve_line(d, c, at))
			return;
		at = nl + 1;
	}
	c->bytes = (size_t)(end - at);
	memmove(c->line, at, c->bytes);
	if (c->bytes == sizeof(c->line) - 1)
		drop(c, "a line of more than 1023 bytes");
}

void nfd_control_react(struct nfd *d, const struct pollfd *fds, int count)
{
	struct nfd_control *k = d->ctl;
	if (!k || count == 0)
		return;
	for (int i = 1; i < count; i++)
		if (fds[i].revents && fds[i].fd >= 0 && k->client[i - 1].fd == fds[i].fd)
			serve(d, &k->client[i - 1]);
	if (fds[0].revents)
		accept_one(k);
}
