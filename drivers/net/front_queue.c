/* SPDX-License-Identifier: MIT */
/* One queue of netfront as the poller sees it. */
#include "net_internal.h"

#include <string.h>
#include <unistd.h>

static struct nf_front_queue *queue_of(struct nf_poll_item *item)
{
	return (struct nf_front_queue *)item;
}

static int queue_run(struct nf_poll_item *item)
{
	struct nf_front_queue *q = queue_of(item);
	if (nf__unlikely(q->pending_error))
		return q->pending_error;
	int tx = nf__front_tx_run(q);
	if (nf__unlikely(tx < 0))
		return tx;
	int rx = nf__front_rx_run(q);
	const struct nf_ring_front *r = &q->rings->rx, *t = &q->rings->tx;
	NF_GAUGE(q->counters, tx_ring_used, t->req_prod - t->rsp_cons);
	NF_GAUGE(q->counters, rx_ring_posted, r->req_prod - r->rsp_cons - q->rx_left);
	return rx < 0 ? rx : tx + rx;
}

static int queue_arm(struct nf_poll_item *item)
{
	struct nf_front_queue *q = queue_of(item);
	struct nf_ring_front *tx = &q->rings->tx;
	if (q->pending_error)
		return q->pending_error;
	/* responses only matter to a sender that lacks pages; else the last one will do */
	uint32_t flight = tx->req_prod - tx->rsp_cons;
	int more_tx = nf_ring_front_arm(tx, q->tx_blocked || flight == 0 ? 1 : flight);
	if (more_tx < 0)
		return nf__net_fault(&q->fault, "tx rsp_prod",
				     nf_load_relaxed(&tx->shared_hdr->rsp_prod), tx->rsp_cons,
				     tx->req_prod);
	struct nf_ring_front *rx = &q->rings->rx;
	/* frames the port had no room for wait for its room, not for more of them */
	int more_rx = nf_ring_front_arm(rx, q->rx_left + 1);
	if (more_rx < 0)
		return nf__net_fault(&q->fault, "rx rsp_prod",
				     nf_load_relaxed(&rx->shared_hdr->rsp_prod), rx->rsp_cons,
				     rx->req_prod);
	return more_tx + ((uint32_t)more_rx > q->rx_left);
}

static int queue_fds(struct nf_poll_item *item, int *fds, int cap)
{
	struct nf_front_queue *q = queue_of(item);
	int want[3] = {q->rings->tx_chan.fd, q->rings->rx_chan.fd,
		       q->tx_blocked ? -1 : q->port->fd};
	return nf__queue_fds(want, fds, cap);
}

static int queue_room_fds(struct nf_poll_item *item, int *fds, int cap)
{
	struct nf_front_queue *q = queue_of(item);
	return nf__queue_room(q->port, q->rx_left, fds, cap);
}

static void queue_woken(struct nf_poll_item *item)
{
	struct nf_front_queue *q = queue_of(item);
	if (nf__queue_clear(q->layer, &q->rings->tx_chan, &q->rings->rx_chan, q->counters) < 0)
		q->pending_error = -ENODEV;
}

static void queue_failed(struct nf_poll_item *item, int error)
{
	(void)error; /* the poller left it in the item */
	nf__net_tell(queue_of(item)->event_fd);
}

static const struct nf_poll_item_ops queue_ops = {
	.run = queue_run,
	.arm = queue_arm,
	.fds = queue_fds,
	.woken = queue_woken,
	.failed = queue_failed,
	.room_fds = queue_room_fds,
	.is_alone = true,
};

void nf__front_queue_init(struct nf_front_queue *q, struct nf_front_rings *rings,
			  struct nf_layer *layer, struct nf_port *port,
			  struct nf_counters *counters, const struct nf_net_features *agreed,
			  int event_fd)
{
	memset(q, 0, sizeof(*q));
	q->item.ops = &queue_ops;
	q->item.counters = counters; /* rounds and sleeps */
	q->rings = rings;
	q->layer = layer;
	q->port = port;
	q->counters = counters;
	q->features = *agreed;
	q->event_fd = event_fd;
	for (uint32_t i = 0; i < NF_NET_PAGES; i++) {
		q->tx_req[i] = (struct nf_netif_tx_request){.gref = rings->tx_grefs[i],
							    .id = (uint16_t)i};
		q->rx_req[i] = (uint64_t)rings->rx_grefs[i] << 32 | i;
	}
	nf__front_tx_reset(q);
	nf__front_rx_post(q, rings->rx.req_prod, NF_NET_PAGES);
	if (nf_ring_front_push(&rings->rx))
		layer->ops->chan_notify(rings->rx_chan.fd >= 0 ? &rings->rx_chan : &rings->tx_chan);
}
