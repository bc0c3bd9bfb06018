/* SPDX-License-Identifier: MIT */
/* The command line of nf-netperf. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netperf.h"

static const char *const test_names[] = {"",	   "TCP_STREAM", "TCP_MAERTS",
					 "TCP_RR", "UDP_STREAM", "UDP_RR"};

const char *np_test_name(enum np_test t)
{
	return test_names[t];
}

static void usage(void)
{
	printf("nf-netperf server [--bind ADDR] [--port P] [--max-seconds S]\n"
	       "nf-netperf client --host ADDR [--port P] [--test TCP_STREAM|TCP_MAERTS|TCP_RR|\n"
	       "           UDP_STREAM|UDP_RR] [--seconds S] [--message BYTES] [--cpu N]\n"
	       "           [--seed N] [--patience SECONDS] [--json]\n"
	       "\n"
	       "The server prints \"ready PORT\" and serves until SIGTERM or --max-seconds (600).\n"
	       "Nothing moves for --patience seconds (5): the test failed.\n"
	       "The client prints one JSON object (or key=value lines) and exits 0; 1 when the "
	       "test\n"
	       "failed or a seeded stream's hashes differ, 2 on bad usage.\n");
}

static int complain(const char *option, const char *value, const char *wants)
{
	np_say("%s wants %s, not '%.60s'", option, wants, value);
	return 2;
}

static bool number(const char *text, double min, double max, double *out)
{
	char *end = NULL;
	double v = (*text >= '0' && *text <= '9') ? strtod(text, &end) : -1;
	if (!end || *end || !(v >= min && v <= max))
		return false;
	*out = v;
	return true;
}

static bool address(const char *text, struct np_options *o)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&o->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&o->address;
	in_port_t port = v4->sin_port; /* at one place in both */

	memset(&o->address, 0, sizeof(o->address));
	v4->sin_port = port;
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		o->address_bytes = sizeof(*v4);
		return true;
	}
	memset(&o->address, 0, sizeof(o->address));
	v6->sin6_port = port;
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1)
		return false;
	v6->sin6_family = AF_INET6;
	o->address_bytes = sizeof(*v6);
	return true;
}

static bool set_test(struct np_options *o, const char *name)
{
	for (uint32_t t = NP_TCP_STREAM; t <= NP_UDP_RR; t++) {
		if (strcmp(name, test_names[t]))
			continue;
		o->test = (enum np_test)t;
		return true;
	}
	return false;
}

static int set(struct np_options *o, const char *option, const char *value)
{
	double v = 0;
	if (!strcmp(option, "--bind") || !strcmp(option, "--host"))
		return address(value, o) ? 0 : complain(option, value, "an IPv4 or IPv6 address");
	if (!strcmp(option, "--port")) {
		if (!number(value, 0, 65535, &v))
			return complain(option, value, "0 .. 65535");
		((struct sockaddr_in *)&o->address)->sin_port = htons((uint16_t)v);
		return 0;
	}
	if (!strcmp(option, "--test"))
		return set_test(o, value) ? 0
					  : complain(option, value, "one of the tests (--help)");
	if (!strcmp(option, "--seconds"))
		return number(value, 0.01, NP_SECONDS_MAX, &o->seconds)
			       ? 0
			       : complain(option, value, "0.01 .. 3600");
	if (!strcmp(option, "--message")) {
		if (!number(value, 1, NP_MESSAGE_MAX, &v))
			return complain(option, value, "1 .. 1048576");
		o->message = (uint32_t)v;
		return 0;
	}
	if (!strcmp(option, "--cpu")) {
		if (!number(value, 0, 1023, &v))
			return complain(option, value, "0 .. 1023");
		o->cpu = (int)v;
		return 0;
	}
	if (!strcmp(option, "--patience")) {
		if (!number(value, 1, NP_PATIENCE_MAX, &v))
			return complain(option, value, "1 .. 600 seconds");
		o->patience_s = (uint32_t)v;
		return 0;
	}
	if (!strcmp(option, "--max-seconds")) {
		if (!number(value, 1, 86400, &v))
			return complain(option, value, "1 .. 86400");
		o->max_seconds = (uint32_t)v;
		return 0;
	}
	if (!strcmp(option, "--seed")) {
		if (!number(value, 0, 9e15, &v))
			return complain(option, value, "0 .. 9e15");
		o->seed = (uint64_t)v;
		o->seeded = true;
		return 0;
	}
	np_say("unknown option '%.60s' (--help)", option);
	return 2;
}

static int check(struct np_options *o)
{
	bool rr = o->test == NP_TCP_RR || o->test == NP_UDP_RR;
	bool udp = o->test == NP_UDP_STREAM || o->test == NP_UDP_RR;

	if (o->message == 0)
		o->message = rr ? 1 : udp ? 1472 : 65536;
	if (udp && o->message > NP_UDP_MAX)
		return complain("--message", "more", "at most 65507 for UDP");
	if (o->seeded && o->test != NP_TCP_STREAM && o->test != NP_TCP_MAERTS)
		return complain("--seed", np_test_name(o->test), "TCP_STREAM or TCP_MAERTS");
	if (!o->server && o->address_bytes == 0)
		return complain("--host", "", "an address");
	if (o->server && o->address_bytes == 0)
		address("0.0.0.0", o);
	return 0;
}

int np_parse(struct np_options *o, int argc, char **argv, bool *help)
{
	*o = (struct np_options){.test = NP_TCP_STREAM,
				 .seconds = 2,
				 .cpu = -1,
				 .max_seconds = 600,
				 .patience_s = NP_PATIENCE_S};
	((struct sockaddr_in *)&o->address)->sin_port = htons(12865); /* netperf's */
	*help = argc < 2 || !strcmp(argv[1], "--help");
	if (*help) {
		usage();
		return argc < 2 ? 2 : 0;
	}
	o->server = !strcmp(argv[1], "server");
	if (!o->server && strcmp(argv[1], "client"))
		return complain("nf-netperf", argv[1], "server or client");
	for (int i = 2; i < argc; i++) {
		if (!strcmp(argv[i], "--help")) {
			usage();
			*help = true;
			return 0;
		}
		if (!strcmp(argv[i], "--json")) {
			o->json = true;
			continue;
		}
		if (i + 1 >= argc)
			return complain(argv[i], "", "a value, or is unknown (--help)");
		int code = set(o, argv[i], argv[i + 1]);
		if (code)
			return code;
		i++;
	}
	return check(o);
}
