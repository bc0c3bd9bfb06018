/* SPDX-License-Identifier: MIT */
/* Requests that go together: posted ones, values read ahead, and a store that takes one at a time.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>

#include "xs_wire.h"

static void test_posts(void)
{
	struct wire w;

	if (!wire_open(&w))
		return;
	is(nf_store_settle(w.s), 0, "nothing posted, nothing to settle");
	is(nf_store_post_read(w.s, 5, "a/state"), 0, "post a read");
	is(nf_store_post_write(w.s, 5, "a/x", "12"), 0, "a write");
	is(nf_store_post_rm(w.s, 5, "a/y"), 0, "a removal");
	is(nf_store_post_watch(w.s, "a", "t", 1), 0, "a watch");
	ok(!got(&w, NF_XS_READ, 1, 5, "a/state", 8), "nothing is sent yet");
	put(&w, NF_XS_READ, 1, "4", 1);
	put(&w, NF_XS_WRITE, 2, "OK", 3);
	EVENT(&w, "a\0t");
	put(&w, NF_XS_ERROR, 3, "ENOENT", 7);
	put(&w, NF_XS_WATCH, 4, "OK", 3);
	is(nf_store_settle(w.s), 0, "all done; what is to go may be gone already");
	ok(got(&w, NF_XS_READ, 1, 5, "a/state", 8), "the read went out");
	ok(got(&w, NF_XS_WRITE, 2, 5, "a/x\00012", 6), "the write");
	ok(got(&w, NF_XS_RM, 3, 5, "a/y", 4), "the removal");
	ok(got(&w, NF_XS_WATCH, 4, 0, "a\0t", 4), "the watch");
	is_str(event(&w), "a t", "an event on the way was kept");
	wire_close(&w);
}

static void test_failures(void)
{
	char long_value[NF_STORE_PAYLOAD_MAX + 1];
	struct wire w;

	if (!wire_open(&w))
		return;
	memset(long_value, 'x', sizeof(long_value) - 1);
	long_value[sizeof(long_value) - 1] = '\0';
	is(nf_store_post_write(w.s, 0, "a", long_value), -EINVAL, "more than a message holds");
	nf_store_post_read(w.s, 0, "a");
	nf_store_post_write(w.s, 0, "b", "1");
	nf_store_post_write(w.s, 0, "c", "1");
	put(&w, NF_XS_ERROR, 1, "ENOENT", 7);
	put(&w, NF_XS_ERROR, 2, "EACCES", 7);
	put(&w, NF_XS_WRITE, 3, "OK", 3);
	is(nf_store_settle(w.s), -ENOENT, "the first failure is told");
	is(nf_store_settle(w.s), 0, "once");
	nf_store_post_write(w.s, 0, "d", "1");
	put(&w, NF_XS_ERROR, 4, "EROFS", 6);
	put(&w, NF_XS_MKDIR, 5, "OK", 3);
	is(nf_store_mkdir(w.s, 0, "e"), 0, "another verb sends what is posted first");
	is(nf_store_settle(w.s), -EROFS, "whose failure is still to be told");
	nf_store_post_write(w.s, 0, "f", "1");
	nf_store_post_write(w.s, 0, "g", "1");
	put(&w, NF_XS_WRITE, 7, "OK", 3);
	is(nf_store_settle(w.s), -EPROTO, "answers out of order are nonsense");
	is(nf_store_post_rm(w.s, 0, "h"), -EPROTO, "for good");
	wire_close(&w);
}

/* More than a flight holds, and more bytes than it has room for. */
static void test_many(void)
{
	char value[2000];
	struct wire w;
	uint32_t id = 0;

	if (!wire_open(&w))
		return;
	for (uint32_t i = 1; i <= 150; i++)
		put(&w, NF_XS_WRITE, i, "OK", 3);
	memset(value, 'v', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	for (uint32_t i = 0; i < 150; i++)
		id += nf_store_post_write(w.s, 0, "a", i < 20 ? value : "1") == 0;
	is(id, 150, "all are taken");
	is(nf_store_settle(w.s), 0, "and carried out");
	wire_close(&w);
}

/* A server that was killed after answering, and restarted, says the answers of a flight again. */
static void test_again(void)
{
	char buf[8];
	struct wire w;

	if (!wire_open(&w))
		return;
	for (uint32_t i = 1; i <= 3; i++) {
		nf_store_post_write(w.s, 0, "a", "1");
		put(&w, NF_XS_WRITE, i, "OK", 3);
	}
	is(nf_store_settle(w.s), 0, "three");
	put(&w, NF_XS_WRITE, 2, "OK", 3);
	put(&w, NF_XS_WRITE, 3, "OK", 3);
	put(&w, NF_XS_READ, 4, "new", 3);
	is(nf_store_read(w.s, 0, "b", buf, sizeof(buf)), 3, "the last two again");
	is_str(buf, "new", "are dropped");
	nf_store_post_write(w.s, 0, "a", "1");
	nf_store_post_write(w.s, 0, "a", "1");
	put(&w, NF_XS_WRITE, 5, "OK", 3);
	put(&w, NF_XS_WRITE, 5, "OK", 3);
	put(&w, NF_XS_WRITE, 6, "OK", 3);
	is(nf_store_settle(w.s), 0, "so is one of the flight that is under way");
	put(&w, NF_XS_WRITE, 6, "OK", 3);
	put(&w, NF_XS_WRITE, 5, "OK", 3);
	is(nf_store_read(w.s, 0, "b", buf, sizeof(buf)), -EPROTO, "out of order they are nonsense");
	wire_close(&w);
}

static void test_ahead(void)
{
	static const char *const keys[] = {"x", "y", "z"};
	char buf[8] = "", small[2];
	struct wire w;

	if (!wire_open(&w))
		return;
	is(nf_store_ahead(w.s, "d", keys, 3), -EINVAL, "no scope is open");
	nf_store_ahead_begin(w.s);
	put(&w, NF_XS_READ, 1, "one", 3);
	put(&w, NF_XS_ERROR, 2, "ENOENT", 7);
	put(&w, NF_XS_READ, 3, "", 0);
	is(nf_store_ahead(w.s, "d", keys, 3), 0, "three keys in one go");
	ok(got(&w, NF_XS_READ, 1, 0, "d/x", 4) && got(&w, NF_XS_READ, 2, 0, "d/y", 4) &&
		   got(&w, NF_XS_READ, 3, 0, "d/z", 4),
	   "their requests");
	is(nf_store_read(w.s, 0, "d/x", buf, sizeof(buf)), 3, "a value that is here already");
	is_str(buf, "one", "this one");
	is(nf_store_read(w.s, 0, "d/x", small, sizeof(small)), -ERANGE, "in a buffer too small");
	is(nf_store_read(w.s, 0, "d/y", buf, sizeof(buf)), -ENOENT, "an absence too");
	is(nf_store_read(w.s, 0, "d/z", buf, sizeof(buf)), 0, "an empty value");
	put(&w, NF_XS_READ, 4, "tx", 2);
	is(nf_store_read(w.s, 9, "d/x", buf, sizeof(buf)), 2, "a transaction asks for itself");
	nf_store_ahead_begin(w.s);
	is(nf_store_ahead(w.s, "d", keys, 3), 0, "what is known is not asked for again");
	nf_store_ahead_end(w.s);
	is(nf_store_read(w.s, 0, "d/x", buf, sizeof(buf)), 3,
	   "an inner scope's end forgets nothing");
	put(&w, NF_XS_WRITE, 5, "OK", 3);
	nf_store_write(w.s, 0, "d/x", "2");
	put(&w, NF_XS_READ, 6, "2", 1);
	is(nf_store_read(w.s, 0, "d/x", buf, sizeof(buf)), 1, "a write makes it old");
	nf_store_ahead_end(w.s);
	wire_close(&w);
}

/* ---- the kernel's xenbus, whose place a terminal takes: a character device ---- */

struct server {
	int fd;
	uint32_t taken, early;
};

static bool take(int fd, void *to, size_t bytes)
{
	for (size_t at = 0; at < bytes;) {
		ssize_t n = read(fd, (char *)to + at, bytes - at);
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

static void *serve(void *arg)
{
	struct server *s = arg;
	struct nf_xs_header h;
	char payload[64];

	while (take(s->fd, &h, sizeof(h)) && h.len <= sizeof(payload) &&
	       take(s->fd, payload, h.len)) {
		struct pollfd p = {.fd = s->fd, .events = POLLIN};
		struct nf_xs_header answer = {.type = h.type, .req_id = h.req_id, .len = 3};
		s->taken++;
		s->early += poll(&p, 1, 20) == 1; /* the next one must wait for our answer */
		memcpy(payload, &answer, sizeof(answer));
		memcpy(payload + sizeof(answer), "OK", 3);
		if (write(s->fd, payload, sizeof(answer) + 3) != (ssize_t)sizeof(answer) + 3)
			break;
		if (s->taken == 4)
			break;
	}
	return NULL;
}

static void test_device(void)
{
	struct termios t;
	struct nf_store *s = NULL;
	pthread_t thread;
	struct server server = {.fd = posix_openpt(O_RDWR | O_NOCTTY)};

	if (server.fd < 0 || grantpt(server.fd) < 0 || unlockpt(server.fd) < 0) {
		ok(true, "no pseudo terminals here # SKIP");
		return;
	}
	int fd = open(ptsname(server.fd), O_RDWR | O_NOCTTY);
	if (!ok(fd >= 0 && tcgetattr(fd, &t) == 0, "a character device"))
		return;
	cfmakeraw(&t);
	tcsetattr(fd, TCSANOW, &t);
	is(nf_store_open(fd, &s), 0, "is a store");
	pthread_create(&thread, NULL, serve, &server);
	for (int i = 0; i < 4; i++)
		nf_store_post_write(s, 0, "a", "1");
	is(nf_store_settle(s), 0, "four requests posted");
	pthread_join(thread, NULL);
	is(server.taken, 4, "arrive");
	is(server.early, 0, "each after the answer to the one before");
	nf_store_close(s);
	close(server.fd);
}

int main(void)
{
	int before = open_fds();

	test_posts();
	test_failures();
	test_many();
	test_again();
	test_ahead();
	test_device();
	is(open_fds(), before, "no descriptor is left");
	return done();
}
