/* SPDX-License-Identifier: MIT */
/* The store client against fragments, nonsense, floods and death (groups 12 and 20). */
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <termios.h>

#include "xs_wire.h"

struct drip {
	int fd;
	const char *bytes;
	size_t count;
};

static void *drip_main(void *arg)
{
	struct drip *d = arg;

	for (size_t i = 0; i < d->count; i++) {
		(void)send(d->fd, d->bytes + i, 1, MSG_NOSIGNAL);
		sched_yield();
	}
	return NULL;
}

static void test_fragments(void)
{
	struct {
		struct nf_xs_header h1;
		char event[10];
		struct nf_xs_header h2;
		char value[5];
	} __attribute__((packed)) m = {
		.h1 = {.type = NF_XS_WATCH_EVENT, .len = 10},
		.event = "a/state\0t",
		.h2 = {.type = NF_XS_READ, .req_id = 1, .len = 5},
		.value = {'h', 'e', 'l', 'l', 'o'},
	};
	struct wire w;
	char buf[16];
	pthread_t t;

	if (!wire_open(&w))
		return;
	struct drip d = {.fd = w.fd, .bytes = (const char *)&m, .count = sizeof(m)};
	pthread_create(&t, NULL, drip_main, &d);
	is(nf_store_read(w.s, 0, "x", buf, sizeof(buf)), 5, "an answer byte by byte");
	pthread_join(t, NULL);
	is_str(buf, "hello", "whole");
	is_str(event(&w), "a/state t", "and the event before it");
	struct drip half = {.fd = w.fd, .bytes = (const char *)&m, .count = 20};
	drip_main(&half);
	is_str(event(&w), "", "half an event is none yet");
	struct drip rest = {.fd = w.fd, .bytes = (const char *)&m + 20, .count = 6};
	drip_main(&rest);
	is_str(event(&w), "a/state t", "until the rest comes");
	wire_close(&w);
}

/* Each of these ends the connection, and nothing after it is believed. */
static void test_nonsense(void)
{
	static const struct {
		const char *name;
		struct nf_xs_header h;
		const char *payload;
	} cases[] = {
		{"4097 bytes", {NF_XS_READ, 1, 0, 4097}, ""},
		{"2^32-1 bytes", {NF_XS_READ, 1, 0, UINT32_MAX}, ""},
		{"an event of 4097 bytes", {NF_XS_WATCH_EVENT, 0, 0, 4097}, ""},
		{"an answer to nothing", {NF_XS_READ, 0, 0, 1}, "1"},
		{"an answer to what comes later", {NF_XS_READ, 2, 0, 1}, "1"},
		{"an answer to 2^32-1", {NF_XS_READ, UINT32_MAX, 0, 1}, "1"},
		{"another verb's answer", {NF_XS_WRITE, 1, 0, 1}, "1"},
		{"an unknown type", {255, 1, 0, 1}, "1"},
		{"an empty event", {NF_XS_WATCH_EVENT, 0, 0, 0}, ""},
		{"an event of one NUL", {NF_XS_WATCH_EVENT, 0, 0, 1}, "\0"},
		{"an event without NUL", {NF_XS_WATCH_EVENT, 0, 0, 3}, "a/b"},
		{"an event without a token", {NF_XS_WATCH_EVENT, 0, 0, 4}, "a/b\0"},
		{"a token without NUL", {NF_XS_WATCH_EVENT, 0, 0, 5}, "a/b\0t"},
		{"bytes behind the token", {NF_XS_WATCH_EVENT, 0, 0, 7}, "a/b\0t\0x"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wire w;
		char buf[8] = "old";

		if (!wire_open(&w))
			return;
		is(send(w.fd, &cases[i].h, sizeof(cases[i].h), 0), 16, "header");
		if (cases[i].h.len <= NF_XS_PAYLOAD_MAX && cases[i].h.len > 0)
			is(send(w.fd, cases[i].payload, cases[i].h.len, 0), cases[i].h.len,
			   "payload");
		is(nf_store_read(w.s, 0, "x", buf, sizeof(buf)), -EPROTO, "%s", cases[i].name);
		is_str(buf, "old", "nothing read");
		put(&w, NF_XS_READ, 1, "1", 1);
		is(nf_store_read(w.s, 0, "x", buf, sizeof(buf)), -EPROTO, "sticky");
		is_str(event(&w), "error", "for events too");
		wire_close(&w);
	}
}

static void test_bad_contents(void)
{
	struct wire w;
	char buf[16];
	uint32_t tx = 5;

	if (!wire_open(&w))
		return;
	put(&w, NF_XS_DIRECTORY, 1, "a\0b", 3);
	is(nf_store_directory(w.s, 0, "x", buf, sizeof(buf)), -EPROTO, "a name without its NUL");
	wire_close(&w);
	static const struct {
		const char *text;
		uint32_t bytes;
	} ids[] = {{"0", 2}, {"", 1}, {"", 0}, {"-1", 3}, {"1", 1}, {"x", 2}, {"4294967296", 11}};
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		if (!wire_open(&w))
			return;
		put(&w, NF_XS_TRANSACTION_START, 1, ids[i].text, ids[i].bytes);
		is(nf_store_tx_begin(w.s, &tx), -EPROTO, "a transaction called \"%s\" (%u bytes)",
		   ids[i].text, ids[i].bytes);
		is(tx, 5, "is none");
		wire_close(&w);
	}
}

static void test_unasked(void)
{
	struct wire w;

	if (!wire_open(&w))
		return;
	put(&w, NF_XS_WRITE, 1, "OK", 3);
	is_str(event(&w), "error", "an answer nobody asked for, while idle");
	is(nf_store_rm(w.s, 0, "x"), -EPROTO, "sticky");
	wire_close(&w);
	if (!wire_open(&w))
		return;
	for (uint32_t i = 1; i <= 2; i++) {
		put(&w, NF_XS_WRITE, i, "OK", 3);
		put(&w, NF_XS_WRITE, i, "OK", 3); /* as a server that was restarted does */
	}
	put(&w, NF_XS_WRITE, 2, "OK", 3);
	is(nf_store_write(w.s, 0, "x", "1"), 0, "an answer");
	is(nf_store_write(w.s, 0, "x", "1"), 0, "the same again is passed over");
	is(nf_store_write(w.s, 0, "x", "1"), -EPROTO, "but not twice");
	wire_close(&w);
}

static void test_death(void)
{
	for (size_t sent = 0; sent < 26; sent++) {
		struct {
			struct nf_xs_header h;
			char value[10];
		} m = {.h = {.type = NF_XS_READ, .req_id = 1, .len = 10}};
		struct wire w;
		char buf[16];

		if (!wire_open(&w))
			return;
		EVENT(&w, "a\0t");
		is(send(w.fd, &m, sent, 0), sent, "%zu bytes of an answer", sent);
		shutdown(w.fd, SHUT_RDWR);
		is(nf_store_read(w.s, 0, "x", buf, sizeof(buf)), -ECONNRESET, "then death");
		is_str(event(&w), "a t", "the event before it counts");
		is_str(event(&w), "error", "then it is over");
		ok(readable(&w), "which a poll sees");
		wire_close(&w);
	}
}

/* A peer that writes its state at kHz costs its watcher one queued event, not memory. */
static void test_flood(void)
{
	struct wire w;
	char text[32];
	int count = 0;

	if (!wire_open(&w))
		return;
	for (int i = 0; i < 2000; i++) {
		EVENT(&w, "peer/state\0dev0");
		if (i % 50 == 49) {
			put(&w, NF_XS_RM, (uint32_t)(i / 50 + 1), "OK", 3);
			nf_store_rm(w.s, 0, "x");
		}
	}
	is_str(event(&w), "peer/state dev0", "2000 times the same");
	is_str(event(&w), "", "is one");
	wire_close(&w);
	if (!wire_open(&w))
		return;
	for (int i = 0; i < 2000; i++) {
		int n = snprintf(text, sizeof(text), "peer/%d%cdev0", i, '\0');
		put(&w, NF_XS_WATCH_EVENT, 0, text, (uint32_t)n + 1);
		if (i % 50 == 49) {
			put(&w, NF_XS_RM, (uint32_t)(i / 50 + 1), "OK", 3);
			nf_store_rm(w.s, 0, "x");
		}
	}
	while (event(&w)[0])
		count++;
	ok(count >= 1 && count <= 300, "2000 different below one watch are %d", count);
	EVENT(&w, "peer/1\0dev0");
	is_str(event(&w), "peer/1 dev0", "and the watch goes on");
	wire_close(&w);
}

static void test_token_flood(void)
{
	struct wire w;
	int rc = 0, sent = 0;

	if (!wire_open(&w))
		return;
	for (uint32_t id = 1; rc == 0 && sent < 20000; id++) {
		for (int i = 0; i < 50; i++) {
			char text[32];
			int n = snprintf(text, sizeof(text), "p%ct%d", '\0', sent++);
			put(&w, NF_XS_WATCH_EVENT, 0, text, (uint32_t)n + 1);
		}
		put(&w, NF_XS_RM, id, "OK", 3);
		rc = nf_store_rm(w.s, 0, "x");
	}
	is(rc, -EPROTO, "more tokens than anybody watches");
	wire_close(&w);
}

/* The server writes 2 MB of events before it reads: both buffers are full, and still it ends. */
static void *flood_main(void *arg)
{
	struct wire *w = arg;
	struct nf_xs_header h;
	char payload[NF_XS_PAYLOAD_MAX];

	for (int i = 0; i < 80000; i++)
		EVENT(w, "peer/state\0dev0");
	if (recv(w->fd, &h, sizeof(h), MSG_WAITALL) == sizeof(h) &&
	    recv(w->fd, payload, h.len, MSG_WAITALL) == (ssize_t)h.len)
		put(w, NF_XS_WRITE, h.req_id, "OK", 3);
	return NULL;
}

static void test_both_full(void)
{
	struct wire w;
	char value[4000];
	int small = 1;
	pthread_t t;

	if (!wire_open(&w))
		return;
	setsockopt(w.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	pthread_create(&t, NULL, flood_main, &w);
	is(nf_store_write(w.s, 0, "x", value), 0, "a write against a flood");
	pthread_join(t, NULL);
	wire_close(&w);
}

static void test_stray_fds(void)
{
	struct wire w;
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct nf_xs_header h = {.type = NF_XS_WRITE, .req_id = 1};
	struct iovec iov = {.iov_base = &h, .iov_len = sizeof(h)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.bytes,
			   .msg_controllen = sizeof(control.bytes)};

	if (!wire_open(&w))
		return;
	int before = open_fds();
	control.h.cmsg_level = SOL_SOCKET;
	control.h.cmsg_type = SCM_RIGHTS;
	control.h.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.h), &w.fd, sizeof(int));
	is(sendmsg(w.fd, &m, 0), 16, "an answer with a descriptor");
	is(nf_store_write(w.s, 0, "x", "1"), 0, "is taken");
	is(open_fds(), before, "the descriptor is not");
	wire_close(&w);
}

/* As /dev/xen/xenbus: a character device in place of a socket. */
static void test_device_node(void)
{
	struct nf_xs_header h = {.type = NF_XS_READ, .req_id = 1, .len = 2};
	struct termios raw;
	struct nf_store *s;
	char buf[64];
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0) {
		skip("a character device", "no pty here");
		return;
	}
	int fd = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	tcgetattr(fd, &raw);
	cfmakeraw(&raw);
	tcsetattr(fd, TCSANOW, &raw);
	is(nf_store_open(fd, &s), 0, "a character device");
	memcpy(buf, &h, sizeof(h));
	memcpy(buf + sizeof(h), "ok", 2);
	is(write(master, buf, 18), 18, "an answer");
	is(nf_store_read(s, 0, "x", buf, sizeof(buf)), 2, "read");
	is_str(buf, "ok", "the value");
	is(read(master, buf, sizeof(buf)), 18, "the request went out");
	nf_store_close(s);
	close(master);
}

static void test_not_a_store(void)
{
	int before = open_fds();
	struct nf_store *s;

	is(nf_store_open(-1, &s), -EINVAL, "no descriptor");
	ok(nf_store_open(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), &s) < 0, "a file");
	is(open_fds(), before, "ownership passed all the same");
	nf_store_close(NULL);
}

int main(void)
{
	int before = open_fds();

	test_fragments();
	test_nonsense();
	test_bad_contents();
	test_unasked();
	test_death();
	test_flood();
	test_token_flood();
	test_both_full();
	test_stray_fds();
	test_device_node();
	test_not_a_store();
	is(open_fds(), before, "no descriptor is left");
	return done();
}
