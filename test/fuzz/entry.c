/* SPDX-License-Identifier: MIT */
/* libFuzzer's and AFL++'s way in: one program, the target by its name in NF_FUZZ_TARGET. */
#include <stdio.h>

#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const struct fuzz_target *target;

__attribute__((visibility("default"))) int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *name = getenv("NF_FUZZ_TARGET");
	(void)argc;
	(void)argv;
	target = name ? fuzz_find(name) : NULL;
	if (target)
		return 0;
	fprintf(stderr, "NF_FUZZ_TARGET must be one of:\n");
	for (const struct fuzz_target *t = fuzz_targets; t->name; t++)
		fprintf(stderr, "  %-16s %s\n", t->name, t->help);
	exit(2);
}

__attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	target->run(data, bytes);
	return 0;
}
