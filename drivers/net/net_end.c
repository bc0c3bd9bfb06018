/* SPDX-License-Identifier: MIT */
/* What both ends share: opening, waiting, failing. */
#include "net_end.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define NOTICE_MAX 320

void nf__net_tell(int event_fd)
{
	const uint64_t one = 1;
	if (write(event_fd, &one, sizeof(one)) < 0)
		return; /* full: it is readable, which is all that is wanted */
}

static void line_notice(struct nf_net_end *e, const char *text)
{
	char line[NOTICE_MAX + NF_STORE_PATH_MAX + 4];
	if (!e->cfg.notice)
		return;
	snprintf(line, sizeof(line), "%s: %s", e->path, text);
	e->cfg.notice(e->cfg.ctx, line);
}

void nf__end_notice(struct nf_net_end *e, const char *fmt, ...)
{
	char text[NOTICE_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	line_notice(e, text);
}

int nf__end_fail(struct nf_net_end *e, int error, const char *fmt, ...)
{
	char text[NOTICE_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	line_notice(e, text);
	return nf_device_fail(&e->dev, error, "%s", text);
}

int nf__end_fault(struct nf_net_end *e, uint32_t queue, const struct nf_net_fault *fault)
{
	struct nf_counters *block = e->blocks[queue];
	if (block)
		NF_COUNT(block, protocol_errors, 1);
	return nf__end_fail(e, -EPROTO,
			    "protocol error of domain %u, queue %u: %s is %lld, allowed "
			    "%lld to %lld",
			    e->dev.other_domid, queue, fault->field, (long long)fault->value,
			    (long long)fault->low, (long long)fault->high);
}

void nf__end_healed(struct nf_net_end *e)
{
	char path[NF_STORE_PATH_MAX];
	/* mostly there is none, and a store that fails here says so at the next request that
	 * matters
	 */
	if (nf_device_key(&e->dev, false, "error", path) == 0)
		(void)nf_store_rm(e->cfg.store, 0, path);
}

static int switch_once(struct nf_net_end *e, enum nf_xenbus_state state)
{
	int rc = nf_device_switch(&e->dev, state);
	return rc == -ENOENT ? 0 : rc; /* removed: nothing to tell anybody */
}

int nf__end_switch(struct nf_net_end *e, enum nf_xenbus_state state)
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

void nf__end_timer(struct nf_net_end *e, uint32_t ms)
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

bool nf__end_events(struct nf_net_end *e)
{
	drain(e->event_fd);
	return drain(e->timer_fd);
}

static int wait_fd(struct nf_net_end *e, int fd, bool add)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
	return epoll_ctl(e->epoll_fd, add ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &ev) < 0 ? -errno
											: 0;
}

int nf__end_wait_chan(struct nf_net_end *e, const struct nf_chan *chan, bool add)
{
	return chan->fd >= 0 ? wait_fd(e, chan->fd, add) : 0;
}

int nf__end_chan_clear(struct nf_net_end *e, struct nf_chan *chan)
{
	if (chan->fd < 0)
		return 0;
	int rc = e->cfg.layer->ops->chan_clear(chan);
	if (rc < 0)
		nf__end_wait_chan(e, chan, false); /* else it stays readable for ever */
	return rc < 0 ? -ENODEV : 0;
}

bool nf__end_hung_up(struct nf_net_end *e, struct nf_chan *chan)
{
	return chan->fd >= 0 && e->cfg.layer->ops->chan_clear(chan) == -ENODEV;
}

static int fds_open(struct nf_net_end *e)
{
	e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	e->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (e->epoll_fd < 0 || e->event_fd < 0 || e->timer_fd < 0)
		return -errno;
	int rc = wait_fd(e, e->event_fd, true);
	return rc ? rc : wait_fd(e, e->timer_fd, true);
}

/* mtu and mac of our own node, which the toolstack wrote. */
static int own_read(struct nf_net_end *e)
{
	char path[NF_STORE_PATH_MAX];
	char text[32];
	unsigned int m[6];
	int rc = nf_device_key(&e->dev, false, "mtu", path);
	if (rc == 0)
		rc = nf_store_read_u32(e->cfg.store, 0, path, 68, 65521, &e->own.mtu);
	if (rc == -ENOENT)
		e->own.mtu = 1500;
	else if (rc < 0)
		return nf__end_fail(e, rc, "%s is not a number of 68 to 65521", path);
	rc = nf_device_key(&e->dev, false, "mac", path);
	if (rc == 0)
		rc = nf_store_read(e->cfg.store, 0, path, text, sizeof(text));
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]) != 6)
		return nf__end_fail(e, -EINVAL, "%s is not a MAC address", path);
	for (int i = 0; i < 6; i++)
		e->own.mac[i] = (uint8_t)m[i];
	return 0;
}

/* What we could do, before any peer or relay narrows it. */
static int own_features(struct nf_net_end *e, bool is_back)
{
	const struct nf_net_config *c = &e->cfg;
	int port = c->port ? nf_port_probe(c->port)
			   : NF_PORT_CSUM | NF_PORT_GSO4 | NF_PORT_GSO6 | NF_PORT_SG;
	if (is_back && c->grants == NF_NET_GRANTS_MAP)
		return nf__end_fail(e, -EINVAL, "grants map: a net back takes static or copy");
	if (port < 0)
		return nf__end_fail(e, port, "port %s: unknown or malformed", c->port);
	e->own.sg = !!(port & NF_PORT_SG);
	e->own.gso4 = (port & NF_PORT_GSO4) && e->own.sg;
	e->own.gso6 = (port & NF_PORT_GSO6) && e->own.sg;
	e->own.csum4 = e->own.csum6 = !!(port & NF_PORT_CSUM);
	e->own.split = 1;
	e->own.ctrl = !is_back || c->grants == NF_NET_GRANTS_STATIC;
	e->own.static_only = c->static_only && e->own.ctrl;
	e->own.queues = c->queues < 1			? 1
			: c->queues > NF_NET_QUEUES_MAX ? NF_NET_QUEUES_MAX
							: c->queues;
	return own_read(e);
}

int nf__end_open(struct nf_net_end *e, const struct nf_net_config *cfg, bool is_back)
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
	e->phase = NF_NET_WAITING;
	e->spare = calloc(NF_NET_QUEUES_MAX, sizeof(*e->spare));
	int rc = e->spare ? fds_open(e) : -ENOMEM;
	if (rc == 0)
		rc = nf_device_open(&e->dev, cfg->layer, cfg->store, e->path, is_back, e->token);
	if (rc == 0)
		rc = own_features(e, is_back);
	if (rc)
		nf__end_close(e);
	return rc;
}

void nf__end_close(struct nf_net_end *e)
{
	nf__end_ports_close(e);
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
