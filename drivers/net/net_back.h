/* SPDX-License-Identifier: MIT */
/* The backend device's parts. Control thread. */
#ifndef NF_NET_BACK_H
#define NF_NET_BACK_H

#include "net_end.h"

/* Grants mapped by one ADD request with one access. Unmapped when none of them is used any more. */
struct nf_gref_batch {
	struct nf_gref_batch *next;
	struct nf_mapping map;
	uint32_t live; /* grefs not deleted */
	bool is_writable;
	bool is_gone[NF_NETIF_CTRL_GREFS_MAX];
	uint32_t grefs[NF_NETIF_CTRL_GREFS_MAX];
	void *addrs[NF_NETIF_CTRL_GREFS_MAX];
};

/* The responding end of the control ring. */
struct nf_ctrl_back {
	struct nf_mapping map;
	uint32_t gref;
	void *addr;
	struct nf_chan chan;
	struct nf_ring_back ring;
	struct nf_net_fault fault;
	bool is_open;
	bool is_replay;	 /* the next request may have been served by the back before us */
	bool has_left;	 /* the front hung up: what its ring page shows now is nobody's */
	uint32_t tokens; /* requests that may be served now */
	uint64_t filled_ms;
};

/* The mapped journal of the connection; base NULL: none. */
struct nf_journal_file {
	int fd;
	uint8_t *base;
	size_t bytes;
};

struct nf_netback {
	struct nf_net_end e;
	struct nf_net_features offered, agreed;
	bool is_held, is_offered, is_accepted;
	bool map_grefs, map_rings;
	bool is_attaching; /* rings go on at their rsp_prod */
	bool is_timed;	   /* the timer runs: control requests wait for their turn */
	bool is_met;	   /* the front was at Initialising since we were Closed */
	uint32_t queues;
	struct nf_net_refs refs[NF_NET_QUEUES_MAX];
	struct nf_ctrl_refs ctrl_refs;
	struct nf_back_rings *rings[NF_NET_QUEUES_MAX];
	struct nf_back_queue *queue[NF_NET_QUEUES_MAX];
	struct nf_poll_item *relay_item[NF_NET_QUEUES_MAX]; /* NULL: none */
	struct nf_gref_batch *batches[NF_NET_QUEUES_MAX];
	struct nf_ctrl_back ctrl;
	struct nf_journal_file journal;
};

/* ---- back_rings.c ---- */
int nf__back_rings_map(struct nf_netback *b); /* undone on failure */
void nf__back_rings_unmap(struct nf_netback *b);
int nf__back_queues_start(struct nf_netback *b);
void nf__back_queues_stop(struct nf_netback *b);
/* Takes a queue off its poller while its map changes, and gives it back. */
void nf__back_queue_pause(struct nf_netback *b, uint32_t queue);
int nf__back_queue_resume(struct nf_netback *b, uint32_t queue);

/* ---- back_grefs.c: a queue's static mapping ---- */
/* All or nothing; -EINVAL: a flag, a number below NF_GREF_RESERVED; -EEXIST, -ENOSPC; else the
 * layer's refusal to map. */
int nf__back_grefs_add(struct nf_netback *b, uint32_t queue, const struct nf_netif_gref *list,
		       uint32_t count);
/* Writes each entry's status; returns how many were removed. */
uint32_t nf__back_grefs_del(struct nf_netback *b, uint32_t queue, struct nf_netif_gref *list,
			    uint32_t count);
void nf__back_grefs_drop(struct nf_netback *b, uint32_t queue);

/* ---- back_journal.c ---- */
int nf__journal_create(struct nf_netback *b, uint64_t nonce);
/* -EPROTO: not of the connection with that nonce and b's refs. */
int nf__journal_open(struct nf_netback *b, uint64_t nonce);
void nf__journal_close(struct nf_netback *b);
void nf__journal_remove(struct nf_netback *b); /* the connection is over */
struct nf_back_journal *nf__journal_of(struct nf_netback *b, uint32_t queue); /* NULL: none */
/* After a list was added, or taken off (entries with status 0). */
void nf__journal_grefs(struct nf_netback *b, uint32_t queue, const struct nf_netif_gref *list,
		       uint32_t count, bool add);
/* Memory of a queue, its journal under it. */
struct nf_back_queue *nf__back_queue_new(struct nf_netback *b, uint32_t queue);
void nf__back_queue_drop(struct nf_back_queue *q);

/* ---- back_attach.c ---- */
void nf__back_record(struct nf_netback *b);
/* True: runs. False: nothing can be restored; release what there is and close. */
bool nf__back_attach(struct nf_netback *b);

/* ---- ctrl_back.c ---- */
int nf__ctrl_back_open(struct nf_netback *b);
void nf__ctrl_back_close(struct nf_netback *b);
/* Serves what is there and within the rate; 0 or -EPROTO. */
int nf__ctrl_back_step(struct nf_netback *b);

#endif
