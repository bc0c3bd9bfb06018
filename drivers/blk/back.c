/* SPDX-License-Identifier: MIT */
/*
 * blkback as a xenbus device, front.c's mirror. Back 2: the offer is written; front 3 or 4: its
 * rings are mapped, back 4, the queues run.
 *
 * Closing drains first: what the disk was asked for is finished, and only then is it said (5, 6)
 * that we have let go. Whoever connects after that can rely on it that no write of before is still
 * under way.
 */
#include "blk_back.h"

#include <string.h>

#define LOOK_MS 2000 /* how often the disk's size is looked at */

static void back_release_all(struct nf_blkback *b)
{
	nf__blk_back_queues_stop(b);
	nf__blk_back_rings_unmap(b);
	nf__blk_journal_remove(b);
	nf__blk_end_timer(&b->e, 0);
	b->is_offered = b->is_accepted = false;
}

static int back_offer(struct nf_blkback *b)
{
	int rc = nf__blk_offer_write(&b->e, &b->offered);
	if (rc == 0)
		rc = nf__blk_end_switch(&b->e, NF_XENBUS_INITWAIT);
	if (rc)
		return nf__blk_end_fail(&b->e, rc, "offering: %s", strerror(-rc));
	b->e.phase = NF_BLK_WAITING;
	return 0;
}

/* The front has published its rings: read, check and map them. */
static int back_map(struct nf_blkback *b)
{
	int rc = nf__blk_front_read(&b->e, &b->offered, &b->agreed, b->refs, &b->queues);
	if (rc) {
		b->queues = 0;
		return rc;
	}
	uint32_t queues = b->queues;
	nf__blk_blocks_open(&b->e, queues);
	rc = nf__blk_back_rings_map(b);
	if (rc) {
		back_release_all(b);
		return nf__blk_end_fail(&b->e, rc,
					"mapping rings and registered pages of %u "
					"queues: %s",
					queues, strerror(-rc));
	}
	b->e.phase = NF_BLK_MAPPED;
	return 0;
}

static enum nf_blk_grants grants_of(const struct nf_blkback *b)
{
	return b->agreed.registered   ? NF_BLK_GRANTS_STATIC
	       : b->agreed.persistent ? NF_BLK_GRANTS_PERSISTENT
				      : NF_BLK_GRANTS_COPY;
}

static const char *grants_name(enum nf_blk_grants g)
{
	return g == NF_BLK_GRANTS_STATIC       ? "registered"
	       : g == NF_BLK_GRANTS_PERSISTENT ? "persistent"
					       : "copied";
}

static int back_connect(struct nf_blkback *b)
{
	b->e.generation++;
	nf__blk_back_record(b);
	int rc = nf__blk_back_queues_start(b);
	if (rc)
		return nf__blk_end_fail(&b->e, rc, "starting queues: %s", strerror(-rc));
	rc = nf__blk_offer_write(&b->e, &b->offered); /* the disk as it is now */
	if (rc == 0)
		rc = nf__blk_end_switch(&b->e, NF_XENBUS_CONNECTED);
	if (rc)
		return nf__blk_end_fail(&b->e, rc, "connecting: %s", strerror(-rc));
	b->e.phase = NF_BLK_RUNNING;
	nf__blk_blocks(&b->e, (uint8_t)grants_of(b), 0);
	nf__blk_end_timer(&b->e, LOOK_MS);
	nf__blk_end_notice(&b->e, "connected: %llu sectors, %u queues of %u slots%s, %s grants%s%s",
			   (unsigned long long)b->agreed.disk.sectors, b->queues,
			   nf__blk_ring_count(b->agreed.abi, b->agreed.ring_pages),
			   b->agreed.abi == NF_BLK_ABI_X86_32 ? " (32-bit)" : "",
			   grants_name(grants_of(b)), b->agreed.registered_only ? " only" : "",
			   b->agreed.disk.is_readonly ? ", read-only" : "");
	return 0;
}

/* A relay may be inside the rings: nothing goes before it says so by shutdown. */
static bool is_kept(const struct nf_blkback *b)
{
	return b->is_held && !b->e.is_shutdown && b->queues > 0;
}

/* Drains, then lets go of everything, then says so. */
static int back_closing(struct nf_blkback *b)
{
	if (b->e.phase != NF_BLK_FAILED)
		b->e.phase = NF_BLK_CLOSING;
	if (!nf__blk_back_queues_drain(b))
		return 0;
	back_release_all(b);
	nf__blk_blocks(&b->e, NF_GRANTS_NONE, b->closing_error);
	return nf__blk_end_switch(&b->e, NF_XENBUS_CLOSING);
}

/* The front is done with this connection. */
static int back_ended(struct nf_blkback *b)
{
	b->closing_error = 0;
	if (!is_kept(b))
		return back_closing(b);
	b->e.phase = NF_BLK_CLOSING;
	return 0;
}

static int back_finish(struct nf_blkback *b)
{
	back_release_all(b);
	int rc = nf__blk_end_switch(&b->e, NF_XENBUS_CLOSED);
	b->e.phase = NF_BLK_CLOSED;
	b->closing_error = 0;
	nf__blk_blocks(&b->e, NF_GRANTS_NONE, 0);
	return rc;
}

static int back_failed(struct nf_blkback *b, int error)
{
	b->e.phase = NF_BLK_FAILED;
	b->closing_error = error;
	nf__blk_blocks(&b->e, NF_GRANTS_NONE, error);
	if (!is_kept(b))
		(void)back_closing(b); /* error is what matters */
	return error;
}

static int queues_check(struct nf_blkback *b)
{
	for (uint32_t i = 0; i < b->queues; i++) {
		struct nf_blk_back_queue *q = b->queue[i];
		if (!q || !nf_load_relaxed((const uint32_t *)&q->item.error))
			continue;
		nf_poller_detach(&q->item);
		int error = q->item.error;
		/* pages of a guest that died read as zeroes: that is no lie of its */
		if (nf__blk_end_hung_up(&b->e, &b->rings[i]->chan))
			return nf__blk_end_fail(&b->e, -ENODEV,
						"the front hung up without closing");
		if (error == -EPROTO)
			return nf__blk_end_fault(&b->e, i, &q->fault);
		return nf__blk_end_fail(&b->e, error, "queue %u: %s", i,
					error == -ENODEV ? "the disk is gone" : strerror(-error));
	}
	return 0;
}

static bool is_gone(enum nf_xenbus_state s)
{
	return s == NF_XENBUS_CLOSED || s == NF_XENBUS_UNKNOWN;
}

/* Nothing connected, nothing offered: leave an earlier life behind, then offer. */
static int idle_step(struct nf_blkback *b)
{
	struct nf_blk_end *e = &b->e;
	enum nf_xenbus_state now = e->dev.state, other = e->dev.other_state;
	bool is_stale = other == NF_XENBUS_CONNECTED || other == NF_XENBUS_CLOSING ||
			(other == NF_XENBUS_INITIALISED && now != NF_XENBUS_INITIALISING);
	if (e->is_shutdown)
		return 0;
	if (e->is_fresh && now == NF_XENBUS_CONNECTED && other == NF_XENBUS_CONNECTED) {
		if (nf__blk_back_attach(b))
			return 0;
		back_release_all(b);
	}
	if (is_stale || (now > NF_XENBUS_INITIALISING && now < NF_XENBUS_CLOSED)) {
		/* rings of another connection: their front must let go of them first */
		int rc = nf__blk_end_switch(e, NF_XENBUS_CLOSING);
		if (rc || is_stale)
			return rc;
		rc = nf__blk_end_switch(e, NF_XENBUS_CLOSED);
		if (rc)
			return rc;
	}
	if (!e->is_fresh && other != NF_XENBUS_INITIALISING)
		return 0; /* closed in order: the front says when it comes back */
	e->is_fresh = false;
	b->is_met = other == NF_XENBUS_INITIALISING;
	e->phase = NF_BLK_OFFERING;
	return 0;
}

/* The toolstack's script has put the disk where it belongs. */
static bool is_plugged(struct nf_blkback *b)
{
	char path[NF_STORE_PATH_MAX], text[16];
	if (!b->e.cfg.await_hotplug)
		return true;
	return nf_device_key(&b->e.dev, false, "hotplug-status", path) == 0 &&
	       nf_store_read(b->e.cfg.store, 0, path, text, sizeof(text)) > 0 &&
	       strcmp(text, "connected") == 0;
}

static int connected_step(struct nf_blkback *b)
{
	enum nf_xenbus_state other = b->e.dev.other_state;
	bool is_up = other == NF_XENBUS_CONNECTED || other == NF_XENBUS_INITIALISED;
	switch (b->e.phase) {
	case NF_BLK_OFFERING:
		return b->is_held && !b->is_offered ? 0 : back_offer(b);
	case NF_BLK_WAITING:
		if (is_up)
			return is_plugged(b) ? back_map(b) : 0;
		if (other == NF_XENBUS_INITIALISING)
			b->is_met = true;
		else if (b->is_met && is_gone(other))
			return back_finish(b); /* it came and went again */
		return other == NF_XENBUS_CLOSING ? back_ended(b) : 0;
	case NF_BLK_MAPPED:
		if (!is_up)
			return back_ended(b);
		return b->is_held && !b->is_accepted ? 0 : back_connect(b);
	default:
		if (!is_up)
			return back_ended(b);
		nf__blk_back_keep(b);
		return 0;
	}
}

/* In 5, or on the way there: the front's 6, or its start anew, ends it. */
static int closing_step(struct nf_blkback *b)
{
	enum nf_xenbus_state other = b->e.dev.other_state;
	if (is_kept(b))
		return 0;
	if (b->queues > 0) { /* still draining */
		int rc = back_closing(b);
		if (rc || b->queues > 0)
			return rc;
	}
	/* a failure lasts until the front was Closed, or it would fail again as fast as it can */
	if (!is_gone(other) && (b->e.phase == NF_BLK_FAILED || other != NF_XENBUS_INITIALISING))
		return 0;
	return back_finish(b);
}

static int phase_step(struct nf_blkback *b)
{
	switch (b->e.phase) {
	case NF_BLK_CLOSED:
		return idle_step(b);
	case NF_BLK_CLOSING:
	case NF_BLK_FAILED:
		return closing_step(b);
	case NF_BLK_WAITING:
		if (b->e.dev.state != NF_XENBUS_INITWAIT)
			return idle_step(b);
		return connected_step(b);
	default:
		return connected_step(b);
	}
}

int nf_blkback_step(struct nf_blkback *b)
{
	struct nf_blk_end *e = &b->e;
	bool is_late = nf__blk_end_events(e);
	int rc = nf_device_look(&e->dev);
	if (rc < 0) { /* without a store nothing changes, and what runs goes on */
		if (e->phase != NF_BLK_RUNNING)
			return rc;
		nf__blk_back_keep(b);
		rc = 0;
	} else {
		rc = 0;
		for (int before = -1; rc == 0 && before != e->phase;) {
			before = e->phase;
			rc = phase_step(b);
		}
	}
	if (rc == 0 && e->phase == NF_BLK_RUNNING)
		rc = queues_check(b);
	if (rc == 0 && e->phase == NF_BLK_RUNNING)
		nf__blk_back_disk_look(b);
	if (rc == 0 && e->phase == NF_BLK_RUNNING && is_late)
		nf__blk_end_timer(e, LOOK_MS);
	return rc < 0 ? back_failed(b, rc) : e->phase;
}

int nf_blkback_shutdown(struct nf_blkback *b)
{
	b->e.is_shutdown = true;
	if (b->e.phase == NF_BLK_CLOSED)
		return 0;
	return back_closing(b);
}
