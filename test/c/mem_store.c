/* SPDX-License-Identifier: MIT */
/* The in-process xenstore, seen through the real client. */
#include "../peer/memlayer.h"
#include "nf/device.h"
#include "nf/store.h"
#include "tap.h"

#include <poll.h>

static struct nf_store *store_of(struct nf_layer *l)
{
	struct nf_store *s = NULL;
	int fd = l->ops->store_fd(l);
	if (fd < 0 || nf_store_open(fd, &s) < 0)
		abort();
	return s;
}

/* The next event as "path|token", or "" when none comes. */
static const char *event(struct nf_store *s)
{
	static char text[700];
	char path[512], token[64];
	struct pollfd p = {.fd = nf_store_pollfd(s), .events = POLLIN};
	for (int i = 0; i < 2; i++) {
		int n = nf_store_next_event(s, path, sizeof(path), token, sizeof(token));
		if (n > 0) {
			snprintf(text, sizeof(text), "%s|%s", path, token);
			return text;
		}
		poll(&p, 1, 200);
	}
	return "";
}

static void permissions(struct nf_store *front, struct nf_store *back)
{
	char buf[64];
	is(nf_store_write(front, 0, "device/vif/0/state", "4"), 0, "a front writes its own node");
	is(nf_store_read(back, 0, "/local/domain/1/device/vif/0/state", buf, sizeof(buf)), 1,
	   "the back reads it");
	is(nf_store_write(back, 0, "/local/domain/1/device/vif/0/state", "6"), 0,
	   "domain 0 may write it");
	is(nf_store_write(front, 0, "/local/domain/0/backend/vif/1/0/state", "6"), -EACCES,
	   "a front does not write the back's");
	is(nf_store_write(front, 0, "/local/domain/2/x", "1"), -EACCES, "nor another domain's");
	is(nf_store_read(front, 0, "/local/domain/0/backend/vif/1/0/mac", buf, sizeof(buf)), 17,
	   "it reads the back's");
	is(nf_store_read(front, 0, "nothing/here", buf, sizeof(buf)), -ENOENT, "no such node");
	is(nf_store_write(front, 0, "bad path", "1"), -EINVAL, "a space is no path");
}

static void watches(struct nf_store *front, struct nf_store *back, struct mem_vif *v)
{
	is(nf_store_watch(back, "/local/domain/1/device/vif/0", "abs"), 0, "watch");
	is_str(event(back), "/local/domain/1/device/vif/0|abs", "fires at once");
	is(nf_store_watch(front, "device/vif/0/state", "rel"), 0, "relative watch");
	is_str(event(front), "device/vif/0/state|rel", "fires relative");
	nf_store_write(front, 0, "device/vif/0/state", "5");
	is_str(event(back), "/local/domain/1/device/vif/0/state|abs", "a node below");
	is_str(event(front), "device/vif/0/state|rel", "the node itself");
	mem_vif_remove(v);
	is_str(event(back), "/local/domain/1/device/vif/0|abs", "removal of the node");
	is_str(event(front), "device/vif/0/state|rel", "removal of an ancestor");
	is(nf_store_unwatch(front, "device/vif/0/state", "rel"), 0, "unwatch");
	is(nf_store_unwatch(front, "device/vif/0/state", "rel"), -ENOENT, "once");
}

static void transactions(struct nf_store *a, struct nf_store *b)
{
	uint32_t tx;
	char buf[64];
	nf_store_write(a, 0, "data/x", "1");
	is(nf_store_tx_begin(a, &tx), 0, "begin");
	nf_store_read(a, tx, "data/x", buf, sizeof(buf));
	nf_store_write(a, tx, "data/y", "2");
	is(nf_store_read(a, 0, "data/y", buf, sizeof(buf)), -ENOENT, "not seen outside");
	is(nf_store_read(a, tx, "data/y", buf, sizeof(buf)), 1, "seen inside");
	nf_store_write(b, 0, "/local/domain/1/data/x", "9");
	is(nf_store_tx_end(a, tx, 1), -EAGAIN, "what was read has changed: conflict");
	is(nf_store_read(a, 0, "data/y", buf, sizeof(buf)), -ENOENT, "nothing of it stays");
	nf_store_tx_begin(a, &tx);
	nf_store_write(a, tx, "data/y", "2");
	nf_store_write(b, 0, "/local/domain/1/data/x", "10");
	is(nf_store_tx_end(a, tx, 1), 0, "another node's change is no conflict");
	is(nf_store_read(a, 0, "data/y", buf, sizeof(buf)), 1, "committed");
	nf_store_tx_begin(a, &tx);
	nf_store_rm(a, tx, "data/y");
	nf_store_tx_end(a, tx, 0);
	is(nf_store_read(a, 0, "data/y", buf, sizeof(buf)), 1, "aborted");
}

int main(void)
{
	char why[256];
	struct mem_baseline base;
	struct mem_vif v;
	struct mem_world *w = mem_world_new("w");
	struct nf_layer *l0 = mem_world_layer(w, 0), *l1 = mem_world_layer(w, 1);
	mem_world_baseline(w, &base);
	is(mem_vif_create(&v, w, 1, 0, 0, "gen"), 0, "xl-like nodes");
	is(mem_vif_create(&v, w, 1, 0, 0, "gen"), -EEXIST, "once");
	struct nf_store *front = store_of(l1), *back = store_of(l0);
	transactions(front, back);
	permissions(front, back);
	watches(front, back, &v);
	mem_world_fail(w, 1, MEM_STORE, 1, -EIO);
	is(nf_store_mkdir(front, 0, "data/z"), -EIO, "the armed request fails");
	is(nf_store_mkdir(front, 0, "data/z"), 0, "the next does not");
	mem_store_hangup(w, 1);
	is(nf_store_mkdir(front, 0, "data/z"), -ECONNRESET, "hung up");
	nf_store_close(front);
	nf_store_close(back);
	is(mem_world_settle(w, &base, 1000, why, sizeof(why)), 0, "at the baseline %s", why);
	mem_world_free(w);
	return done();
}
