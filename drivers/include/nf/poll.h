/* SPDX-License-Identifier: MIT */
/*
 * The loop that owns queues. A poller is one thread; items (queues, relay queues) are attached and
 * detached by the control thread and belong to the poller in between: detach returns after the
 * poller's last touch.
 *
 *   busy      never sleeps while anything moved in the last round; with more pollers than CPUs it
 *             yields after an empty round
 *   adaptive  spins for spin_us after the last work, then arms every item and blocks; where spins
 *             are in vain it blocks at once, and tries one now and then
 *   event     arms and blocks after the first empty round
 * Blocking waits on every item's descriptors and on the kick descriptor, for as long as nothing
 * happens: an idle poller costs no CPU time. All modes obey the control page's park word. A change
 * of the control page that was rung for (nf_control_ring) wakes a poller that sleeps.
 *
 * One with more than NF_POLL_FEW items lets those that are `is_alone` sleep one by one: a wake-up
 * touches only what is ready, and a round only who is awake.
 */
#ifndef NF_POLL_H
#define NF_POLL_H

#include <stdbool.h>
#include <stdint.h>

#include "nf/control.h"
#include "nf/counters.h"

enum nf_poll_mode { NF_POLL_BUSY, NF_POLL_ADAPTIVE, NF_POLL_EVENT };

struct nf_poll_item;

struct nf_poll_item_ops {
	/* Moves what is there, bounded. Returns slots moved (0: nothing), or a negative errno: the
	 * item is stopped, `failed` is called once and it is not run again. */
	int (*run)(struct nf_poll_item *item);
	/* Asks every source for an event. > 0: work is there already, do not sleep; 0 armed; < 0 as
	 * run. */
	int (*arm)(struct nf_poll_item *item);
	/* Writes up to cap descriptors to wait on (POLLIN); returns how many. May change between
	 * calls. */
	int (*fds)(struct nf_poll_item *item, int *fds, int cap);
	/* A descriptor of ours was readable: clear channels. Called before the next run. */
	void (*woken)(struct nf_poll_item *item);
	/* In the poller's thread; must not block: tells the control thread. */
	void (*failed)(struct nf_poll_item *item, int error);
	/* Optional: up to cap descriptors whose room it waits for (POLLOUT), as fds. */
	int (*room_fds)(struct nf_poll_item *item, int *fds, int cap);
	/* No other item of the poller ever gives it work: between its arm and the next event of a
	 * descriptor of its own there is nothing to run it for. */
	bool is_alone;
};

#define NF_POLL_ITEM_FDS 6
#define NF_POLL_FEW 16u

struct nf_poll_item {
	const struct nf_poll_item_ops *ops;
	struct nf_poller *poller;     /* NULL while detached */
	int error;		      /* why it was stopped; 0 runs */
	struct nf_counters *counters; /* rounds and sleeps are counted here; may be NULL */
	/* The item's, of its last run: what it waits for takes longer than to sleep and wake up (a
	 * disk). An adaptive poller does not spin when it was the last to move something. */
	bool is_patient;

	/* the poller's own while attached */
	uint32_t slot;	   /* its place in the list */
	uint32_t enrolled; /* descriptors the poller's epoll has of it */
	int enrolled_fds[NF_POLL_ITEM_FDS];
	bool is_restless; /* a descriptor of it is none that epoll takes */
};

struct nf_poller_config {
	enum nf_poll_mode mode;
	int cpu;	  /* pin to, -1 not */
	uint32_t spin_us; /* adaptive; default 50 */
	int yield;	  /* 1: sched_yield after an empty round, 0 never, -1: when fewer CPUs are
			   * there than a nested path has pollers (three) */
	const struct nf_control_page *control; /* may be NULL */
};

struct nf_poller;

/*
 * Starts the thread. -EINVAL: bad mode, or a CPU this process may not use; -ENOMEM, -EMFILE,
 * -EAGAIN (no thread). cfg->control is borrowed until stop.
 */
int nf_poller_start(const struct nf_poller_config *cfg, struct nf_poller **out);
/* Detaches everything, joins the thread. NULL is fine. */
void nf_poller_stop(struct nf_poller *p);
/*
 * Control thread only, as all below. Returns once the poller has the item (its next round runs it).
 * The item is borrowed until detach. -EBUSY: attached already; -ENOSPC: NF_POLL_ITEMS are.
 */
int nf_poller_attach(struct nf_poller *p, struct nf_poll_item *item);
void nf_poller_detach(struct nf_poll_item *item); /* no-op when detached */
/*
 * Has the poller's thread run fn between two rounds, and returns what it returned: for state that
 * other items of the poller reach into, and which the control thread so changes without a lock.
 * fn is short and calls nothing of this header. Without a poller (NULL) it runs right here.
 */
int nf_poller_call(struct nf_poller *p, int (*fn)(void *ctx), void *ctx);
/* Makes a blocked or parked poller run every item once. */
void nf_poller_kick(struct nf_poller *p);
/* Readable once any item has failed, for the control thread's poll(); nf_poller_failures drains it
 * and returns how many failed since. */
int nf_poller_fail_fd(const struct nf_poller *p);
uint32_t nf_poller_failures(struct nf_poller *p);

#define NF_POLL_ITEMS 2048u

#endif
