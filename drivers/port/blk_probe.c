/* SPDX-License-Identifier: MIT */
/* What a file or a block device says of itself: size, alignments, discard. */
#include "blk_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define ALIGN_MAX 4096u
#define FORMAT(mode) ((mode)&0170000u) /* sys/stat.h and linux/stat.h do not go together */
#define FORMAT_BLOCK 0060000u
#define FORMAT_REGULAR 0100000u
#define EMPTY_PATH 0x1000 /* AT_EMPTY_PATH */

static int stat_of(int fd, struct statx *s)
{
	memset(s, 0, sizeof(*s));
	if (syscall(SYS_statx, fd, "", EMPTY_PATH, STATX_BASIC_STATS | STATX_DIOALIGN, s) != 0)
		return -errno;
	return 0;
}

int nf__file_bytes(int fd, uint64_t *bytes)
{
	struct statx s;
	int rc = stat_of(fd, &s);
	if (rc)
		return rc;
	if (FORMAT(s.stx_mode) == FORMAT_BLOCK)
		return ioctl(fd, BLKGETSIZE64, bytes) ? -errno : 0;
	*bytes = s.stx_size;
	return 0;
}

/* A number from the device's queue folder; the folder of a partition is the disk's. */
static uint32_t queue_number(const struct statx *s, const char *name, uint32_t fallback)
{
	static const char *const folders[] = {"queue", "../queue"};
	char path[128];
	for (int i = 0; i < 2; i++) {
		unsigned long v = 0;
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s/%s", s->stx_rdev_major,
			 s->stx_rdev_minor, folders[i], name);
		FILE *f = fopen(path, "re");
		int n = f ? fscanf(f, "%lu", &v) : 0;
		if (f)
			fclose(f);
		if (n == 1 && v && v <= UINT32_MAX)
			return (uint32_t)v;
	}
	return fallback;
}

/* The kernel looks whether it can before it looks at the range, and this range is wrong. */
static bool can_ioctl(int fd, unsigned long request)
{
	uint64_t range[2] = {1, 1};
	return ioctl(fd, request, range) != 0 && errno == EINVAL;
}

static void probe_block(int fd, const struct statx *s, struct nf__probe *p)
{
	int logical = 0;
	unsigned int physical = 0;
	if (ioctl(fd, BLKSSZGET, &logical) == 0 && logical > 0)
		p->logical_bytes = (uint32_t)logical;
	if (ioctl(fd, BLKPBSZGET, &physical) == 0 && physical)
		p->physical_bytes = physical;
	if (can_ioctl(fd, BLKDISCARD))
		p->discard_bytes = queue_number(s, "discard_granularity", p->physical_bytes);
	p->can_discard_securely = can_ioctl(fd, BLKSECDISCARD);
	if (p->discard_bytes)
		p->discard_align = queue_number(s, "discard_alignment", 0);
}

/* A hole where the file has ended already changes nothing. */
static bool can_punch(int fd, uint64_t bytes)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)((bytes + ALIGN_MAX) & ~(uint64_t)(ALIGN_MAX - 1)), ALIGN_MAX) == 0;
}

int nf__file_probe(int fd, struct nf__probe *out)
{
	struct nf__probe p = {.logical_bytes = NF_SECTOR_BYTES, .physical_bytes = NF_SECTOR_BYTES};
	struct statx s;
	int rc = stat_of(fd, &s);
	if (rc)
		return rc;
	p.is_block = FORMAT(s.stx_mode) == FORMAT_BLOCK;
	p.is_regular = FORMAT(s.stx_mode) == FORMAT_REGULAR;
	p.bytes = s.stx_size;
	if (s.stx_mask & STATX_DIOALIGN) {
		p.mem_align = s.stx_dio_mem_align;
		p.len_align = s.stx_dio_offset_align;
	}
	if (p.is_block) {
		rc = nf__file_bytes(fd, &p.bytes);
		if (rc)
			return rc;
		probe_block(fd, &s, &p);
	} else if (p.is_regular) {
		p.physical_bytes = s.stx_blksize > ALIGN_MAX ? ALIGN_MAX : s.stx_blksize;
		if (can_punch(fd, p.bytes))
			p.discard_bytes = p.physical_bytes;
	}
	*out = p;
	return 0;
}

int nf__file_probe_direct(int fd, struct nf__probe *p)
{
	if (p->mem_align && p->len_align)
		return 0;
	void *page = NULL;
	if (posix_memalign(&page, 2 * ALIGN_MAX, 2 * ALIGN_MAX) != 0)
		return -ENOMEM;
	uint32_t align = p->logical_bytes;
	/* memory and length at once: a kernel that does not tell wants the same of both */
	while (align <= ALIGN_MAX && pread(fd, (uint8_t *)page + align, align, 0) < 0)
		align *= 2;
	free(page);
	if (align > ALIGN_MAX)
		return -EINVAL;
	p->mem_align = p->len_align = align;
	return 0;
}
