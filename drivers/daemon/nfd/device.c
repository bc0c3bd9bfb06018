/* SPDX-License-Identifier: MIT */
/* One device of the daemon, whatever its kind. A device that cannot be opened is tried again. */
#include <stdio.h>
#include <string.h>

#include "nfd.h"

#define RETRY_MS 250 /* doubled each time, up to the longest */
#define RETRY_LONGEST_MS 4000
#define MODE_BYTES 16

static void notice(void *ctx, const char *line)
{
	(void)ctx; /* the line names the device */
	nfd_log("%s", line);
}

static uint32_t read_number(struct nfd_side *s, const struct nfd_device *v, const char *path,
			    const char *key, uint32_t min, uint32_t max, uint32_t fallback)
{
	char full[NF_STORE_PATH_MAX];
	uint32_t n;
	snprintf(full, sizeof(full), "%s/%s", path, key);
	int err = nf_store_read_u32(s->store, 0, full, min, max, &n);
	if (err == 0)
		return n;
	if (err != -ENOENT)
		nfd_log("%s: %s is not a number from %u to %u: %u is used", v->path, key, min, max,
			fallback);
	return fallback;
}

/* A short word; empty when absent. */
static void read_word(struct nfd_side *s, const char *path, const char *key, char *out, size_t cap)
{
	char full[NF_STORE_PATH_MAX];
	snprintf(full, sizeof(full), "%s/%s", path, key);
	if (nf_store_read(s->store, 0, full, out, cap) < 0)
		out[0] = '\0';
}

static int fill_config(struct nfd *d, struct nfd_device *v, uint32_t side, const char *path,
		       const char *token, struct nf_net_config *c)
{
	struct nfd_side *s = &d->sides[side];
	char grants[MODE_BYTES];

	read_word(s, path, "nestfront/grants", grants, sizeof(grants));
	if (grants[0] && strcmp(grants, "static") && strcmp(grants, "copy")) {
		nfd_log("%s: nestfront/grants is static or copy, not '%s'", path, grants);
		return -EINVAL;
	}
	*c = (struct nf_net_config){
		.layer = s->layer,
		.store = s->store,
		.poller = d->poller,
		.counters = &s->counters,
		.control = s->control,
		.path = path,
		.queues = read_number(s, v, path, "nestfront/queues", 1, NF_NET_QUEUES_MAX, 1),
		.grants = !strcmp(grants, "copy") ? NF_NET_GRANTS_COPY : NF_NET_GRANTS_STATIC,
		.static_only = read_number(s, v, path, "nestfront/static-only", 0, 1, 0) != 0,
		.token = token,
		.notice = notice,
		.ctx = v,
	};
	return 0;
}

static int relay_mode(const char *word)
{
	if (!strcmp(word, "copy"))
		return NF_RELAY_COPY;
	if (!strcmp(word, "translate"))
		return NF_RELAY_TRANSLATE;
	return !strcmp(word, "direct") ? NF_RELAY_DIRECT : -EINVAL;
}

static int open_relay(struct nfd *d, struct nfd_device *v, int mode)
{
	struct nf_relay_config c = {.mode = (enum nf_relay_mode)mode};
	struct nfd_side *s = &d->sides[v->side];
	uint32_t devid;

	if (v->side != 0 || d->side_count < 2) {
		nfd_log("%s: nestfront/relay is set, but this daemon has no outer layer (--outer)",
			v->path);
		return -EINVAL;
	}
	devid = read_number(s, v, v->path, "nestfront/relay-outer", 0, UINT16_MAX, UINT32_MAX);
	if (devid == UINT32_MAX) {
		nfd_log("%s: nestfront/relay-outer must name the outer device", v->path);
		return -EINVAL;
	}
	snprintf(v->outer_path, sizeof(v->outer_path), "device/vif/%u", devid);
	c.trust_inner = read_number(s, v, v->path, "nestfront/trust-inner", 0, 1, 0) != 0;
	int err = fill_config(d, v, 0, v->path, v->token, &c.inner);
	if (!err)
		err = fill_config(d, v, 1, v->outer_path, v->outer_token, &c.outer);
	if (err)
		return err;
	c.outer.queues = c.inner.queues; /* a relay's queues pair up */
	if (mode == NF_RELAY_DIRECT)
		c.outer.static_only = true;
	return nf_net_relay_open(&c, &v->u.relay);
}

/* Without a setting of ours: on Xen the TAP that xl and its hotplug scripts expect (back: vifD.N; a
 * guest's own: nfN), elsewhere nothing. */
static void default_port(const struct nfd_side *s, const struct nfd_device *v, char *port,
			 size_t cap)
{
	unsigned domid, devid;
	if (!s->is_xen)
		snprintf(port, cap, "null");
	else if (sscanf(v->path, "backend/vif/%u/%u", &domid, &devid) == 2)
		snprintf(port, cap, "tap:vif%u.%u", domid, devid);
	else if (sscanf(v->path, "device/vif/%u", &devid) == 1)
		snprintf(port, cap, "tap:nf%u", devid);
}

static int open_device(struct nfd *d, struct nfd_device *v)
{
	struct nfd_side *s = &d->sides[v->side];
	struct nf_net_config c;
	char port[128], relay[MODE_BYTES];

	if (v->kind != NFD_FRONT) {
		read_word(s, v->path, "nestfront/relay", relay, sizeof(relay));
		v->kind = relay[0] ? NFD_RELAY : NFD_BACK;
		if (relay[0] && relay_mode(relay) < 0) {
			nfd_log("%s: nestfront/relay is copy, translate or direct, not '%s'",
				v->path, relay);
			return -EINVAL;
		}
		if (relay[0])
			return open_relay(d, v, relay_mode(relay));
	}
	int err = fill_config(d, v, v->side, v->path, v->token, &c);
	if (err)
		return err;
	read_word(s, v->path, "nestfront/port", port, sizeof(port));
	if (!port[0])
		default_port(s, v, port, sizeof(port));
	c.port = port;
	if (s->is_xen && !v->tap[0] && !strncmp(port, "tap:", 4)) {
		snprintf(v->tap, sizeof(v->tap), "%.*s", (int)strcspn(port + 4, ","), port + 4);
		err = nfd_tap_hold(v->tap);
		if (err < 0) {
			v->tap[0] = '\0';
			return err;
		}
	}
	return v->kind == NFD_FRONT ? nf_netfront_open(&c, &v->u.front)
				    : nf_netback_open(&c, &v->u.back);
}

static bool relayed(struct nfd *d, uint32_t side, const char *path)
{
	char word[MODE_BYTES];
	read_word(&d->sides[side], path, "nestfront/relayed", word, sizeof(word));
	return !strcmp(word, "1");
}

void nfd_device_found(struct nfd *d, uint32_t side, const char *path, bool is_back)
{
	struct nfd_device *spare = NULL;

	for (uint32_t i = 0; i < NFD_DEVICES; i++) {
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
	if (!spare) {
		nfd_log("%s: more than %d devices, left alone", path, NFD_DEVICES);
		return;
	}
	*spare = (struct nfd_device){.used = true,
				     .kind = is_back ? NFD_BACK : NFD_FRONT,
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
	return !d->sides[v->side].dead && (v->kind != NFD_RELAY || !d->sides[1].dead);
}

static int step(const struct nfd_device *v)
{
	switch (v->kind) {
	case NFD_FRONT:
		return nf_netfront_step(v->u.front);
	case NFD_BACK:
		return nf_netback_step(v->u.back);
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
	v->retry_ms = v->retry_ms ? v->retry_ms * 2 : RETRY_MS;
	if (v->retry_ms > RETRY_LONGEST_MS)
		v->retry_ms = RETRY_LONGEST_MS;
	v->retry_at_ms = now + v->retry_ms;
	v->gave_up = error == -EINVAL || error == -EPROTO;
	if (error != v->phase)
		nfd_log("%s: not opened: %s", v->path, strerror(-error));
	v->phase = error;
}

void nfd_device_step(struct nfd *d, struct nfd_device *v)
{
	uint64_t now = nfd_now_ms();

	v->dirty = false;
	if (!nfd_device_alive(d, v))
		return;
	if (!v->u.any) {
		if (v->gave_up || now < v->retry_at_ms || d->stop_at_ms)
			return;
		int err = open_device(d, v);
		if (err < 0) {
			open_failed(v, err, now);
			return;
		}
		v->phase = NF_NET_WAITING;
	}
	note_phase(v, step(v));
}

void nfd_device_shutdown(struct nfd *d, struct nfd_device *v)
{
	int err = 0;
	if (!v->u.any || !nfd_device_alive(d, v))
		return;
	if (v->kind == NFD_FRONT)
		err = nf_netfront_shutdown(v->u.front);
	else if (v->kind == NFD_BACK)
		err = nf_netback_shutdown(v->u.back);
	else
		err = nf_net_relay_shutdown(v->u.relay);
	if (err < 0)
		nfd_log("%s: shutting down: %s", v->path, strerror(-err));
	v->dirty = true;
}

void nfd_device_drop(struct nfd *d, struct nfd_device *v)
{
	(void)d;
	if (v->u.any && v->kind == NFD_FRONT)
		nf_netfront_close(v->u.front);
	else if (v->u.any && v->kind == NFD_BACK)
		nf_netback_close(v->u.back);
	else if (v->u.any)
		nf_net_relay_close(v->u.relay);
	if (v->tap[0])
		nfd_tap_let_go(v->tap);
	*v = (struct nfd_device){.used = false};
}

int nfd_device_fds(struct nfd *d, struct nfd_device *v, int *fds, int cap)
{
	int n = 0;
	if (!v->u.any || !nfd_device_alive(d, v))
		return 0;
	if (v->kind == NFD_RELAY) {
		n = nf_net_relay_fds(v->u.relay, fds, cap);
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
