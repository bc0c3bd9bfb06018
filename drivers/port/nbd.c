/* SPDX-License-Identifier: MIT */
/* "nbd:PATH[,name=EXPORT][,ro][,mode=OCTAL]": listening, clients coming and going, the turns. */
#include "nbd.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "users.h"

#define EVENTS 20
#define LOOK_MASK_MAX 15u /* an idle server's sockets are looked at every 16th round */

static void conn_free(struct nf__nbd *n, uint32_t slot)
{
	free(n->conns[slot]);
	n->conns[slot] = NULL;
	n->conn_count--;
}

/* A place for a new client, if need be that of the oldest that has not finished its handshake. */
static int find_slot(struct nf__nbd *n)
{
	int oldest = -1;
	for (int i = 0; i < (int)NF__NBD_CONNS; i++) {
		const struct nf__nbd_conn *c = n->conns[i];
		if (c && c->fd < 0 && c->unanswered == 0)
			conn_free(n, (uint32_t)i);
		if (!n->conns[i])
			return i;
		if (c->fd >= 0 && c->phase < NF__NBD_MOVING &&
		    (oldest < 0 || c->age < n->conns[oldest]->age))
			oldest = i;
	}
	if (oldest >= 0) {
		nf__nbd_conn_drop(n->conns[oldest]);
		conn_free(n, (uint32_t)oldest);
	}
	return oldest;
}

static void conn_new(struct nf__nbd *n, int fd)
{
	int slot = find_slot(n);
	struct nf__nbd_conn *c = slot < 0 ? NULL : calloc(1, sizeof(*c));
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
	if (!c || epoll_ctl(n->epoll_fd, EPOLL_CTL_ADD, fd, &e) != 0) {
		free(c);
		close(fd);
		return;
	}
	c->nbd = n;
	c->fd = fd;
	c->age = n->clock++;
	c->events = EPOLLIN;
	for (uint32_t i = NF__NBD_REQUESTS; i-- > 0;) {
		c->requests[i].next = c->free;
		c->free = &c->requests[i];
	}
	n->conns[slot] = c;
	n->conn_count++;
	nf__nbd_greet(c);
	nf__nbd_conn_turn(c);
}

/* New clients first: a slot that becomes free now is nobody's in the events that follow. */
static uint32_t accept_all(struct nf__nbd *n)
{
	uint32_t moved = 0;
	for (; moved < NF__NBD_CONNS; moved++) {
		int fd = accept4(n->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			break;
		conn_new(n, fd);
	}
	return moved;
}

/* Looks at the sockets; things that happened. */
static uint32_t look(struct nf__nbd *n)
{
	struct epoll_event events[EVENTS];
	int got = epoll_wait(n->epoll_fd, events, EVENTS, 0);
	bool is_knock = false;
	uint32_t moved = 0;
	for (int i = 0; i < got; i++) {
		struct nf__nbd_conn *c = events[i].data.ptr;
		if (!c) {
			is_knock = true;
			continue;
		}
		if (c->fd < 0)
			continue;
		if (events[i].events & (EPOLLHUP | EPOLLERR) && !(events[i].events & EPOLLIN))
			nf__nbd_conn_drop(c);
		else
			moved += nf__nbd_conn_turn(c);
		moved++;
	}
	if (is_knock)
		moved += accept_all(n);
	return moved;
}

static int nbd_run(struct nf_blkuser *u)
{
	struct nf__nbd *n = u->priv;
	if (!n->disk)
		return 0;
	int done = nf__nbd_reap(n);
	if (done < 0)
		return done;
	uint32_t moved = (uint32_t)done;
	if ((n->rounds++ & n->look_mask) == 0 || moved) {
		uint32_t seen = look(n);
		n->look_mask = seen ? 0 : (n->look_mask * 2 + 1) & LOOK_MASK_MAX;
		moved += seen;
	}
	for (uint32_t i = 0; i < NF__NBD_CONNS; i++) {
		struct nf__nbd_conn *c = n->conns[i];
		if (!c)
			continue;
		if (c->fd >= 0 && ((c->is_stalled && moved) || (c->replies.head && !c->is_blocked)))
			moved += nf__nbd_conn_turn(c);
		if (c->fd < 0 && c->unanswered == 0)
			conn_free(n, i);
	}
	int given = n->working.head ? nf__nbd_pump(n) : 0;
	return given < 0 ? given : (int)moved + given;
}

static int nbd_arm(struct nf_blkuser *u)
{
	struct nf__nbd *n = u->priv;
	n->look_mask = 0; /* epoll's descriptor stays readable until somebody looks */
	return 0;
}

static int nbd_fds(struct nf_blkuser *u, int *fds, int cap)
{
	const struct nf__nbd *n = u->priv;
	if (cap < 1 || !n->disk)
		return 0;
	fds[0] = n->epoll_fd;
	return 1;
}

static void nbd_stop(struct nf_blkuser *u)
{
	struct nf__nbd *n = u->priv;
	for (uint32_t i = 0; i < NF__NBD_CONNS; i++) {
		struct nf__nbd_conn *c = n->conns[i];
		if (!c)
			continue;
		nf__nbd_conn_drop(c);
		for (uint32_t k = 0; k < NF__NBD_REQUESTS; k++)
			nf__nbd_memory_give(&c->requests[k]);
		conn_free(n, i);
	}
	n->working = (struct nf__nbd_queue){0};
	free(n->pieces);
	free(n->pool_used);
	n->pieces = NULL;
	n->pool_used = NULL;
	n->disk = NULL;
}

static int nbd_start(struct nf_blkuser *u, struct nf_blkport *disk)
{
	struct nf__nbd *n = u->priv;
	n->depth = disk->depth ? disk->depth : 1;
	n->pool_pages = disk->pool ? (uint32_t)(disk->pool_bytes / 4096) : 0;
	n->pieces = calloc(n->depth, sizeof(*n->pieces));
	n->pool_used = calloc(n->pool_pages / 64 + 1, sizeof(*n->pool_used));
	if (!n->pieces || !n->pool_used) {
		nbd_stop(u);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n->depth; i++)
		n->pieces[i].next_free = i + 1 < n->depth ? i + 1 : UINT32_MAX;
	n->free_piece = 0;
	n->disk = disk;
	return 0;
}

static void nbd_close(struct nf_blkuser *u)
{
	struct nf__nbd *n = u->priv;
	nbd_stop(u);
	if (n->listen_fd >= 0) {
		close(n->listen_fd);
		unlink(n->path);
	}
	if (n->epoll_fd >= 0)
		close(n->epoll_fd);
	free(n);
	u->priv = NULL;
}

static const struct nf_blkuser_ops nbd_ops = {
	.name = "nbd",
	.start = nbd_start,
	.stop = nbd_stop,
	.run = nbd_run,
	.arm = nbd_arm,
	.fds = nbd_fds,
	.close = nbd_close,
};

static const char *parse_option(const char *s, size_t len, struct nf__nbd *n)
{
	if (len == 2 && !strncmp(s, "ro", 2)) {
		n->is_readonly = true;
		return NULL;
	}
	if (len > 5 && !strncmp(s, "name=", 5) && len - 5 < sizeof(n->name)) {
		memcpy(n->name, s + 5, len - 5);
		return NULL;
	}
	if (len == 9 && !strncmp(s, "mode=0", 6)) {
		char *end;
		unsigned long mode = strtoul(s + 5, &end, 8);
		if (end == s + len && mode <= 0777) {
			n->mode = (uint32_t)mode;
			return NULL;
		}
	}
	return "options are ro, name=EXPORT (63 characters at most) and mode=0600";
}

static const char *parse(const char *spec, struct nf__nbd *n)
{
	size_t len = strcspn(spec, ",");
	if (len == 0 || len >= sizeof(n->path) || spec[0] != '/')
		return "an absolute path of at most 107 characters, without commas, is wanted";
	memcpy(n->path, spec, len);
	for (spec += len; *spec; spec += len) {
		len = strcspn(++spec, ",");
		const char *why = parse_option(spec, len, n);
		if (why)
			return why;
	}
	return NULL;
}

/* A socket file whose server is gone is in the way of ours; anything else is not ours to take. */
static void sweep(const struct sockaddr_un *a)
{
	struct stat st;
	if (lstat(a->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) != 0 && errno == ECONNREFUSED)
		unlink(a->sun_path);
	close(fd);
}

static int start_listening(struct nf__nbd *n)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct epoll_event e = {.events = EPOLLIN}; /* ptr NULL: the listener */

	memcpy(a.sun_path, n->path, sizeof(n->path));
	sweep(&a);
	n->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	n->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->epoll_fd < 0 || n->listen_fd < 0)
		return -errno;
	/* before bind, which gives its file the socket's mode: never open to more than it says */
	if (fchmod(n->listen_fd, n->mode) != 0 ||
	    bind(n->listen_fd, (const struct sockaddr *)&a, sizeof(a)) != 0) {
		int rc = -errno;
		close(n->listen_fd); /* its path is another's */
		n->listen_fd = -1;
		return rc;
	}
	if (listen(n->listen_fd, 16) != 0 ||
	    epoll_ctl(n->epoll_fd, EPOLL_CTL_ADD, n->listen_fd, &e) != 0)
		return -errno;
	return 0;
}

int nf__blkuser_open_nbd(const char *options, const struct nf_blkuser_env *env,
			 struct nf_blkuser *out, char *err, uint32_t err_cap)
{
	struct nf__nbd *n = calloc(1, sizeof(*n));
	struct nf_blkuser u = {.ops = &nbd_ops, .counters = env->counters, .priv = n};
	if (!n)
		return -ENOMEM;
	n->listen_fd = n->epoll_fd = -1;
	n->mode = 0600;
	const char *why = parse(options, n);
	int rc = why ? -EINVAL : 0;
	if (!why && env->queue == 0) {
		rc = start_listening(n);
		why = rc == -EADDRINUSE ? "another server listens there" : strerror(-rc);
	}
	if (rc) {
		snprintf(err, err_cap, "nbd:%.100s: %s", options, why);
		nbd_close(&u);
		return rc;
	}
	*out = u;
	return 0;
}
