/* SPDX-License-Identifier: MIT */
/*
 * A back that goes without closing and one that comes in its place, negotiation included, on a
 * layer whose channels are silent about the other end's death, as Xen's are.
 */
#include <unistd.h>

#include "../peer/rig.h"
#include "../peer/silent.h"
#include "tap.h"

static struct rig r;
static struct mem_vif v;
static struct rig_end *front, *back;
static char journal[] = "/tmp/nf-attach-XXXXXX";
static struct rig_options o = {.queues = 2, .journal = journal};

/* Another `frames` frames each way, none of them damaged. */
static bool moves(uint32_t frames)
{
	uint64_t tx = rig_counter(front, NF_COUNTER_tx_packets) + frames;
	uint64_t rx = rig_counter(front, NF_COUNTER_rx_packets) + frames;
	bool good = rig_until_counter(front, NF_COUNTER_tx_packets, tx, 5000) == 0 &&
		    rig_until_counter(front, NF_COUNTER_rx_packets, rx, 5000) == 0 &&
		    rig_counter(front, NF_COUNTER_sink_corrupted) == 0 &&
		    rig_counter(back, NF_COUNTER_sink_corrupted) == 0;
	if (!good)
		diag("front %d %s; back %d %s", rig_phase(front), front->notice, rig_phase(back),
		     back->notice);
	return good;
}

static void generate(void)
{
	rig_generate(front, NF_GEN_SEND, 300, 0);
	rig_generate(back, NF_GEN_SEND, 300, 0);
}

/* The back goes as a process does, and the next comes. */
static bool replace(const struct rig_options *with)
{
	int err;
	rig_end_close(back);
	back = rig_back(&r, &v, with, &err);
	if (!back) {
		diag("back: %d", err);
		return false;
	}
	rig_turn(&r);
	generate();
	return true;
}

static void state_is(const char *node, const char *want)
{
	char path[96], value[16] = "";
	snprintf(path, sizeof(path), "%s/state", node);
	mem_store_read(r.w, path, value, sizeof(value));
	ok(strcmp(value, want) == 0, "%s is %s, want %s", path, value, want);
}

static void test_attach(void)
{
	uint64_t connects;
	front = rig_front(&r, &v, &o, NULL);
	back = rig_back(&r, &v, &o, NULL);
	generate();
	is(rig_until_phase(front, NF_NET_RUNNING, 5000), 0, "connected");
	ok(moves(2000), "frames move");
	ok(access(journal, F_OK) == 0, "there is a journal");
	connects = rig_counter(front, NF_COUNTER_connects);
	rig_end_close(back);
	rig_linger(&r, 100);
	is(rig_phase(front), NF_NET_RUNNING, "the front does not notice that the back is gone");
	back = rig_back(&r, &v, &o, NULL);
	rig_turn(&r);
	is(rig_phase(back), NF_NET_RUNNING, "another back runs at once");
	ok(strstr(back->notice, "re-attached: 2 queues, static") != NULL, "%s", back->notice);
	generate();
	ok(moves(2000), "frames move");
	is((int)rig_counter(back, NF_COUNTER_grant_copies), 0, "with the static grants of before");
	state_is(v.back_path, "4");
	bool good = true;
	for (int i = 0; good && i < 25; i++)
		good = replace(&o) && rig_phase(back) == NF_NET_RUNNING && moves(200);
	ok(good, "twenty-five more, one after the other, under traffic");
	is((int)(rig_counter(front, NF_COUNTER_connects) - connects), 0,
	   "the front never connected anew");
}

static void test_features(void)
{
	struct nf_net_features before = *nf_netback_agreed(back->back);
	struct rig_options other = {.queues = 1, .grants = NF_NET_GRANTS_COPY, .journal = journal};
	ok(replace(&other), "a back with another configuration");
	is(rig_phase(back), NF_NET_RUNNING, "attaches");
	const struct nf_net_features *now = nf_netback_agreed(back->back);
	ok(now->ctrl == before.ctrl && now->queues == before.queues && now->split == before.split &&
		   now->gso4 == before.gso4 && nf_netback_queues(back->back) == 2,
	   "and keeps what the first one negotiated");
	ok(moves(500), "frames move");
}

/* What is not exactly that connection is closed, and a front that can comes back. */
static void refused(const char *why)
{
	rig_linger(&r, 50);
	bool back_up = rig_until_phase(back, NF_NET_RUNNING, 5000) == 0;
	ok(back_up && rig_until_phase(front, NF_NET_RUNNING, 5000) == 0, "%s: connected anew", why);
	generate();
	ok(moves(500), "frames move");
}

static void test_refused(void)
{
	char path[96], old[96];
	uint64_t connects = rig_counter(front, NF_COUNTER_connects);
	rig_end_close(back);
	unlink(journal);
	replace(&o);
	refused("without a journal");
	ok(rig_counter(front, NF_COUNTER_connects) > connects, "by a new connection");
	snprintf(path, sizeof(path), "%s/nestfront/reattach", v.back_path);
	static const char *const records[] = {"", "2 0 0 1 1500", "1 0123456789abcdef 127 2 1500",
					      "1 0123456789abcdef 127 99 1500", "1 zz 1 1 1"};
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		ok(mem_store_read(r.w, path, old, sizeof(old)) > 0, "a record of the connection");
		rig_end_close(back);
		mem_store_write(r.w, path, records[i]);
		replace(&o);
		refused(records[i]);
	}
	rig_end_close(back);
	int cut = truncate(journal, 4096);
	replace(&o);
	is(cut, 0, "a journal cut short");
	refused("cut short");
}

static void test_closing(void)
{
	nf_netback_shutdown(back->back);
	is(rig_until_phase(back, NF_NET_CLOSED, 5000), 0, "a back that closes in order");
	ok(access(journal, F_OK) < 0, "leaves no journal");
	rig_end_close(back);
	rig_end_close(front);
}

int main(void)
{
	int fd = mkstemp(journal);
	if (fd < 0)
		return 1;
	close(fd);
	rig_open(&r, NF_POLL_ADAPTIVE);
	silence(rig_domain(&r, 0));
	silence(rig_domain(&r, 1));
	mem_vif_create(&v, r.w, 1, 0, 0, NULL);
	mem_vif_set(&v, true, "state", "1");
	test_attach();
	test_features();
	test_refused();
	test_closing();
	rig_close(&r);
	unlink(journal);
	return done();
}
