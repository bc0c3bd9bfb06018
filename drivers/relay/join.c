/* SPDX-License-Identifier: MIT */
/* Donation, feature intersection, and the queues between the two ends. */
#include "relay/link.h"

#include <stdlib.h>
#include <unistd.h>

/* The arena under L2's devid: what L2 allocates next for that purpose. */
#define TAKEN_TRIES 100u /* of NF__LINK_TAKEN_MS each */

static int donate(struct nf_net_relay *r, const struct nf_arena *arena, bool equal)
{
	struct nf_layer *l = r->cfg.inner.layer;
	struct nf_arena gift = *arena;
	gift.key.device = r->inner_devid;
	return l->ops->donate(l, r->inner_owner, &gift, equal);
}

static int donate_chan(struct nf_net_relay *r, uint32_t queue, uint8_t purpose,
		       const struct nf_chan *chan)
{
	struct nf_layer *l = r->cfg.inner.layer;
	if (chan->fd < 0)
		return 0;
	return l->ops->donate_chan(l, r->inner_owner, r->inner_devid, (uint16_t)queue, purpose,
				   chan);
}

static int donate_queue(struct nf_net_relay *r, uint32_t i)
{
	struct nf_front_rings *rings = nf_netfront_rings(r->outer, i);
	bool direct = r->cfg.mode == NF_RELAY_DIRECT;
	int rc = donate(r, &rings->tx_pages, direct);
	if (rc == 0)
		rc = donate(r, &rings->rx_pages, direct);
	if (rc < 0 || !direct)
		return rc;
	rc = donate(r, &rings->tx_ring, true);
	if (rc == 0)
		rc = donate(r, &rings->rx_ring, true);
	if (rc == 0)
		rc = donate_chan(r, i, NF_PURPOSE_CHAN, &rings->tx_chan);
	if (rc == 0)
		rc = donate_chan(r, i, NF_PURPOSE_CHAN_RX, &rings->rx_chan);
	return rc;
}

int nf__link_refused(struct nf_net_relay *r)
{
	const struct nf_net_features *offered = nf_netfront_offered(r->outer);
	if (r->cfg.mode != NF_RELAY_DIRECT || r->cfg.trust_inner || offered->queues == 0 ||
	    (offered->static_only && offered->ctrl))
		return 0; /* queues 0: no offer was read yet */
	return nf__link_fail(
		r, -EACCES,
		"direct is refused: the outer back offers no "
		"feature-nestfront-static-only, so this guest could name every page its "
		"host ever granted; use translate, or set nestfront/trust-inner");
}

int nf__link_offer(struct nf_net_relay *r)
{
	const struct nf_net_features *offered = nf_netfront_offered(r->outer);
	bool direct = r->cfg.mode == NF_RELAY_DIRECT;
	int rc = nf__link_refused(r);
	if (rc < 0)
		return rc;
	r->is_confined = direct && !r->cfg.trust_inner;
	uint32_t queues = nf_netfront_queues(r->outer);
	for (uint32_t i = 0; r->cfg.mode != NF_RELAY_COPY && i < queues; i++) {
		rc = donate_queue(r, i);
		if (rc == -EEXIST && r->taken_tries++ < TAKEN_TRIES)
			return -EAGAIN; /* L2 ends them when it sees our Closed: a moment */
		if (rc < 0)
			return nf__link_fail(
				r, rc, "queue %u: its pages cannot be donated: errno %d", i, -rc);
	}
	/* frames go through both layers: what one cannot take, neither is offered */
	struct nf_net_features limit = *offered;
	limit.queues = queues;
	/* control ring and channels are a layer's own business, but direct's channels are L0's */
	limit.ctrl = 1;
	limit.static_only = 1;
	limit.split = !direct || nf_netfront_rings(r->outer, 0)->rx_chan.fd >= 0;
	rc = nf_netback_offer(r->inner, &limit);
	return rc < 0 ? nf__link_fail(r, rc, "cannot offer: errno %d", -rc) : 0;
}

/* direct: the rings L2 published are those it was given. */
static int refs_check(struct nf_net_relay *r, uint32_t i)
{
	const struct nf_net_refs *refs = nf_netback_refs(r->inner, i);
	const struct nf_front_rings *rings = nf_netfront_rings(r->outer, i);
	if (refs->tx_ring_ref != rings->tx_ring_gref)
		return nf__link_fail(r, -EPROTO, "queue %u: tx-ring-ref %u is not the donated %u",
				     i, refs->tx_ring_ref, rings->tx_ring_gref);
	if (refs->rx_ring_ref != rings->rx_ring_gref)
		return nf__link_fail(r, -EPROTO, "queue %u: rx-ring-ref %u is not the donated %u",
				     i, refs->rx_ring_ref, rings->rx_ring_gref);
	return 0;
}

int nf__link_release(struct nf_net_relay *r)
{
	struct nf_net_features limit = *nf_netback_agreed(r->inner);
	bool direct = r->cfg.mode == NF_RELAY_DIRECT;
	uint32_t queues = nf_netback_queues(r->inner), most = nf_netfront_queues(r->outer);
	if (queues < 1 || queues > most)
		return nf__link_fail(r, -EPROTO, "%u queues, allowed 1 to %u", queues, most);
	for (uint32_t i = 0; i < queues; i++) {
		int rc = direct ? refs_check(r, i) : 0;
		if (rc < 0)
			return rc;
		if (r->cfg.mode == NF_RELAY_TRANSLATE && !nf_netback_rings(r->inner, i)->grefs)
			return nf__link_fail(
				r, -ENOSYS,
				"translate is refused: this front uses no control ring, "
				"so nothing says which page a gref of its is; use copy");
	}
	limit.queues = queues;
	limit.ctrl = 1;
	limit.static_only = 1;
	limit.split = direct ? limit.split : 1;
	int rc = nf_netfront_release(r->outer, &limit);
	if (rc < 0)
		return nf__link_fail(r, rc, "the outer end cannot connect: errno %d", -rc);
	r->queues = queues;
	return 0;
}

/* Poller's thread. */
static void queue_stopped(void *ctx, int error)
{
	struct nf_net_relay *r = ctx;
	__atomic_store_n(&r->stopped, error, __ATOMIC_RELEASE);
	uint64_t one = 1;
	/* an eventfd's counter does not fill up by a few queues; a failure would only delay the
	 * step */
	ssize_t n = write(r->event_fd, &one, sizeof(one));
	(void)n;
}

static int queue_start(struct nf_net_relay *r, uint32_t i)
{
	struct nf__queue *q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	const struct nf_net_features *to_l0 = nf_netfront_offered(r->outer);
	const struct nf_net_features *to_l2 = nf_netfront_agreed(r->outer);
	q->in = nf_netback_rings(r->inner, i);
	q->out = nf_netfront_rings(r->outer, i);
	q->inner_owner = r->inner_owner;
	q->tx = (struct nf__direction){.sg = to_l0->sg, .gso4 = to_l0->gso4, .gso6 = to_l0->gso6};
	q->rx = (struct nf__direction){.sg = to_l2->sg, .gso4 = to_l2->gso4, .gso6 = to_l2->gso6};
	q->counters = r->blocks[i];
	q->stopped = queue_stopped;
	q->ctx = r;
	int rc = nf__queue_init(q, r->cfg.mode);
	if (rc < 0) {
		free(q);
		return rc;
	}
	r->queue[i] = q;
	if (!r->cfg.inner.poller)
		return 0;
	nf_netback_attend(r->inner, i, &q->item);
	return nf_poller_attach(r->cfg.inner.poller, &q->item);
}

int nf__link_start(struct nf_net_relay *r)
{
	/* accepted before a queue exists: nothing of L2's can have reached L0 earlier */
	int rc = nf_netback_accept(r->inner);
	if (rc < 0)
		return nf__link_fail(r, rc, "cannot accept the front: errno %d", -rc);
	for (uint32_t i = 0; i < r->queues; i++) {
		if (r->cfg.mode != NF_RELAY_DIRECT) {
			rc = queue_start(r, i);
			if (rc < 0)
				return nf__link_fail(r, rc, "queue %u: errno %d", i, -rc);
		}
		NF_COUNT(r->blocks[i], connects, 1);
	}
	nf__link_healed(r);
	return 0;
}

void nf__link_stop(struct nf_net_relay *r)
{
	for (uint32_t i = 0; i < NF_NET_QUEUES_MAX; i++) {
		struct nf__queue *q = r->queue[i];
		if (!q)
			continue;
		nf_netback_attend(r->inner, i, NULL);
		nf_poller_detach(&q->item);
		nf__queue_fini(q);
		free(q);
		r->queue[i] = NULL;
	}
}
