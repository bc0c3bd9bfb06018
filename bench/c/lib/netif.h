/* SPDX-License-Identifier: MIT */
/* Interfaces of the current network namespace, without iproute2. All 0 (or a descriptor) or -errno.
 */
#ifndef NF_BENCH_NETIF_H
#define NF_BENCH_NETIF_H

#include <stdint.h>

/* Gives an interface an IPv4 address in host byte order and a prefix length, and brings it up. */
int netif_up(const char *name, uint32_t address, uint32_t prefix, uint32_t mtu);
/* Brings lo up. */
int netif_loopback(void);
/* A pair of veth interfaces; the second one goes to the namespace of descriptor peer_ns. */
int netif_veth(const char *name, const char *peer, int peer_ns);
/* A TAP with vnet_hdr, checksum and TSO offloads, non-blocking; the descriptor is the caller's. */
int netif_tap(const char *name);

#define NETIF_VNET_BYTES 12

#endif
