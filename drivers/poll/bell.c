/* SPDX-License-Identifier: MIT */
/*
 * The control page's bell. A poller sleeps in poll(), which a word in memory cannot end; looking
 * there now and then would cost every idle device wake-ups for ever. So a thread of its own sleeps
 * on the word, and turns each ring into a kick.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nf/atomics.h"
#include "poller.h"

#define STACK_BYTES 65536u

static void wake(const uint32_t *word)
{
	/* not private: the page belongs to another process */
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void nf_control_ring(struct nf_control_page *page)
{
	/* what was written before the ring; no other writer: rings that merge are one ring */
	nf_store_release(&page->bell, nf_load_relaxed(&page->bell) + 1);
	nf_full_barrier(); /* the bell before the kernel looks for sleepers */
	wake(&page->bell);
}

static void *listener_main(void *poller)
{
	struct nf_poller *p = poller;
	const uint32_t *bell = &p->cfg.control->bell;
	/* what was rung for before items came they look at by themselves */
	uint32_t heard = nf_load_acquire(bell);

	while (!nf_load_acquire(&p->listener_stop)) {
		uint32_t now = nf_load_acquire(bell);
		if (now != heard) {
			heard = now;
			nf_poller_kick(p);
			continue;
		}
		syscall(SYS_futex, bell, FUTEX_WAIT, heard, NULL, NULL, 0);
	}
	nf_store_release(&p->listener_gone, 1);
	return NULL;
}

int nf__poller_listen(struct nf_poller *p)
{
	pthread_attr_t attr;
	int err = 0;

	if (!p->cfg.control)
		return 0;
	err = pthread_attr_init(&attr);
	if (err)
		return -err;
	err = pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (!err)
		err = pthread_create(&p->listener, &attr, listener_main, p);
	pthread_attr_destroy(&attr);
	p->listens = err == 0;
	return -err;
}

void nf__poller_listen_stop(struct nf_poller *p)
{
	if (!p->listens)
		return;
	nf_store_release(&p->listener_stop, 1);
	/* it may be about to sleep, which one wake-up would miss */
	while (!nf_load_acquire(&p->listener_gone)) {
		wake(&p->cfg.control->bell);
		sched_yield();
	}
	pthread_join(p->listener, NULL);
	p->listens = false;
}
