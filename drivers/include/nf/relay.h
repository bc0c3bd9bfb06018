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
	bool trust_inner; /* direct against a back that is not static-only: unconfined, and reported
			   */
};

/*
 * One relayed device. Control thread only; the queues run on inner.poller. The configuration is
 * copied; layers, stores, poller, counters and notice stay the caller's until close.
 */
struct nf_net_relay;
/* -EINVAL: no such mode, or paths that name no device; -ENOSYS: the layers cannot donate
 * (translate, direct) or number equally (direct); or an errno of opening either end. */
int nf_net_relay_open(const struct nf_relay_config *cfg, struct nf_net_relay **out);
/*
 * Advances both ends; after any event of either. Returns where the connection is, as enum
 * nf_net_phase: WAITING, OFFERING, MAPPED, RUNNING, CLOSING, CLOSED; or a negative errno when its
 * ends cannot be opened again (-ENOENT: the device was removed; close it).
 *
 * What a mode cannot do with this L2 or this L0 is refused here: the reason goes to inner.notice,
 * to the inner device's error node and to the counters, both ends are closed, and after a pause
 * that grows from 0.1 to 12.8 s it is tried again. So is a connection that an end broke.
 */
int nf_net_relay_step(struct nf_net_relay *r);
/* Orderly: outer first, then inner; steps until CLOSED. Does not come back. */
int nf_net_relay_shutdown(struct nf_net_relay *r);
/* Its outer end, borrowed until the next step; NULL between two connections. */
const struct nf_netfront *nf_net_relay_outer(const struct nf_net_relay *r);
/* At once: everything is freed, what L0 still maps goes to quarantine. NULL is fine. */
void nf_net_relay_close(struct nf_net_relay *r);
/* Descriptors to wait on (POLLIN): always one, the same for the relay's life. */
int nf_net_relay_fds(struct nf_net_relay *r, int *fds, int cap);

#endif
