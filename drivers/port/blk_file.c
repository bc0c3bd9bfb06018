/* SPDX-License-Identifier: MIT */
/* "file:PATH" and "block:PATH": the disk, its geometry and what its queues share. */
#include "blk_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nf/atomics.h"

static int refuse(char *err, uint32_t cap, const char *path, int error, const char *why)
{
	snprintf(err, cap, "disk %.80s: %s%s%s", path, why ? why : "", why ? ": " : "",
		 strerror(error));
	return -error;
}

/* Two backs that write to one file would each undo the other's caching and checks. */
static int lock_whole(int fd, bool is_readonly)
{
	struct flock l = {.l_type = is_readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
	if (fcntl(fd, F_OFD_SETLK, &l) == 0)
		return 0;
	/* a file system without locks is used without */
	return errno == EAGAIN || errno == EACCES ? -EBUSY : 0;
}

static int create(int fd, uint64_t bytes)
{
	uint64_t now = 0;
	int rc = nf__file_bytes(fd, &now);
	if (rc || now)
		return rc;
	return ftruncate(fd, (off_t)bytes) == 0 ? 0 : -errno;
}

static int open_store(const struct nf__disk_options *o, bool is_readonly, char *err, uint32_t cap)
{
	int flags = (is_readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	bool is_made = o->bytes && !is_readonly;
	int fd = open(o->path, flags | (is_made ? O_CREAT : 0), 0600);
	if (fd < 0)
		return refuse(err, cap, o->path, errno,
			      errno == EACCES || errno == EPERM || errno == EROFS
				      ? "the driver's user may not open it (or add ,ro)"
				      : NULL);
	int rc = lock_whole(fd, is_readonly);
	if (rc) {
		refuse(err, cap, o->path, -rc, "another process uses it (or let both add ,ro)");
	} else if (is_made) {
		rc = create(fd, o->bytes);
		if (rc)
			refuse(err, cap, o->path, -rc, "giving it its size");
	}
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

/* The second descriptor; -1: there is no direct I/O here, or nobody wants it. */
static int open_direct(int fd, const struct nf__disk_options *o, bool is_readonly,
		       struct nf__probe *p)
{
	char self[40];
	if (o->direct == NF__DIRECT_OFF)
		return -1;
	/* the same file even when the path has another one by now */
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	int flags = (is_readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_DIRECT | O_NOCTTY;
	int direct = open(self, flags);
	if (direct < 0) /* no /proc in this namespace */
		direct = open(o->path, flags);
	if (direct >= 0 && nf__file_probe_direct(direct, p) != 0) {
		close(direct);
		direct = -1;
	}
	return direct;
}

static int check_kind(const struct nf__disk_options *o, const struct nf__probe *p, char *err,
		      uint32_t cap)
{
	if (o->kind == NF__DISK_BLOCK && !p->is_block)
		return refuse(err, cap, o->path, ENOTBLK, "use file: for a file");
	if (o->kind == NF__DISK_FILE && !p->is_regular)
		return p->is_block ? refuse(err, cap, o->path, EINVAL, "use block: for this")
				   : refuse(err, cap, o->path, EINVAL, "not a regular file");
	if (p->bytes < NF_SECTOR_BYTES)
		return refuse(err, cap, o->path, EINVAL,
			      "smaller than one sector: make it with truncate -s SIZE, or add "
			      ",create=SIZE");
	if (p->bytes / NF_SECTOR_BYTES > NF_DISK_SECTORS_MAX)
		return refuse(err, cap, o->path, EFBIG, NULL);
	return 0;
}

static void fill(const struct nf__probe *p, bool is_readonly, struct nf_disk_geometry *g)
{
	*g = (struct nf_disk_geometry){
		.sectors = p->bytes / NF_SECTOR_BYTES,
		.physical_bytes = p->physical_bytes,
		.discard_bytes = is_readonly ? 0 : p->discard_bytes,
		.discard_align = p->discard_align,
		.readonly = is_readonly,
		.flush = 1,
		.discard_secure = !is_readonly && p->can_discard_securely,
	};
	if (g->physical_bytes < NF_SECTOR_BYTES)
		g->physical_bytes = NF_SECTOR_BYTES;
}

static int file_queue(struct nf_disk *d, uint32_t queue, uint32_t depth,
		      struct nf_counters *counters, struct nf_blkport *out)
{
	(void)queue; /* all alike */
	return nf__fileport_open(d, depth ? depth : NF__DISK_DEPTH, counters, out);
}

static int file_refresh(struct nf_disk *d)
{
	const struct nf__filedisk *f = d->priv;
	uint64_t bytes = 0;
	int rc = nf__file_bytes(f->fd, &bytes);
	if (rc)
		return rc;
	uint64_t sectors = bytes / NF_SECTOR_BYTES;
	if (sectors == 0 || sectors > NF_DISK_SECTORS_MAX)
		return -EINVAL;
	if (sectors == nf__disk_sectors(&d->geometry))
		return 0;
	nf_store64(&d->geometry.sectors, sectors);
	return 1;
}

static int file_lend(struct nf_disk *d, void *base, uint64_t bytes)
{
	struct nf__filedisk *f = d->priv;
	if (f->region_count == NF__FILE_REGIONS)
		return -ENOSPC;
	f->regions[f->region_count++] = (struct iovec){base, bytes};
	f->region_serial++;
	return 0;
}

static void file_forget(struct nf_disk *d, void *base)
{
	struct nf__filedisk *f = d->priv;
	for (uint32_t i = 0; i < f->region_count; i++) {
		if (f->regions[i].iov_base != base)
			continue;
		f->regions[i] = f->regions[--f->region_count];
		f->region_serial++;
		return;
	}
}

static void file_close(struct nf_disk *d)
{
	struct nf__filedisk *f = d->priv;
	if (f->direct_fd >= 0)
		close(f->direct_fd);
	close(f->fd);
	free(f);
	d->priv = NULL;
}

static const struct nf_disk_ops file_ops = {
	.name = "file",
	.queue = file_queue,
	.refresh = file_refresh,
	.lend = file_lend,
	.forget = file_forget,
	.close = file_close,
};

static const struct nf_disk_ops block_ops = {
	.name = "block",
	.queue = file_queue,
	.refresh = file_refresh,
	.lend = file_lend,
	.forget = file_forget,
	.close = file_close,
};

/* Which engine will serve; a ring is made and thrown away to know. */
static int choose_engine(struct nf__filedisk *f, const struct nf__disk_options *o, char *err,
			 uint32_t cap)
{
	struct nf__engine *e = NULL;
	f->engine = NF__ENGINE_THREADS;
	if (o->engine == NF__ENGINE_THREADS)
		return 0;
	int rc = nf__uring_open(1, &e);
	if (rc == 0) {
		e->ops->close(e);
		f->engine = NF__ENGINE_URING;
		return 0;
	}
	const char *why = "the kernel refuses io_uring (sysctl kernel.io_uring_disabled, or a "
			  "container's seccomp profile)";
	if (o->engine == NF__ENGINE_URING)
		return refuse(err, cap, o->path, -rc, why);
	refuse(err, cap, o->path, -rc, "threads are used, slower: no io_uring here");
	return 0;
}

int nf__disk_open_file(const struct nf__disk_options *o, const struct nf_disk_env *env,
		       struct nf_disk *out, char *err, uint32_t err_cap)
{
	bool is_readonly = env->readonly || o->is_readonly;
	struct nf__probe p;
	int fd = open_store(o, is_readonly, err, err_cap);
	if (fd < 0)
		return fd;
	struct nf__filedisk *f = calloc(1, sizeof(*f));
	int rc = f ? nf__file_probe(fd, &p) : -ENOMEM;
	if (rc)
		refuse(err, err_cap, o->path, -rc, "looking at it");
	else
		rc = check_kind(o, &p, err, err_cap);
	if (rc == 0)
		rc = choose_engine(f, o, err, err_cap);
	if (rc) {
		close(fd);
		free(f);
		return rc;
	}
	*f = (struct nf__filedisk){.fd = fd,
				   .direct_fd = open_direct(fd, o, is_readonly, &p),
				   .is_block = p.is_block,
				   .is_copied = !env->direct_io_safe,
				   .mem_align = p.mem_align,
				   .len_align = p.len_align,
				   .engine = f->engine};
	if (f->direct_fd < 0 && o->direct == NF__DIRECT_ON) {
		close(fd);
		free(f);
		return refuse(err, err_cap, o->path, EINVAL,
			      "direct=on, but its file system has no direct I/O: leave it away");
	}
	*out = (struct nf_disk){
		.ops = p.is_block ? &block_ops : &file_ops,
		.cache = f->direct_fd >= 0 ? "direct" : "buffered",
		.engine = f->engine == NF__ENGINE_URING ? "io_uring" : "threads",
		.priv = f,
	};
	fill(&p, is_readonly, &out->geometry);
	return 0;
}
