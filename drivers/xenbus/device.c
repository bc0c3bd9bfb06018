/* SPDX-License-Identifier: MIT */
/* One end of a xenbus device in the store. Whatever the other end wrote is looked at as a number in
 * a range or as a path of the right shape, else it is an error. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "nf/device.h"

#define TX_RETRIES 32 /* a conflict each time means that somebody writes our node all the while */
#define ERROR_TEXT_MAX 256

static int join(char *buf, const char *path, const char *key)
{
	char out[NF_STORE_PATH_MAX];
	int n = snprintf(out, sizeof(out), "%s/%s", path, key);

	if (n < 0 || (size_t)n >= sizeof(out))
		return -ERANGE;
	memcpy(buf, out, (size_t)n + 1);
	return 0;
}

int nf_device_key(const struct nf_device *d, bool other, const char *key, char *buf)
{
	return join(buf, other ? d->other_path : d->path, key);
}

/* /local/domain/D/<rest> of a path in D's own relative form, or the path when it is absolute. */
static int absolute(char *buf, const char *path, uint16_t domid)
{
	int n = path[0] == '/' ? snprintf(buf, NF_STORE_PATH_MAX, "%s", path)
			       : snprintf(buf, NF_STORE_PATH_MAX, "/local/domain/%u/%s",
					  (unsigned int)domid, path);

	return n < 0 || n >= (int)NF_STORE_PATH_MAX ? -ERANGE : 0;
}

/* The last component of the path: 0 .. 65535. -EINVAL otherwise. */
static int parse_devid(const char *path, uint16_t *out)
{
	const char *at = strrchr(path, '/');
	uint32_t v = 0;

	if (!at || !at[1] || strlen(at + 1) > 5)
		return -EINVAL;
	for (at++; *at; at++) {
		if (*at < '0' || *at > '9')
			return -EINVAL;
		v = v * 10 + (uint32_t)(*at - '0');
	}
	if (v > UINT16_MAX)
		return -EINVAL;
	*out = (uint16_t)v;
	return 0;
}

/* Where the other end is, according to our node, which the toolstack wrote. */
static int read_other(struct nf_device *d)
{
	char key[NF_STORE_PATH_MAX], prefix[40];
	uint32_t domid;
	int rc = join(key, d->path, d->is_back ? "frontend-id" : "backend-id");

	if (rc == 0)
		rc = nf_store_read_u32(d->store, 0, key, 0, NF_DOMID_SELF - 1, &domid);
	if (rc < 0)
		return rc == -EINVAL || rc == -ERANGE ? -EPROTO : rc;
	d->other_domid = (uint16_t)domid;
	rc = join(key, d->path, d->is_back ? "frontend" : "backend");
	if (rc == 0)
		rc = nf_store_read(d->store, 0, key, d->other_path, sizeof(d->other_path));
	if (rc < 0)
		return rc == -ERANGE ? -EPROTO : rc;
	/* a back that follows a path out of the front's tree would read what was not meant for it
	 */
	int n = snprintf(prefix, sizeof(prefix), "/local/domain/%u/", domid);
	if (strlen(d->other_path) != (size_t)rc || strncmp(d->other_path, prefix, (size_t)n) != 0 ||
	    d->other_path[rc - 1] == '/')
		return -EPROTO;
	return 0;
}

/* The other end's node must name ours: else two devices would share one peer. */
static int check_mutual(struct nf_device *d)
{
	char key[NF_STORE_PATH_MAX], ours[NF_STORE_PATH_MAX], theirs[NF_STORE_PATH_MAX];
	uint32_t domid;
	int rc = join(key, d->other_path, d->is_back ? "backend-id" : "frontend-id");

	if (rc == 0)
		rc = nf_store_read_u32(d->store, 0, key, 0, UINT16_MAX, &domid);
	if (rc == 0)
		rc = join(key, d->other_path, d->is_back ? "backend" : "frontend");
	if (rc == 0)
		rc = nf_store_read(d->store, 0, key, theirs, sizeof(theirs));
	if (rc < 0)
		return rc == -EINVAL || rc == -ERANGE ? -EPROTO : rc;
	rc = absolute(ours, d->path, d->layer->domid);
	if (rc < 0)
		return rc;
	return domid == d->layer->domid && !strcmp(ours, theirs) ? 0 : -EPROTO;
}

/* A state as written by anybody: junk and absence are UNKNOWN, the store's own failure is negative.
 */
static int read_state(struct nf_device *d, uint32_t tx, bool other)
{
	char key[NF_STORE_PATH_MAX];
	uint32_t v;
	int rc = nf_device_key(d, other, "state", key);

	if (rc == 0)
		rc = nf_store_read_u32(d->store, tx, key, NF_XENBUS_UNKNOWN, NF_XENBUS_RECONFIGURED,
				       &v);
	if (rc == -EINVAL || rc == -ERANGE)
		return NF_XENBUS_UNKNOWN;
	return rc < 0 ? rc : (int)v;
}

/* Both ends' nodes as they are now, each in one go. */
static int read_nodes(struct nf_device *d)
{
	static const char *const of_front[] = {"backend-id", "backend", "state"};
	static const char *const of_back[] = {"frontend-id", "frontend", "state"};

	int rc = nf_store_ahead(d->store, d->path, d->is_back ? of_back : of_front, 3);
	if (rc == 0)
		rc = read_other(d);
	if (rc == 0)
		rc = nf_store_ahead(d->store, d->other_path, d->is_back ? of_front : of_back, 3);
	if (rc == 0)
		rc = check_mutual(d);
	if (rc == 0)
		rc = read_state(d, 0, false);
	if (rc < 0)
		return rc;
	d->state = (enum nf_xenbus_state)rc;
	rc = nf_device_look(d);
	return rc < 0 ? rc : 0;
}

/* A store that is gone, or has no such watch any more, leaves nothing to undo. */
static void unwatch_states(struct nf_device *d)
{
	char key[NF_STORE_PATH_MAX];

	if (nf_device_key(d, false, "state", key) == 0)
		(void)nf_store_post_watch(d->store, key, d->token, 0);
	if (nf_device_key(d, true, "state", key) == 0)
		(void)nf_store_post_watch(d->store, key, d->token, 0);
	(void)nf_store_settle(d->store);
}

static int watch_states(struct nf_device *d)
{
	char ours[NF_STORE_PATH_MAX], theirs[NF_STORE_PATH_MAX];
	int rc = nf_device_key(d, false, "state", ours);

	if (rc == 0)
		rc = nf_device_key(d, true, "state", theirs);
	if (rc == 0)
		rc = nf_store_post_watch(d->store, ours, d->token, 1);
	if (rc == 0)
		rc = nf_store_post_watch(d->store, theirs, d->token, 1);
	if (rc == 0)
		rc = nf_store_settle(d->store);
	if (rc < 0)
		unwatch_states(d);
	return rc;
}

int nf_device_open(struct nf_device *d, struct nf_layer *layer, struct nf_store *store,
		   const char *path, bool is_back, const char *token)
{
	struct nf_device n = {.layer = layer, .store = store, .is_back = is_back};

	if (!path[0] || strlen(path) >= sizeof(n.path) || !token[0] ||
	    strlen(token) >= sizeof(n.token))
		return -EINVAL;
	memcpy(n.path, path, strlen(path) + 1);
	memcpy(n.token, token, strlen(token) + 1);
	nf_store_ahead_begin(store);
	int rc = parse_devid(path, &n.devid);
	if (rc == 0)
		rc = read_nodes(&n);
	nf_store_ahead_end(store);
	if (rc == 0)
		rc = watch_states(&n);
	if (rc < 0)
		return rc;
	*d = n;
	return 0;
}

void nf_device_close(struct nf_device *d)
{
	if (!d->store)
		return;
	unwatch_states(d);
	d->store = NULL;
}

/*
 * Writes one key of our node if the node (known by its `state`) is there. A write alone would
 * create it anew after the toolstack removed the device, and nobody would ever remove it again.
 */
int nf_device_write(struct nf_device *d, const char *key, const char *value)
{
	char state[NF_STORE_PATH_MAX], path[NF_STORE_PATH_MAX];
	int rc = nf_device_key(d, false, "state", state);

	if (rc == 0)
		rc = nf_device_key(d, false, key, path);
	for (int i = 0; rc == 0 && i < TX_RETRIES; i++) {
		uint32_t tx;

		rc = nf_store_tx_begin(d->store, &tx);
		if (rc < 0)
			return rc;
		rc = nf_store_post_read(d->store, tx, state);
		if (rc == 0)
			rc = nf_store_post_write(d->store, tx, path, value);
		int settled = nf_store_settle(d->store);
		if (rc == 0)
			rc = settled;
		if (rc < 0) {
			nf_store_tx_end(d->store, tx, 0);
			return rc;
		}
		rc = nf_store_tx_end(d->store, tx, 1);
		if (rc != -EAGAIN)
			return rc;
		rc = 0;
	}
	return rc < 0 ? rc : -EAGAIN;
}

int nf_device_switch(struct nf_device *d, enum nf_xenbus_state state)
{
	char value[4];

	if (!d->store)
		return -ENODEV;
	int rc = nf_xenbus_transition(d->is_back, d->state, state, NULL);
	if (rc < 0 || d->state == state)
		return rc;
	snprintf(value, sizeof(value), "%u", (unsigned int)state & 0xfu);
	rc = nf_device_write(d, "state", value);
	if (rc == 0)
		d->state = state;
	return rc;
}

int nf_device_look(struct nf_device *d)
{
	if (!d->store)
		return -ENODEV;
	int rc = read_state(d, 0, true);
	/* xenstored tells a domain that may not list the parent -EACCES in place of -ENOENT, and an
	 * end that hides its state has nothing to say to us either */
	if (rc == -ENOENT || rc == -EACCES)
		rc = NF_XENBUS_CLOSED;
	if (rc >= 0)
		d->other_state = (enum nf_xenbus_state)rc;
	return rc;
}

int nf_device_fail(struct nf_device *d, int error, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	va_list ap;

	if (!d->store)
		return error;
	int n = snprintf(text, sizeof(text), "%d ", -error);
	va_start(ap, fmt);
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	/* the text may quote what the peer wrote: nothing a terminal would act on */
	for (char *at = text; *at; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
	/* the first error is the one to return; the node may be gone, which is no news then */
	(void)nf_device_write(d, "error", text);
	return error;
}
