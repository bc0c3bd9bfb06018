/* SPDX-License-Identifier: MIT */
/* Every fuzz target by name. */
#include "targets.h"

const struct fuzz_target fuzz_targets[] = {
	{"ring_back", fuzz_ring_back, "requests of a ring whose front lies about its indices"},
	{"ring_front", fuzz_ring_front, "responses of a ring whose back lies about its indices"},
	{"net_back", fuzz_net_back, "netback's tx and rx queues, the front is hostile"},
	{"net_front", fuzz_net_front, "netfront's tx and rx queues, the back is hostile"},
	{"net_ctrl", fuzz_net_ctrl, "netback's control ring and its ledger of mapped grants"},
	{"blk_back", fuzz_blk_back, "blkback's queue, the front is hostile and the disk is slow"},
	{"blk_front", fuzz_blk_front, "blkfront's queue, the back is hostile"},
	{"headers", fuzz_headers, "packet headers for offloads, and a TAP's virtio_net_hdr"},
	{"relay_translate", fuzz_relay_translate, "the relay renames for two hostile ends"},
	{"relay_copy", fuzz_relay_copy, "the relay copies for two hostile ends"},
	{"xs_wire", fuzz_xs_wire, "the store client, the server talks nonsense"},
	{"xenbus", fuzz_xenbus, "net negotiation, the other end's keys are junk"},
	{"hv_reply", fuzz_hv_reply, "the embedded layer's client, the hypervisor talks nonsense"},
	{0},
};

const struct fuzz_target fuzz_canary = {"canary", fuzz_canary_run,
					"a ring consumer without a clamp: must crash"};

const struct fuzz_target *fuzz_find(const char *name)
{
	for (const struct fuzz_target *t = fuzz_targets; t->name; t++)
		if (strcmp(t->name, name) == 0)
			return t;
	return strcmp(name, fuzz_canary.name) == 0 ? &fuzz_canary : NULL;
}
