/* SPDX-License-Identifier: MIT */
/* The poller's inside, shared by its files. */
#ifndef NF_POLL_POLLER_H
#define NF_POLL_POLLER_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>

#include "nf/poll.h"

#define NF__POLL_FDS (NF_POLL_ITEMS * NF_POLL_ITEM_FDS + 2)

enum nf__poll_mail { NF__MAIL_ATTACH = 1, NF__MAIL_DETACH, NF__MAIL_CALL, NF__MAIL_STOP };

struct nf_poller {
	struct nf_poller_config cfg;
	pthread_t thread;
	int kick_fd; /* eventfd */
	int fail_fd; /* eventfd */
	int bed_fd;  /* epoll: what items that sleep wait for */

	/* the poller's; the first `awake` items are run, the others sleep */
	struct nf_poll_item *items[NF_POLL_ITEMS];
	uint32_t count, awake;
	uint32_t busy_rounds;
	uint32_t empty_rounds;
	uint64_t idle_since_ns; /* spins since; 0: something moved in the last round */
	bool is_patient;	/* who moved something in the last round that was not empty */
	uint32_t vain_spins;	/* in a row */
	uint32_t spinless;	/* sleeps without a spin since the last */
	bool yield;
	struct pollfd fds[NF__POLL_FDS];
	uint16_t fd_item[NF__POLL_FDS];

	/* one letter at a time: mail is set last by the control thread, cleared first by the poller
	 */
	uint32_t mail;	    /* enum nf__poll_mail, 0 none */
	uint32_t is_kicked; /* nobody is to sleep on */

	/* listens for the control page's bell, if there is a page */
	pthread_t listener;
	bool listens;
	uint32_t listener_stop, listener_gone;
	uint32_t parked;
	struct nf_poll_item *mail_item;
	int (*mail_fn)(void *ctx);
	void *mail_ctx;
	int mail_result;
	bool mail_done;
	pthread_mutex_t lock;
	pthread_cond_t answered;
};

/* The thread. */
void *nf__poller_main(void *poller);
/* Blocks until a descriptor of an item or a kick. */
void nf__poller_block(struct nf_poller *p);
/* The listener of the control page's bell: 0, or negative errno. */
int nf__poller_listen(struct nf_poller *p);
void nf__poller_listen_stop(struct nf_poller *p);
/* Sleeps on the control page's park word while it is set; returns at once on mail. */
void nf__poller_park(struct nf_poller *p);
/* Clears what is readable without blocking: events nobody armed for, and hang-ups. */
void nf__poller_sweep(struct nf_poller *p);
/* Wakes those who sleep and have something to do, without blocking. */
void nf__poller_peek(struct nf_poller *p);
/* Wakes the poller for its mail; items sleep on. */
void nf__poller_wake(struct nf_poller *p);

/* ---- bed.c: who sleeps ---- */

int nf__bed_add(struct nf_poller *p, struct nf_poll_item *item);
void nf__bed_drop(struct nf_poller *p, struct nf_poll_item *item);
/* Lets all sleep that may, armed by now. */
void nf__bed_settle(struct nf_poller *p);
/* Wakes who is ready, at most so many at a time. */
void nf__bed_rouse(struct nf_poller *p);
void nf__bed_rouse_all(struct nf_poller *p);
/* Nothing of it is waited for in bed_fd any more. */
void nf__bed_forget(struct nf_poller *p, struct nf_poll_item *item);
void nf__poller_fail(struct nf_poller *p, struct nf_poll_item *item, int error);

#endif
