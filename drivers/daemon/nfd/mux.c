/* SPDX-License-Identifier: MIT */
/* Guests that share an outer device: the hub is opened with its first member. */
#include <stdio.h>
#include <string.h>

#include "nfd.h"

#define TEXT_BYTES 512

static struct nfd_hub *hub_find(struct nfd *d, const char *path)
{
	struct nfd_hub *spare = NULL;
	for (uint32_t i = 0; i < NFD_HUBS; i++) {
		struct nfd_hub *h = &d->hubs[i];
		if (h->mux && !strcmp(h->path, path))
			return h;
		spare = h->mux || spare ? spare : h;
	}
	return spare;
}

/* What the toolstack wrote beside the device, in xl's own keys where it has them. */
static int read_limits(struct nfd *d, struct nfd_device *v, struct nf_mux_limits *l)
{
	struct nfd_side *s = &d->sides[v->side];
	char text[TEXT_BYTES];
	nfd_read_word(s, v->path, "rate", text, sizeof(text));
	if (text[0] && nf_mux_rate_parse(text, l) < 0) {
		nfd_log("%s: rate is BYTES,MICROSECONDS, not '%.60s'", v->path, text);
		return -EINVAL;
	}
	nfd_read_word(s, v->path, "ip", text, sizeof(text));
	if (nf_mux_pins_parse(text, l) < 0) {
		nfd_log("%s: ip is up to %u addresses, not '%.60s'", v->path, NF_MUX_PINS, text);
		return -EINVAL;
	}
	l->flood = nfd_read_number(s, v, v->path, "nestfront/flood", 1, 1000000, NF_MUX_FLOOD);
	return 0;
}

static int hub_open(struct nfd *d, struct nfd_device *v, struct nfd_hub *h)
{
	struct nf_net_config c;
	snprintf(h->path, sizeof(h->path), "%s", v->outer_path);
	snprintf(h->token, sizeof(h->token), "%s", v->outer_token);
	int err = nfd_fill_config(d, v, 1, h->path, h->token, &c);
	/* the lines of a hub name it; their device may be gone before it */
	c.ctx = NULL;
	return err ? err : nf_mux_open(&c, &h->mux);
}

static void hub_leave(struct nfd_hub *h)
{
	if (!h->mux || nf_mux_members(h->mux) > 0)
		return;
	nf_mux_close(h->mux);
	h->mux = NULL;
}

int nfd_mux_open(struct nfd *d, struct nfd_device *v)
{
	struct nf_mux_limits limits = {0};
	struct nf_net_config c;

	int err = nfd_outer_path(d, v);
	if (!err)
		err = read_limits(d, v, &limits);
	if (!err)
		err = nfd_fill_config(d, v, 0, v->path, v->token, &c);
	if (err)
		return err;
	struct nfd_hub *h = hub_find(d, v->outer_path);
	if (!h) {
		nfd_log("%s: more than %d shared outer devices", v->path, NFD_HUBS);
		return -ENOSPC;
	}
	if (!h->mux)
		err = hub_open(d, v, h);
	if (err)
		return err;
	/* an event of the outer device is every member's */
	snprintf(v->outer_token, sizeof(v->outer_token), "%s", h->token);
	err = nf_mux_join(h->mux, &c, &limits, &v->u.member);
	if (err < 0)
		hub_leave(h);
	return err;
}

void nfd_mux_close(struct nfd *d, struct nfd_device *v)
{
	nf_mux_leave(v->u.member);
	for (uint32_t i = 0; i < NFD_HUBS; i++)
		hub_leave(&d->hubs[i]);
}

int nfd_mux_fds(struct nfd *d, const struct nfd_device *v, int *fds, int cap)
{
	int n = 0;
	if (cap > 0)
		fds[n++] = nf_mux_member_fd(v->u.member);
	for (uint32_t i = 0; i < NFD_HUBS && n < cap; i++)
		if (d->hubs[i].mux && !strcmp(d->hubs[i].path, v->outer_path))
			fds[n++] = nf_mux_fd(d->hubs[i].mux);
	return n;
}
