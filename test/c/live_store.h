/* SPDX-License-Identifier: MIT */
/* Part of embedded_live.c: the hypervisor's store, and the two ends of a device through its life.
 */
#ifndef NF_TEST_LIVE_STORE_H
#define NF_TEST_LIVE_STORE_H

#include <errno.h>
#include <poll.h>

#include "nf/device.h"
#include "nf/store.h"
#include "tap.h"

static struct nf_store *store_of(struct nf_layer *l)
{
	struct nf_store *s = NULL;
	int fd = l->ops->store_fd(l);

	ok(fd >= 0, "domain %u: a store connection", l->domid);
	if (fd >= 0)
		is(nf_store_open(fd, &s), 0, "opened");
	return s;
}

/* True once an event with the token comes. */
static bool told(struct nf_store *s, const char *token)
{
	char path[NF_STORE_PATH_MAX], t[64];
	struct pollfd p = {.fd = nf_store_pollfd(s), .events = POLLIN};

	while (poll(&p, 1, 2000) > 0)
		if (nf_store_next_event(s, path, sizeof(path), t, sizeof(t)) > 0 &&
		    !strcmp(t, token))
			return true;
	return false;
}

/* As the toolstack does, through domain 0's own connection. */
static void make_nodes(struct nf_store *b)
{
	static const char *const keys[][2] = {
		{"/local/domain/1/device/vif/0/backend", "/local/domain/0/backend/vif/1/0"},
		{"/local/domain/1/device/vif/0/backend-id", "0"},
		{"/local/domain/1/device/vif/0/state", "1"},
		{"backend/vif/1/0/frontend", "/local/domain/1/device/vif/0"},
		{"backend/vif/1/0/frontend-id", "1"},
		{"backend/vif/1/0/state", "1"},
	};
	int failed = 0;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		failed += nf_store_write(b, 0, keys[i][0], keys[i][1]) != 0;
	is(failed, 0, "domain 0 writes both nodes");
}

static void check_transactions(struct nf_store *f)
{
	uint32_t tx, v;
	char buf[64];

	is(nf_store_tx_begin(f, &tx), 0, "begin");
	is(nf_store_write(f, tx, "data/a", "1"), 0, "write in it");
	is(nf_store_read(f, 0, "data/a", buf, sizeof(buf)), -ENOENT, "unseen outside");
	is(nf_store_tx_end(f, tx, 1), 0, "commit");
	is(nf_store_read_u32(f, 0, "data/a", 0, 9, &v), 0, "seen");
	is(nf_store_tx_begin(f, &tx), 0, "another");
	is(nf_store_read(f, tx, "data/a", buf, sizeof(buf)), 1, "reads");
	is(nf_store_write(f, 0, "data/a", "2"), 0, "what changes under it");
	is(nf_store_write(f, tx, "data/b", "3"), 0, "then writes");
	is(nf_store_tx_end(f, tx, 1), -EAGAIN, "is a conflict");
	is(nf_store_directory(f, 0, "data", buf, sizeof(buf)), 1, "of which nothing stays");
	is(nf_store_tx_end(f, 4711, 1), -ENOENT, "an unknown transaction");
	is(nf_store_rm(f, 0, "data/a"), 0, "remove");
	is(nf_store_write(f, 0, "/local/domain/0/x", "1"), -EACCES, "another's node");
	is(nf_store_write(f, 0, "no spaces", "1"), -EINVAL, "a path that is none");
}

static void live_devices(struct nf_layer *front, struct nf_layer *back)
{
	static const enum nf_xenbus_state back_life[] = {NF_XENBUS_INITWAIT, NF_XENBUS_CONNECTED,
							 NF_XENBUS_CLOSING, NF_XENBUS_CLOSED};
	static const enum nf_xenbus_state front_life[] = {NF_XENBUS_CONNECTED, NF_XENBUS_CLOSING,
							  NF_XENBUS_CLOSED, NF_XENBUS_INITIALISING};
	struct nf_store *f = store_of(front), *b = store_of(back);
	struct nf_device fd, bd;

	if (!f || !b)
		return;
	check_transactions(f);
	make_nodes(b);
	is(nf_device_open(&fd, front, f, "device/vif/0", false, "front"), 0, "the front's device");
	is(nf_device_open(&bd, back, b, "backend/vif/1/0", true, "back"), 0, "the back's device");
	for (int i = 0; i < 4; i++) {
		is(nf_device_switch(&bd, back_life[i]), 0, "back %s",
		   nf_xenbus_state_name(back_life[i]));
		ok(told(f, "front"), "the front is told");
		is(nf_device_look(&fd), back_life[i], "and sees it");
		is(nf_device_switch(&fd, front_life[i]), 0, "front %s",
		   nf_xenbus_state_name(front_life[i]));
		ok(told(b, "back"), "the back is told");
		is(nf_device_look(&bd), front_life[i], "and sees it");
	}
	is(nf_store_rm(b, 0, "/local/domain/1/device/vif/0"), 0, "the front's node is removed");
	is(nf_device_look(&bd), NF_XENBUS_CLOSED, "which is Closed");
	is(nf_device_switch(&fd, NF_XENBUS_CONNECTED), -ENOENT, "and stays removed");
	nf_device_close(&fd);
	nf_device_close(&bd);
	nf_store_close(f);
	nf_store_close(b);
}

#endif
