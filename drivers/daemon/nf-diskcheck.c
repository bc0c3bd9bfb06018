/* SPDX-License-Identifier: MIT */
/* Seeded writes and reads of a disk, for guests that have neither fio nor a language. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diskcheck/diskcheck.h"

static const char *const tests[] = {"write", "verify", "discard", "churn"};

void dc_say(const char *fmt, ...)
{
	char text[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "nf-diskcheck: %s\n", text);
}

static int usage(int code)
{
	printf("nf-diskcheck write|verify|discard|churn DISK [--seed N] [--from BYTES]\n"
	       "             [--bytes BYTES] [--seconds S] [--discard]\n"
	       "\n"
	       "write fills a part of DISK, a block device or a file, with a pattern of the seed\n"
	       "and flushes; verify reads it again; discard gives the part back. churn writes,\n"
	       "reads and flushes (and discards) at random for S seconds (5) and compares every\n"
	       "block with what was acknowledged last. One JSON object tells the result. Exits 0;\n"
	       "1 when a block is wrong or a request failed; 2 on bad usage.\n");
	return code;
}

static int complain(const char *option, const char *value, const char *wants)
{
	dc_say("%s wants %s, not '%.60s'", option, wants, value);
	return 2;
}

static bool number(const char *text, uint64_t *out)
{
	char *end = NULL;
	if (*text < '0' || *text > '9' || strlen(text) > 18)
		return false;
	*out = strtoull(text, &end, 10);
	return *end == '\0';
}

static int set(struct dc_options *o, const char *option, const char *value)
{
	char *end = NULL;
	if (!strcmp(option, "--seed"))
		return number(value, &o->seed) ? 0 : complain(option, value, "a number");
	if (!strcmp(option, "--seconds")) {
		o->seconds = *value >= '0' && *value <= '9' ? strtod(value, &end) : -1;
		return end && !*end && o->seconds <= 86400 ? 0 : complain(option, value, "seconds");
	}
	bool is_from = !strcmp(option, "--from");
	if (!is_from && strcmp(option, "--bytes") != 0) {
		dc_say("unknown option '%.60s' (--help)", option);
		return 2;
	}
	uint64_t *to = is_from ? &o->from : &o->bytes;
	return number(value, to) && *to % DC_BLOCK_BYTES == 0
		       ? 0
		       : complain(option, value, "a multiple of 4096");
}

/* 0, or an exit code + 1. */
static int parse(struct dc_options *o, int argc, char **argv)
{
	if (argc >= 2 && !strcmp(argv[1], "--help"))
		return usage(0) + 1;
	if (argc < 3)
		return usage(2) + 1;
	for (uint32_t t = 0; t < 4 && !o->path; t++)
		if (!strcmp(argv[1], tests[t])) {
			o->test = (enum dc_test)t;
			o->path = argv[2];
		}
	if (!o->path)
		return complain("nf-diskcheck", argv[1], "write, verify, discard or churn") + 1;
	for (int i = 3; i < argc; i++) {
		if (!strcmp(argv[i], "--discard")) {
			o->discard = true;
			continue;
		}
		int code = i + 1 < argc ? set(o, argv[i], argv[i + 1])
					: complain(argv[i], "", "a value, or is unknown (--help)");
		if (code)
			return code + 1;
		i++;
	}
	return 0;
}

/* The region within the disk; negative errno. */
static int fit(int fd, struct dc_options *o)
{
	off_t end = lseek(fd, 0, SEEK_END);
	if (end < 0)
		return -errno;
	uint64_t size = (uint64_t)end / DC_BLOCK_BYTES * DC_BLOCK_BYTES;
	if (o->from >= size || o->bytes > size - o->from) {
		dc_say("%s has %" PRIu64 " bytes, which do not hold --from %" PRIu64
		       " --bytes %" PRIu64,
		       o->path, (uint64_t)end, o->from, o->bytes);
		return -ERANGE;
	}
	if (o->bytes == 0)
		o->bytes = size - o->from;
	return 0;
}

int main(int argc, char **argv)
{
	struct dc_options o = {.seconds = 5, .seed = 1};
	struct dc_result r = {.error = 0};
	int code = parse(&o, argc, argv);

	if (code)
		return code - 1;
	int fd = open(o.path, (o.test == DC_VERIFY ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC);
	if (fd < 0 && errno == EINVAL) /* tmpfs has none */
		fd = open(o.path, (o.test == DC_VERIFY ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	r.error = fd < 0 ? -errno : fit(fd, &o);
	if (r.error == 0 && o.test == DC_CHURN)
		dc_churn(fd, &o, &r);
	else if (r.error == 0)
		dc_pass(fd, &o, &r);
	if (fd >= 0 && close(fd) < 0 && r.error == 0)
		r.error = -errno;
	if (r.error)
		dc_say("%s: %s", o.path, strerror(-r.error));
	bool good = r.error == 0 && r.wrong == 0;
	printf("{\"ok\":%s,\"test\":\"%s\",\"bytes\":%" PRIu64 ",\"verifyErrors\":%" PRIu64
	       ",\"writes\":%" PRIu64 ",\"reads\":%" PRIu64 ",\"flushes\":%" PRIu64
	       ",\"discards\":%" PRIu64 ",\"error\":%d}\n",
	       good ? "true" : "false", tests[o.test], r.bytes, r.wrong, r.writes, r.reads,
	       r.flushes, r.discards, r.error);
	return good ? 0 : 1;
}
