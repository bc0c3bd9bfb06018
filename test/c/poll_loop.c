/* SPDX-License-Identifier: MIT */
/* The poller: modes, mail, parking, failures; that idle ones cost nothing and busy ones still
 * listen. */
#include "nf/atomics.h"
#include "nf/poll.h"
#include "tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A queue with an event descriptor. Fields are the poller's while attached, read relaxed here. */
struct queue {
	struct nf_poll_item item;
	uint32_t runs, arms, wakes, failures;
	uint32_t work; /* rounds that will move something; UINT32_MAX: always */
	uint32_t moved;
	int fd, fail_with;
};

static int q_run(struct nf_poll_item *item)
{
	struct queue *q = (struct queue *)(void *)item;
	nf_store_relaxed(&q->runs, q->runs + 1);
	if (q->fail_with)
		return q->fail_with;
	uint32_t work = nf_load_relaxed(&q->work);
	if (work == 0)
		return 0;
	if (work != UINT32_MAX)
		__atomic_fetch_sub(&q->work, 1, __ATOMIC_RELAXED);
	nf_store_relaxed(&q->moved, q->moved + 1);
	return 1;
}

static int q_arm(struct nf_poll_item *item)
{
	struct queue *q = (struct queue *)(void *)item;
	nf_store_relaxed(&q->arms, q->arms + 1);
	return nf_load_relaxed(&q->work) != 0;
}

static int q_fds(struct nf_poll_item *item, int *fds, int cap)
{
	fds[0] = ((struct queue *)(void *)item)->fd;
	return cap > 0;
}

static void q_woken(struct nf_poll_item *item)
{
	struct queue *q = (struct queue *)(void *)item;
	uint64_t n;
	nf_store_relaxed(&q->wakes, q->wakes + (read(q->fd, &n, 8) == 8));
}

static void q_failed(struct nf_poll_item *item, int error)
{
	struct queue *q = (struct queue *)(void *)item;
	nf_store_relaxed(&q->failures, q->failures + (error == q->fail_with));
}

static const struct nf_poll_item_ops ops = {
	.run = q_run, .arm = q_arm, .fds = q_fds, .woken = q_woken, .failed = q_failed};

/* Waits for room in a pipe as well. */
static int full_pipe = -1;

static int q_room(struct nf_poll_item *item, int *fds, int cap)
{
	(void)item;
	fds[0] = full_pipe;
	return cap > 0;
}

static const struct nf_poll_item_ops room_ops = {.run = q_run,
						 .arm = q_arm,
						 .fds = q_fds,
						 .woken = q_woken,
						 .failed = q_failed,
						 .room_fds = q_room};

static void queue_init(struct queue *q)
{
	*q = (struct queue){.item = {.ops = &ops}, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
}

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t cpu_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Waits until *word is at least want, at most ms; true when it got there. */
static bool reaches(uint32_t *word, uint32_t want, uint32_t ms)
{
	for (uint64_t end = now_ms() + ms; now_ms() < end; usleep(200))
		if (nf_load_relaxed(word) >= want)
			return true;
	return nf_load_relaxed(word) >= want;
}

static struct nf_poller *start(enum nf_poll_mode mode, const struct nf_control_page *control)
{
	struct nf_poller_config cfg = {.mode = mode, .cpu = -1, .yield = -1, .control = control};
	struct nf_poller *p = NULL;
	is(nf_poller_start(&cfg, &p), 0, "a poller starts");
	return p;
}

static void sleeping(enum nf_poll_mode mode, const char *name)
{
	const uint64_t one = 1;
	struct nf_counters c;
	struct queue q;
	struct nf_poller *p = start(mode, NULL);

	memset(&c, 0, sizeof(c));
	queue_init(&q);
	q.item.counters = &c;
	is(nf_poller_attach(p, &q.item), 0, "%s: attach", name);
	is(nf_poller_attach(p, &q.item), -EBUSY, "%s: twice is refused", name);
	ok(reaches(&q.arms, 1, 1000), "%s: it arms", name);
	usleep(20000);
	uint64_t cpu = cpu_ms();
	uint32_t runs = nf_load_relaxed(&q.runs);
	usleep(200000);
	is(nf_load_relaxed(&q.runs), runs, "%s: then it sleeps: no round in 200 ms", name);
	ok(cpu_ms() - cpu < 20, "%s: at no cost", name);
	nf_store_relaxed(&q.work, 3);
	is(write(q.fd, &one, 8), 8, "%s: an event", name);
	ok(reaches(&q.moved, 3, 1000), "%s: wakes it and all work is done", name);
	is(nf_load_relaxed(&q.wakes), 1, "%s: the channel was cleared once", name);
	nf_store_relaxed(&q.work, 1);
	nf_poller_kick(p);
	ok(reaches(&q.moved, 4, 1000), "%s: a kick does too", name);
	nf_poller_detach(&q.item);
	runs = q.runs;
	q.work = UINT32_MAX;
	usleep(20000);
	is(q.runs, runs, "%s: detached, it is never run again", name);
	nf_poller_detach(&q.item);
	ok(c.words[NF_COUNTER_sleeps] >= 1 && c.words[NF_COUNTER_rounds_busy] == 4,
	   "%s: rounds and sleeps are counted", name);
	nf_poller_stop(p);
	close(q.fd);
}

static void busy(void)
{
	struct queue q[3];
	struct nf_poller *p = start(NF_POLL_BUSY, NULL);
	uint64_t worst = 0;

	for (int i = 0; i < 3; i++)
		queue_init(&q[i]);
	q[0].work = UINT32_MAX;
	is(nf_poller_attach(p, &q[0].item), 0, "busy: attach");
	ok(reaches(&q[0].moved, 1000, 1000), "busy: it moves");
	uint32_t before = nf_load_relaxed(&q[0].moved);
	for (int i = 0; i < 200; i++) {
		uint64_t begin = now_ms();
		if (nf_poller_attach(p, &q[1].item) || nf_poller_attach(p, &q[2].item))
			break;
		nf_poller_detach(&q[1].item);
		nf_poller_detach(&q[2].item);
		if (now_ms() - begin > worst)
			worst = now_ms() - begin;
	}
	ok(worst < 500, "busy: 400 attaches and detaches under load, worst %u ms", (unsigned)worst);
	ok(nf_load_relaxed(&q[0].moved) - before >= 200, "busy: the one under load went on");
	/* an event on a channel nobody armed is cleared all the same, when nothing moves */
	const uint64_t one = 1;
	nf_store_relaxed(&q[0].work, 0);
	is(write(q[0].fd, &one, 8), 8, "busy: an event nobody asked for");
	ok(reaches(&q[0].wakes, 1, 10000), "busy: is cleared");
	nf_poller_stop(p);
	ok(q[0].item.poller == NULL, "stop detaches");
	for (int i = 0; i < 3; i++)
		close(q[i].fd);
}

static void failure(void)
{
	struct queue q[2];
	struct nf_poller *p = start(NF_POLL_EVENT, NULL);

	queue_init(&q[0]);
	queue_init(&q[1]);
	q[0].fail_with = -EPROTO;
	nf_poller_attach(p, &q[0].item);
	nf_poller_attach(p, &q[1].item);
	ok(reaches(&q[0].failures, 1, 1000), "a failed item is told of");
	struct pollfd fail = {nf_poller_fail_fd(p), POLLIN, 0};
	is(poll(&fail, 1, 20000), 1, "the control thread sees it");
	is(nf_poller_failures(p), 1, "once");
	is(nf_poller_failures(p), 0, "and then no more");
	nf_store_relaxed(&q[1].work, 1);
	nf_poller_kick(p);
	ok(reaches(&q[1].moved, 1, 1000), "the other goes on");
	is(nf_load_relaxed(&q[0].runs), 1, "the failed one was run once");
	is(q[0].item.error, -EPROTO, "its error stays");
	nf_poller_detach(&q[0].item);
	q[0].fail_with = 0;
	is(nf_poller_attach(p, &q[0].item), 0, "attached again it starts afresh");
	ok(reaches(&q[0].runs, 2, 1000), "and runs");
	nf_poller_stop(p);
	close(q[0].fd);
	close(q[1].fd);
}

/* The control page as a domain has it: another mapping of it is read-only. */
static struct nf_control_page *control_pages(const struct nf_control_page **read_only)
{
	int fd = memfd_create("control", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, sizeof(struct nf_control_page)) < 0)
		abort();
	struct nf_control_page *rw = mmap(NULL, sizeof(*rw), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
					  0);
	*read_only = mmap(NULL, sizeof(*rw), PROT_READ, MAP_SHARED, fd, 0);
	if (rw == MAP_FAILED || *read_only == MAP_FAILED)
		abort();
	close(fd);
	return rw;
}

static void park(enum nf_poll_mode mode, const char *name)
{
	const struct nf_control_page *ro;
	struct nf_control_page *rw = control_pages(&ro);
	struct queue q, late;
	struct nf_poller *p = start(mode, ro);

	queue_init(&q);
	queue_init(&late);
	nf_poller_attach(p, &q.item);
	nf_store_relaxed(&q.work, mode == NF_POLL_BUSY ? UINT32_MAX : 0);
	nf_store_relaxed(&rw->park, 1);
	nf_control_ring(rw);
	usleep(60000);
	uint32_t runs = nf_load_relaxed(&q.runs);
	uint64_t cpu = cpu_ms();
	usleep(250000);
	ok(nf_load_relaxed(&q.runs) == runs && cpu_ms() - cpu < 20, "%s: parked, it costs nothing",
	   name);
	uint64_t begin = now_ms();
	is(nf_poller_attach(p, &late.item), 0, "%s: mail is read while parked", name);
	nf_poller_detach(&late.item);
	ok(now_ms() - begin < 90, "%s: at once, not at the next look", name);
	is(late.runs, 0, "%s: and nothing is run", name);
	nf_store_relaxed(&q.work, 1);
	nf_store_relaxed(&rw->park, 0);
	syscall(SYS_futex, &rw->park, FUTEX_WAKE, 1 << 20, NULL, NULL, 0);
	ok(reaches(&q.runs, runs + 1, 1000), "%s: woken, it goes on", name);
	nf_store_relaxed(&q.work, 0);
	if (mode == NF_POLL_EVENT) {
		usleep(50000);
		runs = nf_load_relaxed(&q.runs);
		rw->dev[3].mode = NF_GEN_SEND;
		nf_control_ring(rw);
		ok(reaches(&q.runs, runs + 1, 5000), "%s: a changed control page is seen", name);
	}
	nf_poller_stop(p);
	close(q.fd);
	close(late.fd);
	munmap(rw, sizeof(*rw));
}

/* How often other threads of this process went to sleep so far. */
static uint64_t sleeps(void)
{
	uint64_t sum = 0;
	DIR *tasks = opendir("/proc/self/task");
	for (struct dirent *e; tasks && (e = readdir(tasks));) {
		char path[300], line[128];
		if (atoi(e->d_name) == 0 || atoi(e->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
		FILE *f = fopen(path, "r");
		while (f && fgets(line, sizeof(line), f))
			if (strncmp(line, "voluntary_ctxt_switches:", 24) == 0)
				sum += strtoull(line + 24, NULL, 10);
		if (f)
			fclose(f);
	}
	if (tasks)
		closedir(tasks);
	return sum;
}

static void idle_with_control(void)
{
	const struct nf_control_page *ro;
	struct nf_control_page *rw = control_pages(&ro);
	struct queue q;
	struct nf_poller *p = start(NF_POLL_EVENT, ro);

	queue_init(&q);
	nf_poller_attach(p, &q.item);
	usleep(100000);
	uint64_t n = sleeps();
	usleep(1000000);
	n = sleeps() - n; /* a sanitizer's own thread wakes ten times */
	ok(n <= 15, "an idle item with a control page: %llu wake-ups a second",
	   (unsigned long long)n);
	nf_poller_stop(p);
	close(q.fd);
	munmap(rw, sizeof(*rw));
}

static void refusals(void)
{
	struct nf_poller *p = NULL;
	struct nf_poller_config cfg = {.mode = (enum nf_poll_mode)9, .cpu = -1};
	is(nf_poller_start(&cfg, &p), -EINVAL, "an unknown mode");
	cfg = (struct nf_poller_config){.mode = NF_POLL_BUSY, .cpu = 1023};
	is(nf_poller_start(&cfg, &p), -EINVAL, "a CPU that is not there");
	ok(p == NULL, "leave the output alone");
	nf_poller_stop(NULL);
	nf_poller_detach(NULL);
	static struct queue many[NF_POLL_ITEMS + 1];
	const struct rlimit files = {8192, 8192};
	setrlimit(RLIMIT_NOFILE, &files); /* a descriptor each */
	p = start(NF_POLL_EVENT, NULL);
	uint32_t taken = 0;
	for (uint32_t i = 0; i <= NF_POLL_ITEMS; i++) {
		queue_init(&many[i]);
		taken += nf_poller_attach(p, &many[i].item) == 0;
	}
	is(taken, NF_POLL_ITEMS, "so many items and no more");
	is(nf_poller_attach(p, &many[NF_POLL_ITEMS].item), -ENOSPC, "one more is refused");
	for (uint32_t i = 0; i <= NF_POLL_ITEMS; i += 2)
		nf_poller_detach(&many[i].item);
	nf_poller_stop(p);
	for (uint32_t i = 0; i <= NF_POLL_ITEMS; i++)
		close(many[i].fd);
}

/* A port that is full: its queue sleeps until there is room, and not a moment longer. */
static void waits_for_room(enum nf_poll_mode mode, const char *name)
{
	char page[4096] = {0};
	int ends[2];
	struct queue q;
	if (pipe(ends) < 0 || fcntl(ends[1], F_SETFL, O_NONBLOCK) < 0)
		abort();
	while (write(ends[1], page, sizeof(page)) > 0)
		;
	full_pipe = ends[1];
	struct nf_poller *p = start(mode, NULL);
	queue_init(&q);
	q.item.ops = &room_ops;
	is(nf_poller_attach(p, &q.item), 0, "%s: a queue whose port is full", name);
	ok(reaches(&q.arms, 1, 5000), "%s: arms", name);
	usleep(50000);
	uint32_t before = nf_load_relaxed(&q.runs);
	usleep(200000);
	ok(nf_load_relaxed(&q.runs) - before < 20, "%s: it sleeps while there is no room", name);
	while (read(ends[0], page, sizeof(page)) == (ssize_t)sizeof(page) &&
	       nf_load_relaxed(&q.runs) == before)
		usleep(1000);
	ok(reaches(&q.runs, before + 1, 5000), "%s: room wakes it", name);
	nf_poller_stop(p);
	close(ends[0]);
	close(ends[1]);
	close(q.fd);
}

int main(void)
{
	waits_for_room(NF_POLL_EVENT, "event");
	waits_for_room(NF_POLL_ADAPTIVE, "adaptive");
	sleeping(NF_POLL_EVENT, "event");
	sleeping(NF_POLL_ADAPTIVE, "adaptive");
	busy();
	failure();
	park(NF_POLL_BUSY, "busy");
	park(NF_POLL_EVENT, "event");
	idle_with_control();
	refusals();
	return done();
}
