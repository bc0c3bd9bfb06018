/* SPDX-License-Identifier: MIT */
/* Each mode end to end: an L2 front, the relay, an L0 back, frames both ways, every byte checked.
 */
#include "relay_nest.h"
#include "tap.h"

static const char *name_of(enum nf_relay_mode m)
{
	return m == NF_RELAY_COPY ? "copy" : m == NF_RELAY_TRANSLATE ? "translate" : "direct";
}

static void moves(enum nf_relay_mode mode, enum nf_poll_mode poll, uint32_t queues, uint32_t bytes,
		  uint32_t frames)
{
	const char *name = name_of(mode);
	struct nest n;
	nest_open(&n, poll);
	struct nest_options o = {.mode = mode, .queues = queues, .frame_bytes = bytes};
	struct nest_link *l = nest_link(&n, 0, &o);
	if (!is(l ? nest_connect(l) : -1, 0, "%s: %u queues connect", name, queues)) {
		diag("%s", n.links[0].said);
		nest_close(&n);
		return;
	}
	ok(nest_moves(l, bytes, frames, 10000), "%s: %u frames of %u bytes both ways", name, frames,
	   bytes);
	const struct nf_counters *b = nest_block(l, 0);
	is(b->h.mode, mode, "%s: the counters say so", name);
	is(b->h.state, NF_XENBUS_CONNECTED, "%s: connected", name);
	is(b->h.grants, NF_GRANTS_STATIC, "%s: static grants", name);
	is(b->h.confined, mode == NF_RELAY_DIRECT, "%s: confined", name);
	is(nest_counter(l, NF_COUNTER_tx_packets), mode == NF_RELAY_DIRECT ? 0 : frames * queues,
	   "%s: what crossed L1 is counted", name);
	is(nest_counter(l, NF_COUNTER_payload_copies),
	   mode == NF_RELAY_COPY ? 2ull * frames * queues * bytes : 0,
	   "%s: payload bytes copied in L1", name);
	nest_close(&n);
}

/* Payload of translate and direct is never mapped in L1, rings of direct neither. */
static void mappings(enum nf_relay_mode mode, uint32_t expected)
{
	struct nest n;
	nest_open(&n, NF_POLL_EVENT);
	struct mem_baseline before, after;
	uint64_t maps = mem_world_calls(n.inner.w, 0, MEM_MAP);
	mem_world_baseline(n.inner.w, &before);
	struct nest_options o = {.mode = mode};
	struct nest_link *l = nest_link(&n, 0, &o);
	is(l ? nest_connect(l) : -1, 0, "%s: connects", name_of(mode));
	mem_world_baseline(n.inner.w, &after);
	is(after.mapped_pages - before.mapped_pages, expected,
	   "%s: pages of L2 that L1 maps: rings and control ring, or payload too", name_of(mode));
	ok(mem_world_calls(n.inner.w, 0, MEM_MAP) > maps, "%s: the control ring at least",
	   name_of(mode));
	nest_close(&n);
}

int main(void)
{
	static const enum nf_relay_mode modes[] = {NF_RELAY_TRANSLATE, NF_RELAY_COPY,
						   NF_RELAY_DIRECT};
	for (int i = 0; i < 3; i++) {
		moves(modes[i], NF_POLL_ADAPTIVE, 1, 60, 20000);
		moves(modes[i], NF_POLL_EVENT, 4, 1500, 5000);
		moves(modes[i], NF_POLL_BUSY, 1, 65226, 200);
	}
	mappings(NF_RELAY_TRANSLATE, 3);
	mappings(NF_RELAY_DIRECT, 1);
	mappings(NF_RELAY_COPY, 3 + 512);
	return done();
}
