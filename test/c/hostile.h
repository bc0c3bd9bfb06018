/* SPDX-License-Identifier: MIT */
/* TAP lines about a scene: what went wrong follows as a comment. */
#ifndef NF_TEST_HOSTILE_TAP_H
#define NF_TEST_HOSTILE_TAP_H

#include "../peer/scene.h"
#include "tap.h"

#define SCENE(s, call, ...)                                                                        \
	do {                                                                                       \
		if (!ok((call), __VA_ARGS__))                                                      \
			diag("%s", (s)->why);                                                      \
	} while (0)

/* The bytes of a tx response slot. */
__attribute__((unused)) static struct nf_netif_tx_response tx_rsp_at(struct hostile *h,
								     uint32_t queue, uint32_t idx)
{
	struct nf_netif_tx_response r;
	memcpy(&r, hostile_slot(h, queue, 't', idx), sizeof(r));
	return r;
}

/* Waits until the back answered every tx request put so far. */
__attribute__((unused)) static bool tx_answered(struct hostile *h, uint32_t queue)
{
	for (int i = 0; i < 2000; i++) {
		if (hostile_peek(h, queue, 't', 2) == h->q[queue].tx_prod)
			return true;
		hostile_linger(h, 0);
	}
	return false;
}

#endif
