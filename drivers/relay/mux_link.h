/* SPDX-License-Identifier: MIT */
/* Inside of mux: the hub's and the members' control flow. Control thread. */
#ifndef NF_RELAY_MUX_LINK_H
#define NF_RELAY_MUX_LINK_H

#include "relay/config.h"
#include "relay/mux.h"

#define NF__MUX_BACKOFF_MS 100u
#define NF__MUX_BACKOFF_MAX_MS 12800u

/* Of the outer front. */
enum nf__hub_state {
	NF__HUB_OPENING,
	NF__HUB_RUNNING,
	NF__HUB_CLOSING, /* the core is off; L0 lets go of everybody's pages */
	NF__HUB_CLOSED,
};

struct nf_mux {
	struct nf_net_config cfg; /* strings point into this object */
	char path[NF_STORE_PATH_MAX], token[40];
	uint16_t devid, back;
	struct nf_netfront *outer; /* NULL: closed */
	struct nf__mux_core *core; /* while RUNNING */
	enum nf__hub_state state;
	enum nf__hub_state told; /* members know of it */
	bool was_prepared, is_late;
	bool is_shutdown;    /* every member is, and closed */
	uint32_t generation; /* of the outer connection; a member's pages are of one */
	uint32_t backoff_ms;
	int error;
	int event_fd, timer_fd, epoll_fd;
	uint32_t stopped; /* atomic: the core stopped */
	struct nf_counters *block, spare;
	struct nf_mux_member *members[NF_MUX_MEMBERS];
	uint32_t member_count;
};

/* Of one inner back, in order. */
enum nf__member_state {
	NF__MEMBER_WAIT,    /* for the hub, and for its own end */
	NF__MEMBER_OFFERED, /* pages donated */
	NF__MEMBER_RUNNING,
	NF__MEMBER_DRAIN, /* served no more; L0 still has frames of it */
	NF__MEMBER_CLOSING,
	NF__MEMBER_CLOSED,
};

struct nf_mux_member {
	struct nf_mux *hub;
	struct nf_net_config cfg;
	char path[NF_STORE_PATH_MAX], token[40];
	struct nf_mux_limits limits;
	uint16_t owner, devid;
	uint8_t mac[6];
	uint32_t slot; /* in hub->members */
	struct nf_netback *inner;
	enum nf__member_state state;
	struct nf_arena arena; /* its tx pages on the outer layer; pages 0: none */
	uint32_t grefs[NF_NET_PAGES];
	uint32_t hub_generation, generation;
	uint32_t drains; /* looks at what L0 still has of it, since it ended */
	struct nf__mux_queue queue;
	bool is_shutdown, is_late, is_error_written;
	uint32_t backoff_ms;
	int error;
	int event_fd, timer_fd, epoll_fd;
	struct nf_counters *block, spare;
};

/* ---- mux.c ---- */
void nf__hub_step(struct nf_mux *h);
/* Takes the core off its poller for a change, and puts it back. */
void nf__hub_pause(struct nf_mux *h);
int nf__hub_resume(struct nf_mux *h);

/* ---- mux_member.c ---- */
/* The core is going: this member is out of it. */
void nf__member_unplug(struct nf_mux_member *m);
/* Its inner end anew, and away. */
int nf__member_open(struct nf_mux_member *m);
void nf__member_close(struct nf_mux_member *m);
/* L0 has no frame of it any more, or never will have: its outer pages go. Idempotent. */
void nf__member_pages_end(struct nf_mux_member *m);

/* ---- mux_util.c ---- */
int nf__mux_fds_open(int *epoll_fd, int *event_fd, int *timer_fd);
int nf__mux_watch(int epoll_fd, int fd, bool add);
void nf__mux_timer(int fd, uint32_t ms); /* 0: off */
bool nf__mux_drain(int fd);
void nf__hub_notice(struct nf_mux *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void nf__member_notice(struct nf_mux_member *m, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Notice, its error node, its error; returns error. */
int nf__member_fail(struct nf_mux_member *m, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void nf__member_healed(struct nf_mux_member *m);
void nf__member_block(struct nf_mux_member *m);
void nf__hub_block(struct nf_mux *h);

#endif
