/* SPDX-License-Identifier: MIT */
/*
 * translate and direct for disks: L1's outer pages are donated to L2, both ends are held until they
 * fit together, and a connection that one side ends is ended on both, outer first: L0 has finished
 * with L2's pages before L2 hears of it. The same order as net.c, see docs/relay.md.
 */
#include "relay/blk.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKOFF_MS 100u
#define BACKOFF_MAX_MS 12800u
#define TAKEN_MS 10u
#define CLOSE_MS 30000u /* an outer back with writes to finish takes its time */

static int link_fail(struct nf_blk_relay *r, int error, const char *why)
{
	r->error = error;
	nf__blk_relay_notice(r, "%s%s%s", why, error == -EPROTO || error == -EACCES ? "" : ": ",
			     error == -EPROTO || error == -EACCES ? "" : strerror(-error));
	return error;
}

static bool is_direct(const struct nf_blk_relay *r)
{
	return r->cfg.mode == NF_RELAY_DIRECT;
}

static void ends_close(struct nf_blk_relay *r)
{
	nf_blkfront_close(r->outer); /* ends every grant, or they are quarantined */
	r->outer = NULL;
	nf_blkback_close(r->inner);
	r->inner = NULL;
}

static int ends_open(struct nf_blk_relay *r)
{
	int rc = nf_blkfront_open(&r->cfg.outer, &r->outer);
	if (rc == 0)
		rc = nf_blkback_open(&r->cfg.inner, &r->inner);
	if (rc == 0)
		rc = nf__blk_relay_wait(r, nf_blkfront_ctrl_fd(r->outer), true);
	if (rc == 0)
		rc = nf__blk_relay_wait(r, nf_blkback_ctrl_fd(r->inner), true);
	if (rc < 0) {
		ends_close(r);
		return rc;
	}
	nf_blkfront_hold(r->outer, r->inner_owner, is_direct(r));
	nf_blkback_hold(r->inner, false, !is_direct(r));
	r->state = NF__BLK_PREPARE;
	r->was_prepared = false;
	r->queues = 0;
	r->error = 0;
	__atomic_store_n(&r->stopped, 0, __ATOMIC_RELAXED);
	return 0;
}

int nf__blk_link_open(struct nf_blk_relay *r)
{
	for (uint32_t i = 0; i < NF_BLK_QUEUES_MAX; i++) {
		struct nf_counters *b =
			r->cfg.inner.counters && i < (r->cfg.inner.queues ? r->cfg.inner.queues : 1)
				? nf_counters_take(r->cfg.inner.counters, 1)
				: NULL;
		r->blocks[i] = b ? b : &r->spare;
		nf_block_begin(r->blocks[i]);
		r->blocks[i]->h.kind = NF_BLOCK_BLKRELAY;
		r->blocks[i]->h.mode = is_direct(r) ? NF_MODE_DIRECT : NF_MODE_TRANSLATE;
		r->blocks[i]->h.peer = r->inner_owner;
		r->blocks[i]->h.devid = r->inner_devid;
		r->blocks[i]->h.queue = (uint16_t)i;
		nf_block_end(r->blocks[i]);
	}
	return ends_open(r);
}

static void queues_stop(struct nf_blk_relay *r)
{
	for (uint32_t i = 0; i < NF_BLK_QUEUES_MAX; i++) {
		if (!r->queue[i])
			continue;
		nf_poller_detach(&r->queue[i]->item);
		free(r->queue[i]);
		r->queue[i] = NULL;
	}
}

void nf__blk_link_close(struct nf_blk_relay *r)
{
	queues_stop(r);
	ends_close(r);
	for (uint32_t i = 0; i < NF_BLK_QUEUES_MAX; i++)
		if (r->blocks[i] && r->blocks[i] != &r->spare)
			nf_counters_drop(r->cfg.inner.counters, r->blocks[i], 1);
}

/* ---- joining ---- */

static int donate(struct nf_blk_relay *r, const struct nf_arena *arena)
{
	struct nf_layer *l = r->cfg.inner.layer;
	struct nf_arena gift = *arena;
	if (arena->pages == 0)
		return 0;
	gift.key.device = r->inner_devid;
	return l->ops->donate(l, r->inner_owner, &gift, is_direct(r));
}

static int donate_queue(struct nf_blk_relay *r, uint32_t i)
{
	struct nf_layer *l = r->cfg.inner.layer;
	struct nf_blkfront_rings *rings = nf_blkfront_rings(r->outer, i);
	int rc = donate(r, &rings->pool);
	if (rc < 0 || !is_direct(r))
		return rc;
	rc = donate(r, &rings->ring_arena);
	if (rc == 0)
		rc = donate(r, &rings->lists);
	if (rc == 0)
		rc = l->ops->donate_chan(l, r->inner_owner, r->inner_devid, (uint16_t)i,
					 NF_PURPOSE_BLK_CHAN, &rings->chan);
	return rc;
}

static int link_offer(struct nf_blk_relay *r)
{
	struct nf_blk_features limit = *nf_blkfront_agreed(r->outer);
	if (is_direct(r) && !r->cfg.trust_inner && !limit.registered_only)
		return link_fail(
			r, -EACCES,
			"direct is refused: the outer back offers no "
			"feature-nestfront-registered-only, so this guest could name every "
			"page its host ever granted; use translate, or set "
			"nestfront/trust-inner");
	limit.queues = nf_blkfront_queues(r->outer);
	for (uint32_t i = 0; i < limit.queues; i++) {
		int rc = donate_queue(r, i);
		if (rc == -EEXIST)
			return -EAGAIN; /* L2 ends them when it sees our Closed: a moment */
		if (rc < 0)
			return link_fail(r, rc, "pages cannot be donated");
	}
	/* what the disk is comes later, when L0 has said it; this much must not be nothing */
	limit.disk = (struct nf_blk_disk){.sectors = 8,
					  .sector_bytes = NF_BLK_SECTOR_BYTES,
					  .physical_bytes = NF_BLK_SECTOR_BYTES};
	int rc = nf_blkback_offer(r->inner, &limit);
	return rc < 0 ? link_fail(r, rc, "cannot offer") : 0;
}

static int link_release(struct nf_blk_relay *r)
{
	const struct nf_blk_features *in = nf_blkback_agreed(r->inner);
	struct nf_blk_features limit = *in;
	uint32_t queues = nf_blkback_queues(r->inner);
	if (!in->registered)
		return link_fail(r, -ENOSYS,
				 "this front registers no pages, so nothing says which page a gref "
				 "of its is; use copy");
	for (uint32_t i = 0; is_direct(r) && i < queues; i++) {
		const struct nf_blkback_rings *a = nf_blkback_rings(r->inner, i);
		const struct nf_blkfront_rings *b = nf_blkfront_rings(r->outer, i);
		if (in->ring_pages != nf_blkfront_agreed(r->outer)->ring_pages ||
		    memcmp(a->ring_grefs, b->ring_grefs, in->ring_pages * 4) != 0)
			return link_fail(r, -EPROTO,
					 "the front's rings are not those it was given");
	}
	limit.queues = queues;
	int rc = nf_blkfront_release(r->outer, &limit);
	return rc < 0 ? link_fail(r, rc, "the outer end cannot connect") : 0;
}

/* Poller. */
static void queue_stopped(void *ctx, int error)
{
	struct nf_blk_relay *r = ctx;
	__atomic_store_n(&r->stopped, error, __ATOMIC_RELEASE);
	nf__blk_tell(r->event_fd);
}

/* L2's disk: the window, in a size it may have. */
static int window_of(struct nf_blk_relay *r, struct nf_blk_disk *d)
{
	uint64_t unit = d->sector_bytes / NF_BLK_SECTOR_BYTES;
	uint64_t start = r->cfg.window_start, sectors = r->cfg.window_sectors;
	if (start >= d->sectors || sectors > d->sectors - start || (start | sectors) & (unit - 1))
		return link_fail(r, -ERANGE, "the window is not in the outer disk");
	d->sectors = sectors ? sectors : d->sectors - start;
	return 0;
}

static int queue_start(struct nf_blk_relay *r, uint32_t i, const struct nf_blk_disk *disk)
{
	struct nf__blk_queue *q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->in = nf_blkback_rings(r->inner, i);
	q->out = nf_blkfront_rings(r->outer, i);
	q->inner = r->cfg.inner.layer;
	q->outer = r->cfg.outer.layer;
	q->inner_owner = r->inner_owner;
	q->in_features = *nf_blkback_agreed(r->inner);
	q->out_features = *nf_blkfront_agreed(r->outer);
	if (q->in_features.indirect > q->out_features.indirect)
		q->in_features.indirect = q->out_features.indirect;
	q->start = r->cfg.window_start;
	q->sectors = disk->sectors;
	q->counters = r->blocks[i];
	q->stopped = queue_stopped;
	q->ctx = r;
	r->queue[i] = q;
	int rc = nf__blk_queue_init(q);
	if (rc == 0 && r->cfg.inner.poller)
		rc = nf_poller_attach(r->cfg.inner.poller, &q->item);
	return rc;
}

static int link_start(struct nf_blk_relay *r)
{
	struct nf_blk_features f = *nf_blkfront_agreed(r->outer);
	int rc = window_of(r, &f.disk);
	if (rc == 0)
		rc = nf_blkback_accept(r->inner, &f.disk);
	r->queues = nf_blkback_queues(r->inner);
	for (uint32_t i = 0; rc == 0 && i < r->queues; i++) {
		NF_COUNT(r->blocks[i], connects, 1);
		if (!is_direct(r))
			rc = queue_start(r, i, &f.disk);
	}
	if (rc)
		return r->error ? rc : link_fail(r, rc, "queues do not start");
	r->backoff_ms = 0;
	nf__blk_relay_notice(r, "running, %u queues, %llu sectors%s", r->queues,
			     (unsigned long long)f.disk.sectors,
			     is_direct(r) && r->cfg.trust_inner ? ", unconfined" : "");
	return 0;
}

/* ---- control flow ---- */

static void link_end(struct nf_blk_relay *r)
{
	queues_stop(r);
	r->state = NF__BLK_CLOSING_OUTER;
	r->is_late = false;
	nf__blk_relay_timer(r, CLOSE_MS); /* a back that never answers: what it maps is quarantined
					   */
	(void)nf_blkfront_shutdown(r->outer);
}

static bool is_over(int phase)
{
	return phase < 0 || phase == NF_BLK_CLOSING || phase == NF_BLK_CLOSED ||
	       phase == NF_BLK_FAILED;
}

static void ended(struct nf_blk_relay *r, int phase)
{
	if (phase < 0 || phase == NF_BLK_FAILED)
		r->error = phase < 0 ? phase : -EPROTO;
	link_end(r);
}

static void on_prepare(struct nf_blk_relay *r, int outer, int inner)
{
	if (outer == NF_BLK_PREPARED)
		r->was_prepared = true;
	else if (r->was_prepared || outer < 0 || outer == NF_BLK_FAILED)
		ended(r, outer);
	if (r->state != NF__BLK_PREPARE || outer != NF_BLK_PREPARED || inner != NF_BLK_OFFERING)
		return;
	int rc = link_offer(r);
	if (rc == -EAGAIN)
		nf__blk_relay_timer(r, TAKEN_MS);
	else if (rc < 0)
		link_end(r);
	else
		r->state = NF__BLK_OFFERED;
}

static void on_offered(struct nf_blk_relay *r, int outer, int inner)
{
	if (outer != NF_BLK_PREPARED)
		ended(r, outer);
	else if (is_over(inner))
		ended(r, inner);
	else if (inner == NF_BLK_MAPPED && link_release(r) < 0)
		link_end(r);
	else if (inner == NF_BLK_MAPPED)
		r->state = NF__BLK_RELEASED;
}

static void on_released(struct nf_blk_relay *r, int outer, int inner)
{
	if (is_over(outer))
		ended(r, outer);
	else if (inner != NF_BLK_MAPPED)
		ended(r, inner);
	else if (outer == NF_BLK_RUNNING && link_start(r) < 0)
		link_end(r);
	else if (outer == NF_BLK_RUNNING)
		r->state = NF__BLK_RUNNING;
}

static void fault_tell(struct nf_blk_relay *r, int error)
{
	for (uint32_t i = 0; i < r->queues; i++) {
		const struct nf__blk_queue *q = r->queue[i];
		if (!q || error != -EPROTO || !q->fault.field)
			continue;
		NF_COUNT(r->blocks[i], protocol_errors, 1);
		nf__blk_relay_notice(r,
				     "protocol error of the %s domain, queue %u: %s is %lld, "
				     "allowed %lld to %lld",
				     q->is_inner_fault ? "inner" : "outer", i, q->fault.field,
				     (long long)q->fault.value, (long long)q->fault.low,
				     (long long)q->fault.high);
	}
}

static void on_running(struct nf_blk_relay *r, int outer, int inner)
{
	int error = __atomic_load_n(&r->stopped, __ATOMIC_ACQUIRE);
	if (error) {
		fault_tell(r, error);
		r->error = error;
		link_end(r);
	} else if (outer != NF_BLK_RUNNING) {
		ended(r, outer);
	} else if (inner != NF_BLK_RUNNING && inner != NF_BLK_MAPPED) {
		ended(r, inner);
	}
}

static void on_closing(struct nf_blk_relay *r, int outer, int inner)
{
	if (r->state == NF__BLK_CLOSING_OUTER) {
		bool is_done = outer < 0 || outer == NF_BLK_CLOSED;
		if (!is_done && !r->is_late)
			return;
		nf_blkfront_close(r->outer);
		r->outer = NULL;
		r->state = NF__BLK_CLOSING_INNER;
		r->is_late = false;
		nf__blk_relay_timer(r, CLOSE_MS);
		(void)nf_blkback_shutdown(r->inner);
		return;
	}
	/* L2 may take as long as it likes, but not when the whole relay goes */
	if (inner >= 0 && inner != NF_BLK_CLOSED && !(r->is_late && r->is_shutdown))
		return;
	ends_close(r);
	r->state = NF__BLK_CLOSED;
	if (r->error == 0)
		r->backoff_ms = 0;
	else if (r->backoff_ms == 0)
		r->backoff_ms = BACKOFF_MS;
	else if (r->backoff_ms < BACKOFF_MAX_MS)
		r->backoff_ms *= 2;
	nf__blk_relay_timer(r, r->backoff_ms);
	r->is_late = false;
}

static void advance(struct nf_blk_relay *r)
{
	int outer = r->outer ? nf_blkfront_step(r->outer) : NF_BLK_CLOSED;
	int inner = r->inner ? nf_blkback_step(r->inner) : NF_BLK_CLOSED;
	switch (r->state) {
	case NF__BLK_PREPARE:
		on_prepare(r, outer, inner);
		break;
	case NF__BLK_OFFERED:
		on_offered(r, outer, inner);
		break;
	case NF__BLK_RELEASED:
		on_released(r, outer, inner);
		break;
	case NF__BLK_RUNNING:
		on_running(r, outer, inner);
		break;
	case NF__BLK_CLOSING_OUTER:
	case NF__BLK_CLOSING_INNER:
		on_closing(r, outer, inner);
		break;
	case NF__BLK_CLOSED:
		break;
	}
}

static int phase_of(const struct nf_blk_relay *r)
{
	static const int phases[] = {NF_BLK_WAITING, NF_BLK_OFFERING, NF_BLK_MAPPED, NF_BLK_RUNNING,
				     NF_BLK_CLOSING, NF_BLK_CLOSING,  NF_BLK_CLOSED};
	return phases[r->state];
}

static void settle(struct nf_blk_relay *r)
{
	enum nf__blk_state before;
	do {
		before = r->state;
		advance(r);
	} while (r->state != before && r->state != NF__BLK_CLOSED);
}

int nf__blk_link_step(struct nf_blk_relay *r)
{
	int rc = 0;
	if (r->is_shutdown && r->state < NF__BLK_CLOSING_OUTER)
		link_end(r);
	settle(r);
	if (r->state == NF__BLK_CLOSED && !r->is_shutdown && (r->is_late || r->backoff_ms == 0)) {
		rc = ends_open(r);
		if (rc == 0)
			settle(r);
	}
	return rc < 0 ? rc : phase_of(r);
}
