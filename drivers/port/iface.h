/* SPDX-License-Identifier: MIT */
/* An interface that is there already: what AF_PACKET and AF_XDP ports stand on. */
#ifndef NF_PORT_IFACE_H
#define NF_PORT_IFACE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "nf/port.h"

/* 1 to 15 of A-Z a-z 0-9 _ . - not starting with a dot or a hyphen. */
bool nf__iface_name_ok(const char *s, size_t n);
/* Finds it and brings it up. Its index, or negative errno with a line in err. */
int nf__iface_open(const char *kind, const char *name, char *err, uint32_t err_cap);
/* False once it is gone: the index names nothing, or something new. */
bool nf__iface_is_there(int fd, int ifindex);
/* Bytes, or 1500 when it cannot be asked. */
uint32_t nf__iface_mtu(const char *name);
/* "KIND:NAME: WHAT: why: what to do" and -error. */
int nf__iface_failed(const char *kind, const char *name, int error, const char *what, char *err,
		     uint32_t err_cap);

/* A frame that ends here; put: on its way out of the port. tx is from the guest: what a back puts,
 * what a front gets. */
void nf__port_count_drop(struct nf_port *p, bool is_back, bool put, uint64_t frames);

#endif
