/* SPDX-License-Identifier: MIT */
/* The frontend's life and what a relay asks of it. */
#include "net_front.h"

#include <stdlib.h>
#include <string.h>

int nf_netfront_open(const struct nf_net_config *cfg, struct nf_netfront **out)
{
	struct nf_netfront *f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->inner_owner = NF_DOMID_SELF;
	f->ctrl.chan.fd = -1;
	int rc = nf__end_open(&f->e, cfg, false);
	if (rc) {
		free(f);
		return rc;
	}
	*out = f;
	return 0;
}

int nf_netfront_shutdown(struct nf_netfront *f)
{
	f->e.is_shutdown = true;
	nf__front_queues_stop(f);
	if (f->e.phase == NF_NET_CLOSED)
		return 0;
	int rc = nf__end_switch(&f->e, NF_XENBUS_CLOSING);
	if (f->e.phase != NF_NET_FAILED)
		f->e.phase = NF_NET_CLOSING;
	return rc;
}

void nf_netfront_close(struct nf_netfront *f)
{
	if (!f)
		return;
	nf__front_queues_stop(f);
	nf__ctrl_front_close(f);
	nf__front_rings_free(f);
	nf__end_close(&f->e);
	free(f);
}

int nf_netfront_phase(const struct nf_netfront *f)
{
	return f->e.phase;
}

int nf_netfront_state(const struct nf_netfront *f)
{
	return (int)f->e.dev.state;
}

int nf_netfront_ctrl_fd(const struct nf_netfront *f)
{
	return f->e.epoll_fd;
}

void nf_netfront_hold(struct nf_netfront *f, uint16_t inner_owner, bool rings_too)
{
	f->is_held = true;
	f->inner_owner = inner_owner;
	f->rings_too = rings_too;
}

int nf_netfront_release(struct nf_netfront *f, const struct nf_net_features *limit)
{
	if (!f->is_held || f->e.phase != NF_NET_PREPARED)
		return -EINVAL;
	f->limit = *limit;
	if (f->limit.queues == 0)
		f->limit.queues = 1;
	f->is_released = true;
	return 0;
}

const struct nf_net_features *nf_netfront_offered(const struct nf_netfront *f)
{
	return &f->offered;
}

const struct nf_net_features *nf_netfront_agreed(const struct nf_netfront *f)
{
	return &f->agreed;
}

struct nf_front_rings *nf_netfront_rings(struct nf_netfront *f, uint32_t queue)
{
	return queue < f->queues ? f->rings[queue] : NULL;
}

uint32_t nf_netfront_queues(const struct nf_netfront *f)
{
	return f->queues;
}

enum nf_net_grants nf_netfront_grants(const struct nf_netfront *f)
{
	return f->grants;
}

uint16_t nf_netfront_peer(const struct nf_netfront *f)
{
	return f->e.dev.other_domid;
}
