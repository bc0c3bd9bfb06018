/* SPDX-License-Identifier: MIT */
/* A poller with many items: a wake-up runs who is ready, not everybody. */
#include "nf/atomics.h"
#include "nf/poll.h"
#include "tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MANY 40u
#define WAIT_MS 20000

/* Fields are the poller's while attached, read relaxed here. */
struct queue {
	struct nf_poll_item item;
	uint32_t runs, moved, failures;
	uint32_t fail_with;
	int fd;
};

static int q_run(struct nf_poll_item *item)
{
	struct queue *q = (struct queue *)(void *)item;
	uint64_t n;
	nf_store_relaxed(&q->runs, q->runs + 1);
	uint32_t fail = nf_load_relaxed(&q->fail_with);
	if (fail)
		return -(int)fail;
	if (read(q->fd, &n, sizeof(n)) != (ssize_t)sizeof(n))
		return 0;
	nf_store_relaxed(&q->moved, q->moved + (uint32_t)n);
	return 1;
}

static int q_arm(struct nf_poll_item *item)
{
	(void)item;
	return 0;
}

static int q_fds(struct nf_poll_item *item, int *fds, int cap)
{
	fds[0] = ((struct queue *)(void *)item)->fd;
	return cap > 0;
}

static void q_failed(struct nf_poll_item *item, int error)
{
	(void)error;
	struct queue *q = (struct queue *)(void *)item;
	nf_store_relaxed(&q->failures, q->failures + 1);
}

static const struct nf_poll_item_ops alone = {
	.run = q_run, .arm = q_arm, .fds = q_fds, .failed = q_failed, .is_alone = true};
static const struct nf_poll_item_ops together = {
	.run = q_run, .arm = q_arm, .fds = q_fds, .failed = q_failed};

static struct queue queues[MANY];

static void pause_ms(long ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

static bool reaches(const uint32_t *word, uint32_t want)
{
	for (int ms = 0; nf_load_relaxed(word) < want && ms < WAIT_MS; ms++)
		pause_ms(1);
	return nf_load_relaxed(word) >= want;
}

/* Waits until nobody is run any more: what each has run then. */
static void quiet(uint32_t *runs)
{
	bool same = false;
	for (int round = 0; !same && round < 1000; round++) {
		same = true;
		pause_ms(20);
		for (uint32_t i = 0; i < MANY; i++) {
			uint32_t now = nf_load_relaxed(&queues[i].runs);
			same &= now == runs[i];
			runs[i] = now;
		}
	}
	ok(same, "all are quiet");
}

/* How many have run since `runs` was taken; *of: how often that one did. */
static uint32_t ran(const uint32_t *runs)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < MANY; i++)
		count += nf_load_relaxed(&queues[i].runs) != runs[i];
	return count;
}

static void ring(uint32_t i)
{
	const uint64_t one = 1;
	if (write(queues[i].fd, &one, sizeof(one)) < 0)
		ok(false, "eventfd");
}

static void queues_open(struct nf_poller *p, const struct nf_poll_item_ops *ops)
{
	uint32_t attached = 0;
	for (uint32_t i = 0; i < MANY; i++) {
		queues[i] = (struct queue){.item = {.ops = ops},
					   .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
		attached += nf_poller_attach(p, &queues[i].item) == 0;
	}
	is(attached, MANY, "many items");
}

static void queues_close(void)
{
	for (uint32_t i = 0; i < MANY; i++) {
		nf_poller_detach(&queues[i].item);
		if (queues[i].fd >= 0)
			close(queues[i].fd);
	}
}

static void wakes_one(enum nf_poll_mode mode, const char *name)
{
	struct nf_poller_config cfg = {.mode = mode, .cpu = -1, .yield = -1};
	struct nf_poller *p = NULL;
	uint32_t runs[MANY] = {0};

	is(nf_poller_start(&cfg, &p), 0, "%s", name);
	queues_open(p, &alone);
	quiet(runs);
	ring(7);
	ok(reaches(&queues[7].moved, 1), "one of them is woken");
	quiet(runs);
	for (uint32_t i = 0; i < MANY; i++)
		ring(i);
	for (uint32_t i = 0; i < MANY; i++)
		if (!reaches(&queues[i].moved, i == 7 ? 2 : 1))
			ok(false, "%u is not woken", i);
	quiet(runs);
	ring(9);
	ok(reaches(&queues[9].moved, 2), "again one");
	is(ran(runs), 1, "nobody else is run for it");
	quiet(runs);
	nf_poller_kick(p);
	ok(reaches(&queues[MANY - 1].runs, runs[MANY - 1] + 1), "a kick");
	for (uint32_t i = 0; i < MANY; i++)
		if (!reaches(&queues[i].runs, runs[i] + 1))
			ok(false, "a kick does not run %u", i);
	quiet(runs);
	nf_poller_detach(&queues[3].item);
	ring(3);
	ring(4);
	ok(reaches(&queues[4].moved, 2), "one that was detached in its sleep leaves the others");
	is(nf_load_relaxed(&queues[3].runs), runs[3], "and is not run");
	is(nf_poller_attach(p, &queues[3].item), 0, "attached anew");
	ok(reaches(&queues[3].moved, 2), "it finds what came meanwhile");
	quiet(runs);
	nf_store_relaxed(&queues[5].fail_with, EPROTO);
	ring(5);
	ok(reaches(&queues[5].failures, 1), "one that fails");
	quiet(runs);
	ring(5);
	ring(6);
	ok(reaches(&queues[6].moved, 2), "is waited for no more; the others go on");
	is(nf_load_relaxed(&queues[5].runs), runs[5], "it is not run again");
	queues_close();
	nf_poller_stop(p);
}

/* A descriptor that is open under the same number as another file before. */
static void reopened(void)
{
	struct nf_poller_config cfg = {.mode = NF_POLL_EVENT, .cpu = -1, .yield = -1};
	struct nf_poller *p = NULL;
	uint32_t runs[MANY] = {0};

	is(nf_poller_start(&cfg, &p), 0, "start");
	queues_open(p, &alone);
	quiet(runs);
	nf_poller_detach(&queues[2].item);
	int fresh = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	is(dup3(fresh, queues[2].fd, O_CLOEXEC), queues[2].fd, "another file, the same number");
	close(fresh);
	is(nf_poller_attach(p, &queues[2].item), 0, "attach");
	quiet(runs);
	ring(2);
	ok(reaches(&queues[2].moved, 1), "is the one that wakes it");
	queues_close();
	nf_poller_stop(p);
}

/* A file that epoll does not take is always ready, as poll() says too; and who is not alone. */
static void awake(void)
{
	struct nf_poller_config cfg = {.mode = NF_POLL_EVENT, .cpu = -1, .yield = -1};
	struct nf_poller *p = NULL;
	uint32_t runs[MANY] = {0};

	is(nf_poller_start(&cfg, &p), 0, "start");
	queues_open(p, &together);
	quiet(runs);
	ring(8);
	ok(reaches(&queues[8].moved, 1), "woken");
	for (uint32_t i = 0; i < MANY; i++)
		if (!reaches(&queues[i].runs, runs[i] + 1))
			ok(false, "%u is not run", i);
	queues_close();
	queues_open(p, &alone);
	quiet(runs);
	nf_poller_detach(&queues[1].item);
	close(queues[1].fd);
	queues[1].fd = memfd_create("plain", MFD_CLOEXEC);
	is(nf_poller_attach(p, &queues[1].item), 0, "a plain file");
	ok(reaches(&queues[1].runs, runs[1] + 100), "keeps its item awake");
	ring(0);
	ok(reaches(&queues[0].moved, 1), "and nobody else from being woken");
	queues_close();
	nf_poller_stop(p);
}

static int open_fds(void)
{
	int count = 0;
	DIR *dir = opendir("/proc/self/fd");
	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

int main(void)
{
	int before = open_fds();
	wakes_one(NF_POLL_EVENT, "event");
	wakes_one(NF_POLL_ADAPTIVE, "adaptive");
	reopened();
	awake();
	is(open_fds(), before, "no descriptor is left");
	return done();
}
