/* SPDX-License-Identifier: MIT */
/*
 * The NBD server that drives a blkfront: nbd.c listens and turns, nbd_hello.c greets, nbd_conn.c
 * moves bytes, nbd_request.c checks and answers requests, nbd_disk.c takes them to the disk in
 * pieces, nbd_memory.c has their payload.
 *
 * Trust: a client is whoever may open the socket. It can lie about everything but can only read and
 * write this disk; what it may hold is bounded a connection, so none starves another.
 */
#ifndef NF_PORT_NBD_H
#define NF_PORT_NBD_H

#include <stdbool.h>

#include "nbd_wire.h"
#include "nf/blkport.h"

#define NF__NBD_CONNS 16u
#define NF__NBD_REQUESTS 64u		  /* of a connection: unanswered */
#define NF__NBD_BYTES_MAX (32u << 20)	  /* of one request: what a client may assume */
#define NF__NBD_HEAP_MAX (40u << 20)	  /* of a connection, beside the pool */
#define NF__NBD_OPTIONS_MAX 64u		  /* a client that asks for ever is dropped */
#define NF__NBD_OPTION_BYTES_MAX 65536u	  /* longer ones are no mistake any more */
#define NF__NBD_BUFFER_BYTES 8192u	  /* option data, several request headers */
#define NF__NBD_ZEROES_BYTES (256u << 10) /* written again and again */

struct nf__nbd_conn;

/* One request of a client: free, receiving its payload, queued or with the disk, or replying. */
struct nf__nbd_request {
	struct nf__nbd_conn *conn;
	struct nf__nbd_request *next;
	uint64_t cookie, offset; /* the client's */
	uint64_t bytes;		 /* of the range; FLUSH: 1 */
	uint64_t started;	 /* of bytes: given to the disk */
	uint8_t *mem;		 /* payload; WRITE_ZEROES: a few zeros that are written again */
	uint64_t mem_bytes;
	uint32_t pieces; /* with the disk */
	int32_t error;	 /* negative errno, the first */
	uint16_t type;	 /* enum nbd_cmd */
	bool is_fua, is_heap, is_queued;
	uint8_t head_bytes; /* of reply */
	uint8_t reply[NBD_HEAD_BYTES_MAX];
	uint64_t data_bytes; /* of mem, after reply */
	uint64_t sent;	     /* of both */
};

struct nf__nbd_queue {
	struct nf__nbd_request *head, *tail;
};

enum nf__nbd_phase { NF__NBD_FLAGS, NF__NBD_OPTIONS, NF__NBD_MOVING, NF__NBD_ENDING };

struct nf__nbd_conn {
	struct nf__nbd *nbd;
	int fd; /* -1: dead, waits for the disk to let go of its requests */
	enum nf__nbd_phase phase;
	bool no_zeroes;
	bool is_structured; /* reads are answered in chunks: agreed on */
	bool is_blocked;    /* the socket takes no more */
	bool is_stalled;    /* what came in waits for a request, memory or the socket */
	uint32_t events;    /* epoll tells us of */
	uint32_t options;   /* seen */
	uint64_t skip;	    /* option data or payload to be thrown away */
	uint32_t in_bytes;  /* in `in` */
	uint32_t out_bytes; /* handshake replies in `out` */
	uint32_t unanswered;
	uint64_t heap_bytes, pool_bytes, age;
	struct nf__nbd_request *receiving; /* its payload comes next */
	uint64_t received;
	struct nf__nbd_queue replies;
	uint8_t in[NF__NBD_BUFFER_BYTES];
	uint8_t out[NF__NBD_BUFFER_BYTES];
	struct nf__nbd_request requests[NF__NBD_REQUESTS], *free;
};

/* A request to the disk on its way. */
struct nf__nbd_piece {
	struct nf__nbd_request *request; /* NULL: free */
	struct iovec iov;
	uint64_t bytes;
	uint32_t next_free;
};

struct nf__nbd {
	struct nf_blkport *disk; /* NULL: not started */
	int listen_fd, epoll_fd;
	bool is_readonly;
	char path[108], name[64];
	uint32_t mode; /* of the socket */
	uint32_t depth, free_piece;
	struct nf__nbd_piece *pieces;
	struct nf__nbd_queue working; /* requests with something left to give to the disk */
	uint64_t *pool_used;	      /* a bit a page */
	uint32_t pool_pages;
	uint32_t rounds, look_mask; /* the sockets are looked at in rounds without these bits */
	uint64_t clock;		    /* of conn.age */
	uint32_t conn_count;
	struct nf__nbd_conn *conns[NF__NBD_CONNS];
};

/* nbd_memory.c */
/* False: nothing now, try again after something was given back. */
bool nf__nbd_memory_take(struct nf__nbd_request *r, uint64_t bytes);
void nf__nbd_memory_give(struct nf__nbd_request *r);

/* nbd_request.c */
/* A request header: 0, -EAGAIN: no room now, -EPROTO: drop the client. */
int nf__nbd_request_begin(struct nf__nbd_conn *c, const uint8_t *header);
/* Payload is there: it may go to the disk. */
void nf__nbd_request_ready(struct nf__nbd_request *r);
/* The request ends; its connection's client is told. */
void nf__nbd_request_end(struct nf__nbd_request *r);
void nf__nbd_request_free(struct nf__nbd_request *r);

/* nbd_disk.c */
/* Gives pieces to the disk as long as it takes them; how many, or -errno: the disk is dead. */
int nf__nbd_pump(struct nf__nbd *n);
/* Takes the disk's completions; how many, or -errno. */
int nf__nbd_reap(struct nf__nbd *n);

/* nbd_hello.c */
void nf__nbd_greet(struct nf__nbd_conn *c);
/* One step from `bytes` at `in`: bytes used, 0: more is needed, -EAGAIN: `out` must be sent first,
 * -EPROTO: drop the client. */
int nf__nbd_hello(struct nf__nbd_conn *c, const uint8_t *in, uint32_t bytes);

/* nbd_conn.c */
/* Receives, parses and sends what can be; things moved. A broken client ends up dead. */
uint32_t nf__nbd_conn_turn(struct nf__nbd_conn *c);
void nf__nbd_conn_drop(struct nf__nbd_conn *c);

static inline void nf__nbd_append(struct nf__nbd_queue *q, struct nf__nbd_request *r)
{
	r->next = NULL;
	if (q->tail)
		q->tail->next = r;
	else
		q->head = r;
	q->tail = r;
}

static inline struct nf__nbd_request *nf__nbd_shift(struct nf__nbd_queue *q)
{
	struct nf__nbd_request *r = q->head;
	if (r) {
		q->head = r->next;
		if (!q->head)
			q->tail = NULL;
	}
	return r;
}

#endif
