/* SPDX-License-Identifier: MIT */
/* Rings, pages and channels of a frontend's queues: all granted before anything is published. */
#include "net_front.h"

#include <stdlib.h>
#include <string.h>

static int arena_alloc(struct nf_netfront *f, uint32_t queue, uint8_t purpose, bool is_inner,
		       uint32_t pages, uint32_t *grefs, struct nf_arena *out)
{
	struct nf_layer *l = f->e.cfg.layer;
	struct nf_arena_key key = {
		.peer = f->e.dev.other_domid,
		.inner_owner = is_inner ? f->inner_owner : NF_DOMID_SELF,
		.device = f->e.dev.devid,
		.queue = (uint16_t)queue,
		.purpose = purpose,
		.readonly = purpose == NF_PURPOSE_TX_PAYLOAD,
	};
	return l->ops->alloc(l, &key, pages, is_inner ? NF_ALLOC_NOMAP : 0, grefs, out);
}

static void arena_end(struct nf_netfront *f, struct nf_arena *a)
{
	struct nf_layer *l = f->e.cfg.layer;
	if (a->pages == 0)
		return;
	uint8_t purpose = a->key.purpose;
	int rc = l->ops->end(l, a);
	if (rc == -EBUSY)
		nf__end_notice(&f->e, "pages (purpose %u) still mapped by domain %u: in quarantine",
			       purpose, f->e.dev.other_domid);
	else if (rc < 0 && rc != -ECONNRESET)
		nf__end_notice(&f->e, "pages (purpose %u) could not be ended: %s", purpose,
			       strerror(-rc));
	memset(a, 0, sizeof(*a));
}

static void chan_close(struct nf_netfront *f, struct nf_chan *c)
{
	struct nf_layer *l = f->e.cfg.layer;
	if (c->fd >= 0)
		l->ops->chan_close(c);
	c->fd = -1;
}

static void rings_drop(struct nf_netfront *f, uint32_t queue)
{
	struct nf_front_rings *r = f->rings[queue];
	if (!r)
		return;
	chan_close(f, &r->tx_chan);
	chan_close(f, &r->rx_chan);
	arena_end(f, &r->tx_ring);
	arena_end(f, &r->rx_ring);
	arena_end(f, &r->tx_pages);
	arena_end(f, &r->rx_pages);
	free(r);
	f->rings[queue] = NULL;
}

static int arenas_alloc(struct nf_netfront *f, uint32_t queue, struct nf_front_rings *r)
{
	bool is_inner = f->inner_owner != NF_DOMID_SELF;
	int rc = arena_alloc(f, queue, NF_PURPOSE_TX_RING, f->rings_too, 1, &r->tx_ring_gref,
			     &r->tx_ring);
	if (rc == 0)
		rc = arena_alloc(f, queue, NF_PURPOSE_RX_RING, f->rings_too, 1, &r->rx_ring_gref,
				 &r->rx_ring);
	if (rc == 0)
		rc = arena_alloc(f, queue, NF_PURPOSE_TX_PAYLOAD, is_inner, NF_NET_PAGES,
				 r->tx_grefs, &r->tx_pages);
	if (rc == 0)
		rc = arena_alloc(f, queue, NF_PURPOSE_RX_PAYLOAD, is_inner, NF_NET_PAGES,
				 r->rx_grefs, &r->rx_pages);
	if (rc)
		return rc;
	if (r->tx_pages.base) /* whatever the layer handed out: nothing old goes to the peer */
		memset(r->tx_pages.base, 0, (size_t)NF_NET_PAGES * NF_PAGE_BYTES);
	if (f->rings_too)
		return 0;
	rc = nf_ring_front_init(&r->tx, r->tx_ring.base, NF_PAGE_BYTES, NF_NETIF_TX_SLOT_BYTES);
	if (rc == 0)
		rc = nf_ring_front_init(&r->rx, r->rx_ring.base, NF_PAGE_BYTES,
					NF_NETIF_RX_SLOT_BYTES);
	return rc;
}

static int rings_make(struct nf_netfront *f, uint32_t queue)
{
	struct nf_layer *l = f->e.cfg.layer;
	uint16_t peer = f->e.dev.other_domid, devid = f->e.dev.devid;
	struct nf_front_rings *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->tx_chan.fd = r->rx_chan.fd = -1;
	f->rings[queue] = r;
	int rc = arenas_alloc(f, queue, r);
	if (rc == 0)
		rc = l->ops->alloc_chan(l, peer, devid, (uint16_t)queue, NF_PURPOSE_CHAN,
					&r->tx_chan);
	if (rc == 0 && f->agreed.split)
		rc = l->ops->alloc_chan(l, peer, devid, (uint16_t)queue, NF_PURPOSE_CHAN_RX,
					&r->rx_chan);
	return rc;
}

int nf__front_rings_alloc(struct nf_netfront *f)
{
	for (uint32_t i = 0; i < f->queues; i++) {
		int rc = rings_make(f, i);
		if (rc) {
			nf__front_rings_free(f);
			return rc;
		}
	}
	return 0;
}

void nf__front_rings_trim(struct nf_netfront *f, uint32_t queues, bool split)
{
	for (uint32_t i = queues; i < f->queues; i++)
		rings_drop(f, i);
	f->queues = queues < f->queues ? queues : f->queues;
	for (uint32_t i = 0; !split && i < f->queues; i++)
		chan_close(f, &f->rings[i]->rx_chan);
}

void nf__front_rings_free(struct nf_netfront *f)
{
	for (uint32_t i = 0; i < NF_NET_QUEUES_MAX; i++)
		rings_drop(f, i);
	f->queues = 0;
}

static int queue_start(struct nf_netfront *f, uint32_t i)
{
	struct nf_front_queue *q = aligned_alloc(64, (sizeof(*q) + 63) & ~(size_t)63);
	if (!q)
		return -ENOMEM;
	nf__front_queue_init(q, f->rings[i], f->e.cfg.layer, &f->e.ports[i], f->e.blocks[i],
			     &f->agreed, f->e.event_fd);
	int rc = nf_poller_attach(f->e.cfg.poller, &q->item);
	if (rc) {
		free(q);
		return rc;
	}
	f->queue[i] = q;
	return 0;
}

int nf__front_queues_start(struct nf_netfront *f)
{
	if (!f->e.cfg.poller || !f->e.cfg.port)
		return 0;
	for (uint32_t i = 0; i < f->queues; i++) {
		NF_COUNT(f->e.blocks[i], connects, 1);
		int rc = queue_start(f, i);
		if (rc) {
			nf__front_queues_stop(f);
			return rc;
		}
	}
	return 0;
}

void nf__front_queues_stop(struct nf_netfront *f)
{
	for (uint32_t i = 0; i < NF_NET_QUEUES_MAX; i++) {
		if (!f->queue[i])
			continue;
		nf_poller_detach(&f->queue[i]->item);
		free(f->queue[i]);
		f->queue[i] = NULL;
	}
}
