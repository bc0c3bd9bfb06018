/* SPDX-License-Identifier: MIT */
/* Block devices of the daemon: opening one as its nodes say, and its life. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nfd.h"

#define XEN_POOL_PAGES 256u /* gntalloc grants 1,024 pages unless it is told otherwise */

static void notice(void *ctx, const char *line)
{
	(void)ctx; /* the line names the device */
	nfd_log("%s", line);
}

/* One of the words, by number; absent: 0. -EINVAL after saying which there are. */
static int choice(struct nfd_side *s, const struct nfd_device *v, const char *key,
		  const char *const *words, const char *all)
{
	char word[24];
	nfd_read_word(s, v->path, key, word, sizeof(word));
	if (!word[0])
		return 0;
	for (int i = 0; words[i]; i++)
		if (!strcmp(word, words[i]))
			return i;
	nfd_log("%s: %s is %s, not '%s'", v->path, key, all, word);
	return -EINVAL;
}

static int fill_choices(struct nfd_side *s, const struct nfd_device *v, struct nf_blk_config *c)
{
	static const char *const grants[] = {"static", "persistent", "copy", "map", NULL};
	static const char *const units[] = {"512", "sector", NULL};
	int rc = choice(s, v, "nestfront/grants", grants, "static, persistent, copy or map");
	if (rc < 0)
		return rc;
	c->grants = (enum nf_blk_grants)(rc + 1);
	rc = choice(s, v, "nestfront/units", units, "512 or sector");
	if (rc < 0)
		return rc;
	c->units = (enum nf_blk_units)rc;
	return 0;
}

static int fill_config(struct nfd *d, struct nfd_device *v, struct nf_blk_config *c)
{
	struct nfd_side *s = &d->sides[v->side];
	const char *path = v->path;
	*c = (struct nf_blk_config){
		.layer = s->layer,
		.store = s->store,
		.poller = d->poller,
		.counters = &s->counters,
		.control = s->control,
		.path = path,
		.queues = nfd_read_number(s, v, path, "nestfront/queues", 1, NF_BLK_QUEUES_MAX, 1),
		.ring_pages = nfd_read_number(s, v, path, "nestfront/ring-pages", 1,
					      NF_BLK_RING_PAGES_MAX, 1),
		.indirect = nfd_read_number(s, v, path, "nestfront/indirect", 1,
					    NF_BLKIF_INDIRECT_MAX, 0),
		.pool_pages = nfd_read_number(s, v, path, "nestfront/pool-pages", 32,
					      NF_BLK_POOL_PAGES_MAX,
					      s->is_xen ? XEN_POOL_PAGES : 0),
		.sector_bytes = nfd_read_number(s, v, path, "nestfront/sector-size", 512, 4096, 0),
		.registered_only = nfd_read_number(s, v, path, "nestfront/registered-only", 0, 1,
						   0) != 0,
		.token = v->token,
		.notice = notice,
		.ctx = v,
	};
	return fill_choices(s, v, c);
}

/* A Xen guest's other disks are its kernel's: only what is marked is for us. */
bool nfd_disk_is_ours(struct nfd_side *s, const struct nfd_device *v)
{
	char port[NF_STORE_PATH_MAX];
	nfd_read_word(s, v->path, "nestfront/port", port, sizeof(port));
	if (!port[0])
		nfd_read_word(s, v->path, "nestfront/relay", port, sizeof(port));
	return port[0] || !s->is_xen ||
	       (v->kind != NFD_FRONT && nfd_xen_disk_is_scripted(s, v->path));
}

/* A number of up to 19 digits; absent: 0. */
static int sectors_of(struct nfd_side *s, const struct nfd_device *v, const char *key,
		      uint64_t *out)
{
	char word[24];
	nfd_read_word(s, v->path, key, word, sizeof(word));
	*out = strtoull(word, NULL, 10);
	if (strspn(word, "0123456789") == strlen(word) && strlen(word) < 20)
		return 0;
	nfd_log("%s: %s is a number of sectors of 512 bytes, not '%s'", v->path, key, word);
	return -EINVAL;
}

static int relay_mode(const char *word)
{
	static const char *const names[] = {"copy", "translate", "direct"};
	for (int i = 0; i < 3; i++)
		if (!strcmp(word, names[i]))
			return NF_RELAY_COPY + i;
	return -EINVAL;
}

static int open_relay(struct nfd *d, struct nfd_device *v, const char *mode)
{
	struct nfd_side *s = &d->sides[v->side];
	struct nf_blk_relay_config c = {.mode = (enum nf_relay_mode)relay_mode(mode),
					.outers = &d->outer_disks};
	uint32_t devid = nfd_read_number(s, v, v->path, "nestfront/relay-outer", 0, UINT16_MAX,
					 UINT32_MAX);
	if (relay_mode(mode) < 0 || v->side != 0 || d->side_count < 2 || devid == UINT32_MAX) {
		nfd_log("%s: nestfront/relay is copy, translate or direct, nestfront/relay-outer "
			"names the outer device, and the daemon has an --outer layer",
			v->path);
		return -EINVAL;
	}
	snprintf(v->outer_path, sizeof(v->outer_path), "device/vbd/%u", devid);
	c.trust_inner = nfd_read_number(s, v, v->path, "nestfront/trust-inner", 0, 1, 0) != 0;
	int err = sectors_of(s, v, "nestfront/window-start", &c.window_start);
	if (!err)
		err = sectors_of(s, v, "nestfront/window-sectors", &c.window_sectors);
	if (!err)
		err = fill_config(d, v, &c.inner);
	if (err)
		return err;
	c.outer = c.inner; /* queues and rings pair up */
	c.outer.layer = d->sides[1].layer;
	c.outer.store = d->sides[1].store;
	c.outer.counters = &d->sides[1].counters;
	c.outer.control = d->sides[1].control;
	c.outer.path = v->outer_path;
	c.outer.token = v->outer_token;
	c.outer.grants = NF_BLK_GRANTS_STATIC;
	if (d->sides[1].is_xen) { /* a real guest's disk: ours to have, and its pages fit */
		err = nfd_xen_allowed(&d->sides[1], v, v->outer_path);
		if (!err)
			err = nfd_xen_disk_budget(d, v, 1, &c.outer);
		c.inner.queues = c.outer.queues;
	}
	return err ? err : nf_blk_relay_open(&c, &v->u.blkrelay);
}

/* What stores the sectors, or what drives the front. */
static int choose_port(struct nfd_side *s, const struct nfd_device *v, char *port, size_t cap)
{
	nfd_read_word(s, v->path, "nestfront/port", port, cap);
	if (port[0])
		return 0;
	if (v->kind == NFD_FRONT) {
		snprintf(port, cap, "none");
		return 0;
	}
	if (s->is_xen)
		return nfd_xen_disk_port(s, v, port, cap);
	nfd_log("%s: nestfront/port must name a disk: file:PATH, block:PATH, mem:SIZE or null:SIZE",
		v->path);
	return -EINVAL;
}

static int open_front(struct nfd *d, struct nfd_device *v, struct nf_blk_config *c)
{
	int err = d->sides[v->side].is_xen ? nfd_xen_disk_budget(d, v, v->side, c) : 0;
	return err ? err : nf_blkfront_open(c, &v->u.blkfront);
}

static int open_back(struct nfd *d, struct nfd_device *v, struct nf_blk_config *c)
{
	struct nfd_side *s = &d->sides[v->side];
	char journal[NFD_PATH_MAX], mode[4];
	unsigned domid, devid;

	nfd_read_word(s, v->path, "mode", mode, sizeof(mode));
	c->readonly = !strcmp(mode, "r"); /* so that readers share it */
	c->await_hotplug = s->is_xen && nfd_xen_has_script(s, v);
	if (d->run_dir[0] && sscanf(v->path, "backend/vbd/%u/%u", &domid, &devid) == 2) {
		snprintf(journal, sizeof(journal), "%s/vbd-%u-%u.journal", d->run_dir, domid,
			 devid);
		c->journal = journal;
	}
	return nf_blkback_open(c, &v->u.blkback);
}

int nfd_disk_open(struct nfd *d, struct nfd_device *v)
{
	struct nfd_side *s = &d->sides[v->side];
	struct nf_blk_config c;
	char port[NF_STORE_PATH_MAX], relay[16];

	if (!nfd_disk_is_ours(s, v))
		return -ESHUTDOWN;
	nfd_read_word(s, v->path, "nestfront/relay", relay, sizeof(relay));
	if (v->kind != NFD_FRONT)
		v->kind = relay[0] ? NFD_RELAY : NFD_BACK;
	if (v->kind == NFD_RELAY)
		return open_relay(d, v, relay);
	int err = choose_port(s, v, port, sizeof(port));
	if (!err)
		err = fill_config(d, v, &c);
	if (err)
		return err;
	c.port = port;
	return v->kind == NFD_FRONT ? open_front(d, v, &c) : open_back(d, v, &c);
}

int nfd_disk_step(const struct nfd_device *v)
{
	switch (v->kind) {
	case NFD_FRONT:
		return nf_blkfront_step(v->u.blkfront);
	case NFD_BACK:
		return nf_blkback_step(v->u.blkback);
	default:
		return nf_blk_relay_step(v->u.blkrelay);
	}
}

int nfd_disk_shutdown(const struct nfd_device *v)
{
	switch (v->kind) {
	case NFD_FRONT:
		return nf_blkfront_shutdown(v->u.blkfront);
	case NFD_BACK:
		return nf_blkback_shutdown(v->u.blkback);
	default:
		return nf_blk_relay_shutdown(v->u.blkrelay);
	}
}

void nfd_disk_close(struct nfd_device *v)
{
	if (v->u.any && v->kind == NFD_FRONT)
		nf_blkfront_close(v->u.blkfront);
	else if (v->u.any && v->kind == NFD_BACK)
		nf_blkback_close(v->u.blkback);
	else if (v->u.any)
		nf_blk_relay_close(v->u.blkrelay);
}

/* A relay looks after its own nodes. */
int nfd_disk_state(const struct nfd_device *v)
{
	if (v->kind == NFD_RELAY)
		return NF_XENBUS_INITIALISING;
	return v->kind == NFD_FRONT ? nf_blkfront_state(v->u.blkfront)
				    : nf_blkback_state(v->u.blkback);
}

int nfd_disk_fds(const struct nfd_device *v, int *fds, int cap)
{
	if (cap < 1)
		return 0;
	fds[0] = v->kind == NFD_FRONT  ? nf_blkfront_ctrl_fd(v->u.blkfront)
		 : v->kind == NFD_BACK ? nf_blkback_ctrl_fd(v->u.blkback)
				       : nf_blk_relay_fd(v->u.blkrelay);
	return fds[0] >= 0;
}
