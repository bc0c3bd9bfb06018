/* SPDX-License-Identifier: MIT */
/* What both ends share: opening, waiting, failing. */
#include "blk_end.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define NOTICE_MAX 320

int nf__blk_fault(struct nf_blk_fault *f, const char *field, int64_t value, int64_t low,
		  int64_t high)
{
	*f = (struct nf_blk_fault){.field = field, .value = value, .low = low, .high = high};
	return -EPROTO;
}

void nf__blk_tell(int event_fd)
{
	const uint64_t one = 1;
	if (write(event_fd, &one, sizeof(one)) < 0)
		return; /* full: it is readable, which is all that is wanted */
}

static void line_notice(struct nf_blk_end *e, const char *text)
{
	char line[NOTICE_MAX + NF_STORE_PATH_MAX + 4];
	if (!e->cfg.notice)
		return;
	snprintf(line, sizeof(line), "%s: %s", e->path, text);
	e->cfg.notice(e->cfg.ctx, line);
}

void nf__blk_end_notice(struct nf_blk_end *e, const char *fmt, ...)
{
	char text[NOTICE_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	line_notice(e, text);
}

int nf__blk_end_fail(struct nf_blk_end *e, int error, const char *fmt, ...)
{
	char text[NOTICE_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	line_notice(e, text);
	return nf_device_fail(&e->dev, error, "%s", text);
}

int nf__blk_end_fault(struct nf_blk_end *e, uint32_t queue, const struct nf_blk_fault *fault)
{
	struct nf_counters *block = e->blocks[queue];
	if (block)
		NF_COUNT(block, protocol_errors, 1);
	return nf__blk_end_fail(e, -EPROTO,
				"protocol error of domain %u, queue %u: %s is %lld, allowed "
				"%lld to %lld",
				e->dev.other_domid, queue, fault->field, (long long)fault->value,
				(long long)fault->low, (long long)fault->high);
}

static int switch_once(struct nf_blk_end *e, enum nf_xenbus_state state)
{
	int rc = nf_device_switch(&e->dev, state);
	return rc == -ENOENT ? 0 : rc; /* removed: nothing to tell anybody */
}

int nf__blk_end_switch(struct nf_blk_end *e, enum nf_xenbus_state state)
{
	enum nf_xenbus_state now = e->dev.state;
	if (now == state || (state == NF_XENBUS_CLOSING && now == NF_XENBUS_CLOSED))
		return 0;
	if (state == NF_XENBUS_CLOSED &&
	    nf_xenbus_transition(e->dev.is_back, now, NF_XENBUS_CLOSED, NULL) < 0) {
		int rc = switch_once(e, NF_XENBUS_CLOSING);
		if (rc)
			return rc;
	}
	return switch_once(e, state);
}

void nf__blk_end_timer(struct nf_blk_end *e, uint32_t ms)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}};
	timerfd_settime(e->timer_fd, 0, &when, NULL);
}

static bool drain(int fd)
{
	uint64_t count;
	return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

bool nf__blk_end_events(struct nf_blk_end *e)
{
	drain(e->event_fd);
	return drain(e->timer_fd);
}

static int wait_fd(struct nf_blk_end *e, int fd, bool add)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
	return epoll_ctl(e->epoll_fd, add ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &ev) < 0 ? -errno
											: 0;
}

bool nf__blk_end_hung_up(struct nf_blk_end *e, struct nf_chan *chan)
{
	return chan->fd >= 0 && e->cfg.layer->ops->chan_clear(chan) == -ENODEV;
}

static int fds_open(struct nf_blk_end *e)
{
	e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	e->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (e->epoll_fd < 0 || e->event_fd < 0 || e->timer_fd < 0)
		return -errno;
	int rc = wait_fd(e, e->event_fd, true);
	return rc ? rc : wait_fd(e, e->timer_fd, true);
}

void nf__blk_own_features(const struct nf_blk_config *c, bool is_back, struct nf_blk_features *f)
{
	*f = (struct nf_blk_features){
		.ring_pages = c->ring_pages ? c->ring_pages : 1,
		.queues = c->queues < 1			  ? 1
			  : c->queues > NF_BLK_QUEUES_MAX ? NF_BLK_QUEUES_MAX
							  : c->queues,
		.indirect = c->indirect == 0			? NF_BLK_INDIRECT_DEFAULT
			    : c->indirect > NF_BLK_SEGMENTS_MAX ? NF_BLK_SEGMENTS_MAX
								: c->indirect,
		.persistent = !is_back || c->grants == NF_BLK_GRANTS_STATIC ||
			      c->grants == NF_BLK_GRANTS_PERSISTENT || c->grants == 0,
		.registered = c->grants == NF_BLK_GRANTS_STATIC || c->grants == 0,
		.units = (uint8_t)c->units,
		.abi = (uint8_t)c->abi,
		.disk.sector_bytes = c->sector_bytes ? c->sector_bytes : NF_BLK_SECTOR_BYTES,
	};
	if (f->indirect <= NF_BLKIF_SEGMENTS_MAX)
		f->indirect = 0;
	f->registered_only = c->registered_only && f->registered;
}

static int config_check(struct nf_blk_end *e)
{
	const struct nf_blk_config *c = &e->cfg;
	uint32_t pages = e->own.ring_pages;
	if (pages > NF_BLK_RING_PAGES_MAX || (pages & (pages - 1)))
		return nf__blk_end_fail(e, -EINVAL, "%u ring pages: 1, 2, 4, 8 or 16 can be",
					pages);
	if (c->sector_bytes != 0 && c->sector_bytes != 512 && c->sector_bytes != 4096)
		return nf__blk_end_fail(e, -EINVAL, "sectors of %u bytes: 512 or 4096 can be",
					c->sector_bytes);
	return 0;
}

int nf__blk_end_open(struct nf_blk_end *e, const struct nf_blk_config *cfg, bool is_back)
{
	memset(e, 0, sizeof(*e));
	e->epoll_fd = e->event_fd = e->timer_fd = -1;
	if (!cfg->path || !cfg->token || strlen(cfg->path) >= sizeof(e->path) ||
	    strlen(cfg->token) >= sizeof(e->token) ||
	    (cfg->port && strlen(cfg->port) >= sizeof(e->spec)) ||
	    (cfg->journal && strlen(cfg->journal) >= sizeof(e->journal)))
		return -EINVAL;
	e->cfg = *cfg;
	strcpy(e->path, cfg->path);
	strcpy(e->token, cfg->token);
	e->cfg.path = e->path;
	e->cfg.token = e->token;
	if (cfg->port) {
		strcpy(e->spec, cfg->port);
		e->cfg.port = e->spec;
	}
	if (cfg->journal) {
		strcpy(e->journal, cfg->journal);
		e->cfg.journal = e->journal;
	}
	e->is_fresh = true;
	e->phase = NF_BLK_WAITING;
	e->spare = calloc(NF_BLK_QUEUES_MAX, sizeof(*e->spare));
	int rc = e->spare ? fds_open(e) : -ENOMEM;
	if (rc == 0)
		rc = nf_device_open(&e->dev, cfg->layer, cfg->store, e->path, is_back, e->token);
	if (rc == 0) {
		nf__blk_own_features(cfg, is_back, &e->own);
		rc = config_check(e);
	}
	if (rc)
		nf__blk_end_close(e);
	return rc;
}

void nf__blk_end_close(struct nf_blk_end *e)
{
	nf__blk_blocks_close(e);
	nf_device_close(&e->dev);
	int *fds[] = {&e->epoll_fd, &e->event_fd, &e->timer_fd};
	for (int i = 0; i < 3; i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	free(e->spare);
	e->spare = NULL;
}
