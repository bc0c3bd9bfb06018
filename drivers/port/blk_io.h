/* SPDX-License-Identifier: MIT */
/*
 * What carries out one system call's worth of a disk request, asynchronously: io_uring, or threads
 * where the kernel refuses that. Neither knows requests, sectors or bounces.
 *
 * Threads: add, submit and reap are one poller's; open and close the control thread's.
 */
#ifndef NF_PORT_BLK_IO_H
#define NF_PORT_BLK_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum nf__io_op {
	NF__IO_READV,
	NF__IO_WRITEV,
	NF__IO_FDATASYNC,
	NF__IO_PUNCH,	      /* fallocate: a hole of bytes at offset */
	NF__IO_BLKDISCARD,    /* threads only */
	NF__IO_BLKSECDISCARD, /* threads only */
};

/* The caller's until its completion. iov stays valid as long. */
struct nf__io {
	struct nf__io *next; /* the engine's */
	const struct iovec *iov;
	uint64_t offset; /* bytes */
	uint64_t bytes;	 /* PUNCH and discards */
	uint32_t niov;
	int fd;
	uint8_t op;	 /* enum nf__io_op */
	uint8_t is_sync; /* WRITEV: durable when it completes */
	int16_t buffer;	 /* of registered memory holding iov[0] (niov is 1), -1: none */
	int32_t result;	 /* bytes moved, 0, or negative errno */
};

struct nf__engine;

struct nf__engine_ops {
	/* Queues an io; the engine was opened for as many as the caller ever has in flight. */
	void (*add)(struct nf__engine *e, struct nf__io *io);
	/* Starts what was added. 0, or a negative errno: nothing of it was lost, call again. */
	int (*submit)(struct nf__engine *e);
	/* Up to cap finished ones, never blocking. */
	uint32_t (*reap)(struct nf__engine *e, struct nf__io **out, uint32_t cap);
	/* Blocks until something is there to reap (or a signal came). */
	void (*wait)(struct nf__engine *e);
	/* fd was readable. */
	void (*woken)(struct nf__engine *e);
	/* Nothing may be in flight. */
	void (*close)(struct nf__engine *e);
};

struct nf__engine {
	const struct nf__engine_ops *ops;
	int fd; /* readable while something can be reaped */
};

/* depth: most in flight. -ENOSYS, -EPERM: the kernel has no io_uring for us. */
int nf__uring_open(uint32_t depth, struct nf__engine **out);
/* Memory for io.buffer: number i is regions[i]. Replaces what was there. -errno: none is. */
int nf__uring_register(struct nf__engine *e, const struct iovec *regions, uint32_t count);
int nf__io_threads_open(uint32_t depth, struct nf__engine **out);

#endif
