/* SPDX-License-Identifier: MIT */
/* The backend's life and what a relay asks of it. */
#include "net_back.h"

#include <stdlib.h>
#include <string.h>

int nf_netback_open(const struct nf_net_config *cfg, struct nf_netback **out)
{
	struct nf_netback *b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->map_grefs = b->map_rings = true;
	b->ctrl.chan.fd = -1;
	b->journal.fd = -1;
	int rc = nf__end_open(&b->e, cfg, true);
	if (rc) {
		free(b);
		return rc;
	}
	b->offered = b->e.own;
	*out = b;
	return 0;
}

int nf_netback_shutdown(struct nf_netback *b)
{
	b->e.is_shutdown = true;
	if (b->e.phase == NF_NET_CLOSED)
		return 0;
	nf__back_queues_stop(b);
	nf__ctrl_back_close(b);
	nf__back_rings_unmap(b);
	nf__journal_remove(b);
	int rc = nf__end_switch(&b->e, NF_XENBUS_CLOSING);
	if (b->e.phase != NF_NET_FAILED)
		b->e.phase = NF_NET_CLOSING;
	return rc;
}

void nf_netback_close(struct nf_netback *b)
{
	if (!b)
		return;
	nf__back_queues_stop(b);
	nf__ctrl_back_close(b);
	nf__back_rings_unmap(b);
	nf__journal_close(b); /* it stays: whoever opens the device next may re-attach */
	nf__end_close(&b->e);
	free(b);
}

int nf_netback_phase(const struct nf_netback *b)
{
	return b->e.phase;
}

int nf_netback_state(const struct nf_netback *b)
{
	return (int)b->e.dev.state;
}

int nf_netback_ctrl_fd(const struct nf_netback *b)
{
	return b->e.epoll_fd;
}

void nf_netback_hold(struct nf_netback *b, bool map_grefs, bool map_rings)
{
	b->is_held = true;
	b->map_grefs = map_grefs;
	b->map_rings = map_rings;
}

int nf_netback_offer(struct nf_netback *b, const struct nf_net_features *limit)
{
	if (!b->is_held || b->e.phase != NF_NET_OFFERING)
		return -EINVAL;
	struct nf_net_features own = b->e.own;
	nf__features_meet(&own, limit, &b->offered);
	/* the control ring ends here; what goes over it is not the limit's */
	b->offered.ctrl = own.ctrl;
	b->offered.static_only = own.static_only;
	memcpy(b->offered.mac, limit->mac, sizeof(b->offered.mac));
	if (b->offered.queues == 0)
		b->offered.queues = 1;
	b->is_offered = true;
	return 0;
}

int nf_netback_accept(struct nf_netback *b)
{
	if (!b->is_held || b->e.phase != NF_NET_MAPPED)
		return -EINVAL;
	b->is_accepted = true;
	return 0;
}

void nf_netback_attend(struct nf_netback *b, uint32_t queue, struct nf_poll_item *item)
{
	if (queue < NF_NET_QUEUES_MAX)
		b->relay_item[queue] = item;
}

const struct nf_net_features *nf_netback_agreed(const struct nf_netback *b)
{
	return &b->agreed;
}

struct nf_back_rings *nf_netback_rings(struct nf_netback *b, uint32_t queue)
{
	return queue < b->queues ? b->rings[queue] : NULL;
}

uint32_t nf_netback_queues(const struct nf_netback *b)
{
	return b->queues;
}

const struct nf_net_refs *nf_netback_refs(const struct nf_netback *b, uint32_t queue)
{
	return queue < b->queues ? &b->refs[queue] : NULL;
}
