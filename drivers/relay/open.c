/* SPDX-License-Identifier: MIT */
/* A relay's configuration, descriptors and ends: made, unmade. */
#include "relay/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "relay/config.h"

static int keep_config(struct nf_net_relay *r)
{
	struct nf_relay_config *c = &r->cfg;
	if (c->mode != NF_RELAY_COPY && c->mode != NF_RELAY_TRANSLATE && c->mode != NF_RELAY_DIRECT)
		return -EINVAL;
	int rc = nf__relay_keep(r->inner_path, sizeof(r->inner_path), &c->inner.path);
	if (rc == 0)
		rc = nf__relay_keep(r->outer_path, sizeof(r->outer_path), &c->outer.path);
	if (rc == 0)
		rc = nf__relay_keep(r->inner_token, sizeof(r->inner_token), &c->inner.token);
	if (rc == 0)
		rc = nf__relay_keep(r->outer_token, sizeof(r->outer_token), &c->outer.token);
	if (rc == 0)
		rc = nf__relay_path_ids(r->inner_path, &r->inner_owner, &r->inner_devid);
	/* the queues and their counters are ours */
	c->inner.port = c->outer.port = NULL;
	if (c->mode != NF_RELAY_COPY) {
		uint32_t need = c->mode == NF_RELAY_DIRECT ? NF_CAP_DONATE | NF_CAP_EQUAL_GREFS
							   : NF_CAP_DONATE;
		if ((c->inner.layer->caps & need) != need ||
		    !(c->outer.layer->caps & NF_CAP_BACKING))
			return -ENOSYS;
		c->inner.grants = NF_NET_GRANTS_STATIC; /* no table without the front's list */
	}
	/* confined, or refused; who trusts its guest asks for less */
	c->outer.static_only = c->mode == NF_RELAY_DIRECT && !c->trust_inner;
	return rc;
}

static int wait_fd(struct nf_net_relay *r, int fd, bool add)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
	if (fd < 0)
		return 0;
	return epoll_ctl(r->epoll_fd, add ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &ev) < 0 ? -errno
											: 0;
}

void nf__link_outer_close(struct nf_net_relay *r)
{
	if (r->outer)
		wait_fd(r, nf_netfront_ctrl_fd(r->outer), false);
	nf_netfront_close(r->outer); /* ends every grant, or they are quarantined */
	r->outer = NULL;
}

void nf__link_inner_close(struct nf_net_relay *r)
{
	if (r->inner)
		wait_fd(r, nf_netback_ctrl_fd(r->inner), false);
	nf_netback_close(r->inner);
	r->inner = NULL;
}

int nf__link_ends_open(struct nf_net_relay *r)
{
	bool copy = r->cfg.mode == NF_RELAY_COPY, direct = r->cfg.mode == NF_RELAY_DIRECT;
	int rc = nf_netfront_open(&r->cfg.outer, &r->outer);
	if (rc == 0)
		rc = nf_netback_open(&r->cfg.inner, &r->inner);
	if (rc == 0)
		rc = wait_fd(r, nf_netfront_ctrl_fd(r->outer), true);
	if (rc == 0)
		rc = wait_fd(r, nf_netback_ctrl_fd(r->inner), true);
	if (rc < 0) {
		nf__link_outer_close(r);
		nf__link_inner_close(r);
		return rc;
	}
	nf_netfront_hold(r->outer, copy ? NF_DOMID_SELF : r->inner_owner, direct);
	nf_netback_hold(r->inner, copy, !direct);
	r->state = NF__LINK_PREPARE;
	r->was_prepared = false;
	r->taken_tries = 0;
	r->queues = 0;
	r->generation++;
	__atomic_store_n(&r->stopped, 0, __ATOMIC_RELAXED);
	return 0;
}

static int fds_open(struct nf_net_relay *r)
{
	r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	r->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (r->epoll_fd < 0 || r->event_fd < 0 || r->timer_fd < 0)
		return -errno;
	int rc = wait_fd(r, r->event_fd, true);
	return rc < 0 ? rc : wait_fd(r, r->timer_fd, true);
}

void nf_net_relay_close(struct nf_net_relay *r)
{
	if (!r)
		return;
	nf__link_stop(r);
	nf__link_outer_close(r); /* first: L0 is out before L2's end goes */
	nf__link_inner_close(r);
	nf__link_blocks_close(r);
	int fds[] = {r->epoll_fd, r->event_fd, r->timer_fd};
	for (int i = 0; i < 3; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	free(r);
}

int nf_net_relay_open(const struct nf_relay_config *cfg, struct nf_net_relay **out)
{
	struct nf_net_relay *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->cfg = *cfg;
	r->epoll_fd = r->event_fd = r->timer_fd = -1;
	int rc = keep_config(r);
	if (rc == 0)
		rc = fds_open(r);
	if (rc == 0)
		rc = nf__link_blocks_open(r);
	if (rc == 0)
		rc = nf__link_ends_open(r);
	if (rc < 0) {
		nf_net_relay_close(r);
		return rc;
	}
	*out = r;
	return 0;
}
