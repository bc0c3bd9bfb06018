/* SPDX-License-Identifier: MIT */
/* A relayed disk: its life, and the control flow of copy. translate and direct are blk_link.c. */
#include "relay/blk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "relay/config.h"

void nf__blk_relay_notice(struct nf_blk_relay *r, const char *fmt, ...)
{
	char text[320], line[340 + NF_STORE_PATH_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!r->cfg.inner.notice)
		return;
	snprintf(line, sizeof(line), "%s: relay: %s", r->inner_path, text);
	r->cfg.inner.notice(r->cfg.inner.ctx, line);
}

int nf__blk_relay_wait(struct nf_blk_relay *r, int fd, bool add)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
	if (epoll_ctl(r->epoll_fd, add ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &ev) == 0)
		return 0;
	return add && errno != EEXIST ? -errno : 0;
}

void nf__blk_relay_timer(struct nf_blk_relay *r, uint32_t ms)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}};
	timerfd_settime(r->timer_fd, 0, &when, NULL);
}

static bool drain(int fd)
{
	uint64_t count;
	return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

/* ---- copy ---- */

static int outer_find(struct nf_blk_relay *r)
{
	struct nf_blk_outer *o = r->cfg.outers ? *r->cfg.outers : NULL;
	for (; o; o = o->next) {
		/* the same path on another layer is another disk */
		if (o->layer == r->cfg.outer.layer && strcmp(o->path, r->outer_path) == 0)
			break;
	}
	if (!o) {
		o = calloc(1, sizeof(*o));
		if (!o)
			return -ENOMEM;
		o->layer = r->cfg.outer.layer;
		o->poller = r->cfg.outer.poller;
		strcpy(o->path, r->outer_path);
		int rc = nf_blkfront_open(&r->cfg.outer, &o->front);
		if (rc == 0)
			rc = nf__hub_open(o);
		if (rc) {
			nf_blkfront_close(o->front);
			nf__hub_close(o);
			free(o);
			return rc;
		}
		if (r->cfg.outers) {
			o->next = *r->cfg.outers;
			*r->cfg.outers = o;
		}
	}
	o->refs++;
	r->hub = o;
	return 0;
}

static void outer_drop(struct nf_blk_relay *r)
{
	struct nf_blk_outer *o = r->hub;
	r->hub = NULL;
	if (!o || --o->refs > 0)
		return;
	for (struct nf_blk_outer **at = r->cfg.outers; at && *at; at = &(*at)->next)
		if (*at == o) {
			*at = o->next;
			break;
		}
	nf_blkfront_close(o->front);
	nf__hub_close(o);
	free(o);
}

/* The outer disk is there: the inner end may say what it is. */
static int copy_inner_open(struct nf_blk_relay *r)
{
	int rc = nf__hub_disk(&r->window, r->hub, r->cfg.window_start, r->cfg.window_sectors);
	if (rc == -EAGAIN)
		return 0;
	if (rc) {
		if (!r->is_window_refused)
			nf__blk_relay_notice(
				r, "the window of %llu sectors from %llu is not in the outer disk",
				(unsigned long long)r->cfg.window_sectors,
				(unsigned long long)r->cfg.window_start);
		r->is_window_refused = true;
		return 0; /* it may grow */
	}
	const struct nf_blk_disk *d = &nf_blkfront_agreed(r->hub->front)->disk;
	struct nf_blk_config c = r->cfg.inner;
	c.disk = &r->window.disk;
	c.sector_bytes = d->sector_bytes;
	rc = nf_blkback_open(&c, &r->inner);
	if (rc == 0)
		rc = nf__blk_relay_wait(r, nf_blkback_ctrl_fd(r->inner), true);
	return rc;
}

static int copy_step(struct nf_blk_relay *r)
{
	int outer = nf_blkfront_step(r->hub->front);
	if (!r->inner && !r->is_shutdown) {
		int rc = copy_inner_open(r);
		if (rc < 0)
			return rc;
	}
	int inner = r->inner ? nf_blkback_step(r->inner) : NF_BLK_WAITING;
	if (!r->is_shutdown)
		return inner < 0 ? NF_BLK_FAILED : inner;
	if (r->inner && inner != NF_BLK_CLOSED && inner >= 0)
		return NF_BLK_CLOSING;
	if (r->hub->refs > 1 || outer < 0 || outer == NF_BLK_CLOSED)
		return NF_BLK_CLOSED;
	if (outer != NF_BLK_CLOSING && outer != NF_BLK_FAILED)
		(void)nf_blkfront_shutdown(r->hub->front);
	return outer == NF_BLK_FAILED ? NF_BLK_CLOSED : NF_BLK_CLOSING;
}

static void copy_close(struct nf_blk_relay *r)
{
	/* the last one: the outer end stops first, so that nothing of it touches L2's pages */
	if (r->hub && r->hub->refs == 1)
		(void)nf_blkfront_shutdown(r->hub->front);
	nf_blkback_close(r->inner);
	r->inner = NULL;
	outer_drop(r);
}

/* ---- all ---- */

static int keep_config(struct nf_blk_relay *r)
{
	struct nf_blk_relay_config *c = &r->cfg;
	int rc = nf__relay_keep(r->inner_path, sizeof(r->inner_path), &c->inner.path);
	if (rc == 0)
		rc = nf__relay_keep(r->outer_path, sizeof(r->outer_path), &c->outer.path);
	if (rc == 0)
		rc = nf__relay_keep(r->inner_token, sizeof(r->inner_token), &c->inner.token);
	if (rc == 0)
		rc = nf__relay_keep(r->outer_token, sizeof(r->outer_token), &c->outer.token);
	if (rc == 0)
		rc = nf__relay_path_ids(r->inner_path, &r->inner_owner, &r->inner_devid);
	if (rc)
		return rc;
	c->inner.port = c->outer.port = NULL;
	c->inner.disk = NULL;
	c->outer.users = NULL;
	if (c->mode == NF_RELAY_COPY) /* both ends share tables without a lock */
		return c->inner.poller == c->outer.poller ? 0 : -EINVAL;
	if (c->mode != NF_RELAY_TRANSLATE && c->mode != NF_RELAY_DIRECT)
		return -EINVAL;
	bool direct = c->mode == NF_RELAY_DIRECT;
	uint32_t need = direct ? NF_CAP_DONATE | NF_CAP_EQUAL_GREFS : NF_CAP_DONATE;
	if ((c->inner.layer->caps & need) != need || !(c->outer.layer->caps & NF_CAP_BACKING))
		return -ENOSYS;
	if (direct && (c->window_start || c->window_sectors))
		return -EINVAL;			/* nobody would hold L2 to it */
	c->inner.grants = NF_BLK_GRANTS_STATIC; /* no table without the front's list */
	c->outer.registered_only = direct && !c->trust_inner;
	return 0;
}

int nf_blk_relay_open(const struct nf_blk_relay_config *cfg, struct nf_blk_relay **out)
{
	struct nf_blk_relay *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->cfg = *cfg;
	r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	r->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int rc = r->epoll_fd < 0 || r->event_fd < 0 || r->timer_fd < 0 ? -errno : keep_config(r);
	if (rc == 0)
		rc = nf__blk_relay_wait(r, r->event_fd, true);
	if (rc == 0)
		rc = nf__blk_relay_wait(r, r->timer_fd, true);
	if (rc == 0)
		rc = cfg->mode == NF_RELAY_COPY ? outer_find(r) : nf__blk_link_open(r);
	if (rc == 0 && r->hub)
		rc = nf__blk_relay_wait(r, nf_blkfront_ctrl_fd(r->hub->front), true);
	if (rc < 0) {
		nf_blk_relay_close(r);
		return rc;
	}
	*out = r;
	return 0;
}

int nf_blk_relay_step(struct nf_blk_relay *r)
{
	drain(r->event_fd);
	r->is_late = drain(r->timer_fd);
	return r->cfg.mode == NF_RELAY_COPY ? copy_step(r) : nf__blk_link_step(r);
}

int nf_blk_relay_shutdown(struct nf_blk_relay *r)
{
	r->is_shutdown = true;
	if (r->cfg.mode == NF_RELAY_COPY && r->inner)
		(void)nf_blkback_shutdown(r->inner);
	int rc = nf_blk_relay_step(r);
	return rc < 0 ? rc : 0;
}

void nf_blk_relay_close(struct nf_blk_relay *r)
{
	if (!r)
		return;
	if (r->cfg.mode == NF_RELAY_COPY)
		copy_close(r);
	else
		nf__blk_link_close(r);
	int fds[] = {r->epoll_fd, r->event_fd, r->timer_fd};
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(r);
}

int nf_blk_relay_fd(const struct nf_blk_relay *r)
{
	return r->epoll_fd;
}
