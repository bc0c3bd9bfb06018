/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "diskcheck.h"

int dc_write(int fd, const void *buf, uint64_t bytes, uint64_t at)
{
	for (uint64_t done = 0; done < bytes;) {
		ssize_t n = pwrite(fd, (const uint8_t *)buf + done, bytes - done,
				   (off_t)(at + done));
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (uint64_t)n;
	}
	return 0;
}

int dc_read(int fd, void *buf, uint64_t bytes, uint64_t at)
{
	for (uint64_t done = 0; done < bytes;) {
		ssize_t n = pread(fd, (uint8_t *)buf + done, bytes - done, (off_t)(at + done));
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (uint64_t)n;
	}
	return 0;
}

int dc_discard(int fd, uint64_t bytes, uint64_t at)
{
	uint64_t range[2] = {at, bytes};
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	int rc = S_ISBLK(st.st_mode) ? ioctl(fd, BLKDISCARD, range)
				     : fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						 (off_t)at, (off_t)bytes);
	return rc < 0 ? -errno : 0;
}

/* Bytes at `at`, as write or verify says. */
static int piece(int fd, const struct dc_options *o, struct dc_result *r, uint8_t *buf,
		 uint64_t bytes, uint64_t at)
{
	uint64_t first = at / DC_BLOCK_BYTES, blocks = bytes / DC_BLOCK_BYTES;
	if (o->test == DC_WRITE) {
		for (uint64_t i = 0; i < blocks; i++)
			dc_fill(buf + i * DC_BLOCK_BYTES, first + i, 1, o->seed);
		r->writes++;
		return dc_write(fd, buf, bytes, at);
	}
	int rc = dc_read(fd, buf, bytes, at);
	r->reads++;
	for (uint64_t i = 0; rc == 0 && i < blocks; i++)
		r->wrong += !dc_check(buf + i * DC_BLOCK_BYTES, first + i, 1, o->seed);
	return rc;
}

static void pass_over(int fd, const struct dc_options *o, struct dc_result *r, uint8_t *buf)
{
	const uint64_t run = (uint64_t)DC_RUN_BLOCKS * DC_BLOCK_BYTES;
	while (r->bytes < o->bytes) {
		uint64_t bytes = o->bytes - r->bytes < run ? o->bytes - r->bytes : run;
		r->error = piece(fd, o, r, buf, bytes, o->from + r->bytes);
		if (r->error)
			return;
		r->bytes += bytes;
	}
	if (o->test != DC_WRITE)
		return;
	r->error = fdatasync(fd) < 0 ? -errno : 0;
	r->flushes++;
}

void dc_pass(int fd, const struct dc_options *o, struct dc_result *r)
{
	void *buf = NULL;
	if (o->test == DC_DISCARD) {
		r->error = dc_discard(fd, o->bytes, o->from);
		r->bytes = r->error ? 0 : o->bytes;
		r->discards++;
		return;
	}
	if (posix_memalign(&buf, DC_BLOCK_BYTES, (size_t)DC_RUN_BLOCKS * DC_BLOCK_BYTES) != 0) {
		r->error = -ENOMEM;
		return;
	}
	pass_over(fd, o, r, buf);
	free(buf);
}
