/* SPDX-License-Identifier: MIT */
/*
 * The control ring, requesting end (netif.h, "Control ring"): asks each queue's mapping size, then
 * registers its tx pages read-only and its rx pages writable in one request of 512 grants.
 */
#include "net_front.h"

#include <string.h>

#define ANSWER_MS NF_LAYER_TIMEOUT_MS

_Static_assert(NF_NET_GREFS_MAX == NF_NETIF_CTRL_GREFS_MAX, "one request registers one queue");

int nf__ctrl_front_open(struct nf_netfront *f)
{
	struct nf_ctrl_front *c = &f->ctrl;
	struct nf_layer *l = f->e.cfg.layer;
	struct nf_arena_key key = {.peer = f->e.dev.other_domid,
				   .inner_owner = NF_DOMID_SELF,
				   .device = f->e.dev.devid,
				   .purpose = NF_PURPOSE_CTRL};
	memset(c, 0, sizeof(*c));
	c->chan.fd = -1;
	int rc = l->ops->alloc(l, &key, 2, 0, c->grefs, &c->arena);
	if (rc)
		return rc;
	c->is_open = true;
	rc = nf_ring_front_init(&c->ring, c->arena.base, NF_PAGE_BYTES, NF_NETIF_CTRL_SLOT_BYTES);
	if (rc == 0)
		rc = l->ops->alloc_chan(l, key.peer, key.device, 0, NF_PURPOSE_CTRL, &c->chan);
	if (rc == 0)
		rc = nf__end_wait_chan(&f->e, &c->chan, true);
	if (rc)
		nf__ctrl_front_close(f);
	return rc;
}

void nf__ctrl_front_close(struct nf_netfront *f)
{
	struct nf_ctrl_front *c = &f->ctrl;
	struct nf_layer *l = f->e.cfg.layer;
	if (!c->is_open)
		return;
	if (c->chan.fd >= 0) {
		nf__end_wait_chan(&f->e, &c->chan, false);
		l->ops->chan_close(&c->chan);
	}
	int rc = l->ops->end(l, &c->arena);
	if (rc == -EBUSY)
		nf__end_notice(&f->e,
			       "the control ring is still mapped by domain %u: in quarantine",
			       f->e.dev.other_domid);
	memset(c, 0, sizeof(*c));
	c->chan.fd = -1;
}

/* One request; the answer must carry the next id. */
static int ask(struct nf_netfront *f, uint16_t type, uint32_t gref, uint32_t count)
{
	struct nf_ctrl_front *c = &f->ctrl;
	struct nf_netif_ctrl_request *shared = nf_ring_front_slot(&c->ring, c->ring.req_prod);
	*shared = (struct nf_netif_ctrl_request){
		.id = ++c->id, .type = type, .data = {c->queue, gref, count}};
	c->ring.req_prod++;
	bool notify = nf_ring_front_push(&c->ring);
	nf__end_timer(&f->e, ANSWER_MS);
	if (notify && f->e.cfg.layer->ops->chan_notify(&c->chan) < 0)
		return nf__end_fail(&f->e, -ENODEV, "control ring: domain %u hung up",
				    f->e.dev.other_domid);
	return 0;
}

static int ask_add(struct nf_netfront *f)
{
	struct nf_ctrl_front *c = &f->ctrl;
	const struct nf_front_rings *r = f->rings[c->queue];
	struct nf_netif_gref *list = (void *)(c->arena.base + NF_PAGE_BYTES);
	for (uint32_t i = 0; i < NF_NET_PAGES; i++) {
		list[i] = (struct nf_netif_gref){.ref = r->tx_grefs[i],
						 .flags = NF_NETCTRLF_GREF_readonly};
		list[NF_NET_PAGES + i] = (struct nf_netif_gref){.ref = r->rx_grefs[i]};
	}
	c->stage = NF_CTRL_ASKED_ADD;
	return ask(f, NF_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, c->grefs[1], NF_NET_GREFS_MAX);
}

static int ask_next(struct nf_netfront *f)
{
	struct nf_ctrl_front *c = &f->ctrl;
	if (c->queue == f->queues) {
		c->stage = NF_CTRL_DONE;
		nf__end_timer(&f->e, 0);
		return 0;
	}
	c->stage = NF_CTRL_ASKED_SIZE;
	return ask(f, NF_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, 0, 0);
}

/* 1 and the response to the request in flight, 0 none yet. */
static int answer_take(struct nf_netfront *f, struct nf_netif_ctrl_response *rsp)
{
	struct nf_ctrl_front *c = &f->ctrl;
	int pending = nf_ring_front_arm(&c->ring, 1);
	if (pending < 0) {
		nf__net_fault(&c->fault, "ctrl rsp_prod",
			      nf_load_relaxed(&c->ring.shared_hdr->rsp_prod), c->ring.rsp_cons,
			      c->ring.req_prod);
		return nf__end_fault(&f->e, 0, &c->fault);
	}
	if (pending == 0)
		return 0;
	nf__net_copy_slot(rsp, nf_ring_front_slot(&c->ring, c->ring.rsp_cons), sizeof(*rsp));
	c->ring.rsp_cons++;
	if (rsp->id == c->id)
		return 1;
	nf__net_fault(&c->fault, "ctrl response id", rsp->id, c->id, c->id);
	return nf__end_fault(&f->e, 0, &c->fault);
}

static int answer_use(struct nf_netfront *f, const struct nf_netif_ctrl_response *rsp)
{
	struct nf_ctrl_front *c = &f->ctrl;
	bool is_ok = rsp->status == NF_NETIF_CTRL_STATUS_SUCCESS;
	if (c->stage == NF_CTRL_ASKED_SIZE && is_ok && rsp->data >= NF_NET_GREFS_MAX)
		return ask_add(f);
	if (c->stage == NF_CTRL_ASKED_ADD && is_ok)
		c->registered++;
	else
		nf__end_notice(&f->e,
			       "queue %u: the back keeps no static grants (status %u, size %u)",
			       c->queue, rsp->status, rsp->data);
	c->queue++;
	return ask_next(f);
}

int nf__ctrl_front_step(struct nf_netfront *f)
{
	struct nf_ctrl_front *c = &f->ctrl;
	struct nf_netif_ctrl_response rsp;
	if (c->stage == NF_CTRL_DONE) { /* nothing was asked: any answer is a lie */
		int rc = answer_take(f, &rsp);
		return rc < 0 ? rc : 1;
	}
	int rc = c->stage == NF_CTRL_IDLE ? ask_next(f) : 0;
	while (rc == 0 && c->stage != NF_CTRL_DONE) {
		rc = answer_take(f, &rsp);
		if (rc <= 0)
			return rc;
		rc = answer_use(f, &rsp);
	}
	return rc < 0 ? rc : 1;
}
