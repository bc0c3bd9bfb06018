/* SPDX-License-Identifier: MIT */
/*
 * netfront and netback on the embedded layer of a real hypervisor: every byte of every frame, both
 * ways, with static grants and with grant copy, and an end that leaves nothing in quarantine.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "live.h"
#include "rig.h"
#include "tap.h"

#define CYCLES 25
#define FRAMES 4000u

static struct rig rig;
static struct mem_vif vif = {.front = 1, .back = 0, .devid = 0};
static const struct nf_layer_ops *real_ops;
static unsigned int quarantined;

/* Each end that finds pages still mapped is one too many. */
static int counting_end(struct nf_layer *l, struct nf_arena *arena)
{
	int rc = real_ops->end(l, arena);

	quarantined += rc == -EBUSY;
	return rc;
}

static bool open_domain(int fd, uint16_t domid)
{
	static struct nf_layer_ops ops;
	struct rig_domain *d = &rig.domains[domid];

	*d = (struct rig_domain){.rig = &rig, .domid = domid};
	if (!is(nf_layer_open_embedded(fd, &d->layer), 0, "domain %u: its layer", domid))
		return false;
	real_ops = d->layer->ops;
	ops = *real_ops;
	ops.end = counting_end;
	d->layer->ops = &ops;
	d->control = aligned_alloc(4096, sizeof(*d->control));
	memset(d->control, 0, sizeof(*d->control));
	d->control->magic = NF_CONTROL_MAGIC;
	d->control->dev[0].verify_every = 1; /* its sink looks at every byte */
	return is(nf_store_open(d->layer->ops->store_fd(d->layer), &d->store), 0, "its store") &&
	       is(nf_counters_open(&d->counters, d->layer->counters_fd, 0, domid), 0,
		  "its counters");
}

static void make_nodes(void)
{
	static const char *const keys[][2] = {
		{"/local/domain/1/device/vif/0/backend", "/local/domain/0/backend/vif/1/0"},
		{"/local/domain/1/device/vif/0/backend-id", "0"},
		{"/local/domain/1/device/vif/0/mtu", "1500"},
		{"/local/domain/1/device/vif/0/mac", "00:16:3e:00:00:01"},
		{"/local/domain/0/backend/vif/1/0/frontend", "/local/domain/1/device/vif/0"},
		{"/local/domain/0/backend/vif/1/0/frontend-id", "1"},
		{"/local/domain/0/backend/vif/1/0/mtu", "1500"},
		{"/local/domain/0/backend/vif/1/0/mac", "00:16:3e:00:00:01"},
		{"/local/domain/1/device/vif/0/state", "1"},
		{"/local/domain/0/backend/vif/1/0/state", "1"},
	};
	int failed = 0;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		failed += nf_store_write(rig.domains[0].store, 0, keys[i][0], keys[i][1]) != 0;
	is(failed, 0, "the toolstack's nodes");
}

/* Closes in order; what is left goes at once. True when both said Closed. */
static bool close_pair(struct rig_end *front, struct rig_end *back)
{
	nf_netfront_shutdown(front->front);
	bool in_order = rig_until_phase(front, NF_NET_CLOSED, 5000) == 0 &&
			rig_until_phase(back, NF_NET_CLOSED, 5000) == 0;

	rig_end_close(front);
	rig_end_close(back);
	return in_order;
}

static bool open_pair(const struct rig_options *o, struct rig_end **front, struct rig_end **back)
{
	int err = 0;

	make_nodes();
	*back = rig_back(&rig, &vif, o, &err);
	*front = *back ? rig_front(&rig, &vif, o, &err) : NULL;
	if (!ok(*front != NULL, "both ends open (%d)", err))
		return false;
	return is(rig_until_phase(*front, NF_NET_RUNNING, 10000), 0, "the front runs") &&
	       is(rig_until_phase(*back, NF_NET_RUNNING, 10000), 0, "the back runs");
}

static uint64_t harm(const struct rig_end *e)
{
	return rig_counter(e, NF_COUNTER_sink_lost) + rig_counter(e, NF_COUNTER_sink_corrupted) +
	       rig_counter(e, NF_COUNTER_sink_duplicated) +
	       rig_counter(e, NF_COUNTER_sink_reordered) +
	       rig_counter(e, NF_COUNTER_protocol_errors);
}

static void test_traffic(const char *name, const struct rig_options *o, uint32_t bytes)
{
	struct rig_end *front, *back;
	uint64_t frames = (uint64_t)FRAMES * o->queues;

	quarantined = 0;
	diag("%s, %u bytes", name, bytes);
	if (!open_pair(o, &front, &back))
		return;
	rig_generate(front, NF_GEN_SEND, bytes, FRAMES);
	is(rig_until_counter(back, NF_COUNTER_sink_packets, frames, 20000), 0, "from the guest");
	rig_generate(front, NF_GEN_IDLE, bytes, 0);
	rig_generate(back, NF_GEN_SEND, bytes, FRAMES);
	is(rig_until_counter(front, NF_COUNTER_sink_packets, frames, 20000), 0, "to the guest");
	is(harm(front) + harm(back), 0, "every frame once, in order, whole");
	is(rig_counter(back, NF_COUNTER_sink_verified), frames, "every byte was looked at");
	bool copies = rig_counter(back, NF_COUNTER_grant_copies) > 0;
	ok(copies == (o->grants == NF_NET_GRANTS_COPY), "grants as asked for");
	rig_generate(back, NF_GEN_IDLE, bytes, 0);
	ok(close_pair(front, back), "closed in order");
	is(quarantined, 0, "no page was still mapped when its grant ended");
}

/* As many connections as quotas would not stand if each left something. */
static void test_cycles(const struct rig_options *o)
{
	struct rig_end *front, *back;
	int moved = 0, in_order = 0;

	quarantined = 0;
	for (int i = 0; i < CYCLES; i++) {
		if (!open_pair(o, &front, &back))
			return;
		rig_generate(front, NF_GEN_SEND, 60, 100);
		moved += rig_until_counter(back, NF_COUNTER_sink_packets, 100, 10000) == 0;
		in_order += close_pair(front, back);
	}
	is(moved, CYCLES, "%d connections moved frames", CYCLES);
	is(in_order, CYCLES, "and closed in order");
	is(quarantined, 0, "leaving no page in quarantine");
}

int main(int argc, char **argv)
{
	char why[256];
	static const struct rig_options with_static = {.queues = 1},
					with_queues = {.queues = 4, .static_only = true},
					with_copy = {.queues = 1, .grants = NF_NET_GRANTS_COPY};

	(void)argc;
	if (!live_started()) {
		live_start(argv[0], false, why, sizeof(why));
		skip_all("%s", why);
	}
	rig_open(&rig, NF_POLL_ADAPTIVE);
	if (!open_domain(4, 0) || !open_domain(3, 1))
		return done();
	test_traffic("static grants", &with_static, 60);
	test_traffic("static grants", &with_static, 1500);
	test_traffic("static grants, 4 queues, static only", &with_queues, 1500);
	test_traffic("grant copy", &with_copy, 60);
	test_traffic("grant copy", &with_copy, 65226);
	test_cycles(&with_copy);
	test_cycles(&with_static);
	struct nf_layer *layers[2] = {rig.domains[0].layer, rig.domains[1].layer};
	rig_close(&rig);
	for (int i = 0; i < 2; i++)
		layers[i]->ops->close(layers[i]);
	return done();
}
