/* SPDX-License-Identifier: MIT */
/*
 * L1's driver domain: netback on the inner layer joined to netfront on the outer one. See
 * docs/relay.md for the modes and their invariants.
 */
#ifndef NF_RELAY_H
#define NF_RELAY_H

#include "nf/net.h"

enum nf_relay_mode { NF_RELAY_COPY = 2, NF_RELAY_TRANSLATE = 3, NF_RELAY_DIRECT = 4 };

struct nf_relay_config {
	struct nf_net_config inner; /* path: the backend node on the inner layer; port NULL */
	struct nf_net_config outer; /* path: the frontend node on the outer layer; port NULL */
	enum nf_relay_mode mode;
	bool trust_inner; /* direct against a back that is not static-only: unconfined, and reported */
};

struct nf_net_relay;
/* -EINVAL with a notice: direct asked for, the outer back is not static-only and !trust_inner is
 * found at step time and fails the inner device by name. */
int nf_net_relay_open(const struct nf_relay_config *cfg, struct nf_net_relay **out);
int nf_net_relay_step(struct nf_net_relay *r); /* advances both ends; after any event of either */
int nf_net_relay_shutdown(struct nf_net_relay *r);
void nf_net_relay_close(struct nf_net_relay *r);
/* Control descriptors to wait on (ctrl rings of both ends): up to cap; returns how many. */
int nf_net_relay_fds(struct nf_net_relay *r, int *fds, int cap);

#endif
