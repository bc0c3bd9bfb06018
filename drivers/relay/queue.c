/* SPDX-License-Identifier: MIT */
/* A relay queue as the poller sees it, whatever the mode. */
#include "relay/internal.h"

static int push(struct nf__queue *q, bool notify, struct nf_chan *chan)
{
	if (!notify)
		return 0;
	NF_COUNT(q->counters, notify_sent, 1);
	return chan->layer->ops->chan_notify(chan);
}

int nf__push_inner(struct nf__queue *q, struct nf_ring_back *ring, struct nf_chan *chan)
{
	return push(q, nf_ring_back_push(ring), chan);
}

int nf__push_outer(struct nf__queue *q, struct nf_ring_front *ring, struct nf_chan *chan)
{
	return push(q, nf_ring_front_push(ring), chan);
}

int nf__queue_run(struct nf__queue *q)
{
	if (q->hung_up)
		return -ENODEV;
	int rc = q->mode == NF_RELAY_COPY ? nf__copy_pass(q) : nf__translate_pass(q);
	if (rc == -EPROTO)
		NF_COUNT(q->counters, protocol_errors, 1);
	const struct nf_ring_front *tx = &q->out->tx, *rx = &q->out->rx;
	NF_GAUGE(q->counters, tx_ring_used, tx->req_prod - tx->rsp_cons);
	NF_GAUGE(q->counters, rx_ring_posted, rx->req_prod - rx->rsp_cons);
	return rc;
}

/*
 * What the last pass saw but could not move (half a packet, or no room on the other side) is no
 * reason to stay awake: only more of it is. Room appears with an event of its own source.
 */
static int arm_front(struct nf_ring_front *r, uint32_t left)
{
	int n = nf_ring_front_arm(r, left + 1);
	return n < 0 ? n : (uint32_t)n > left;
}

static int arm_back(struct nf_ring_back *r, uint32_t left)
{
	int n = nf_ring_back_arm(r, left + 1);
	return n < 0 ? n : (uint32_t)n > left;
}

int nf__queue_arm(struct nf__queue *q)
{
	if (q->hung_up)
		return -ENODEV;
	int rc[NF__SOURCES] = {
		[NF__TX_RSP] = arm_front(&q->out->tx, q->left[NF__TX_RSP]),
		[NF__TX_REQ] = arm_back(&q->in->tx, q->left[NF__TX_REQ]),
		[NF__RX_REQ] = arm_back(&q->in->rx, q->left[NF__RX_REQ]),
		[NF__RX_RSP] = arm_front(&q->out->rx, q->left[NF__RX_RSP]),
	};
	int work = 0;
	for (uint32_t i = 0; i < NF__SOURCES; i++) {
		/* a broken index is work: the next pass finds it and says which */
		work |= rc[i] != 0;
	}
	return work;
}

static struct nf__queue *of_item(struct nf_poll_item *item)
{
	return (struct nf__queue *)item;
}

static int item_run(struct nf_poll_item *item)
{
	return nf__queue_run(of_item(item));
}

static int item_arm(struct nf_poll_item *item)
{
	return nf__queue_arm(of_item(item));
}

static uint32_t channels(struct nf__queue *q, struct nf_chan *out[4])
{
	struct nf_chan *all[4] = {&q->in->tx_chan, &q->in->rx_chan, &q->out->tx_chan,
				  &q->out->rx_chan};
	uint32_t n = 0;
	for (uint32_t i = 0; i < 4; i++) {
		if (all[i]->fd >= 0)
			out[n++] = all[i];
	}
	return n;
}

static int item_fds(struct nf_poll_item *item, int *fds, int cap)
{
	struct nf_chan *chans[4];
	uint32_t n = channels(of_item(item), chans);
	int used = 0;
	for (uint32_t i = 0; i < n && used < cap; i++)
		fds[used++] = chans[i]->fd;
	return used;
}

static void item_woken(struct nf_poll_item *item)
{
	struct nf__queue *q = of_item(item);
	struct nf_chan *chans[4];
	uint32_t n = channels(q, chans);
	for (uint32_t i = 0; i < n; i++) {
		int rc = chans[i]->layer->ops->chan_clear(chans[i]);
		if (rc < 0)
			q->hung_up = true;
		else if (rc > 0)
			NF_COUNT(q->counters, notify_received, rc);
	}
}

static void item_failed(struct nf_poll_item *item, int error)
{
	struct nf__queue *q = of_item(item);
	if (q->stopped)
		q->stopped(q->ctx, error);
}

static const struct nf_poll_item_ops item_ops = {
	.run = item_run,
	.arm = item_arm,
	.fds = item_fds,
	.woken = item_woken,
	.failed = item_failed,
};

int nf__queue_init(struct nf__queue *q, enum nf_relay_mode mode)
{
	if (q->in->tx.count != NF__IDS || q->in->rx.count != NF__IDS ||
	    q->out->tx.count != NF__IDS || q->out->rx.count != NF__IDS)
		return -EINVAL;
	q->item = (struct nf_poll_item){.ops = &item_ops, .counters = q->counters};
	q->mode = mode;
	memset(q->left, 0, sizeof(q->left));
	q->fault = (struct nf__fault){0};
	q->inner_fault = q->hung_up = false;
	return mode == NF_RELAY_COPY ? nf__copy_init(q) : nf__translate_init(q);
}

void nf__queue_fini(struct nf__queue *q)
{
	if (q->mode == NF_RELAY_COPY)
		nf__copy_fini(q);
}
