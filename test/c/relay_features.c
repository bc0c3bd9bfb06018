/* SPDX-License-Identifier: MIT */
/* Feature intersection in both directions, re-evaluated at each connection; relays that die. */
#include "relay_nest.h"
#include "tap.h"

#include <stdio.h>

static const char *name_of(enum nf_relay_mode m)
{
	return m == NF_RELAY_COPY ? "copy" : m == NF_RELAY_TRANSLATE ? "translate" : "direct";
}

/* The number at a key of a device node, -1 when absent. */
static int key_of(struct mem_world *w, const char *node, const char *key)
{
	char path[128], value[32];
	snprintf(path, sizeof(path), "%s/%s", node, key);
	return mem_store_read(w, path, value, sizeof(value)) < 0 ? -1 : atoi(value);
}

struct stage {
	struct nest n;
	struct nest_link *l;
	struct hostile l0, l2; /* raw ends, honest here: they say exactly what the test wants */
};

static void stage_open(struct stage *s, enum nf_relay_mode mode, uint32_t queues)
{
	memset(s, 0, sizeof(*s));
	nest_open(&s->n, NF_POLL_EVENT);
	struct nest_options o = {.mode = mode, .no_l0 = true, .no_l2 = true, .queues = queues};
	s->l = nest_link(&s->n, 0, &o);
}

static void stage_l0(struct stage *s, const struct hostile_options *opt)
{
	is(hostile_back_open(&s->l0, rig_domain(&s->n.outer, 0)->layer, 1, 0, opt), 0, "L0 offers");
	s->l0.turn = nest_turn_cb;
	s->l0.ctx = &s->n;
}

static void stage_l2(struct stage *s, const struct hostile_options *opt)
{
	is(hostile_front_open(&s->l2, rig_domain(&s->n.inner, 2)->layer, 10, opt), 0,
	   "L2 is there");
	s->l2.turn = nest_turn_cb;
	s->l2.ctx = &s->n;
	is(hostile_wait(&s->l2, NF_XENBUS_INITWAIT), 0, "the relay offers it a device");
}

static void stage_close(struct stage *s)
{
	hostile_close(&s->l2);
	hostile_close(&s->l0);
	nest_close(&s->n);
}

/* What L0 cannot take, L2 is not offered. */
static void offers(enum nf_relay_mode mode)
{
	struct stage s;
	struct hostile_options poor = {.no_gso = true, .queues = 2};
	struct hostile_options poorer = {.no_gso = true, .no_sg = true};
	const char *back;
	stage_open(&s, mode, 4);
	back = s.l->inner_vif.back_path;
	stage_l0(&s, &poor);
	stage_l2(&s, NULL);
	is(key_of(s.n.inner.w, back, "feature-sg"), 1, "%s: sg is offered on", name_of(mode));
	is(key_of(s.n.inner.w, back, "feature-gso-tcpv4"), 0, "%s: GSO v4 is not", name_of(mode));
	is(key_of(s.n.inner.w, back, "feature-gso-tcpv6"), 0, "%s: GSO v6 is not", name_of(mode));
	is(key_of(s.n.inner.w, back, "multi-queue-max-queues"), 2, "%s: as many queues as L0",
	   name_of(mode));
	is(key_of(s.n.inner.w, back, "feature-ctrl-ring"), 1, "%s: the control ring is L1's own",
	   name_of(mode));
	/* L0 comes back with less */
	hostile_state(&s.l0, NF_XENBUS_CLOSING);
	nest_linger(&s.n, 20);
	hostile_state(&s.l0, NF_XENBUS_CLOSED);
	nest_linger(&s.n, 20);
	hostile_close(&s.l0);
	stage_l0(&s, &poorer);
	hostile_wait(&s.l2, NF_XENBUS_INITWAIT);
	nest_linger(&s.n, 20);
	is(key_of(s.n.inner.w, back, "feature-sg"), 0, "%s: sg goes at the next connection",
	   name_of(mode));
	is(key_of(s.n.inner.w, back, "multi-queue-max-queues"), 1, "%s: so do the queues",
	   name_of(mode));
	stage_close(&s);
}

/* What L2 cannot take, L0 is not told that it may send. */
static void wishes(enum nf_relay_mode mode)
{
	struct stage s;
	struct hostile_options rich = {.queues = 4},
			       poor = {.no_gso = true, .no_sg = true, .queues = 2};
	stage_open(&s, mode, 4);
	stage_l0(&s, &rich);
	stage_l2(&s, &poor);
	is(hostile_front_publish(&s.l2), 0, "L2 takes two queues and no offloads");
	is(hostile_wait(&s.l0, NF_XENBUS_CONNECTED), 0, "%s: the outer front connects",
	   name_of(mode));
	const char *front = s.l->outer_vif.front_path;
	is(key_of(s.n.outer.w, front, "feature-sg"), 0, "%s: without sg", name_of(mode));
	is(key_of(s.n.outer.w, front, "feature-gso-tcpv4"), 0, "%s: without GSO", name_of(mode));
	is(key_of(s.n.outer.w, front, "multi-queue-num-queues"), 2, "%s: with two queues",
	   name_of(mode));
	ok(hostile_other_state(&s.l2) != NF_XENBUS_CONNECTED,
	   "%s: L2 is not accepted before L0 is connected", name_of(mode));
	is(hostile_peek(&s.l2, 0, 't', 2), 0, "%s: nothing was answered yet", name_of(mode));
	stage_close(&s);
}

/* L1's driver domain is killed under load and started again: both peers reconnect by themselves. */
static void relay_restarts(enum nf_relay_mode mode)
{
	struct nest n;
	nest_open(&n, NF_POLL_ADAPTIVE);
	struct nest_options o = {.mode = mode};
	struct nest_link *l = nest_link(&n, 0, &o);
	is(l ? nest_connect(l) : -1, 0, "%s: connects", name_of(mode));
	for (int i = 0; i < 3; i++) {
		rig_generate(l->l2, NF_GEN_SEND, 300, 0);
		rig_generate(l->l0, NF_GEN_SEND, 300, 0);
		nest_linger(&n, 10);
		rig_generate(l->l2, NF_GEN_IDLE, 300, 0);
		rig_generate(l->l0, NF_GEN_IDLE, 300, 0);
		nf_net_relay_close(l->relay); /* not a word in any store */
		l->relay = NULL;
		nest_linger(&n, 10);
		is(nest_relay(l), 0, "%s: the relay is started again", name_of(mode));
		if (!is(nest_connect(l), 0, "%s: both ends reconnect, restart %d", name_of(mode),
			i + 1))
			diag("L2 %d, L0 %d\n%s", rig_phase(l->l2), rig_phase(l->l0), l->said);
		l->is_restarted = true;
		ok(nest_moves(l, 300, 300, 5000), "%s: and frames go", name_of(mode));
	}
	nest_close(&n);
}

int main(void)
{
	offers(NF_RELAY_TRANSLATE);
	offers(NF_RELAY_COPY);
	wishes(NF_RELAY_TRANSLATE);
	wishes(NF_RELAY_COPY);
	relay_restarts(NF_RELAY_TRANSLATE);
	relay_restarts(NF_RELAY_COPY);
	relay_restarts(NF_RELAY_DIRECT);
	return done();
}
