/* SPDX-License-Identifier: MIT */
/* Port specs. */
#include <stdio.h>
#include <string.h>

#include "ports.h"

int nf_port_open(const char *spec, const struct nf_port_env *env, struct nf_port *out, char *err,
		 uint32_t err_cap)
{
	if (err && err_cap)
		err[0] = '\0';
	if (!spec || !env || !out)
		return -EINVAL;
	if (!strcmp(spec, "gen"))
		return nf__port_open_gen(env, out);
	if (!strcmp(spec, "null"))
		return nf__port_open_null(env, out);
	if (!strncmp(spec, "tap:", 4))
		return nf__port_open_tap(spec + 4, env, out, err, err_cap);
	if (err)
		snprintf(err, err_cap, "unknown port '%.40s': gen, null or tap:NAME", spec);
	return -EINVAL;
}

int nf_port_probe(const char *spec)
{
	if (!spec)
		return -EINVAL;
	if (!strcmp(spec, "gen") || !strcmp(spec, "null"))
		return NF_PORT_CSUM | NF_PORT_GSO4 | NF_PORT_GSO6 | NF_PORT_SG;
	if (!strncmp(spec, "tap:", 4))
		return nf__port_probe_tap(spec + 4);
	return -EINVAL;
}
