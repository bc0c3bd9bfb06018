/* SPDX-License-Identifier: MIT */
/*
 * Re-attaching to a front that never noticed that its back died: a stock front does not reconnect.
 * State stays 4 at both ends. What the first instance offered is in our node; the front's keys are
 * as it published them; the journal says how far the rings were.
 */
#include "net_back.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define RECORD "nestfront/reattach"

static uint32_t bits_of(const struct nf_net_features *f)
{
	return f->sg | (uint32_t)f->gso4 << 1 | (uint32_t)f->gso6 << 2 | (uint32_t)f->csum4 << 3 |
	       (uint32_t)f->csum6 << 4 | (uint32_t)f->split << 5 | (uint32_t)f->ctrl << 6 |
	       (uint32_t)f->static_only << 7;
}

static void bits_to(struct nf_net_features *f, uint32_t bits)
{
	f->sg = bits & 1;
	f->gso4 = bits >> 1 & 1;
	f->gso6 = bits >> 2 & 1;
	f->csum4 = bits >> 3 & 1;
	f->csum6 = bits >> 4 & 1;
	f->split = bits >> 5 & 1;
	f->ctrl = bits >> 6 & 1;
	f->static_only = bits >> 7 & 1;
}

/* Before the queues run: from the first answer on, the journal and the record must be there. */
void nf__back_record(struct nf_netback *b)
{
	char text[96];
	uint64_t nonce;
	if (!b->e.cfg.journal || b->is_held)
		return;
	int rc = getrandom(&nonce, sizeof(nonce), 0) == sizeof(nonce) ? 0 : -EIO;
	if (rc == 0)
		rc = nf__journal_create(b, nonce);
	if (rc == 0) {
		snprintf(text, sizeof(text), "1 %016" PRIx64 " %u %u %u", nonce,
			 bits_of(&b->offered), b->offered.queues, b->offered.mtu);
		rc = nf_device_write(&b->e.dev, RECORD, text);
	}
	if (rc == 0)
		return;
	nf__journal_remove(b);
	nf__end_notice(&b->e, "journal %s: %s: killed, this back could not re-attach",
		       b->e.cfg.journal, strerror(-rc));
}

/* What the first instance offered. -ENOENT: it left no record; -EPROTO: not one of ours. */
static int record_read(struct nf_netback *b, struct nf_net_features *offered, uint64_t *nonce)
{
	char path[NF_STORE_PATH_MAX], text[96];
	uint32_t bits, queues, mtu;
	int end = 0;
	int rc = nf_device_key(&b->e.dev, false, RECORD, path);
	if (rc == 0)
		rc = nf_store_read(b->e.cfg.store, 0, path, text, sizeof(text));
	if (rc < 0)
		return rc;
	if (sscanf(text, "1 %16" SCNx64 " %u %u %u%n", nonce, &bits, &queues, &mtu, &end) != 4 ||
	    text[end] != '\0' || bits > 0xff || queues < 1 || queues > NF_NET_QUEUES_MAX)
		return -EPROTO;
	*offered = b->e.own; /* our address */
	bits_to(offered, bits);
	offered->queues = queues;
	offered->mtu = mtu;
	return 0;
}

static int grefs_restore(struct nf_netback *b, uint32_t queue)
{
	const struct nf_back_journal *j = nf__journal_of(b, queue);
	if (!b->agreed.ctrl || j->gref_count == 0)
		return 0;
	return nf__back_grefs_add(b, queue, j->grefs, j->gref_count);
}

/* Rings, journal, repair. Returns slots put right. */
static int rings_restore(struct nf_netback *b, uint64_t nonce)
{
	int fixed = 0;
	int rc = nf__journal_open(b, nonce);
	if (rc == 0)
		rc = nf__back_rings_map(b);
	for (uint32_t i = 0; rc >= 0 && i < b->queues; i++) {
		rc = nf__back_journal_repair(nf__journal_of(b, i), b->rings[i]);
		fixed += rc < 0 ? 0 : rc;
	}
	if (rc >= 0)
		rc = b->agreed.ctrl ? nf__ctrl_back_open(b) : 0;
	for (uint32_t i = 0; rc >= 0 && i < b->queues; i++)
		rc = grefs_restore(b, i);
	return rc < 0 ? rc : fixed;
}

static void front_notify(struct nf_netback *b)
{
	const struct nf_layer_ops *ops = b->e.cfg.layer->ops;
	for (uint32_t i = 0; i < b->queues; i++) {
		/* a front that is gone is seen in the store */
		(void)ops->chan_notify(&b->rings[i]->tx_chan);
		if (b->rings[i]->rx_chan.fd >= 0)
			(void)ops->chan_notify(&b->rings[i]->rx_chan);
	}
	if (b->ctrl.is_open)
		(void)ops->chan_notify(&b->ctrl.chan);
}

static int attach(struct nf_netback *b, uint64_t nonce, int *fixed)
{
	int rc = nf__front_read(&b->e, &b->offered, &b->agreed, b->refs, &b->queues, &b->ctrl_refs);
	if (rc) {
		b->queues = 0;
		return rc;
	}
	b->is_attaching = true;
	rc = rings_restore(b, nonce);
	b->is_attaching = false;
	if (rc < 0)
		return rc;
	*fixed = rc;
	rc = nf__end_ports_open(&b->e, &b->agreed, b->queues);
	return rc ? rc : nf__back_queues_start(b);
}

bool nf__back_attach(struct nf_netback *b)
{
	struct nf_net_features offered;
	uint64_t nonce = 0;
	int fixed = 0;
	if (!b->e.cfg.journal || b->is_held)
		return false;
	int rc = record_read(b, &offered, &nonce);
	if (rc == 0) {
		b->offered = offered;
		rc = attach(b, nonce, &fixed);
	}
	if (rc < 0) {
		nf__end_notice(&b->e, "cannot re-attach to the running front (%s): closing%s",
			       rc == -EPROTO || rc == -ENOENT ? "no journal of this connection"
							      : strerror(-rc),
			       rc == -EPROTO || rc == -ENOENT ? "; keep --run-dir over restarts"
							      : "");
		b->offered = b->e.own;
		return false;
	}
	b->e.is_fresh = false;
	b->e.generation++;
	b->e.phase = NF_NET_RUNNING;
	nf__end_blocks(&b->e, b->agreed.ctrl ? NF_NET_GRANTS_STATIC : NF_NET_GRANTS_COPY, 0);
	front_notify(b);
	nf__end_notice(&b->e, "re-attached: %u queues, %s grants, %d slots repaired", b->queues,
		       b->agreed.ctrl ? "static" : "per-request", fixed);
	return true;
}
