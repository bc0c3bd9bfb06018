/* SPDX-License-Identifier: MIT */
/* The keys of blkif.h as data: what each end writes. negotiate_read.c reads them. */
#include <inttypes.h>
#include <stdio.h>

#include "blk_end.h"

#define TX_RETRIES 32 /* of a transaction that conflicts */

void nf__blk_features_meet(const struct nf_blk_features *a, const struct nf_blk_features *b,
			   struct nf_blk_features *out)
{
	struct nf_blk_features meet = *b;
	meet.persistent = a->persistent && b->persistent;
	meet.registered = a->registered && b->registered;
	meet.registered_only = a->registered_only && b->registered_only;
	meet.indirect = a->indirect < b->indirect ? a->indirect : b->indirect;
	meet.ring_pages = a->ring_pages < b->ring_pages ? a->ring_pages : b->ring_pages;
	meet.queues = a->queues < b->queues ? a->queues : b->queues;
	*out = meet;
}

static int key_path(struct nf_blk_end *e, const char *prefix, const char *key, char *path)
{
	char name[80];
	snprintf(name, sizeof(name), "%s%s", prefix, key);
	return nf_device_key(&e->dev, false, name, path);
}

/* Posts it: transact settles. */
static int own_write(struct nf_blk_end *e, uint32_t tx, const char *prefix, const char *key,
		     uint64_t value)
{
	char path[NF_STORE_PATH_MAX], text[24];
	snprintf(text, sizeof(text), "%" PRIu64, value);
	int rc = key_path(e, prefix, key, path);
	return rc < 0 ? rc : nf_store_post_write(e->cfg.store, tx, path, text);
}

static int own_rm(struct nf_blk_end *e, uint32_t tx, const char *prefix, const char *key)
{
	char path[NF_STORE_PATH_MAX];
	int rc = key_path(e, prefix, key, path);
	return rc < 0 ? rc : nf_store_post_rm(e->cfg.store, tx, path);
}

/* One key of an offer or of a publication; a key that is not meant to be there goes. */
struct entry {
	const char *key;
	uint64_t value;
	bool is_absent;
};

static int entries_write(struct nf_blk_end *e, uint32_t tx, const char *prefix,
			 const struct entry *list, size_t count)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = list[i].is_absent ? own_rm(e, tx, prefix, list[i].key)
				       : own_write(e, tx, prefix, list[i].key, list[i].value);
	return rc;
}

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static uint32_t info_of(const struct nf_blk_disk *d)
{
	return (d->is_cdrom ? NF_VDISK_CDROM : 0) | (d->is_removable ? NF_VDISK_REMOVABLE : 0) |
	       (d->is_readonly ? NF_VDISK_READONLY : 0);
}

static int offer_body(struct nf_blk_end *e, uint32_t tx, const void *arg)
{
	const struct nf_blk_features *f = arg;
	const struct nf_blk_disk *d = &f->disk;
	const struct entry list[] = {
		{"sectors", d->sectors >> nf__blk_unit_shift(f), false},
		{"sector-size", d->sector_bytes, false},
		{"physical-sector-size", d->physical_bytes, false},
		{"info", info_of(d), false},
		{"feature-flush-cache", d->flush, false},
		{"feature-barrier", d->barrier, false},
		{"feature-discard", d->discard, !d->discard},
		{"discard-granularity", d->discard_granularity_bytes, !d->discard},
		{"discard-alignment", d->discard_alignment_bytes, !d->discard},
		{"discard-secure", d->secure, !d->discard},
		{"feature-persistent", f->persistent, false},
		{"feature-max-indirect-segments", f->indirect, f->indirect == 0},
		{"max-ring-page-order", (uint32_t)__builtin_ctz(f->ring_pages), false},
		{"max-ring-pages", f->ring_pages, false},
		{"multi-queue-max-queues", f->queues, false},
		{"feature-nestfront-registered", f->registered, false},
		{"feature-nestfront-registered-only", f->registered_only, false},
	};
	return entries_write(e, tx, "", list, COUNT(list));
}

static int resize_body(struct nf_blk_end *e, uint32_t tx, const void *arg)
{
	const struct nf_blk_features *f = arg;
	int rc = own_write(e, tx, "", "sectors", f->disk.sectors >> nf__blk_unit_shift(f));
	return rc ? rc : own_write(e, tx, "", "state", NF_XENBUS_CONNECTED);
}

/* Runs body in a transaction until it is committed. The node must be there: -ENOENT. */
static int transact(struct nf_blk_end *e,
		    int (*body)(struct nf_blk_end *e, uint32_t tx, const void *arg),
		    const void *arg)
{
	char state[NF_STORE_PATH_MAX];
	int rc = nf_device_key(&e->dev, false, "state", state);
	for (int i = 0; rc == 0 && i < TX_RETRIES; i++) {
		uint32_t tx;
		rc = nf_store_tx_begin(e->cfg.store, &tx);
		if (rc < 0)
			return rc;
		rc = nf_store_post_read(e->cfg.store, tx, state);
		if (rc == 0)
			rc = body(e, tx, arg);
		int settled = nf_store_settle(e->cfg.store);
		if (rc == 0)
			rc = settled;
		int end = nf_store_tx_end(e->cfg.store, tx, rc == 0);
		if (rc)
			return rc;
		if (end != -EAGAIN) {
			/* a store that refuses to commit may still have it open */
			if (end < 0)
				(void)nf_store_tx_end(e->cfg.store, tx, 0);
			return end < 0 ? end : 0;
		}
	}
	return rc ? rc : -EAGAIN;
}

int nf__blk_offer_write(struct nf_blk_end *e, const struct nf_blk_features *offer)
{
	return transact(e, offer_body, offer);
}

int nf__blk_resize_write(struct nf_blk_end *e, const struct nf_blk_features *offer)
{
	return transact(e, resize_body, offer);
}

/* ---- front ---- */

struct publication {
	const struct nf_blk_features *f;
	const struct nf_blk_refs *refs;
	uint32_t queues;
};

/* Keys key0 .. of `used` values; those an earlier connection had beyond them go. */
static int list_write(struct nf_blk_end *e, uint32_t tx, const char *prefix, const char *key,
		      const uint32_t *values, uint32_t used, uint32_t most)
{
	char name[48];
	int rc = 0;
	for (uint32_t i = 0; rc == 0 && i < most; i++) {
		snprintf(name, sizeof(name), "%s%u", key, i);
		rc = i < used ? own_write(e, tx, prefix, name, values[i])
			      : own_rm(e, tx, prefix, name);
	}
	return rc;
}

/* One queue's keys; is_used false: takes them away. */
static int queue_write(struct nf_blk_end *e, uint32_t tx, const char *prefix,
		       const struct nf_blk_features *f, const struct nf_blk_refs *r, bool is_used)
{
	static const struct nf_blk_refs none;
	uint32_t pages = is_used ? f->ring_pages : 0;
	uint32_t tables = 0;
	r = is_used ? r : &none;
	if (r->registered > 0)
		tables = (r->registered + NF_BLK_TABLE_GREFS - 1) / NF_BLK_TABLE_GREFS;
	const struct entry list[] = {
		{"ring-ref", r->ring_grefs[0], pages != 1},
		{"event-channel", r->port, !is_used},
		{"nestfront-registered", r->registered, tables == 0},
	};
	int rc = entries_write(e, tx, prefix, list, COUNT(list));
	if (rc == 0)
		rc = list_write(e, tx, prefix, "ring-ref", r->ring_grefs, pages > 1 ? pages : 0,
				NF_BLK_RING_PAGES_MAX);
	if (rc == 0)
		rc = list_write(e, tx, prefix, "nestfront-registered-ref", r->table_grefs, tables,
				NF_BLK_TABLE_PAGES_MAX);
	return rc;
}

static int publish_body(struct nf_blk_end *e, uint32_t tx, const void *arg)
{
	const struct publication *p = arg;
	const struct nf_blk_features *f = p->f;
	char path[NF_STORE_PATH_MAX];
	bool is_flat = p->queues == 1;
	const struct entry list[] = {
		{"feature-persistent", f->persistent, false},
		{"feature-large-sector-size", 1, f->units != NF_BLK_UNITS_SECTOR},
		{"request-nestfront-registered-only", 1, !f->registered_only},
		{"ring-page-order", (uint32_t)__builtin_ctz(f->ring_pages), f->ring_pages == 1},
		{"num-ring-pages", f->ring_pages, f->ring_pages == 1},
		{"multi-queue-num-queues", p->queues, is_flat},
	};
	int rc = entries_write(e, tx, "", list, COUNT(list));
	if (rc == 0)
		rc = nf_device_key(&e->dev, false, "protocol", path);
	if (rc == 0)
		rc = nf_store_post_write(e->cfg.store, tx, path,
					 f->abi == NF_BLK_ABI_X86_32 ? NF_BLK_PROTO_X86_32
								     : NF_BLK_PROTO_X86_64);
	if (rc == 0)
		rc = queue_write(e, tx, "", f, &p->refs[0], is_flat);
	for (uint32_t i = 0; rc == 0 && i < NF_BLK_QUEUES_MAX; i++) {
		char name[24];
		bool is_used = !is_flat && i < p->queues;
		snprintf(name, sizeof(name), "queue-%u%s", i, is_used ? "/" : "");
		rc = is_used ? queue_write(e, tx, name, f, &p->refs[i], true)
			     : own_rm(e, tx, "", name);
	}
	return rc < 0 ? rc : 0;
}

int nf__blk_front_publish(struct nf_blk_end *e, const struct nf_blk_features *f,
			  const struct nf_blk_refs *refs, uint32_t queues)
{
	const struct publication p = {.f = f, .refs = refs, .queues = queues};
	return transact(e, publish_body, &p);
}
