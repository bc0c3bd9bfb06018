/* SPDX-License-Identifier: MIT */
/*
 * One hypervisor as one of its domains sees it: grant tables, event channels, the store.
 * A table of functions, the same verbs for every kind (embedded, xen, later blanket). A verb a kind
 * lacks is announced by its capability bit and returns -ENOSYS.
 *
 * Threads: control verbs (everything but chan_notify, chan_clear and copy) are called by one thread
 * at a time per layer object; chan_* by the owner of the channel; copy by any poller.
 * Every verb returns >= 0 or a negative errno and leaves its outputs untouched on failure.
 *   -ECONNRESET  the hypervisor is gone (running rings and channels go on)
 *   -EACCES      the hypervisor refuses: not this domain's grant, port or device
 *   -EDQUOT      the domain's quota is used up
 *   -ETIMEDOUT   no answer within NF_LAYER_TIMEOUT_MS
 */
#ifndef NF_LAYER_H
#define NF_LAYER_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NF_PAGE_BYTES 4096u
#define NF_DOMID_SELF 0x7ff0u /* also: "no inner owner" in an arena key */
#define NF_GREF_RESERVED 8u   /* entries below are the console's, the store's and spare */
#define NF_GREF_NONE 0xffffffffu
#define NF_ARENA_PAGES_MAX 2048u /* of one allocation */
#define NF_LAYER_TIMEOUT_MS 10000

/* What an arena holds. Payload and the inner and outer rings never share one. */
enum nf_purpose {
	NF_PURPOSE_TX_RING = 1,
	NF_PURPOSE_RX_RING = 2,
	NF_PURPOSE_CTRL = 3,	   /* control ring and its data page */
	NF_PURPOSE_TX_PAYLOAD = 4, /* granted read-only */
	NF_PURPOSE_RX_PAYLOAD = 5,
	NF_PURPOSE_CHAN = 6, /* event channel (TX's or the shared one), for donations */
	NF_PURPOSE_CHAN_RX = 7,
	/* block devices: their devids are numbered apart from the network's */
	NF_PURPOSE_BLK_RING = 8,
	NF_PURPOSE_BLK_PAYLOAD = 9,
	NF_PURPOSE_BLK_LISTS = 10, /* segments of indirect requests */
	NF_PURPOSE_BLK_TABLE = 11, /* grefs to register */
	NF_PURPOSE_BLK_CHAN = 12,
	NF_PURPOSE_OTHER = 15,
};

enum nf_layer_caps {
	NF_CAP_GRANT = 1u << 0,
	NF_CAP_MAP = 1u << 1,
	NF_CAP_COPY = 1u << 2,
	NF_CAP_READONLY = 1u << 3, /* read-only grants are enforced */
	NF_CAP_DONATE = 1u << 4,   /* may back an inner domain's arenas and channels */
	NF_CAP_BACKING = 1u << 5,  /* its arenas can be donated to an inner layer */
	NF_CAP_EQUAL_GREFS = 1u << 6,
};

/* Everything that makes one arena different from another. */
struct nf_arena_key {
	uint16_t peer;	      /* grantee domid */
	uint16_t inner_owner; /* domid on the inner layer these pages are for, or NF_DOMID_SELF */
	uint16_t device;      /* devid */
	uint16_t queue;
	uint8_t purpose;  /* enum nf_purpose */
	uint8_t readonly; /* 1: the peer may only read */
};

/* Pages granted to one peer. grefs: the caller's array, one per page. */
struct nf_arena {
	struct nf_arena_key key;
	uint64_t id;   /* the hypervisor's name for it */
	uint8_t *base; /* mapping, NULL with NF_ALLOC_NOMAP */
	uint32_t pages;
	int fd; /* descriptor of the pages, owned by the arena, -1 if the kind has none */
	uint64_t fd_offset; /* bytes */
	uint32_t *grefs;    /* borrowed from the caller until end */
};

#define NF_ALLOC_NOMAP 1u /* a relay passes the pages on and must not see them */

/* Pages of a peer mapped here. addrs: the caller's array, one address per gref, NULL after unmap.
 */
struct nf_mapping {
	uint16_t peer;
	uint32_t count;
	uint32_t *grefs; /* borrowed from the caller until unmap */
	void **addrs;	 /* borrowed from the caller until unmap */
	void *priv;
};

struct nf_grant_copy {
	uint16_t peer;
	uint16_t offset; /* in the granted page; offset + bytes <= 4096, else status -ERANGE */
	uint16_t bytes;
	uint16_t to_peer; /* 1: local -> granted page, 0: granted page -> local */
	uint32_t gref;
	int32_t status; /* out: 0 or negative errno, per op */
	void *local;
};

/* One end of an event channel. Non-blocking always. */
struct nf_chan {
	struct nf_layer *layer;
	int fd; /* readable = pending; poll() on it; -1 = closed */
	uint32_t port;
};

struct nf_layer_ops {
	const char *kind; /* "embedded", "xen", "blanket" */

	/* Front side. alloc grants key.peer the pages; grefs[pages] is written. The granter's
	 * mapping exists before a read-only grant is sealed. end is test-and-end for the whole
	 * arena: 0 = all pages returned; -EBUSY = the peer still maps some: they are quarantined by
	 * the hypervisor and charged to the peer. Either way the arena is gone for the caller (fd
	 * closed, unmapped). */
	int (*alloc)(struct nf_layer *l, const struct nf_arena_key *key, uint32_t pages,
		     uint32_t flags, uint32_t *grefs, struct nf_arena *out);
	int (*end)(struct nf_layer *l, struct nf_arena *arena);

	/* Relay. The next alloc by `inner` with the same (device, queue, purpose) gets these pages
	 * in place of fresh ones. equal_grefs: numbered as in arena->grefs, -EEXIST if one is
	 * taken. The arena stays the caller's; donating again replaces. */
	int (*donate)(struct nf_layer *l, uint16_t inner, const struct nf_arena *arena,
		      bool equal_grefs);
	/* The next alloc_chan by `inner` for (device, queue, purpose) gets this end; chan->fd is
	 * duplicated, the caller keeps or closes its own. */
	int (*donate_chan)(struct nf_layer *l, uint16_t inner, uint16_t device, uint16_t queue,
			   uint8_t purpose, const struct nf_chan *chan);

	/* Back side. All or nothing. */
	int (*map)(struct nf_layer *l, uint16_t peer, uint32_t *grefs, uint32_t count,
		   bool readonly, void **addrs, struct nf_mapping *out);
	int (*unmap)(struct nf_layer *l, struct nf_mapping *m);
	/* Returns 0 when the batch ran (look at each status), negative when it could not run at
	 * all. */
	int (*copy)(struct nf_layer *l, struct nf_grant_copy *ops, uint32_t count);

	/* Event channels. alloc_chan: unbound port for peer; bind_chan: to the peer's port. */
	int (*alloc_chan)(struct nf_layer *l, uint16_t peer, uint16_t device, uint16_t queue,
			  uint8_t purpose, struct nf_chan *out);
	int (*bind_chan)(struct nf_layer *l, uint16_t peer, uint32_t port, struct nf_chan *out);
	/* 0 (also when already pending), -ENODEV the peer hung up. */
	int (*chan_notify)(struct nf_chan *c);
	/* Drains: number of notifications merged (>= 0), -ENODEV the peer hung up. */
	int (*chan_clear)(struct nf_chan *c);
	void (*chan_close)(struct nf_chan *c);

	/* A stream descriptor speaking the xenstore wire protocol as this domain; caller closes. */
	int (*store_fd)(struct nf_layer *l);
	void (*close)(struct nf_layer *l);
};

struct nf_layer {
	const struct nf_layer_ops *ops;
	uint32_t caps;
	uint16_t domid;	 /* our own */
	int counters_fd; /* memfd of struct nf_counters_page, writable by us; -1 none */
	int control_fd;	 /* memfd of struct nf_control_page, read-only for us; -1 none */
	/* grant copies that one hypercall takes; 0: copies are plain loads and stores */
	uint32_t copies_per_call;
};

/*
 * Opens the embedded layer on a connected SOCK_SEQPACKET to its hypervisor (ownership passes).
 * -EPROTONOSUPPORT: the hypervisor speaks another version. -EINVAL: not such a socket.
 */
int nf_layer_open_embedded(int fd, struct nf_layer **out);
/* Another connection of the same domain to the same hypervisor: a descriptor for a second process.
 */
int nf_layer_embedded_clone(struct nf_layer *l);
/*
 * Real Xen, through the kernel's devices in dir (NULL: "/dev/xen"). -ENOENT: no such devices here:
 * not a Xen guest, or its modules (xen-evtchn, xen-gntdev, xen-gntalloc, xenfs) are not loaded.
 */
int nf_layer_open_xen(const char *dir, struct nf_layer **out);

#endif
