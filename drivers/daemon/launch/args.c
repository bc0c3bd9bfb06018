/* SPDX-License-Identifier: MIT */
/* The command line of nf-launch. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch.h"

void launch_say(const char *fmt, ...)
{
	char line[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	fprintf(stderr, "nf-launch: %s\n", line);
}

void launch_usage(void)
{
	printf("nf-launch [--net new|host] [--ro PATH]... [--rw PATH]... [--dev PATH]...\n"
	       "          [--hostname NAME] [--keep-fd N]... [--status-fd N] [--join PID]\n"
	       "          [--no-isolation] [--terminal] -- PROGRAM [ARGS]\n"
	       "\n"
	       "Runs PROGRAM in namespaces of its own (user, pid, mount, ipc, uts, net) on a "
	       "small\n"
	       "root of read-only system folders and the given paths, or in those of the running\n"
	       "domain PID. --terminal, with --join or --no-isolation: PROGRAM has the terminal\n"
	       "of standard input to itself until it ends. Exits with the program's status (128 + "
	       "n: signal n), 2 on bad usage,\n"
	       "3 when this machine refuses, 126 or 127 when PROGRAM cannot be executed.\n");
}

static int number(const char *option, const char *text, long max, int *out)
{
	char *end = NULL;
	errno = 0;
	long v = text && *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : -1;
	if (v < 0 || v > max || errno || *end) {
		launch_say("%s wants a number from 0 to %ld, not '%.40s'", option, max, text);
		return LAUNCH_USAGE;
	}
	*out = (int)v;
	return 0;
}

static int add_path(struct launch *l, const char *option, const char *path, enum launch_bind kind)
{
	if (path[0] != '/' || strstr(path, "/../") || strstr(path, "/./")) {
		launch_say("%s wants an absolute path without dots, not '%.100s'", option, path);
		return LAUNCH_USAGE;
	}
	if (l->path_count == LAUNCH_PATHS) {
		launch_say("more than %d paths", LAUNCH_PATHS);
		return LAUNCH_USAGE;
	}
	l->paths[l->path_count++] = (struct launch_path){path, kind};
	return 0;
}

static int add_keep(struct launch *l, const char *value)
{
	if (l->keep_count == LAUNCH_FDS) {
		launch_say("more than %d --keep-fd", LAUNCH_FDS);
		return LAUNCH_USAGE;
	}
	return number("--keep-fd", value, 1 << 20, &l->keep[l->keep_count++]);
}

static int set_net(struct launch *l, const char *value)
{
	l->new_net = !strcmp(value, "new");
	if (l->new_net || !strcmp(value, "host"))
		return 0;
	launch_say("--net is new or host, not '%.40s'", value);
	return LAUNCH_USAGE;
}

static int with_value(struct launch *l, const char *option, const char *value)
{
	if (!strcmp(option, "--net"))
		return set_net(l, value);
	if (!strcmp(option, "--ro"))
		return add_path(l, option, value, LAUNCH_RO);
	if (!strcmp(option, "--rw"))
		return add_path(l, option, value, LAUNCH_RW);
	if (!strcmp(option, "--dev"))
		return add_path(l, option, value, LAUNCH_DEV);
	if (!strcmp(option, "--keep-fd"))
		return add_keep(l, value);
	if (!strcmp(option, "--status-fd"))
		return number(option, value, 1 << 20, &l->status_fd);
	if (!strcmp(option, "--join"))
		return number(option, value, 1 << 22, &l->join);
	if (!strcmp(option, "--hostname") && strlen(value) <= 63) {
		l->hostname = value;
		return 0;
	}
	launch_say("unknown option '%.40s' (nf-launch --help)", option);
	return LAUNCH_USAGE;
}

int launch_parse(struct launch *l, int argc, char **argv, bool *help)
{
	*l = (struct launch){.isolate = true, .new_net = true, .status_fd = -1};
	*help = false;
	int i = 1;
	for (; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "--help")) {
			*help = true;
			return 0;
		}
		if (!strcmp(argv[i], "--no-isolation")) {
			l->isolate = false;
			continue;
		}
		if (!strcmp(argv[i], "--terminal")) {
			l->terminal = true;
			continue;
		}
		if (i + 1 >= argc || !strcmp(argv[i + 1], "--")) {
			launch_say("'%.40s' is unknown or lacks its value (nf-launch --help)",
				   argv[i]);
			return LAUNCH_USAGE;
		}
		int code = with_value(l, argv[i], argv[i + 1]);
		if (code)
			return code;
		i++;
	}
	if (i + 1 >= argc) {
		launch_say("no program: put it after -- (nf-launch --help)");
		return LAUNCH_USAGE;
	}
	if (l->join && !l->isolate) {
		launch_say("--join and --no-isolation exclude each other");
		return LAUNCH_USAGE;
	}
	if (l->terminal && l->isolate && !l->join) {
		launch_say("--terminal needs --join or --no-isolation");
		return LAUNCH_USAGE;
	}
	l->argv = &argv[i + 1];
	return 0;
}
