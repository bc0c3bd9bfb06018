/* SPDX-License-Identifier: MIT */
/*
 * One netif packet off a ring, copied out of shared memory word by word and validated in the copy.
 * The relay reads L2's tx requests and L0's rx responses with the same suspicion.
 */
#ifndef NF_RELAY_PACKET_H
#define NF_RELAY_PACKET_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "nf/layer.h"
#include "nf/netif.h"
#include "nf/ring.h"

#define NF__SLOTS_FATAL                                                                            \
	20u /* data slots: 19 and 20 are answered with errors, more end the device */
#define NF__FRAME_MIN 14u
#define NF__TX_MULTI (NF_NETTXF_more_data | NF_NETTXF_extra_info)
#define NF__TX_FLAGS (NF__TX_MULTI | NF_NETTXF_csum_blank | NF_NETTXF_data_validated)
#define NF__RX_MULTI (NF_NETRXF_more_data | NF_NETRXF_extra_info)
#define NF__RX_PLAIN (NF_NETRXF_csum_blank | NF_NETRXF_data_validated)
#define NF__RX_FLAGS (NF__RX_MULTI | NF__RX_PLAIN)

/* Which field broke the protocol; field stays NULL while all is well. */
struct nf__fault {
	const char *field;
	int64_t value, min, max;
};

/* What the receiving end of one direction said it takes. */
struct nf__direction {
	bool sg, gso4, gso6;
};

struct nf__tx_packet {
	uint32_t slots;	      /* data slots, 1 .. NF__SLOTS_FATAL */
	uint32_t extras;      /* 0 or 1 */
	uint32_t ring_slots;  /* slots + extras */
	uint32_t bytes;	      /* of the frame */
	uint32_t first_bytes; /* of the first slot: its size field is the frame's */
	bool refused;	      /* too many slots or a runt: only ids are good, answer with errors */
	struct nf_netif_tx_request slot[NF__SLOTS_FATAL];
	struct nf_netif_extra_info extra;
};

struct nf__rx_packet {
	uint32_t slots;
	uint32_t extras;
	uint32_t ring_slots;
	uint32_t bytes;
	bool error; /* a slot carries an error status */
	struct nf_netif_rx_response slot[NF_NETIF_SLOTS_MIN];
	struct nf_netif_extra_info extra;
};

/*
 * Reads the packet whose first slot is idx, of avail published slots. Returns ring slots it takes,
 * 0 when its end is not published yet, -EPROTO with *fault filled. Changes no index.
 */
int nf__tx_read(const struct nf_ring_back *ring, uint32_t idx, uint32_t avail,
		const struct nf__direction *dir, struct nf__tx_packet *p, struct nf__fault *fault);
/* The same for rx responses; the id of a slot must be its ring index, as we requested them. */
int nf__rx_read(const struct nf_ring_front *ring, uint32_t idx, uint32_t avail,
		const struct nf__direction *dir, struct nf__rx_packet *p, struct nf__fault *fault);

/* Notes the first fault and returns -EPROTO. */
static inline int nf__fault(struct nf__fault *f, const char *field, int64_t value, int64_t min,
			    int64_t max)
{
	if (!f->field)
		*f = (struct nf__fault){.field = field, .value = value, .min = min, .max = max};
	return -EPROTO;
}

/* Each word of a slot is loaded once; what the peer writes later is never seen. */
static inline struct nf_netif_tx_request nf__load_tx(const void *shared_slot)
{
	const uint32_t *shared_words = shared_slot;
	uint32_t w[3] = {nf_load_relaxed(shared_words), nf_load_relaxed(shared_words + 1),
			 nf_load_relaxed(shared_words + 2)};
	struct nf_netif_tx_request r;
	memcpy(&r, w, sizeof(r));
	return r;
}

/* rx requests, rx responses and extras are two words. */
static inline void nf__load_two(const void *shared_slot, void *out)
{
	const uint32_t *shared_words = shared_slot;
	uint32_t w[2] = {nf_load_relaxed(shared_words), nf_load_relaxed(shared_words + 1)};
	memcpy(out, w, sizeof(w));
}

/*
 * The same slots as words, for the loops that move one a few nanoseconds: fields written one by one
 * and read back as a word stall the store buffer. Slots are little endian as the whole ABI is here.
 */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words of a slot");

struct nf__tx_words {
	uint32_t gref;
	uint32_t offset_flags; /* offset, flags << 16 */
	uint32_t id_size;      /* id, size << 16 */
};

/* Rings here have NF_NETIF_RING_SLOTS slots: the queue's init checked. */
static inline uint32_t *nf__tx_slot(const uint8_t *shared_slots, uint32_t idx)
{
	return (uint32_t *)(uintptr_t)(shared_slots + (size_t)(idx & (NF_NETIF_RING_SLOTS - 1)) *
							      NF_NETIF_TX_SLOT_BYTES);
}

static inline uint64_t *nf__rx_slot(const uint8_t *shared_slots, uint32_t idx)
{
	return (uint64_t *)(uintptr_t)(shared_slots + (size_t)(idx & (NF_NETIF_RING_SLOTS - 1)) *
							      NF_NETIF_RX_SLOT_BYTES);
}

/* A good frame, whole in this slot. */
static inline bool nf__rx_is_plain(uint64_t word, uint32_t index)
{
	uint32_t offset = (uint16_t)(word >> 16), status = (uint32_t)(word >> 48);
	return (uint16_t)word == index && !((uint16_t)(word >> 32) & ~NF__RX_PLAIN) &&
	       status != 0 && offset + status <= NF_PAGE_BYTES;
}

static inline struct nf__tx_words nf__load_tx_words(const uint32_t *shared_slot)
{
	return (struct nf__tx_words){.gref = nf_load_relaxed(shared_slot),
				     .offset_flags = nf_load_relaxed(shared_slot + 1),
				     .id_size = nf_load_relaxed(shared_slot + 2)};
}

static inline void nf__store_tx_words(uint32_t *shared_slot, struct nf__tx_words w)
{
	nf_store_relaxed(shared_slot, w.gref);
	nf_store_relaxed(shared_slot + 1, w.offset_flags);
	nf_store_relaxed(shared_slot + 2, w.id_size);
}

static inline struct nf_netif_tx_response nf__load_tx_response(const void *shared_slot)
{
	uint32_t w = nf_load_relaxed(shared_slot);
	struct nf_netif_tx_response r;
	memcpy(&r, &w, sizeof(r));
	return r;
}

/* A lone slot that holds a whole frame. */
static inline bool nf__tx_fits(uint32_t offset, uint32_t bytes)
{
	return bytes >= NF__FRAME_MIN && offset + bytes <= NF_PAGE_BYTES;
}

/* status of an rx data slot: bytes within the page or one of the two errors. */
static inline bool nf__rx_fits(uint32_t offset, int32_t status)
{
	if (status >= 0)
		return offset + (uint32_t)status <= NF_PAGE_BYTES;
	return status == NF_NETIF_RSP_ERROR || status == NF_NETIF_RSP_DROPPED;
}

#endif
