/* SPDX-License-Identifier: MIT */
/*
 * Re-attaching to a front that never noticed that its back died: a stock front does not reconnect.
 * State stays 4 at both ends. What the first instance offered is in our node; the front's keys are
 * as it published them; the journal says what was in flight.
 */
#include "blk_back.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define RECORD "nestfront/reattach"

/* Before the queues run: from the first request on, the journal and the record must be there. */
void nf__blk_back_record(struct nf_blkback *b)
{
	char text[96];
	uint64_t nonce;
	const struct nf_blk_features *o = &b->offered;
	if (!b->e.cfg.journal || b->is_held)
		return;
	int rc = getrandom(&nonce, sizeof(nonce), 0) == sizeof(nonce) ? 0 : -EIO;
	if (rc == 0)
		rc = nf__blk_journal_create(b, nonce);
	if (rc == 0) {
		snprintf(text, sizeof(text), "1 %016" PRIx64 " %u %u %u %u %u", nonce, o->queues,
			 o->ring_pages, o->indirect, o->persistent, o->registered);
		rc = nf_device_write(&b->e.dev, RECORD, text);
	}
	if (rc == 0)
		return;
	nf__blk_journal_remove(b);
	nf__blk_end_notice(&b->e, "journal %s: %s: killed, this back could not re-attach",
			   b->e.cfg.journal, strerror(-rc));
}

/* What the first instance offered. -ENOENT: it left no record; -EPROTO: not one of ours. */
static int record_read(struct nf_blkback *b, struct nf_blk_features *out, uint64_t *nonce)
{
	char path[NF_STORE_PATH_MAX], text[96];
	uint32_t queues, pages, indirect, persistent, registered;
	int end = 0;
	int rc = nf_device_key(&b->e.dev, false, RECORD, path);
	if (rc == 0)
		rc = nf_store_read(b->e.cfg.store, 0, path, text, sizeof(text));
	if (rc < 0)
		return rc;
	if (sscanf(text, "1 %16" SCNx64 " %u %u %u %u %u%n", nonce, &queues, &pages, &indirect,
		   &persistent, &registered, &end) != 6 ||
	    text[end] != '\0' || queues < 1 || queues > NF_BLK_QUEUES_MAX || pages < 1 ||
	    pages > NF_BLK_RING_PAGES_MAX || (pages & (pages - 1)) ||
	    indirect > NF_BLK_SEGMENTS_MAX || persistent > 1 || registered > 1)
		return -EPROTO;
	*out = b->e.own; /* the disk as it is now */
	out->queues = queues;
	out->ring_pages = pages;
	out->indirect = indirect;
	out->persistent = (uint8_t)persistent;
	out->registered = (uint8_t)registered;
	return 0;
}

static int attach(struct nf_blkback *b, uint64_t nonce)
{
	int rc = nf__blk_front_read(&b->e, &b->offered, &b->agreed, b->refs, &b->queues);
	if (rc) {
		b->queues = 0;
		return rc;
	}
	nf__blk_blocks_open(&b->e, b->queues);
	b->is_attaching = true;
	rc = nf__blk_journal_open(b, nonce);
	if (rc == 0)
		rc = nf__blk_back_rings_map(b);
	if (rc == 0)
		rc = nf__blk_back_queues_start(b);
	b->is_attaching = false;
	return rc;
}

bool nf__blk_back_attach(struct nf_blkback *b)
{
	struct nf_blk_features offered;
	uint64_t nonce = 0, again = 0;
	if (!b->e.cfg.journal || b->is_held)
		return false;
	int rc = record_read(b, &offered, &nonce);
	if (rc == 0) {
		b->offered = offered;
		rc = attach(b, nonce);
	}
	if (rc < 0) {
		bool is_none = rc == -EPROTO || rc == -ENOENT;
		nf__blk_end_notice(&b->e, "cannot re-attach to the running front (%s): closing%s",
				   is_none ? "no journal of this connection" : strerror(-rc),
				   is_none ? "; keep --run-dir over restarts" : "");
		b->offered = b->e.own;
		return false;
	}
	b->e.is_fresh = false;
	b->e.generation++;
	b->e.phase = NF_BLK_RUNNING;
	nf__blk_blocks(&b->e,
		       b->agreed.registered   ? NF_GRANTS_STATIC
		       : b->agreed.persistent ? NF_GRANTS_PERSISTENT
					      : NF_GRANTS_COPY,
		       0);
	for (uint32_t i = 0; i < b->queues; i++) {
		again += b->taken_over[i];
		/* a front that is gone is seen in the store */
		(void)b->e.cfg.layer->ops->chan_notify(&b->rings[i]->chan);
	}
	nf__blk_end_timer(&b->e, 2000);
	nf__blk_end_notice(&b->e, "re-attached: %u queues, %llu requests in flight taken over",
			   b->queues, (unsigned long long)again);
	return true;
}
