/* SPDX-License-Identifier: MIT */
/* Port specs. */
#include <stdio.h>
#include <string.h>

#include "ports.h"

/* Ports with options behind a colon. */
static const struct kind {
	const char *prefix;
	int (*open)(const char *options, const struct nf_port_env *env, struct nf_port *out,
		    char *err, uint32_t err_cap);
	int (*probe)(const char *options);
} kinds[] = {
	{"tap:", nf__port_open_tap, nf__port_probe_tap},
	{"afpacket:", nf__port_open_afpacket, nf__port_probe_afpacket},
	{"afxdp:", nf__port_open_afxdp, nf__port_probe_afxdp},
	{"pcap:", nf__port_open_pcap, nf__port_probe_pcap},
};

static const struct kind *kind_of(const char *spec)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strncmp(spec, kinds[i].prefix, strlen(kinds[i].prefix)))
			return &kinds[i];
	return NULL;
}

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
	const struct kind *k = kind_of(spec);
	if (k)
		return k->open(spec + strlen(k->prefix), env, out, err, err_cap);
	if (err)
		snprintf(err, err_cap,
			 "unknown port '%.40s': gen, null, tap:NAME, afpacket:NAME, afxdp:NAME or "
			 "pcap:FILE",
			 spec);
	return -EINVAL;
}

int nf_port_probe(const char *spec)
{
	if (!spec)
		return -EINVAL;
	if (!strcmp(spec, "gen") || !strcmp(spec, "null"))
		return NF_PORT_CSUM | NF_PORT_GSO4 | NF_PORT_GSO6 | NF_PORT_SG;
	const struct kind *k = kind_of(spec);
	return k ? k->probe(spec + strlen(k->prefix)) : -EINVAL;
}
