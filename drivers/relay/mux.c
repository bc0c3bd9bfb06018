/* SPDX-License-Identifier: MIT */
/* The hub of mux: L1's one outer front, opened again whenever it ends, and the core between. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "relay/mux_link.h"

void nf__hub_pause(struct nf_mux *h)
{
	if (h->core)
		nf_poller_detach(&h->core->item);
}

int nf__hub_resume(struct nf_mux *h)
{
	if (!h->core || !h->cfg.poller || h->core->item.poller || h->core->item.error)
		return 0;
	return nf_poller_attach(h->cfg.poller, &h->core->item);
}

/* Poller's thread. */
static void core_stopped(void *ctx)
{
	struct nf_mux *h = ctx;
	nf_store_release(&h->stopped, 1); /* the fault before the word */
	nf__net_tell(h->event_fd);
}

static int outer_open(struct nf_mux *h)
{
	int rc = nf_netfront_open(&h->cfg, &h->outer);
	if (rc < 0)
		return rc;
	rc = nf__mux_watch(h->epoll_fd, nf_netfront_ctrl_fd(h->outer), true);
	if (rc < 0)
		return rc;
	nf_netfront_hold(h->outer, NF_DOMID_SELF, false);
	h->state = NF__HUB_OPENING;
	h->was_prepared = false;
	h->generation++;
	h->stopped = 0;
	return 0;
}

static void outer_close(struct nf_mux *h)
{
	if (h->outer)
		nf__mux_watch(h->epoll_fd, nf_netfront_ctrl_fd(h->outer), false);
	nf_netfront_close(h->outer);
	h->outer = NULL;
}

static void core_end(struct nf_mux *h)
{
	if (!h->core)
		return;
	nf__hub_pause(h);
	for (uint32_t i = 0; i < NF_MUX_MEMBERS; i++)
		if (h->members[i])
			nf__member_unplug(h->members[i]);
	nf__mux_core_fini(h->core);
	free(h->core);
	h->core = NULL;
}

/* Outer first: L0 lets go of everybody's pages before a guest hears of it. */
static void hub_end(struct nf_mux *h, int error, const char *why)
{
	nf__hub_notice(h, "%s", why);
	h->error = error;
	core_end(h);
	h->state = NF__HUB_CLOSING;
	h->is_late = false;
	nf__mux_timer(h->timer_fd, NF_LAYER_TIMEOUT_MS);
	int rc = nf_netfront_shutdown(h->outer);
	if (rc < 0)
		nf__hub_notice(h, "the outer end does not close in order: errno %d", -rc);
}

static int core_start(struct nf_mux *h)
{
	const struct nf_net_features *to_l0 = nf_netfront_offered(h->outer);
	struct nf__mux_core *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->out = nf_netfront_rings(h->outer, 0);
	c->layer = h->cfg.layer;
	c->counters = h->block;
	c->tx = (struct nf__direction){.sg = to_l0->sg, .gso4 = to_l0->gso4, .gso6 = to_l0->gso6};
	c->stopped = core_stopped;
	c->ctx = h;
	c->timer_fd = -1;
	int rc = nf__mux_core_init(c);
	if (rc < 0) {
		nf__mux_core_fini(c);
		free(c);
		return rc;
	}
	h->core = c;
	rc = nf__hub_resume(h);
	if (rc < 0) {
		core_end(h);
		return rc;
	}
	h->state = NF__HUB_RUNNING;
	h->error = 0;
	h->backoff_ms = 0;
	NF_COUNT(h->block, connects, 1);
	nf__hub_notice(h, "running, generation %u", h->generation);
	return 0;
}

static void on_opening(struct nf_mux *h, int phase)
{
	if (phase == NF_NET_PREPARED && !h->was_prepared) {
		struct nf_net_features limit = *nf_netfront_offered(h->outer);
		limit.queues = 1;
		limit.ctrl = 1;
		limit.split = 1;
		limit.static_only = 0;
		h->was_prepared = true;
		int rc = nf_netfront_release(h->outer, &limit);
		if (rc < 0)
			hub_end(h, rc, "the outer end cannot connect");
	} else if (phase == NF_NET_RUNNING) {
		int rc = core_start(h);
		if (rc < 0)
			hub_end(h, rc, "its queue cannot start");
	} else if (phase < 0 || phase == NF_NET_FAILED ||
		   (h->was_prepared && (phase == NF_NET_CLOSING || phase == NF_NET_CLOSED))) {
		hub_end(h, phase < 0 ? phase : -ENODEV, "the outer end did not connect");
	}
}

static void on_running(struct nf_mux *h, int phase)
{
	if (nf_load_acquire(&h->stopped)) {
		const struct nf__fault *f = &h->core->fault;
		char why[160];
		if (f->field)
			snprintf(why, sizeof(why),
				 "the outer back broke the protocol: %s %lld, allowed %lld to %lld",
				 f->field, (long long)f->value, (long long)f->min,
				 (long long)f->max);
		else
			snprintf(why, sizeof(why), "the outer back hung up");
		hub_end(h, f->field ? -EPROTO : -ENODEV, why);
	} else if (phase != NF_NET_RUNNING) {
		hub_end(h, phase < 0 ? phase : 0, "the outer end closes");
	}
}

static void on_closing(struct nf_mux *h, int phase)
{
	bool is_done = phase < 0 || phase == NF_NET_CLOSED || phase == NF_NET_FAILED;
	if (!is_done && !h->is_late)
		return;
	outer_close(h);
	h->state = NF__HUB_CLOSED;
	if (h->error == 0)
		h->backoff_ms = 0;
	else if (h->backoff_ms < NF__MUX_BACKOFF_MAX_MS)
		h->backoff_ms = h->backoff_ms ? h->backoff_ms * 2 : NF__MUX_BACKOFF_MS;
	nf__mux_timer(h->timer_fd, h->backoff_ms);
}

/* Whoever steps the hub is one of them; the others wait for what it came to. */
static void members_tell(struct nf_mux *h)
{
	if (h->state == h->told)
		return;
	h->told = h->state;
	for (uint32_t i = 0; i < NF_MUX_MEMBERS; i++)
		if (h->members[i])
			nf__net_tell(h->members[i]->event_fd);
}

void nf__hub_step(struct nf_mux *h)
{
	enum nf__hub_state before;
	nf__mux_drain(h->event_fd);
	h->is_late = nf__mux_drain(h->timer_fd);
	if (h->is_shutdown && h->outer && h->state < NF__HUB_CLOSING)
		hub_end(h, 0, "closes after its last guest");
	do {
		int phase = h->outer ? nf_netfront_step(h->outer) : NF_NET_CLOSED;
		before = h->state;
		if (h->state == NF__HUB_OPENING)
			on_opening(h, phase);
		else if (h->state == NF__HUB_RUNNING)
			on_running(h, phase);
		else if (h->state == NF__HUB_CLOSING)
			on_closing(h, phase);
	} while (h->state != before && h->state != NF__HUB_CLOSED);
	if (h->state == NF__HUB_CLOSED && !h->is_shutdown && (h->is_late || h->backoff_ms == 0)) {
		int rc = outer_open(h);
		if (rc < 0) {
			outer_close(h);
			h->error = rc;
			h->backoff_ms = NF__MUX_BACKOFF_MAX_MS;
			nf__mux_timer(h->timer_fd, h->backoff_ms);
		}
	}
	members_tell(h);
	nf__hub_block(h);
}

int nf_mux_open(const struct nf_net_config *cfg, struct nf_mux **out)
{
	struct nf_mux *h = calloc(1, sizeof(*h));
	uint16_t unused;
	if (!h)
		return -ENOMEM;
	h->cfg = *cfg;
	h->cfg.port = NULL;
	h->cfg.queues = 1;
	h->cfg.static_only = false;
	h->epoll_fd = h->event_fd = h->timer_fd = -1;
	h->block = cfg->counters ? nf_counters_take(cfg->counters, 1) : NULL;
	if (!h->block)
		h->block = &h->spare;
	int rc = nf__relay_keep(h->path, sizeof(h->path), &h->cfg.path);
	if (rc == 0)
		rc = nf__relay_keep(h->token, sizeof(h->token), &h->cfg.token);
	if (rc == 0) {
		const char *last = strrchr(h->path, '/');
		rc = last && sscanf(last + 1, "%5hu", &unused) == 1 ? 0 : -EINVAL;
		h->devid = rc == 0 ? unused : 0;
	}
	if (rc == 0)
		rc = nf__mux_fds_open(&h->epoll_fd, &h->event_fd, &h->timer_fd);
	if (rc == 0)
		rc = outer_open(h);
	if (rc < 0) {
		nf_mux_close(h);
		return rc;
	}
	*out = h;
	return 0;
}

void nf_mux_close(struct nf_mux *h)
{
	if (!h)
		return;
	core_end(h);
	outer_close(h); /* first: L0 is out before a guest's end goes */
	for (uint32_t i = 0; i < NF_MUX_MEMBERS; i++)
		nf_mux_leave(h->members[i]);
	if (h->block != &h->spare)
		nf_counters_drop(h->cfg.counters, h->block, 1);
	int fds[] = {h->epoll_fd, h->event_fd, h->timer_fd};
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(h);
}

int nf_mux_fd(const struct nf_mux *h)
{
	return h->epoll_fd;
}

uint32_t nf_mux_members(const struct nf_mux *h)
{
	return h->member_count;
}
