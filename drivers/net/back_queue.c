/* SPDX-License-Identifier: MIT */
/* One queue of netback as the poller sees it, and its grant copies. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "net_internal.h"

#define BOUNCE_BYTES ((size_t)NF_NET_PAGES * NF_PAGE_BYTES)

static struct nf_back_queue *queue_of(struct nf_poll_item *item)
{
	return (struct nf_back_queue *)((char *)item - offsetof(struct nf_back_queue, item));
}

void nf__back_copy_add(struct nf_back_queue *q, uint32_t gref, void *local, uint32_t offset,
		       uint32_t bytes, bool to_peer, uint32_t owner)
{
	q->op_owner[q->op_count] = (uint16_t)owner;
	q->ops[q->op_count++] = (struct nf_grant_copy){.peer = q->peer,
						       .offset = (uint16_t)offset,
						       .bytes = (uint16_t)bytes,
						       .to_peer = to_peer,
						       .gref = gref,
						       .local = local};
}

int nf__back_copy_run(struct nf_back_queue *q)
{
	int rc = q->layer->ops->copy(q->layer, q->ops, q->op_count);
	if (rc < 0)
		return rc;
	int failed = 0;
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < q->op_count; i++) {
		failed += q->ops[i].status < 0;
		bytes += q->ops[i].bytes;
	}
	NF_COUNT(q->counters, grant_copies, q->op_count);
	NF_COUNT(q->counters, payload_copies, bytes);
	uint32_t per_call = q->layer->copies_per_call;
	if (per_call)
		NF_COUNT(q->counters, grant_copy_calls, (q->op_count + per_call - 1) / per_call);
	return failed;
}

static int queue_run(struct nf_poll_item *item)
{
	struct nf_back_queue *q = queue_of(item);
	if (nf__unlikely(q->pending_error))
		return q->pending_error;
	int tx = nf__back_tx_run(q);
	if (nf__unlikely(tx < 0))
		return tx;
	int rx = nf__back_rx_run(q);
	NF_GAUGE(q->counters, tx_ring_used, (uint32_t)tx + q->tx_left);
	NF_GAUGE(q->counters, rx_ring_posted, q->j.rx_seen - q->rings->rx.req_cons);
	return rx < 0 ? rx : tx + rx;
}

static int queue_arm(struct nf_poll_item *item)
{
	struct nf_back_queue *q = queue_of(item);
	struct nf_ring_back *tx = &q->rings->tx;
	if (q->pending_error)
		return q->pending_error;
	/* requests the port had no room for wait for its room, not for more of them */
	int more = nf_ring_back_arm(tx, q->tx_left + 1);
	if (more < 0)
		return nf__net_fault(&q->fault, "tx req_prod",
				     nf_load_relaxed(&tx->shared_hdr->req_prod), tx->req_cons,
				     (int64_t)tx->rsp_prod + tx->count);
	more = (uint32_t)more > q->tx_left;
	if (!q->rx_blocked)
		return more;
	/* posted buffers only matter to a port that lacks them */
	struct nf_ring_back *rx = &q->rings->rx;
	uint32_t need = nf__back_rx_need(q);
	int posted = nf_ring_back_arm(rx, need);
	if (posted < 0)
		return nf__net_fault(&q->fault, "rx req_prod",
				     nf_load_relaxed(&rx->shared_hdr->req_prod), rx->req_cons,
				     (int64_t)rx->rsp_prod + rx->count);
	return more + ((uint32_t)posted >= need);
}

static int queue_fds(struct nf_poll_item *item, int *fds, int cap)
{
	struct nf_back_queue *q = queue_of(item);
	int want[3] = {q->rings->tx_chan.fd, q->rings->rx_chan.fd,
		       q->rx_blocked ? -1 : q->port->fd};
	return nf__queue_fds(want, fds, cap);
}

static int queue_room_fds(struct nf_poll_item *item, int *fds, int cap)
{
	struct nf_back_queue *q = queue_of(item);
	return nf__queue_room(q->port, q->tx_left, fds, cap);
}

static void queue_woken(struct nf_poll_item *item)
{
	struct nf_back_queue *q = queue_of(item);
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

void nf__back_queue_forget(struct nf_back_queue *q)
{
	q->rx_bytes_max = q->port->frame_bytes_max;
	q->j.rx_seen = q->rings->rx.req_cons;
}

/* Pages of zeros: what nobody filled must not show bytes that this process had there before. They
 * take memory once used, which with static grants they never are: a megabyte each. */
static uint8_t *bounce_new(void)
{
	void *p = mmap(NULL, BOUNCE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
	return p == MAP_FAILED ? NULL : p;
}

static void bounce_free(uint8_t *pages)
{
	if (pages)
		munmap(pages, BOUNCE_BYTES);
}

int nf__back_queue_init(struct nf_back_queue *q, struct nf_back_rings *rings,
			struct nf_layer *layer, struct nf_port *port, struct nf_counters *counters,
			const struct nf_net_features *offered, const struct nf_net_features *agreed,
			uint16_t peer, int event_fd)
{
	/* the journal is set word by word: at any instant it says what is true */
	memset((char *)q + sizeof(q->j), 0, sizeof(*q) - sizeof(q->j));
	nf_store64(&q->j.tx_redo, rings->tx.rsp_prod);
	q->item.ops = &queue_ops;
	q->item.counters = counters; /* rounds and sleeps */
	q->rings = rings;
	q->layer = layer;
	q->port = port;
	q->counters = counters;
	q->offered = *offered;
	q->features = *agreed;
	q->static_only = agreed->static_only;
	q->peer = peer;
	q->event_fd = event_fd;
	nf__back_queue_forget(q);
	if (q->static_only)
		return 0;
	q->tx_bounce = bounce_new();
	q->rx_bounce = bounce_new();
	q->ops = calloc(NF_NET_PAGES, sizeof(*q->ops));
	if (!q->tx_bounce || !q->rx_bounce || !q->ops) {
		nf__back_queue_fini(q);
		return -ENOMEM;
	}
	return 0;
}

void nf__back_queue_fini(struct nf_back_queue *q)
{
	bounce_free(q->tx_bounce);
	bounce_free(q->rx_bounce);
	free(q->ops);
	q->tx_bounce = q->rx_bounce = NULL;
	q->ops = NULL;
}
