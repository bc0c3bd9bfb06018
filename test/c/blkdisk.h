/* SPDX-License-Identifier: MIT */
/* A disk under test: temporary files, and requests that wait for their completion. */
#ifndef NF_TEST_BLKDISK_H
#define NF_TEST_BLKDISK_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nf/blkport.h"
#include "tap.h"

#define WAIT_MS 60000

static char tmp_dir[64];

__attribute__((unused)) static void tmp_remove(void)
{
	char cmd[100];
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", tmp_dir);
	if (tmp_dir[0] && system(cmd) != 0)
		diag("%s is left behind", tmp_dir);
	tmp_dir[0] = '\0';
}

/* /var/tmp is on a disk where /tmp may be memory. */
__attribute__((unused)) static void tmp_make(void)
{
	snprintf(tmp_dir, sizeof(tmp_dir), "/var/tmp/nf-disk-XXXXXX");
	if (!mkdtemp(tmp_dir)) {
		printf("Bail out! mkdtemp %s: %s\n", tmp_dir, strerror(errno));
		exit(1);
	}
}

/* A file of so many bytes; its path. */
__attribute__((unused)) static const char *tmp_file(const char *name, uint64_t bytes)
{
	static char path[128];
	snprintf(path, sizeof(path), "%s/%s", tmp_dir, name);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0) {
		printf("Bail out! %s: %s\n", path, strerror(errno));
		exit(1);
	}
	close(fd);
	return path;
}

struct disk_under_test {
	struct nf_disk disk;
	struct nf_blkport port;
	char err[200];
};

/* 0 or the error of opening. */
__attribute__((unused)) static int dut_open(struct disk_under_test *d, const char *spec,
					    bool is_safe, uint32_t depth)
{
	const struct nf_disk_env env = {.direct_io_safe = is_safe};
	memset(d, 0, sizeof(*d));
	int rc = nf_disk_open(spec, &env, &d->disk, d->err, sizeof(d->err));
	if (rc)
		return rc;
	rc = nf_disk_queue(&d->disk, 0, depth, NULL, &d->port);
	if (rc)
		nf_disk_close(&d->disk);
	return rc;
}

__attribute__((unused)) static void dut_close(struct disk_under_test *d)
{
	nf_blkport_close(&d->port);
	nf_disk_close(&d->disk);
}

/* Sleeps as a poller does, until something can be reaped; false: it never comes. */
__attribute__((unused)) static bool dut_wait(struct nf_blkport *p)
{
	if (p->ops->arm && p->ops->arm(p) > 0)
		return true;
	struct pollfd fd = {.fd = p->fd, .events = POLLIN};
	if (poll(&fd, 1, WAIT_MS) <= 0)
		return false;
	if (p->ops->woken)
		p->ops->woken(p);
	return true;
}

/* Submits one and waits for it: its error, or -ETIMEDOUT, or what submit returned. */
__attribute__((unused)) static int dut_do(struct nf_blkport *p, struct nf_blkreq *r)
{
	struct nf_blkdone done;
	r->token = 0x1234567890abcdefull;
	int n = p->ops->submit(p, r, 1);
	if (n != 1)
		return n < 0 ? n : -EBUSY;
	while ((n = p->ops->reap(p, &done, 1)) == 0)
		if (!dut_wait(p))
			return -ETIMEDOUT;
	return n < 0 ? n : done.token == r->token ? done.error : -EBADMSG;
}

__attribute__((unused)) static int dut_data(struct nf_blkport *p, enum nf_blkop op, uint64_t sector,
					    void *data, uint32_t bytes)
{
	struct iovec v = {data, bytes};
	struct nf_blkreq r = {.sector = sector,
			      .sectors = bytes / NF_SECTOR_BYTES,
			      .segs = &v,
			      .nsegs = 1,
			      .op = (uint8_t)op};
	return dut_do(p, &r);
}

__attribute__((unused)) static int dut_plain(struct nf_blkport *p, enum nf_blkop op, uint8_t flags,
					     uint64_t sector, uint64_t sectors)
{
	struct nf_blkreq r = {
		.sector = sector, .sectors = sectors, .op = (uint8_t)op, .flags = flags};
	return dut_do(p, &r);
}

#endif
