/* SPDX-License-Identifier: MIT */
/* Shared by xs.c (verbs), xs_post.c (several at once), xs_io.c (messages) and xs_event.c (queued
 * watch events). */
#ifndef NF_XS_INTERNAL_H
#define NF_XS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "xs_wire.h"

/*
 * Watch events are hints: "look again". From NF__XS_EVENTS_SOFT queued events on, one of the same
 * token stands for all later ones of that token; NF__XS_EVENTS_HARD is more tokens than anybody
 * watches, so the server is broken.
 */
#define NF__XS_EVENTS_SOFT 256u
#define NF__XS_EVENTS_HARD 4096u

struct nf__xs_event {
	struct nf__xs_event *next;
	size_t path_bytes; /* without the NUL; the token follows it in text */
	size_t token_bytes;
	char text[];
};

/* Requests a flight has at most. */
#define NF__XS_FLIGHT 64u

struct nf__xs_posts; /* xs_post.c */
struct nf__xs_known; /* xs_post.c */

struct nf_store {
	int fd;
	int pollfd;	   /* epoll over fd and wakefd: what nf_store_pollfd hands out */
	int wakefd;	   /* readable while events are queued here */
	bool is_socket;	   /* else a character device: /dev/xen/xenbus */
	int error;	   /* 0 or sticky */
	uint32_t seq;	   /* req_id of the last request */
	uint32_t answered; /* req_id of the last reply seen or request given up */
	/* Answers may come again, from a server that was killed and restarted: of the flight that
	 * `answered` was in, whose first request is this, */
	uint32_t again_from;
	uint32_t again_next; /* in order: this one is next; 0: none came again yet */

	/* message being received: header, then payload */
	struct nf_xs_header in;
	size_t in_bytes; /* of header + payload so far */
	char in_payload[NF_XS_PAYLOAD_MAX + 1];

	struct nf__xs_event *events, **events_tail;
	uint32_t event_count;

	struct nf__xs_posts *posts; /* NULL: nothing was ever posted */
	struct nf__xs_known *known; /* values read ahead */
	uint32_t known_scopes;	    /* nf_store_ahead_begin not yet ended */
};

/* A reply as the verbs see it: borrowed from the store until the next call. */
struct nf__xs_reply {
	const char *payload; /* NUL behind its last byte */
	size_t bytes;
};

/* One request of a flight: where its message ends, and what it is. */
struct nf__xs_leg {
	uint32_t end;
	uint16_t type;
};

/* Requests that are sent together and answered in order. A character device, the kernel's xenbus,
 * takes one at a time. */
struct nf__xs_flight {
	const char *bytes;
	const struct nf__xs_leg *legs;
	uint32_t count;
	uint32_t sent;	/* bytes */
	uint32_t done;	/* answered */
	uint32_t first; /* req_id of the first one */
	/* Takes the answer to leg i from s->in and s->in_payload. */
	void (*answer)(void *ctx, uint32_t i);
	void *ctx;
};

/* Writes one message into to[cap], but for its req_id; its size, or -EINVAL when it is too long. */
int nf__xs_build(char *to, size_t cap, enum nf_xs_type type, uint32_t tx, const struct iovec *parts,
		 int count);
/* Numbers the requests in bytes (those of f), sends them, waits for all answers. 0 or -errno: those
 * from f->done on were not answered then. */
int nf__xs_fly(struct nf_store *s, struct nf__xs_flight *f, char *bytes);
/* What an answer of type NF_XS_ERROR says: negative. */
int nf__xs_error_of(const char *name);

/* Sends what was posted; its failure is nf_store_settle's to tell. 0, or the transport's error. */
int nf__xs_posts_flush(struct nf_store *s);
/* True: path was read ahead, and *rc is what nf_store_read(path, buf, cap) returns. */
bool nf__xs_known_read(struct nf_store *s, const char *path, char *buf, size_t cap, int *rc);
void nf__xs_known_drop(struct nf_store *s);
/* A request of that type is made: a change makes what was read old. */
void nf__xs_known_note(struct nf_store *s, enum nf_xs_type type);
void nf__xs_posts_free(struct nf_store *s);

/* Sends a request of count parts, waits for its reply, queues events on the way. 0 or -errno. */
int nf__xs_call(struct nf_store *s, enum nf_xs_type type, uint32_t tx, const struct iovec *parts,
		int count, struct nf__xs_reply *out);
/* Receives what is there without blocking and queues the events in it. 0 or the sticky error. */
int nf__xs_receive(struct nf_store *s);

/* Queues the event in s->in_payload. 0, -EPROTO (malformed, flood of tokens) or -ENOMEM. */
int nf__xs_event_push(struct nf_store *s);
/* Takes the oldest one out; NULL: none. The caller frees it. */
struct nf__xs_event *nf__xs_event_pop(struct nf_store *s);

#endif
