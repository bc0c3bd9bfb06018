/* SPDX-License-Identifier: MIT */
/* Inside of the in-process layer: shared by mem*.c only. */
#ifndef NF_TEST_MEM_H
#define NF_TEST_MEM_H

#include <pthread.h>

#include "memlayer.h"

#define MEM_PORTS 4096u

struct mem_pages {
	int fd;
	uint32_t pages;
	uint64_t offset; /* of the first page in fd */
	uint32_t refs;	 /* granter's record, mappings, quarantine */
	uint32_t mapped; /* page mappings by the grantee */
	bool is_donated; /* another layer's memory: never punched here */
	bool is_kept;	 /* an inner domain's or a ring: what is in flight stays readable */
	bool is_ended;
	uint16_t charged;	/* domid, once in quarantine */
	struct mem_pages *next; /* of the quarantine */
};

struct mem_grant {
	struct mem_pages *pages; /* NULL: free entry */
	uint32_t page;
	uint16_t peer;
	bool is_readonly;
	bool is_reserved; /* for a donation with equal numbers */
	uint64_t arena;
};

struct mem_arena {
	uint64_t id;
	uint16_t peer;
	struct mem_pages *pages;
	struct mem_arena *next;
	uint32_t grefs[];
};

struct mem_port {
	bool is_used;
	uint16_t peer;
	int unbound; /* the peer's end until it binds; -1 */
	int ours;    /* the number of the descriptor handed out, borrowed */
};

struct mem_donation {
	struct mem_donation *next;
	uint16_t donor, device, queue;
	uint8_t purpose;
	bool is_chan;
	bool is_equal;
	int fd;			 /* chan */
	struct mem_pages *pages; /* arena */
	uint32_t *grefs;	 /* equal */
};

struct mem_fault {
	uint32_t in;
	int error;
};

struct mem_domain {
	struct mem_grant *grants; /* MEM_GREFS, NULL until the domain exists */
	struct mem_port *ports;	  /* MEM_PORTS */
	struct mem_arena *arenas;
	struct mem_donation *donations; /* waiting for this domain */
	uint32_t gref_base;
	uint32_t quota_pages, granted_pages;
	uint32_t generation; /* counts deaths */
	bool is_privileged;
	struct mem_fault faults[MEM_VERBS];
	uint64_t calls[MEM_VERBS];
};

struct mem_layer {
	struct nf_layer l; /* first: the public part */
	struct mem_world *w;
	uint32_t generation;
	struct mem_layer *next;
};

struct mem_store;

struct mem_world {
	pthread_mutex_t lock; /* everything but the store */
	char name[32];
	struct mem_domain domains[MEM_DOMAINS];
	struct mem_layer *layers;
	struct mem_pages *quarantine;
	uint64_t next_arena;
	uint64_t mapped_pages;
	struct mem_store *store;
};

/* Counts the call; the armed error or 0. -ECONNRESET: the domain died. Lock held. */
int mem__enter(struct mem_layer *m, enum mem_verb verb);
struct mem_domain *mem__domain(struct mem_layer *m);
void mem__pages_put(struct mem_pages *p);
void mem__donation_free(struct mem_donation *d);
/* Unlinks and returns the matching donation or NULL. */
struct mem_donation *mem__donation_take(struct mem_domain *dom, const struct nf_arena_key *key,
					bool is_chan);
void mem__domain_fini(struct mem_world *w, uint16_t domid);

/* memgrant.c */
int mem__alloc(struct nf_layer *l, const struct nf_arena_key *key, uint32_t pages, uint32_t flags,
	       uint32_t *grefs, struct nf_arena *out);
int mem__end(struct nf_layer *l, struct nf_arena *arena);
int mem__donate(struct nf_layer *l, uint16_t inner, const struct nf_arena *arena, bool equal_grefs);
/* Ends without a caller's arena: what a death does. */
void mem__arena_drop(struct mem_world *w, uint16_t domid, struct mem_arena *a);

/* memmap.c */
int mem__map(struct nf_layer *l, uint16_t peer, uint32_t *grefs, uint32_t count, bool readonly,
	     void **addrs, struct nf_mapping *out);
int mem__unmap(struct nf_layer *l, struct nf_mapping *m);
int mem__copy(struct nf_layer *l, struct nf_grant_copy *ops, uint32_t count);

/* memchan.c */
int mem__donate_chan(struct nf_layer *l, uint16_t inner, uint16_t device, uint16_t queue,
		     uint8_t purpose, const struct nf_chan *chan);
int mem__alloc_chan(struct nf_layer *l, uint16_t peer, uint16_t device, uint16_t queue,
		    uint8_t purpose, struct nf_chan *out);
int mem__bind_chan(struct nf_layer *l, uint16_t peer, uint32_t port, struct nf_chan *out);
int mem__chan_notify(struct nf_chan *c);
int mem__chan_clear(struct nf_chan *c);
void mem__chan_close(struct nf_chan *c);

/* memstore.c, memxs.c */
struct mem_store *mem__store_new(struct mem_world *w);
void mem__store_free(struct mem_store *s);
int mem__store_connect(struct mem_store *s, uint16_t domid);
void mem__store_home(struct mem_store *s, uint16_t domid);
void mem__store_release(struct mem_store *s, uint16_t domid);
void mem__store_counts(struct mem_store *s, struct mem_baseline *b);
/* Called by the store's thread for each request: the armed fault's errno or 0. */
int mem__store_fault(struct mem_world *w, uint16_t domid);

#endif
