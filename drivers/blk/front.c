/* SPDX-License-Identifier: MIT */
/*
 * blkfront as a xenbus device. Front 1, back 2: rings are made and published, front 3; the back
 * maps them and says what disk it is, back 4; front 4, the queues run. Closing is front 5, back 5,
 * front 6, back 6. A back's 5 may be the toolstack's writing: only its 6 says that it has let go
 * of our pages, and they are kept until then.
 */
#include "blk_front.h"

#include <stdlib.h>
#include <string.h>

#define LEFT_MS 250   /* from a back's hang-up to its Closing */
#define BOWED_MS 2000 /* from our 6 to the back's: later its pages are taken, or quarantined */

/* Stops the data path and gives everything back; the back has let go, is gone, or is not trusted.
 */
static void front_release_all(struct nf_blkfront *f)
{
	nf__blk_front_queues_stop(f);
	nf__blk_front_rings_free(f);
	nf__blk_end_timer(&f->e, 0);
	f->is_released = f->is_left = false;
	f->grants = 0;
}

/* Users keep their queues: a back that offers fewer cannot serve them all. */
static int queues_check_count(struct nf_blkfront *f)
{
	for (uint32_t i = f->agreed.queues; i < NF_BLK_QUEUES_MAX; i++)
		if (f->is_started[i])
			return nf__blk_end_fail(&f->e, -EPROTO,
						"the back offers %u queues, and queue %u is in use",
						f->offered.queues, i);
	return 0;
}

static int front_prepare(struct nf_blkfront *f)
{
	int rc = nf__blk_offer_read(&f->e, &f->offered);
	if (rc)
		return rc;
	nf__blk_features_meet(&f->e.own, &f->offered, &f->agreed);
	/* a stock back says it when it is Connected, and looks for ours before that */
	f->agreed.persistent = f->e.own.persistent;
	if (f->e.own.registered_only && !f->agreed.registered_only)
		return nf__blk_end_fail(&f->e, -EPROTO,
					"the back does not offer registered grants only");
	rc = queues_check_count(f);
	if (rc)
		return rc;
	f->queues = f->agreed.queues;
	rc = nf__blk_front_rings_alloc(f);
	if (rc) {
		front_release_all(f);
		return nf__blk_end_fail(&f->e, rc, "pages or channels for %u queues: %s",
					f->agreed.queues, strerror(-rc));
	}
	f->e.phase = NF_BLK_PREPARED;
	return 0;
}

static int front_publish(struct nf_blkfront *f)
{
	struct nf_blk_refs refs[NF_BLK_QUEUES_MAX];
	if (f->is_held) {
		nf__blk_front_rings_trim(f, f->limit.queues);
		f->agreed.queues = f->queues;
		if (f->rings_too) /* they are written as whoever writes them says */
			f->agreed.abi = f->limit.abi;
	}
	memset(refs, 0, sizeof(refs));
	for (uint32_t i = 0; i < f->queues; i++) {
		const struct nf_blkfront_rings *r = f->rings[i];
		memcpy(refs[i].ring_grefs, r->ring_grefs, sizeof(refs[i].ring_grefs));
		memcpy(refs[i].table_grefs, r->table_grefs, sizeof(refs[i].table_grefs));
		refs[i].port = r->chan.port;
		refs[i].registered = r->table.pages ? r->pool.pages + r->lists.pages : 0;
	}
	int rc = nf__blk_front_publish(&f->e, &f->agreed, refs, f->queues);
	if (rc == 0)
		rc = nf__blk_end_switch(&f->e, NF_XENBUS_INITIALISED);
	if (rc)
		return nf__blk_end_fail(&f->e, rc, "publishing: %s", strerror(-rc));
	f->e.phase = NF_BLK_PUBLISHED;
	return 0;
}

static const char *grants_name(enum nf_blk_grants g)
{
	return g == NF_BLK_GRANTS_STATIC       ? "registered"
	       : g == NF_BLK_GRANTS_PERSISTENT ? "persistent"
					       : "per-request";
}

/* The back is Connected: what disk is it? */
static int front_connect(struct nf_blkfront *f)
{
	struct nf_blk_features said = f->offered;
	int rc = nf__blk_disk_read(&f->e, &said);
	if (rc)
		return rc;
	f->offered = said;
	f->agreed.disk = said.disk;
	f->agreed.persistent = f->agreed.persistent && said.persistent;
	f->agreed.indirect = f->e.own.indirect < said.indirect ? f->e.own.indirect : said.indirect;
	f->grants = f->agreed.registered   ? NF_BLK_GRANTS_STATIC
		    : f->agreed.persistent ? NF_BLK_GRANTS_PERSISTENT
					   : NF_BLK_GRANTS_COPY;
	f->e.generation++;
	rc = nf__blk_front_queues_start(f);
	if (rc)
		return nf__blk_end_fail(&f->e, rc, "starting queues: %s", strerror(-rc));
	rc = nf__blk_end_switch(&f->e, NF_XENBUS_CONNECTED);
	if (rc)
		return nf__blk_end_fail(&f->e, rc, "connecting: %s", strerror(-rc));
	f->e.phase = NF_BLK_RUNNING;
	nf__blk_blocks(&f->e, (uint8_t)f->grants, 0);
	nf__blk_end_notice(&f->e, "connected: %llu sectors, %u queues of %u slots, %s grants%s%s",
			   (unsigned long long)f->agreed.disk.sectors, f->queues,
			   nf__blk_ring_count(f->agreed.abi, f->agreed.ring_pages),
			   grants_name(f->grants), f->agreed.registered_only ? " only" : "",
			   f->agreed.disk.is_readonly ? ", read-only" : "");
	return 0;
}

/* To Closed; what was granted goes back. */
static int front_finish(struct nf_blkfront *f)
{
	front_release_all(f);
	int rc = nf__blk_end_switch(&f->e, NF_XENBUS_CLOSED);
	f->e.phase = NF_BLK_CLOSED;
	nf__blk_blocks(&f->e, NF_GRANTS_NONE, 0);
	return rc;
}

/* A relay may be inside the rings: nothing goes before it says so by shutdown. */
static bool is_kept(const struct nf_blkfront *f)
{
	return f->is_held && !f->e.is_shutdown && f->queues > 0;
}

/* To Closed with the grants still given: the back may have them mapped. */
static int front_bow(struct nf_blkfront *f)
{
	nf__blk_front_queues_stop(f);
	int rc = nf__blk_end_switch(&f->e, NF_XENBUS_CLOSED);
	if (f->e.phase != NF_BLK_FAILED)
		f->e.phase = NF_BLK_CLOSING;
	nf__blk_blocks(&f->e, NF_GRANTS_NONE, f->e.phase == NF_BLK_FAILED ? -EPROTO : 0);
	/* a back with writes to finish stays in 5 until they are done: no page is taken before,
	 * and nothing is done again; only a dead one (it hangs up) is not waited for */
	nf__blk_end_timer(&f->e, BOWED_MS);
	return rc;
}

/* The back is done with this connection. */
static int front_ended(struct nf_blkfront *f)
{
	if (is_kept(f)) {
		f->e.phase = NF_BLK_CLOSING;
		return 0;
	}
	return f->e.dev.other_state == NF_XENBUS_CLOSING ? front_bow(f) : front_finish(f);
}

/* Starts to close: the back sees 5, finishes what it does and answers with its 5. */
static int front_closing(struct nf_blkfront *f)
{
	nf__blk_front_queues_stop(f);
	int rc = nf__blk_end_switch(&f->e, NF_XENBUS_CLOSING);
	f->e.phase = NF_BLK_CLOSING;
	nf__blk_blocks(&f->e, NF_GRANTS_NONE, 0);
	return rc;
}

/* The device is stopped because of error; the peer sees Closing. */
static int front_failed(struct nf_blkfront *f, int error)
{
	nf__blk_front_queues_stop(f);
	nf__blk_end_switch(&f->e, NF_XENBUS_CLOSING);
	f->e.phase = NF_BLK_FAILED;
	nf__blk_blocks(&f->e, NF_GRANTS_NONE, error);
	return error;
}

/* A queue's poller gave up: says why. 0 when all run. */
static int queues_check(struct nf_blkfront *f)
{
	for (uint32_t i = 0; !f->is_held && i < f->queues; i++) {
		struct nf_blk_queue *q = f->queue[i];
		if (!nf_load_relaxed((const uint32_t *)&q->item.error))
			continue;
		nf_poller_detach(&q->item);
		int error = q->item.error;
		bool has_left = nf__blk_end_hung_up(&f->e, &f->rings[i]->chan);
		if (error == -ENODEV && has_left && !f->is_left) {
			/* a back that closes in order lets go of us before it says so */
			f->is_left = true;
			nf__blk_end_timer(&f->e, LEFT_MS);
		}
		if (error == -ENODEV && has_left)
			continue;
		if (error == -EPROTO)
			return nf__blk_end_fault(&f->e, i, &q->fault);
		return nf__blk_end_fail(&f->e, error, "queue %u: %s", i,
					error == -ENODEV ? "its user is gone" : strerror(-error));
	}
	return 0;
}

/* A back that resizes writes sectors and its state anew. */
static int size_look(struct nf_blkfront *f)
{
	struct nf_blk_features said = f->agreed;
	int rc = nf__blk_disk_read(&f->e, &said);
	if (rc || said.disk.sectors == f->agreed.disk.sectors)
		return rc;
	nf__blk_end_notice(&f->e, "resized: %llu sectors, were %llu",
			   (unsigned long long)said.disk.sectors,
			   (unsigned long long)f->agreed.disk.sectors);
	f->agreed.disk.sectors = said.disk.sectors;
	nf__blk_front_queues_resize(f, &said.disk);
	return 0;
}

static bool is_closing(enum nf_xenbus_state s)
{
	return s == NF_XENBUS_CLOSING || s == NF_XENBUS_CLOSED || s == NF_XENBUS_UNKNOWN;
}

/* Not connected: leave an earlier life behind, then wait for an offer. */
static int idle_step(struct nf_blkfront *f)
{
	struct nf_blk_end *e = &f->e;
	enum nf_xenbus_state other = e->dev.other_state;
	if (e->is_shutdown)
		return 0;
	if (e->dev.state > NF_XENBUS_INITIALISING && e->dev.state < NF_XENBUS_CLOSED) {
		int rc = nf__blk_end_switch(e, NF_XENBUS_CLOSING);
		if (rc || (other != NF_XENBUS_INITWAIT && !is_closing(other)))
			return rc;
		return nf__blk_end_switch(e, NF_XENBUS_CLOSED);
	}
	if (e->dev.state != NF_XENBUS_INITIALISING && other != NF_XENBUS_CLOSING &&
	    other != NF_XENBUS_CONNECTED && (other == NF_XENBUS_INITWAIT || e->is_fresh)) {
		int rc = nf__blk_end_switch(e, NF_XENBUS_INITIALISING);
		if (rc)
			return rc;
	}
	if (other != NF_XENBUS_INITWAIT || e->dev.state != NF_XENBUS_INITIALISING)
		return 0;
	e->is_fresh = false;
	return front_prepare(f);
}

static int connected_step(struct nf_blkfront *f)
{
	enum nf_xenbus_state other = f->e.dev.other_state;
	if (is_closing(other))
		return front_ended(f);
	if (f->e.phase == NF_BLK_PREPARED) {
		if (other != NF_XENBUS_INITWAIT)
			return front_ended(f);
		return f->is_held && !f->is_released ? 0 : front_publish(f);
	}
	if (f->e.phase == NF_BLK_PUBLISHED)
		return other == NF_XENBUS_CONNECTED ? front_connect(f) : 0;
	if (other != NF_XENBUS_CONNECTED)
		return front_closing(f); /* the back started over: so do we */
	int rc = queues_check(f);
	return rc ? rc : size_look(f);
}

static int closing_step(struct nf_blkfront *f)
{
	enum nf_xenbus_state other = f->e.dev.other_state;
	bool was_failed = f->e.phase == NF_BLK_FAILED;
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

/* True while the back of this connection may still be at work in its pages. */
static bool is_back_alive(struct nf_blkfront *f)
{
	for (uint32_t i = 0; i < f->queues; i++)
		if (f->rings[i] && f->rings[i]->chan.fd >= 0 &&
		    !nf__blk_end_hung_up(&f->e, &f->rings[i]->chan))
			return true;
	return false;
}

/* A Closing that does not come ends the device. */
static int timeout_step(struct nf_blkfront *f)
{
	if (f->e.phase == NF_BLK_RUNNING && f->is_left)
		return nf__blk_end_fail(&f->e, -ENODEV, "the back hung up without closing");
	if (f->e.dev.state != NF_XENBUS_CLOSED || f->queues == 0)
		return 0;
	if (!is_back_alive(f))
		return front_finish(f); /* the back stays in 5 */
	nf__blk_end_timer(&f->e, BOWED_MS);
	return 0;
}

int nf_blkfront_step(struct nf_blkfront *f)
{
	struct nf_blk_end *e = &f->e;
	bool is_late = nf__blk_end_events(e);
	int rc = nf_device_look(&e->dev);
	if (rc < 0) /* without a store nothing changes, and what runs goes on */
		return e->phase == NF_BLK_RUNNING && queues_check(f) == 0 ? NF_BLK_RUNNING : rc;
	rc = 0;
	for (int before = -1; rc == 0 && before != e->phase;) {
		before = e->phase;
		switch (e->phase) {
		case NF_BLK_WAITING:
		case NF_BLK_CLOSED:
			rc = idle_step(f);
			break;
		case NF_BLK_CLOSING:
		case NF_BLK_FAILED:
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
