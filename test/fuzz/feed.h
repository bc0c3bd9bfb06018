/* SPDX-License-Identifier: MIT */
/* A server that has said everything before it was asked: its answers lie in the socket. */
#ifndef NF_FUZZ_FEED_H
#define NF_FUZZ_FEED_H

#include "fuzz.h"
#include "nf/store.h"

struct fuzz_feed {
	int client, server;
	int lowest_fd; /* of the process before, to see what is left open */
};

/* type: SOCK_STREAM or SOCK_SEQPACKET. */
void fuzz_feed_open(struct fuzz_feed *f, int type);
/* Nothing more will come: whoever waits gets the end of the stream. */
void fuzz_feed_end(struct fuzz_feed *f);
/* The client's end is closed by whom it was given to; nothing else may be open. */
void fuzz_feed_close(struct fuzz_feed *f);
/* One xenstore message. */
void fuzz_feed_xs(struct fuzz_feed *f, uint32_t type, uint32_t id, uint32_t tx, uint32_t len,
		  const void *payload, size_t bytes);

#endif
