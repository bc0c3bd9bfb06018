/* SPDX-License-Identifier: MIT */
/* A frontend's rings mapped here, its channels bound, and the queues on top. */
#include "net_back.h"

#include <stdlib.h>
#include <string.h>

static void rings_drop(struct nf_netback *b, uint32_t queue)
{
	struct nf_layer *l = b->e.cfg.layer;
	struct nf_back_rings *r = b->rings[queue];
	if (!r)
		return;
	nf__back_grefs_drop(b, queue);
	if (r->tx_chan.fd >= 0)
		l->ops->chan_close(&r->tx_chan);
	if (r->rx_chan.fd >= 0)
		l->ops->chan_close(&r->rx_chan);
	if (r->ring_map.count > 0)
		l->ops->unmap(l, &r->ring_map);
	nf__gref_map_free(r->grefs);
	free(r);
	b->rings[queue] = NULL;
}

/* A fresh ring begins at 0, one of a back that died where that one had answered. */
static uint32_t first_of(const struct nf_netback *b, const void *page)
{
	const struct nf_sring *shared = page;
	return b->is_attaching ? nf_load_acquire(&shared->rsp_prod) : 0;
}

static int rings_attach(struct nf_netback *b, uint32_t queue, struct nf_back_rings *r)
{
	struct nf_layer *l = b->e.cfg.layer;
	uint16_t peer = b->e.dev.other_domid;
	int rc = l->ops->map(l, peer, r->ring_grefs, 2, false, r->ring_addrs, &r->ring_map);
	if (rc == 0)
		rc = nf_ring_back_init(&r->tx, r->ring_addrs[0], NF_PAGE_BYTES,
				       NF_NETIF_TX_SLOT_BYTES, first_of(b, r->ring_addrs[0]));
	if (rc == 0)
		rc = nf_ring_back_init(&r->rx, r->ring_addrs[1], NF_PAGE_BYTES,
				       NF_NETIF_RX_SLOT_BYTES, first_of(b, r->ring_addrs[1]));
	if (rc == 0)
		rc = l->ops->bind_chan(l, peer, b->refs[queue].tx_port, &r->tx_chan);
	if (rc == 0 && b->agreed.split)
		rc = l->ops->bind_chan(l, peer, b->refs[queue].rx_port, &r->rx_chan);
	return rc;
}

static int rings_make(struct nf_netback *b, uint32_t queue)
{
	struct nf_back_rings *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->tx_chan.fd = r->rx_chan.fd = -1;
	r->ring_grefs[0] = b->refs[queue].tx_ring_ref;
	r->ring_grefs[1] = b->refs[queue].rx_ring_ref;
	b->rings[queue] = r;
	int rc = b->agreed.ctrl ? nf__gref_map_new(&r->grefs) : 0;
	if (rc == 0 && b->map_rings)
		rc = rings_attach(b, queue, r);
	return rc;
}

int nf__back_rings_map(struct nf_netback *b)
{
	for (uint32_t i = 0; i < b->queues; i++) {
		int rc = rings_make(b, i);
		if (rc) {
			nf__back_rings_unmap(b);
			return rc;
		}
	}
	return 0;
}

void nf__back_rings_unmap(struct nf_netback *b)
{
	for (uint32_t i = 0; i < NF_NET_QUEUES_MAX; i++)
		rings_drop(b, i);
	b->queues = 0;
}

static int queue_start(struct nf_netback *b, uint32_t i)
{
	struct nf_back_queue *q = nf__back_queue_new(b, i);
	if (!q)
		return -ENOMEM;
	int rc = nf__back_queue_init(q, b->rings[i], b->e.cfg.layer, &b->e.ports[i], b->e.blocks[i],
				     &b->offered, &b->agreed, b->e.dev.other_domid, b->e.event_fd);
	if (rc) {
		nf__back_queue_drop(q);
		return rc;
	}
	b->queue[i] = q;
	return nf_poller_attach(b->e.cfg.poller, &q->item);
}

int nf__back_queues_start(struct nf_netback *b)
{
	if (!b->e.cfg.poller || !b->e.cfg.port)
		return 0;
	for (uint32_t i = 0; i < b->queues; i++) {
		NF_COUNT(b->e.blocks[i], connects, 1);
		int rc = queue_start(b, i);
		if (rc) {
			nf__back_queues_stop(b);
			return rc;
		}
	}
	return 0;
}

void nf__back_queues_stop(struct nf_netback *b)
{
	for (uint32_t i = 0; i < NF_NET_QUEUES_MAX; i++) {
		if (!b->queue[i])
			continue;
		nf_poller_detach(&b->queue[i]->item);
		nf__back_queue_fini(b->queue[i]);
		nf__back_queue_drop(b->queue[i]);
		b->queue[i] = NULL;
	}
}

void nf__back_queue_pause(struct nf_netback *b, uint32_t queue)
{
	if (b->queue[queue])
		nf_poller_detach(&b->queue[queue]->item);
	else if (b->relay_item[queue])
		nf_poller_detach(b->relay_item[queue]);
}

int nf__back_queue_resume(struct nf_netback *b, uint32_t queue)
{
	struct nf_back_queue *q = b->queue[queue];
	struct nf_poll_item *item = b->relay_item[queue];
	if (item && !item->error && b->e.cfg.poller)
		return nf_poller_attach(b->e.cfg.poller, item);
	if (!q || q->item.error)
		return 0;
	nf__back_queue_forget(q);
	return nf_poller_attach(b->e.cfg.poller, &q->item);
}
