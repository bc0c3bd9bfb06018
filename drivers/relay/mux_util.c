/* SPDX-License-Identifier: MIT */
/* What hubs and members share: descriptors, paths, what they tell. */
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "relay/mux_link.h"

#define LINE_MAX_BYTES 256

int nf__mux_watch(int epoll_fd, int fd, bool add)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
	if (fd < 0)
		return 0;
	return epoll_ctl(epoll_fd, add ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &ev) < 0 ? -errno : 0;
}

int nf__mux_fds_open(int *epoll_fd, int *event_fd, int *timer_fd)
{
	*epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	*event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	*timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (*epoll_fd < 0 || *event_fd < 0 || *timer_fd < 0)
		return -errno;
	int rc = nf__mux_watch(*epoll_fd, *event_fd, true);
	return rc < 0 ? rc : nf__mux_watch(*epoll_fd, *timer_fd, true);
}

void nf__mux_timer(int fd, uint32_t ms)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}};
	timerfd_settime(fd, 0, &when, NULL);
}

bool nf__mux_drain(int fd)
{
	uint64_t count;
	return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

void nf__hub_notice(struct nf_mux *h, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES - 48], line[LINE_MAX_BYTES];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(line, sizeof(line), "mux %.40s: %s", h->path, text);
	if (h->cfg.notice)
		h->cfg.notice(h->cfg.ctx, line);
}

static void tell(struct nf_mux_member *m, const char *text, char *line)
{
	snprintf(line, LINE_MAX_BYTES, "relay mux %u/%u: %s", m->owner, m->devid, text);
	if (m->cfg.notice)
		m->cfg.notice(m->cfg.ctx, line);
}

void nf__member_notice(struct nf_mux_member *m, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES - 48], line[LINE_MAX_BYTES];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tell(m, text, line);
}

/* Only below a node that is there: a write would bring a removed device back. */
static bool is_there(struct nf_mux_member *m)
{
	char path[NF_STORE_PATH_MAX + 16], text[NF_STORE_PATH_MAX];
	snprintf(path, sizeof(path), "%s/frontend", m->path);
	return nf_store_read(m->cfg.store, 0, path, text, sizeof(text)) >= 0;
}

int nf__member_fail(struct nf_mux_member *m, int error, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES - 48], line[LINE_MAX_BYTES], path[NF_STORE_PATH_MAX + 16];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tell(m, text, line);
	m->error = error;
	if (!is_there(m))
		return error;
	snprintf(path, sizeof(path), "%s/error", m->path);
	char numbered[LINE_MAX_BYTES + 16];
	snprintf(numbered, sizeof(numbered), "%d %s", -error, line);
	int rc = nf_store_write(m->cfg.store, 0, path, numbered);
	m->is_error_written = rc >= 0;
	if (rc < 0)
		nf__member_notice(m, "cannot write its error node: errno %d", -rc);
	return error;
}

void nf__member_healed(struct nf_mux_member *m)
{
	char path[NF_STORE_PATH_MAX + 16];
	m->error = 0;
	if (!m->is_error_written)
		return;
	snprintf(path, sizeof(path), "%s/error", m->path);
	int rc = nf_store_rm(m->cfg.store, 0, path);
	if (rc < 0 && rc != -ENOENT)
		nf__member_notice(m, "cannot remove its error node: errno %d", -rc);
	m->is_error_written = false;
}

void nf__member_block(struct nf_mux_member *m)
{
	static const uint8_t states[] = {NF_XENBUS_INITIALISING, NF_XENBUS_INITWAIT,
					 NF_XENBUS_CONNECTED,	 NF_XENBUS_CLOSING,
					 NF_XENBUS_CLOSING,	 NF_XENBUS_CLOSED};
	struct nf_counters *b = m->block;
	nf_block_begin(b);
	b->h.kind = NF_BLOCK_NETRELAY;
	b->h.mode = NF_MODE_MUX;
	b->h.grants = m->state == NF__MEMBER_RUNNING ? NF_GRANTS_STATIC : NF_GRANTS_NONE;
	b->h.state = states[m->state];
	b->h.peer = m->owner;
	b->h.devid = m->devid;
	b->h.queue = 0;
	b->h.generation = m->generation;
	b->h.error = m->error;
	nf_block_end(b);
}

/* The hub's own: what L0 sent that was for nobody. Its peer is L0. */
void nf__hub_block(struct nf_mux *h)
{
	struct nf_counters *b = h->block;
	nf_block_begin(b);
	b->h.kind = NF_BLOCK_NETRELAY;
	b->h.mode = NF_MODE_MUX;
	b->h.grants = NF_GRANTS_NONE;
	b->h.state = h->state == NF__HUB_RUNNING ? NF_XENBUS_CONNECTED : NF_XENBUS_CLOSED;
	b->h.peer = NF_DOMID_SELF;
	b->h.devid = h->devid;
	b->h.queue = NF_MUX_MEMBERS;
	b->h.generation = h->generation;
	b->h.error = h->error;
	nf_block_end(b);
}
