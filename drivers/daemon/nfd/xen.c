/* SPDX-License-Identifier: MIT */
/* What xl and the kernel expect of a device on real Xen, a network one mostly, beyond its states.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "nf/xen.h"
#include "nfd.h"

#define LINE 320

void nfd_xen_port(struct nfd_side *s, const struct nfd_device *v, char *port, size_t cap)
{
	unsigned domid, devid;
	char given[16] = "";
	uint32_t queues = nfd_read_number(s, v, v->path, "nestfront/queues", 1, NF_NET_QUEUES_MAX,
					  1);
	const char *mq = queues > 1 ? ",mq" : "";
	if (sscanf(v->path, "backend/vif/%u/%u", &domid, &devid) == 2) {
		/* Debian's script leaves a device alone that has this name already */
		nfd_read_word(s, v->path, "vifname", given, sizeof(given));
		if (given[0])
			snprintf(port, cap, "tap:%s%s", given, mq);
		else
			snprintf(port, cap, "tap:vif%u.%u%s", domid, devid, mq);
	} else if (sscanf(v->path, "device/vif/%u", &devid) == 1) {
		snprintf(port, cap, "tap:nf%u%s", devid, mq);
	}
}

bool nfd_xen_is_offline(struct nfd_side *s, const struct nfd_device *v)
{
	char word[8];
	nfd_read_word(s, v->path, "online", word, sizeof(word));
	return v->kind != NFD_FRONT && !strcmp(word, "0");
}

/* May we have the device at all? The line is logged once while the reason stays the same. */
int nfd_xen_allowed(struct nfd_side *s, struct nfd_device *v, const char *path)
{
	char line[LINE];
	if (path == v->path && nfd_xen_is_offline(s, v))
		return -ESHUTDOWN;
	if (!nf_xen_kernel_driver(s->layer, path, line, sizeof(line)))
		return 0;
	if (v->phase != -EBUSY)
		nfd_log("%s: %s", path, line);
	return -EBUSY;
}

/* What the other devices hold, or were promised and will take when their backs are there. */
static uint32_t spoken_for(const struct nfd *d, const struct nfd_device *v, uint32_t side,
			   uint32_t held)
{
	uint32_t promised = 0;
	for (uint32_t i = 0; i < d->device_count; i++) {
		const struct nfd_device *o = &d->devices[i];
		uint32_t of = o->kind == NFD_RELAY ? 1 : o->side;
		if (o->used && o != v && of == side)
			promised += o->pages;
	}
	return held > promised ? held : promised;
}

int nfd_xen_budget(struct nfd *d, struct nfd_device *v, uint32_t side, const struct nfd_pages *want,
		   uint32_t *queues)
{
	struct nf_layer *l = d->sides[side].layer;
	struct nf_xen_budget b;
	char line[LINE];
	uint32_t fit = *queues;
	if (!(l->caps & NF_CAP_GRANT) && nf_xen_probe_grants(l) < 0) {
		if (v->phase != -ENOSYS)
			nfd_log("%s: no gntalloc in this kernel: modprobe xen-gntalloc", v->path);
		return -ENOSYS;
	}
	if (nf_xen_budget(l, &b) < 0)
		return 0; /* it says no itself when there is not enough */
	b.held = spoken_for(d, v, side, b.held);
	while (fit && b.held + want->fixed + want->queue * fit > b.limit)
		fit--;
	if (fit != *queues)
		nf_xen_budget_line(&b, want->fixed + want->queue * *queues, line, sizeof(line));
	if (fit == 0) {
		if (v->phase != -ENOSPC)
			nfd_log("%s: %s", v->path, line);
		return -ENOSPC;
	}
	if (fit != *queues)
		nfd_log("%s: %s; %u of %u queues fit", v->path, line, fit, *queues);
	*queues = fit;
	v->pages = want->fixed + want->queue * fit;
	return 0;
}

int nfd_xen_net_budget(struct nfd *d, struct nfd_device *v, uint32_t side, uint32_t *queues)
{
	const struct nfd_pages want = {.fixed = NF_NET_FRONT_PAGES(0),
				       .queue = NF_NET_FRONT_PAGES(1) - NF_NET_FRONT_PAGES(0)};
	return nfd_xen_budget(d, v, side, &want, queues);
}

/* The TAP is there before the back says 2, and outlives us. */
static int hold(struct nfd_device *v, const char *port)
{
	if (strncmp(port, "tap:", 4) != 0)
		return 0;
	size_t n = strcspn(port + 4, ",");
	if (nf_port_probe(port) < 0 || n >= sizeof(v->tap)) {
		nfd_log("%s: port '%.60s': not a name of an interface", v->path, port);
		return -EINVAL;
	}
	memcpy(v->tap, port + 4, n);
	v->tap[n] = '\0';
	int err = nfd_tap_hold(v->tap, strstr(port, ",mq") != NULL);
	if (err < 0)
		v->tap[0] = '\0';
	return err;
}

int nfd_xen_prepare(struct nfd *d, struct nfd_device *v, struct nf_net_config *c, char *journal)
{
	struct nfd_side *s = &d->sides[v->side];
	if (v->kind == NFD_FRONT) {
		int err = nfd_xen_net_budget(d, v, v->side, &c->queues);
		if (err < 0)
			return err;
	} else {
		unsigned domid, devid;
		c->await_hotplug = nfd_xen_has_script(s, v);
		if (d->run_dir[0] && sscanf(v->path, "backend/vif/%u/%u", &domid, &devid) == 2) {
			snprintf(journal, NFD_PATH_MAX, "%s/vif-%u-%u.journal", d->run_dir, domid,
				 devid);
			c->journal = journal;
		}
	}
	return hold(v, c->port);
}

static int front_state(const struct nf_netfront *f)
{
	return f ? (int)nf_netfront_state(f) : NF_XENBUS_UNKNOWN;
}

/* The toolstack wrote our node anew, or the guest was restored: 1 again under a device that went
 * on from there. Its grants and ports are gone without a word. */
struct nfd_side *nfd_xen_was_reset(struct nfd *d, const struct nfd_device *v)
{
	char word[8];
	bool is_relay = v->kind == NFD_RELAY;
	struct nfd_side *s = &d->sides[is_relay ? 1 : v->side];
	if (!s->is_xen)
		return NULL;
	int state = v->is_disk		   ? nfd_disk_state(v)
		    : is_relay		   ? front_state(nf_net_relay_outer(v->u.relay))
		    : v->kind == NFD_FRONT ? front_state(v->u.front)
					   : (int)nf_netback_state(v->u.back);
	if (state <= NF_XENBUS_INITIALISING)
		return NULL;
	nfd_read_word(s, is_relay ? v->outer_path : v->path, "state", word, sizeof(word));
	return !strcmp(word, "1") ? s : NULL;
}

void nfd_xen_mark_relayed(struct nfd *d, const struct nfd_device *v)
{
	char key[NF_STORE_PATH_MAX];
	snprintf(key, sizeof(key), "%s/nestfront/relayed", v->outer_path);
	int rc = nf_store_write(d->sides[1].store, 0, key, "1");
	if (rc < 0)
		nfd_log("%s: %s: %s", v->path, key, strerror(-rc));
}

/* TAPs of guests that went while nobody was here: named as ours are, and a TAP, as the kernel's
 * own are not. */
void nfd_xen_sweep(struct nfd_side *s)
{
	char path[300], word[16];
	DIR *dir = opendir("/sys/class/net");
	if (!dir)
		return;
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		unsigned domid, devid;
		int end = 0;
		if (sscanf(e->d_name, "vif%u.%u%n", &domid, &devid, &end) != 2 || e->d_name[end])
			continue;
		snprintf(path, sizeof(path), "/sys/class/net/%s/tun_flags", e->d_name);
		FILE *f = fopen(path, "re");
		if (!f)
			continue;
		fclose(f);
		snprintf(path, sizeof(path), "backend/vif/%u/%u/frontend-id", domid, devid);
		if (nf_store_read(s->store, 0, path, word, sizeof(word)) != -ENOENT)
			continue;
		nfd_log("%s: its guest is gone: removed", e->d_name);
		nfd_tap_let_go(e->d_name);
	}
	closedir(dir);
}
