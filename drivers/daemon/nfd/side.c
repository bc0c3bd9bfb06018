/* SPDX-License-Identifier: MIT */
/* One layer: its store, counters and control page. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nf/xen.h"
#include "nfd.h"

#define PROBE_MS 15000
#define PRIVATE_BLOCKS 128u /* counters of a layer that gave no page */

static int map_control(struct nfd_side *s)
{
	if (s->layer->control_fd < 0)
		return 0;
	void *p = mmap(NULL, sizeof(*s->control), PROT_READ, MAP_SHARED, s->layer->control_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	s->control = p;
	if (s->control->magic == NF_CONTROL_MAGIC)
		return 0;
	nfd_log("the control page has magic %#x, not %#x: not used", s->control->magic,
		NF_CONTROL_MAGIC);
	munmap(p, sizeof(*s->control));
	s->control = NULL;
	return 0;
}

static int open_store(struct nfd_side *s)
{
	int fd = s->layer->ops->store_fd(s->layer);
	if (fd < 0)
		return fd;
	int err = nf_store_open(fd, &s->store);
	if (err < 0)
		return err;
	err = nf_store_watch(s->store, "device/vif", "fronts");
	if (err < 0)
		return err;
	err = nf_store_watch(s->store, "backend/vif", "backs");
	if (err == 0)
		err = nf_store_watch(s->store, "device/vbd", "fronts");
	return err < 0 ? err : nf_store_watch(s->store, "backend/vbd", "backs");
}

static int open_layer(struct nfd_side *s, const struct nfd_where *where)
{
	s->is_xen = where->xen_dir != NULL;
	if (!s->is_xen) {
		int err = nf_layer_open_embedded(where->fd, &s->layer);
		if (err < 0)
			nfd_log("layer on descriptor %d: %s", where->fd, strerror(-err));
		return err;
	}
	int err = nf_layer_open_xen(where->xen_dir, &s->layer);
	if (err < 0) {
		char line[320];
		nf_xen_explain(where->xen_dir, err, line, sizeof(line));
		nfd_log("%s", line);
	}
	return err;
}

/* An inherited memfd, fd=N; or a file of our own, fresh: a daemon before us may still have the old
 * one mapped. */
static int counters_file(const char *path)
{
	char fresh[256], *end;
	if (!strncmp(path, "fd=", 3)) {
		long fd = strtol(path + 3, &end, 10);
		return *end || end == path + 3 || fd < 3 || fd > INT_MAX ? -EBADF : (int)fd;
	}
	int n = snprintf(fresh, sizeof(fresh), "%s.new", path);
	if (n < 0 || (size_t)n >= sizeof(fresh))
		return -ENAMETOOLONG;
	int fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	/* whole pages, so that others may map all of it */
	off_t bytes = NF_COUNTERS_HEADER_BYTES + PRIVATE_BLOCKS * NF_COUNTERS_BLOCK_BYTES;
	bytes = (bytes + NF_PAGE_BYTES - 1) / NF_PAGE_BYTES * NF_PAGE_BYTES;
	if (ftruncate(fd, bytes) < 0 || rename(fresh, path) < 0) {
		n = -errno;
		close(fd);
		unlink(fresh);
		return n;
	}
	return fd;
}

static int open_counters(struct nfd_side *s, const struct nfd_where *where)
{
	int fd = where->counters ? counters_file(where->counters) : s->layer->counters_fd;
	if (where->counters && fd < 0)
		return fd;
	int err = nf_counters_open(&s->counters, fd, PRIVATE_BLOCKS, s->layer->domid);
	if (where->counters)
		close(fd); /* the mapping stays */
	return err;
}

int nfd_side_open(struct nfd_side *s, const struct nfd_where *where)
{
	int err = open_layer(s, where);
	if (err < 0)
		return err;
	err = open_counters(s, where);
	if (err < 0) {
		nfd_log("counters page%s%s: %s", where->counters ? " " : "",
			where->counters ? where->counters : "", strerror(-err));
		return err;
	}
	err = map_control(s);
	if (err < 0) {
		nfd_log("control page: %s", strerror(-err));
		return err;
	}
	err = open_store(s);
	if (err < 0) {
		nfd_log("store: %s", strerror(-err));
		return err;
	}
	if (s->is_xen)
		nfd_xen_sweep(s);
	s->rescan = true;
	return 0;
}

void nfd_side_close(struct nfd_side *s)
{
	nf_store_close(s->store);
	s->store = NULL;
	if (s->counters.hdr)
		nf_counters_close(&s->counters);
	if (s->control)
		munmap((void *)(uintptr_t)s->control, sizeof(*s->control));
	s->control = NULL;
	if (s->layer)
		s->layer->ops->close(s->layer);
	s->layer = NULL;
}

void nfd_side_note(struct nfd_side *s, int error)
{
	if (!s->is_xen || s->silent || error != -ETIMEDOUT)
		return;
	s->silent = true;
	nfd_log("xenstored does not answer: running rings go on, nothing can be changed");
}

uint64_t nfd_side_probe(struct nfd_side *s, uint64_t now)
{
	char word[8];
	if (!s->is_xen || s->dead || s->silent)
		return UINT64_MAX;
	if (now < s->probe_at_ms)
		return s->probe_at_ms;
	int rc = nf_store_read(s->store, 0, "domid", word, sizeof(word));
	nfd_side_note(s, rc);
	s->probe_at_ms = nfd_now_ms() + PROBE_MS;
	return s->silent ? UINT64_MAX : s->probe_at_ms;
}

static void hypervisor_died(struct nfd_side *s, int error)
{
	s->dead = true;
	nfd_log("domain %u's hypervisor is gone (%s): running rings go on, nothing can be changed",
		s->layer->domid, strerror(-error));
}

/* A write below a device we know, ours mostly, says nothing about which devices there are; but one
 * that could not be opened may be right now. */
static bool below_known(struct nfd *d, uint32_t side, const char *path)
{
	for (uint32_t i = 0; i < d->device_count; i++) {
		struct nfd_device *v = &d->devices[i];
		bool is_outer = v->kind == NFD_RELAY && side == 1 && v->outer_path[0];
		const char *own = is_outer ? v->outer_path : v->path;
		size_t n = strlen(own);
		if (!v->used || (!is_outer && v->side != side) || strncmp(path, own, n) ||
		    path[n] != '/')
			continue;
		bool is_word = !strcmp(path + n, "/hotplug-status") ||
			       !strcmp(path + n, "/online") ||
			       !strcmp(path + n, "/nestfront/resize") ||
			       !strcmp(path + n, "/state");
		if (v->u.any && is_word)
			v->dirty = true; /* what no watch of the device itself tells */
		if (!v->u.any && strcmp(path + n, "/error")) { /* that one is our own complaint */
			v->gave_up = false;
			v->dirty = true;
		}
		return true;
	}
	return false;
}

static void route(struct nfd *d, uint32_t side, const char *path, const char *token)
{
	if (!strcmp(token, "fronts") || !strcmp(token, "backs")) {
		/* a thousand devices that come one by one must not be listed a thousand times */
		if (!below_known(d, side, path) && !nfd_scan_one(d, side, path, *token == 'b'))
			d->sides[side].rescan = true;
		return;
	}
	for (uint32_t i = 0; i < d->device_count; i++) {
		struct nfd_device *v = &d->devices[i];
		if (v->used && (!strcmp(v->token, token) || !strcmp(v->outer_token, token)))
			v->dirty = true;
	}
}

bool nfd_side_events(struct nfd *d, uint32_t side)
{
	struct nfd_side *s = &d->sides[side];
	char path[NF_STORE_PATH_MAX], token[64];
	bool any = false;

	if (s->dead)
		return false;
	/* bounded: a peer that writes without end must not keep the other devices waiting */
	for (int budget = 256; budget; budget--) {
		int n = nf_store_next_event(s->store, path, sizeof(path), token, sizeof(token));
		if (n == 0)
			break;
		any = true;
		if (n == -ERANGE)
			continue; /* longer than any name of ours */
		if (n < 0) {
			hypervisor_died(s, n);
			break;
		}
		if (s->silent) {
			s->silent = false;
			nfd_log("xenstored answers again");
			s->rescan = true;
		}
		route(d, side, path, token);
	}
	return any;
}
