/* SPDX-License-Identifier: MIT */
/*
 * Group 19 of the hostile suites, as far as one process can show it: a hostile L2 against the relay
 * and L0's rings, a hostile L0 against L2, and siblings that name each other's grefs, in every
 * mode.
 */
#include "relay/link.h"
#include "relay_nest.h"
#include "tap.h"

static const char *name_of(enum nf_relay_mode m)
{
	return m == NF_RELAY_COPY ? "copy" : m == NF_RELAY_TRANSLATE ? "translate" : "direct";
}

struct scene19 {
	struct nest n;
	struct nest_link *victim;  /* link 0: its L2 is h */
	struct nest_link *sibling; /* link 1, honest */
	struct hostile h;
	enum nf_relay_mode mode;
};

static bool open_l2(struct scene19 *s, enum nf_relay_mode mode)
{
	struct nest_options honest = {.mode = mode}, raw = {.mode = mode, .no_l2 = true};
	*s = (struct scene19){.mode = mode};
	nest_open(&s->n, NF_POLL_ADAPTIVE);
	s->sibling = nest_link(&s->n, 1, &honest);
	s->victim = nest_link(&s->n, 0, &raw);
	if (!s->sibling || !s->victim || nest_connect(s->sibling) != 0)
		return false;
	if (hostile_front_open(&s->h, rig_domain(&s->n.inner, 2)->layer, 10, NULL) != 0)
		return false;
	s->h.turn = nest_turn_cb;
	s->h.ctx = &s->n;
	return hostile_front_connect(&s->h) == 0;
}

static void close_l2(struct scene19 *s)
{
	hostile_close(&s->h);
	nest_close(&s->n);
}

typedef void (*deed_fn)(struct scene19 *s);

static void frame(struct scene19 *s, uint32_t gref, uint32_t offset, uint32_t flags, uint32_t size)
{
	hostile_tx(&s->h, 0, gref, offset, flags, 7, size);
}

static void tx_jump(struct scene19 *s)
{
	hostile_poke(&s->h, 0, 't', 0, 257);
	hostile_kick(&s->h, 0);
}

static void tx_backwards(struct scene19 *s)
{
	hostile_poke(&s->h, 0, 't', 0, 0xffffffffu);
	hostile_kick(&s->h, 0);
}

static void rx_jump(struct scene19 *s)
{
	hostile_poke(&s->h, 0, 'r', 0, 0x80000000u);
	hostile_kick(&s->h, 0);
}

static void unknown_gref(struct scene19 *s)
{
	frame(s, 30000, 0, 0, 100);
}

static void gref_zero(struct scene19 *s)
{
	frame(s, 0, 0, 0, 100);
}

static void gref_one(struct scene19 *s)
{
	frame(s, 1, 0, 0, 100);
}

static void huge_gref(struct scene19 *s)
{
	frame(s, 0xfffffffeu, 0, 0, 100);
}

static void ring_gref(struct scene19 *s)
{
	frame(s, s->h.q[0].tx_ring_gref, 0, 0, 64);
}

static void ctrl_gref(struct scene19 *s)
{
	frame(s, s->h.ctrl_grefs[0], 0, 0, 64);
}

/* L1's numbers outside for the sibling's first page, and for a page of L1's own. */
static uint32_t siblings_number(struct scene19 *s)
{
	return nf_netfront_rings(s->sibling->relay->outer, 0)->tx_grefs[0];
}

static void sibling_outer_gref(struct scene19 *s)
{
	frame(s, siblings_number(s), 0, 0, 100);
}

static void l1_gref(struct scene19 *s)
{
	/* the control ring of the sibling's outer device comes after its rx pages */
	frame(s, nf_netfront_rings(s->sibling->relay->outer, 0)->rx_grefs[NF_NET_PAGES - 1] + 1, 0,
	      0, 100);
}

static void sibling_rx_gref(struct scene19 *s)
{
	hostile_rx_post(&s->h, 0, 1, nf_netfront_rings(s->sibling->relay->outer, 0)->rx_grefs[0]);
	hostile_rx_push(&s->h, 0);
}

static void crossing(struct scene19 *s)
{
	frame(s, s->h.q[0].tx_grefs[0], 4000, 0, 200);
}

static void rx_for_tx(struct scene19 *s)
{
	hostile_rx_post(&s->h, 0, 1,
			s->h.q[0].tx_grefs[0]); /* would let L0 write where it may read */
	hostile_rx_push(&s->h, 0);
}

static void rx_unknown(struct scene19 *s)
{
	hostile_rx_post(&s->h, 0, 1, 0);
	hostile_rx_push(&s->h, 0);
}

static void slots_21(struct scene19 *s)
{
	for (uint32_t i = 0; i < 21; i++)
		frame(s, s->h.q[0].tx_grefs[i], 0, i < 20 ? NF_NETTXF_more_data : 0,
		      i ? 100 : 2100);
}

static void sum_short(struct scene19 *s)
{
	frame(s, s->h.q[0].tx_grefs[0], 0, NF_NETTXF_more_data, 100);
	frame(s, s->h.q[0].tx_grefs[1], 0, 0, 200);
}

static void extra_unknown(struct scene19 *s)
{
	struct nf_netif_extra_info e = {.type = NF_NETIF_EXTRA_TYPE_XDP};
	frame(s, s->h.q[0].tx_grefs[0], 0, NF_NETTXF_extra_info, 100);
	hostile_tx_extra(&s->h, 0, &e);
}

static void gso_zero(struct scene19 *s)
{
	struct nf_netif_extra_info e = {.type = NF_NETIF_EXTRA_TYPE_GSO};
	e.u.gso.type = NF_NETIF_GSO_TYPE_TCPV4;
	frame(s, s->h.q[0].tx_grefs[0], 0, NF_NETTXF_extra_info, 100);
	hostile_tx_extra(&s->h, 0, &e);
}

static const struct deed {
	const char *name;
	deed_fn act;
	const char *says; /* in the error node of a relay with data code */
} deeds[] = {
	{"tx producer jumps past the ring", tx_jump, "tx req_prod"},
	{"tx producer runs backwards", tx_backwards, "tx req_prod"},
	{"rx producer jumps by 2^31", rx_jump, "rx req_prod"},
	{"gref nobody granted", unknown_gref, "tx gref"},
	{"gref 0", gref_zero, "tx gref"},
	{"gref 1", gref_one, "tx gref"},
	{"gref 2^32-2", huge_gref, "tx gref"},
	{"gref of its own tx ring", ring_gref, "tx gref"},
	{"gref of its own control ring", ctrl_gref, "tx gref"},
	{"a sibling's gref on the outer layer", sibling_outer_gref, "tx gref"},
	{"a gref of L1's own on the outer layer", l1_gref, "tx gref"},
	{"a sibling's gref posted for rx", sibling_rx_gref, "rx gref"},
	{"offset and size cross the page", crossing, "tx slot end"},
	{"a read-only page posted for rx", rx_for_tx, "rx gref"},
	{"gref 0 posted for rx", rx_unknown, "rx gref"},
	{"21 slots", slots_21, "tx slots"},
	{"slots that sum to more than the frame", sum_short, "tx slot size"},
	{"an extra nobody offered", extra_unknown, "extra type"},
	{"GSO of size 0", gso_zero, "gso size"},
};

static void commit(struct scene19 *s, const struct deed *d)
{
	d->act(s);
	if (!strstr(d->says, "prod")) /* a push would repair the index */
		hostile_tx_push(&s->h, 0);
	if (s->mode == NF_RELAY_COPY) /* it looks at rx requests when it needs one */
		rig_generate(s->victim->l0, NF_GEN_SEND, 100, 1);
}

/* The relay stops that device by name; L0 saw nothing of it, the sibling goes on. */
static void relay_survives(enum nf_relay_mode mode, const struct deed *d)
{
	struct scene19 s;
	if (!ok(open_l2(&s, mode), "%s: %s: a hostile L2 connects", name_of(mode), d->name)) {
		diag("%s", s.victim ? s.victim->said : "");
		close_l2(&s);
		return;
	}
	commit(&s, d);
	hostile_wait(&s.h, NF_XENBUS_CLOSING);
	is(hostile_other_state(&s.h), NF_XENBUS_CLOSING, "%s: %s: is closed", name_of(mode),
	   d->name);
	if (!ok(strstr(nest_error(s.victim), d->says) != NULL, "the error node names \"%s\"",
		d->says))
		diag("%s", nest_error(s.victim));
	is(nest_block(s.victim, 0)->h.error, -EPROTO, "the counters hold it");
	is(rig_counter(s.victim->l0, NF_COUNTER_protocol_errors), 0, "L0 saw nothing wrong");
	is(rig_counter(s.victim->l0, NF_COUNTER_tx_packets), 0, "and got nothing");
	ok(nest_moves(s.sibling, 300, 300, 5000), "the sibling goes on");
	close_l2(&s);
}

/* direct: L0 itself must refuse, because it takes registered grefs only. */
static void direct_is_confined(const struct deed *d)
{
	struct scene19 s;
	if (!ok(open_l2(&s, NF_RELAY_DIRECT), "direct: %s: a hostile L2 connects", d->name)) {
		diag("%s", s.victim ? s.victim->said : "");
		close_l2(&s);
		return;
	}
	commit(&s, d);
	nest_linger(&s.n, 50);
	ok(rig_counter(s.victim->l0, NF_COUNTER_protocol_errors) +
			   rig_counter(s.victim->l0, NF_COUNTER_tx_dropped_error) >
		   0,
	   "direct: %s: L0 refuses", d->name);
	is(rig_counter(s.victim->l0, NF_COUNTER_sink_packets), 0, "and delivers nothing");
	ok(nest_moves(s.sibling, 300, 300, 5000), "the sibling goes on");
	close_l2(&s);
}

/* Numbers are L2's names: whatever they are, they are its own pages. */
static void names_are_positions(void)
{
	struct scene19 s;
	struct nf_netif_ctrl_response rsp;
	ok(open_l2(&s, NF_RELAY_TRANSLATE), "translate: a hostile L2 connects");
	uint32_t mine = s.h.q[0].tx_grefs[0], number = siblings_number(&s);
	memset(s.h.q[0].tx_pages.base, 0x5a, 4096);
	s.h.list[0] = (struct nf_netif_gref){.ref = mine, .flags = NF_NETCTRLF_GREF_readonly};
	is(hostile_ctrl(&s.h, NF_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, 0, s.h.ctrl_grefs[1], 1, &rsp),
	   0, "it takes its first page off the list");
	/* the number of L1's first page for the sibling on the outer layer, now as its own name */
	s.h.list[0] = (struct nf_netif_gref){.ref = number, .flags = NF_NETCTRLF_GREF_readonly};
	is(hostile_ctrl(&s.h, NF_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 0, s.h.ctrl_grefs[1], 1, &rsp),
	   0, "and puts a number on it that is a sibling's outside");
	is(rsp.status, NF_NETIF_CTRL_STATUS_SUCCESS, "which is recorded, a name like any other");
	hostile_tx(&s.h, 0, number, 0, 0, 3, 64);
	hostile_tx_push(&s.h, 0);
	for (int i = 0; i < 50 && hostile_peek(&s.h, 0, 't', 2) == 0; i++)
		nest_linger(&s.n, 5);
	is(hostile_peek(&s.h, 0, 't', 2), 1, "the frame is answered");
	is(rig_counter(s.victim->l0, NF_COUNTER_tx_packets), 1, "L0 got one frame: its own page");
	ok(nest_moves(s.sibling, 300, 300, 5000), "the sibling's pages are the sibling's");
	close_l2(&s);
}

int main(void)
{
	for (uint32_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++) {
		relay_survives(NF_RELAY_TRANSLATE, &deeds[i]);
		relay_survives(NF_RELAY_COPY, &deeds[i]);
		direct_is_confined(&deeds[i]);
	}
	names_are_positions();
	return done();
}
