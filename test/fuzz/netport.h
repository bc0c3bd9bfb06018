/* SPDX-License-Identifier: MIT */
/*
 * A port that believes nothing its driver hands it, and a layer on plain memory: what the net and
 * control ring targets stand on.
 */
#ifndef NF_FUZZ_NETPORT_H
#define NF_FUZZ_NETPORT_H

#include "fuzz.h"
#include "net/net_internal.h"

struct fuzz_port {
	struct nf_port p; /* first */
	struct fuzz_in *in;
	struct nf_net_features allowed; /* GSO types a frame may have */
	uint64_t taken;
};

/* features: what the driver may see in put; frame_bytes_max from the input. */
void fuzz_port_init(struct fuzz_port *p, struct fuzz_in *in, const struct nf_net_features *f);

/* sg, gso and checksum bits of one byte. */
struct nf_net_features fuzz_features(uint8_t bits);

#endif
