/* SPDX-License-Identifier: MIT */
/* The keys of netif.h as data: what each end writes, reads and defaults to. */
#include "net_end.h"

#include <stdio.h>
#include <string.h>

#define TX_RETRIES 32 /* of a transaction that conflicts */

struct flag_key {
	const char *name;
	size_t offset;	  /* of a uint8_t in struct nf_net_features */
	bool is_inverted; /* the key says no */
	bool by_back;	  /* the back writes it, */
	bool by_front;	  /* the front does */
};

#define FIELD(name) offsetof(struct nf_net_features, name)
static const struct flag_key flag_keys[] = {
	{"feature-sg", FIELD(sg), false, true, true},
	{"feature-gso-tcpv4", FIELD(gso4), false, true, true},
	{"feature-gso-tcpv6", FIELD(gso6), false, true, true},
	{"feature-no-csum-offload", FIELD(csum4), true, true, true},
	{"feature-ipv6-csum-offload", FIELD(csum6), false, true, true},
	{"feature-split-event-channels", FIELD(split), false, true, false},
	{"feature-ctrl-ring", FIELD(ctrl), false, true, false},
	{"feature-nestfront-static-only", FIELD(static_only), false, true, false},
	{"request-nestfront-static-only", FIELD(static_only), false, false, true},
};
#define FLAG_KEYS (sizeof(flag_keys) / sizeof(flag_keys[0]))

static uint8_t *flag_of(struct nf_net_features *f, const struct flag_key *k)
{
	return (uint8_t *)f + k->offset;
}

void nf__features_meet(const struct nf_net_features *a, const struct nf_net_features *b,
		       struct nf_net_features *out)
{
	struct nf_net_features meet = *a;
	for (size_t i = 0; i < FLAG_KEYS; i++) {
		size_t at = flag_keys[i].offset;
		((uint8_t *)&meet)[at] = ((const uint8_t *)a)[at] && ((const uint8_t *)b)[at];
	}
	meet.queues = a->queues < b->queues ? a->queues : b->queues;
	meet.mtu = a->mtu < b->mtu ? a->mtu : b->mtu;
	*out = meet;
}

/* The other end's number at key; absent: fallback. Junk fails the device by the key's name. */
static int number_read(struct nf_net_end *e, const char *key, uint32_t min, uint32_t max,
		       uint32_t fallback, uint32_t *out)
{
	char path[NF_STORE_PATH_MAX];
	int rc = nf_device_key(&e->dev, true, key, path);
	if (rc == 0)
		rc = nf_store_read_u32(e->cfg.store, 0, path, min, max, out);
	if (rc == -ENOENT) {
		*out = fallback;
		return 0;
	}
	if (rc == -ERANGE || rc == -EINVAL)
		return nf__end_fail(e, -EPROTO, "%s is not a number of %u to %u", path, min, max);
	return rc < 0 ? rc : 0;
}

static int features_take(struct nf_net_end *e, struct nf_net_features *out)
{
	struct nf_net_features f = {.mtu = e->own.mtu};
	bool from_back = !e->dev.is_back;
	uint32_t value;
	memcpy(f.mac, e->own.mac, sizeof(f.mac));
	for (size_t i = 0; i < FLAG_KEYS; i++) {
		const struct flag_key *k = &flag_keys[i];
		if (from_back ? !k->by_back : !k->by_front)
			continue;
		int rc = number_read(e, k->name, 0, 1, 0, &value);
		if (rc)
			return rc;
		*flag_of(&f, k) = (uint8_t)(value != (k->is_inverted ? 1u : 0u));
	}
	const char *copy_key = from_back ? "feature-rx-copy" : "request-rx-copy";
	int rc = number_read(e, copy_key, 0, 1, 0, &value);
	if (rc)
		return rc;
	if (!value) /* page flipping is dead; Linux refuses it too */
		return nf__end_fail(e, -EPROTO, "the other end lacks %s=1", copy_key);
	f.queues = 1;
	if (from_back) {
		rc = number_read(e, "multi-queue-max-queues", 1, 4096, 1, &f.queues);
		if (rc)
			return rc;
	}
	*out = f;
	return 0;
}

int nf__features_read(struct nf_net_end *e, struct nf_net_features *out)
{
	const char *keys[FLAG_KEYS + 2];
	bool from_back = !e->dev.is_back;
	uint32_t n = 0;
	for (size_t i = 0; i < FLAG_KEYS; i++)
		if (from_back ? flag_keys[i].by_back : flag_keys[i].by_front)
			keys[n++] = flag_keys[i].name;
	keys[n++] = from_back ? "feature-rx-copy" : "request-rx-copy";
	if (from_back)
		keys[n++] = "multi-queue-max-queues";
	nf_store_ahead_begin(e->cfg.store);
	int rc = nf_store_ahead(e->cfg.store, e->dev.other_path, keys, n);
	if (rc == 0)
		rc = features_take(e, out);
	nf_store_ahead_end(e->cfg.store);
	return rc;
}

/* Posts it: body_end settles. */
static int own_write(struct nf_net_end *e, uint32_t tx, const char *prefix, const char *key,
		     uint32_t value)
{
	char path[NF_STORE_PATH_MAX];
	char name[64], text[16];
	snprintf(name, sizeof(name), "%s%s", prefix, key);
	snprintf(text, sizeof(text), "%u", value);
	int rc = nf_device_key(&e->dev, false, name, path);
	return rc < 0 ? rc : nf_store_post_write(e->cfg.store, tx, path, text);
}

static int flags_write(struct nf_net_end *e, uint32_t tx, const struct nf_net_features *f)
{
	for (size_t i = 0; i < FLAG_KEYS; i++) {
		const struct flag_key *k = &flag_keys[i];
		if (e->dev.is_back ? !k->by_back : !k->by_front)
			continue;
		uint8_t flag = ((const uint8_t *)f)[k->offset];
		int rc = own_write(e, tx, "", k->name, k->is_inverted ? !flag : flag);
		if (rc)
			return rc;
	}
	return 0;
}

/* Keys go only into a node that is there: writing would make a removed device anew, as a ghost that
 * nobody removes. Settling says -ENOENT; the transaction conflicts when it goes meanwhile. */
static int node_is_there(struct nf_net_end *e, uint32_t tx)
{
	char path[NF_STORE_PATH_MAX];
	int rc = nf_device_key(&e->dev, false, "state", path);
	return rc < 0 ? rc : nf_store_post_read(e->cfg.store, tx, path);
}

static int offer_body(struct nf_net_end *e, uint32_t tx, const struct nf_net_features *offer)
{
	int rc = node_is_there(e, tx);
	if (rc == 0)
		rc = flags_write(e, tx, offer);
	if (rc == 0)
		rc = own_write(e, tx, "", "feature-rx-copy", 1);
	if (rc == 0)
		rc = own_write(e, tx, "", "feature-rx-flip", 0);
	if (rc == 0)
		rc = own_write(e, tx, "", "multi-queue-max-queues", offer->queues);
	return rc;
}

/* Carries out what rc 0 posted, and ends tx: commits when all of it was done. 1: a conflict, again.
 */
static int body_end(struct nf_net_end *e, uint32_t tx, int rc)
{
	int settled = nf_store_settle(e->cfg.store);
	if (rc == 0)
		rc = settled;
	int end = nf_store_tx_end(e->cfg.store, tx, rc == 0);
	if (rc)
		return rc;
	if (end < 0 && end != -EAGAIN) /* a store that refuses to commit may still have it open */
		(void)nf_store_tx_end(e->cfg.store, tx, 0);
	return end == -EAGAIN ? 1 : end < 0 ? end : 0;
}

int nf__offer_write(struct nf_net_end *e, const struct nf_net_features *offer)
{
	for (int i = 0; i < TX_RETRIES; i++) {
		uint32_t tx;
		int rc = nf_store_tx_begin(e->cfg.store, &tx);
		if (rc < 0)
			return rc;
		rc = body_end(e, tx, offer_body(e, tx, offer));
		if (rc <= 0)
			return rc;
	}
	return -EAGAIN;
}

static int own_rm(struct nf_net_end *e, uint32_t tx, const char *prefix, const char *key)
{
	char path[NF_STORE_PATH_MAX];
	char name[64];
	snprintf(name, sizeof(name), "%s%s", prefix, key);
	int rc = nf_device_key(&e->dev, false, name, path);
	return rc < 0 ? rc : nf_store_post_rm(e->cfg.store, tx, path);
}

/* Removes a queue's keys an earlier connection left: all of them, or its other kind of channel. */
static int queue_clear(struct nf_net_end *e, uint32_t tx, const char *prefix, bool is_used,
		       bool split)
{
	static const struct {
		const char *name;
		int by; /* split: 1, shared channel: 0, both: 2 */
	} keys[] = {{"tx-ring-ref", 2},
		    {"rx-ring-ref", 2},
		    {"event-channel", 0},
		    {"event-channel-tx", 1},
		    {"event-channel-rx", 1}};
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!is_used || (keys[i].by != 2 && keys[i].by != split))
			rc = own_rm(e, tx, prefix, keys[i].name);
	return rc;
}

/* Removes what an earlier connection published and this one does not write anew. */
static int front_clear(struct nf_net_end *e, uint32_t tx, uint32_t queues, bool split, bool ctrl)
{
	char name[24];
	bool is_flat = queues == 1;
	int rc = queue_clear(e, tx, "", is_flat, split);
	for (uint32_t i = 0; rc == 0 && i < NF_NET_QUEUES_MAX; i++) {
		bool is_used = !is_flat && i < queues;
		snprintf(name, sizeof(name), "queue-%u%s", i, is_used ? "/" : "");
		rc = is_used ? queue_clear(e, tx, name, true, split) : own_rm(e, tx, "", name);
	}
	if (rc == 0 && is_flat)
		rc = own_rm(e, tx, "", "multi-queue-num-queues");
	if (rc == 0 && !ctrl)
		rc = own_rm(e, tx, "", "ctrl-ring-ref");
	if (rc == 0 && !ctrl)
		rc = own_rm(e, tx, "", "event-channel-ctrl");
	return rc;
}

static int queue_write(struct nf_net_end *e, uint32_t tx, const char *prefix, bool split,
		       const struct nf_net_refs *r)
{
	int rc = own_write(e, tx, prefix, "tx-ring-ref", r->tx_ring_ref);
	if (rc == 0)
		rc = own_write(e, tx, prefix, "rx-ring-ref", r->rx_ring_ref);
	if (rc == 0)
		rc = own_write(e, tx, prefix, split ? "event-channel-tx" : "event-channel",
			       r->tx_port);
	if (rc == 0 && split)
		rc = own_write(e, tx, prefix, "event-channel-rx", r->rx_port);
	return rc;
}

static int publish_body(struct nf_net_end *e, uint32_t tx, const struct nf_net_features *f,
			const struct nf_net_refs *refs, uint32_t queues,
			const struct nf_ctrl_refs *ctrl)
{
	int rc = node_is_there(e, tx);
	if (rc == 0)
		rc = front_clear(e, tx, queues, f->split, ctrl->is_there);
	if (rc == 0)
		rc = flags_write(e, tx, f);
	if (rc == 0)
		rc = own_write(e, tx, "", "request-rx-copy", 1);
	if (rc == 0)
		rc = own_write(e, tx, "", "feature-rx-notify", 1);
	if (rc == 0 && queues > 1)
		rc = own_write(e, tx, "", "multi-queue-num-queues", queues);
	for (uint32_t i = 0; rc == 0 && i < queues; i++) {
		char prefix[24] = "";
		if (queues > 1)
			snprintf(prefix, sizeof(prefix), "queue-%u/", i);
		rc = queue_write(e, tx, prefix, f->split, &refs[i]);
	}
	if (rc == 0 && ctrl->is_there)
		rc = own_write(e, tx, "", "ctrl-ring-ref", ctrl->ring_ref);
	if (rc == 0 && ctrl->is_there)
		rc = own_write(e, tx, "", "event-channel-ctrl", ctrl->port);
	return rc;
}

int nf__front_publish(struct nf_net_end *e, const struct nf_net_features *f,
		      const struct nf_net_refs *refs, uint32_t queues,
		      const struct nf_ctrl_refs *ctrl)
{
	for (int i = 0; i < TX_RETRIES; i++) {
		uint32_t tx;
		int rc = nf_store_tx_begin(e->cfg.store, &tx);
		if (rc < 0)
			return rc;
		rc = body_end(e, tx, publish_body(e, tx, f, refs, queues, ctrl));
		if (rc <= 0)
			return rc;
	}
	return -EAGAIN;
}
