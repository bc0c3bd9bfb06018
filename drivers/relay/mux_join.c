/* SPDX-License-Identifier: MIT */
/* Guests come to a mux and leave it. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "relay/mux_link.h"

/* The guest's address, as the toolstack wrote it into our node: the guest cannot change it. */
static int read_mac(struct nf_mux_member *m)
{
	char path[NF_STORE_PATH_MAX + 8], text[32];
	unsigned b[6];
	int end = 0;
	snprintf(path, sizeof(path), "%s/mac", m->path);
	int rc = nf_store_read(m->cfg.store, 0, path, text, sizeof(text));
	if (rc < 0)
		return rc;
	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &end) != 6 ||
	    text[end] || b[0] & 1)
		return -EINVAL;
	for (int i = 0; i < 6; i++)
		m->mac[i] = (uint8_t)b[i];
	return 0;
}

static int place(struct nf_mux *h, struct nf_mux_member *m)
{
	for (uint32_t i = 0; i < NF_MUX_MEMBERS; i++) {
		if (h->members[i])
			continue;
		h->members[i] = m;
		h->member_count++;
		m->slot = i;
		m->hub = h;
		return 0;
	}
	return -ENOSPC;
}

int nf_mux_join(struct nf_mux *h, const struct nf_net_config *cfg,
		const struct nf_mux_limits *limits, struct nf_mux_member **out)
{
	if (!(cfg->layer->caps & NF_CAP_DONATE) || !(h->cfg.layer->caps & NF_CAP_BACKING))
		return -ENOSYS;
	struct nf_mux_member *m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->cfg = *cfg;
	m->cfg.port = NULL;
	m->cfg.queues = 1;
	m->cfg.grants = NF_NET_GRANTS_STATIC;
	m->limits = *limits;
	m->epoll_fd = m->event_fd = m->timer_fd = -1;
	m->block = cfg->counters ? nf_counters_take(cfg->counters, 1) : NULL;
	if (!m->block)
		m->block = &m->spare;
	int rc = nf__relay_keep(m->path, sizeof(m->path), &m->cfg.path);
	if (rc == 0)
		rc = nf__relay_keep(m->token, sizeof(m->token), &m->cfg.token);
	if (rc == 0)
		rc = nf__relay_path_ids(m->path, &m->owner, &m->devid);
	if (rc == 0)
		rc = read_mac(m);
	if (rc == 0)
		rc = nf__mux_fds_open(&m->epoll_fd, &m->event_fd, &m->timer_fd);
	if (rc == 0)
		rc = place(h, m);
	if (rc == 0)
		rc = nf__member_open(m);
	if (rc < 0) {
		nf_mux_leave(m);
		return rc;
	}
	*out = m;
	return 0;
}

void nf_mux_leave(struct nf_mux_member *m)
{
	if (!m)
		return;
	if (m->hub) {
		nf__hub_pause(m->hub);
		nf__member_unplug(m);
		nf__hub_resume(m->hub);
		nf__member_pages_end(m);
		m->hub->members[m->slot] = NULL;
		m->hub->member_count--;
	}
	nf__member_close(m);
	if (m->block != &m->spare)
		nf_counters_drop(m->cfg.counters, m->block, 1);
	int fds[] = {m->epoll_fd, m->event_fd, m->timer_fd};
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(m);
}

int nf_mux_member_fd(const struct nf_mux_member *m)
{
	return m->epoll_fd;
}
