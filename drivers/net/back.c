/* SPDX-License-Identifier: MIT */
/*
 * netback as a xenbus device, front.c's mirror. Back 2: the offer is written; front 4: its rings
 * are mapped, back 4, the queues run. Closing lets go of every page before it is said (5).
 */
#include "net_back.h"

#include <stdlib.h>
#include <string.h>

static void back_release_all(struct nf_netback *b)
{
	nf__back_queues_stop(b);
	nf__ctrl_back_close(b);
	nf__back_rings_unmap(b);
	nf__journal_remove(b);
	nf__end_timer(&b->e, 0);
	b->is_timed = b->is_offered = b->is_accepted = false;
}

static int back_offer(struct nf_netback *b)
{
	int rc = nf__offer_write(&b->e, &b->offered);
	if (rc == 0)
		rc = nf__end_switch(&b->e, NF_XENBUS_INITWAIT);
	if (rc)
		return nf__end_fail(&b->e, rc, "offering: %s", strerror(-rc));
	b->e.phase = NF_NET_WAITING;
	return 0;
}

/* The front is Connected: read, check and map what it published. */
static int back_map(struct nf_netback *b)
{
	int rc = nf__front_read(&b->e, &b->offered, &b->agreed, b->refs, &b->queues, &b->ctrl_refs);
	if (rc) {
		b->queues = 0;
		return rc;
	}
	if (b->agreed.static_only && !b->agreed.ctrl) {
		b->queues = 0;
		return nf__end_fail(&b->e, -EPROTO,
				    "the front asks for static grants only without a control ring");
	}
	uint32_t queues = b->queues;
	rc = nf__back_rings_map(b);
	if (rc == 0 && b->agreed.ctrl)
		rc = nf__ctrl_back_open(b);
	if (rc) {
		back_release_all(b);
		return nf__end_fail(&b->e, rc, "mapping rings of %u queues: %s", queues,
				    strerror(-rc));
	}
	b->e.phase = NF_NET_MAPPED;
	return 0;
}

static int back_connect(struct nf_netback *b)
{
	uint8_t grants = b->agreed.ctrl ? NF_NET_GRANTS_STATIC : NF_NET_GRANTS_COPY;
	b->e.generation++;
	int rc = nf__end_ports_open(&b->e, &b->agreed, b->queues);
	if (rc)
		return rc;
	nf__back_record(b);
	rc = nf__back_queues_start(b);
	if (rc)
		return nf__end_fail(&b->e, rc, "starting queues: %s", strerror(-rc));
	rc = nf__end_switch(&b->e, NF_XENBUS_CONNECTED);
	if (rc)
		return nf__end_fail(&b->e, rc, "connecting: %s", strerror(-rc));
	nf__end_healed(&b->e);
	b->e.phase = NF_NET_RUNNING;
	nf__end_blocks(&b->e, grants, 0);
	nf__end_notice(&b->e, "connected: %u queues, %s grants%s%s", b->queues,
		       b->agreed.ctrl ? "static" : "per-request",
		       b->agreed.static_only ? " only" : "",
		       b->agreed.split ? ", split event channels" : "");
	return 0;
}

/* Lets go of everything, then says so. */
static int back_closing(struct nf_netback *b)
{
	back_release_all(b);
	int rc = nf__end_switch(&b->e, NF_XENBUS_CLOSING);
	b->e.phase = NF_NET_CLOSING;
	nf__end_blocks(&b->e, NF_GRANTS_NONE, 0);
	return rc;
}

/* A relay may be inside the rings: nothing goes before it says so by shutdown. */
static bool is_kept(const struct nf_netback *b)
{
	return b->is_held && !b->e.is_shutdown && b->queues > 0;
}

/* The front is done with this connection. */
static int back_ended(struct nf_netback *b)
{
	if (!is_kept(b))
		return back_closing(b);
	b->e.phase = NF_NET_CLOSING;
	return 0;
}

static int back_finish(struct nf_netback *b)
{
	back_release_all(b);
	int rc = nf__end_switch(&b->e, NF_XENBUS_CLOSED);
	b->e.phase = NF_NET_CLOSED;
	nf__end_blocks(&b->e, NF_GRANTS_NONE, 0);
	return rc;
}

static int back_failed(struct nf_netback *b, int error)
{
	if (!is_kept(b)) {
		back_release_all(b);
		nf__end_switch(&b->e, NF_XENBUS_CLOSING);
	}
	b->e.phase = NF_NET_FAILED;
	nf__end_blocks(&b->e, NF_GRANTS_NONE, error);
	return error;
}

static bool has_left(struct nf_netback *b)
{
	if (b->ctrl.is_open && !b->ctrl.has_left)
		b->ctrl.has_left = nf__end_chan_clear(&b->e, &b->ctrl.chan) < 0;
	return b->ctrl.has_left;
}

static int queues_check(struct nf_netback *b)
{
	for (uint32_t i = 0; i < b->queues; i++) {
		struct nf_back_queue *q = b->queue[i];
		if (!q || !nf_load_relaxed((const uint32_t *)&q->item.error))
			continue;
		nf_poller_detach(&q->item);
		int error = q->item.error;
		/* pages of a guest that died read as zeroes: that is no lie of its; where a relay
		 * gave its end of the queue's channel away, the control ring's tells */
		if (nf__end_hung_up(&b->e, &b->rings[i]->tx_chan) || has_left(b))
			return nf__end_fail(&b->e, -ENODEV, "the front hung up without closing");
		if (error == -EPROTO)
			return nf__end_fault(&b->e, i, &q->fault);
		return nf__end_fail(&b->e, error, "queue %u: %s", i,
				    error == -ENODEV ? "the port is dead" : strerror(-error));
	}
	return 0;
}

static bool is_gone(enum nf_xenbus_state s)
{
	return s == NF_XENBUS_CLOSED || s == NF_XENBUS_UNKNOWN;
}

/* Nothing connected, nothing offered: leave an earlier life behind, then offer. */
static int idle_step(struct nf_netback *b)
{
	struct nf_net_end *e = &b->e;
	enum nf_xenbus_state now = e->dev.state, other = e->dev.other_state;
	bool is_stale = other == NF_XENBUS_CONNECTED || other == NF_XENBUS_INITIALISED ||
			other == NF_XENBUS_CLOSING;
	if (e->is_shutdown)
		return 0;
	if (e->is_fresh && now == NF_XENBUS_CONNECTED && other == NF_XENBUS_CONNECTED) {
		if (nf__back_attach(b))
			return 0;
		back_release_all(b);
	}
	if (is_stale || (now > NF_XENBUS_INITIALISING && now < NF_XENBUS_CLOSED)) {
		/* rings of another connection: their front must let go of them first */
		int rc = nf__end_switch(e, NF_XENBUS_CLOSING);
		if (rc || is_stale)
			return rc;
		rc = nf__end_switch(e, NF_XENBUS_CLOSED);
		if (rc)
			return rc;
	}
	if (!e->is_fresh && other != NF_XENBUS_INITIALISING)
		return 0; /* closed in order: the front says when it comes back */
	e->is_fresh = false;
	b->is_met = other == NF_XENBUS_INITIALISING;
	e->phase = NF_NET_OFFERING;
	return 0;
}

/* The toolstack's script has put the port where it belongs. */
static bool is_plugged(struct nf_netback *b)
{
	char path[NF_STORE_PATH_MAX], text[16];
	if (!b->e.cfg.await_hotplug)
		return true;
	return nf_device_key(&b->e.dev, false, "hotplug-status", path) == 0 &&
	       nf_store_read(b->e.cfg.store, 0, path, text, sizeof(text)) > 0 &&
	       strcmp(text, "connected") == 0;
}

static int connected_step(struct nf_netback *b)
{
	enum nf_xenbus_state other = b->e.dev.other_state;
	bool is_up = other == NF_XENBUS_CONNECTED || other == NF_XENBUS_INITIALISED;
	switch (b->e.phase) {
	case NF_NET_OFFERING:
		return b->is_held && !b->is_offered ? 0 : back_offer(b);
	case NF_NET_WAITING:
		if (is_up)
			return is_plugged(b) ? back_map(b) : 0;
		if (other == NF_XENBUS_INITIALISING)
			b->is_met = true;
		else if (b->is_met && is_gone(other))
			return back_finish(b); /* it came and went again */
		return other == NF_XENBUS_CLOSING ? back_closing(b) : 0;
	case NF_NET_MAPPED:
		if (!is_up)
			return back_ended(b);
		return b->is_held && !b->is_accepted ? 0 : back_connect(b);
	default:
		if (!is_up)
			return back_ended(b);
		return nf__ctrl_back_step(b);
	}
}

/* In 5: the front's 6, or its start anew, ends it. */
static int closing_step(struct nf_netback *b)
{
	enum nf_xenbus_state other = b->e.dev.other_state;
	if (is_kept(b))
		return 0;
	/* a failure lasts until the front was Closed, or it would fail again as fast as it can */
	if (!is_gone(other) && (b->e.phase == NF_NET_FAILED || other != NF_XENBUS_INITIALISING))
		return 0;
	return back_finish(b);
}

static int phase_step(struct nf_netback *b)
{
	switch (b->e.phase) {
	case NF_NET_CLOSED:
		return idle_step(b);
	case NF_NET_CLOSING:
	case NF_NET_FAILED:
		return closing_step(b);
	case NF_NET_WAITING:
		if (b->e.dev.state != NF_XENBUS_INITWAIT)
			return idle_step(b);
		return connected_step(b);
	default:
		return connected_step(b);
	}
}

int nf_netback_step(struct nf_netback *b)
{
	struct nf_net_end *e = &b->e;
	if (nf__end_events(e))
		b->is_timed = false;
	if (b->ctrl.is_open && !b->ctrl.has_left)
		b->ctrl.has_left = nf__end_chan_clear(e, &b->ctrl.chan) < 0;
	int rc = nf_device_look(&e->dev);
	if (rc < 0) { /* without a store nothing changes, and what runs goes on */
		if (e->phase != NF_NET_RUNNING)
			return rc;
		rc = nf__ctrl_back_step(b);
	} else {
		rc = 0;
		for (int before = -1; rc == 0 && before != e->phase;) {
			before = e->phase;
			rc = phase_step(b);
		}
	}
	if (rc == 0 && e->phase == NF_NET_RUNNING)
		rc = queues_check(b);
	if (rc == 0 && e->phase == NF_NET_RUNNING && b->ctrl.has_left)
		rc = nf__end_fail(e, -ENODEV, "the front hung up without closing");
	return rc < 0 ? back_failed(b, rc) : e->phase;
}
