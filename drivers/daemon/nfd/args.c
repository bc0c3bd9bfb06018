/* SPDX-License-Identifier: MIT */
/* The command line of nestfrontd. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nfd.h"

static void usage(void)
{
	printf("nestfrontd --layer embedded:fd=N|xen[:DIR] [--outer embedded:fd=N|xen[:DIR]]\n"
	       "           [--notify poll|adaptive|event] [--cpu N] [--spin-us N]\n"
	       "           [--yield auto|on|off] [--name NAME] [--counters FILE|fd=N]\n"
	       "           [--run-dir DIR] [--control PATH] [--seccomp on|off]\n"
	       "\n"
	       "Drives the network devices it finds in the store of its layer. With --outer, "
	       "backs\n"
	       "that have nestfront/relay set are joined to a front on the outer layer.\n"
	       "\n"
	       "DIR/NAME (on Xen /run/nestfront/NAME unless told) holds the counters, which others "
	       "may\n"
	       "map, and what a killed daemon needs to go on: start it again with the same ones.\n"
	       "--counters counts in FILE instead. --control answers JSON lines "
	       "(docs/control.md).\n"
	       "\n"
	       "Prints \"ready\" once it watches the store (and tells systemd, Type=notify), logs "
	       "to\n"
	       "stderr. SIGTERM: closes its devices in order; SIGHUP: leaves them running for the "
	       "next\n"
	       "instance, on Xen. Exits 0; 1 when something failed at the start; 2 on bad usage;\n"
	       "3 when this machine has no Xen, or not all that is needed of it.\n");
}

static int complain(const char *option, const char *value, const char *wants)
{
	fprintf(stderr, "nestfrontd: %s wants %s, not '%.60s'\n", option, wants, value);
	return NFD_EXIT_USAGE;
}

static bool number(const char *text, long max, int *out)
{
	char *end = NULL;
	if (*text < '0' || *text > '9' || strlen(text) > 9)
		return false;
	long v = strtol(text, &end, 10);
	if (*end || v > max)
		return false;
	*out = (int)v;
	return true;
}

static int set_layer(const char *option, const char *value, struct nfd_where *w)
{
	static const char prefix[] = "embedded:fd=";
	if (!strcmp(value, "xen"))
		w->xen_dir = "/dev/xen";
	else if (!strncmp(value, "xen:/", 5))
		w->xen_dir = value + 4;
	else if (strncmp(value, prefix, sizeof(prefix) - 1) ||
		 !number(value + sizeof(prefix) - 1, 1 << 20, &w->fd))
		return complain(option, value, "embedded:fd=N, xen or xen:/DIR");
	return 0;
}

static int set_notify(struct nfd_options *o, const char *value)
{
	if (!strcmp(value, "poll"))
		o->poll.mode = NF_POLL_BUSY;
	else if (!strcmp(value, "adaptive"))
		o->poll.mode = NF_POLL_ADAPTIVE;
	else if (!strcmp(value, "event"))
		o->poll.mode = NF_POLL_EVENT;
	else
		return complain("--notify", value, "poll, adaptive or event");
	return 0;
}

static int set_yield(struct nfd_options *o, const char *value)
{
	if (!strcmp(value, "auto"))
		o->poll.yield = -1;
	else if (!strcmp(value, "on"))
		o->poll.yield = 1;
	else if (!strcmp(value, "off"))
		o->poll.yield = 0;
	else
		return complain("--yield", value, "auto, on or off");
	return 0;
}

static int set_seccomp(struct nfd_options *o, const char *value)
{
	o->no_seccomp = !strcmp(value, "off");
	return o->no_seccomp || !strcmp(value, "on") ? 0
						     : complain("--seccomp", value, "on or off");
}

static int set(struct nfd_options *o, const char *option, const char *value)
{
	int n;
	if (!strcmp(option, "--layer"))
		return set_layer(option, value, &o->layer);
	if (!strcmp(option, "--outer"))
		return set_layer(option, value, &o->outer);
	if (!strcmp(option, "--notify"))
		return set_notify(o, value);
	if (!strcmp(option, "--yield"))
		return set_yield(o, value);
	if (!strcmp(option, "--seccomp"))
		return set_seccomp(o, value);
	if (!strcmp(option, "--cpu"))
		return number(value, 1023, &o->poll.cpu) ? 0 : complain(option, value, "0 .. 1023");
	if (!strcmp(option, "--spin-us")) {
		if (!number(value, 1000000, &n) || n == 0)
			return complain(option, value, "1 .. 1000000");
		o->poll.spin_us = (uint32_t)n;
		return 0;
	}
	if (!strcmp(option, "--name")) {
		o->name = value;
		return 0;
	}
	if (!strcmp(option, "--run-dir")) {
		o->run_dir = value;
		return *value == '/' ? 0 : complain(option, value, "an absolute path");
	}
	if (!strcmp(option, "--control")) {
		o->control = value;
		return *value == '/' ? 0 : complain(option, value, "an absolute path");
	}
	if (!strcmp(option, "--counters")) {
		o->layer.counters = value;
		return 0;
	}
	fprintf(stderr, "nestfrontd: unknown option '%.60s' (--help)\n", option);
	return NFD_EXIT_USAGE;
}

int nfd_parse(struct nfd_options *o, int argc, char **argv, bool *help)
{
	*o = (struct nfd_options){
		.layer = {.fd = -1},
		.outer = {.fd = -1},
		.poll = {.mode = NF_POLL_ADAPTIVE, .cpu = -1, .yield = -1},
		.name = "nestfrontd",
	};
	*help = false;
	for (int i = 1; i < argc; i += 2) {
		if (!strcmp(argv[i], "--help")) {
			usage();
			*help = true;
			return 0;
		}
		if (i + 1 >= argc)
			return complain(argv[i], "", "a value, or is unknown (--help)");
		int code = set(o, argv[i], argv[i + 1]);
		if (code)
			return code;
	}
	if (o->layer.fd < 0 && !o->layer.xen_dir)
		return complain("--layer", "", "embedded:fd=N, xen or xen:/DIR");
	return 0;
}
