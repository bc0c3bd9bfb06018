/* SPDX-License-Identifier: MIT */
/* TAP ports: refused by name until they are there. */
#include <stdio.h>

#include "ports.h"

int nf__port_probe_tap(const char *options)
{
	(void)options;
	return -ENOSYS;
}

int nf__port_open_tap(const char *options, const struct nf_port_env *env, struct nf_port *out,
		      char *err, uint32_t err_cap)
{
	(void)env, (void)out;
	if (err)
		snprintf(err, err_cap, "tap:%.40s: not in this build", options);
	return -ENOSYS;
}
