/* SPDX-License-Identifier: MIT */
/* The store client's requests byte for byte, and what it makes of right answers. */
#include "xs_wire.h"

static void test_read(void)
{
	struct wire w;
	char buf[8] = "before";

	if (!wire_open(&w))
		return;
	put(&w, NF_XS_READ, 1, "abc", 3);
	is(nf_store_read(w.s, 0, "device/vif/0/mac", buf, sizeof(buf)), 3, "read");
	is_str(buf, "abc", "the value, terminated");
	ok(got(&w, NF_XS_READ, 1, 0, "device/vif/0/mac", 17), "asked with the path and its NUL");
	put(&w, NF_XS_READ, 2, "", 0);
	is(nf_store_read(w.s, 7, "x", buf, sizeof(buf)), 0, "an empty value");
	is_str(buf, "", "is the empty string");
	ok(got(&w, NF_XS_READ, 2, 7, "x", 2), "asked within the transaction");
	put(&w, NF_XS_READ, 3, "1234567", 7);
	is(nf_store_read(w.s, 0, "x", buf, sizeof(buf)), 7, "a value that just fits");
	put(&w, NF_XS_READ, 4, "12345678", 8);
	is(nf_store_read(w.s, 0, "x", buf, sizeof(buf)), -ERANGE, "one that does not");
	is_str(buf, "1234567", "leaves the buffer alone");
	wire_close(&w);
}

static void test_writes(void)
{
	struct wire w;
	char long_value[NF_STORE_PAYLOAD_MAX + 1];

	if (!wire_open(&w))
		return;
	put(&w, NF_XS_WRITE, 1, "OK", 3);
	is(nf_store_write(w.s, 0, "a/b", "42"), 0, "write");
	ok(got(&w, NF_XS_WRITE, 1, 0,
	       "a/b\0"
	       "42",
	       6),
	   "path, NUL, value without one");
	put(&w, NF_XS_WRITE, 2, "OK", 3);
	is(nf_store_writef(w.s, 3, "a", "%u-%s", 7u, "x"), 0, "formatted write");
	ok(got(&w, NF_XS_WRITE, 2, 3,
	       "a\0"
	       "7-x",
	       5),
	   "in its transaction");
	put(&w, NF_XS_MKDIR, 3, "OK", 3);
	is(nf_store_mkdir(w.s, 0, "d"), 0, "mkdir");
	ok(got(&w, NF_XS_MKDIR, 3, 0, "d", 2), "its request");
	put(&w, NF_XS_RM, 4, "OK", 3);
	is(nf_store_rm(w.s, 9, "d"), 0, "rm");
	ok(got(&w, NF_XS_RM, 4, 9, "d", 2), "its request");
	memset(long_value, 'x', sizeof(long_value) - 1);
	long_value[sizeof(long_value) - 1] = '\0';
	is(nf_store_write(w.s, 0, "a", long_value), -EINVAL, "more than a message holds");
	is(nf_store_writef(w.s, 0, "a", "%s", long_value), -EINVAL, "formatted as well");
	long_value[NF_STORE_PAYLOAD_MAX - 2] = '\0';
	put(&w, NF_XS_WRITE, 5, "OK", 3);
	is(nf_store_write(w.s, 0, "a", long_value), 0, "exactly as much");
	wire_close(&w);
}

static void test_watches(void)
{
	struct wire w;

	if (!wire_open(&w))
		return;
	EVENT(&w, "a/state\0t");
	put(&w, NF_XS_WATCH, 1, "OK", 3);
	EVENT(&w, "b\0u");
	ok(readable(&w), "bytes are there");
	is(nf_store_watch(w.s, "a/state", "t"), 0, "watch, its first event before the answer");
	ok(got(&w, NF_XS_WATCH, 1, 0, "a/state\0t", 10), "its request");
	is_str(event(&w), "a/state t", "the event was kept");
	is_str(event(&w), "b u", "so is the one behind the answer");
	is_str(event(&w), "", "no more");
	ok(!readable(&w), "nothing to wait for");
	EVENT(&w, "c\0t");
	put(&w, NF_XS_UNWATCH, 2, "OK", 3);
	is(nf_store_unwatch(w.s, "a/state", "t"), 0, "unwatch");
	ok(got(&w, NF_XS_UNWATCH, 2, 0, "a/state\0t", 10), "its request");
	ok(readable(&w), "an event queued during a request leaves the descriptor readable");
	is_str(event(&w), "c t", "it is there");
	ok(!readable(&w), "and taken");
	wire_close(&w);
}

static void test_event_buffers(void)
{
	struct wire w;
	char path[8], token[4], small[2];

	if (!wire_open(&w))
		return;
	EVENT(&w, "a/very/long/path\0tok");
	is(nf_store_next_event(w.s, path, sizeof(path), small, sizeof(small)), -EINVAL,
	   "a token too long for its buffer");
	is(nf_store_next_event(w.s, path, sizeof(path), token, sizeof(token)), 1, "stays queued");
	is_str(token, "tok", "its token whole");
	is_str(path, "a/very/", "its path cut");
	wire_close(&w);
}

static void test_transactions(void)
{
	struct wire w;
	uint32_t tx = 99;

	if (!wire_open(&w))
		return;
	put(&w, NF_XS_TRANSACTION_START, 1, "4294967295", 11);
	is(nf_store_tx_begin(w.s, &tx), 0, "begin");
	is(tx, 4294967295, "its id");
	ok(got(&w, NF_XS_TRANSACTION_START, 1, 0, "", 1), "its request");
	put(&w, NF_XS_TRANSACTION_END, 2, "OK", 3);
	is(nf_store_tx_end(w.s, tx, 1), 0, "commit");
	ok(got(&w, NF_XS_TRANSACTION_END, 2, tx, "T", 2), "its request");
	put(&w, NF_XS_ERROR, 3, "EAGAIN", 7);
	is(nf_store_tx_end(w.s, tx, 1), -EAGAIN, "a conflict");
	got(&w, NF_XS_TRANSACTION_END, 3, tx, "T", 2);
	put(&w, NF_XS_TRANSACTION_END, 4, "OK", 3);
	is(nf_store_tx_end(w.s, tx, 0), 0, "abort");
	ok(got(&w, NF_XS_TRANSACTION_END, 4, tx, "F", 2), "its request");
	wire_close(&w);
}

static void test_directory(void)
{
	struct wire w;
	char buf[8];

	if (!wire_open(&w))
		return;
	put(&w, NF_XS_DIRECTORY, 1,
	    "0\0"
	    "12\0"
	    "x",
	    7);
	is(nf_store_directory(w.s, 0, "device/vif", buf, sizeof(buf)), 3, "three names");
	ok(!memcmp(buf,
		   "0\0"
		   "12\0"
		   "x",
		   7),
	   "these");
	ok(got(&w, NF_XS_DIRECTORY, 1, 0, "device/vif", 11), "its request");
	put(&w, NF_XS_DIRECTORY, 2, "", 0);
	is(nf_store_directory(w.s, 0, "device/vif", buf, sizeof(buf)), 0, "none");
	put(&w, NF_XS_DIRECTORY, 3, "123456789", 10);
	is(nf_store_directory(w.s, 0, "device/vif", buf, sizeof(buf)), -ERANGE, "too many");
	wire_close(&w);
}

static void test_errors(void)
{
	static const struct {
		const char *name;
		int error;
	} known[] = {
		{"EINVAL", -EINVAL}, {"EACCES", -EACCES},   {"EEXIST", -EEXIST},
		{"EISDIR", -EISDIR}, {"ENOENT", -ENOENT},   {"ENOMEM", -ENOMEM},
		{"ENOSPC", -ENOSPC}, {"EIO", -EIO},	    {"ENOTEMPTY", -ENOTEMPTY},
		{"ENOSYS", -ENOSYS}, {"EROFS", -EROFS},	    {"EBUSY", -EBUSY},
		{"EAGAIN", -EAGAIN}, {"EISCONN", -EISCONN}, {"E2BIG", -E2BIG},
		{"EPERM", -EPERM},   {"EQUOTA", -EDQUOT},   {"NEWERROR", -EIO},
	};
	struct wire w;

	if (!wire_open(&w))
		return;
	for (uint32_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		put(&w, NF_XS_ERROR, i + 1, known[i].name, (uint32_t)strlen(known[i].name) + 1);
		is(nf_store_rm(w.s, 0, "x"), known[i].error, "%s", known[i].name);
	}
	wire_close(&w);
}

/* Group 12: what a peer may have written where a number belongs. */
static void test_numbers(void)
{
	static const struct {
		const char *text;
		uint32_t bytes;
		int want;
		uint32_t value;
	} cases[] = {
		{"0", 1, 0, 0},
		{"7", 1, 0, 7},
		{"007", 3, 0, 7},
		{"4294967295", 10, 0, 4294967295u},
		{"4294967296", 10, -ERANGE, 0},
		{"18446744073709551617", 20, -ERANGE, 0},
		{"99999999999999999999999999999999999999", 38, -ERANGE, 0},
		{"", 0, -EINVAL, 0},
		{"-1", 2, -EINVAL, 0},
		{"+1", 2, -EINVAL, 0},
		{" 1", 2, -EINVAL, 0},
		{"1 ", 2, -EINVAL, 0},
		{"1\n", 2, -EINVAL, 0},
		{"0x10", 4, -EINVAL, 0},
		{"1e3", 3, -EINVAL, 0},
		{"1\0"
		 "2",
		 3, -EINVAL, 0},
		{"\xd9\xa1", 2, -EINVAL, 0},
		{"four", 4, -EINVAL, 0},
	};
	struct wire w;
	uint32_t v, id = 0;

	if (!wire_open(&w))
		return;
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		v = 0;
		put(&w, NF_XS_READ, ++id, cases[i].text, cases[i].bytes);
		is(nf_store_read_u32(w.s, 0, "x", 0, UINT32_MAX, &v), cases[i].want, "\"%s\"",
		   cases[i].text);
		is(v, cases[i].value, "its value");
	}
	put(&w, NF_XS_READ, ++id, "9", 1);
	is(nf_store_read_u32(w.s, 0, "x", 0, 8, &v), -ERANGE, "above the range");
	put(&w, NF_XS_READ, ++id, "0", 1);
	is(nf_store_read_u32(w.s, 0, "x", 1, 8, &v), -ERANGE, "below the range");
	put(&w, NF_XS_ERROR, ++id, "ENOENT", 7);
	is(nf_store_read_u32(w.s, 0, "x", 1, 8, &v), -ENOENT, "absent");
	wire_close(&w);
}

int main(void)
{
	int before = open_fds();

	test_read();
	test_writes();
	test_watches();
	test_event_buffers();
	test_transactions();
	test_directory();
	test_errors();
	test_numbers();
	is(open_fds(), before, "no descriptor is left");
	return done();
}
