/* SPDX-License-Identifier: MIT */
/* Inside of the relay: one device, its two ends and what joins them. Control thread. */
#ifndef NF_RELAY_LINK_H
#define NF_RELAY_LINK_H

#include "relay/internal.h"

/* One connection's life, in order; every failure goes to CLOSING_OUTER. */
enum nf__link_state {
	NF__LINK_PREPARE,  /* outer allocates, inner waits for L2 */
	NF__LINK_OFFERED,  /* donated and offered, L2 connects */
	NF__LINK_RELEASED, /* L2's wishes are known, outer connects */
	NF__LINK_RUNNING,
	NF__LINK_CLOSING_OUTER, /* first, so that L0 is out of L2's pages before L2 hears of it */
	NF__LINK_CLOSING_INNER,
	NF__LINK_CLOSED,
};

#define NF__LINK_TAKEN_MS 10u

struct nf_net_relay {
	struct nf_relay_config cfg; /* strings point into this object */
	char inner_path[NF_STORE_PATH_MAX], outer_path[NF_STORE_PATH_MAX];
	char inner_token[40], outer_token[40];
	uint16_t inner_owner, inner_devid, outer_devid;
	struct nf_netfront *outer; /* NULL: closed */
	struct nf_netback *inner;
	enum nf__link_state state;
	bool was_prepared; /* outer rings were looked at: its end is ours to acknowledge */
	bool is_shutdown;
	bool is_confined;      /* direct */
	bool is_error_written; /* in the inner node, by us */
	int error;	       /* of this connection; 0 none */
	uint32_t generation;
	uint32_t queues;      /* attached or, direct, joined */
	int event_fd;	      /* a queue stopped */
	int timer_fd;	      /* next attempt after a failure */
	int epoll_fd;	      /* of all that wakes the control thread for this device */
	bool is_late;	      /* the timer ran out, in this step */
	uint32_t taken_tries; /* offers that met grefs L2 had not given back */
	uint32_t backoff_ms;  /* before the next attempt; 0 after a connection that ended well */
	int stopped;	      /* atomic: its errno */
	struct nf__queue *queue[NF_NET_QUEUES_MAX];
	struct nf_counters *blocks[NF_NET_QUEUES_MAX];
	struct nf_counters *spare; /* when the page has no block left */
};

/* ---- open.c ---- */
/* Both ends anew: a connection never inherits anything of the one before. */
int nf__link_ends_open(struct nf_net_relay *r);
void nf__link_outer_close(struct nf_net_relay *r); /* at once; idempotent */
void nf__link_inner_close(struct nf_net_relay *r);

/* ---- join.c: what makes one device of two ---- */
/* direct where it would not be confined and nobody said that this is fine: says so, -EACCES. */
int nf__link_refused(struct nf_net_relay *r);
/* Outer is PREPARED: donates its arenas to the inner layer and lets the inner end offer. -EAGAIN:
 * in direct, L2 still holds grefs of its last connection. */
int nf__link_offer(struct nf_net_relay *r);
/* Inner is MAPPED: L2's wishes go to the outer end. */
int nf__link_release(struct nf_net_relay *r);
/* Outer is RUNNING: accepts L2 and starts the queues. */
int nf__link_start(struct nf_net_relay *r);
/* Takes the queues off their poller and frees them; idempotent. */
void nf__link_stop(struct nf_net_relay *r);

/* ---- report.c ---- */
void nf__link_notice(struct nf_net_relay *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Notice, the inner device's error node, the connection's error; returns error. */
int nf__link_fail(struct nf_net_relay *r, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* It runs: what was wrong before is no more. */
void nf__link_healed(struct nf_net_relay *r);
/* One end's connection is over with this phase or errno: says why, if it was not in order. */
void nf__link_ended(struct nf_net_relay *r, bool is_outer, int phase);
/* The same for what stopped a queue. */
int nf__link_fault(struct nf_net_relay *r, int error);
/* Blocks of all queues that may come; headers after each change. */
int nf__link_blocks_open(struct nf_net_relay *r);
void nf__link_blocks_close(struct nf_net_relay *r);
void nf__link_blocks(struct nf_net_relay *r);

#endif
