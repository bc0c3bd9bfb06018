/* SPDX-License-Identifier: MIT */
/* The control flow of one relayed device: see docs/relay.md for the order and why. */
#include "relay/link.h"

#include <sys/timerfd.h>
#include <unistd.h>

#define BACKOFF_MS 100u
#define BACKOFF_MAX_MS 12800u

static void timer_set(struct nf_net_relay *r, uint32_t ms)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}};
	timerfd_settime(r->timer_fd, 0, &when, NULL);
}

static void deadline_set(struct nf_net_relay *r)
{
	r->is_late = false;
	timer_set(r, NF_LAYER_TIMEOUT_MS);
}

/* Detaches and starts the orderly end. */
static void link_end(struct nf_net_relay *r)
{
	nf__link_stop(r);
	r->state = NF__LINK_CLOSING_OUTER;
	deadline_set(r); /* a back that never answers: what it maps is quarantined */
	int rc = nf_netfront_shutdown(r->outer);
	if (rc < 0)
		nf__link_notice(r, "the outer end does not close in order: errno %d", -rc);
}

/* True when the phase (or errno) says that this end's connection is over. */
static bool is_over(int phase)
{
	return phase < 0 || phase == NF_NET_CLOSING || phase == NF_NET_CLOSED ||
	       phase == NF_NET_FAILED;
}

static void ended_by(struct nf_net_relay *r, bool is_outer, int phase)
{
	nf__link_ended(r, is_outer, phase);
	link_end(r);
}

static void on_prepare(struct nf_net_relay *r, int outer, int inner)
{
	if (outer == NF_NET_PREPARED)
		r->was_prepared = true;
	else if (r->was_prepared || outer < 0 || outer == NF_NET_FAILED)
		ended_by(r, true, outer);
	if (r->state != NF__LINK_PREPARE || outer != NF_NET_PREPARED || inner != NF_NET_OFFERING)
		return;
	int rc = nf__link_offer(r);
	if (rc == -EAGAIN)
		timer_set(r, NF__LINK_TAKEN_MS);
	else if (rc < 0)
		link_end(r);
	else
		r->state = NF__LINK_OFFERED;
}

static void on_offered(struct nf_net_relay *r, int outer, int inner)
{
	if (outer != NF_NET_PREPARED) {
		ended_by(r, true, outer);
	} else if (is_over(inner)) {
		ended_by(r, false, inner);
	} else if (inner == NF_NET_MAPPED) {
		if (nf__link_release(r) < 0)
			link_end(r);
		else
			r->state = NF__LINK_RELEASED;
	}
}

static void on_released(struct nf_net_relay *r, int outer, int inner)
{
	if (is_over(outer)) {
		ended_by(r, true, outer);
	} else if (inner != NF_NET_MAPPED) {
		ended_by(r, false, inner);
	} else if (outer == NF_NET_RUNNING) {
		if (nf__link_start(r) < 0) {
			link_end(r);
			return;
		}
		r->state = NF__LINK_RUNNING;
		nf__link_notice(r, "running, %u queues, generation %u%s", r->queues, r->generation,
				r->cfg.mode == NF_RELAY_DIRECT && !r->is_confined ? ", unconfined"
										  : "");
	}
}

static void on_running(struct nf_net_relay *r, int outer, int inner)
{
	int error = __atomic_load_n(&r->stopped, __ATOMIC_ACQUIRE);
	if (error != 0 && error != -ENODEV) {
		nf__link_fault(r, error);
		link_end(r);
	} else if (outer != NF_NET_RUNNING) {
		ended_by(r, true, outer);
	} else if (inner != NF_NET_RUNNING && inner != NF_NET_MAPPED) {
		ended_by(r, false, inner);
	} else if (error != 0) { /* hung up, and the store does not know yet */
		nf__link_fault(r, error);
		link_end(r);
	}
}

/* After a failure the next attempt waits, longer each time: no peer makes us flap. */
static void closed(struct nf_net_relay *r)
{
	if (r->error == 0)
		r->backoff_ms = 0;
	else if (r->backoff_ms == 0)
		r->backoff_ms = BACKOFF_MS;
	else if (r->backoff_ms < BACKOFF_MAX_MS)
		r->backoff_ms *= 2;
	timer_set(r, r->backoff_ms);
}

static void on_closing(struct nf_net_relay *r, int outer, int inner)
{
	if (r->state == NF__LINK_CLOSING_OUTER) {
		bool is_done = outer < 0 || outer == NF_NET_CLOSED || outer == NF_NET_FAILED;
		if (!is_done && !r->is_late)
			return;
		nf__link_outer_close(r);
		r->state = NF__LINK_CLOSING_INNER;
		deadline_set(r);
		int rc = nf_netback_shutdown(r->inner);
		if (rc < 0)
			nf__link_notice(r, "the inner end does not close in order: errno %d", -rc);
		return;
	}
	/* L2 may take as long as it likes, but not when the whole relay goes */
	if (inner >= 0 && inner != NF_NET_CLOSED && !(r->is_late && r->is_shutdown))
		return;
	nf__link_inner_close(r);
	r->state = NF__LINK_CLOSED;
	closed(r);
}

/* One move. */
static void advance(struct nf_net_relay *r)
{
	int outer = r->outer ? nf_netfront_step(r->outer) : NF_NET_CLOSED;
	int inner = r->inner ? nf_netback_step(r->inner) : NF_NET_CLOSED;
	switch (r->state) {
	case NF__LINK_PREPARE:
		on_prepare(r, outer, inner);
		break;
	case NF__LINK_OFFERED:
		on_offered(r, outer, inner);
		break;
	case NF__LINK_RELEASED:
		on_released(r, outer, inner);
		break;
	case NF__LINK_RUNNING:
		on_running(r, outer, inner);
		break;
	case NF__LINK_CLOSING_OUTER:
	case NF__LINK_CLOSING_INNER:
		on_closing(r, outer, inner);
		break;
	case NF__LINK_CLOSED:
		break;
	}
}

static int phase_of(const struct nf_net_relay *r)
{
	switch (r->state) {
	case NF__LINK_PREPARE:
		return NF_NET_WAITING;
	case NF__LINK_OFFERED:
		return NF_NET_OFFERING;
	case NF__LINK_RELEASED:
		return NF_NET_MAPPED;
	case NF__LINK_RUNNING:
		return NF_NET_RUNNING;
	case NF__LINK_CLOSING_OUTER:
	case NF__LINK_CLOSING_INNER:
		return NF_NET_CLOSING;
	case NF__LINK_CLOSED:
		break;
	}
	return NF_NET_CLOSED;
}

static bool drain(int fd)
{
	uint64_t count;
	return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

/* Moves until nothing moves any more. */
static void settle(struct nf_net_relay *r)
{
	enum nf__link_state before;
	do {
		before = r->state;
		advance(r);
	} while (r->state != before && r->state != NF__LINK_CLOSED);
}

int nf_net_relay_step(struct nf_net_relay *r)
{
	drain(r->event_fd);
	r->is_late = drain(r->timer_fd);
	int rc = 0;
	if (r->is_shutdown && r->state < NF__LINK_CLOSING_OUTER)
		link_end(r);
	settle(r);
	if (r->state == NF__LINK_CLOSED && !r->is_shutdown && (r->is_late || r->backoff_ms == 0)) {
		rc = nf__link_ends_open(r);
		if (rc == 0)
			settle(r);
	}
	nf__link_blocks(r);
	return rc < 0 ? rc : phase_of(r);
}

int nf_net_relay_shutdown(struct nf_net_relay *r)
{
	r->is_shutdown = true;
	int rc = nf_net_relay_step(r);
	return rc < 0 ? rc : 0;
}

const struct nf_netfront *nf_net_relay_outer(const struct nf_net_relay *r)
{
	return r->outer;
}

int nf_net_relay_fds(struct nf_net_relay *r, int *fds, int cap)
{
	if (cap < 1)
		return 0;
	fds[0] = r->epoll_fd;
	return 1;
}
