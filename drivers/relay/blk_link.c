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
	nf_blkfront_hold(r->outer, r->inner_owner, nf__blk_is_direct(r));
	nf_blkback_hold(r->inner, false, !nf__blk_is_direct(r));
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
		r->blocks[i]->h.mode = nf__blk_is_direct(r) ? NF_MODE_DIRECT : NF_MODE_TRANSLATE;
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
	int rc = nf__blk_link_offer(r);
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
	else if (inner == NF_BLK_MAPPED && nf__blk_link_release(r) < 0)
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
	else if (outer == NF_BLK_RUNNING && nf__blk_link_start(r) < 0)
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
