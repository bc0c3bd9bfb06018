/* SPDX-License-Identifier: MIT */
/* The core of mux and its members as the poller sees them. */
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "relay/mux.h"

#define SECOND_NS 1000000000u
#define FLOOD_WINDOW_NS 100000000u
#define BURST_BYTES 131072u

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

void nf__mux_stop(struct nf__mux_queue *q, int error)
{
	if (nf__mux_error(q))
		return;
	nf_store_release((uint32_t *)&q->error, (uint32_t)error); /* what it found before it */
	if (error == -EPROTO)
		NF_COUNT(q->counters, protocol_errors, 1);
	if (q->stopped)
		q->stopped(q->ctx);
}

/* Publishes and notifies; a guest that hung up is stopped, L0 ends the core. */
static int push_all(struct nf__mux_core *c)
{
	for (uint32_t i = 0; i < c->count; i++) {
		struct nf__mux_queue *q = c->members[i];
		if (!q || nf__mux_error(q) || !(q->tx_push || q->rx_push))
			continue;
		struct nf_chan *rx = q->in->rx_chan.fd >= 0 ? &q->in->rx_chan : &q->in->tx_chan;
		int rc = 0;
		if (q->tx_push && nf_ring_back_push(&q->in->tx)) {
			NF_COUNT(q->counters, notify_sent, 1);
			rc = q->layer->ops->chan_notify(&q->in->tx_chan);
		}
		if (rc >= 0 && q->rx_push && nf_ring_back_push(&q->in->rx)) {
			NF_COUNT(q->counters, notify_sent, 1);
			rc = q->layer->ops->chan_notify(rx);
		}
		q->tx_push = q->rx_push = false;
		if (rc < 0)
			nf__mux_stop(q, rc);
	}
	return 0;
}

static int push_outer(struct nf__mux_core *c, struct nf_ring_front *ring, struct nf_chan *chan)
{
	if (!nf_ring_front_push(ring))
		return 0;
	NF_COUNT(c->counters, notify_sent, 1);
	return c->layer->ops->chan_notify(chan);
}

static struct nf_chan *outer_rx_chan(struct nf__mux_core *c)
{
	return c->out->rx_chan.fd >= 0 ? &c->out->rx_chan : &c->out->tx_chan;
}

static int core_run(struct nf_poll_item *item)
{
	struct nf__mux_core *c = (struct nf__mux_core *)item;
	if (c->hung_up)
		return -ENODEV;
	c->now_ns = now_ns();
	int answers = nf__mux_tx_answers(c);
	int rx = answers < 0 ? answers : nf__mux_rx(c);
	if (rx < 0) {
		if (rx == -EPROTO)
			NF_COUNT(c->counters, protocol_errors, 1);
		return rx;
	}
	int tx = nf__mux_tx(c);
	push_all(c);
	int rc = push_outer(c, &c->out->tx, &c->out->tx_chan);
	if (rc >= 0)
		rc = push_outer(c, &c->out->rx, outer_rx_chan(c));
	NF_GAUGE(c->counters, tx_ring_used, c->out->tx.req_prod - c->out->tx.rsp_cons);
	NF_GAUGE(c->counters, rx_ring_posted, c->out->rx.req_prod - c->out->rx.rsp_cons);
	return rc < 0 ? rc : answers + rx + tx;
}

/* Somebody's next window, or nothing to wait for. */
static void timer_arm(struct nf__mux_core *c)
{
	uint64_t at = 0;
	for (uint32_t i = 0; i < c->count; i++) {
		const struct nf__mux_queue *q = c->members[i];
		if (q && !nf__mux_error(q) && q->waits_rate && (at == 0 || q->rate.next_ns < at))
			at = q->rate.next_ns;
	}
	if (at == 0)
		return;
	struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at / SECOND_NS),
					       .tv_nsec = (long)(at % SECOND_NS)}};
	timerfd_settime(c->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static int core_arm(struct nf_poll_item *item)
{
	struct nf__mux_core *c = (struct nf__mux_core *)item;
	struct nf_ring_front *tx = &c->out->tx;
	uint32_t flight = tx->req_prod - tx->rsp_cons;
	bool waits = false;
	for (uint32_t i = 0; i < c->count; i++) {
		const struct nf__mux_queue *q = c->members[i];
		waits |= q && !nf__mux_error(q) && q->left > 0;
	}
	/* answers are waited for by guests: the next when somebody has no room, else the last */
	int answers = nf_ring_front_arm(tx, waits || flight == 0 ? 1 : (flight + 1) / 2);
	int rx = nf_ring_front_arm(&c->out->rx, c->rx_left + 1);
	timer_arm(c);
	/* a large frame is paid for in several turns, which no event would begin; a broken index is
	 * work: the next pass finds it and says which */
	return c->is_owed || answers != 0 || rx < 0 || (uint32_t)rx > c->rx_left;
}

static int core_fds(struct nf_poll_item *item, int *fds, int cap)
{
	struct nf__mux_core *c = (struct nf__mux_core *)item;
	const int want[3] = {c->out->tx_chan.fd, c->out->rx_chan.fd, c->timer_fd};
	return nf__queue_fds(want, fds, cap);
}

static void core_woken(struct nf_poll_item *item)
{
	struct nf__mux_core *c = (struct nf__mux_core *)item;
	uint64_t ticks;
	if (nf__queue_clear(c->layer, &c->out->tx_chan, &c->out->rx_chan, c->counters) < 0)
		c->hung_up = true;
	if (read(c->timer_fd, &ticks, sizeof(ticks)) < 0)
		return; /* no window began */
}

static void core_failed(struct nf_poll_item *item, int error)
{
	struct nf__mux_core *c = (struct nf__mux_core *)item;
	(void)error; /* the poller left it in the item */
	if (c->stopped)
		c->stopped(c->ctx);
}

static const struct nf_poll_item_ops core_ops = {
	.run = core_run,
	.arm = core_arm,
	.fds = core_fds,
	.woken = core_woken,
	.failed = core_failed,
};

/* The core moves its frames; its own turn only finds that its peer is gone. */
static int member_run(struct nf_poll_item *item)
{
	struct nf__mux_queue *q = (struct nf__mux_queue *)item;
	if (q->hung_up)
		nf__mux_stop(q, -ENODEV);
	return 0;
}

static int member_arm(struct nf_poll_item *item)
{
	struct nf__mux_queue *q = (struct nf__mux_queue *)item;
	if (nf__mux_error(q))
		return 0;
	int n = nf_ring_back_arm(&q->in->tx, q->left + 1);
	return n < 0 || (uint32_t)n > q->left;
}

static int member_fds(struct nf_poll_item *item, int *fds, int cap)
{
	struct nf__mux_queue *q = (struct nf__mux_queue *)item;
	const int want[3] = {q->in->tx_chan.fd, q->in->rx_chan.fd, -1};
	return nf__mux_error(q) ? 0 : nf__queue_fds(want, fds, cap);
}

static void member_woken(struct nf_poll_item *item)
{
	struct nf__mux_queue *q = (struct nf__mux_queue *)item;
	if (nf__queue_clear(q->layer, &q->in->tx_chan, &q->in->rx_chan, q->counters) < 0)
		q->hung_up = true;
}

static const struct nf_poll_item_ops member_ops = {
	.run = member_run,
	.arm = member_arm,
	.fds = member_fds,
	.woken = member_woken,
};

int nf__mux_core_init(struct nf__mux_core *c)
{
	struct nf_ring_front *rx = &c->out->rx;
	if (c->out->tx.count != NF__MUX_IDS || rx->count != NF__MUX_IDS || !c->out->tx_pages.base ||
	    !c->out->rx_pages.base)
		return -EINVAL;
	c->item = (struct nf_poll_item){.ops = &core_ops, .counters = c->counters};
	c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (c->timer_fd < 0)
		return -errno;
	for (uint32_t i = 0; i < NF__MUX_IDS; i++)
		c->free[i] = (uint16_t)(NF__MUX_IDS - 1 - i);
	c->free_count = NF__MUX_IDS;
	while (nf_ring_front_free(rx) > 0) {
		uint32_t index = rx->req_prod & (NF__MUX_IDS - 1);
		struct nf_netif_rx_request r = {.id = (uint16_t)index,
						.gref = c->out->rx_grefs[index]};
		memcpy(nf_ring_front_slot(rx, rx->req_prod++), &r, sizeof(r));
	}
	int rc = push_outer(c, rx, outer_rx_chan(c));
	return rc == -ENODEV ? 0 : rc; /* found by the first pass */
}

void nf__mux_core_fini(struct nf__mux_core *c)
{
	if (c->timer_fd >= 0)
		close(c->timer_fd);
	c->timer_fd = -1;
}

int nf__mux_add(struct nf__mux_core *c, struct nf__mux_queue *q)
{
	const struct nf_mux_limits *l = q->limits;
	uint64_t now = now_ns();
	uint32_t i = 0, flood = l->flood ? l->flood : NF_MUX_FLOOD;
	while (i < c->count && c->members[i])
		i++;
	if (i == NF_MUX_MEMBERS)
		return -ENOSPC;
	nf__mux_credit_init(&q->rate, l->credit_bytes, BURST_BYTES, (uint64_t)l->credit_us * 1000,
			    now);
	nf__mux_credit_init(&q->flood, (flood + 9) / 10, 0, FLOOD_WINDOW_NS, now);
	q->item = (struct nf_poll_item){.ops = &member_ops, .counters = q->counters};
	q->core = c;
	q->index = i;
	c->members[i] = q;
	if (i == c->count)
		c->count++;
	return 0;
}

void nf__mux_remove(struct nf__mux_core *c, struct nf__mux_queue *q)
{
	if (q->core != c || c->members[q->index] != q)
		return;
	for (uint32_t i = 0; i < NF__MUX_IDS; i++)
		if (c->busy[i] && c->sent[c->frame_of[i]].member == q->index)
			c->sent[c->frame_of[i]].member = NF__MUX_NOBODY;
	c->members[q->index] = NULL;
	while (c->count && !c->members[c->count - 1])
		c->count--;
	if (c->next >= c->count)
		c->next = 0;
	q->core = NULL;
}
