/* SPDX-License-Identifier: MIT */
/* nf-diskcheck: it finds a block that is wrong, old, or another's, and passes what is right. */
#include "diskcheck/diskcheck.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define BYTES (1024 * 1024)

static char image[] = "/tmp/nf-diskcheck-XXXXXX";

/* The program's own goes to stderr. */
void dc_say(const char *fmt, ...)
{
	(void)fmt;
}

static struct dc_result run(int fd, enum dc_test test, uint64_t seed)
{
	struct dc_options o = {
		.test = test, .seed = seed, .bytes = BYTES, .seconds = 0.1, .discard = true};
	struct dc_result r = {.error = 0};
	if (test == DC_CHURN)
		dc_churn(fd, &o, &r);
	else
		dc_pass(fd, &o, &r);
	return r;
}

static void test_pattern(void)
{
	static uint8_t a[DC_BLOCK_BYTES], b[DC_BLOCK_BYTES];
	int same = 0;
	dc_fill(a, 5, 6, 7);
	ok(dc_check(a, 5, 6, 7), "a block is itself");
	ok(!dc_check(a, 4, 6, 7) && !dc_check(a, 5, 5, 7) && !dc_check(a, 5, 6, 8),
	   "and no other's, of no other version or seed");
	for (uint32_t i = 0; i < DC_BLOCK_BYTES; i += 61) {
		a[i] ^= 0x10;
		same += dc_check(a, 5, 6, 7);
		a[i] ^= 0x10;
	}
	is(same, 0, "each bit counts");
	dc_fill(a, 1, 1, 1);
	dc_fill(b, 1, 2, 1);
	ok(memcmp(a + 64, b + 64, 64) != 0, "versions differ in all of it");
}

static void test_passes(int fd)
{
	struct dc_result r = run(fd, DC_VERIFY, 3);
	is(r.wrong, BYTES / DC_BLOCK_BYTES, "an empty disk is wrong everywhere");
	r = run(fd, DC_WRITE, 3);
	ok(r.error == 0 && r.bytes == BYTES && r.flushes == 1, "written and flushed");
	r = run(fd, DC_VERIFY, 3);
	ok(r.error == 0 && r.wrong == 0 && r.bytes == BYTES, "and verified");
	is(run(fd, DC_VERIFY, 4).wrong, BYTES / DC_BLOCK_BYTES, "not as another seed's");
	is(pwrite(fd, "x", 1, 70000), 1, "a byte changes");
	is(run(fd, DC_VERIFY, 3).wrong, 1, "and is found");
	is(ftruncate(fd, BYTES / 2), 0, "a disk cut short");
	is(run(fd, DC_VERIFY, 3).error, -EIO, "is an error");
	is(ftruncate(fd, BYTES), 0, "long again");
}

static void test_churn(int fd)
{
	struct dc_result r = run(fd, DC_CHURN, 9);
	ok(r.error == 0 && r.wrong == 0, "churn finds what it wrote");
	ok(r.bytes > 0 && r.writes > 0 && r.reads > 0, "%lu bytes, %lu writes",
	   (unsigned long)r.bytes, (unsigned long)r.writes);
	int fd_ro = open(image, O_RDONLY | O_CLOEXEC);
	is(run(fd_ro, DC_CHURN, 9).error, -EBADF, "a refused write is told");
	close(fd_ro);
	struct dc_options o = {.test = DC_CHURN, .bytes = DC_BLOCK_BYTES, .seconds = 0.1};
	r = (struct dc_result){.error = 0};
	dc_churn(fd, &o, &r);
	is(r.error, -EINVAL, "a disk too small for four");
}

int main(void)
{
	int fd = mkstemp(image);
	if (fd < 0 || ftruncate(fd, BYTES) < 0) {
		skip("files", strerror(errno));
		return done();
	}
	test_pattern();
	test_passes(fd);
	test_churn(fd);
	close(fd);
	unlink(image);
	return done();
}
