/* SPDX-License-Identifier: MIT */
/* Which devices the store has: device/vif/N and backend/vif/D/N, and the same of vbd. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nfd.h"

#define NAMES 4096

static bool is_number(const char *s)
{
	size_t n = strspn(s, "0123456789");
	return n > 0 && n <= 5 && s[n] == '\0';
}

/* Names under path; a folder that is not there has none. Negative when the store is dead. */
static int names_of(struct nfd_side *s, const char *path, char *buf)
{
	int n = nf_store_directory(s->store, 0, path, buf, NAMES);
	if (n == -ENOENT || n == -EACCES)
		return 0;
	if (n < 0)
		nfd_log("listing %s: %s", path, strerror(-n));
	return n;
}

static int scan_folder(struct nfd *d, uint32_t side, const char *folder, bool is_back)
{
	char names[NAMES], path[NFD_PATH];
	int n = names_of(&d->sides[side], folder, names);
	const char *name = names;

	for (int i = 0; i < n; i++, name += strlen(name) + 1) {
		if (!is_number(name))
			continue;
		snprintf(path, sizeof(path), "%.80s/%.5s", folder, name);
		nfd_device_found(d, side, path, is_back);
	}
	return n < 0 ? n : 0;
}

static int scan_backs(struct nfd *d, uint32_t side, const char *root)
{
	char names[NAMES], folder[NFD_PATH];
	int n = names_of(&d->sides[side], root, names);
	const char *name = names;

	for (int i = 0; i < n; i++, name += strlen(name) + 1) {
		if (!is_number(name))
			continue;
		snprintf(folder, sizeof(folder), "%.40s/%.5s", root, name);
		int err = scan_folder(d, side, folder, true);
		if (err)
			return err;
	}
	return n < 0 ? n : 0;
}

static void drop_gone(struct nfd *d, struct nfd_device *v)
{
	nfd_log("%s: its node is gone", v->path);
	nfd_device_drop(d, v, true);
}

void nfd_scan(struct nfd *d, uint32_t side)
{
	struct nfd_side *s = &d->sides[side];

	s->rescan = false;
	for (uint32_t i = 0; i < d->device_count; i++)
		d->devices[i].seen = false;
	if (scan_folder(d, side, "device/vif", false) || scan_backs(d, side, "backend/vif") ||
	    scan_folder(d, side, "device/vbd", false) || scan_backs(d, side, "backend/vbd"))
		return; /* an unreadable store is no reason to drop devices */
	for (uint32_t i = 0; i < d->device_count; i++) {
		struct nfd_device *v = &d->devices[i];
		if (v->used && v->side == side && !v->seen)
			drop_gone(d, v);
	}
}

/* The device a changed node is or lies below: "backend/vif/3/0" of "backend/vif/3/0/mac". */
static bool device_of(const char *changed, bool is_back, char *path)
{
	int parts = is_back ? 4 : 3;
	const char *end = changed, *last = changed;

	for (; parts > 0 && *end; parts--) {
		last = end;
		end += strcspn(end, "/");
		end += parts > 1 && *end == '/';
	}
	size_t n = (size_t)(end - changed);
	if (parts > 0 || n >= NFD_PATH)
		return false;
	memcpy(path, changed, n);
	path[n] = '\0';
	return is_number(path + (last - changed));
}

/* Whether the node is there, and with it, in the same round trip, what nfd_device_found asks. */
static int node_read(struct nf_store *store, const char *path)
{
	char folder[NFD_PATH], mark[NFD_PATH], value[NF_STORE_PAYLOAD_MAX + 1];
	const char *name = strrchr(path, '/') + 1;
	const char *keys[] = {name, mark};

	snprintf(folder, sizeof(folder), "%.*s", (int)(name - path - 1), path);
	snprintf(mark, sizeof(mark), "%.5s/nestfront/relayed", name);
	int rc = nf_store_ahead(store, folder, keys, 2);
	return rc < 0 ? rc : nf_store_read(store, 0, path, value, sizeof(value));
}

bool nfd_scan_one(struct nfd *d, uint32_t side, const char *changed, bool is_back)
{
	struct nf_store *store = d->sides[side].store;
	char path[NFD_PATH];

	if (d->stop_at_ms || d->sides[side].silent || !device_of(changed, is_back, path))
		return false;
	nf_store_ahead_begin(store);
	int n = node_read(store, path);
	if (n >= 0)
		nfd_device_found(d, side, path, is_back);
	nf_store_ahead_end(store);
	if (n != -ENOENT && n != -EACCES)
		return n >= 0;
	for (uint32_t i = 0; i < d->device_count; i++) {
		struct nfd_device *v = &d->devices[i];
		if (v->used && v->side == side && strcmp(v->path, path) == 0)
			drop_gone(d, v);
	}
	return true;
}
