/* SPDX-License-Identifier: MIT */
/* Inside of the relay: its queues. The control flow is net.c, the modes translate.c and copy.c. */
#ifndef NF_RELAY_INTERNAL_H
#define NF_RELAY_INTERNAL_H

#include "net/net_internal.h" /* the inline lookup of a gref */
#include "nf/relay.h"
#include "relay/packet.h"

#define NF__IDS NF_NETIF_RING_SLOTS
#define NF__ID_BUSY 0x10000u

/* translate: what is in flight on the outer rings, in L2's names. */
struct nf__translate {
	uint16_t tx_free[NF__IDS]; /* outer tx ids, last in first out: their lines stay warm */
	uint32_t tx_free_count;
	uint32_t tx_inner_id[NF__IDS]; /* L2's | NF__ID_BUSY, 0: free */
	uint32_t tx_extras;	       /* in flight; they carry no id and are answered RSP_NULL */
	uint16_t rx_inner_id[NF__IDS]; /* by outer ring index */
};

/* copy: L1's own pages on the outer rings. rx page i is always at ring index i. */
struct nf__copy {
	uint16_t tx_free[NF__IDS]; /* outer tx pages */
	uint32_t tx_free_count;
	uint8_t tx_busy[NF__IDS];
	uint32_t tx_extras;
	struct nf_grant_copy *ops; /* NF__IDS, NULL: L2's pages are mapped */
	uint32_t op_count;
};

/* The four sources of a queue, in the order a pass serves them. */
enum nf__source { NF__TX_RSP, NF__TX_REQ, NF__RX_REQ, NF__RX_RSP, NF__SOURCES };

struct nf__queue {
	struct nf_poll_item item; /* first */
	enum nf_relay_mode mode;
	struct nf_back_rings *in;   /* L2's side; borrowed until detached */
	struct nf_front_rings *out; /* L0's side; borrowed until detached */
	uint16_t inner_owner;	    /* L2's domid */
	struct nf__direction tx, rx;
	struct nf_counters *counters;
	uint32_t left[NF__SOURCES]; /* seen in the last pass but not movable yet */
	struct nf__fault fault;	    /* written before run fails, read after */
	bool inner_fault;	    /* the fault is L2's, else L0's */
	bool hung_up;
	void (*stopped)(void *ctx, int error); /* poller's thread; must not block */
	void *ctx;
	union {
		struct nf__translate tr;
		struct nf__copy cp;
	};
};

/*
 * Rings must be one page each, with indices at a fresh connection's zero. in, out, inner_owner, tx,
 * rx, counters, stopped and ctx are set by the caller before. copy: posts all outer rx buffers.
 * -EINVAL: ring sizes differ; -ENOMEM.
 */
int nf__queue_init(struct nf__queue *q, enum nf_relay_mode mode);
void nf__queue_fini(struct nf__queue *q);
/* One pass: each source once, published once a ring. Slots moved, or a negative errno (sticky). */
int nf__queue_run(struct nf__queue *q);
int nf__queue_arm(struct nf__queue *q);

int nf__translate_init(struct nf__queue *q);
int nf__translate_pass(struct nf__queue *q);
int nf__translate_tx_rsp(struct nf__queue *q);
int nf__translate_tx_req(struct nf__queue *q);
int nf__translate_rx_req(struct nf__queue *q);
int nf__translate_rx_rsp(struct nf__queue *q);
int nf__copy_init(struct nf__queue *q);
void nf__copy_fini(struct nf__queue *q);
int nf__copy_pass(struct nf__queue *q);
int nf__copy_tx(struct nf__queue *q);
int nf__copy_rx(struct nf__queue *q);
/* copy: moves the bytes of L2's page now (mapped) or with the pass's batch (grant copy). */
int nf__copy_move(struct nf__queue *q, uint32_t gref, uint32_t offset, uint32_t bytes,
		  uint8_t *ours, bool to_inner);
int nf__copy_flush(struct nf__queue *q);

/*
 * memcpy, called: where the compiler knows that a size is at most a page it puts "rep movs" in
 * place of the call, which costs more than a small frame.
 */
static inline void nf__copy_bytes(void *to, const void *from, size_t bytes)
{
	__asm__("" : "+r"(bytes));
	memcpy(to, from, bytes);
}

/* Publishes and notifies when the other side asked for it. */
int nf__push_inner(struct nf__queue *q, struct nf_ring_back *ring, struct nf_chan *chan);
int nf__push_outer(struct nf__queue *q, struct nf_ring_front *ring, struct nf_chan *chan);

/* The channel of rx where events are not split. */
static inline struct nf_chan *nf__inner_rx_chan(struct nf__queue *q)
{
	return q->in->rx_chan.fd >= 0 ? &q->in->rx_chan : &q->in->tx_chan;
}

static inline struct nf_chan *nf__outer_rx_chan(struct nf__queue *q)
{
	return q->out->rx_chan.fd >= 0 ? &q->out->rx_chan : &q->out->tx_chan;
}

/* L2 broke the protocol. */
static inline int nf__inner_fault(struct nf__queue *q, const char *field, int64_t value,
				  int64_t min, int64_t max)
{
	q->inner_fault = true;
	return nf__fault(&q->fault, field, value, min, max);
}

/* L0 broke the protocol. */
static inline int nf__outer_fault(struct nf__queue *q, const char *field, int64_t value,
				  int64_t min, int64_t max)
{
	q->inner_fault = false;
	return nf__fault(&q->fault, field, value, min, max);
}

/* A producer index of L2's that the ring cannot hold. */
static inline int nf__req_prod_fault(struct nf__queue *q, const struct nf_ring_back *ring,
				     const char *field)
{
	return nf__inner_fault(q, field, nf_load_relaxed(&ring->shared_hdr->req_prod),
			       ring->req_cons, (int64_t)ring->rsp_prod + ring->count);
}

/* Responses to requests nobody made. */
static inline int nf__rsp_prod_fault(struct nf__queue *q, const struct nf_ring_front *ring,
				     const char *field)
{
	return nf__outer_fault(q, field, nf_load_relaxed(&ring->shared_hdr->rsp_prod),
			       ring->rsp_cons, ring->req_prod);
}

/*
 * translate's total, bounded table: whatever number L2 writes is one of the pages of its own arena
 * of that direction, by position, or nothing.
 */
static inline const uint32_t *nf__outer_gref(const struct nf__queue *q, uint32_t gref, bool write)
{
	uint64_t word = nf__gref_map_word(q->in->grefs, gref);
	if (nf__unlikely(word == 0 || !(word & 2u) != !write))
		return NULL;
	uint32_t position = (uint32_t)(word >> 2) & (NF_NET_PAGES - 1);
	return write ? &q->out->rx_grefs[position] : &q->out->tx_grefs[position];
}

#endif
