/* SPDX-License-Identifier: MIT */
/* Inside of the in-process xenstore: the tree (memtree.c) and its server (memstore.c, memxs.c). */
#ifndef NF_TEST_MEMSTORE_H
#define NF_TEST_MEMSTORE_H

#include <pthread.h>

#include "mem.h"

#define XS_PATH 3072u
#define XS_VALUE 2048u
#define XS_PERMS 4u
#define XS_NODES_QUOTA 1000u
#define XS_WATCHES_QUOTA 128u
#define XS_TX_QUOTA 10u
#define XS_OUT_MAX (1u << 20) /* a client that never reads is hung up */

struct xs_perm {
	uint16_t domid;
	char letter; /* n r w b; of the first entry (the owner's): for everybody else */
};

struct xs_node {
	struct xs_node *next, *children;
	uint64_t generation;
	uint32_t perms_count;
	struct xs_perm perms[XS_PERMS];
	uint32_t value_bytes;
	char *value;
	char name[];
};

enum xs_kind { XS_OP_WRITE, XS_OP_MKDIR, XS_OP_RM, XS_OP_PERMS };

struct xs_op {
	struct xs_op *next;
	enum xs_kind kind;
	uint16_t domid;
	uint32_t perms_count;
	struct xs_perm perms[XS_PERMS];
	uint32_t value_bytes;
	char *value;
	char path[];
};

struct xs_seen {
	struct xs_seen *next;
	uint64_t generation; /* 0: was not there */
	char path[];
};

struct xs_tx {
	struct xs_tx *next;
	uint32_t id;
	struct xs_node *root; /* a copy */
	struct xs_op *ops;    /* last first */
	struct xs_seen *seen;
};

struct xs_watch {
	struct xs_watch *next;
	bool is_relative;
	char *token;
	char path[]; /* absolute */
};

struct xs_client {
	struct xs_client *next;
	int fd;
	uint16_t domid;
	bool is_dead;
	uint32_t next_tx;
	struct xs_tx *txs;
	struct xs_watch *watches;
	uint32_t in_bytes, out_bytes, out_cap;
	char *out;
	char in[16 + 4096];
};

struct mem_store {
	struct mem_world *w;
	pthread_mutex_t lock;
	pthread_t thread;
	int kick;
	bool is_ending;
	uint64_t generation;
	struct xs_node *root;
	struct xs_client *clients;
};

/* ---- memtree.c: all return 0 or -errno ---- */
struct xs_node *xs_node_new(const char *name, uint16_t owner);
void xs_node_free(struct xs_node *n);
struct xs_node *xs_node_clone(const struct xs_node *n);
struct xs_node *xs_find(struct xs_node *root, const char *path);
bool xs_may(const struct xs_node *n, uint16_t domid, char letter);
/* Runs op on the tree. changed(ctx, path, exact) per node that changed; may be NULL. */
int xs_apply(struct xs_node *root, const struct xs_op *op, uint64_t *generation,
	     void (*changed)(void *ctx, const char *path, bool exact), void *ctx);
struct xs_op *xs_op_new(enum xs_kind kind, uint16_t domid, const char *path, const char *value,
			uint32_t value_bytes);
void xs_op_free(struct xs_op *op);
void xs_tx_free(struct xs_tx *tx);
/* -EAGAIN: something it looked at has changed since it began. */
int xs_tx_commit(struct xs_tx *tx, struct xs_node *root, uint64_t *generation,
		 void (*changed)(void *ctx, const char *path, bool exact), void *ctx);

/* ---- memxs.c: the protocol ---- */
void xs_request(struct mem_store *s, struct xs_client *c, const char *msg);
void xs_reply(struct xs_client *c, uint32_t type, uint32_t req, uint32_t tx, const void *body,
	      uint32_t bytes);
void xs_fire(struct mem_store *s, const char *path, bool exact);
void xs_changed(void *store, const char *path, bool exact);
void xs_watch_free(struct xs_watch *w);
/* Sends what is queued; marks the client dead when it cannot. */
void xs_flush(struct xs_client *c);

#endif
