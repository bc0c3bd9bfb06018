/* SPDX-License-Identifier: MIT */
/* What both ends of a net device are made of: the xenbus device, keys, ports, counters, waiting.
 * Control thread. */
#ifndef NF_NET_END_H
#define NF_NET_END_H

#include "net_internal.h"

#define NF_NET_PORT_SPEC_MAX 160u
#define NF_NET_JOURNAL_MAX 200u

struct nf_net_end {
	struct nf_net_config cfg; /* strings point into this object */
	struct nf_device dev;
	char path[NF_STORE_PATH_MAX];
	char token[40];
	char spec[NF_NET_PORT_SPEC_MAX]; /* as configured */
	char journal[NF_NET_JOURNAL_MAX];
	int phase;		    /* enum nf_net_phase */
	struct nf_net_features own; /* what our port and configuration can do */
	int epoll_fd;		    /* of everything the control thread waits for */
	int event_fd;		    /* a queue failed */
	int timer_fd;
	bool is_fresh;	  /* nothing of this device's past life was looked at yet */
	bool is_shutdown; /* asked to close: does not come back */
	uint32_t generation;
	uint32_t ports_open;
	struct nf_port ports[NF_NET_QUEUES_MAX];
	uint32_t ports_refused; /* features the open ports must not hand out */
	struct nf_counters *blocks[NF_NET_QUEUES_MAX];
	struct nf_counters *latency[NF_NET_QUEUES_MAX];
	struct nf_counters *spare; /* [NF_NET_QUEUES_MAX] when the page has no block left */
};

/* ---- net_end.c ---- */
int nf__end_open(struct nf_net_end *e, const struct nf_net_config *cfg, bool is_back);
void nf__end_close(struct nf_net_end *e);
void nf__end_notice(struct nf_net_end *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Writes the error node and the notice, marks the counters; returns error. */
int nf__end_fail(struct nf_net_end *e, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for a fault a queue or ring found: names field, value, range; counts it. */
/* It runs: what an earlier connection, or process, died of is no more in its node. */
void nf__end_healed(struct nf_net_end *e);
int nf__end_fault(struct nf_net_end *e, uint32_t queue, const struct nf_net_fault *fault);
/* Switches by way of Closing where the table wants it; a vanished node is as good as Closed. */
int nf__end_switch(struct nf_net_end *e, enum nf_xenbus_state state);
void nf__end_timer(struct nf_net_end *e, uint32_t ms); /* 0: off */
bool nf__end_events(struct nf_net_end *e); /* drains event and timer; true: the timer ran out */
/* Drains a channel of ours; one whose other end hung up is waited for no more: -ENODEV. */
int nf__end_chan_clear(struct nf_net_end *e, struct nf_chan *chan);
/* The other end of a data channel closed it or died. The queue is off its poller. */
bool nf__end_hung_up(struct nf_net_end *e, struct nf_chan *chan);
int nf__end_wait_chan(struct nf_net_end *e, const struct nf_chan *chan, bool add);

/* ---- net_ports.c ---- */
/* Counter blocks and ports of `queues` queues; what is open and fits is kept. No-op without spec.
 */
int nf__end_ports_open(struct nf_net_end *e, const struct nf_net_features *agreed, uint32_t queues);
void nf__end_ports_close(struct nf_net_end *e);
/* Block headers after a change of state; error 0: none. */
void nf__end_blocks(struct nf_net_end *e, uint8_t grants, int error);

/* ---- negotiate.c ---- */
struct nf_ctrl_refs {
	bool is_there;
	uint32_t ring_ref, port;
};

/* Offer of a back, or wish of a front, as its node says. Absent keys have netif.h's defaults. */
int nf__features_read(struct nf_net_end *e, struct nf_net_features *out);
/* What a back offers, in one transaction. */
int nf__offer_write(struct nf_net_end *e, const struct nf_net_features *offer);
/* What a front wants and its rings, in one transaction; what it published before goes. */
int nf__front_publish(struct nf_net_end *e, const struct nf_net_features *f,
		      const struct nf_net_refs *refs, uint32_t queues,
		      const struct nf_ctrl_refs *ctrl);
/* A front's rings as it published them; f->split is set by what is there. */
int nf__front_read(struct nf_net_end *e, const struct nf_net_features *offered,
		   struct nf_net_features *f, struct nf_net_refs *refs, uint32_t *queues,
		   struct nf_ctrl_refs *ctrl);
/* out = a and b, bit by bit; the smaller queues and mtu. */
void nf__features_meet(const struct nf_net_features *a, const struct nf_net_features *b,
		       struct nf_net_features *out);

#endif
