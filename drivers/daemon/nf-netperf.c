/* SPDX-License-Identifier: MIT */
/* netperf's tests for inside a domain, without a library or a file. */
#include "netperf/netperf.h"

int main(int argc, char **argv)
{
	struct np_options o;
	bool help;
	int code = np_parse(&o, argc, argv, &help);

	if (code || help)
		return code;
	return o.server ? np_server(&o) : np_client(&o);
}
