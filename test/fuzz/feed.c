/* SPDX-License-Identifier: MIT */
#include "feed.h"

#include <sys/socket.h>
#include <unistd.h>

#include "xenbus/xs_wire.h"

static int lowest(void)
{
	int fd = dup(STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	return fd;
}

void fuzz_feed_open(struct fuzz_feed *f, int type)
{
	int ends[2];
	f->lowest_fd = lowest();
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0)
		abort();
	f->client = ends[0];
	f->server = ends[1];
}

void fuzz_feed_end(struct fuzz_feed *f)
{
	shutdown(f->server, SHUT_WR);
}

void fuzz_feed_close(struct fuzz_feed *f)
{
	close(f->server);
	FUZZ_EXPECT(lowest() == f->lowest_fd, "a descriptor is left open");
}

void fuzz_feed_xs(struct fuzz_feed *f, uint32_t type, uint32_t id, uint32_t tx, uint32_t len,
		  const void *payload, size_t bytes)
{
	struct nf_xs_header h = {.type = type, .req_id = id, .tx_id = tx, .len = len};
	/* a full socket swallows nothing: the rest of the input is then never said */
	if (send(f->server, &h, sizeof(h), MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(h))
		(void)!send(f->server, payload, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
}
