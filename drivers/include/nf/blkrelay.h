/* SPDX-License-Identifier: MIT */
/*
 * L1's driver domain for disks: blkback on the inner layer joined to blkfront on the outer one, as
 * nf/relay.h for the network. See docs/relay.md.
 *
 *   copy       two devices; payload is copied in L1. Several L2s can share one outer disk, each
 *              with a window of its sectors. An outer back that goes and comes back is not noticed.
 *   translate  L2's pages are L1's donations, granted to L0; descriptors cross, payload does not.
 *              Only fronts that register their pages.
 *   direct     L2's ring itself is L0's; only against a back that takes registered grants only.
 */
#ifndef NF_BLKRELAY_H
#define NF_BLKRELAY_H

#include "nf/blk.h"
#include "nf/relay.h"

struct nf_blk_outer; /* an outer disk that several relays share */

struct nf_blk_relay_config {
	struct nf_blk_config inner; /* path: the backend node on the inner layer; port NULL */
	struct nf_blk_config outer; /* path: the frontend node on the outer layer; port NULL */
	enum nf_relay_mode mode;
	bool trust_inner;
	/* the part of the outer disk that is L2's, in sectors of 512 bytes; sectors 0: to its end.
	 * Multiples of its sector size. direct: the whole disk only. */
	uint64_t window_start, window_sectors;
	/* copy: where relays of one process find the outer disks they share, by path. NULL: none
	 * is. The caller's, NULL at first. */
	struct nf_blk_outer **outers;
};

/* One relayed disk. Control thread only; the queues run on inner.poller, which in copy is also
 * outer.poller. cfg is copied, what it points to is the caller's until close. */
struct nf_blk_relay;
/* -EINVAL: no such mode, or paths that name no device, or a window in direct, or two pollers in
 * copy; -ENOSYS: the layers cannot donate or number equally; or an errno of opening either end. */
int nf_blk_relay_open(const struct nf_blk_relay_config *cfg, struct nf_blk_relay **out);
/* Advances both ends; after any event of either. The phase as enum nf_blk_phase, or a negative
 * errno when its ends cannot be opened again (-ENOENT: the device was removed; close it). */
int nf_blk_relay_step(struct nf_blk_relay *r);
int nf_blk_relay_shutdown(struct nf_blk_relay *r); /* orderly; steps until CLOSED */
void nf_blk_relay_close(struct nf_blk_relay *r);   /* at once; NULL is fine */
int nf_blk_relay_fd(const struct nf_blk_relay *r); /* to wait on (POLLIN), then step */

#endif
