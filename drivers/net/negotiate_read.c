/* SPDX-License-Identifier: MIT */
/* A front's rings, read by the back: every number is the peer's. */
#include "net_end.h"

#include <stdio.h>

#define PORT_MAX 0x7fffffffu

/* A number the front must have written. found: NULL, or gets false in place of a failure. */
static int ref_read(struct nf_net_end *e, const char *prefix, const char *key, uint32_t min,
		    uint32_t max, uint32_t *out, bool *found)
{
	char path[NF_STORE_PATH_MAX];
	char name[64];
	snprintf(name, sizeof(name), "%s%s", prefix, key);
	int rc = nf_device_key(&e->dev, true, name, path);
	if (rc == 0)
		rc = nf_store_read_u32(e->cfg.store, 0, path, min, max, out);
	if (found)
		*found = rc != -ENOENT;
	if (rc == -ENOENT)
		return found ? 0 : nf__end_fail(e, -EPROTO, "%s is missing", path);
	if (rc == -ERANGE || rc == -EINVAL)
		return nf__end_fail(e, -EPROTO, "%s is not a number of %u to %u", path, min, max);
	return rc < 0 ? rc : 0;
}

static int queue_read(struct nf_net_end *e, const char *prefix, bool may_split, bool *split,
		      struct nf_net_refs *r)
{
	bool found = false;
	int rc = ref_read(e, prefix, "tx-ring-ref", NF_GREF_RESERVED, NF_GREF_NONE - 1,
			  &r->tx_ring_ref, NULL);
	if (rc == 0)
		rc = ref_read(e, prefix, "rx-ring-ref", NF_GREF_RESERVED, NF_GREF_NONE - 1,
			      &r->rx_ring_ref, NULL);
	if (rc == 0 && may_split)
		rc = ref_read(e, prefix, "event-channel-tx", 0, PORT_MAX, &r->tx_port, &found);
	if (rc)
		return rc;
	*split = found;
	if (found)
		return ref_read(e, prefix, "event-channel-rx", 0, PORT_MAX, &r->rx_port, NULL);
	rc = ref_read(e, prefix, "event-channel", 0, PORT_MAX, &r->tx_port, NULL);
	r->rx_port = r->tx_port;
	return rc;
}

static int ctrl_read(struct nf_net_end *e, struct nf_ctrl_refs *ctrl)
{
	int rc = ref_read(e, "", "ctrl-ring-ref", NF_GREF_RESERVED, NF_GREF_NONE - 1,
			  &ctrl->ring_ref, &ctrl->is_there);
	if (rc || !ctrl->is_there)
		return rc;
	return ref_read(e, "", "event-channel-ctrl", 0, PORT_MAX, &ctrl->port, NULL);
}

/* What front_take is going to ask for, of a front with one queue. */
static int front_ahead(struct nf_net_end *e)
{
	static const char *const keys[] = {
		"multi-queue-num-queues", "tx-ring-ref",   "rx-ring-ref",   "event-channel-tx",
		"event-channel-rx",	  "event-channel", "ctrl-ring-ref", "event-channel-ctrl"};
	return nf_store_ahead(e->cfg.store, e->dev.other_path, keys,
			      sizeof(keys) / sizeof(keys[0]));
}

static int front_take(struct nf_net_end *e, const struct nf_net_features *offered,
		      struct nf_net_features *f, struct nf_net_refs *refs, uint32_t *queues,
		      struct nf_ctrl_refs *ctrl)
{
	struct nf_net_features wish;
	struct nf_net_refs got[NF_NET_QUEUES_MAX];
	bool found;
	uint32_t count = 1;
	int rc = nf__features_read(e, &wish);
	if (rc == 0)
		rc = ref_read(e, "", "multi-queue-num-queues", 1, offered->queues, &count, &found);
	if (rc)
		return rc;
	if (!found)
		count = 1;
	wish.split = offered->split;
	for (uint32_t i = 0; i < count; i++) {
		char prefix[24] = "";
		bool split;
		if (count > 1)
			snprintf(prefix, sizeof(prefix), "queue-%u/", i);
		rc = queue_read(e, prefix, offered->split, &split, &got[i]);
		if (rc)
			return rc;
		wish.split = wish.split && split;
		refs[i] = got[i];
	}
	ctrl->is_there = false;
	if (offered->ctrl) {
		rc = ctrl_read(e, ctrl);
		if (rc)
			return rc;
	}
	wish.ctrl = ctrl->is_there;
	wish.queues = count;
	*queues = count;
	nf__features_meet(&wish, offered, f);
	return 0;
}

int nf__front_read(struct nf_net_end *e, const struct nf_net_features *offered,
		   struct nf_net_features *f, struct nf_net_refs *refs, uint32_t *queues,
		   struct nf_ctrl_refs *ctrl)
{
	nf_store_ahead_begin(e->cfg.store);
	int rc = front_ahead(e);
	if (rc == 0)
		rc = front_take(e, offered, f, refs, queues, ctrl);
	nf_store_ahead_end(e->cfg.store);
	return rc;
}
