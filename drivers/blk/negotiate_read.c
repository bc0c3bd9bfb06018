/* SPDX-License-Identifier: MIT */
/* The other end's keys: every number is the peer's. Junk fails the device by the key's name. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "blk_end.h"

#define PORT_MAX 0x7fffffffu

/* A decimal number of at most 19 digits; absent: *out stays, 1. */
static int number_read(struct nf_blk_end *e, const char *prefix, const char *key, uint64_t min,
		       uint64_t max, uint64_t *out)
{
	char path[NF_STORE_PATH_MAX], name[80], text[24];
	snprintf(name, sizeof(name), "%s%s", prefix, key);
	int rc = nf_device_key(&e->dev, true, name, path);
	if (rc == 0)
		rc = nf_store_read(e->cfg.store, 0, path, text, sizeof(text));
	if (rc == -ENOENT)
		return 1;
	if (rc < 0 && rc != -ERANGE)
		return rc;
	size_t digits = rc < 0 ? 0 : strspn(text, "0123456789");
	uint64_t value = 0;
	bool good = rc > 0 && digits == (size_t)rc && digits <= 19;
	for (size_t i = 0; good && i < digits; i++)
		value = value * 10 + (uint64_t)(text[i] - '0');
	if (!good || value < min || value > max)
		return nf__blk_end_fail(e, -EPROTO, "%s is not a number of %" PRIu64 " to %" PRIu64,
					path, min, max);
	*out = value;
	return 0;
}

static int u32_read(struct nf_blk_end *e, const char *prefix, const char *key, uint32_t min,
		    uint32_t max, uint32_t fallback, uint32_t *out)
{
	uint64_t value = fallback;
	int rc = number_read(e, prefix, key, min, max, &value);
	if (rc >= 0)
		*out = (uint32_t)value;
	return rc < 0 ? rc : 0;
}

static int flag_read(struct nf_blk_end *e, const char *key, uint8_t *out)
{
	uint32_t value;
	int rc = u32_read(e, "", key, 0, 1, 0, &value);
	if (rc == 0)
		*out = (uint8_t)value;
	return rc;
}

/* A number the front must have written. */
static int needed_read(struct nf_blk_end *e, const char *prefix, const char *key, uint32_t min,
		       uint32_t max, uint32_t *out)
{
	uint64_t value;
	int rc = number_read(e, prefix, key, min, max, &value);
	if (rc == 1)
		return nf__blk_end_fail(e, -EPROTO, "%s/%s%s is missing", e->dev.other_path, prefix,
					key);
	if (rc == 0)
		*out = (uint32_t)value;
	return rc;
}

/* Pages of a ring by either scheme; a power of two. most: 0: any the protocol has. */
static int pages_read(struct nf_blk_end *e, const char *order_key, const char *pages_key,
		      uint32_t most, uint32_t *out)
{
	uint32_t order, pages;
	uint32_t limit = most ? most : 1u << 16;
	int rc = u32_read(e, "", order_key, 0, (uint32_t)__builtin_ctz(limit), 0, &order);
	if (rc == 0)
		rc = u32_read(e, "", pages_key, 1, limit, 1, &pages);
	if (rc)
		return rc;
	if (pages & (pages - 1))
		return nf__blk_end_fail(e, -EPROTO, "%s/%s is %u, no power of two",
					e->dev.other_path, pages_key, pages);
	*out = pages > 1u << order ? pages : 1u << order;
	return 0;
}

int nf__blk_offer_read(struct nf_blk_end *e, struct nf_blk_features *out)
{
	struct nf_blk_features f = {.units = e->own.units, .abi = e->own.abi};
	int rc = pages_read(e, "max-ring-page-order", "max-ring-pages", 0, &f.ring_pages);
	if (rc == 0)
		rc = u32_read(e, "", "multi-queue-max-queues", 1, 4096, 1, &f.queues);
	if (rc == 0)
		rc = flag_read(e, "feature-persistent", &f.persistent);
	if (rc == 0)
		rc = flag_read(e, "feature-nestfront-registered", &f.registered);
	if (rc == 0)
		rc = flag_read(e, "feature-nestfront-registered-only", &f.registered_only);
	if (rc)
		return rc;
	f.indirect = NF_BLK_SEGMENTS_MAX; /* a stock back says it when it is Connected */
	*out = f;
	return 0;
}

static int sizes_read(struct nf_blk_end *e, struct nf_blk_features *f)
{
	struct nf_blk_disk *d = &f->disk;
	int rc = u32_read(e, "", "sector-size", 512, 65536, 512, &d->sector_bytes);
	if (rc)
		return rc;
	if (d->sector_bytes != 512 && d->sector_bytes != 4096)
		return nf__blk_end_fail(e, -EPROTO, "%s/sector-size is %u: 512 and 4096 are known",
					e->dev.other_path, d->sector_bytes);
	rc = u32_read(e, "", "physical-sector-size", 512, 1u << 30, d->sector_bytes,
		      &d->physical_bytes);
	uint64_t sectors;
	uint32_t shift = nf__blk_unit_shift(f);
	if (rc == 0)
		rc = number_read(e, "", "sectors", 1, NF_DISK_SECTORS_MAX >> shift, &sectors);
	if (rc)
		return rc > 0 ? nf__blk_end_fail(e, -EPROTO, "%s/sectors is missing",
						 e->dev.other_path)
			      : rc;
	d->sectors = sectors << shift;
	d->sectors -= d->sectors % (d->sector_bytes / NF_BLK_SECTOR_BYTES);
	return 0;
}

static int discard_read(struct nf_blk_end *e, struct nf_blk_disk *d)
{
	int rc = flag_read(e, "feature-discard", &d->discard);
	if (rc || !d->discard)
		return rc;
	rc = u32_read(e, "", "discard-granularity", 0, UINT32_MAX, d->sector_bytes,
		      &d->discard_granularity_bytes);
	if (rc == 0)
		rc = u32_read(e, "", "discard-alignment", 0, UINT32_MAX, 0,
			      &d->discard_alignment_bytes);
	if (rc == 0)
		rc = flag_read(e, "discard-secure", &d->secure);
	if (d->discard_granularity_bytes == 0)
		d->discard_granularity_bytes = d->sector_bytes;
	return rc;
}

int nf__blk_disk_read(struct nf_blk_end *e, struct nf_blk_features *out)
{
	struct nf_blk_features f = *out;
	uint32_t info;
	f.disk = (struct nf_blk_disk){.sectors = 0};
	int rc = sizes_read(e, &f);
	if (rc == 0)
		rc = u32_read(e, "", "info", 0, UINT32_MAX, 0, &info);
	if (rc == 0)
		rc = flag_read(e, "feature-flush-cache", &f.disk.flush);
	if (rc == 0)
		rc = flag_read(e, "feature-barrier", &f.disk.barrier);
	if (rc == 0)
		rc = flag_read(e, "feature-persistent", &f.persistent);
	if (rc == 0)
		rc = discard_read(e, &f.disk);
	if (rc == 0)
		rc = u32_read(e, "", "feature-max-indirect-segments", 0, UINT32_MAX, 0,
			      &f.indirect);
	if (rc)
		return rc;
	f.disk.is_cdrom = !!(info & NF_VDISK_CDROM);
	f.disk.is_removable = !!(info & NF_VDISK_REMOVABLE);
	f.disk.is_readonly = !!(info & NF_VDISK_READONLY);
	*out = f;
	return 0;
}

/* ---- a front's ---- */

static int protocol_read(struct nf_blk_end *e, uint8_t *abi)
{
	char path[NF_STORE_PATH_MAX], text[32];
	int rc = nf_device_key(&e->dev, true, "protocol", path);
	if (rc == 0)
		rc = nf_store_read(e->cfg.store, 0, path, text, sizeof(text));
	if (rc < 0 && rc != -ENOENT && rc != -ERANGE)
		return rc;
	*abi = NF_BLK_ABI_64;
	if (rc == -ENOENT || (rc > 0 && (strcmp(text, NF_BLK_PROTO_X86_64) == 0 ||
					 strcmp(text, NF_BLK_PROTO_ARM) == 0)))
		return 0;
	*abi = NF_BLK_ABI_X86_32;
	if (rc > 0 && strcmp(text, NF_BLK_PROTO_X86_32) == 0)
		return 0;
	return nf__blk_end_fail(e, -EPROTO, "%s is none of %s, %s, %s", path, NF_BLK_PROTO_X86_64,
				NF_BLK_PROTO_X86_32, NF_BLK_PROTO_ARM);
}

static int list_read(struct nf_blk_end *e, const char *prefix, const char *key, uint32_t count,
		     uint32_t *out)
{
	char name[48];
	int rc = 0;
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		snprintf(name, sizeof(name), "%s%u", key, i);
		rc = needed_read(e, prefix, name, NF_GREF_RESERVED, NF_GREF_NONE - 1, &out[i]);
	}
	return rc;
}

static int queue_read(struct nf_blk_end *e, const char *prefix, const struct nf_blk_features *f,
		      struct nf_blk_refs *r)
{
	int rc = f->ring_pages == 1
			 ? needed_read(e, prefix, "ring-ref", NF_GREF_RESERVED, NF_GREF_NONE - 1,
				       &r->ring_grefs[0])
			 : list_read(e, prefix, "ring-ref", f->ring_pages, r->ring_grefs);
	if (rc == 0)
		rc = needed_read(e, prefix, "event-channel", 0, PORT_MAX, &r->port);
	r->registered = 0;
	if (rc == 0 && f->registered)
		rc = u32_read(e, prefix, "nestfront-registered", 1,
			      NF_BLK_POOL_PAGES_MAX + NF_BLK_LIST_PAGES_MAX, 0, &r->registered);
	if (rc == 0)
		rc = list_read(e, prefix, "nestfront-registered-ref",
			       (r->registered + NF_BLK_TABLE_GREFS - 1) / NF_BLK_TABLE_GREFS,
			       r->table_grefs);
	return rc;
}

static int wishes_read(struct nf_blk_end *e, const struct nf_blk_features *offered,
		       struct nf_blk_features *f)
{
	uint8_t large = 0, only = 0;
	int rc = protocol_read(e, &f->abi);
	if (rc == 0)
		rc = pages_read(e, "ring-page-order", "num-ring-pages", offered->ring_pages,
				&f->ring_pages);
	if (rc == 0)
		rc = flag_read(e, "feature-persistent", &f->persistent);
	if (rc == 0)
		rc = flag_read(e, "feature-large-sector-size", &large);
	if (rc == 0)
		rc = flag_read(e, "request-nestfront-registered-only", &only);
	if (rc)
		return rc;
	if (f->units == NF_BLK_UNITS_SECTOR && f->disk.sector_bytes > NF_BLK_SECTOR_BYTES && !large)
		return nf__blk_end_fail(e, -EPROTO,
					"this disk counts sectors of %u bytes, and the front lacks "
					"feature-large-sector-size=1",
					f->disk.sector_bytes);
	f->persistent = f->persistent && offered->persistent;
	f->registered_only = only && offered->registered_only;
	return 0;
}

int nf__blk_front_read(struct nf_blk_end *e, const struct nf_blk_features *offered,
		       struct nf_blk_features *out, struct nf_blk_refs *refs, uint32_t *queues)
{
	struct nf_blk_features f = *offered;
	struct nf_blk_refs got[NF_BLK_QUEUES_MAX] = {0};
	uint32_t count = 1;
	int rc = wishes_read(e, offered, &f);
	if (rc == 0)
		rc = u32_read(e, "", "multi-queue-num-queues", 1, offered->queues, 1, &count);
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		char prefix[24] = "";
		if (count > 1)
			snprintf(prefix, sizeof(prefix), "queue-%u/", i);
		rc = queue_read(e, prefix, &f, &got[i]);
		f.registered = f.registered && got[i].registered > 0;
	}
	if (rc)
		return rc;
	if (f.registered_only && !f.registered)
		return nf__blk_end_fail(e, -EPROTO,
					"the front asks for registered grants only and registers "
					"none");
	f.queues = count;
	memcpy(refs, got, sizeof(got));
	*queues = count;
	*out = f;
	return 0;
}
