/* SPDX-License-Identifier: MIT */
/* Transfers that are cut short, refused or interrupted are continued until every byte is moved. */
#include <sys/eventfd.h>
#include <sys/uio.h>

#include "blkdisk.h"
#include "port/blk_fileport.h"

static uint8_t *page; /* 64 KiB */

/* An engine that does a part of what it is told, or nothing for now. */
struct stingy {
	struct nf__engine e;
	struct nf__io *waiting[8];
	uint32_t count, calls;
};

static void stingy_add(struct nf__engine *e, struct nf__io *io)
{
	struct stingy *s = (struct stingy *)e;
	s->waiting[s->count++] = io;
}

static int stingy_submit(struct nf__engine *e)
{
	(void)e;
	return 0;
}

static void stingy_woken(struct nf__engine *e)
{
	(void)e;
}

static uint32_t stingy_reap(struct nf__engine *e, struct nf__io **out, uint32_t cap)
{
	struct stingy *s = (struct stingy *)e;
	if (s->count == 0 || cap == 0)
		return 0;
	struct nf__io *io = s->waiting[--s->count];
	static const uint32_t parts[] = {512, 1, 100, 4095, 1024, 7};
	uint32_t part = parts[s->calls++ % 6];
	struct iovec one = {io->iov[0].iov_base,
			    part < io->iov[0].iov_len ? part : io->iov[0].iov_len};
	ssize_t rc = io->op == NF__IO_READV ? preadv(io->fd, &one, 1, (off_t)io->offset)
					    : pwritev(io->fd, &one, 1, (off_t)io->offset);
	io->result = rc < 0 ? -errno : (int32_t)rc;
	if (s->calls % 5 == 0)
		io->result = s->calls % 2 ? -EINTR : -EAGAIN;
	out[0] = io;
	return 1;
}

static const struct nf__engine_ops stingy_ops = {
	.add = stingy_add, .submit = stingy_submit, .reap = stingy_reap, .woken = stingy_woken};

static void short_io(const char *options, bool is_safe)
{
	struct stingy s = {.e = {.ops = &stingy_ops, .fd = -1}};
	struct disk_under_test d;
	char spec[200];
	static uint8_t back[32768];
	snprintf(spec, sizeof(spec), "file:%s%s", tmp_file("short", 1 << 20), options);
	if (dut_open(&d, spec, is_safe, 4)) {
		ok(false, "%s", d.err);
		return;
	}
	struct nf__fileport *q = d.port.priv;
	struct nf__engine *own = q->engine;
	struct iovec v[4] = {{page, 4096}, {page + 8192, 512}, {page + 9216, 1536}, {page, 4096}};
	struct iovec w = {back, 10240};
	struct nf_blkreq write = {
		.sector = 8, .sectors = 20, .segs = v, .nsegs = 4, .op = NF_BLKOP_WRITE};
	struct nf_blkreq read = {.sector = 8, .sectors = 20, .segs = &w, .nsegs = 1};
	for (uint32_t i = 0; i < 65536; i++)
		page[i] = (uint8_t)(i * 31 + i / 251);
	int fd = d.port.fd;
	q->engine = q->ioctls = &s.e;
	d.port.fd = eventfd(1, EFD_CLOEXEC); /* readable always */
	is(dut_do(&d.port, &write), 0, "short writes are continued%s", options);
	is(dut_do(&d.port, &read), 0, "short reads too, over %u calls", s.calls);
	q->engine = q->ioctls = own;
	close(d.port.fd);
	d.port.fd = fd;
	ok(!memcmp(back, page, 4096) && !memcmp(back + 4096, page + 8192, 512) &&
		   !memcmp(back + 4608, page + 9216, 1536) && !memcmp(back + 6144, page, 4096),
	   "every byte is where it belongs");
	dut_close(&d);
}

int main(void)
{
	page = aligned_alloc(4096, 65536);
	if (!page)
		return 1;
	tmp_make();
	short_io("", true);
	short_io("", false);
	short_io(",direct=off", true);
	tmp_remove();
	free(page);
	return done();
}
