/* SPDX-License-Identifier: MIT */
/*
 * Which items are run, and which sleep. A poller with many mostly has few that move: the others'
 * descriptors stay in an epoll, so that neither a round nor a wake-up touches who has nothing to
 * do.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "poller.h"

#define ROUSE_BATCH 64

static void place(struct nf_poller *p, uint32_t slot, struct nf_poll_item *item)
{
	p->items[slot] = item;
	item->slot = slot;
}

static void swap(struct nf_poller *p, uint32_t a, uint32_t b)
{
	struct nf_poll_item *item = p->items[a];

	place(p, a, p->items[b]);
	place(p, b, item);
}

static void wake(struct nf_poller *p, struct nf_poll_item *item)
{
	if (item->slot >= p->awake)
		swap(p, item->slot, p->awake++);
}

int nf__bed_add(struct nf_poller *p, struct nf_poll_item *item)
{
	if (p->count == NF_POLL_ITEMS)
		return -ENOSPC;
	item->enrolled = 0;
	item->is_restless = false;
	place(p, p->count++, item);
	wake(p, item);
	return 0;
}

void nf__bed_drop(struct nf_poller *p, struct nf_poll_item *item)
{
	if (item->slot >= p->count || p->items[item->slot] != item)
		return;
	nf__bed_forget(p, item);
	if (item->slot < p->awake)
		swap(p, item->slot, --p->awake);
	swap(p, item->slot, --p->count);
}

void nf__bed_forget(struct nf_poller *p, struct nf_poll_item *item)
{
	/* one that is closed already has gone by itself */
	while (item->enrolled > 0)
		epoll_ctl(p->bed_fd, EPOLL_CTL_DEL, item->enrolled_fds[--item->enrolled], NULL);
}

static bool has(const int *fds, uint32_t count, int fd)
{
	for (uint32_t i = 0; i < count; i++)
		if (fds[i] == fd)
			return true;
	return false;
}

/* What it waits for is in bed_fd, and nothing else of it. False: that cannot be. */
static bool enroll(struct nf_poller *p, struct nf_poll_item *item)
{
	int fds[NF_POLL_ITEM_FDS];
	uint32_t in = (uint32_t)item->ops->fds(item, fds, NF_POLL_ITEM_FDS), all = in;

	if (item->ops->room_fds && in < NF_POLL_ITEM_FDS)
		all += (uint32_t)item->ops->room_fds(item, fds + in, (int)(NF_POLL_ITEM_FDS - in));
	for (uint32_t i = 0; i < item->enrolled; i++)
		if (!has(fds, all, item->enrolled_fds[i]))
			epoll_ctl(p->bed_fd, EPOLL_CTL_DEL, item->enrolled_fds[i], NULL);
	item->enrolled = 0;
	for (uint32_t i = 0; i < all; i++) {
		struct epoll_event ev = {.events = i < in ? EPOLLIN : EPOLLOUT, .data.ptr = item};
		bool again = has(fds, i, fds[i]);
		if (again && i >= in)
			ev.events |= has(fds, in, fds[i]) ? (uint32_t)EPOLLIN : 0u;
		/* asked for anew each time: a number may name another file by now */
		if (epoll_ctl(p->bed_fd, EPOLL_CTL_MOD, fds[i], &ev) < 0 &&
		    epoll_ctl(p->bed_fd, EPOLL_CTL_ADD, fds[i], &ev) < 0)
			return false;
		if (!again)
			item->enrolled_fds[item->enrolled++] = fds[i];
	}
	return true;
}

void nf__bed_settle(struct nf_poller *p)
{
	if (p->count <= NF_POLL_FEW)
		return;
	for (uint32_t i = p->awake; i-- > 0;) {
		struct nf_poll_item *item = p->items[i];
		if (!item->ops->is_alone || item->is_restless || item->error)
			continue;
		if (enroll(p, item)) {
			swap(p, i, --p->awake);
			continue;
		}
		nf__bed_forget(p, item);
		item->is_restless = true;
	}
}

void nf__bed_rouse(struct nf_poller *p)
{
	struct epoll_event ready[ROUSE_BATCH];
	int n = epoll_wait(p->bed_fd, ready, ROUSE_BATCH, 0);

	for (int i = 0; i < n; i++) {
		struct nf_poll_item *item = ready[i].data.ptr;
		if (item->ops->woken)
			item->ops->woken(item);
		wake(p, item);
	}
	if (n > 0 && p->count <= NF_POLL_FEW)
		nf__bed_rouse_all(p);
}

void nf__bed_rouse_all(struct nf_poller *p)
{
	p->awake = p->count;
}
