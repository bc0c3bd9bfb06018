/* SPDX-License-Identifier: MIT */
/*
 * Xen's shared ring (ring.h of the public headers): a 64-byte header of four free-running 32-bit
 * indices and a power-of-two array of slots that hold requests one way and responses back.
 * Knows no device. Single threaded: one owner per end.
 *
 * Trust: every shared_* value is the peer's to forge. An index that claims more than the ring can
 * hold is -EPROTO, sticky. The slot bytes are the caller's to copy once and validate in the copy.
 */
#ifndef NF_RING_H
#define NF_RING_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nf/atomics.h"

struct nf_sring {
	uint32_t req_prod;
	uint32_t req_event;
	uint32_t rsp_prod;
	uint32_t rsp_event;
	uint8_t pad[48];
};
_Static_assert(sizeof(struct nf_sring) == 64, "ring header is 64 bytes");
_Static_assert(offsetof(struct nf_sring, rsp_prod) == 8, "rsp_prod at 8");

/* The requesting end. */
struct nf_ring_front {
	struct nf_sring *shared_hdr;
	uint8_t *shared_slots;
	uint32_t req_prod; /* private; published by push */
	uint32_t rsp_cons;
	uint32_t count; /* slots in the ring, a power of two */
	uint32_t slot_bytes;
	int error; /* 0 or -EPROTO, sticky */
};

/* The responding end. */
struct nf_ring_back {
	struct nf_sring *shared_hdr;
	uint8_t *shared_slots;
	uint32_t rsp_prod; /* private; published by push */
	uint32_t req_cons;
	uint32_t count;
	uint32_t slot_bytes;
	int error;
};

/* Slots of slot_bytes that fit in ring_bytes beside the header, rounded down to a power of two;
 * 0 when not even one fits. */
static inline uint32_t nf_ring_count(size_t ring_bytes, uint32_t slot_bytes)
{
	if (slot_bytes == 0 || ring_bytes < sizeof(struct nf_sring) + slot_bytes)
		return 0;
	uint64_t fit = (ring_bytes - sizeof(struct nf_sring)) / slot_bytes;
	if (fit > 0x80000000u)
		fit = 0x80000000u;
	uint32_t count = 1;
	while ((uint64_t)count * 2 <= fit)
		count *= 2;
	return count;
}

/*
 * Front: writes the shared header's initial values (producers 0, events 1) and the private ones.
 * page: ring_bytes of memory, borrowed until the ring is dropped. -EINVAL: slot does not fit.
 */
int nf_ring_front_init(struct nf_ring_front *r, void *page, size_t ring_bytes, uint32_t slot_bytes);

/*
 * Back: attaches to a ring the front has initialised; touches nothing shared.
 * first: both private indices start there (0 for a fresh ring; a re-attach passes rsp_prod).
 */
int nf_ring_back_init(struct nf_ring_back *r, void *page, size_t ring_bytes, uint32_t slot_bytes,
		      uint32_t first);

static inline void *nf_ring_front_slot(const struct nf_ring_front *r, uint32_t idx)
{
	return r->shared_slots + (size_t)(idx & (r->count - 1)) * r->slot_bytes;
}

static inline void *nf_ring_back_slot(const struct nf_ring_back *r, uint32_t idx)
{
	return r->shared_slots + (size_t)(idx & (r->count - 1)) * r->slot_bytes;
}

/* Request slots that can still be produced: 0 .. count. */
static inline uint32_t nf_ring_front_free(const struct nf_ring_front *r)
{
	return r->count - (r->req_prod - r->rsp_cons);
}

/*
 * Responses waiting from rsp_cons on: 0 .. outstanding requests, or the sticky -EPROTO when the
 * peer's producer claims a response to a request never made or runs backwards.
 */
static inline int nf_ring_front_pending(struct nf_ring_front *r)
{
	/* the peer's slots before its rsp_prod */
	uint32_t peer_prod = nf_load_acquire(&r->shared_hdr->rsp_prod);
	uint32_t n = peer_prod - r->rsp_cons;
	if (__builtin_expect(n > r->req_prod - r->rsp_cons, 0))
		r->error = -EPROTO;
	return r->error ? r->error : (int)n;
}

/* Requests waiting from req_cons on: 0 .. count, or the sticky -EPROTO. */
static inline int nf_ring_back_pending(struct nf_ring_back *r)
{
	/* the peer's slots before its req_prod */
	uint32_t peer_prod = nf_load_acquire(&r->shared_hdr->req_prod);
	uint32_t n = peer_prod - r->req_cons;
	/* never more than the slots whose responses were published leave room for */
	if (__builtin_expect(n > r->count - (r->req_cons - r->rsp_prod), 0))
		r->error = -EPROTO;
	return r->error ? r->error : (int)n;
}

/* True when the peer's event index lies in (old, now]: it asked to be told. */
static inline bool nf_ring_event_crossed(uint32_t now, uint32_t old, uint32_t peer_event)
{
	return now - peer_event < now - old;
}

/* Publishes requests up to req_prod; true: notify the peer. */
static inline bool nf_ring_front_push(struct nf_ring_front *r)
{
	uint32_t old = nf_load_relaxed(&r->shared_hdr->req_prod); /* only we store it honestly */
	uint32_t now = r->req_prod;
	if (old == now)
		return false;
	nf_store_release(&r->shared_hdr->req_prod, now); /* slots before the index */
	nf_full_barrier();				 /* index before the look at req_event */
	return nf_ring_event_crossed(now, old, nf_load_relaxed(&r->shared_hdr->req_event));
}

/* Publishes responses up to rsp_prod; true: notify the peer. */
static inline bool nf_ring_back_push(struct nf_ring_back *r)
{
	uint32_t old = nf_load_relaxed(&r->shared_hdr->rsp_prod);
	uint32_t now = r->rsp_prod;
	if (old == now)
		return false;
	nf_store_release(&r->shared_hdr->rsp_prod, now);
	nf_full_barrier();
	return nf_ring_event_crossed(now, old, nf_load_relaxed(&r->shared_hdr->rsp_event));
}

/*
 * Asks to be notified once `after` more responses are there (1: the next), then looks again:
 * > 0 responses are already there (do not sleep), 0 armed, or -EPROTO.
 */
static inline int nf_ring_front_arm(struct nf_ring_front *r, uint32_t after)
{
	nf_store_relaxed(&r->shared_hdr->rsp_event, r->rsp_cons + after);
	nf_full_barrier(); /* event index before the last look at rsp_prod */
	return nf_ring_front_pending(r);
}

static inline int nf_ring_back_arm(struct nf_ring_back *r, uint32_t after)
{
	nf_store_relaxed(&r->shared_hdr->req_event, r->req_cons + after);
	nf_full_barrier();
	return nf_ring_back_pending(r);
}

#endif
