/* SPDX-License-Identifier: MIT */
/* Group 19: a hostile L0 against L2 through the relay's data code. */
#include "relay_nest.h"
#include "tap.h"

static const char *name_of(enum nf_relay_mode m)
{
	return m == NF_RELAY_COPY ? "copy" : m == NF_RELAY_TRANSLATE ? "translate" : "direct";
}

static void l0_rsp_jump(struct hostile *h)
{
	hostile_poke(h, 0, 't', 2, hostile_peek(h, 0, 't', 0) + 1);
	hostile_kick(h, 0);
}

static void l0_rx_jump(struct hostile *h)
{
	hostile_poke(h, 0, 'r', 2, hostile_peek(h, 0, 'r', 0) + 1);
	hostile_kick(h, 0);
}

static void l0_unknown_id(struct hostile *h)
{
	hostile_tx_rsp(h, 0, 999, 0);
	hostile_tx_rsp_push(h, 0);
}

static void l0_twice(struct hostile *h)
{
	struct nf_netif_tx_request *shared = hostile_slot(h, 0, 't', 0);
	uint16_t id = shared->id;
	hostile_tx_rsp(h, 0, id, 0);
	hostile_tx_rsp(h, 0, id, 0);
	hostile_tx_rsp_push(h, 0);
}

static void l0_null(struct hostile *h)
{
	hostile_tx_rsp(h, 0, 0, NF_NETIF_RSP_NULL);
	hostile_tx_rsp_push(h, 0);
}

static void l0_status(struct hostile *h)
{
	struct nf_netif_tx_request *shared = hostile_slot(h, 0, 't', 0);
	hostile_tx_rsp(h, 0, shared->id, -77);
	hostile_tx_rsp_push(h, 0);
}

static void l0_rx_id(struct hostile *h)
{
	hostile_rx_rsp(h, 0, 5, 0, 0, 100); /* slot 0 was requested as 0 */
	hostile_rx_rsp_push(h, 0);
}

static void l0_rx_size(struct hostile *h)
{
	hostile_rx_rsp(h, 0, 0, 4000, 0, 200);
	hostile_rx_rsp_push(h, 0);
}

static void l0_rx_status(struct hostile *h)
{
	hostile_rx_rsp(h, 0, 0, 0, 0, -5);
	hostile_rx_rsp_push(h, 0);
}

static void l0_rx_forever(struct hostile *h)
{
	for (uint32_t i = 0; i < 30; i++)
		hostile_rx_rsp(h, 0, i, 0, NF_NETRXF_more_data, 100);
	hostile_rx_rsp_push(h, 0);
}

static void l0_rx_prefix(struct hostile *h)
{
	hostile_rx_rsp(h, 0, 0, 0, NF_NETRXF_gso_prefix, 100);
	hostile_rx_rsp_push(h, 0);
}

static void l0_rx_extra(struct hostile *h)
{
	hostile_rx_rsp(h, 0, 0, 0, NF_NETRXF_extra_info, 100);
	hostile_rx_rsp(h, 0, 0xff05, 0, 0, 0); /* an extra of type 5 that goes on and on */
	hostile_rx_rsp_push(h, 0);
}

static const struct l0_deed {
	const char *name;
	void (*act)(struct hostile *h);
	const char *says;
} l0_deeds[] = {
	{"tx responses nobody asked for", l0_rsp_jump, "tx rsp_prod"},
	{"rx responses nobody asked for", l0_rx_jump, "rx rsp_prod"},
	{"an unknown tx id", l0_unknown_id, "tx response id"},
	{"a tx id twice", l0_twice, "tx response id"},
	{"a null response without an extra", l0_null, "tx null responses"},
	{"an unknown tx status", l0_status, "tx response status"},
	{"an rx id of another slot", l0_rx_id, "rx id"},
	{"rx bytes past the page", l0_rx_size, "rx status"},
	{"an unknown rx error", l0_rx_status, "rx status"},
	{"more_data for ever", l0_rx_forever, "rx slots"},
	{"gso prefix", l0_rx_prefix, "rx flags"},
	{"an rx extra nobody offered", l0_rx_extra, "extra type"},
};

/* L2 hears of it as a device that closes, never as a slot; for an L0 that does not bow it waits. */
static void l2_is_kept_from(enum nf_relay_mode mode, const struct l0_deed *d, bool bows)
{
	struct nest n;
	struct hostile h;
	nest_open(&n, NF_POLL_ADAPTIVE);
	struct nest_options o = {.mode = mode, .no_l0 = true};
	struct nest_link *l = nest_link(&n, 0, &o);
	is(hostile_back_open(&h, rig_domain(&n.outer, 0)->layer, 1, 0, NULL), 0,
	   "%s: %s: a hostile L0", name_of(mode), d->name);
	h.turn = nest_turn_cb;
	h.ctx = &n;
	is(hostile_back_connect(&h), 0, "connects");
	for (int i = 0; i < 200 && rig_phase(l->l2) != NF_NET_RUNNING; i++) {
		hostile_back_serve(&h);
		nest_linger(&n, 2);
	}
	is(nest_connect(l), 0, "everybody runs");
	rig_generate(l->l2, NF_GEN_SEND, 100, 10);
	nest_linger(&n, 20);
	is(hostile_peek(&h, 0, 't', 0), 10, "ten frames are in flight");
	d->act(&h);
	is(hostile_wait(&h, NF_XENBUS_CLOSING), 0, "the relay closes");
	if (!ok(strstr(nest_error(l), d->says) != NULL, "the error node names \"%s\"", d->says))
		diag("%s", nest_error(l));
	hostile_state(&h, bows ? NF_XENBUS_CLOSED : NF_XENBUS_CLOSING);
	hostile_close(&h);
	is(nest_until_end(&n, l->l2, NF_NET_CLOSED, 5000), 0, "L2 is closed in order");
	is(rig_counter(l->l2, NF_COUNTER_protocol_errors), 0, "and saw nothing wrong");
	is(rig_counter(l->l2, NF_COUNTER_rx_packets), 0, "nor any frame");
	nest_close(&n);
}

int main(void)
{
	for (uint32_t i = 0; i < sizeof(l0_deeds) / sizeof(l0_deeds[0]); i++) {
		l2_is_kept_from(NF_RELAY_TRANSLATE, &l0_deeds[i], i != 0);
		l2_is_kept_from(NF_RELAY_COPY, &l0_deeds[i], i != 1);
	}
	return done();
}
