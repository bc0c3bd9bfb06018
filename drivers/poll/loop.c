/* SPDX-License-Identifier: MIT */
/* The poller's thread. A round that moves something costs a load of the mail word and of the park
 * word besides the items; system calls come only after empty rounds. */
#include <errno.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "nf/atomics.h"
#include "poller.h"

#define PEEK_ROUNDS 16u	   /* rounds that moved something between looks at who sleeps */
#define SWEEP_ROUNDS 4096u /* empty rounds between looks at descriptors nobody armed */
#define VAIN_SPINS 16u	   /* in a row: what is waited for takes longer than that */
#define TRY_SLEEPS 16u	   /* without a spin before one, to see whether that is still so */

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void nf__poller_fail(struct nf_poller *p, struct nf_poll_item *item, int error)
{
	const uint64_t one = 1;
	nf__bed_forget(p, item);
	/* the control thread looks at it whenever it likes; what the item noted comes before */
	nf_store_release((uint32_t *)&item->error, (uint32_t)error);
	if (item->ops->failed)
		item->ops->failed(item, error);
	if (write(p->fail_fd, &one, sizeof(one)) < 0)
		return; /* full: the control thread has been told already */
}

static uint32_t run_items(struct nf_poller *p)
{
	uint32_t moved = 0, patient = 0;
	for (uint32_t i = 0; i < p->awake; i++) {
		struct nf_poll_item *item = p->items[i];
		if (item->error)
			continue;
		int n = item->ops->run(item);
		if (n < 0) {
			nf__poller_fail(p, item, n);
			continue;
		}
		moved += (uint32_t)n;
		patient += item->is_patient ? (uint32_t)n : 0;
		if (!item->counters)
			continue;
		if (n)
			NF_COUNT(item->counters, rounds_busy, 1);
		else
			NF_COUNT(item->counters, rounds_empty, 1);
	}
	if (moved > 0)
		p->is_patient = patient == moved;
	return moved;
}

/* Asks every source for an event; false: there is work, do not sleep. */
static bool arm_items(struct nf_poller *p)
{
	bool armed = true;
	for (uint32_t i = 0; i < p->awake; i++) {
		struct nf_poll_item *item = p->items[i];
		if (item->error)
			continue;
		int n = item->ops->arm(item);
		if (n < 0)
			nf__poller_fail(p, item, n);
		else if (n > 0)
			armed = false;
	}
	return armed;
}

/* Deals with the letter; false: stop. */
static bool serve_mail(struct nf_poller *p)
{
	bool go_on = true;

	pthread_mutex_lock(&p->lock);
	p->mail_result = 0;
	switch (p->mail) {
	case NF__MAIL_ATTACH:
		p->mail_result = nf__bed_add(p, p->mail_item);
		break;
	case NF__MAIL_DETACH:
		nf__bed_drop(p, p->mail_item);
		break;
	case NF__MAIL_CALL:
		p->mail_result = p->mail_fn(p->mail_ctx);
		break;
	case NF__MAIL_STOP:
		go_on = false;
		break;
	default:
		break;
	}
	nf_store_relaxed(&p->mail, 0);
	p->mail_done = true;
	pthread_cond_signal(&p->answered);
	pthread_mutex_unlock(&p->lock);
	return go_on;
}

static void block(struct nf_poller *p)
{
	if (!arm_items(p))
		return;
	for (uint32_t i = 0; i < p->awake; i++)
		if (p->items[i]->counters)
			NF_COUNT(p->items[i]->counters, sleeps, 1);
	nf__bed_settle(p);
	nf__poller_block(p);
	p->idle_since_ns = 0;
}

/* Adaptive: it is time to sleep. */
static bool has_spun(struct nf_poller *p)
{
	if (p->is_patient || (p->vain_spins >= VAIN_SPINS && ++p->spinless < TRY_SLEEPS))
		return true;
	uint64_t now = now_ns();
	if (p->idle_since_ns == 0)
		p->idle_since_ns = now;
	if (now - p->idle_since_ns < (uint64_t)p->cfg.spin_us * 1000)
		return false;
	p->vain_spins++;
	p->spinless = 0;
	return true;
}

/* After a round that moved something. */
static inline void busy(struct nf_poller *p)
{
	if (p->idle_since_ns != 0) /* it was worth it to spin */
		p->vain_spins = 0;
	p->idle_since_ns = 0;
}

/* After a round that moved nothing. */
static void idle(struct nf_poller *p)
{
	if (p->count == 0) { /* nothing to own: wait for mail in every mode */
		nf__poller_block(p);
		return;
	}
	if (p->cfg.mode == NF_POLL_EVENT) {
		block(p);
		return;
	}
	if (p->cfg.mode == NF_POLL_ADAPTIVE && has_spun(p)) {
		block(p);
		return;
	}
	if (++p->empty_rounds % SWEEP_ROUNDS == 0)
		nf__poller_sweep(p);
	if (p->yield)
		sched_yield();
	else
		nf_cpu_relax();
}

void *nf__poller_main(void *poller)
{
	struct nf_poller *p = poller;
	const struct nf_control_page *control = p->cfg.control;

	for (;;) {
		/* the letter's contents after its flag */
		if (nf_load_acquire(&p->mail) && !serve_mail(p))
			return NULL;
		if (control && nf_load_relaxed(&control->park)) {
			nf__poller_park(p);
			continue;
		}
		if (run_items(p) == 0) {
			idle(p);
			continue;
		}
		busy(p);
		if (p->awake < p->count && ++p->busy_rounds % PEEK_ROUNDS == 0)
			nf__poller_peek(p);
	}
}
