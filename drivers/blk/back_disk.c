/* SPDX-License-Identifier: MIT */
/* The disk behind a backend: what it is, and whether it is still as large. */
#include "blk_back.h"

#include <string.h>

/* The toolstack may keep a guest from giving blocks back: discard-enable is 0 then. */
static bool may_discard(struct nf_blkback *b)
{
	char path[NF_STORE_PATH_MAX];
	uint32_t enabled = 1;
	if (nf_device_key(&b->e.dev, false, "discard-enable", path) == 0)
		(void)nf_store_read_u32(b->e.cfg.store, 0, path, 0, 1, &enabled);
	return enabled == 1;
}

static void disk_describe(struct nf_blkback *b)
{
	const struct nf_disk_geometry *g = &b->disk->geometry;
	struct nf_blk_disk *d = &b->e.own.disk;
	uint32_t unit = d->sector_bytes / NF_BLK_SECTOR_BYTES;
	char mode[8], path[NF_STORE_PATH_MAX];
	d->sectors = nf_load_relaxed_u64(&g->sectors);
	d->sectors -= d->sectors % unit;
	d->physical_bytes = g->physical_bytes > d->sector_bytes ? g->physical_bytes
								: d->sector_bytes;
	d->discard = g->discard_bytes > 0 && may_discard(b);
	d->discard_granularity_bytes = g->discard_bytes > d->sector_bytes ? g->discard_bytes
									  : d->sector_bytes;
	d->discard_alignment_bytes = g->discard_align;
	d->secure = d->discard && g->discard_secure;
	d->flush = g->flush;
	d->barrier = g->flush;
	bool is_r = nf_device_key(&b->e.dev, false, "mode", path) == 0 &&
		    nf_store_read(b->e.cfg.store, 0, path, mode, sizeof(mode)) > 0 &&
		    strcmp(mode, "r") == 0;
	d->is_readonly = g->readonly || b->e.cfg.readonly || is_r;
}

int nf__blk_back_disk_open(struct nf_blkback *b)
{
	char err[200] = "";
	uint32_t safe = 0;
	char path[NF_STORE_PATH_MAX];
	if (b->e.cfg.disk) {
		b->disk = b->e.cfg.disk;
		disk_describe(b);
		return 0;
	}
	if (!b->e.cfg.port)
		return 0;
	if (nf_device_key(&b->e.dev, false, "direct-io-safe", path) == 0)
		(void)nf_store_read_u32(b->e.cfg.store, 0, path, 0, 1, &safe);
	const struct nf_disk_env env = {
		.devid = b->e.dev.devid, .readonly = b->e.cfg.readonly, .direct_io_safe = safe};
	int rc = nf_disk_open(b->e.spec, &env, &b->own_disk, err, sizeof(err));
	if (rc < 0)
		return nf__blk_end_fail(&b->e, rc, "disk %s: %s", b->e.spec,
					err[0] ? err : strerror(-rc));
	if (err[0])
		nf__blk_end_notice(&b->e, "disk %s: %s", b->e.spec, err);
	b->disk = &b->own_disk;
	b->is_disk_ours = true;
	disk_describe(b);
	if (b->e.own.disk.sectors > 0)
		return 0;
	return nf__blk_end_fail(&b->e, -EINVAL, "disk %s is smaller than one sector of %u bytes",
				b->e.spec, b->e.own.disk.sector_bytes);
}

void nf__blk_back_disk_close(struct nf_blkback *b)
{
	if (b->is_disk_ours)
		nf_disk_close(b->disk);
	b->disk = NULL;
	b->is_disk_ours = false;
}

void nf__blk_back_disk_look(struct nf_blkback *b)
{
	if (!b->disk || nf_disk_refresh(b->disk) < 0)
		return; /* it is not there to be looked at: requests will say so */
	uint64_t before = b->e.own.disk.sectors;
	disk_describe(b);
	if (b->e.own.disk.sectors == before || b->e.own.disk.sectors == 0)
		return;
	b->offered.disk.sectors = b->agreed.disk.sectors = b->e.own.disk.sectors;
	for (uint32_t i = 0; i < b->queues; i++)
		if (b->queue[i])
			nf_store64(&b->queue[i]->sectors, b->agreed.disk.sectors);
	int rc = nf__blk_resize_write(&b->e, &b->agreed);
	nf__blk_end_notice(&b->e, "resized: %llu sectors, were %llu%s%s",
			   (unsigned long long)b->agreed.disk.sectors, (unsigned long long)before,
			   rc < 0 ? "; the front was not told: " : "", rc < 0 ? strerror(-rc) : "");
}
