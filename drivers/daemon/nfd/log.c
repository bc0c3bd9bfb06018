/* SPDX-License-Identifier: MIT */
/* A peer must not be able to fill a disk: lines beyond the rate are counted, not printed. */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include "nfd.h"

#define LINES_PER_SECOND 40u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *process_name = "nestfrontd";
static enum nfd_log_level wanted = NFD_LOG_NORMAL;
static uint64_t window;
static uint32_t printed, suppressed;

void nfd_log_name(const char *name)
{
	process_name = name;
}

void nfd_log_level(enum nfd_log_level level)
{
	pthread_mutex_lock(&lock);
	wanted = level;
	pthread_mutex_unlock(&lock);
}

static void print(enum nfd_log_level level, const char *line)
{
	pthread_mutex_lock(&lock);
	if (level > wanted) {
		pthread_mutex_unlock(&lock);
		return;
	}
	uint64_t now = nfd_now_ms() / 1000;
	if (now != window) {
		if (suppressed)
			fprintf(stderr, "%s: %u lines suppressed\n", process_name, suppressed);
		window = now;
		printed = suppressed = 0;
	}
	if (printed < LINES_PER_SECOND) {
		printed++;
		fprintf(stderr, "%s: %s\n", process_name, line);
	} else {
		suppressed++;
	}
	pthread_mutex_unlock(&lock);
}

void nfd_log(const char *fmt, ...)
{
	char line[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	print(NFD_LOG_NORMAL, line);
}

void nfd_debug(const char *fmt, ...)
{
	char line[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	print(NFD_LOG_DEBUG, line);
}
