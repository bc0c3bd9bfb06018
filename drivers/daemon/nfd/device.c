/* SPDX-License-Identifier: MIT */
/* One device of the daemon, whatever its kind. A device that cannot be opened is tried again. */
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "nf/xen.h"
#include "nfd.h"

#define RETRY_MS 250 /* doubled each time, up to the longest */
#define RETRY_LONGEST_MS 4000
#define MODE_BYTES 16

/* A restore takes the mark away: then it is the relay that remembers. */
static bool relayed(struct nfd *d, uint32_t side, const char *path)
{
	char word[MODE_BYTES];
	for (uint32_t i = 0; i < d->device_count; i++) {
		const struct nfd_device *v = &d->devices[i];
		if (v->used && v->kind == NFD_RELAY && side == 1 && !strcmp(v->outer_path, path))
			return true;
	}
	nfd_read_word(&d->sides[side], path, "nestfront/relayed", word, sizeof(word));
	return !strcmp(word, "1");
}

void nfd_device_found(struct nfd *d, uint32_t side, const char *path, bool is_back)
{
	struct nfd_device *spare = NULL;

	for (uint32_t i = 0; i < d->device_count; i++) {
		struct nfd_device *v = &d->devices[i];
		if (!v->used) {
			spare = spare ? spare : v;
		} else if (v->side == side && !strcmp(v->path, path)) {
			v->seen = true;
			v->dirty = true;
			return;
		}
	}
	if (!is_back && relayed(d, side, path))
		return; /* a relay opens it as its outer end */
	if (!spare && d->device_count < NFD_DEVICES)
		spare = &d->devices[d->device_count++];
	if (!spare) {
		nfd_log("%s: more than %d devices, left alone", path, NFD_DEVICES);
		return;
	}
	*spare = (struct nfd_device){.used = true,
				     .kind = is_back ? NFD_BACK : NFD_FRONT,
				     .is_disk = strstr(path, "/vbd/") != NULL,
				     .side = side,
				     .phase = NF_NET_WAITING,
				     .dirty = true,
				     .seen = true};
	snprintf(spare->path, sizeof(spare->path), "%s", path);
	d->serial++;
	snprintf(spare->token, sizeof(spare->token), "dev%u", d->serial);
	snprintf(spare->outer_token, sizeof(spare->outer_token), "out%u", d->serial);
}

bool nfd_device_alive(const struct nfd *d, const struct nfd_device *v)
{
	const struct nfd_side *own = &d->sides[v->side], *outer = &d->sides[1];
	return !own->dead && !own->silent &&
	       (v->kind < NFD_RELAY || (!outer->dead && !outer->silent));
}

static int step(const struct nfd_device *v)
{
	if (v->is_disk)
		return nfd_disk_step(v);
	switch (v->kind) {
	case NFD_FRONT:
		return nf_netfront_step(v->u.front);
	case NFD_BACK:
		return nf_netback_step(v->u.back);
	case NFD_MUX:
		return nf_mux_step(v->u.member);
	default:
		return nf_net_relay_step(v->u.relay);
	}
}

/* Connecting and failing come with the reasons, as notices. */
static void note_phase(struct nfd_device *v, int phase)
{
	if (phase == v->phase)
		return;
	if (phase < 0)
		nfd_log("%s: stopped: %s", v->path, strerror(-phase));
	else if (phase == NF_NET_CLOSED)
		nfd_log("%s: closed", v->path);
	v->phase = phase;
}

/* When to try again: what is not there yet may come without an event of ours; what is wrong stays
 * wrong until somebody writes to the node, which is an event. */
static void open_failed(struct nfd_device *v, int error, uint64_t now)
{
	v->u.any = NULL;
	v->pages = 0;
	v->retry_ms = v->retry_ms ? v->retry_ms * 2 : RETRY_MS;
	if (v->retry_ms > RETRY_LONGEST_MS)
		v->retry_ms = RETRY_LONGEST_MS;
	v->retry_at_ms = now + v->retry_ms;
	v->gave_up = error == -EINVAL || error == -EPROTO;
	v->gave_up |= error == -ESHUTDOWN;
	if (error != v->phase && error != -ESHUTDOWN)
		nfd_log("%s: not opened: %s", v->path, strerror(-error));
	v->phase = error;
}

static void close_object(struct nfd *d, struct nfd_device *v)
{
	if (v->is_disk)
		nfd_disk_close(v);
	else if (v->u.any && v->kind == NFD_FRONT)
		nf_netfront_close(v->u.front);
	else if (v->u.any && v->kind == NFD_BACK)
		nf_netback_close(v->u.back);
	else if (v->u.any && v->kind == NFD_MUX)
		nfd_mux_close(d, v);
	else if (v->u.any)
		nf_net_relay_close(v->u.relay);
	v->u.any = NULL;
	v->watched = 0; /* a closed descriptor is in no epoll */
	v->pages = 0;
}

/* Closed for good: libxl runs the script's `offline` now, and the node goes next. */
static void retire(struct nfd *d, struct nfd_device *v)
{
	close_object(d, v);
	if (v->tap[0])
		nfd_tap_let_go(v->tap);
	v->tap[0] = '\0';
	v->gave_up = true;
}

/* A device whose node was made anew under it. */
static void start_over(struct nfd *d, struct nfd_device *v)
{
	struct nfd_side *s = nfd_xen_was_reset(d, v);
	if (!s)
		return;
	int changed = nf_xen_refresh(s->layer);
	nfd_log("%s: its %snode was made anew%s: starting over", v->path,
		v->kind == NFD_RELAY ? "outer " : "",
		changed > 0 ? ", this guest has another domid" : "");
	if (v->kind == NFD_RELAY)
		nfd_xen_mark_relayed(d, v);
	nf_xen_abandon_begin(s->layer);
	close_object(d, v);
	int held = nf_xen_abandon_end(s->layer);
	if (held != 0)
		nfd_debug("%s: %d event channels of before are held by a process of their own",
			  v->path, held);
	v->retry_at_ms = 0;
	v->gave_up = false;
}

void nfd_device_step(struct nfd *d, struct nfd_device *v)
{
	uint64_t now = nfd_now_ms();

	v->dirty = false;
	if (!nfd_device_alive(d, v))
		return;
	if (v->u.any && !d->stop_at_ms)
		start_over(d, v);
	if (!v->u.any) {
		if (v->gave_up || now < v->retry_at_ms || d->stop_at_ms)
			return;
		int err = nfd_device_open(d, v);
		if (err < 0) {
			open_failed(v, err, now);
			return;
		}
		v->phase = NF_NET_WAITING;
	}
	int phase = step(v);
	nfd_side_note(&d->sides[v->side], phase);
	note_phase(v, phase);
	if (v->phase == NF_NET_CLOSED && d->sides[v->side].is_xen &&
	    nfd_xen_is_offline(&d->sides[v->side], v))
		retire(d, v);
}

void nfd_device_shutdown(struct nfd *d, struct nfd_device *v)
{
	int err = 0;
	if (!v->u.any || !nfd_device_alive(d, v))
		return;
	if (v->is_disk)
		err = nfd_disk_shutdown(v);
	else if (v->kind == NFD_FRONT)
		err = nf_netfront_shutdown(v->u.front);
	else if (v->kind == NFD_BACK)
		err = nf_netback_shutdown(v->u.back);
	else if (v->kind == NFD_MUX)
		err = nf_mux_shutdown(v->u.member);
	else
		err = nf_net_relay_shutdown(v->u.relay);
	if (err < 0)
		nfd_log("%s: shutting down: %s", v->path, strerror(-err));
	nfd_side_note(&d->sides[v->side], err);
	v->dirty = true;
}

void nfd_device_drop(struct nfd *d, struct nfd_device *v, bool gone)
{
	close_object(d, v);
	if (v->tap[0] && gone)
		nfd_tap_let_go(v->tap);
	*v = (struct nfd_device){.used = false};
}

int nfd_device_fds(struct nfd *d, struct nfd_device *v, int *fds, int cap)
{
	int n = 0;
	if (!v->u.any || !nfd_device_alive(d, v))
		return 0;
	if (v->is_disk) {
		n = nfd_disk_fds(v, fds, cap);
	} else if (v->kind == NFD_RELAY) {
		n = nf_net_relay_fds(v->u.relay, fds, cap);
	} else if (v->kind == NFD_MUX) {
		n = nfd_mux_fds(d, v, fds, cap);
	} else if (cap > 0) {
		fds[0] = v->kind == NFD_FRONT ? nf_netfront_ctrl_fd(v->u.front)
					      : nf_netback_ctrl_fd(v->u.back);
		n = fds[0] >= 0;
	}
	return n;
}

bool nfd_device_waits(const struct nfd_device *v)
{
	if (!v->u.any)
		return !v->gave_up;
	return v->phase >= 0 && v->phase != NF_NET_RUNNING && v->phase != NF_NET_CLOSED &&
	       v->phase != NF_NET_WAITING && v->phase != NF_NET_FAILED;
}

bool nfd_device_watch(struct nfd *d, struct nfd_device *v)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = v};
	bool is_alive = v->u.any && nfd_device_alive(d, v);
	int fd;
	if (v->kind == NFD_RELAY || v->kind == NFD_MUX)
		return false; /* several, or one of many devices */
	if (is_alive && !v->watched && nfd_device_fds(d, v, &fd, 1) == 1 &&
	    epoll_ctl(d->watch_fd, EPOLL_CTL_ADD, fd, &ev) == 0)
		v->watched = fd + 1;
	if (!is_alive && v->watched) {
		epoll_ctl(d->watch_fd, EPOLL_CTL_DEL, v->watched - 1, NULL);
		v->watched = 0;
	}
	return v->watched || !is_alive;
}
