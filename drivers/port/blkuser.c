/* SPDX-License-Identifier: MIT */
/* Specs of what drives a front, and "none", which does not. */
#include <stdio.h>
#include <string.h>

#include "users.h"

static int none_start(struct nf_blkuser *u, struct nf_blkport *disk)
{
	(void)u, (void)disk;
	return 0;
}

static void none_stop(struct nf_blkuser *u)
{
	(void)u;
}

static int none_run(struct nf_blkuser *u)
{
	(void)u;
	return 0;
}

static int none_fds(struct nf_blkuser *u, int *fds, int cap)
{
	(void)u, (void)fds, (void)cap;
	return 0;
}

static const struct nf_blkuser_ops none_ops = {
	.name = "none",
	.start = none_start,
	.stop = none_stop,
	.run = none_run,
	.arm = none_run,
	.fds = none_fds,
	.close = none_stop,
};

int nf_blkuser_open(const char *spec, const struct nf_blkuser_env *env, struct nf_blkuser *out,
		    char *err, uint32_t err_cap)
{
	char none[8];
	if (!err || !err_cap) {
		err = none;
		err_cap = sizeof(none);
	}
	err[0] = '\0';
	if (!spec || !env || !out)
		return -EINVAL;
	if (!strcmp(spec, "none")) {
		*out = (struct nf_blkuser){.ops = &none_ops, .counters = env->counters};
		return 0;
	}
	if (!strcmp(spec, "gen"))
		return nf__blkuser_open_gen(env, out);
	if (!strncmp(spec, "nbd:", 4))
		return nf__blkuser_open_nbd(spec + 4, env, out, err, err_cap);
	snprintf(err, err_cap, "unknown user of a disk '%.40s': none, gen or nbd:PATH", spec);
	return -EINVAL;
}
