/* SPDX-License-Identifier: MIT */
/* A xenstored's end of a socket pair, by hand: answers are written before or while the client asks.
 */
#ifndef NF_TEST_XS_WIRE_H
#define NF_TEST_XS_WIRE_H

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../drivers/xenbus/xs_wire.h"
#include "nf/store.h"
#include "tap.h"

struct wire {
	struct nf_store *s;
	int fd; /* the server's end */
};

__attribute__((unused)) static bool wire_open(struct wire *w)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return ok(false, "socketpair");
	w->fd = pair[0];
	w->s = NULL;
	return is(nf_store_open(pair[1], &w->s), 0, "open");
}

__attribute__((unused)) static void wire_close(struct wire *w)
{
	nf_store_close(w->s);
	close(w->fd);
}

/* A message of ours; bytes may hold NULs. */
__attribute__((unused)) static void put(struct wire *w, uint32_t type, uint32_t req_id,
					const char *bytes, uint32_t count)
{
	struct nf_xs_header h = {.type = type, .req_id = req_id, .len = count};
	char all[sizeof(h) + NF_XS_PAYLOAD_MAX];

	memcpy(all, &h, sizeof(h));
	memcpy(all + sizeof(h), bytes, count);
	if (send(w->fd, all, sizeof(h) + count, MSG_NOSIGNAL) != (ssize_t)(sizeof(h) + count))
		ok(false, "send");
}

#define EVENT(w, text) put(w, NF_XS_WATCH_EVENT, 0, text, sizeof(text))

/* The request the client sent: true if it is exactly this. */
__attribute__((unused)) static bool got(struct wire *w, uint32_t type, uint32_t req_id, uint32_t tx,
					const char *bytes, uint32_t count)
{
	struct nf_xs_header h = {0};
	char payload[NF_XS_PAYLOAD_MAX];

	return recv(w->fd, &h, sizeof(h), MSG_DONTWAIT) == sizeof(h) && h.type == type &&
	       h.req_id == req_id && h.tx_id == tx && h.len == count &&
	       (count == 0 || recv(w->fd, payload, count, MSG_DONTWAIT) == (ssize_t)count) &&
	       !memcmp(payload, bytes, count);
}

__attribute__((unused)) static bool readable(const struct wire *w)
{
	struct pollfd p = {.fd = nf_store_pollfd(w->s), .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* The next queued event as "path token", "" when there is none, "error" when dead. */
__attribute__((unused)) static const char *event(struct wire *w)
{
	static char text[NF_STORE_PATH_MAX + 72];
	char path[NF_STORE_PATH_MAX], token[64];
	int rc = nf_store_next_event(w->s, path, sizeof(path), token, sizeof(token));

	if (rc <= 0)
		return rc < 0 ? "error" : "";
	snprintf(text, sizeof(text), "%s %s", path, token);
	return text;
}

__attribute__((unused)) static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int count = 0;

	while (d && readdir(d))
		count++;
	if (d)
		closedir(d);
	return count - 3;
}

#endif
