/* SPDX-License-Identifier: MIT */
/*
 * blkfront and blkback: negotiation (control thread) and data queues (poller), as nf/net.h.
 *
 * A back has a port (nf/blkport.h) that does the I/O. A front has a user: whoever wants sectors
 * read and written (an NBD server, a generator, a JS object). The user submits struct nf_blk_io
 * objects in the poller's thread; each is answered exactly once, in any order. What was not
 * answered when a connection broke is done again on the next: the user sees a slow request, no
 * error, until the front is closed.
 */
#ifndef NF_BLK_H
#define NF_BLK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "nf/blkif.h"
#include "nf/counters.h"
#include "nf/device.h"
#include "nf/layer.h"
#include "nf/poll.h"
#include "nf/ring.h"

#define NF_BLK_QUEUES_MAX 8u
#define NF_BLK_RING_PAGES_MAX 16u
#define NF_BLK_POOL_PAGES_MAX 2048u /* payload pages of a queue */
#define NF_BLK_IOVS_MAX 1024u	    /* of one io */

/* ---- the front's user ---- */

struct nf_blk_queue; /* one queue of a front, for the front's whole life */

/*
 * One I/O. The caller's object, and the memory it names, are borrowed from submit until done is
 * called; a write's data must not change meanwhile (it may be sent again). Zero the rest.
 */
struct nf_blk_io {
	uint64_t sector;  /* first, of 512 bytes; a multiple of the disk's sector */
	uint64_t sectors; /* of 512 bytes; 0 for a flush; any length: large ones are split */
	uint8_t op;	  /* enum nf_blk_op, not INDIRECT */
	uint8_t secure;	  /* of a discard */
	uint16_t iovs;	  /* count at iov; 0: iov is not looked at, data is */
	uint8_t *data;	  /* read, write, barrier: sectors * 512 bytes; NULL: see page */
	/* in place of data: pieces, each a multiple of 512 bytes, together sectors * 512 */
	const struct iovec *iov;
	/* in place of both: pages of nf_blk_pages_take, sectors * 512 / 4096 rounded up, filled or
	 * read in place, nothing is copied. At most nf_blk_pages_max(). */
	const uint32_t *page;
	/* Poller (or control thread, at close); may submit more, also this object. */
	void (*done)(struct nf_blk_io *io);
	void *ctx;
	/* 0; -EIO the back failed it; -EOPNOTSUPP the back cannot; -ENODEV the front was closed */
	int32_t status;
	/* the front's from submit to done */
	uint32_t nf_parts;
	uint64_t nf_next_sector;
	struct nf_blk_io *nf_prev, *nf_next;
};

/*
 * Takes an io: it goes to the back by the end of this round, or when there is room. Poller, from
 * the user's run or an io's done; the control thread while the queue is detached. Never blocks.
 * -EINVAL: unknown op, no data, not a multiple of the disk's sector; -ERANGE: beyond the disk;
 * -EROFS: a write to a read-only disk; -EOPNOTSUPP: the disk offers no such op; -ENODEV: closed.
 * On failure the io was not taken and done is not called.
 */
int nf_blk_submit(struct nf_blk_queue *q, struct nf_blk_io *io);
/* The disk as this queue's back offered it last; sectors 0 before the first connection. Poller. */
const struct nf_blk_disk *nf_blk_queue_disk(const struct nf_blk_queue *q);
uint32_t nf_blk_queue_index(const struct nf_blk_queue *q);
/* Ios taken and not done. */
uint32_t nf_blk_queue_pending(const struct nf_blk_queue *q);
/* Granted pages of the queue for use in place, last given first taken. Returns how many were taken:
 * count, or 0. Numbers stay valid over reconnections, addresses do not. Poller. */
uint32_t nf_blk_pages_take(struct nf_blk_queue *q, uint32_t *pages, uint32_t count);
void nf_blk_pages_give(struct nf_blk_queue *q, const uint32_t *pages, uint32_t count);
uint8_t *nf_blk_page(struct nf_blk_queue *q, uint32_t page); /* its 4096 bytes */
uint32_t nf_blk_pages_max(const struct nf_blk_queue *q);     /* of one io with page set */

struct nf_blk_user;
struct nf_blk_user_ops {
	const char *name;
	/* Poller, each round while connected: submits what there is. Ios submitted, 0 none, or a
	 * negative errno: the device is stopped. NULL: ios only come from done. */
	int (*run)(struct nf_blk_user *u, struct nf_blk_queue *q);
	/* About to sleep: > 0 there is work, 0 the descriptors will tell. NULL: 0. */
	int (*arm)(struct nf_blk_user *u, struct nf_blk_queue *q);
	/* Descriptors (POLLIN) beside the ring's, up to 4; NULL: none. */
	int (*fds)(struct nf_blk_user *u, struct nf_blk_queue *q, int *fds, int cap);
	/* One of the queue's descriptors was readable; also the ring's. NULL: nothing to do. */
	void (*woken)(struct nf_blk_user *u, struct nf_blk_queue *q);
	/* Control thread. disk: connected, or connected again, or resized (queues run or start
	 * right after); NULL: the connection broke, ios wait. queues: how many are connected:
	 * 0 .. queues - 1 are run. NULL op: nothing to do. */
	void (*disk)(struct nf_blk_user *u, const struct nf_blk_disk *disk, uint32_t queues);
};

struct nf_blk_user {
	const struct nf_blk_user_ops *ops;
	void *priv;
};

/* ---- both ends ---- */

/* What sector numbers and the key "sectors" count on the wire. */
enum nf_blk_units {
	NF_BLK_UNITS_512 = 0, /* 512 bytes, always: Linux, and what Xen settled on */
	/* the disk's sector-size: what blkif.h said until 4.20, with feature-large-sector-size */
	NF_BLK_UNITS_SECTOR = 1,
};

enum nf_blk_grants {
	NF_BLK_GRANTS_STATIC = 1, /* registered once at connect, our extension */
	NF_BLK_GRANTS_PERSISTENT = 2,
	NF_BLK_GRANTS_COPY = 3, /* a grant copy a segment */
	NF_BLK_GRANTS_MAP = 4,	/* mapped and unmapped a request */
};

/* Negotiated, or offered, or wanted. */
struct nf_blk_features {
	struct nf_blk_disk disk; /* the back's */
	uint8_t abi;		 /* enum nf_blk_abi, the front's choice */
	uint8_t units;		 /* enum nf_blk_units */
	uint8_t persistent;	 /* feature-persistent */
	uint8_t registered;	 /* feature-nestfront-registered */
	uint8_t registered_only; /* feature-/request-nestfront-registered-only */
	uint32_t indirect;	 /* feature-max-indirect-segments, 0: none */
	uint32_t ring_pages;	 /* max-ring-pages, ring-page-order: 1, 2, 4, 8, 16 */
	uint32_t queues;	 /* multi-queue-max-queues, 1 when absent */
};

struct nf_blk_config {
	struct nf_layer *layer;
	struct nf_store *store;
	struct nf_poller *poller; /* where queues go; NULL with own data code */
	struct nf_counters_map *counters;
	const struct nf_control_page *control;
	const char *path;	   /* device node */
	const char *port;	   /* back: port spec (nf/blkport.h); NULL: a relay's end */
	struct nf_blk_user *user;  /* front: borrowed until close; NULL: a relay's end */
	uint32_t queues;	   /* wanted or offered, 1 .. NF_BLK_QUEUES_MAX */
	uint32_t ring_pages;	   /* wanted or offered at most; 0: 1 */
	uint32_t pool_pages;	   /* front: payload pages a queue; 0: 11 a slot, at most 512 */
	uint32_t indirect;	   /* segments at most; 0: 64 (256 KiB); up to 11: none */
	enum nf_blk_grants grants; /* back: STATIC offers everything; PERSISTENT, COPY, MAP: no
				    * better than that. front: STATIC, or PERSISTENT: not ours */
	enum nf_blk_units units;
	enum nf_blk_abi abi;  /* front */
	bool registered_only; /* back offers / front demands requests of registered grefs only */
	bool readonly;	      /* back: whatever the port can, and the node's "mode" says */
	const char *journal;  /* back: file of its ledger, as in nf/net.h; NULL: none */
	bool await_hotplug;   /* back: as in nf/net.h */
	const char *token;
	void (*notice)(void *ctx, const char *line); /* one human line; may be NULL */
	void *ctx;
};

enum nf_blk_phase { /* as enum nf_net_phase */
		    NF_BLK_WAITING,
		    NF_BLK_PREPARED,
		    NF_BLK_OFFERING,
		    NF_BLK_PUBLISHED,
		    NF_BLK_MAPPED,
		    NF_BLK_RUNNING,
		    NF_BLK_CLOSING, /* back: also until the port has answered what it was asked */
		    NF_BLK_CLOSED,
		    NF_BLK_FAILED,
};

/* ---- front ---- */
struct nf_blkfront;
/* cfg is copied, what it points to but the strings is borrowed until close. */
int nf_blkfront_open(const struct nf_blk_config *cfg, struct nf_blkfront **out);
/* Advances after any store event; never blocks for the peer. Returns the phase or a negative errno
 * that ended the connection (the object stays, phase FAILED). */
int nf_blkfront_step(struct nf_blkfront *f);
/* Orderly: 5, waits (by step) for the back, 6. Ios wait for close. */
int nf_blkfront_shutdown(struct nf_blkfront *f);
/* At once; ios that are not done are done with -ENODEV. NULL is fine. */
void nf_blkfront_close(struct nf_blkfront *f);
int nf_blkfront_phase(const struct nf_blkfront *f);
int nf_blkfront_state(const struct nf_blkfront *f);   /* xenbus, as last written */
int nf_blkfront_ctrl_fd(const struct nf_blkfront *f); /* to wait on (POLLIN), then step */
const struct nf_blk_features *nf_blkfront_agreed(const struct nf_blkfront *f);
enum nf_blk_grants nf_blkfront_grants(const struct nf_blkfront *f);
/* Queue i of the wanted ones, connected or not. NULL: no such queue. */
struct nf_blk_queue *nf_blkfront_queue(struct nf_blkfront *f, uint32_t i);
uint32_t nf_blkfront_queues(const struct nf_blkfront *f); /* connected */

/* ---- back ---- */
struct nf_blkback;
int nf_blkback_open(const struct nf_blk_config *cfg, struct nf_blkback **out);
int nf_blkback_step(struct nf_blkback *b);
/* Orderly; what the port was asked for is waited for: no write of this connection is done after its
 * Closed was said. */
int nf_blkback_shutdown(struct nf_blkback *b);
/* At once. Waits for what the kernel may still be doing with the guest's pages. */
void nf_blkback_close(struct nf_blkback *b);
int nf_blkback_phase(const struct nf_blkback *b);
int nf_blkback_state(const struct nf_blkback *b);
int nf_blkback_ctrl_fd(const struct nf_blkback *b);
const struct nf_blk_features *nf_blkback_agreed(const struct nf_blkback *b);
uint32_t nf_blkback_queues(const struct nf_blkback *b);

#endif
