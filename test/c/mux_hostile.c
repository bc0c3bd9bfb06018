/* SPDX-License-Identifier: MIT */
/* Group 19 for mux: a guest that lies is stopped, its siblings and L0 notice nothing. */
#include "mux_town.h"

/* The hostile guest is number 0, the others are honest. */
static bool hostile_town(struct town *t, struct hostile *h)
{
	memset(h, 0, sizeof(*h));
	if (!town_open(t, 1, NULL) ||
	    hostile_front_open(h, rig_domain(&t->inner, 2)->layer, 10, NULL) != 0)
		return false;
	h->turn = turn;
	h->ctx = t;
	return hostile_front_connect(h) == 0 && until(t, 0, NF_NET_RUNNING, 5000) == 0;
}

static void address(struct hostile *h, uint32_t page, const char *to, const char *from)
{
	uint8_t *f = h->q[0].tx_pages.base + (size_t)page * 4096;
	memcpy(f, to, 6);
	memcpy(f + 6, from, 6);
	memcpy(f + 12, "\x88\xb5", 2);
}

/* Publishes what was put and waits for all answers. */
static void pushed(struct town *t, struct hostile *h)
{
	hostile_tx_push(h, 0);
	for (int k = 0; k < 2500 && hostile_peek(h, 0, 't', 2) != hostile_peek(h, 0, 't', 0); k++)
		linger(t, 2);
}

static void send_pages(struct town *t, struct hostile *h, uint32_t n, uint32_t bytes)
{
	for (uint32_t i = 0; i < n; i++)
		hostile_tx(h, 0, h->q[0].tx_grefs[i], 0, 0, i, bytes);
	pushed(t, h);
}

/* Its poller has other things to do first, on a busy machine. */
static void reaches(struct town *t, struct rig_end *e, enum nf_counter c, uint64_t want)
{
	for (int k = 0; k < 2500 && rig_counter(e, c) < want; k++)
		linger(t, 2);
}

static void spoofs_and_floods(void)
{
	static const char own[] = "\x00\x16\x3e\x00\x02\x0a",
			  sibling[] = "\x00\x16\x3e\x00\x03\x0a";
	static const char all[] = "\xff\xff\xff\xff\xff\xff",
			  outside[] = "\x02\x4e\x46\x00\x00\x02";
	struct town t;
	struct hostile h;
	ok(hostile_town(&t, &h), "a hostile guest connects");
	for (uint32_t i = 0; i < 20; i++)
		address(&h, i, outside, sibling);
	send_pages(&t, &h, 20, 1000);
	is(count(&t, 0, NF_COUNTER_tx_spoofed), 20, "frames from a sibling's address are dropped");
	is(rig_counter(t.l0, NF_COUNTER_tx_packets), 0, "L0 got none");
	is(hostile_peek(&h, 0, 't', 2), 20, "they are answered");
	for (uint32_t i = 0; i < 20; i++)
		address(&h, i, outside, own);
	send_pages(&t, &h, 20, 1000);
	is(rig_counter(t.l0, NF_COUNTER_tx_packets), 20, "from its own they go out");
	for (uint32_t i = 0; i < 20; i++)
		address(&h, i, sibling, own);
	send_pages(&t, &h, 20, 1000);
	is(count(&t, 0, NF_COUNTER_switched), 20, "frames to a sibling are handed over here");
	reaches(&t, t.l2[1], NF_COUNTER_rx_packets, 20);
	is(rig_counter(t.l2[1], NF_COUNTER_rx_packets), 20, "it got them");
	is(rig_counter(t.l0, NF_COUNTER_tx_packets), 20, "L0 did not");
	for (uint32_t i = 0; i < 20; i++)
		address(&h, i, all, own);
	send_pages(&t, &h, 20, 1000);
	is(count(&t, 1, NF_COUNTER_flooded), 20, "a broadcast goes to each sibling");
	is(count(&t, 2, NF_COUNTER_flooded), 20, "once");
	is(rig_counter(t.l0, NF_COUNTER_tx_packets), 40, "and out");
	/* bursts of a ring; each is answered before the next, or it would be another lie */
	for (uint32_t k = 0; k < 100 && count(&t, 0, NF_COUNTER_flood_limited) == 0; k++) {
		for (uint32_t i = 0; i < 250; i++)
			hostile_tx(&h, 0, h.q[0].tx_grefs[i % 20], 0, 0, i, 100);
		pushed(&t, &h);
	}
	ok(count(&t, 0, NF_COUNTER_flood_limited) > 0, "a storm is cut");
	for (uint64_t before = UINT64_MAX; before != sunk(&t);) { /* L0 still takes what went out */
		before = sunk(&t);
		linger(&t, 100);
	}
	ok(moves(&t, 1, 300, 300), "the siblings go on");
	/* it posted no buffers: what is for it is dropped and holds up nobody */
	rig_generate(t.l2[2], NF_GEN_IDLE, 60, 0);
	is(count(&t, 0, NF_COUNTER_rx_packets), 0, "a guest that posts nothing gets nothing");
	ok(moves(&t, 2, 1500, 300), "and the others do");
	hostile_close(&h);
	town_close(&t);
}

struct deed {
	const char *name, *says;
	void (*act)(struct town *t, struct hostile *h);
};

static void unknown_gref(struct town *t, struct hostile *h)
{
	(void)t;
	hostile_tx(h, 0, 30000, 0, 0, 1, 1000);
}

static void sibling_gref(struct town *t, struct hostile *h)
{
	hostile_tx(h, 0, t->m[1]->grefs[0], 0, 0, 1, 1000); /* L1's number outside */
}

static void l1_gref(struct town *t, struct hostile *h)
{
	hostile_tx(h, 0, nf_netfront_rings(t->hub->outer, 0)->tx_grefs[0], 0, 0, 1, 1000);
}

static void writable_for_tx(struct town *t, struct hostile *h)
{
	(void)t;
	hostile_tx(h, 0, h->q[0].rx_grefs[0], 0, 0, 1, 1000);
}

static void crossing(struct town *t, struct hostile *h)
{
	(void)t;
	hostile_tx(h, 0, h->q[0].tx_grefs[0], 4000, 0, 1, 1000);
}

static void slots_21(struct town *t, struct hostile *h)
{
	(void)t;
	for (uint32_t i = 0; i < 21; i++)
		hostile_tx(h, 0, h->q[0].tx_grefs[i], 0, i < 20 ? NF_NETTXF_more_data : 0, i,
			   i ? 100 : 2100);
}

static void producer_jumps(struct town *t, struct hostile *h)
{
	(void)t;
	hostile_poke(h, 0, 't', 0, 1000);
	hostile_kick(h, 0);
}

static void rx_read_only(struct town *t, struct hostile *h)
{
	/* found when a frame is for it: a sibling's broadcast will do */
	hostile_rx_post(h, 0, 1, h->q[0].tx_grefs[0]);
	hostile_rx_push(h, 0);
	struct nf__mux_frame f = {
		.piece[0] = {(const uint8_t *)"frame of some bytes", 18}, .pieces = 1, .bytes = 18};
	nf__hub_pause(t->hub);
	nf__mux_flood(t->hub->core, &t->m[1]->queue, &f);
	nf__hub_resume(t->hub);
}

static const struct deed deeds[] = {
	{"a gref nobody granted", "tx gref", unknown_gref},
	{"a sibling's number on the outer layer", "tx gref", sibling_gref},
	{"a page of L1's own", "tx gref", l1_gref},
	{"a writable page to send from", "tx gref", writable_for_tx},
	{"offset and size cross the page", "tx slot end", crossing},
	{"21 slots", "tx slots", slots_21},
	{"its producer jumps", "tx req_prod", producer_jumps},
	{"a read-only page to receive into", "rx gref", rx_read_only},
};

static void hostile_deeds(void)
{
	for (uint32_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++) {
		struct town t;
		struct hostile h;
		char error[300] = "";
		ok(hostile_town(&t, &h), "%s: a hostile guest connects", deeds[i].name);
		deeds[i].act(&t, &h);
		if (!strstr(deeds[i].says, "prod") && !strstr(deeds[i].says, "rx"))
			hostile_tx_push(&h, 0);
		is(hostile_wait(&h, NF_XENBUS_CLOSING), 0, "%s: it is closed", deeds[i].name);
		char path[96];
		snprintf(path, sizeof(path), "/local/domain/0/%s/error", t.path[0]);
		mem_store_read(t.inner.w, path, error, sizeof(error));
		if (!ok(strstr(error, deeds[i].says) != NULL, "by name: %s", deeds[i].says))
			diag("%s | %s", error, t.said);
		is(rig_counter(t.l0, NF_COUNTER_protocol_errors) +
			   rig_counter(t.l0, NF_COUNTER_tx_dropped_error),
		   0, "%s: L0 saw nothing", deeds[i].name);
		ok(moves(&t, 1, 1500, 200) && moves(&t, 2, 60, 200), "%s: its siblings go on",
		   deeds[i].name);
		hostile_close(&h);
		town_close(&t);
	}
}

int main(void)
{
	spoofs_and_floods();
	hostile_deeds();
	return done();
}
