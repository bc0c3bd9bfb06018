/* SPDX-License-Identifier: MIT */
/*
 * The canary: a consumer as drivers have shipped it, believing the producer index. The harness
 * must find it; a harness that does not would not find ours either.
 */
#include "nf/ring.h"
#include "targets.h"

void fuzz_canary_run(const uint8_t *data, size_t bytes)
{
	struct fuzz_in in = fuzz_input(data, bytes);
	uint32_t *taken = malloc(256 * sizeof(*taken));
	uint32_t slots[256] = {0}, cons = 0;
	if (!taken)
		abort();
	while (fuzz_left(&in) > 0) {
		if (fuzz_u8(&in) & 1)
			slots[fuzz_u8(&in)] = fuzz_u32(&in);
		uint32_t peer_prod = fuzz_u16(&in);
		uint32_t count = peer_prod - cons; /* no clamp */
		for (uint32_t i = 0; i < count && i < 4096; i++)
			((volatile uint32_t *)taken)[i] = slots[(cons + i) & 255u];
		cons = peer_prod;
	}
	free(taken);
}
