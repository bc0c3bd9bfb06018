/* SPDX-License-Identifier: MIT */
/* The control thread's side of a poller: start, mail, stop. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nf/atomics.h"
#include "poller.h"

#define PATH_POLLERS 3 /* front, relay, back */

static bool should_yield(int wish)
{
	cpu_set_t set;
	if (wish >= 0)
		return wish != 0;
	/* the pollers of other processes cannot be counted from here; a yield nobody else wants the
	 * CPU for costs a quarter of a microsecond of an empty round */
	return sched_getaffinity(0, sizeof(set), &set) != 0 || CPU_COUNT(&set) < PATH_POLLERS;
}

static int start_thread(struct nf_poller *p)
{
	pthread_attr_t attr;
	int err = pthread_attr_init(&attr);

	if (err)
		return -err;
	if (p->cfg.cpu >= 0) {
		cpu_set_t set;
		CPU_ZERO(&set);
		CPU_SET((size_t)p->cfg.cpu, &set);
		err = pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	}
	if (!err)
		err = pthread_create(&p->thread, &attr, nf__poller_main, p);
	pthread_attr_destroy(&attr);
	return -err;
}

static void close_fds(const struct nf_poller *p)
{
	const int fds[] = {p->kick_fd, p->fail_fd, p->bed_fd};

	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

int nf_poller_start(const struct nf_poller_config *cfg, struct nf_poller **out)
{
	if (cfg->mode > NF_POLL_EVENT || cfg->cpu >= CPU_SETSIZE)
		return -EINVAL;
	struct nf_poller *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->cfg = *cfg;
	if (p->cfg.spin_us == 0)
		p->cfg.spin_us = 50;
	p->yield = should_yield(cfg->yield);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->answered, NULL);
	p->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->fail_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->bed_fd = epoll_create1(EPOLL_CLOEXEC);
	int err = p->kick_fd < 0 || p->fail_fd < 0 || p->bed_fd < 0 ? -EMFILE
								    : nf__poller_listen(p);
	if (!err)
		err = start_thread(p);
	if (err) {
		nf__poller_listen_stop(p);
		close_fds(p);
		free(p);
		return err;
	}
	*out = p;
	return 0;
}

void nf__poller_wake(struct nf_poller *p)
{
	const uint64_t one = 1;
	/* EAGAIN: the counter is full, so the poller has been told already */
	if (write(p->kick_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		return;
	nf_full_barrier(); /* mail before the look at parked; the poller does it the other way */
	if (p->cfg.control && nf_load_relaxed(&p->parked))
		syscall(SYS_futex, &p->cfg.control->park, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void nf_poller_kick(struct nf_poller *p)
{
	nf_store_release(&p->is_kicked, 1); /* whatever it is about before the word */
	nf__poller_wake(p);
}

/* Hands the letter over and waits until it was dealt with; locked by the caller. */
static int post(struct nf_poller *p, enum nf__poll_mail what)
{
	p->mail_done = false;
	nf_store_release(&p->mail, what); /* the letter before its flag */
	nf__poller_wake(p);
	while (!p->mail_done)
		pthread_cond_wait(&p->answered, &p->lock);
	return p->mail_result;
}

static int send_mail(struct nf_poller *p, enum nf__poll_mail what, struct nf_poll_item *item)
{
	pthread_mutex_lock(&p->lock);
	p->mail_item = item;
	int result = post(p, what);
	pthread_mutex_unlock(&p->lock);
	return result;
}

int nf_poller_call(struct nf_poller *p, int (*fn)(void *ctx), void *ctx)
{
	if (!p)
		return fn(ctx);
	pthread_mutex_lock(&p->lock);
	p->mail_fn = fn;
	p->mail_ctx = ctx;
	int result = post(p, NF__MAIL_CALL);
	pthread_mutex_unlock(&p->lock);
	return result;
}

int nf_poller_attach(struct nf_poller *p, struct nf_poll_item *item)
{
	if (!p || !item || !item->ops)
		return -EINVAL;
	if (item->poller)
		return -EBUSY;
	item->error = 0;
	int err = send_mail(p, NF__MAIL_ATTACH, item);
	if (err == 0)
		item->poller = p;
	return err;
}

void nf_poller_detach(struct nf_poll_item *item)
{
	struct nf_poller *p = item ? item->poller : NULL;
	if (!p)
		return;
	send_mail(p, NF__MAIL_DETACH, item);
	item->poller = NULL;
}

void nf_poller_stop(struct nf_poller *p)
{
	if (!p)
		return;
	send_mail(p, NF__MAIL_STOP, NULL);
	pthread_join(p->thread, NULL);
	nf__poller_listen_stop(p);
	for (uint32_t i = 0; i < p->count; i++)
		p->items[i]->poller = NULL;
	close_fds(p);
	pthread_cond_destroy(&p->answered);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

int nf_poller_fail_fd(const struct nf_poller *p)
{
	return p->fail_fd;
}

uint32_t nf_poller_failures(struct nf_poller *p)
{
	uint64_t n = 0;
	if (read(p->fail_fd, &n, sizeof(n)) != (ssize_t)sizeof(n))
		return 0;
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}
