/* SPDX-License-Identifier: MIT */
/*
 * netfront as a xenbus device. Front 1, back 2: rings are made and published, front 4, back 4. The
 * pages are registered over the control ring where there is one, then the queues run. Closing is
 * front 5, back 5, front 6, back 6. A back's 5 may be the toolstack's writing, who asks both ends
 * to go: only its 6 says that it has let go of our pages, and they are kept until then.
 */
#include "net_front.h"

#include <stdlib.h>
#include <string.h>

#define LEFT_MS 250   /* from a back's hang-up to its Closing */
#define BOWED_MS 2000 /* from our 6 to the back's: later its pages are taken, or quarantined */

/* Stops the data path and gives everything back; the back has let go, is gone, or is not trusted.
 */
static void front_release_all(struct nf_netfront *f)
{
	nf__front_queues_stop(f);
	nf__ctrl_front_close(f);
	nf__front_rings_free(f);
	nf__end_timer(&f->e, 0);
	f->is_released = f->is_left = false;
	f->grants = 0;
}

static int front_prepare(struct nf_netfront *f)
{
	int rc = nf__features_read(&f->e, &f->offered);
	if (rc)
		return rc;
	nf__features_meet(&f->offered, &f->e.own, &f->agreed);
	if (f->e.own.static_only && !f->agreed.static_only)
		return nf__end_fail(&f->e, -EPROTO, "the back does not offer static grants only");
	f->queues = f->agreed.queues;
	rc = nf__front_rings_alloc(f);
	if (rc == 0 && f->agreed.ctrl)
		rc = nf__ctrl_front_open(f);
	if (rc) {
		front_release_all(f);
		return nf__end_fail(&f->e, rc, "pages or channels for %u queues: %s",
				    f->agreed.queues, strerror(-rc));
	}
	f->e.phase = NF_NET_PREPARED;
	return 0;
}

static int front_publish(struct nf_netfront *f)
{
	struct nf_net_refs refs[NF_NET_QUEUES_MAX];
	struct nf_net_features wish = f->agreed;
	if (f->is_held)
		nf__features_meet(&f->agreed, &f->limit, &wish);
	wish.ctrl = f->agreed.ctrl; /* the ring between us and the back is ours alone */
	wish.static_only = f->agreed.static_only;
	nf__front_rings_trim(f, wish.queues, wish.split);
	f->agreed = wish;
	for (uint32_t i = 0; i < f->queues; i++) {
		const struct nf_front_rings *r = f->rings[i];
		refs[i] = (struct nf_net_refs){
			.tx_ring_ref = r->tx_ring_gref,
			.rx_ring_ref = r->rx_ring_gref,
			.tx_port = r->tx_chan.port,
			.rx_port = wish.split ? r->rx_chan.port : r->tx_chan.port,
		};
	}
	struct nf_ctrl_refs ctrl = {.is_there = f->ctrl.is_open,
				    .ring_ref = f->ctrl.grefs[0],
				    .port = f->ctrl.chan.port};
	int rc = nf__front_publish(&f->e, &wish, refs, f->queues, &ctrl);
	if (rc == 0)
		rc = nf__end_switch(&f->e, NF_XENBUS_CONNECTED);
	if (rc)
		return nf__end_fail(&f->e, rc, "publishing: %s", strerror(-rc));
	f->e.phase = NF_NET_PUBLISHED;
	return 0;
}

/* The back is Connected: register pages, then run. */
static int front_connect(struct nf_netfront *f)
{
	f->grants = NF_NET_GRANTS_COPY;
	if (f->ctrl.is_open) {
		int rc = nf__ctrl_front_step(f);
		if (rc <= 0)
			return rc;
		if (f->ctrl.registered == f->queues)
			f->grants = NF_NET_GRANTS_STATIC;
	}
	if (f->agreed.static_only && f->grants != NF_NET_GRANTS_STATIC)
		return nf__end_fail(&f->e, -EPROTO,
				    "static grants only, but the back registered %u of %u queues",
				    f->ctrl.registered, f->queues);
	f->e.generation++;
	int rc = nf__end_ports_open(&f->e, &f->agreed, f->queues);
	if (rc)
		return rc;
	f->e.phase = NF_NET_RUNNING;
	nf__end_blocks(&f->e, (uint8_t)f->grants, 0);
	rc = nf__front_queues_start(f);
	if (rc)
		return nf__end_fail(&f->e, rc, "starting queues: %s", strerror(-rc));
	nf__end_healed(&f->e);
	nf__end_notice(&f->e, "connected: %u queues, %s grants%s%s", f->queues,
		       f->grants == NF_NET_GRANTS_STATIC ? "static" : "per-request",
		       f->agreed.static_only ? " only" : "",
		       f->agreed.split ? ", split event channels" : "");
	return 0;
}

/* To Closed; what was granted goes back. */
static int front_finish(struct nf_netfront *f)
{
	front_release_all(f);
	int rc = nf__end_switch(&f->e, NF_XENBUS_CLOSED);
	f->e.phase = NF_NET_CLOSED;
	nf__end_blocks(&f->e, NF_GRANTS_NONE, 0);
	return rc;
}

/* A relay may be inside the rings: nothing goes before it says so by shutdown. */
static bool is_kept(const struct nf_netfront *f)
{
	return f->is_held && !f->e.is_shutdown && f->queues > 0;
}

/* To Closed with the grants still given: the back may have them mapped. */
static int front_bow(struct nf_netfront *f)
{
	nf__front_queues_stop(f);
	nf__ctrl_front_close(f);
	int rc = nf__end_switch(&f->e, NF_XENBUS_CLOSED);
	if (f->e.phase != NF_NET_FAILED)
		f->e.phase = NF_NET_CLOSING;
	nf__end_blocks(&f->e, NF_GRANTS_NONE, f->e.phase == NF_NET_FAILED ? -EPROTO : 0);
	nf__end_timer(&f->e, BOWED_MS);
	return rc;
}

/* The back is done with this connection. */
static int front_ended(struct nf_netfront *f)
{
	if (is_kept(f)) {
		f->e.phase = NF_NET_CLOSING;
		return 0;
	}
	return f->e.dev.other_state == NF_XENBUS_CLOSING ? front_bow(f) : front_finish(f);
}

/* Starts to close: the back sees 5, lets go of our pages and answers with its 5. */
static int front_closing(struct nf_netfront *f)
{
	nf__front_queues_stop(f);
	int rc = nf__end_switch(&f->e, NF_XENBUS_CLOSING);
	f->e.phase = NF_NET_CLOSING;
	nf__end_blocks(&f->e, NF_GRANTS_NONE, 0);
	return rc;
}

/* The device is stopped because of error; the peer sees Closing. */
static int front_failed(struct nf_netfront *f, int error)
{
	nf__front_queues_stop(f);
	nf__end_switch(&f->e, NF_XENBUS_CLOSING);
	f->e.phase = NF_NET_FAILED;
	nf__end_blocks(&f->e, NF_GRANTS_NONE, error);
	return error;
}

/* A queue's poller gave up: says why. 0 when all run. */
static int queues_check(struct nf_netfront *f)
{
	for (uint32_t i = 0; i < f->queues; i++) {
		struct nf_front_queue *q = f->queue[i];
		if (!q || !nf_load_relaxed((const uint32_t *)&q->item.error))
			continue;
		nf_poller_detach(&q->item);
		int error = q->item.error;
		bool has_left = nf__end_hung_up(&f->e, &f->rings[i]->tx_chan);
		if (error == -ENODEV && has_left && !f->is_left) {
			/* a back that closes in order lets go of us before it says so */
			f->is_left = true;
			nf__end_timer(&f->e, LEFT_MS);
		}
		if (error == -ENODEV && has_left)
			continue;
		if (error == -EPROTO)
			return nf__end_fault(&f->e, i, &q->fault);
		return nf__end_fail(&f->e, error, "queue %u: %s", i,
				    error == -ENODEV ? "the port is dead" : strerror(-error));
	}
	return 0;
}

static bool is_closing(enum nf_xenbus_state s)
{
	return s == NF_XENBUS_CLOSING || s == NF_XENBUS_CLOSED || s == NF_XENBUS_UNKNOWN;
}

/* Not connected: leave an earlier life behind, then wait for an offer. */
static int idle_step(struct nf_netfront *f)
{
	struct nf_net_end *e = &f->e;
	enum nf_xenbus_state other = e->dev.other_state;
	if (e->is_shutdown)
		return 0;
	if (e->dev.state > NF_XENBUS_INITIALISING && e->dev.state < NF_XENBUS_CLOSED) {
		int rc = nf__end_switch(e, NF_XENBUS_CLOSING);
		if (rc || (other != NF_XENBUS_INITWAIT && !is_closing(other)))
			return rc;
		return nf__end_switch(e, NF_XENBUS_CLOSED);
	}
	if (e->dev.state != NF_XENBUS_INITIALISING && other != NF_XENBUS_CLOSING &&
	    other != NF_XENBUS_CONNECTED && (other == NF_XENBUS_INITWAIT || e->is_fresh)) {
		int rc = nf__end_switch(e, NF_XENBUS_INITIALISING);
		if (rc)
			return rc;
	}
	if (other != NF_XENBUS_INITWAIT || e->dev.state != NF_XENBUS_INITIALISING)
		return 0;
	e->is_fresh = false;
	return front_prepare(f);
}

static int connected_step(struct nf_netfront *f)
{
	enum nf_xenbus_state other = f->e.dev.other_state;
	if (is_closing(other))
		return front_ended(f);
	if (f->e.phase == NF_NET_PREPARED) {
		if (other != NF_XENBUS_INITWAIT)
			return front_ended(f);
		return f->is_held && !f->is_released ? 0 : front_publish(f);
	}
	if (f->e.phase == NF_NET_PUBLISHED)
		return other == NF_XENBUS_CONNECTED ? front_connect(f) : 0;
	if (other != NF_XENBUS_CONNECTED)
		return front_closing(f); /* the back started over: so do we */
	int rc = f->ctrl.is_open ? nf__ctrl_front_step(f) : 0;
	return rc < 0 ? rc : queues_check(f);
}

static int closing_step(struct nf_netfront *f)
{
	enum nf_xenbus_state other = f->e.dev.other_state;
	bool was_failed = f->e.phase == NF_NET_FAILED;
	bool is_anew = other == NF_XENBUS_INITWAIT || other == NF_XENBUS_INITIALISING;
	/* a back that starts anew has not seen that we failed, unless we saw it close before */
	if (was_failed && f->e.dev.state != NF_XENBUS_CLOSED)
		is_anew = false;
	if ((!is_closing(other) && !is_anew) || is_kept(f))
		return 0; /* it may still use our pages */
	if (other != NF_XENBUS_CLOSING)
		return front_finish(f);
	return f->e.dev.state == NF_XENBUS_CLOSED ? 0 : front_bow(f);
}

/* An answer or a Closing that does not come ends the device. */
static int timeout_step(struct nf_netfront *f)
{
	if (f->e.phase == NF_NET_RUNNING && f->is_left)
		return nf__end_fail(&f->e, -ENODEV, "the back hung up without closing");
	if (f->e.dev.state == NF_XENBUS_CLOSED && f->queues > 0)
		return front_finish(f); /* the back stays in 5 */
	if (f->e.phase != NF_NET_PUBLISHED)
		return 0;
	return nf__end_fail(&f->e, -ETIMEDOUT, "no answer on the control ring within %u ms",
			    (unsigned int)NF_LAYER_TIMEOUT_MS);
}

int nf_netfront_step(struct nf_netfront *f)
{
	struct nf_net_end *e = &f->e;
	bool is_late = nf__end_events(e);
	if (f->ctrl.is_open)
		nf__end_chan_clear(e, &f->ctrl.chan);
	int rc = nf_device_look(&e->dev);
	if (rc < 0) /* without a store nothing changes, and what runs goes on */
		return e->phase == NF_NET_RUNNING && queues_check(f) == 0 ? NF_NET_RUNNING : rc;
	rc = 0;
	for (int before = -1; rc == 0 && before != e->phase;) {
		before = e->phase;
		switch (e->phase) {
		case NF_NET_WAITING:
		case NF_NET_CLOSED:
			rc = idle_step(f);
			break;
		case NF_NET_CLOSING:
		case NF_NET_FAILED:
			rc = closing_step(f);
			break;
		default:
			rc = connected_step(f);
		}
	}
	if (rc == 0 && is_late)
		rc = timeout_step(f);
	if (rc < 0)
		return front_failed(f, rc);
	return e->phase;
}
