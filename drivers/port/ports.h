/* SPDX-License-Identifier: MIT */
/* What open.c and the ports share. */
#ifndef NF_PORT_PORTS_H
#define NF_PORT_PORTS_H

#include "nf/port.h"

int nf__port_open_gen(const struct nf_port_env *env, struct nf_port *out);
int nf__port_open_null(const struct nf_port_env *env, struct nf_port *out);
/* options: what follows "tap:". */
int nf__port_open_tap(const char *options, const struct nf_port_env *env, struct nf_port *out,
		      char *err, uint32_t err_cap);
int nf__port_probe_tap(const char *options);
int nf__port_open_afpacket(const char *options, const struct nf_port_env *env, struct nf_port *out,
			   char *err, uint32_t err_cap);
int nf__port_probe_afpacket(const char *options);
int nf__port_open_afxdp(const char *options, const struct nf_port_env *env, struct nf_port *out,
			char *err, uint32_t err_cap);
int nf__port_probe_afxdp(const char *options);
int nf__port_open_pcap(const char *options, const struct nf_port_env *env, struct nf_port *out,
		       char *err, uint32_t err_cap);
int nf__port_probe_pcap(const char *options);

#endif
