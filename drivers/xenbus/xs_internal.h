/* SPDX-License-Identifier: MIT */
/* Shared by xs.c (verbs), xs_io.c (messages) and xs_event.c (queued watch events). */
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

struct nf_store {
	int fd;
	int pollfd;	   /* epoll over fd and wakefd: what nf_store_pollfd hands out */
	int wakefd;	   /* readable while events are queued here */
	bool is_socket;	   /* else a character device: /dev/xen/xenbus */
	int error;	   /* 0 or sticky */
	uint32_t seq;	   /* req_id of the request in progress, or of the last one */
	uint32_t answered; /* req_id of the last reply seen or request given up */
	bool is_repeated;  /* that answer came twice */

	/* message being received: header, then payload */
	struct nf_xs_header in;
	size_t in_bytes; /* of header + payload so far */
	char in_payload[NF_XS_PAYLOAD_MAX + 1];

	struct nf__xs_event *events, **events_tail;
	uint32_t event_count;
};

/* A reply as the verbs see it: borrowed from the store until the next call. */
struct nf__xs_reply {
	const char *payload; /* NUL behind its last byte */
	size_t bytes;
};

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
