/* SPDX-License-Identifier: MIT */
/*
 * An in-process struct nf_layer for tests. A "world" is one layer: domains, grant tables, arenas
 * (memfds), event channels (SOCK_SEQPACKET pairs as in the embedded layer) and a xenstore served by
 * a thread of the world over the wire protocol. Several worlds live side by side in one process: an
 * outer and an inner one make a nested stack.
 *
 * Every grantee mapping is a mapping of its own with its own protection, unmapped for good, so a
 * use after unmap and a write to a read-only grant are faults, not luck. Any number of threads.
 */
#ifndef NF_TEST_MEMLAYER_H
#define NF_TEST_MEMLAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nf/layer.h"

#define MEM_DOMAINS 16u	 /* domids 0 .. 15 */
#define MEM_GREFS 32768u /* entries of one domain's grant table */

struct mem_world;

/* name: for messages. Aborts the test process when the machine has no memory for it. */
struct mem_world *mem_world_new(const char *name);
/* Closes what is left of every domain. Layers of the world must not be used afterwards. */
void mem_world_free(struct mem_world *w);

/*
 * The layer as domid sees it, owned by the world (ops->close gives it back early). Each call is
 * another object of the same domain. The first call for a domid makes its store home.
 */
struct nf_layer *mem_world_layer(struct mem_world *w, uint16_t domid);
/* Numbers of grants that domid makes from now on start here (NF_GREF_RESERVED unless told). */
void mem_world_gref_base(struct mem_world *w, uint16_t domid, uint32_t first);
/* Domid 0 is privileged from the start: may donate to others of its layer. */
void mem_world_privileged(struct mem_world *w, uint16_t domid, bool privileged);
/* Most pages domid may have granted at once; 0: no limit. Beyond it alloc says -EDQUOT. */
void mem_world_quota(struct mem_world *w, uint16_t domid, uint32_t pages);
/*
 * The domain dies as the kernel would have it: its channels hang up, its store connections close,
 * its grants end (what others map stays theirs until they unmap), quarantine charged to it is freed
 * and
 * @releaseDomain fires. Its layer objects answer -ECONNRESET; its own mappings are left for the
 * test to unmap. A later mem_world_layer makes a new domain of that number.
 */
void mem_world_kill(struct mem_world *w, uint16_t domid);
/* Revokes one grant entry under the granter's feet: later maps and copies of it are -EACCES. */
int mem_world_revoke(struct mem_world *w, uint16_t granter, uint32_t gref);

/* ---- faults ---- */
enum mem_verb {
	MEM_ALLOC,
	MEM_END,
	MEM_DONATE,
	MEM_DONATE_CHAN,
	MEM_MAP,
	MEM_UNMAP,
	MEM_COPY,
	MEM_ALLOC_CHAN,
	MEM_BIND_CHAN,
	MEM_NOTIFY,
	MEM_STORE_FD,
	MEM_STORE, /* requests on the store socket */
	MEM_ANY,   /* layer verbs together, in call order; not MEM_STORE */
	MEM_VERBS
};
/* The nth call (1: the next) of verb by domid fails with error (negative); nth 0 disarms. */
void mem_world_fail(struct mem_world *w, uint16_t domid, enum mem_verb verb, uint32_t nth,
		    int error);
/* Calls of verb by domid so far, those that failed included. */
uint64_t mem_world_calls(struct mem_world *w, uint16_t domid, enum mem_verb verb);

/* ---- leaks ---- */
struct mem_baseline {
	uint64_t arenas, grants, mapped_pages, channels, donations, store_clients, watches,
		transactions;
	uint64_t fds, threads; /* of the whole process */
};
void mem_world_baseline(struct mem_world *w, struct mem_baseline *b);
/* 0 when everything is back at b (quarantine aside), else the number of differences, named in why.
 */
int mem_world_check(struct mem_world *w, const struct mem_baseline *b, char *why, size_t cap);
/* The same, but waits up to ms for threads and the store's hang-ups to be noticed. */
int mem_world_settle(struct mem_world *w, const struct mem_baseline *b, unsigned ms, char *why,
		     size_t cap);
/* Pages in quarantine charged to domid. */
uint64_t mem_world_quarantine(struct mem_world *w, uint16_t domid);

/* ---- store, as the toolstack (domain 0, no permission asked) ---- */
int mem_store_write(struct mem_world *w, const char *path, const char *value);
/* Bytes (value is NUL-terminated here), or -ENOENT, -ERANGE. */
int mem_store_read(struct mem_world *w, const char *path, char *value, size_t cap);
int mem_store_rm(struct mem_world *w, const char *path);
/* owner may everything; reader may read (or use NF_DOMID_SELF for nobody). */
int mem_store_perms(struct mem_world *w, const char *path, uint16_t owner, uint16_t reader);
/* Waits until path holds value (NULL: until the node is gone). 0 or -ETIMEDOUT. */
int mem_store_wait(struct mem_world *w, const char *path, const char *value, unsigned ms);
/* Hangs up every store connection of domid. */
void mem_store_hangup(struct mem_world *w, uint16_t domid);

/* ---- devices as xl makes them ---- */
struct mem_vif {
	struct mem_world *w;
	uint16_t front, back, devid;
	char front_path[64]; /* absolute */
	char back_path[64];
};
/* Both nodes with xl's keys, permissions and state 1. port (may be NULL): nestfront/port of both.
 */
int mem_vif_create(struct mem_vif *v, struct mem_world *w, uint16_t front, uint16_t back,
		   uint16_t devid, const char *port);
int mem_vif_set(struct mem_vif *v, bool is_back, const char *key, const char *value);
/* As the toolstack does at detach: both nodes go. */
void mem_vif_remove(struct mem_vif *v);

#endif
