/* SPDX-License-Identifier: MIT */
/* An adaptive poller whose spins are in vain stops spinning, and so does one that is told so. */
#include "nf/atomics.h"
#include "nf/poll.h"
#include "tap.h"

#include <sys/eventfd.h>
#include <unistd.h>

struct queue {
	struct nf_poll_item item;
	struct nf_counters counters;
	uint32_t work;
	int fd;
};

static int q_run(struct nf_poll_item *item)
{
	struct queue *q = (struct queue *)(void *)item;
	if (!nf_load_acquire(&q->work))
		return 0;
	nf_store_release(&q->work, 0);
	return 1;
}

static int q_arm(struct nf_poll_item *item)
{
	return nf_load_acquire(&((struct queue *)(void *)item)->work) != 0;
}

static int q_fds(struct nf_poll_item *item, int *fds, int cap)
{
	fds[0] = ((struct queue *)(void *)item)->fd;
	return cap > 0;
}

static void q_woken(struct nf_poll_item *item)
{
	uint64_t n;
	if (read(((struct queue *)(void *)item)->fd, &n, sizeof(n)) < 0)
		return; /* a kick woke us */
}

static const struct nf_poll_item_ops ops = {
	.run = q_run, .arm = q_arm, .fds = q_fds, .woken = q_woken};

static uint64_t count_of(const struct queue *q, enum nf_counter c)
{
	return nf_load64(&q->counters.words[c]);
}

static bool until_asleep(const struct queue *q, uint64_t times)
{
	for (int i = 0; i < 40000 && count_of(q, NF_COUNTER_sleeps) < times; i++)
		usleep(500);
	return count_of(q, NF_COUNTER_sleeps) >= times;
}

/* One event, one piece of work, asleep again: empty rounds in between; UINT64_MAX: never. */
static uint64_t one_sleep(struct queue *q)
{
	const uint64_t one = 1, asleep = count_of(q, NF_COUNTER_sleeps) + 1;
	const uint64_t empty = count_of(q, NF_COUNTER_rounds_empty);
	nf_store_release(&q->work, 1);
	if (write(q->fd, &one, sizeof(one)) != (ssize_t)sizeof(one) || !until_asleep(q, asleep))
		return UINT64_MAX;
	return count_of(q, NF_COUNTER_rounds_empty) - empty;
}

static void vain(bool is_patient)
{
	const struct nf_poller_config cfg = {.mode = NF_POLL_ADAPTIVE, .cpu = -1, .spin_us = 10000};
	const char *name = is_patient ? "patient" : "in vain";
	struct nf_poller *p = NULL;
	struct queue q = {.item = {.ops = &ops, .is_patient = is_patient}};
	q.item.counters = &q.counters;
	q.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	is(nf_poller_start(&cfg, &p), 0, "%s: a poller starts", name);
	is(nf_poller_attach(p, &q.item), 0, "%s: attach", name);
	ok(until_asleep(&q, 1), "%s: it sleeps", name);
	for (int i = 0; i < (is_patient ? 1 : 16); i++)
		ok(one_sleep(&q) != UINT64_MAX, "%s: and again", name);
	for (int i = 0; i < 3; i++) {
		uint64_t empty = one_sleep(&q);
		ok(empty <= 2, "%s: at once: %llu empty rounds", name, (unsigned long long)empty);
	}
	nf_poller_stop(p);
	close(q.fd);
}

int main(void)
{
	vain(false);
	vain(true);
	return done();
}
