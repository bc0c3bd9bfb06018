/* SPDX-License-Identifier: MIT */
/* Ends that close, die, come back with something else, or are not what a mode needs. */
#include "relay_nest.h"
#include "tap.h"

static const enum nf_relay_mode modes[] = {NF_RELAY_TRANSLATE, NF_RELAY_COPY, NF_RELAY_DIRECT};

static const char *name_of(enum nf_relay_mode m)
{
	return m == NF_RELAY_COPY ? "copy" : m == NF_RELAY_TRANSLATE ? "translate" : "direct";
}

/* Closes an honest end in order and opens it again. */
static struct rig_end *reopen(struct nest_link *l, bool is_l0, const struct rig_options *o)
{
	struct rig_end *e = is_l0 ? l->l0 : l->l2;
	int rc = is_l0 ? nf_netback_shutdown(e->back) : nf_netfront_shutdown(e->front);
	is(rc, 0, "%s shuts down", is_l0 ? "L0" : "L2");
	is(nest_until_end(l->n, e, NF_NET_CLOSED, 5000), 0, "%s is closed in order",
	   is_l0 ? "L0" : "L2");
	rig_end_close(e);
	l->is_restarted = true;
	return is_l0 ? rig_back(&l->n->outer, &l->outer_vif, o, NULL)
		     : rig_front(&l->n->inner, &l->inner_vif, o, NULL);
}

static void reconnects(enum nf_relay_mode mode)
{
	struct nest n;
	struct mem_baseline outer, inner;
	char why[512] = "";
	struct rig_options l0 = {.static_only = mode == NF_RELAY_DIRECT};
	nest_open(&n, NF_POLL_ADAPTIVE);
	struct nest_options o = {.mode = mode};
	struct nest_link *l = nest_link(&n, 0, &o);
	is(l ? nest_connect(l) : -1, 0, "%s: connects", name_of(mode));
	mem_world_baseline(n.outer.w, &outer);
	mem_world_baseline(n.inner.w, &inner);
	for (int i = 0; i < 6; i++) {
		bool is_l0 = i % 2;
		ok(nest_moves(l, 1000, 500, 5000), "%s: frames of connection %d", name_of(mode),
		   i + 1);
		struct rig_end *e = reopen(l, is_l0, is_l0 ? &l0 : NULL);
		if (is_l0)
			l->l0 = e;
		else
			l->l2 = e;
		if (!is(nest_connect(l), 0, "%s: connects again after %s", name_of(mode),
			is_l0 ? "L0" : "L2"))
			diag("%s", l->said);
	}
	ok(nest_moves(l, 1000, 500, 5000), "%s: frames at the end", name_of(mode));
	is(nest_block(l, 0)->h.generation, 7, "%s: each connection is a generation", name_of(mode));
	is(nest_block(l, 0)->h.error, 0, "%s: none of them an error", name_of(mode));
	if (!is(mem_world_settle(n.outer.w, &outer, 2000, why, sizeof(why)), 0,
		"%s: the outer world holds no more than before", name_of(mode)))
		diag("%s", why);
	if (!is(mem_world_settle(n.inner.w, &inner, 2000, why, sizeof(why)), 0,
		"%s: nor does the inner", name_of(mode)))
		diag("%s", why);
	nest_close(&n);
}

/* The relay goes in order under load: both peers end Closed, nothing stays. */
static void shuts_down(enum nf_relay_mode mode)
{
	struct nest n;
	nest_open(&n, NF_POLL_ADAPTIVE);
	struct nest_options o = {.mode = mode};
	struct nest_link *l = nest_link(&n, 0, &o);
	is(l ? nest_connect(l) : -1, 0, "%s: connects", name_of(mode));
	rig_generate(l->l2, NF_GEN_SEND, 200, 0);
	rig_generate(l->l0, NF_GEN_SEND, 200, 0);
	nest_linger(&n, 20);
	is(nf_net_relay_shutdown(l->relay), 0, "%s: shuts down under load", name_of(mode));
	if (!is(nest_until(l, NF_NET_CLOSED, 5000), 0, "%s: in order", name_of(mode)))
		diag("%s", l->said);
	is(nest_until_end(&n, l->l2, NF_NET_CLOSED, 5000), 0, "%s: L2 is closed", name_of(mode));
	is(nest_until_end(&n, l->l0, NF_NET_CLOSED, 5000), 0, "%s: L0 is closed", name_of(mode));
	is(l->l2->failures + l->l0->failures, 0, "%s: neither saw an error", name_of(mode));
	is(mem_world_quarantine(n.outer.w, 0), 0, "%s: nothing in quarantine", name_of(mode));
	nest_close(&n);
}

/* SIGKILL of L2: its channels hang up, its nodes stay until the toolstack takes them. */
static void l2_dies(enum nf_relay_mode mode)
{
	struct nest n;
	nest_open(&n, NF_POLL_ADAPTIVE);
	struct nest_options o = {.mode = mode};
	struct nest_link *l = nest_link(&n, 0, &o), *other = nest_link(&n, 1, &o);
	is(l && other ? nest_connect(l) | nest_connect(other) : -1, 0, "%s: two connect",
	   name_of(mode));
	rig_generate(l->l2, NF_GEN_SEND, 200, 0);
	rig_generate(l->l0, NF_GEN_SEND, 200, 0);
	nest_linger(&n, 20);
	rig_generate(l->l0, NF_GEN_IDLE, 200, 0);
	mem_world_kill(n.inner.w, l->inner_vif.front);
	rig_end_close(l->l2);
	l->l2 = NULL;
	mem_store_rm(n.inner.w, l->inner_vif.front_path);
	is(nest_until_end(&n, l->l0, NF_NET_CLOSED, 5000), 0, "%s: L0 is closed in order",
	   name_of(mode));
	if (mode != NF_RELAY_DIRECT) /* there L2's end of the channel hung up on L0 itself */
		is(l->l0->failures, 0, "%s: without an error", name_of(mode));
	ok(nest_moves(other, 500, 500, 5000), "%s: the other L2 goes on", name_of(mode));
	nest_close(&n);
}

static void l0_dies(enum nf_relay_mode mode)
{
	struct nest n;
	nest_open(&n, NF_POLL_ADAPTIVE);
	struct nest_options o = {.mode = mode};
	struct nest_link *l = nest_link(&n, 0, &o);
	is(l ? nest_connect(l) : -1, 0, "%s: connects", name_of(mode));
	rig_generate(l->l2, NF_GEN_SEND, 200, 0);
	nest_linger(&n, 20);
	mem_world_kill(n.outer.w, 0);
	rig_end_close(l->l0);
	l->l0 = NULL;
	mem_store_rm(n.outer.w, l->outer_vif.back_path);
	is(nest_until_end(&n, l->l2, NF_NET_CLOSED, 5000), 0, "%s: L2 is closed", name_of(mode));
	is(rig_counter(l->l2, NF_COUNTER_protocol_errors), 0, "%s: and accuses nobody",
	   name_of(mode));
	nest_close(&n);
}

static void has(const char *text, const char *part, const char *what)
{
	if (!ok(text && strstr(text, part), "%s names it: %s", what, part))
		diag("got \"%s\"", text);
}

static void refusals(void)
{
	struct nest n;
	nest_open(&n, NF_POLL_EVENT);
	struct nest_options o = {.mode = NF_RELAY_DIRECT, .l0_not_static = true};
	struct nest_link *l = nest_link(&n, 0, &o);
	is(l ? nest_until(l, NF_NET_RUNNING, 300) : -1, -ETIMEDOUT,
	   "direct against a back that takes any gref does not run");
	has(nest_error(l), "feature-nestfront-static-only", "the inner error node");
	has(l->said, "direct is refused", "the notice");
	is(nest_block(l, 0)->h.error, -EACCES, "the counters hold the error");
	is(nest_block(l, 0)->h.confined, 0, "and claim no confinement");
	nest_unlink(l);
	o.trust_inner = true;
	l = nest_link(&n, 0, &o);
	is(l ? nest_connect(l) : -1, 0, "who trusts the guest gets it");
	is(nest_block(l, 0)->h.confined, 2, "reported as unconfined");
	has(l->said, "unconfined", "the notice");
	ok(nest_moves(l, 1500, 500, 5000), "and it moves frames");
	nest_close(&n);
}

/* A front without a control ring, as stock ones are. */
static void stock_front(void)
{
	struct nest n;
	struct hostile h;
	struct hostile_options raw = {.no_ctrl = true};
	nest_open(&n, NF_POLL_EVENT);
	struct nest_options o = {.mode = NF_RELAY_TRANSLATE, .no_l2 = true};
	struct nest_link *l = nest_link(&n, 0, &o);
	is(hostile_front_open(&h, rig_domain(&n.inner, 2)->layer, 10, &raw), 0, "a stock front");
	h.turn = nest_turn_cb;
	h.ctx = &n;
	is(hostile_wait(&h, NF_XENBUS_INITWAIT), 0, "is offered a device");
	is(hostile_front_publish(&h), 0, "and connects without a control ring");
	nest_linger(&n, 100);
	has(nest_error(l), "translate is refused: this front uses no control ring",
	    "the inner error node");
	ok(hostile_other_state(&h) != NF_XENBUS_CONNECTED, "it is not connected");
	hostile_close(&h);
	nest_unlink(l);
	o.mode = NF_RELAY_COPY;
	l = nest_link(&n, 0, &o);
	is(hostile_front_open(&h, rig_domain(&n.inner, 2)->layer, 10, &raw), 0, "the same front");
	h.turn = nest_turn_cb;
	h.ctx = &n;
	is(hostile_front_connect(&h), 0, "connects to a relay that copies");
	rig_generate(l->l0, NF_GEN_IDLE, 60, 0);
	for (uint32_t i = 0; i < 100; i++)
		hostile_tx_frame(&h, 0, i, 200);
	hostile_tx_push(&h, 0);
	nest_linger(&n, 100);
	is(rig_counter(l->l0, NF_COUNTER_tx_packets), 100, "its frames arrive");
	is(nest_counter(l, NF_COUNTER_grant_copies), 100, "by grant copy");
	is(hostile_peek(&h, 0, 't', 2), 100, "and are answered");
	hostile_close(&h);
	nest_close(&n);
}

int main(void)
{
	for (int i = 0; i < 3; i++) {
		reconnects(modes[i]);
		shuts_down(modes[i]);
		l2_dies(modes[i]);
		l0_dies(modes[i]);
	}
	refusals();
	stock_front();
	return done();
}
