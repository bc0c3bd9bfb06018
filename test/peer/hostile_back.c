/* SPDX-License-Identifier: MIT */
/* The raw back. */
#include "hostile_own.h"

#include <stdio.h>
#include <string.h>

int hostile_back_open(struct hostile *h, struct nf_layer *layer, uint16_t front, uint16_t devid,
		      const struct hostile_options *opt)
{
	void (*turn)(void *) = h->turn;
	void *ctx = h->ctx;
	unsigned wait_ms = h->wait_ms;
	*h = (struct hostile){.turn = turn, .ctx = ctx, .wait_ms = wait_ms, .is_back = true};
	snprintf(h->path, sizeof(h->path), "backend/vif/%u/%u", front, devid);
	int rc = hostile__open(h, layer, devid, opt);
	if (rc)
		return rc;
	(void)hostile_key(h, "feature-sg", "%d", !h->opt.no_sg);
	(void)hostile_key(h, "feature-gso-tcpv4", "%d", !h->opt.no_gso);
	(void)hostile_key(h, "feature-gso-tcpv6", "%d", !h->opt.no_gso);
	(void)hostile_key(h, "feature-ipv6-csum-offload", "1");
	(void)hostile_key(h, "feature-rx-copy", "1");
	(void)hostile_key(h, "feature-split-event-channels", "%d", h->opt.split);
	(void)hostile_key(h, "feature-ctrl-ring", "%d", !h->opt.no_ctrl);
	(void)hostile_key(h, "feature-nestfront-static-only", "%d", h->opt.static_only);
	(void)hostile_key(h, "multi-queue-max-queues", "%u", h->queues);
	rc = hostile_state(h, NF_XENBUS_INITWAIT);
	if (rc < 0)
		hostile_close(h);
	return rc < 0 ? rc : 0;
}

static int front_number(struct hostile *h, uint32_t queue, bool many, const char *key,
			uint32_t *out)
{
	char path[NF_STORE_PATH_MAX + 64];
	if (many)
		snprintf(path, sizeof(path), "%s/queue-%u/%s", h->other, queue, key);
	else
		snprintf(path, sizeof(path), "%s/%s", h->other, key);
	return nf_store_read_u32(h->store, 0, path, 0, UINT32_MAX, out);
}

static int queue_map(struct hostile *h, uint32_t i, bool many)
{
	struct hostile_queue *q = &h->q[i];
	uint32_t port[2] = {0, 0};
	int rc = front_number(h, i, many, "tx-ring-ref", &q->tx_ring_gref);
	if (rc == 0)
		rc = front_number(h, i, many, "rx-ring-ref", &q->rx_ring_gref);
	bool split = front_number(h, i, many, "event-channel-tx", &port[0]) == 0;
	if (rc == 0 && split)
		rc = front_number(h, i, many, "event-channel-rx", &port[1]);
	else if (rc == 0)
		rc = front_number(h, i, many, "event-channel", &port[0]);
	if (rc)
		return rc;
	q->map_grefs[0] = q->tx_ring_gref;
	q->map_grefs[1] = q->rx_ring_gref;
	rc = h->layer->ops->map(h->layer, h->peer, q->map_grefs, 2, false, q->map_addrs, &q->map);
	if (rc)
		return rc;
	q->shared_tx = q->map_addrs[0];
	q->shared_rx = q->map_addrs[1];
	rc = h->layer->ops->bind_chan(h->layer, h->peer, port[0], &q->tx_chan);
	if (rc == 0 && split)
		rc = h->layer->ops->bind_chan(h->layer, h->peer, port[1], &q->rx_chan);
	return rc;
}

static int ctrl_map(struct hostile *h)
{
	uint32_t port;
	if (front_number(h, 0, false, "ctrl-ring-ref", &h->ctrl_grefs[0]) < 0)
		return 0; /* the front wants none */
	int rc = front_number(h, 0, false, "event-channel-ctrl", &port);
	if (rc == 0)
		rc = h->layer->ops->map(h->layer, h->peer, h->ctrl_grefs, 1, false, h->ctrl_addrs,
					&h->ctrl_map);
	if (rc == 0)
		rc = h->layer->ops->bind_chan(h->layer, h->peer, port, &h->ctrl_chan);
	if (rc == 0)
		h->shared_ctrl = h->ctrl_addrs[0];
	return rc;
}

int hostile_back_connect(struct hostile *h)
{
	uint32_t queues = 1;
	int rc = hostile_wait(h, NF_XENBUS_CONNECTED);
	if (rc)
		return rc;
	bool many = front_number(h, 0, false, "multi-queue-num-queues", &queues) == 0 && queues > 1;
	if (queues > HOSTILE_QUEUES)
		return -ERANGE;
	h->queues = queues;
	for (uint32_t i = 0; rc == 0 && i < queues; i++)
		rc = queue_map(h, i, many);
	if (rc == 0 && !h->opt.no_ctrl)
		rc = ctrl_map(h);
	if (rc == 0)
		rc = hostile_state(h, NF_XENBUS_CONNECTED);
	for (int i = 0; rc == 0 && i < 200; i++) {
		hostile_linger(h, 1);
		if (h->shared_ctrl)
			(void)hostile_back_serve(h);
		/* all pages are registered, or buffers are posted: it runs */
		if (hostile_peek(h, 0, 'r', 0) != 0)
			return 0;
	}
	return rc ? rc : -ETIMEDOUT;
}

int hostile_back_serve(struct hostile *h)
{
	int served = 0;
	while (h->ctrl_cons != hostile_peek(h, 0, 'c', 0)) {
		struct nf_netif_ctrl_request req;
		hostile_load(h, 0, 'c', h->ctrl_cons, &req, sizeof(req));
		struct nf_netif_ctrl_response rsp = {.id = req.id, .type = req.type};
		if (req.type == NF_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE)
			rsp.data = 2 * NF_NET_PAGES;
		if (req.type == NF_NETIF_CTRL_TYPE_ADD_GREF_MAPPING)
			h->ctrl_added += req.data[2];
		hostile_store(h, 0, 'c', h->ctrl_cons, &rsp, sizeof(rsp));
		hostile_poke(h, 0, 'c', 2, ++h->ctrl_cons);
		hostile_poke(h, 0, 'c', 1, h->ctrl_cons + 1);
		(void)h->layer->ops->chan_notify(&h->ctrl_chan);
		served++;
	}
	return served;
}

void hostile_tx_rsp(struct hostile *h, uint32_t queue, uint32_t id, int status)
{
	struct nf_netif_tx_response r = {.id = (uint16_t)id, .status = (int16_t)status};
	hostile_store(h, queue, 't', h->q[queue].tx_prod++, &r, sizeof(r));
}

void hostile_rx_rsp(struct hostile *h, uint32_t queue, uint32_t id, uint32_t offset, uint32_t flags,
		    int status)
{
	struct nf_netif_rx_response r = {.id = (uint16_t)id,
					 .offset = (uint16_t)offset,
					 .flags = (uint16_t)flags,
					 .status = (int16_t)status};
	hostile_store(h, queue, 'r', h->q[queue].rx_prod++, &r, sizeof(r));
}

void hostile_tx_rsp_push(struct hostile *h, uint32_t queue)
{
	hostile_poke(h, queue, 't', 2, h->q[queue].tx_prod);
	hostile_kick(h, queue);
}

void hostile_rx_rsp_push(struct hostile *h, uint32_t queue)
{
	hostile_poke(h, queue, 'r', 2, h->q[queue].rx_prod);
	hostile_kick(h, queue);
}
