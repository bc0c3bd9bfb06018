/* SPDX-License-Identifier: MIT */
/* The frontend device's parts. Control thread. */
#ifndef NF_NET_FRONT_H
#define NF_NET_FRONT_H

#include "net_end.h"

enum nf_ctrl_stage { NF_CTRL_IDLE, NF_CTRL_ASKED_SIZE, NF_CTRL_ASKED_ADD, NF_CTRL_DONE };

/* The requesting end of the control ring: registers every queue's pages, one request at a time. */
struct nf_ctrl_front {
	struct nf_arena arena; /* page 0 the ring, page 1 the list of a request */
	uint32_t grefs[2];
	struct nf_chan chan;
	struct nf_ring_front ring;
	struct nf_net_fault fault;
	bool is_open;
	uint16_t id;
	enum nf_ctrl_stage stage;
	uint32_t queue; /* being registered */
	uint32_t registered;
};

struct nf_netfront {
	struct nf_net_end e;
	struct nf_net_features offered, agreed;
	struct nf_net_features limit; /* a relay's; everything without one */
	bool is_held, is_released;
	bool rings_too;
	bool is_left; /* the back hung up; its Closing should follow */
	uint16_t inner_owner;
	uint32_t queues;
	enum nf_net_grants grants;
	struct nf_front_rings *rings[NF_NET_QUEUES_MAX];
	struct nf_front_queue *queue[NF_NET_QUEUES_MAX];
	struct nf_ctrl_front ctrl;
};

/* ---- front_rings.c ---- */
int nf__front_rings_alloc(struct nf_netfront *f); /* for f->queues queues; undone on failure */
void nf__front_rings_trim(struct nf_netfront *f, uint32_t queues, bool split);
void nf__front_rings_free(struct nf_netfront *f);
int nf__front_queues_start(struct nf_netfront *f);
void nf__front_queues_stop(struct nf_netfront *f);

/* ---- ctrl_front.c ---- */
int nf__ctrl_front_open(struct nf_netfront *f);
void nf__ctrl_front_close(struct nf_netfront *f);
/* Asks and listens: 1 everything is registered or refused, 0 waiting, or a negative errno. */
int nf__ctrl_front_step(struct nf_netfront *f);

#endif
