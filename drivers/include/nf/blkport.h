/* SPDX-License-Identifier: MIT */
/*
 * Sectors: where they lie and who asks for them.
 *
 *   blkback drives a disk:   nf_disk (one a device), nf_blkport (one a queue, one poller)
 *   blkfront is driven by a  nf_blkuser (NBD server, generator), and shows itself to it as a
 *   nf_blkport too: what a user can do with a file it can do with a nested disk.
 *
 * Units: sectors are 512 bytes always. Requests are asynchronous: submit takes them in batches,
 * reap hands completions out in batches, in any order.
 *
 * Trust: data of a segment may be a hostile peer's page and change at any time; ports only move it.
 * Everything else of a request (numbers, iovecs) is private memory of the caller.
 */
#ifndef NF_BLKPORT_H
#define NF_BLKPORT_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "nf/control.h"
#include "nf/counters.h"

#define NF_SECTOR_BYTES 512u
#define NF_BLKREQ_SEGS_MAX 1024u		/* segments of one request */
#define NF_BLKREQ_BYTES_MAX (4u << 20)		/* payload of one request */
#define NF_BLKPORT_DEPTH_MAX 1024u		/* requests in flight in one port */
#define NF_DISK_SECTORS_MAX ((uint64_t)1 << 53) /* 2^62 bytes: byte offsets fit an off_t */

enum nf_blkop {
	NF_BLKOP_READ = 0,
	NF_BLKOP_WRITE = 1,
	NF_BLKOP_FLUSH = 2, /* every write completed before its submission is durable after it */
	NF_BLKOP_DISCARD = 3,
};

#define NF_BLKREQ_FUA 0x01u    /* WRITE: durable when it completes */
#define NF_BLKREQ_SECURE 0x02u /* DISCARD: the old bytes cannot be had again */

/* One request. The caller keeps segs and what they point to valid until the completion. */
struct nf_blkreq {
	uint64_t token;		  /* the caller's; comes back in the completion */
	uint64_t sector;	  /* first, READ/WRITE/DISCARD */
	uint64_t sectors;	  /* READ/WRITE: the segments' sum / 512; DISCARD: any count */
	const struct iovec *segs; /* each a multiple of 512 bytes, not 0; FLUSH, DISCARD: NULL */
	uint32_t nsegs;
	uint8_t op;    /* enum nf_blkop */
	uint8_t flags; /* NF_BLKREQ_* */
	uint16_t pad;
};

/* error: 0 or negative errno, of this request alone. -EIO, -ENOSPC, -EROFS (write to a read-only
 * disk), -EOPNOTSUPP (the disk cannot discard, or not securely), -EINVAL (beyond the end, unaligned
 * sizes, too many segments), -EDQUOT, -ENODEV (the disk is gone for good). Never -EAGAIN, -EINTR.
 */
struct nf_blkdone {
	uint64_t token;
	int32_t error;
	uint32_t pad;
};

/* Written by the control thread (open, refresh), read by anybody. */
struct nf_disk_geometry {
	uint64_t sectors;	 /* 1 .. NF_DISK_SECTORS_MAX */
	uint32_t physical_bytes; /* power of two, 512 .. 65536: best write unit */
	uint32_t discard_bytes;	 /* granularity, 0: no discard */
	uint32_t discard_align;	 /* bytes: offset of the first granule */
	uint8_t readonly;	 /* writes and discards fail with -EROFS */
	uint8_t flush;		 /* FLUSH and FUA do something; else writes are durable at once
				    or never (mem, null): both still succeed */
	uint8_t discard_secure;
	uint8_t pad;
};

struct nf_blkport;

struct nf_blkport_ops {
	const char *name;
	/*
	 * Takes requests in order and starts them; returns how many were taken. Fewer than n: as
	 * many as fit are in flight, again after a reap. A request that is wrong is taken and
	 * completes with its error; only a port that is dead returns -ENODEV (a completion with
	 * -ENODEV is the same said of one request). One system call a batch at most.
	 */
	int (*submit)(struct nf_blkport *p, const struct nf_blkreq *reqs, uint32_t n);
	/* Up to cap completions; 0: none now. Never blocks. No system call when nothing is ready.
	 */
	int (*reap)(struct nf_blkport *p, struct nf_blkdone *done, uint32_t cap);
	/*
	 * Before sleeping on fd. > 0: completions are there already; 0: fd gets readable with the
	 * next one (or nothing is in flight). NULL: as if 0.
	 */
	int (*arm)(struct nf_blkport *p);
	/* fd was readable: makes it unreadable again. NULL: nothing to do. */
	void (*woken)(struct nf_blkport *p);
	/*
	 * That request's segments are not touched once this returns; its completion comes all the
	 * same. What is in the pool is not meant. Poller. NULL: not here, only close ends it.
	 */
	void (*abandon)(struct nf_blkport *p, uint64_t token);
	/* Waits until no request's memory is in use any more (completions nobody reaped are lost),
	 * then frees. Control thread, off the poller. */
	void (*close)(struct nf_blkport *p);
};

/*
 * One queue of a disk. One poller's, but for close.
 *
 * pool: memory for payload that costs no copy (a front's granted pages), shared out by whoever
 * drives the port; segments elsewhere are legal and copied. Page aligned. NULL: any memory will do.
 */
struct nf_blkport {
	const struct nf_blkport_ops *ops;
	int fd;		    /* readable when completions wait, once armed; -1: see idle_poll */
	uint32_t depth;	    /* requests it keeps in flight, 1 .. NF_BLKPORT_DEPTH_MAX */
	uint32_t mem_align; /* address and length of segments with which no copy is made; 512.. */
	uint32_t segs_max;  /* of a request without being split inside, a hint */
	uint32_t bytes_max; /* likewise; a user stays below it, 0: NF_BLKREQ_BYTES_MAX */
	uint32_t idle_poll; /* 1: completions appear without fd (done at submit) */
	uint32_t is_full;   /* 1: takes nothing before something is reaped; 0: it may */
	uint8_t *pool;
	uint64_t pool_bytes;
	const struct nf_disk_geometry *geometry; /* of its disk; borrowed */
	struct nf_counters *counters;		 /* borrowed; the queue's block, may be NULL */
	void *priv;
};

/* ---- disks: what a back drives ---- */

struct nf_disk;

struct nf_disk_env {
	uint32_t devid;
	bool readonly;	     /* asked for by the toolstack */
	bool direct_io_safe; /* pages may be written by DMA while the peer holds them: O_DIRECT
				straight into them. false: a bounce, as xl's direct-io-safe=0 */
};

struct nf_disk_ops {
	const char *name; /* CONTRACT.md's `port`: file, block, mem, null */
	/* Opens queue number `queue`; depth 0: the disk's own. Control thread. 0 or -errno. */
	int (*queue)(struct nf_disk *d, uint32_t queue, uint32_t depth,
		     struct nf_counters *counters, struct nf_blkport *out);
	/* Looks at the store again (after a resize). 1: geometry changed, 0: not, -errno: it cannot
	 * be looked at; the geometry stays. Control thread, while queues run. NULL: never changes.
	 */
	int (*refresh)(struct nf_disk *d);
	/*
	 * Memory that queues may register with the kernel (granted arenas mapped here): only what
	 * is a memfd or anonymous memory of this process; valid until forget or close. Optional: an
	 * optimisation. NULL: ignored. Control thread, queues off the poller.
	 */
	int (*lend)(struct nf_disk *d, void *base, uint64_t bytes);
	void (*forget)(struct nf_disk *d, void *base);
	void (*close)(struct nf_disk *d); /* after its queues */
};

struct nf_disk {
	const struct nf_disk_ops *ops;
	struct nf_disk_geometry geometry;
	const char *cache;  /* CONTRACT.md's `cache`: "direct", "buffered", "none" */
	const char *engine; /* "io_uring", "threads" (no io_uring here: why is in err), "inline" */
	void *priv;
};

/*
 * Opens a disk from its spec. Control thread.
 *   file:PATH[,direct=on|off|auto][,ro][,engine=auto|io_uring|threads][,create=SIZE]
 *   block:PATH[,...]   the same, and PATH is a block device
 *   mem:SIZE           anonymous memory, zeroed; SIZE as 64M, 8G, 4096
 *   null:SIZE          moves no data: reads leave the buffers as they are
 * err gets one line: with the remedy on failure, or a warning (engine fallback) on success; else
 * it is empty. -EINVAL: unknown or malformed spec; -ENOENT, -EACCES, -EISDIR, -ENOSPC, -ENOMEM.
 * out is untouched on failure.
 */
int nf_disk_open(const char *spec, const struct nf_disk_env *env, struct nf_disk *out, char *err,
		 uint32_t err_cap);
/* 0 when the spec is well formed, else -EINVAL and a line in err. No side effect. */
int nf_disk_check(const char *spec, char *err, uint32_t err_cap);

static inline int nf_disk_queue(struct nf_disk *d, uint32_t queue, uint32_t depth,
				struct nf_counters *counters, struct nf_blkport *out)
{
	return d->ops->queue(d, queue, depth, counters, out);
}

static inline int nf_disk_refresh(struct nf_disk *d)
{
	return d->ops->refresh ? d->ops->refresh(d) : 0;
}

static inline void nf_disk_close(struct nf_disk *d)
{
	if (d->ops)
		d->ops->close(d);
	d->ops = 0;
}

static inline void nf_blkport_close(struct nf_blkport *p)
{
	if (p->ops)
		p->ops->close(p);
	p->ops = 0;
}

/* ---- users: what drives a front ---- */

struct nf_blkuser;

struct nf_blkuser_ops {
	const char *name;
	/*
	 * The disk is there: the first call to run follows. Control thread, off the poller. disk is
	 * borrowed until stop; its geometry may change in between (sectors only). A front that
	 * reconnects keeps requests in flight and calls neither.
	 */
	int (*start)(struct nf_blkuser *u, struct nf_blkport *disk);
	/* The disk goes: what is in flight will not be reaped. Control thread, off the poller. */
	void (*stop)(struct nf_blkuser *u);
	/* Poller. Reaps the disk, submits to it, bounded. Returns things moved, or -errno: the user
	 * is dead. */
	int (*run)(struct nf_blkuser *u);
	/* Poller, before sleeping. > 0: work is there already. The disk's own arm is the front's.
	 */
	int (*arm)(struct nf_blkuser *u);
	/* Poller: descriptors of the user's own to wait on (POLLIN); how many. */
	int (*fds)(struct nf_blkuser *u, int *fds, int cap);
	void (*close)(struct nf_blkuser *u); /* stops first if need be */
};

struct nf_blkuser {
	const struct nf_blkuser_ops *ops;
	struct nf_counters *counters; /* borrowed, may be NULL */
	void *priv;
};

struct nf_blkuser_env {
	uint32_t devid;
	uint32_t queue, queues;
	const struct nf_control_dev *control; /* may be NULL */
	struct nf_counters *counters;	      /* may be NULL */
	struct nf_counters *latency;	      /* NF_LATENCY_BLOCKS blocks, may be NULL */
};

/*
 * Opens a user from its spec: "none", "gen" (load generator driven by the control page) or
 * "nbd:PATH" (NBD server on a Unix socket; queue 0 serves, other queues' users do nothing).
 * -EINVAL, -EADDRINUSE, -EACCES ...; err gets one line with the remedy. Control thread.
 */
int nf_blkuser_open(const char *spec, const struct nf_blkuser_env *env, struct nf_blkuser *out,
		    char *err, uint32_t err_cap);

static inline void nf_blkuser_close(struct nf_blkuser *u)
{
	if (u->ops)
		u->ops->close(u);
	u->ops = 0;
}

#endif
