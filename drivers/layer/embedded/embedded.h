/* SPDX-License-Identifier: MIT */
/*
 * Inside of the embedded layer's client. One socket to the hypervisor, one lock around it and
 * around everything it hands out; grant copy reads what it needs without the lock (see copy.c).
 */
#ifndef NF_EMBEDDED_H
#define NF_EMBEDDED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nf/hvmsg.h"
#include "nf/layer.h"

/* Pages of a peer as mapped here: one mmap for each (peer, arena, access), however many grants and
 * users name pages in it. */
struct nf__arena_map {
	struct nf__arena_map *next;
	uint64_t id;
	uint8_t *base;
	uint32_t pages;
	uint32_t refs; /* one a mapped gref */
	uint16_t peer;
	bool readonly;
};

struct nf__copy_peer; /* copy.h */

struct nf__embedded {
	struct nf_layer base;
	int fd;
	pthread_mutex_t lock; /* everything below, and the socket */
	uint32_t seq;
	uint32_t answered; /* seq of the last reply seen */
	bool is_repeated;  /* it came twice */
	int error;	   /* 0 or sticky: -ECONNRESET, -EPROTO */
	uint8_t *in;	   /* NF_HV_MESSAGE_MAX bytes: the last reply */
	int table_fd;
	struct nf__arena_map *maps;

	/* grant copy reads these without the lock, see copy.c */
	_Atomic(struct nf__copy_peer *) peers;
	atomic_uint epoch;
	atomic_uint readers[2];
};

static inline struct nf__embedded *nf__embedded_of(struct nf_layer *l)
{
	return (struct nf__embedded *)((char *)l - offsetof(struct nf__embedded, base));
}

/* ---- call.c ---- */

/* One request and its reply. Zeroed but for the request part. */
struct nf__hv_call {
	void *request; /* starts with a nf_hv_header, of which only type is set */
	size_t request_bytes;
	const void *tail; /* goes behind the request, may be NULL */
	size_t tail_bytes;
	int request_fd;	      /* sent along when >= 0; stays the caller's */
	size_t reply_min;     /* fewer bytes in a successful reply are -EPROTO */
	int fds_min, fds_max; /* as many descriptors a successful reply must carry */

	const void *reply; /* borrowed until the lock is released */
	size_t reply_bytes;
	int fds[NF_HV_FDS_MAX]; /* the caller's */
	int fd_count;
};

/* Caller holds the lock. 0, the reply's negative status (no descriptors then), or the transport's
 * error: -ECONNRESET and -EPROTO sticky, -ETIMEDOUT not. */
int nf__hv_call(struct nf__embedded *e, struct nf__hv_call *c);
/* Closes descriptors from index `from` on. */
void nf__hv_close_fds(struct nf__hv_call *c, int from);
/* Marks the connection broken and returns -EPROTO: for replies whose contents make no sense. */
int nf__hv_broken(struct nf__embedded *e, struct nf__hv_call *c);
/* 0 if fd is a memfd that cannot shrink and holds bytes at offset; else -EPROTO. */
int nf__hv_check_memory(int fd, uint64_t offset, uint64_t bytes);
/* 0 if fd is an AF_UNIX socket of that type; else -EPROTO. */
int nf__hv_check_socket(int fd, int type);

/* ---- map.c; caller holds the lock ---- */

/* Maps count grefs: all or none. slots[i]: where gref i lies. */
struct nf__map_slot {
	struct nf__arena_map *map;
	uint32_t page;
};
int nf__map_grefs(struct nf__embedded *e, uint16_t peer, const uint32_t *grefs, uint32_t count,
		  bool readonly, struct nf__map_slot *slots);
/* Drops a reference of each map (munmap at the last), then tells the hypervisor. */
int nf__unmap_grefs(struct nf__embedded *e, uint16_t peer, const uint32_t *grefs, uint32_t count,
		    bool readonly, const struct nf__map_slot *slots);

/* ---- verbs ---- */
int nf__embedded_alloc(struct nf_layer *l, const struct nf_arena_key *key, uint32_t pages,
		       uint32_t flags, uint32_t *grefs, struct nf_arena *out);
int nf__embedded_end(struct nf_layer *l, struct nf_arena *arena);
int nf__embedded_donate(struct nf_layer *l, uint16_t inner, const struct nf_arena *arena,
			bool equal_grefs);
int nf__embedded_map(struct nf_layer *l, uint16_t peer, uint32_t *grefs, uint32_t count,
		     bool readonly, void **addrs, struct nf_mapping *out);
int nf__embedded_unmap(struct nf_layer *l, struct nf_mapping *m);
int nf__embedded_copy(struct nf_layer *l, struct nf_grant_copy *ops, uint32_t count);
/* Forgets the pages grant copy keeps mapped of a peer; caller holds the lock and runs no copy. */
void nf__copy_purge(struct nf__embedded *e, uint16_t peer);
/* The same for all peers, and frees the peers: no copy may run any more. */
void nf__copy_cache_fini(struct nf__embedded *e);
int nf__embedded_alloc_chan(struct nf_layer *l, uint16_t peer, uint16_t device, uint16_t queue,
			    uint8_t purpose, struct nf_chan *out);
int nf__embedded_bind_chan(struct nf_layer *l, uint16_t peer, uint32_t port, struct nf_chan *out);
int nf__embedded_donate_chan(struct nf_layer *l, uint16_t inner, uint16_t device, uint16_t queue,
			     uint8_t purpose, const struct nf_chan *chan);
int nf__embedded_chan_notify(struct nf_chan *c);
int nf__embedded_chan_clear(struct nf_chan *c);
void nf__embedded_chan_close(struct nf_chan *c);

#endif
