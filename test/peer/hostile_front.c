/* SPDX-License-Identifier: MIT */
/* The raw front. */
#include "hostile_own.h"

#include <stdio.h>
#include <string.h>

static int pages(struct hostile *h, uint32_t queue, uint8_t purpose, bool readonly, uint32_t count,
		 uint32_t *grefs, struct nf_arena *out)
{
	struct nf_arena_key key = {.peer = h->peer,
				   .inner_owner = NF_DOMID_SELF,
				   .device = h->devid,
				   .queue = (uint16_t)queue,
				   .purpose = purpose,
				   .readonly = readonly};
	return h->layer->ops->alloc(h->layer, &key, count, 0, grefs, out);
}

/* Producers 0, events 1: what an honest front writes. */
static struct nf_sring *fresh(struct nf_arena *a)
{
	struct nf_sring *s = (struct nf_sring *)(void *)a->base;
	s->req_event = s->rsp_event = 1;
	return s;
}

static int chan(struct hostile *h, uint32_t queue, uint8_t purpose, struct nf_chan *out)
{
	return h->layer->ops->alloc_chan(h->layer, h->peer, h->devid, (uint16_t)queue, purpose,
					 out);
}

static int queue_open(struct hostile *h, uint32_t i)
{
	struct hostile_queue *q = &h->q[i];
	int rc = pages(h, i, NF_PURPOSE_TX_RING, false, 1, &q->tx_ring_gref, &q->tx_ring);
	if (rc == 0)
		rc = pages(h, i, NF_PURPOSE_RX_RING, false, 1, &q->rx_ring_gref, &q->rx_ring);
	if (rc == 0)
		rc = pages(h, i, NF_PURPOSE_TX_PAYLOAD, true, h->opt.payload_pages, q->tx_grefs,
			   &q->tx_pages);
	if (rc == 0)
		rc = pages(h, i, NF_PURPOSE_RX_PAYLOAD, false, h->opt.payload_pages, q->rx_grefs,
			   &q->rx_pages);
	if (rc == 0)
		rc = chan(h, i, NF_PURPOSE_CHAN, &q->tx_chan);
	if (rc == 0 && h->opt.split)
		rc = chan(h, i, NF_PURPOSE_CHAN_RX, &q->rx_chan);
	if (rc)
		return rc;
	q->shared_tx = fresh(&q->tx_ring);
	q->shared_rx = fresh(&q->rx_ring);
	return 0;
}

int hostile_front_open(struct hostile *h, struct nf_layer *layer, uint16_t devid,
		       const struct hostile_options *opt)
{
	void (*turn)(void *) = h->turn;
	void *ctx = h->ctx;
	unsigned wait_ms = h->wait_ms;
	*h = (struct hostile){.turn = turn, .ctx = ctx, .wait_ms = wait_ms};
	snprintf(h->path, sizeof(h->path), "device/vif/%u", devid);
	int rc = hostile__open(h, layer, devid, opt);
	if (rc)
		return rc;
	for (uint32_t i = 0; rc == 0 && i < h->queues; i++)
		rc = queue_open(h, i);
	if (rc == 0 && !h->opt.no_ctrl) {
		rc = pages(h, 0, NF_PURPOSE_CTRL, false, 2, h->ctrl_grefs, &h->ctrl);
		if (rc == 0)
			rc = chan(h, 0, NF_PURPOSE_OTHER, &h->ctrl_chan);
		if (rc == 0) {
			h->shared_ctrl = fresh(&h->ctrl);
			h->list = (struct nf_netif_gref *)(void *)(h->ctrl.base + NF_PAGE_BYTES);
		}
	}
	if (rc)
		hostile_close(h);
	return rc;
}

static void queue_publish(struct hostile *h, uint32_t i)
{
	struct hostile_queue *q = &h->q[i];
	const char *names[] = {"tx-ring-ref", "rx-ring-ref",
			       h->opt.split ? "event-channel-tx" : "event-channel",
			       "event-channel-rx"};
	uint32_t values[] = {q->tx_ring_gref, q->rx_ring_gref, q->tx_chan.port, q->rx_chan.port};
	for (uint32_t k = 0; k < (h->opt.split ? 4u : 3u); k++) {
		char key[64];
		if (h->queues > 1)
			snprintf(key, sizeof(key), "queue-%u/%s", i, names[k]);
		else
			snprintf(key, sizeof(key), "%s", names[k]);
		(void)hostile_key(h, key, "%u", values[k]);
	}
}

int hostile_front_publish(struct hostile *h)
{
	static const char *const gso[] = {"feature-gso-tcpv4", "feature-gso-tcpv6"};
	if (h->queues > 1)
		(void)hostile_key(h, "multi-queue-num-queues", "%u", h->queues);
	for (uint32_t i = 0; i < h->queues; i++)
		queue_publish(h, i);
	(void)hostile_key(h, "request-rx-copy", "1");
	(void)hostile_key(h, "feature-rx-notify", "1");
	(void)hostile_key(h, "feature-sg", "%d", !h->opt.no_sg);
	(void)hostile_key(h, "feature-ipv6-csum-offload", "1");
	for (int i = 0; i < 2; i++)
		(void)hostile_key(h, gso[i], "%d", !h->opt.no_gso);
	if (h->opt.static_only)
		(void)hostile_key(h, "request-nestfront-static-only", "1");
	if (!h->opt.no_ctrl) {
		(void)hostile_key(h, "ctrl-ring-ref", "%u", h->ctrl_grefs[0]);
		(void)hostile_key(h, "event-channel-ctrl", "%u", h->ctrl_chan.port);
	}
	return hostile_state(h, NF_XENBUS_CONNECTED);
}

int hostile_ctrl(struct hostile *h, uint16_t type, uint32_t d0, uint32_t d1, uint32_t d2,
		 struct nf_netif_ctrl_response *rsp)
{
	struct nf_netif_ctrl_request req = {
		.id = (uint16_t)h->ctrl_prod, .type = type, .data = {d0, d1, d2}};
	hostile_store(h, 0, 'c', h->ctrl_prod, &req, sizeof(req));
	hostile_poke(h, 0, 'c', 1, ++h->ctrl_prod + 0x10000); /* nobody need be told of requests */
	hostile_poke(h, 0, 'c', 3, h->ctrl_cons + 1);
	hostile_poke(h, 0, 'c', 0, h->ctrl_prod);
	(void)h->layer->ops->chan_notify(&h->ctrl_chan);
	for (int i = 0; i < 5000; i++) {
		if (hostile_peek(h, 0, 'c', 2) == h->ctrl_prod) {
			hostile_load(h, 0, 'c', h->ctrl_prod - 1, rsp, sizeof(*rsp));
			h->ctrl_cons = h->ctrl_prod;
			(void)h->layer->ops->chan_clear(&h->ctrl_chan);
			return 0;
		}
		hostile_linger(h, 0);
	}
	return -ETIMEDOUT;
}

static int add(struct hostile *h, uint32_t queue, const uint32_t *grefs, uint16_t flags)
{
	struct nf_netif_ctrl_response rsp = {0};
	for (uint32_t i = 0; i < h->opt.payload_pages; i++)
		h->list[i] = (struct nf_netif_gref){.ref = grefs[i], .flags = flags};
	int rc = hostile_ctrl(h, NF_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, queue, h->ctrl_grefs[1],
			      h->opt.payload_pages, &rsp);
	if (rc)
		return rc;
	return rsp.status == NF_NETIF_CTRL_STATUS_SUCCESS ? 0 : -EINVAL;
}

int hostile_front_connect(struct hostile *h)
{
	int rc = hostile_wait(h, NF_XENBUS_INITWAIT);
	if (rc == 0)
		rc = hostile_front_publish(h);
	if (rc == 0)
		rc = hostile_wait_accepted(h);
	for (uint32_t i = 0; rc == 0 && !h->opt.no_ctrl && i < h->queues; i++) {
		rc = add(h, i, h->q[i].tx_grefs, NF_NETCTRLF_GREF_readonly);
		if (rc == 0)
			rc = add(h, i, h->q[i].rx_grefs, 0);
	}
	return rc;
}

uint32_t hostile_tx(struct hostile *h, uint32_t queue, uint32_t gref, uint32_t offset,
		    uint32_t flags, uint32_t id, uint32_t size)
{
	struct nf_netif_tx_request r = {.gref = gref,
					.offset = (uint16_t)offset,
					.flags = (uint16_t)flags,
					.id = (uint16_t)id,
					.size = (uint16_t)size};
	uint32_t idx = h->q[queue].tx_prod++;
	hostile_store(h, queue, 't', idx, &r, sizeof(r));
	return idx;
}

uint32_t hostile_tx_extra(struct hostile *h, uint32_t queue, const struct nf_netif_extra_info *e)
{
	uint32_t idx = h->q[queue].tx_prod++;
	hostile_store(h, queue, 't', idx, e, sizeof(*e));
	return idx;
}

uint32_t hostile_rx_post(struct hostile *h, uint32_t queue, uint32_t id, uint32_t gref)
{
	struct nf_netif_rx_request r = {.id = (uint16_t)id, .gref = gref};
	uint32_t idx = h->q[queue].rx_prod++;
	hostile_store(h, queue, 'r', idx, &r, sizeof(r));
	return idx;
}

void hostile_tx_push(struct hostile *h, uint32_t queue)
{
	hostile_poke(h, queue, 't', 0, h->q[queue].tx_prod);
	hostile_kick(h, queue);
}

void hostile_rx_push(struct hostile *h, uint32_t queue)
{
	hostile_poke(h, queue, 'r', 0, h->q[queue].rx_prod);
	hostile_kick(h, queue);
}

void hostile_tx_frame(struct hostile *h, uint32_t queue, uint32_t id, uint32_t bytes)
{
	struct hostile_queue *q = &h->q[queue];
	memset(q->tx_pages.base + (size_t)id * NF_PAGE_BYTES, 0x5a, bytes);
	(void)hostile_tx(h, queue, q->tx_grefs[id], 0, 0, id, bytes);
}
