/* SPDX-License-Identifier: MIT */
/* Where a poller sleeps. */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "nf/atomics.h"
#include "poller.h"

#define PARK_NS 100000000l /* safety net only: the toolstack wakes the word, a kick does too */

void nf__poller_park(struct nf_poller *p)
{
	const struct timespec net = {.tv_nsec = PARK_NS};
	const uint32_t *word = &p->cfg.control->park;
	uint32_t value;

	nf_store_relaxed(&p->parked, 1);
	nf_full_barrier(); /* parked before the last look at mail; the sender does it the other way
			    */
	while ((value = nf_load_relaxed(word)) != 0 && nf_load_relaxed(&p->mail) == 0)
		/* not private: the page belongs to another process; read-only will do for waiting
		 */
		syscall(SYS_futex, word, FUTEX_WAIT, value, &net, NULL, 0);
	nf_store_relaxed(&p->parked, 0);
}

/* What one item waits for; both kinds share its descriptors' number. */
static uint32_t collect_item(struct nf_poller *p, uint32_t i, uint32_t n)
{
	struct nf_poll_item *item = p->items[i];
	int fds[NF_POLL_ITEM_FDS];
	int in = item->ops->fds(item, fds, NF_POLL_ITEM_FDS), all = in;

	if (item->ops->room_fds && in < NF_POLL_ITEM_FDS)
		all += item->ops->room_fds(item, fds + in, NF_POLL_ITEM_FDS - in);
	for (int k = 0; k < all && k < NF_POLL_ITEM_FDS; k++) {
		p->fd_item[n] = (uint16_t)i;
		p->fds[n++] = (struct pollfd){.fd = fds[k], .events = k < in ? POLLIN : POLLOUT};
	}
	return n;
}

#define FIXED_FDS 2u /* kick, bed */

static void collect_fixed(struct nf_poller *p)
{
	p->fds[0] = (struct pollfd){.fd = p->kick_fd, .events = POLLIN};
	/* negative: nobody sleeps, and poll looks away */
	p->fds[1] = (struct pollfd){.fd = p->awake < p->count ? p->bed_fd : -1, .events = POLLIN};
}

static uint32_t collect(struct nf_poller *p)
{
	uint32_t n = FIXED_FDS;

	collect_fixed(p);
	for (uint32_t i = 0; i < p->awake; i++) {
		struct nf_poll_item *item = p->items[i];
		if (item->error)
			continue;
		nf__bed_forget(p, item); /* else it would be told twice */
		n = collect_item(p, i, n);
	}
	return n;
}

/* The items of p->fds, whose places stand until then; who sleeps is woken last. */
static void dispatch(struct nf_poller *p, uint32_t n)
{
	int last = -1;

	for (uint32_t i = FIXED_FDS; i < n; i++) {
		if (!p->fds[i].revents || p->fd_item[i] == last)
			continue;
		last = p->fd_item[i];
		struct nf_poll_item *item = p->items[last];
		if (item->ops->woken)
			item->ops->woken(item);
	}
	if (p->fds[0].revents) {
		uint64_t kicks;
		if (read(p->kick_fd, &kicks, sizeof(kicks)) < 0)
			return; /* drained by nobody else: cannot happen, and would only poll again
				 */
	}
	if (nf_load_acquire(&p->is_kicked)) { /* set before the descriptor was written */
		nf_store_relaxed(&p->is_kicked, 0);
		nf_full_barrier(); /* a kick from here on is seen next time, or by what runs now */
		nf__bed_rouse_all(p);
	}
	if (p->fds[1].revents)
		nf__bed_rouse(p);
}

void nf__poller_block(struct nf_poller *p)
{
	uint32_t n = collect(p);

	/* a signal is none of ours: it only makes us look */
	if (poll(p->fds, n, -1) > 0)
		dispatch(p, n);
}

void nf__poller_sweep(struct nf_poller *p)
{
	uint32_t n = collect(p);
	if (poll(p->fds, n, 0) > 0)
		dispatch(p, n);
}

void nf__poller_peek(struct nf_poller *p)
{
	collect_fixed(p);
	if (poll(p->fds, FIXED_FDS, 0) > 0)
		dispatch(p, FIXED_FDS);
}
