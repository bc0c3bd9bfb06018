/* SPDX-License-Identifier: MIT */
/*
 * The control ring, responding end (netif.h, "Control ring"). Requests are served in order, at a
 * bounded rate: a front that asks all day costs the control thread a fixed share. The list of a
 * request is copied once; only the copy is looked at.
 */
#include "net_back.h"

#include <string.h>
#include <time.h>

#define RATE_BURST 64u /* 8 queues at connect ask 16 times */
#define RATE_PER_SEC 64u
#define RATE_MS (1000u / RATE_PER_SEC)

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int nf__ctrl_back_open(struct nf_netback *b)
{
	struct nf_ctrl_back *c = &b->ctrl;
	struct nf_layer *l = b->e.cfg.layer;
	memset(c, 0, sizeof(*c));
	c->chan.fd = -1;
	c->gref = b->ctrl_refs.ring_ref;
	int rc = l->ops->map(l, b->e.dev.other_domid, &c->gref, 1, false, &c->addr, &c->map);
	if (rc < 0)
		return rc;
	c->is_open = true;
	c->tokens = RATE_BURST;
	c->filled_ms = now_ms();
	c->is_replay = b->is_attaching;
	uint32_t first = b->is_attaching
				 ? nf_load_acquire(&((const struct nf_sring *)c->addr)->rsp_prod)
				 : 0;
	rc = nf_ring_back_init(&c->ring, c->addr, NF_PAGE_BYTES, NF_NETIF_CTRL_SLOT_BYTES, first);
	if (rc == 0)
		rc = l->ops->bind_chan(l, b->e.dev.other_domid, b->ctrl_refs.port, &c->chan);
	if (rc == 0)
		rc = nf__end_wait_chan(&b->e, &c->chan, true);
	if (rc)
		nf__ctrl_back_close(b);
	return rc;
}

void nf__ctrl_back_close(struct nf_netback *b)
{
	struct nf_ctrl_back *c = &b->ctrl;
	struct nf_layer *l = b->e.cfg.layer;
	if (!c->is_open)
		return;
	if (c->chan.fd >= 0) {
		nf__end_wait_chan(&b->e, &c->chan, false);
		l->ops->chan_close(&c->chan);
	}
	l->ops->unmap(l, &c->map);
	memset(c, 0, sizeof(*c));
	c->chan.fd = -1;
}

/* The list's page, to a private copy or from it: by grant copy, else by a short mapping. */
static int list_move(struct nf_netback *b, uint32_t gref, struct nf_netif_gref *list,
		     uint32_t count, bool to_peer)
{
	struct nf_layer *l = b->e.cfg.layer;
	uint16_t peer = b->e.dev.other_domid;
	size_t bytes = count * sizeof(*list);
	if (gref < NF_GREF_RESERVED)
		return -EINVAL;
	if (l->caps & NF_CAP_COPY) {
		struct nf_grant_copy op = {.peer = peer,
					   .bytes = (uint16_t)bytes,
					   .to_peer = to_peer,
					   .gref = gref,
					   .local = list};
		int rc = l->ops->copy(l, &op, 1);
		return rc < 0 ? rc : op.status;
	}
	struct nf_mapping map;
	void *addr;
	int rc = l->ops->map(l, peer, &gref, 1, !to_peer, &addr, &map);
	if (rc < 0)
		return rc;
	memcpy(to_peer ? addr : list, to_peer ? list : addr, bytes);
	return l->ops->unmap(l, &map);
}

static uint32_t status_of(int rc)
{
	return rc == 0	       ? NF_NETIF_CTRL_STATUS_SUCCESS
	       : rc == -ENOSPC ? NF_NETIF_CTRL_STATUS_BUFFER_OVERFLOW
			       : NF_NETIF_CTRL_STATUS_INVALID_PARAMETER;
}

/* ADD or DEL with the queue off its poller. */
static int list_serve(struct nf_netback *b, const struct nf_netif_ctrl_request *r,
		      struct nf_netif_ctrl_response *rsp)
{
	struct nf_netif_gref list[NF_NETIF_CTRL_GREFS_MAX];
	uint32_t queue = r->data[0], gref = r->data[1], count = r->data[2];
	int rc = count == 0 || count > NF_NETIF_CTRL_GREFS_MAX
			 ? -EINVAL
			 : list_move(b, gref, list, count, false);
	rsp->status = status_of(rc);
	if (rc)
		return 0;
	nf__back_queue_pause(b, queue);
	if (r->type == NF_NETIF_CTRL_TYPE_ADD_GREF_MAPPING) {
		rc = nf__back_grefs_add(b, queue, list, count);
		if (rc == 0)
			nf__journal_grefs(b, queue, list, count, true);
		/* the back that died had served it and could not say so */
		if (rc == -EEXIST && b->ctrl.is_replay)
			rc = 0;
		rsp->status = status_of(rc);
	} else {
		rsp->data = nf__back_grefs_del(b, queue, list, count);
		nf__journal_grefs(b, queue, list, count, false);
		rsp->status = status_of(list_move(b, gref, list, count, true));
	}
	return nf__back_queue_resume(b, queue);
}

static int request_serve(struct nf_netback *b, const struct nf_netif_ctrl_request *r,
			 struct nf_netif_ctrl_response *rsp)
{
	*rsp = (struct nf_netif_ctrl_response){.id = r->id, .type = r->type};
	bool is_grefs = r->type >= NF_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE &&
			r->type <= NF_NETIF_CTRL_TYPE_DEL_GREF_MAPPING;
	if (!is_grefs) {
		rsp->status = NF_NETIF_CTRL_STATUS_NOT_SUPPORTED;
		return 0;
	}
	if (r->data[0] >= b->queues) {
		rsp->status = NF_NETIF_CTRL_STATUS_INVALID_PARAMETER;
		return 0;
	}
	if (r->type != NF_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE)
		return list_serve(b, r, rsp);
	rsp->data = NF_NET_GREFS_MAX;
	return 0;
}

static void tokens_fill(struct nf_ctrl_back *c)
{
	uint64_t ms = now_ms() - c->filled_ms;
	uint64_t more = ms / RATE_MS;
	c->filled_ms += more * RATE_MS;
	c->tokens = c->tokens + more > RATE_BURST ? RATE_BURST : c->tokens + (uint32_t)more;
}

/* The requests waiting, after asking for an event for the next one; -EPROTO. */
static int requests_waiting(struct nf_netback *b)
{
	struct nf_ctrl_back *c = &b->ctrl;
	int pending = nf_ring_back_arm(&c->ring, 1);
	if (pending >= 0)
		return pending;
	nf__net_fault(&c->fault, "ctrl req_prod", nf_load_relaxed(&c->ring.shared_hdr->req_prod),
		      c->ring.req_cons, (int64_t)c->ring.rsp_prod + c->ring.count);
	return nf__end_fault(&b->e, 0, &c->fault);
}

int nf__ctrl_back_step(struct nf_netback *b)
{
	struct nf_ctrl_back *c = &b->ctrl;
	if (!c->is_open || c->has_left)
		return 0;
	tokens_fill(c);
	int pending = requests_waiting(b);
	/* armed anew after each: a front that asks one by one pushes between our look and our sleep
	 */
	for (; pending > 0 && c->tokens > 0; c->tokens--) {
		struct nf_netif_ctrl_request req;
		struct nf_netif_ctrl_response rsp;
		nf__net_copy_slot(&req, nf_ring_back_slot(&c->ring, c->ring.req_cons), sizeof(req));
		int rc = request_serve(b, &req, &rsp);
		if (rc)
			return nf__end_fail(&b->e, rc, "control ring: %s", strerror(-rc));
		c->is_replay = false;
		c->ring.req_cons++;
		memcpy(nf_ring_back_slot(&c->ring, c->ring.rsp_prod++), &rsp, sizeof(rsp));
		if (nf_ring_back_push(&c->ring))
			b->e.cfg.layer->ops->chan_notify(&c->chan);
		pending = requests_waiting(b);
	}
	if (pending < 0)
		return pending;
	if (pending > 0 && !b->is_timed)
		nf__end_timer(&b->e, RATE_MS * 8);
	b->is_timed = pending > 0;
	return 0;
}
