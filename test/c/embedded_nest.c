/* SPDX-License-Identifier: MIT */
/*
 * The nested path over two real hypervisors, all domains in one process: L2's netfront on H1, the
 * relay between H1 and H0, L0's netback on H0. Donation, equal grant numbers and passed channels
 * are the hypervisors' own here; every byte of every frame is checked, both ways, in every mode.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "live.h"
#include "nf/relay.h"
#include "rig.h"
#include "tap.h"

#define FRAMES 3000u
#define CYCLES 5

static struct rig rig; /* domains[0]: L0's, domains[1]: L2's */
static struct mem_vif vif = {.front = 1, .back = 0, .devid = 0};

struct relay_end {
	struct nf_layer *layer;
	struct nf_store *store;
};
static struct relay_end inner, outer;
static struct nf_counters_map relay_counters;
static struct nf_net_relay *relay;
static char last_notice[600];

static void notice(void *ctx, const char *line)
{
	(void)ctx;
	snprintf(last_notice, sizeof(last_notice), "%s", line);
	if (getenv("NF_TEST_VERBOSE"))
		diag("%s", line);
}

static bool open_layer(int fd, struct nf_layer **layer, struct nf_store **store)
{
	return is(nf_layer_open_embedded(fd, layer), 0, "fd %d: its layer", fd) &&
	       is(nf_store_open((*layer)->ops->store_fd(*layer), store), 0, "its store");
}

static bool open_domain(int fd, uint32_t at, uint16_t domid)
{
	struct rig_domain *d = &rig.domains[at];

	*d = (struct rig_domain){.rig = &rig, .domid = domid};
	d->control = aligned_alloc(4096, sizeof(*d->control));
	memset(d->control, 0, sizeof(*d->control));
	d->control->magic = NF_CONTROL_MAGIC;
	d->control->dev[0].verify_every = 1;
	return open_layer(fd, &d->layer, &d->store) &&
	       is(nf_counters_open(&d->counters, d->layer->counters_fd, 0, domid), 0,
		  "its counters");
}

static void make_nodes(struct nf_store *store)
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
		failed += nf_store_write(store, 0, keys[i][0], keys[i][1]) != 0;
	is(failed, 0, "a toolstack's nodes");
}

static void relay_turn(void)
{
	char path[NF_STORE_PATH_MAX], token[64];

	while (nf_store_next_event(inner.store, path, sizeof(path), token, sizeof(token)) > 0 ||
	       nf_store_next_event(outer.store, path, sizeof(path), token, sizeof(token)) > 0)
		;
	if (relay)
		nf_net_relay_step(relay);
}

static bool until(struct rig_end *e, int phase)
{
	for (int i = 0; i < 20000; i++) {
		relay_turn();
		rig_turn(&rig);
		if (rig_phase(e) == phase)
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	}
	return false;
}

static int relay_start(enum nf_relay_mode mode, uint32_t queues)
{
	struct nf_relay_config c = {.mode = mode};

	c.inner = (struct nf_net_config){.layer = inner.layer,
					 .store = inner.store,
					 .poller = rig.poller,
					 .counters = &relay_counters,
					 .path = "backend/vif/1/0",
					 .queues = queues,
					 .grants = NF_NET_GRANTS_STATIC,
					 .token = "inner",
					 .notice = notice};
	c.outer = c.inner;
	c.outer.layer = outer.layer;
	c.outer.store = outer.store;
	c.outer.path = "device/vif/0";
	c.outer.token = "outer";
	return nf_net_relay_open(&c, &relay);
}

static uint64_t harm(const struct rig_end *e)
{
	return rig_counter(e, NF_COUNTER_sink_lost) + rig_counter(e, NF_COUNTER_sink_corrupted) +
	       rig_counter(e, NF_COUNTER_sink_duplicated) +
	       rig_counter(e, NF_COUNTER_sink_reordered) +
	       rig_counter(e, NF_COUNTER_protocol_errors);
}

static void traffic(struct rig_end *front, struct rig_end *back, uint32_t queues, uint32_t bytes)
{
	uint64_t frames = (uint64_t)FRAMES * queues;

	rig_generate(front, NF_GEN_SEND, bytes, FRAMES);
	is(rig_until_counter(back, NF_COUNTER_sink_packets, frames, 20000), 0,
	   "%u bytes from L2 to L0", bytes);
	rig_generate(front, NF_GEN_IDLE, bytes, 0);
	rig_generate(back, NF_GEN_SEND, bytes, FRAMES);
	is(rig_until_counter(front, NF_COUNTER_sink_packets, frames, 20000), 0, "and back");
	rig_generate(back, NF_GEN_IDLE, bytes, 0);
	is(harm(front) + harm(back), 0, "every frame once, in order, whole");
	is(rig_counter(back, NF_COUNTER_sink_verified), frames, "every byte was looked at");
}

static void close_all(struct rig_end *front, struct rig_end *back)
{
	nf_netfront_shutdown(front->front);
	ok(until(front, NF_NET_CLOSED), "L2's front closes in order");
	nf_net_relay_shutdown(relay);
	ok(until(back, NF_NET_CLOSED), "and L0's back");
	nf_net_relay_close(relay);
	relay = NULL;
	rig_end_close(front);
	rig_end_close(back);
}

static void test_mode(const char *name, enum nf_relay_mode mode, uint32_t queues, uint32_t bytes)
{
	struct rig_options o = {.queues = queues, .static_only = mode == NF_RELAY_DIRECT};
	struct rig_options plain = {.queues = queues};
	int err = 0;

	diag("%s, %u queues", name, queues);
	make_nodes(rig.domains[0].store);
	make_nodes(inner.store);
	struct rig_end *back = rig_back(&rig, &vif, &o, &err);
	if (!ok(back && relay_start(mode, queues) == 0, "back and relay open (%d)", err))
		return;
	struct rig_end *front = rig_front(&rig, &vif, &plain, &err);
	if (!ok(front != NULL, "front opens (%d)", err))
		return;
	if (!ok(until(front, NF_NET_RUNNING) && until(back, NF_NET_RUNNING), "connected"))
		diag("front %d, back %d: %s", rig_phase(front), rig_phase(back), last_notice);
	else
		traffic(front, back, queues, bytes);
	close_all(front, back);
}

int main(int argc, char **argv)
{
	char why[256];

	(void)argc;
	if (!live_started()) {
		live_start(argv[0], true, why, sizeof(why));
		skip_all("%s", why);
	}
	rig_open(&rig, NF_POLL_ADAPTIVE);
	if (!open_domain(4, 0, 0) || !open_domain(3, 1, 1) ||
	    !open_layer(5, &inner.layer, &inner.store) ||
	    !open_layer(6, &outer.layer, &outer.store) ||
	    !is(nf_counters_open(&relay_counters, inner.layer->counters_fd, 0, 0), 0, "counters"))
		return done();
	for (int i = 0; i < CYCLES; i++) {
		test_mode("copy", NF_RELAY_COPY, 1, 1500);
		test_mode("translate", NF_RELAY_TRANSLATE, 1, 60);
		test_mode("direct", NF_RELAY_DIRECT, 1, 1500);
	}
	test_mode("translate", NF_RELAY_TRANSLATE, 4, 65226);
	test_mode("direct", NF_RELAY_DIRECT, 4, 65226);
	struct nf_layer *layers[] = {rig.domains[0].layer, rig.domains[1].layer, inner.layer,
				     outer.layer};
	nf_counters_close(&relay_counters);
	nf_store_close(inner.store);
	nf_store_close(outer.store);
	rig_close(&rig);
	for (int i = 0; i < 4; i++)
		layers[i]->ops->close(layers[i]);
	return done();
}
