/* SPDX-License-Identifier: MIT */
/* mux between honest ends: frames, shares and rates, a guest that dies, L0 that goes and comes. */
#include "mux_town.h"

static void carries(void)
{
	static const uint32_t sizes[] = {60, 512, 513, 1500, 4096, 4097, 65226};
	struct town t;
	if (!ok(town_open(&t, 0, NULL), "three guests connect to one device")) {
		diag("%s", t.said);
		town_close(&t);
		return;
	}
	for (uint32_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
		for (uint32_t i = 0; i < GUESTS; i++)
			ok(moves(&t, i, sizes[s], sizes[s] > 5000 ? 60 : 500),
			   "guest %u: frames of %u bytes, every byte", i, sizes[s]);
	uint64_t before = rig_counter(t.l2[1], NF_COUNTER_sink_packets);
	rig_generate(t.l0, NF_GEN_SEND, 1500, 200);
	for (int k = 0; k < 500 && rig_counter(t.l2[1], NF_COUNTER_sink_packets) < before + 200;
	     k++)
		linger(&t, 4);
	uint64_t got = rig_counter(t.l2[1], NF_COUNTER_sink_packets) - before;
	is(got + count(&t, 1, NF_COUNTER_rx_dropped_no_slots), 200,
	   "L0's frames reach the guest of their address, or are counted");
	ok(got > 0, "%llu came", (unsigned long long)got);
	is(rig_counter(t.l2[1], NF_COUNTER_sink_corrupted), 0, "unchanged");
	is(rig_counter(t.l2[0], NF_COUNTER_rx_packets) +
		   rig_counter(t.l2[2], NF_COUNTER_rx_packets),
	   0, "and no other");
	is(rig_counter(t.l0, NF_COUNTER_protocol_errors), 0, "L0 saw nothing wrong");
	town_close(&t);
}

static void dies_under_load(void)
{
	struct town t;
	ok(town_open(&t, 0, NULL), "three guests");
	for (uint32_t i = 0; i < GUESTS; i++)
		rig_generate(t.l2[i], NF_GEN_SEND, 1500, 0);
	linger(&t, 60);
	mem_world_kill(t.inner.w, 2);
	rig_end_close(t.l2[0]);
	t.l2[0] = NULL;
	mem_store_rm(t.inner.w, t.vif[0].front_path);
	uint64_t before = sunk(&t);
	linger(&t, 200);
	ok(sunk(&t) > before + 100, "one dies under load, the others' frames go on");
	rig_generate(t.l2[1], NF_GEN_IDLE, 1500, 0);
	rig_generate(t.l2[2], NF_GEN_IDLE, 1500, 0);
	linger(&t, 100);
	is(rig_counter(t.l0, NF_COUNTER_sink_lost) + rig_counter(t.l0, NF_COUNTER_sink_corrupted),
	   0, "nothing of theirs is lost or changed");
	is(t.m[0]->arena.pages, 0, "its pages are taken back");
	is(t.hub->core->members[t.m[0]->slot] == &t.m[0]->queue, 0, "its place is free");
	ok(moves(&t, 1, 1000, 300), "the device is as before");
	town_close(&t);
}

static void outer_dies(void)
{
	struct town t;
	ok(town_open(&t, 0, NULL), "three guests");
	for (uint32_t i = 0; i < GUESTS; i++)
		rig_generate(t.l2[i], NF_GEN_SEND, 1500, 0);
	linger(&t, 40);
	is(nf_netback_shutdown(t.l0->back), 0, "the outer back closes under load");
	for (int k = 0; k < 2000 && rig_phase(t.l0) != NF_NET_CLOSED; k++)
		linger(&t, 2);
	is(rig_phase(t.l0), NF_NET_CLOSED, "in order");
	for (uint32_t i = 0; i < GUESTS; i++)
		rig_generate(t.l2[i], NF_GEN_IDLE, 1500, 0);
	rig_end_close(t.l0);
	t.l0 = rig_back(&t.outer, &t.outer_vif, NULL, NULL);
	linger(&t, 20);
	for (uint32_t i = 0; i < GUESTS; i++)
		if (!is(until(&t, i, NF_NET_RUNNING, 10000), 0, "guest %u is back with the next",
			i))
			diag("%s", t.said);
	for (uint32_t i = 0; i < GUESTS; i++) {
		uint64_t before = sunk(&t);
		rig_generate(t.l2[i], NF_GEN_SEND, 1500, 100);
		for (int k = 0; k < 500 && sunk(&t) < before + 100; k++)
			linger(&t, 4);
		ok(sunk(&t) >= before + 100, "and sends");
		rig_generate(t.l2[i], NF_GEN_IDLE, 1500, 0);
	}
	is(t.m[0]->generation, 2, "a generation each");
	town_close(&t);
}

static void shares(void)
{
	struct town t;
	struct nf_mux_limits slow = {.credit_bytes = 50000, .credit_us = 50000}; /* 1 MB/s */
	ok(town_open(&t, 0, NULL), "three guests");
	rig_generate(t.l2[0], NF_GEN_SEND, 1500, 0);
	rig_generate(t.l2[1], NF_GEN_SEND, 1500, 0);
	linger(&t, 50);
	uint64_t a = count(&t, 0, NF_COUNTER_tx_bytes), b = count(&t, 1, NF_COUNTER_tx_bytes);
	linger(&t, 400);
	a = count(&t, 0, NF_COUNTER_tx_bytes) - a;
	b = count(&t, 1, NF_COUNTER_tx_bytes) - b;
	ok(a > b / 3 && b > a / 3, "two that send all they can share: %llu and %llu bytes",
	   (unsigned long long)a, (unsigned long long)b);
	town_close(&t);
	ok(town_open(&t, 0, &slow), "three guests of 1 MB/s");
	uint64_t start = now_ms();
	rig_generate(t.l2[0], NF_GEN_SEND, 1500, 0);
	linger(&t, 1000);
	uint64_t sent = count(&t, 0, NF_COUNTER_tx_bytes), ms = now_ms() - start;
	ok(sent <= 1000 * ms + 131072 + 50000, "no more than its rate: %llu bytes in %llu ms",
	   (unsigned long long)sent, (unsigned long long)ms);
	ok(sent >= 200000, "and not much less");
	ok(count(&t, 0, NF_COUNTER_tx_rate_limited) > 0, "the waiting is counted");
	town_close(&t);
}

int main(void)
{
	carries();
	dies_under_load();
	outer_dies();
	shares();
	return done();
}
