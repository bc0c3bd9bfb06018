/* SPDX-License-Identifier: MIT */
/* The verbs of nf/store.h. Each is one request and its reply. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nf/store.h"
#include "xs_internal.h"

_Static_assert(NF_STORE_PAYLOAD_MAX == NF_XS_PAYLOAD_MAX, "one limit");

static struct iovec part(const char *bytes, size_t count)
{
	return (struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = count};
}

static struct iovec string(const char *text)
{
	return part(text, strlen(text) + 1);
}

/* One descriptor for poll(): the server's bytes, or events that were queued while a request waited
 * for its reply; the latter leave no trace on fd. */
static int open_pollfd(struct nf_store *s)
{
	struct epoll_event ev = {.events = EPOLLIN};

	s->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->pollfd = epoll_create1(EPOLL_CLOEXEC);
	if (s->wakefd < 0 || s->pollfd < 0 ||
	    epoll_ctl(s->pollfd, EPOLL_CTL_ADD, s->wakefd, &ev) < 0 ||
	    epoll_ctl(s->pollfd, EPOLL_CTL_ADD, s->fd, &ev) < 0)
		return -errno;
	return 0;
}

int nf_store_open(int fd, struct nf_store **out)
{
	struct stat st;

	if (fd < 0)
		return -EINVAL;
	struct nf_store *s = calloc(1, sizeof(*s));
	if (!s) {
		close(fd);
		return -ENOMEM;
	}
	s->fd = fd;
	s->pollfd = s->wakefd = -1;
	s->events_tail = &s->events;
	int rc = fstat(fd, &st) < 0 ? -errno : 0;
	if (rc == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		rc = -errno;
	if (rc == 0) {
		s->is_socket = S_ISSOCK(st.st_mode);
		/* a socket gets MSG_DONTWAIT per call: its O_NONBLOCK is shared with whoever has it
		 */
		if (!s->is_socket && fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
			rc = -errno;
	}
	if (rc == 0)
		rc = open_pollfd(s);
	if (rc < 0) {
		nf_store_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

void nf_store_give_up(struct nf_store *s)
{
	if (!s->error)
		s->error = -ECONNRESET;
}

void nf_store_close(struct nf_store *s)
{
	struct nf__xs_event *e;

	if (!s)
		return;
	while ((e = s->events)) {
		s->events = e->next;
		free(e);
	}
	nf__xs_posts_free(s);
	nf__xs_known_drop(s);
	if (s->pollfd >= 0)
		close(s->pollfd);
	if (s->wakefd >= 0)
		close(s->wakefd);
	close(s->fd);
	free(s);
}

int nf_store_pollfd(const struct nf_store *s)
{
	return s->pollfd;
}

int nf_store_read(struct nf_store *s, uint32_t tx, const char *path, char *buf, size_t cap)
{
	struct iovec p = string(path);
	struct nf__xs_reply r;
	int rc;

	if (tx == 0 && s->known && nf__xs_known_read(s, path, buf, cap, &rc))
		return rc;
	rc = nf__xs_call(s, NF_XS_READ, tx, &p, 1, &r);
	if (rc < 0)
		return rc;
	if (r.bytes >= cap)
		return -ERANGE;
	memcpy(buf, r.payload, r.bytes);
	buf[r.bytes] = '\0';
	return (int)r.bytes;
}

int nf_store_write(struct nf_store *s, uint32_t tx, const char *path, const char *value)
{
	struct iovec p[2] = {string(path), part(value, strlen(value))};

	return nf__xs_call(s, NF_XS_WRITE, tx, p, 2, NULL);
}

int nf_store_writef(struct nf_store *s, uint32_t tx, const char *path, const char *fmt, ...)
{
	char value[NF_STORE_PAYLOAD_MAX];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(value))
		return -EINVAL;
	return nf_store_write(s, tx, path, value);
}

static int path_verb(struct nf_store *s, enum nf_xs_type type, uint32_t tx, const char *path)
{
	struct iovec p = string(path);

	return nf__xs_call(s, type, tx, &p, 1, NULL);
}

int nf_store_mkdir(struct nf_store *s, uint32_t tx, const char *path)
{
	return path_verb(s, NF_XS_MKDIR, tx, path);
}

int nf_store_rm(struct nf_store *s, uint32_t tx, const char *path)
{
	return path_verb(s, NF_XS_RM, tx, path);
}

int nf_store_directory(struct nf_store *s, uint32_t tx, const char *path, char *buf, size_t cap)
{
	struct iovec p = string(path);
	struct nf__xs_reply r;
	int names = 0;
	int rc = nf__xs_call(s, NF_XS_DIRECTORY, tx, &p, 1, &r);

	if (rc < 0)
		return rc;
	if (r.bytes > 0 && r.payload[r.bytes - 1] != '\0')
		return s->error = -EPROTO;
	if (r.bytes > cap)
		return -ERANGE;
	memcpy(buf, r.payload, r.bytes);
	for (size_t i = 0; i < r.bytes; i++)
		names += buf[i] == '\0';
	return names;
}

static int watch_verb(struct nf_store *s, enum nf_xs_type type, const char *path, const char *token)
{
	struct iovec p[2] = {string(path), string(token)};

	return nf__xs_call(s, type, 0, p, 2, NULL);
}

int nf_store_watch(struct nf_store *s, const char *path, const char *token)
{
	return watch_verb(s, NF_XS_WATCH, path, token);
}

int nf_store_unwatch(struct nf_store *s, const char *path, const char *token)
{
	return watch_verb(s, NF_XS_UNWATCH, path, token);
}

/* Digits only, no more than fit in 32 bits. 0, -EINVAL (not a number) or -ERANGE (too large). */
static int parse_u32(const char *text, size_t bytes, uint32_t *out)
{
	uint64_t v = 0;

	if (bytes == 0)
		return -EINVAL;
	for (size_t i = 0; i < bytes; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		if (v <= UINT32_MAX)
			v = v * 10 + (uint64_t)(text[i] - '0');
	}
	if (v > UINT32_MAX)
		return -ERANGE;
	*out = (uint32_t)v;
	return 0;
}

int nf_store_tx_begin(struct nf_store *s, uint32_t *tx)
{
	struct iovec p = string("");
	struct nf__xs_reply r;
	uint32_t id;
	int rc = nf__xs_call(s, NF_XS_TRANSACTION_START, 0, &p, 1, &r);

	if (rc < 0)
		return rc;
	if (r.bytes < 2 || r.payload[r.bytes - 1] != '\0' ||
	    parse_u32(r.payload, r.bytes - 1, &id) < 0 || id == 0)
		return s->error = -EPROTO;
	*tx = id;
	return 0;
}

int nf_store_tx_end(struct nf_store *s, uint32_t tx, int commit)
{
	struct iovec p = string(commit ? "T" : "F");

	return nf__xs_call(s, NF_XS_TRANSACTION_END, tx, &p, 1, NULL);
}

int nf_store_read_u32(struct nf_store *s, uint32_t tx, const char *path, uint32_t min, uint32_t max,
		      uint32_t *out)
{
	char text[32];
	uint32_t v;
	int n = nf_store_read(s, tx, path, text, sizeof(text));

	if (n < 0)
		return n;
	int rc = parse_u32(text, (size_t)n, &v);
	if (rc < 0)
		return rc;
	if (v < min || v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

int nf_store_next_event(struct nf_store *s, char *path, size_t path_cap, char *token,
			size_t token_cap)
{
	int rc = nf__xs_receive(s);
	struct nf__xs_event *e = s->events;

	if (!e)
		return rc;
	if (e->token_bytes >= token_cap || path_cap == 0)
		return -EINVAL; /* tokens are the caller's own; the event stays */
	e = nf__xs_event_pop(s);
	/* the peer chooses how deep below a watch it writes: a path too long for the caller is cut,
	 * the token is what tells where to look */
	size_t n = e->path_bytes < path_cap ? e->path_bytes : path_cap - 1;
	memcpy(path, e->text, n);
	path[n] = '\0';
	memcpy(token, e->text + e->path_bytes + 1, e->token_bytes + 1);
	free(e);
	return 1;
}
