/* SPDX-License-Identifier: MIT */
/* One guest of a mux: its inner back, the outer pages it sends from, its place in the core. */
#include "relay/mux_link.h"

#define TAKEN_MS 10u

/* Poller's thread. */
static void queue_stopped(void *ctx)
{
	struct nf_mux_member *m = ctx;
	nf__net_tell(m->event_fd);
}

int nf__member_open(struct nf_mux_member *m)
{
	int rc = nf_netback_open(&m->cfg, &m->inner);
	if (rc < 0)
		return rc;
	rc = nf__mux_watch(m->epoll_fd, nf_netback_ctrl_fd(m->inner), true);
	if (rc < 0)
		return rc;
	nf_netback_hold(m->inner, true, true);
	m->state = NF__MEMBER_WAIT;
	m->generation++;
	return 0;
}

void nf__member_close(struct nf_mux_member *m)
{
	if (m->inner)
		nf__mux_watch(m->epoll_fd, nf_netback_ctrl_fd(m->inner), false);
	nf_netback_close(m->inner);
	m->inner = NULL;
}

void nf__member_pages_end(struct nf_mux_member *m)
{
	struct nf_layer *l = m->hub->cfg.layer;
	if (m->arena.pages == 0)
		return;
	if (l->ops->end(l, &m->arena) == -EBUSY)
		nf__member_notice(m, "its pages are still mapped outside: in quarantine");
	memset(&m->arena, 0, sizeof(m->arena));
}

/* Fresh pages a connection, granted to L0 under L1's name, given to this guest and no other. */
static int pages_donate(struct nf_mux_member *m)
{
	struct nf_layer *outer = m->hub->cfg.layer, *inner = m->cfg.layer;
	struct nf_arena_key key = {.peer = nf_netfront_peer(m->hub->outer),
				   .inner_owner = m->owner,
				   .device = m->hub->devid,
				   .queue = (uint16_t)m->slot,
				   .purpose = NF_PURPOSE_TX_PAYLOAD,
				   .readonly = 1};
	int rc = outer->ops->alloc(outer, &key, NF_NET_PAGES, NF_ALLOC_NOMAP, m->grefs, &m->arena);
	if (rc < 0)
		return rc;
	struct nf_arena gift = m->arena;
	gift.key.device = m->devid;
	gift.key.queue = 0;
	rc = inner->ops->donate(inner, m->owner, &gift, false);
	if (rc < 0)
		nf__member_pages_end(m);
	return rc;
}

void nf__member_unplug(struct nf_mux_member *m)
{
	if (!m->queue.core)
		return;
	if (m->inner)
		nf_netback_attend(m->inner, 0, NULL);
	nf_poller_detach(&m->queue.item);
	nf__mux_remove(m->queue.core, &m->queue);
}

/* Out of service: what L0 has of it is waited for. */
static void member_end(struct nf_mux_member *m)
{
	if (m->queue.core) {
		nf__hub_pause(m->hub);
		nf_netback_attend(m->inner, 0, NULL);
		nf_poller_detach(&m->queue.item);
		if (nf__mux_error(&m->queue) == 0)
			nf_store_release((uint32_t *)&m->queue.error, (uint32_t)-ESHUTDOWN);
		nf__hub_resume(m->hub);
	}
	m->state = NF__MEMBER_DRAIN;
	m->drains = 0;
	m->is_late = false;
	nf__mux_timer(m->timer_fd, m->queue.core && nf_load_relaxed(&m->queue.inflight)
					   ? NF_LAYER_TIMEOUT_MS
					   : 1);
}

static bool is_over(int phase)
{
	return phase < 0 || phase == NF_NET_CLOSING || phase == NF_NET_CLOSED ||
	       phase == NF_NET_FAILED;
}

/* The hub's connection this member's pages belong to is not there any more. */
static bool hub_is_gone(const struct nf_mux_member *m)
{
	return m->hub->state != NF__HUB_RUNNING || m->hub->generation != m->hub_generation;
}

static void on_wait(struct nf_mux_member *m, int inner)
{
	if (inner < 0 || inner == NF_NET_FAILED) {
		m->error = inner < 0 ? inner : -EPROTO;
		member_end(m);
		return;
	}
	if (m->hub->state != NF__HUB_RUNNING || inner != NF_NET_OFFERING)
		return;
	int rc = pages_donate(m);
	if (rc < 0) {
		nf__member_fail(m, rc, "its pages cannot be donated: errno %d", -rc);
		member_end(m);
		return;
	}
	struct nf_net_features limit = *nf_netfront_offered(m->hub->outer);
	limit.queues = 1;
	limit.ctrl = limit.static_only = limit.split = 1;
	m->hub_generation = m->hub->generation;
	rc = nf_netback_offer(m->inner, &limit);
	if (rc < 0) {
		nf__member_fail(m, rc, "cannot offer: errno %d", -rc);
		member_end(m);
	} else {
		m->state = NF__MEMBER_OFFERED;
	}
}

/* One outer connection for all: frames come as it agreed, so each guest must take them. */
static int agreement(struct nf_mux_member *m)
{
	const struct nf_net_features *all = nf_netfront_agreed(m->hub->outer);
	const struct nf_net_features *own = nf_netback_agreed(m->inner);
	const struct {
		const char *name;
		bool is_missing;
	} needs[] = {{"feature-sg", all->sg && !own->sg},
		     {"feature-gso-tcpv4", all->gso4 && !own->gso4},
		     {"feature-gso-tcpv6", all->gso6 && !own->gso6},
		     {"IPv4 checksum offload", all->csum4 && !own->csum4},
		     {"feature-ipv6-csum-offload", all->csum6 && !own->csum6}};
	if (!nf_netback_rings(m->inner, 0)->grefs)
		return nf__member_fail(m, -ENOSYS,
				       "mux is refused: this front uses no control ring, so "
				       "nothing says which page a gref of its is; use copy");
	for (uint32_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (needs[i].is_missing)
			return nf__member_fail(m, -ENOSYS,
					       "mux is refused: this front takes no %s, which the "
					       "outer device delivers; give it a device of its own",
					       needs[i].name);
	return 0;
}

static int plug(struct nf_mux_member *m)
{
	struct nf_net_features own = *nf_netback_agreed(m->inner);
	m->queue = (struct nf__mux_queue){
		.layer = m->cfg.layer,
		.in = nf_netback_rings(m->inner, 0),
		.tx_grefs = m->grefs,
		.counters = m->block,
		.rx = {.sg = own.sg, .gso4 = own.gso4, .gso6 = own.gso6},
		.limits = &m->limits,
		.stopped = queue_stopped,
		.ctx = m,
	};
	memcpy(m->queue.mac, m->mac, sizeof(m->mac));
	nf__hub_pause(m->hub);
	int rc = nf__mux_add(m->hub->core, &m->queue);
	if (rc == 0 && m->cfg.poller)
		rc = nf_poller_attach(m->cfg.poller, &m->queue.item);
	if (rc == 0)
		nf_netback_attend(m->inner, 0, &m->hub->core->item);
	int back = nf__hub_resume(m->hub);
	return rc < 0 ? rc : back;
}

static void on_offered(struct nf_mux_member *m, int inner)
{
	if (hub_is_gone(m) || is_over(inner)) {
		member_end(m);
		return;
	}
	if (inner != NF_NET_MAPPED)
		return;
	int rc = agreement(m);
	if (rc == 0)
		rc = nf_netback_accept(m->inner);
	if (rc == 0)
		rc = plug(m);
	if (rc < 0) {
		if (m->error == 0)
			nf__member_fail(m, rc, "its queue cannot start: errno %d", -rc);
		member_end(m);
		return;
	}
	m->state = NF__MEMBER_RUNNING;
	m->backoff_ms = 0;
	NF_COUNT(m->block, connects, 1);
	nf__member_healed(m);
	nf__member_notice(m, "running, generation %u", m->generation);
}

static void on_running(struct nf_mux_member *m, int inner)
{
	int error = (int)nf_load_acquire((const uint32_t *)&m->queue.error);
	const struct nf__fault *f = &m->queue.fault;
	if (error == -EPROTO && f->field && f->min > f->max)
		nf__member_fail(m, error,
				"the inner front broke the protocol: %s %lld is not one of its",
				f->field, (long long)f->value);
	else if (error == -EPROTO && f->field)
		nf__member_fail(m, error,
				"the inner front broke the protocol: %s %lld, allowed %lld to %lld",
				f->field, (long long)f->value, (long long)f->min,
				(long long)f->max);
	else if (error)
		nf__member_notice(m, "its channel hung up");
	else if (hub_is_gone(m))
		nf__member_notice(m, "the outer device is gone");
	else if (inner != NF_NET_RUNNING && inner != NF_NET_MAPPED)
		nf__member_notice(m, "the inner end closes");
	else
		return;
	member_end(m);
}

static void on_drain(struct nf_mux_member *m)
{
	bool is_plugged = m->queue.core != NULL;
	if (is_plugged && !m->is_late) {
		nf__hub_pause(m->hub); /* its frames are the poller's to count */
		uint32_t left = nf_load_relaxed(&m->queue.inflight);
		nf__hub_resume(m->hub);
		if (left > 0) {
			nf__mux_timer(m->timer_fd, TAKEN_MS);
			if (++m->drains < NF_LAYER_TIMEOUT_MS / TAKEN_MS)
				return;
		}
	}
	if (is_plugged) {
		nf__hub_pause(m->hub);
		nf__mux_remove(m->queue.core, &m->queue);
		nf__hub_resume(m->hub);
	}
	/* while the outer end still closes, L0 is letting go of these pages too */
	if (m->hub->state == NF__HUB_CLOSING)
		return;
	nf__member_pages_end(m);
	m->state = NF__MEMBER_CLOSING;
	nf__mux_timer(m->timer_fd, NF_LAYER_TIMEOUT_MS);
	int rc = nf_netback_shutdown(m->inner);
	if (rc < 0)
		nf__member_notice(m, "the inner end does not close in order: errno %d", -rc);
}

static void on_closing(struct nf_mux_member *m, int inner)
{
	if (inner >= 0 && inner != NF_NET_CLOSED && !(m->is_late && m->is_shutdown))
		return;
	nf__member_close(m);
	m->state = NF__MEMBER_CLOSED;
	if (m->error == 0)
		m->backoff_ms = 0;
	else if (m->backoff_ms < NF__MUX_BACKOFF_MAX_MS)
		m->backoff_ms = m->backoff_ms ? m->backoff_ms * 2 : NF__MUX_BACKOFF_MS;
	nf__mux_timer(m->timer_fd, m->backoff_ms);
}

static void advance(struct nf_mux_member *m)
{
	int inner = m->inner ? nf_netback_step(m->inner) : NF_NET_CLOSED;
	if (m->state == NF__MEMBER_WAIT)
		on_wait(m, inner);
	else if (m->state == NF__MEMBER_OFFERED)
		on_offered(m, inner);
	else if (m->state == NF__MEMBER_RUNNING)
		on_running(m, inner);
	else if (m->state == NF__MEMBER_DRAIN)
		on_drain(m);
	else if (m->state == NF__MEMBER_CLOSING)
		on_closing(m, inner);
}

static void settle(struct nf_mux_member *m)
{
	enum nf__member_state before;
	do {
		before = m->state;
		advance(m);
	} while (m->state != before && m->state != NF__MEMBER_CLOSED);
}

static int phase_of(const struct nf_mux_member *m)
{
	static const int phases[] = {NF_NET_WAITING, NF_NET_OFFERING, NF_NET_RUNNING,
				     NF_NET_CLOSING, NF_NET_CLOSING,  NF_NET_CLOSED};
	return phases[m->state];
}

/* Nobody of the hub comes back: its outer end may close too, in order. */
static bool was_last(const struct nf_mux *h)
{
	for (uint32_t i = 0; i < NF_MUX_MEMBERS; i++) {
		const struct nf_mux_member *m = h->members[i];
		if (m && !(m->is_shutdown && m->state == NF__MEMBER_CLOSED))
			return false;
	}
	return true;
}

int nf_mux_step(struct nf_mux_member *m)
{
	int rc = 0;
	nf__hub_step(m->hub);
	nf__mux_drain(m->event_fd);
	m->is_late = nf__mux_drain(m->timer_fd) && m->state != NF__MEMBER_DRAIN;
	if (m->is_shutdown && m->state < NF__MEMBER_DRAIN)
		member_end(m);
	settle(m);
	if (m->state == NF__MEMBER_CLOSED && !m->is_shutdown &&
	    (m->is_late || m->backoff_ms == 0)) {
		rc = nf__member_open(m);
		if (rc == 0)
			settle(m);
		else
			nf__member_close(m);
	}
	nf__member_block(m);
	if (m->is_shutdown && was_last(m->hub)) {
		m->hub->is_shutdown = true;
		nf__hub_step(m->hub);
		if (m->hub->state != NF__HUB_CLOSED)
			return NF_NET_CLOSING;
	}
	return rc < 0 ? rc : phase_of(m);
}

int nf_mux_shutdown(struct nf_mux_member *m)
{
	m->is_shutdown = true;
	int rc = nf_mux_step(m);
	return rc < 0 ? rc : 0;
}
