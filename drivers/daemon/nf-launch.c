/* SPDX-License-Identifier: MIT */
/* Runs a program as a domain of its own; see launch/launch.h for what isolates it. */
#include "launch/launch.h"

int main(int argc, char **argv)
{
	struct launch l;
	bool help;
	int code = launch_parse(&l, argc, argv, &help);

	if (help)
		launch_usage();
	if (code || help)
		return code;
	return launch_run(&l);
}
