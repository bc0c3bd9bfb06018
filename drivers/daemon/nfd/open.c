/* SPDX-License-Identifier: MIT */
/* Opening a device as its nodes say. */
#include <stdio.h>
#include <string.h>

#include "nfd.h"

#define MODE_BYTES 16

static void notice(void *ctx, const char *line)
{
	(void)ctx; /* the line names the device */
	nfd_log("%s", line);
}

uint32_t nfd_read_number(struct nfd_side *s, const struct nfd_device *v, const char *path,
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

void nfd_read_word(struct nfd_side *s, const char *path, const char *key, char *out, size_t cap)
{
	char full[NF_STORE_PATH_MAX];
	snprintf(full, sizeof(full), "%s/%s", path, key);
	if (nf_store_read(s->store, 0, full, out, cap) < 0)
		out[0] = '\0';
}

int nfd_fill_config(struct nfd *d, struct nfd_device *v, uint32_t side, const char *path,
		    const char *token, struct nf_net_config *c)
{
	struct nfd_side *s = &d->sides[side];
	char grants[MODE_BYTES];

	nfd_read_word(s, path, "nestfront/grants", grants, sizeof(grants));
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
		.queues = nfd_read_number(s, v, path, "nestfront/queues", 1, NF_NET_QUEUES_MAX, 1),
		.grants = !strcmp(grants, "copy") ? NF_NET_GRANTS_COPY : NF_NET_GRANTS_STATIC,
		.static_only = nfd_read_number(s, v, path, "nestfront/static-only", 0, 1, 0) != 0,
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

int nfd_outer_path(struct nfd *d, struct nfd_device *v)
{
	if (v->side != 0 || d->side_count < 2) {
		nfd_log("%s: nestfront/relay is set, but this daemon has no outer layer (--outer)",
			v->path);
		return -EINVAL;
	}
	uint32_t devid = nfd_read_number(&d->sides[v->side], v, v->path, "nestfront/relay-outer", 0,
					 UINT16_MAX, UINT32_MAX);
	if (devid == UINT32_MAX) {
		nfd_log("%s: nestfront/relay-outer must name the outer device", v->path);
		return -EINVAL;
	}
	snprintf(v->outer_path, sizeof(v->outer_path), "device/vif/%u", devid);
	return 0;
}

/* The outer end is a device of a real guest: it must be ours, and its pages must fit. */
static int relay_on_xen(struct nfd *d, struct nfd_device *v, struct nf_relay_config *c)
{
	int err = nfd_xen_allowed(&d->sides[1], v, v->outer_path);
	if (!err)
		err = nfd_xen_net_budget(d, v, 1, &c->inner.queues);
	return err;
}

static int open_relay(struct nfd *d, struct nfd_device *v, int mode)
{
	struct nf_relay_config c = {.mode = (enum nf_relay_mode)mode};
	struct nfd_side *s = &d->sides[v->side];

	int err = nfd_outer_path(d, v);
	if (err)
		return err;
	c.trust_inner = nfd_read_number(s, v, v->path, "nestfront/trust-inner", 0, 1, 0) != 0;
	err = nfd_fill_config(d, v, 0, v->path, v->token, &c.inner);
	if (!err)
		err = nfd_fill_config(d, v, 1, v->outer_path, v->outer_token, &c.outer);
	if (!err && d->sides[1].is_xen)
		err = relay_on_xen(d, v, &c);
	if (err)
		return err;
	c.outer.queues = c.inner.queues; /* a relay's queues pair up */
	if (mode == NF_RELAY_DIRECT)
		c.outer.static_only = true;
	return nf_net_relay_open(&c, &v->u.relay);
}

/* The port its node asks for; on Xen, without one, the TAP the toolstack expects. */
static void choose_port(struct nfd_side *s, const struct nfd_device *v, char *port, size_t cap)
{
	nfd_read_word(s, v->path, "nestfront/port", port, cap);
	if (!port[0] && s->is_xen)
		nfd_xen_port(s, v, port, cap);
	else if (!port[0])
		snprintf(port, cap, "null");
}

static int open_single(struct nfd *d, struct nfd_device *v)
{
	struct nfd_side *s = &d->sides[v->side];
	struct nf_net_config c;
	char port[128], journal[NFD_PATH_MAX];

	int err = nfd_fill_config(d, v, v->side, v->path, v->token, &c);
	if (err)
		return err;
	choose_port(s, v, port, sizeof(port));
	c.port = port;
	if (s->is_xen) {
		err = nfd_xen_prepare(d, v, &c, journal);
		if (err < 0)
			return err;
	}
	return v->kind == NFD_FRONT ? nf_netfront_open(&c, &v->u.front)
				    : nf_netback_open(&c, &v->u.back);
}

static int open_any(struct nfd *d, struct nfd_device *v)
{
	struct nfd_side *s = &d->sides[v->side];
	char relay[MODE_BYTES];

	if (s->is_xen && !(v->is_disk && !nfd_disk_is_ours(s, v))) {
		int err = nfd_xen_allowed(s, v, v->path);
		if (err < 0)
			return err;
	}
	if (v->is_disk)
		return nfd_disk_open(d, v);
	if (v->kind == NFD_FRONT)
		return open_single(d, v);
	nfd_read_word(s, v->path, "nestfront/relay", relay, sizeof(relay));
	v->kind = relay[0] ? NFD_RELAY : NFD_BACK;
	if (!relay[0])
		return open_single(d, v);
	if (!strcmp(relay, "mux")) {
		v->kind = NFD_MUX;
		return nfd_mux_open(d, v);
	}
	if (relay_mode(relay) < 0) {
		nfd_log("%s: nestfront/relay is copy, translate, direct or mux, not '%s'", v->path,
			relay);
		return -EINVAL;
	}
	return open_relay(d, v, relay_mode(relay));
}

/* What opening a device reads of its own node, whichever way it goes. */
static int read_ahead(struct nfd_side *s, const struct nfd_device *v)
{
	static const char *const keys[] = {
		"nestfront/relay",
		"nestfront/grants",
		"nestfront/queues",
		"nestfront/static-only",
		"nestfront/port",
		"mtu",
		"mac",
		"backend-id",
		"backend",
		"state",
	};
	static const char *const of_back[] = {"frontend-id", "frontend"};
	const char *all[sizeof(keys) / sizeof(keys[0])];
	uint32_t count = sizeof(keys) / sizeof(keys[0]);
	memcpy(all, keys, sizeof(keys));
	if (v->kind != NFD_FRONT)
		memcpy(all + 7, of_back, sizeof(of_back));
	/* on Xen much happens before the state is looked at, which must not be old then */
	return nf_store_ahead(s->store, v->path, all, s->is_xen ? count - 1 : count);
}

int nfd_device_open(struct nfd *d, struct nfd_device *v)
{
	struct nf_store *store = d->sides[v->side].store;
	nf_store_ahead_begin(store);
	int err = v->is_disk ? 0 : read_ahead(&d->sides[v->side], v);
	if (!err)
		err = open_any(d, v);
	nf_store_ahead_end(store);
	return err;
}
