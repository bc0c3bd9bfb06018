/* SPDX-License-Identifier: MIT */
/* The control thread: store events, control rings, failed queues, signals. */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "nfd.h"

#define TICK_MS 250 /* while some device waits for its peer */
#define MUTE_MS 200 /* a control channel whose peer is gone stays readable for ever */

#define FIXED 3 /* signals, failed queues, watched devices */
#define WATCHED_BATCH 64

struct waits {
	struct pollfd fds[FIXED + NFD_SIDES + NFD_DEVICES * NFD_FDS + NFD_CONTROL_FDS];
	struct nfd_device *device[FIXED + NFD_SIDES + NFD_DEVICES * NFD_FDS]; /* or NULL */
	nfds_t count; /* before the control socket's */
	int control_count;
};

uint64_t nfd_now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void add(struct waits *w, int fd, struct nfd_device *v)
{
	w->device[w->count] = v;
	w->fds[w->count++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static void collect(struct nfd *d, struct waits *w)
{
	uint64_t now = nfd_now_ms();

	w->count = 0;
	add(w, d->signal_fd, NULL);
	add(w, nf_poller_fail_fd(d->poller), NULL);
	add(w, d->watch_fd, NULL);
	for (uint32_t i = 0; i < d->side_count; i++)
		if (!d->sides[i].dead)
			add(w, nf_store_pollfd(d->sides[i].store), NULL);
	for (uint32_t i = 0; i < d->device_count; i++) {
		struct nfd_device *v = &d->devices[i];
		int fds[NFD_FDS];
		if (!v->used || v->mute_until_ms > now || nfd_device_watch(d, v))
			continue;
		int n = nfd_device_fds(d, v, fds, NFD_FDS);
		for (int k = 0; k < n; k++)
			add(w, fds[k], v);
	}
	w->control_count = nfd_control_collect(d, w->fds + w->count);
}

/* Everything the store has said, and what follows from it. Steps talk to the store, which may queue
 * further events in our own memory where poll() does not see them: so until there are none. */
static void settle(struct nfd *d)
{
	bool again = true;
	for (int rounds = 0; again && rounds < 64; rounds++) {
		again = false;
		for (uint32_t i = 0; i < d->side_count; i++) {
			again |= nfd_side_events(d, i);
			if (d->sides[i].rescan && !d->sides[i].dead && !d->sides[i].silent &&
			    !d->stop_at_ms) {
				nfd_scan(d, i);
				again = true;
			}
		}
		for (uint32_t i = 0; i < d->device_count; i++) {
			if (!d->devices[i].used || !d->devices[i].dirty)
				continue;
			nfd_device_step(d, &d->devices[i]);
			again = true;
		}
	}
}

static void step_all(struct nfd *d)
{
	for (uint32_t i = 0; i < d->device_count; i++)
		d->devices[i].dirty = d->devices[i].used;
}

static bool anybody_waits(const struct nfd *d)
{
	for (uint32_t i = 0; i < d->device_count; i++) {
		const struct nfd_device *v = &d->devices[i];
		if (v->used && (nfd_device_waits(v) || v->mute_until_ms))
			return true;
	}
	return false;
}

/* Backs on Xen can be left as they are: a front of ours cannot, its pages go with us. */
static bool is_left(const struct nfd *d, const struct nfd_device *v)
{
	return d->is_leaving && v->kind == NFD_BACK && d->sides[v->side].is_xen;
}

void nfd_stop(struct nfd *d, bool leave)
{
	if (d->stop_at_ms) {
		d->stop_at_ms = 1; /* asked again: at once */
		return;
	}
	nfd_log(leave ? "asked to leave" : "asked to stop");
	nfd_notify("STOPPING=1");
	d->is_leaving = leave;
	d->stop_at_ms = nfd_now_ms() + NFD_SHUTDOWN_MS;
	for (uint32_t i = 0; i < d->device_count; i++)
		if (d->devices[i].used && !is_left(d, &d->devices[i]))
			nfd_device_shutdown(d, &d->devices[i]);
}

static void begin_stop(struct nfd *d)
{
	struct signalfd_siginfo si;
	if (read(d->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		nfd_stop(d, si.ssi_signo == SIGHUP);
}

/* True when every device is closed, or can't be closed in order any more. */
static bool stopped(const struct nfd *d)
{
	if (nfd_now_ms() >= d->stop_at_ms)
		return true;
	for (uint32_t i = 0; i < d->device_count; i++) {
		const struct nfd_device *v = &d->devices[i];
		if (v->used && v->u.any && nfd_device_alive(d, v) && v->phase >= 0 &&
		    !is_left(d, v) && v->phase != NF_NET_CLOSED && v->phase != NF_NET_FAILED)
			return false;
	}
	return true;
}

/* The rest of them is ready next time as well. */
static void react_watched(struct nfd *d)
{
	struct epoll_event ready[WATCHED_BATCH];
	int n = epoll_wait(d->watch_fd, ready, WATCHED_BATCH, 0);

	for (int i = 0; i < n; i++)
		((struct nfd_device *)ready[i].data.ptr)->dirty = true;
}

static void react(struct nfd *d, struct waits *w, int ready)
{
	uint64_t now = nfd_now_ms();

	if (ready <= 0) {
		for (uint32_t i = 0; ready == 0 && i < d->device_count; i++) {
			struct nfd_device *v = &d->devices[i];
			v->dirty = v->used && (nfd_device_waits(v) || d->stop_at_ms);
			if (v->mute_until_ms <= now)
				v->mute_until_ms = 0;
		}
		return;
	}
	if (w->fds[0].revents)
		begin_stop(d);
	if (w->fds[1].revents && nf_poller_failures(d->poller))
		step_all(d);
	nfd_control_react(d, w->fds + w->count, w->control_count);
	if (w->fds[2].revents)
		react_watched(d);
	for (nfds_t i = FIXED; i < w->count; i++) {
		if (!w->fds[i].revents || !w->device[i])
			continue;
		w->device[i]->dirty = true;
		if (w->fds[i].revents & (POLLHUP | POLLERR | POLLNVAL))
			w->device[i]->mute_until_ms = now + MUTE_MS;
	}
}

void nfd_count(const struct nfd *d, uint32_t *devices, uint32_t *running)
{
	*devices = *running = 0;
	for (uint32_t i = 0; i < d->device_count; i++) {
		*devices += d->devices[i].used;
		*running += d->devices[i].used && d->devices[i].u.any &&
			    d->devices[i].phase == NF_NET_RUNNING;
	}
}

/* Status and sign of life for systemd. Returns how long to sleep, ms, -1: for ever. */
static int tell_manager(struct nfd *d)
{
	static uint32_t last = UINT32_MAX;
	static uint64_t alive_at;
	uint32_t devices, running, period = nfd_notify_watchdog_ms();
	uint64_t now = nfd_now_ms();
	int wait = anybody_waits(d) || d->stop_at_ms ? TICK_MS : -1;

	nfd_count(d, &devices, &running);
	if (last != (devices << 16 | running)) {
		last = devices << 16 | running;
		nfd_notify("STATUS=%u devices, %u running", devices, running);
	}
	for (uint32_t i = 0; i < d->side_count; i++) {
		uint64_t at = nfd_side_probe(&d->sides[i], now);
		if (at != UINT64_MAX && (wait < 0 || at < now + (uint64_t)wait))
			wait = at > now ? (int)(at - now) : 0;
	}
	if (!period)
		return wait;
	if (now >= alive_at) {
		nfd_notify("WATCHDOG=1");
		alive_at = now + period;
	}
	uint64_t left = alive_at - now;
	return wait >= 0 && (uint64_t)wait < left ? wait : (int)left;
}

int nfd_loop(struct nfd *d)
{
	static struct waits w;

	for (;;) {
		settle(d);
		if (d->stop_at_ms && stopped(d))
			return 0;
		collect(d, &w);
		react(d, &w, poll(w.fds, w.count + (nfds_t)w.control_count, tell_manager(d)));
	}
}
