/* SPDX-License-Identifier: MIT */
/* TAP 13 for the C test programs: numbered lines, the plan at the end, 1 from main on failure. */
#ifndef NF_TEST_TAP_H
#define NF_TEST_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned tap_count, tap_failed;

__attribute__((unused, format(printf, 1, 2))) static void diag(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	printf("# ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	fflush(stdout);
}

__attribute__((unused, format(printf, 2, 0))) static bool tap_line(bool good, const char *fmt,
								   va_list ap)
{
	if (tap_count == 0)
		printf("TAP version 13\n");
	printf("%sok %u - ", good ? "" : "not ", ++tap_count);
	vprintf(fmt, ap);
	printf("\n");
	fflush(stdout);
	tap_failed += !good;
	return good;
}

/* One numbered line; returns good. */
__attribute__((unused, format(printf, 2, 3))) static bool ok(bool good, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	tap_line(good, fmt, ap);
	va_end(ap);
	return good;
}

/* Numbers of any integer type; negative errnos too. */
#define is(got, want, ...) is_number((int64_t)(got), (int64_t)(want), __VA_ARGS__)
__attribute__((unused, format(printf, 3, 4))) static bool is_number(int64_t got, int64_t want,
								    const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	tap_line(got == want, fmt, ap);
	va_end(ap);
	if (got != want)
		diag("got %lld, want %lld", (long long)got, (long long)want);
	return got == want;
}

__attribute__((unused, format(printf, 3, 4))) static bool is_str(const char *got, const char *want,
								 const char *fmt, ...)
{
	bool same = got && want && strcmp(got, want) == 0;
	va_list ap;
	va_start(ap, fmt);
	tap_line(same, fmt, ap);
	va_end(ap);
	if (!same)
		diag("got \"%s\", want \"%s\"", got ? got : "(null)", want ? want : "(null)");
	return same;
}

/* A test that cannot run here, by name and with its reason; the others go on. */
__attribute__((unused, format(printf, 2, 3))) static void skip(const char *name, const char *fmt,
							       ...)
{
	va_list ap;
	if (tap_count == 0)
		printf("TAP version 13\n");
	printf("ok %u - %s # SKIP ", ++tap_count, name);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

/* The whole program cannot run here: exits 77. Only before the first line. */
__attribute__((unused, noreturn, format(printf, 1, 2))) static void skip_all(const char *fmt, ...)
{
	va_list ap;
	printf("TAP version 13\n1..0 # SKIP ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	exit(0); /* the plan says it; a harness takes any other code for a failure */
}

/* The plan; return this from main. A program that checked nothing has failed. */
__attribute__((unused)) static int done(void)
{
	if (tap_count == 0)
		printf("TAP version 13\n");
	printf("1..%u\n", tap_count);
	if (tap_failed)
		printf("# failed %u of %u\n", tap_failed, tap_count);
	return tap_failed || tap_count == 0 ? 1 : 0;
}

#endif
