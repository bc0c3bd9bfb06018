/* SPDX-License-Identifier: MIT */
/*
 * Inside of drivers/net: what front, back, their control rings and their queues share.
 * Control thread unless a line says poller.
 */
#ifndef NF_NET_INTERNAL_H
#define NF_NET_INTERNAL_H

#include "nf/net.h"

#define NF_NET_MASK (NF_NET_PAGES - 1u)
#define NF_NET_BATCH 128u	   /* frames a call of a port */
#define NF_NET_BATCH_SLOTS 128u	   /* a sender publishes half a ring: both ends work at once */
#define NF_NET_FRAME_MIN 14u	   /* an Ethernet header */
#define NF_NET_SMALL_BYTES 2048u   /* frames up to this start at varied offsets of their page */
#define NF_NET_SLOTS_TOLERATED 20u /* 19 and 20 slots are answered with an error, as Linux does */
#define NF_NET_EXTRAS_MAX 4u	   /* of one packet: more than there are types is a lie */
#define NF_NET_GREFS_MAX (2u * NF_NET_PAGES) /* of one queue's static mapping */

#define nf__likely(x) __builtin_expect(!!(x), 1)
#define nf__unlikely(x) __builtin_expect(!!(x), 0)

/* Line of memory we are about to read and then overwrite: fetch it once, owned. */
static inline void nf__prefetch_own(const void *p)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
	__builtin_prefetch(p, 1);
#endif
}

/* A control ring's slot, each word loaded once: a plain memcpy may be compiled into later loads of
 * what the peer has changed meanwhile. bytes: a multiple of 4. */
static inline void nf__net_copy_slot(void *to, const void *shared, size_t bytes)
{
	const uint32_t *shared_words = shared;
	for (size_t i = 0; i < bytes / 4; i++) {
		uint32_t word = nf_load_relaxed(&shared_words[i]);
		__builtin_memcpy((char *)to + i * 4, &word, sizeof(word));
	}
}

/* What the peer did wrong. Poller writes before failed(), control reads after. */
struct nf_net_fault {
	const char *field;
	int64_t value, low, high;
};

/* Cold: notes the fault and returns -EPROTO. Poller. */
int nf__net_fault(struct nf_net_fault *f, const char *field, int64_t value, int64_t low,
		  int64_t high);

/* Wakes the control thread; never blocks. Poller. */
void nf__net_tell(int event_fd);

/* Payload start of page `id` for frames up to 2 KiB: same-set collisions cost up to a fifth. */
static inline uint32_t nf__net_offset(uint32_t id, uint32_t frame_bytes_max)
{
	if (frame_bytes_max > NF_NET_SMALL_BYTES)
		return 0;
	return (id * 7u) % ((NF_PAGE_BYTES - NF_NET_SMALL_BYTES) / 64u + 1u) * 64u;
}

static inline uint32_t nf__net_capacity(uint32_t frame_bytes_max)
{
	return frame_bytes_max > NF_NET_SMALL_BYTES ? NF_PAGE_BYTES : NF_NET_SMALL_BYTES;
}

/* Buffers a port needs for its largest frame. */
static inline uint32_t nf__net_need(uint32_t frame_bytes_max)
{
	uint32_t need = (frame_bytes_max + NF_PAGE_BYTES - 1) / NF_PAGE_BYTES;
	return need == 0 ? 1 : need > NF_NETIF_SLOTS_MIN ? NF_NETIF_SLOTS_MIN : need;
}

static inline bool nf__net_gso_allowed(const struct nf_net_features *f, uint8_t type)
{
	return (type == NF_NETIF_GSO_TYPE_TCPV4 && f->gso4) ||
	       (type == NF_NETIF_GSO_TYPE_TCPV6 && f->gso6);
}

/* ---- gref_map.c ---- */
#define NF_GREF_DIRECT 16384u /* grefs below are an array index, others are hashed */
#define NF_GREF_CELLS 2048u
#define NF_GREF_READONLY 0
#define NF_GREF_WRITABLE 1

struct nf_gref_cell {
	uint32_t gref; /* NF_GREF_NONE: never used */
	uint32_t pad;
	uint64_t word;
};

/*
 * word: 0 absent, else page address | position << 2 | writable << 1 | 1. Written by the control
 * thread with one store each, read by the poller; entries are removed with the queue detached.
 */
struct nf_gref_map {
	uint64_t *direct; /* [NF_GREF_DIRECT] */
	struct nf_gref_cell *cells;
	uint32_t cells_used; /* tombstones included */
	uint32_t count[2];   /* by access */
	uint64_t taken[2][NF_NET_PAGES / 64];
};

int nf__gref_map_new(struct nf_gref_map **out);
void nf__gref_map_free(struct nf_gref_map *m); /* NULL is fine */
/* -EEXIST: already there; -ENOSPC: no position or cell left. addr: NULL when never mapped. */
int nf__gref_map_add(struct nf_gref_map *m, uint32_t gref, void *addr, bool writable);
int nf__gref_map_del(struct nf_gref_map *m, uint32_t gref);		  /* -ENOENT */
int nf__gref_map_move(struct nf_gref_map *m, uint32_t gref, void *addr);  /* another mapping */
uint64_t nf__gref_map_hashed(const struct nf_gref_map *m, uint32_t gref); /* poller */

/* Poller. */
static inline uint64_t nf__gref_map_word(const struct nf_gref_map *m, uint32_t gref)
{
	if (nf__likely(gref < NF_GREF_DIRECT))
		return nf_load64(&m->direct[gref]);
	return nf__gref_map_hashed(m, gref);
}

static inline uint8_t *nf__gref_map_page(const struct nf_gref_map *m, uint32_t gref, bool write)
{
	uint64_t word = nf__gref_map_word(m, gref);
	if (write && !(word & 2u))
		return NULL;
	return (uint8_t *)(uintptr_t)(word & ~(uint64_t)(NF_PAGE_BYTES - 1));
}

/* ---- tx_parse.c: packets out of a tx ring, poller ---- */
struct nf_tx_packet {
	uint32_t slots; /* ring slots, extras included */
	uint32_t extras;
	uint32_t frags; /* data slots */
	uint32_t bytes; /* of the frame */
	uint16_t gso_bytes;
	uint8_t gso_type;
	uint8_t flags;	/* NF_FRAME_* */
	int16_t status; /* NF_NETIF_RSP_OKAY, or ERROR: tolerable, to be answered so */
	/* local copies; the first one's size is its own part only */
	struct nf_netif_tx_request frag[NF_NET_SLOTS_TOLERATED];
};

/* Parses the packet at idx, of `pending` slots. 0 or -EPROTO with the fault noted. */
int nf__tx_parse(const struct nf_ring_back *tx, uint32_t idx, uint32_t pending,
		 const struct nf_net_features *offered, struct nf_tx_packet *pkt,
		 struct nf_net_fault *fault);

static inline uint8_t nf__tx_frame_flags(uint32_t flags)
{
	/* csum_blank and data_validated have the values of NF_FRAME_* */
	return (uint8_t)(flags & (NF_NETTXF_csum_blank | NF_NETTXF_data_validated));
}

_Static_assert(NF_NETTXF_csum_blank == NF_FRAME_CSUM_BLANK, "same bit");
_Static_assert(NF_NETTXF_data_validated == NF_FRAME_DATA_VALID, "same bit");

/* ---- queues: the data paths, poll items ---- */

/* Descriptors a queue waits on, of its channels and its port (negative: not that one); how many. */
static inline int nf__queue_fds(const int want[3], int *fds, int cap)
{
	int count = 0;
	for (int i = 0; i < 3; i++)
		if (want[i] >= 0 && count < cap)
			fds[count++] = want[i];
	return count;
}

/* Where a queue waits for its port's room. */
static inline int nf__queue_room(const struct nf_port *port, uint32_t left, int *fds, int cap)
{
	if (left == 0 || port->fd < 0 || cap < 1)
		return 0;
	fds[0] = port->fd;
	return 1;
}

/* Drains both channels (rx closed: tx serves both) and counts; -ENODEV: a peer hung up. */
static inline int nf__queue_clear(struct nf_layer *l, struct nf_chan *tx, struct nf_chan *rx,
				  struct nf_counters *c)
{
	struct nf_chan *chans[2] = {tx, rx};
	int rc = 0;
	for (int i = 0; i < 2; i++) {
		if (chans[i]->fd < 0)
			continue;
		int merged = l->ops->chan_clear(chans[i]);
		if (merged < 0)
			rc = -ENODEV;
		else if (merged > 0)
			NF_COUNT(c, notify_received, merged);
	}
	return rc;
}

struct nf_front_queue {
	struct nf_poll_item item; /* first */
	struct nf_front_rings *rings;
	struct nf_layer *layer;
	struct nf_port *port;
	struct nf_counters *counters;
	struct nf_net_features features; /* agreed */
	struct nf_net_fault fault;
	int event_fd;	       /* the device's: written once by failed() */
	int pending_error;     /* of a channel, returned by the next run */
	uint32_t tx_bytes_max; /* port->frame_bytes_max the stack was made for */
	uint32_t tx_sp;	       /* free buffers are tx_stack[tx_sp ..) */
	uint32_t tx_extras;    /* extra slots not answered yet */
	bool tx_blocked;       /* the last get lacked buffers or slots */
	uint32_t rx_left;      /* responses the port has no room for: its POLLOUT is waited for */
	struct nf_buf tx_stack[NF_NET_PAGES];
	struct nf_netif_tx_request tx_req[NF_NET_PAGES]; /* by id: gref, offset, id */
	uint8_t tx_busy[NF_NET_PAGES];
	struct nf_frame tx_frames[NF_NET_BATCH];
	uint64_t rx_req[NF_NET_PAGES]; /* by slot, as posted: id = slot */
	struct nf_buf rx_bufs[NF_NET_PAGES];
	struct nf_frame rx_frames[NF_NET_BATCH];
	uint32_t rx_start[NF_NET_BATCH];
	uint32_t rx_drops[NF_NET_BATCH];
};

/* rings, port, counters borrowed until the queue is gone. Posts all rx buffers. */
void nf__front_queue_init(struct nf_front_queue *q, struct nf_front_rings *rings,
			  struct nf_layer *layer, struct nf_port *port,
			  struct nf_counters *counters, const struct nf_net_features *agreed,
			  int event_fd);
int nf__front_tx_run(struct nf_front_queue *q); /* poller; slots moved or negative errno */
int nf__front_rx_run(struct nf_front_queue *q);
void nf__front_tx_reset(struct nf_front_queue *q);
void nf__front_rx_post(struct nf_front_queue *q, uint32_t first, uint32_t count);

struct nf_back_rx_slot { /* local copy of a posted request */
	uint32_t gref;
	uint16_t id;
	uint16_t is_copy; /* its page is not mapped: through the bounce */
};

/* ---- back_journal.c: what a back that is killed leaves behind for the next ---- */
#define NF_BACK_JOURNAL_BYTES 8192u

/*
 * Of one queue; the next process reads it from a file, so its layout is fixed. Requests and
 * responses share slots: killed between writing responses and publishing them, a back leaves slots
 * that are neither. With these the next one completes them, exactly.
 */
struct nf_back_journal {
	uint64_t tx_redo; /* first slot | count << 32: their packets are out, answers are in tx_rsp
			   */
	uint32_t rx_seen; /* requests before it and not answered are in rx_slot */
	uint32_t gref_count;
	struct nf_net_refs refs; /* of the connection */
	uint8_t pad[32];
	uint32_t tx_rsp[NF_NET_PAGES]; /* responses in slot order */
	struct nf_back_rx_slot rx_slot[NF_NET_PAGES];
	struct nf_netif_gref grefs[NF_NET_GREFS_MAX]; /* added over the control ring */
	uint8_t spare[NF_BACK_JOURNAL_BYTES - 64 - 4 * NF_NET_PAGES - 8 * NF_NET_PAGES -
		      8 * NF_NET_GREFS_MAX];
};

_Static_assert(sizeof(struct nf_back_journal) == NF_BACK_JOURNAL_BYTES, "two pages");
_Static_assert(sizeof(struct nf_back_rx_slot) == 8, "a slot is 8 B");

/* Completes what the killed back had begun; rings attached at their rsp_prod, no queue runs.
 * Returns how many slots it put right, or -EPROTO when the journal is not that of these rings. */
int nf__back_journal_repair(struct nf_back_journal *j, struct nf_back_rings *rings);

struct nf_back_queue {
	struct nf_back_journal j; /* first: a file's pages may lie under it */
	struct nf_poll_item item;
	struct nf_back_rings *rings;
	struct nf_layer *layer;
	struct nf_port *port;
	struct nf_counters *counters;
	struct nf_net_features offered;	 /* what tx may use */
	struct nf_net_features features; /* agreed: what rx may use */
	struct nf_net_fault fault;
	int event_fd;
	int pending_error;
	uint16_t peer;
	bool static_only;
	bool rx_blocked;       /* the last get lacked posted buffers */
	uint32_t tx_left;      /* requests the port has no room for: its POLLOUT is waited for */
	bool rx_gap;	       /* the last large frame had a GSO extra */
	uint32_t rx_bytes_max; /* port->frame_bytes_max the rx buffers were made for */
	uint8_t *tx_bounce;    /* NF_NET_PAGES private pages each, NULL until needed */
	uint8_t *rx_bounce;
	uint32_t op_count;
	struct nf_grant_copy *ops;	 /* [NF_NET_PAGES] */
	uint16_t op_owner[NF_NET_PAGES]; /* tx: frame, rx: slot */
	struct nf_buf tx_bufs[NF_NET_PAGES];
	struct nf_frame tx_frames[NF_NET_BATCH];
	uint32_t tx_start[NF_NET_BATCH];	 /* slots before each frame */
	struct nf_buf rx_bufs[2 * NF_NET_PAGES]; /* twice, so that any run of slots is contiguous */
	struct nf_frame rx_frames[NF_NET_BATCH];
};

int nf__back_queue_init(struct nf_back_queue *q, struct nf_back_rings *rings,
			struct nf_layer *layer, struct nf_port *port, struct nf_counters *counters,
			const struct nf_net_features *offered, const struct nf_net_features *agreed,
			uint16_t peer, int event_fd);
void nf__back_queue_fini(struct nf_back_queue *q);
/* The map changed: cached addresses are looked up again. Queue detached. */
void nf__back_queue_forget(struct nf_back_queue *q);
int nf__back_tx_run(struct nf_back_queue *q); /* poller */
int nf__back_rx_run(struct nf_back_queue *q);
uint32_t nf__back_rx_need(const struct nf_back_queue *q); /* slots of the largest frame */
/* Poller: one more operation between the bounce and a granted page; runs the batch of them. */
void nf__back_copy_add(struct nf_back_queue *q, uint32_t gref, void *local, uint32_t offset,
		       uint32_t bytes, bool to_peer, uint32_t owner);
int nf__back_copy_run(struct nf_back_queue *q); /* operations that failed, or negative errno */

#endif
