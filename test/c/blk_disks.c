/* SPDX-License-Identifier: MIT */
/* Every kind of disk against a model of it: random ranges, segments of any shape and alignment,
 * many in flight, in every way its bytes can travel. */
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "blkdisk.h"

#define DISK_BYTES (4u << 20)
#define DISK_SECTORS (DISK_BYTES / NF_SECTOR_BYTES)
#define DEPTH 24u
#define AREA (64u << 10) /* memory of one request */
#define SEGS 40u
#define ROUNDS 1000u

struct flight {
	bool is_used;
	struct nf_blkreq r;
	struct iovec v[SEGS];
	uint32_t bytes;
};

static uint8_t *arena; /* page aligned: DEPTH areas */
static uint8_t model[DISK_BYTES];
static uint8_t taken[DISK_SECTORS]; /* by a request in flight: order is nobody's */
static struct flight flights[DEPTH];
static uint64_t seed;

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % n;
}

/* Segments in the flight's area: pages, a run, odd addresses. */
static uint32_t shape(struct flight *f, uint8_t *area)
{
	uint32_t kind = rnd(4), n = 1 + rnd(kind == 0 ? 12 : SEGS), bytes = 0;
	uint8_t *at = area + (kind == 3 ? 1 + rnd(500) : 0);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t len = kind == 0 ? 4096 : NF_SECTOR_BYTES * (1 + rnd(3));
		if (at + len + 700 > area + AREA)
			break;
		f->v[i] = (struct iovec){at, len};
		at += len + (kind == 2 ? 512 : kind == 3 ? rnd(60) : 0);
		bytes += len;
		f->r.nsegs = i + 1;
	}
	return bytes;
}

static bool claim(uint64_t sector, uint64_t sectors)
{
	for (uint64_t i = 0; i < sectors; i++)
		if (taken[sector + i])
			return false;
	memset(taken + sector, 1, sectors);
	return true;
}

static void fill_random(const struct flight *f)
{
	for (uint32_t i = 0; i < f->r.nsegs; i++)
		for (size_t k = 0; k < f->v[i].iov_len; k++)
			((uint8_t *)f->v[i].iov_base)[k] = (uint8_t)rnd(256);
}

/* A random request; false: its range is in use. */
static bool make(struct flight *f, uint8_t *area, bool can_discard)
{
	uint32_t what = rnd(20);
	memset(&f->r, 0, sizeof(f->r));
	f->r.op = what < 9		      ? NF_BLKOP_READ
		  : what < 18		      ? NF_BLKOP_WRITE
		  : what < 19 || !can_discard ? NF_BLKOP_FLUSH
					      : NF_BLKOP_DISCARD;
	if (f->r.op == NF_BLKOP_FLUSH)
		return true;
	if (f->r.op == NF_BLKOP_DISCARD) {
		f->r.sectors = 1 + rnd(64);
	} else {
		f->r.segs = f->v;
		f->bytes = shape(f, area);
		f->r.sectors = f->bytes / NF_SECTOR_BYTES;
	}
	f->r.sector = rnd(DISK_SECTORS - (uint32_t)f->r.sectors + 1);
	if (rnd(2) && f->r.sector > 8) /* where direct I/O is likely */
		f->r.sector &= ~7ull;
	if (!claim(f->r.sector, f->r.sectors))
		return false;
	f->r.flags = f->r.op == NF_BLKOP_WRITE && rnd(30) == 0 ? NF_BLKREQ_FUA : 0;
	if (f->r.op == NF_BLKOP_WRITE)
		fill_random(f);
	return true;
}

/* What the finished request did, to the model; wrong bytes. */
static uint32_t settle(struct flight *f)
{
	uint8_t *m = model + f->r.sector * NF_SECTOR_BYTES;
	uint32_t wrong = 0;
	f->is_used = false;
	memset(taken + f->r.sector, 0, f->r.sectors);
	if (f->r.op == NF_BLKOP_DISCARD)
		memset(m, 0, f->r.sectors * NF_SECTOR_BYTES);
	for (uint32_t i = 0; f->r.segs && i < f->r.nsegs; i++) {
		if (f->r.op == NF_BLKOP_WRITE)
			memcpy(m, f->v[i].iov_base, f->v[i].iov_len);
		else
			wrong += memcmp(m, f->v[i].iov_base, f->v[i].iov_len) != 0;
		m += f->v[i].iov_len;
	}
	return wrong;
}

struct tally {
	uint32_t completed, failed, wrong, strangers;
};

static void reap(struct nf_blkport *p, struct tally *t, uint32_t *flying)
{
	struct nf_blkdone done[7];
	int n;
	while ((n = p->ops->reap(p, done, 7)) > 0) {
		for (int i = 0; i < n; i++) {
			if (done[i].token >= DEPTH || !flights[done[i].token].is_used) {
				t->strangers++;
				continue;
			}
			t->failed += done[i].error != 0;
			t->wrong += settle(&flights[done[i].token]);
			t->completed++;
			(*flying)--;
		}
	}
}

static bool compare_all(struct nf_blkport *p)
{
	uint8_t *all = malloc(DISK_BYTES);
	bool same = all != NULL;
	for (uint64_t s = 0; same && s < DISK_SECTORS; s += 2048)
		same = dut_data(p, NF_BLKOP_READ, s, all + s * NF_SECTOR_BYTES, 1 << 20) == 0;
	same = same && memcmp(all, model, DISK_BYTES) == 0;
	free(all);
	return same;
}

static void run(const char *name, struct disk_under_test *d)
{
	struct tally t = {0};
	uint32_t flying = 0, made = 0;
	bool can_discard = d->disk.geometry.discard_bytes != 0, stuck = false;

	memset(model, 0, sizeof(model));
	memset(taken, 0, sizeof(taken));
	memset(flights, 0, sizeof(flights));
	while (!stuck && (made < ROUNDS || flying)) {
		for (uint32_t i = 0; i < DEPTH && made < ROUNDS; i++) {
			struct flight *f = &flights[i];
			if (f->is_used || rnd(3) == 0 || !make(f, arena + i * AREA, can_discard))
				continue;
			f->r.token = i;
			int n = d->port.ops->submit(&d->port, &f->r, 1);
			f->is_used = n == 1;
			if (n != 1) /* full: another time */
				memset(taken + f->r.sector, 0, f->r.sectors);
			made += n == 1;
			flying += n == 1;
			stuck |= n < 0;
		}
		if (flying && rnd(2) == 0)
			stuck |= !dut_wait(&d->port);
		reap(&d->port, &t, &flying);
	}
	ok(!stuck && t.completed == made && t.strangers == 0,
	   "%s (%s, %s): %u requests, each answered once", name, d->disk.engine, d->disk.cache,
	   made);
	is(t.failed, 0, "%s: none failed", name);
	is(t.wrong, 0, "%s: no segment read otherwise than written", name);
	ok(compare_all(&d->port), "%s: the whole disk is as the model", name);
}

static void try_spec(const char *name, const char *spec, bool is_safe)
{
	struct disk_under_test d;
	int rc = dut_open(&d, spec, is_safe, rnd(2) ? 0 : 8);
	if (rc) {
		ok(false, "%s: %s: %s", name, spec, d.err);
		return;
	}
	run(name, &d);
	if (!strcmp(d.disk.ops->name, "file") || !strcmp(d.disk.ops->name, "block")) {
		is(nf_disk_queue(&d.disk, 1, NF_BLKPORT_DEPTH_MAX + 1, NULL, &d.port), -EINVAL,
		   "%s: a depth beyond the largest is refused", name);
	}
	dut_close(&d);
}

static void file_specs(void)
{
	static const char *const options[] = {"", ",direct=off", ",engine=threads",
					      ",direct=off,engine=threads"};
	char spec[200], name[80];
	for (uint32_t i = 0; i < 4; i++) {
		for (int safe = 0; safe < 2; safe++) {
			snprintf(spec, sizeof(spec), "file:%s%s", tmp_file("d", DISK_BYTES),
				 options[i]);
			snprintf(name, sizeof(name), "file%s%s", options[i],
				 safe ? "" : ", bounced");
			try_spec(name, spec, safe != 0);
		}
	}
}

/* A loop device over a file; -1: there are none here. It goes when it is closed. */
static int loop_make(char *path, size_t cap)
{
	int backing = open(tmp_file("loop", DISK_BYTES), O_RDWR | O_CLOEXEC);
	int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int nr = ctl < 0 ? -1 : ioctl(ctl, LOOP_CTL_GET_FREE);
	int fd = -1;
	if (nr >= 0) {
		struct loop_config c = {.fd = (uint32_t)backing,
					.block_size = 512,
					.info.lo_flags = LO_FLAGS_AUTOCLEAR};
		snprintf(path, cap, "/dev/loop%d", nr);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &c) != 0) {
			close(fd);
			fd = -1;
		}
	}
	close(backing);
	if (ctl >= 0)
		close(ctl);
	return fd;
}

static void block_specs(void)
{
	char path[64], spec[128], err[200];
	struct nf_disk none;
	const struct nf_disk_env env = {0};
	int fd = loop_make(path, sizeof(path));
	if (fd < 0) {
		skip("block device", "no free loop device here (root, and the loop module)");
		return;
	}
	snprintf(spec, sizeof(spec), "block:%s", path);
	try_spec("block", spec, true);
	/* what the loop had before does not go away by itself */
	ok(pwrite(fd, memset(model, 0, sizeof(model)), DISK_BYTES, 0) == DISK_BYTES, "zeroed");
	snprintf(spec, sizeof(spec), "block:%s,engine=threads", path);
	try_spec("block,engine=threads", spec, false);
	snprintf(spec, sizeof(spec), "file:%s", path);
	is(nf_disk_open(spec, &env, &none, err, sizeof(err)), -EINVAL, "file: of a device: %s",
	   err);
	close(fd);
}

/* Memory lent to the kernel once is used, and given back under I/O. */
static void lent(void)
{
	struct disk_under_test d;
	char spec[160];
	int fd = memfd_create("lent", MFD_CLOEXEC);
	uint8_t *shared = MAP_FAILED, *own = arena;

	if (fd >= 0 && ftruncate(fd, DEPTH * AREA) == 0)
		shared = mmap(NULL, DEPTH * AREA, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	snprintf(spec, sizeof(spec), "file:%s", tmp_file("lent", DISK_BYTES));
	if (shared == MAP_FAILED || dut_open(&d, spec, true, 0) != 0) {
		ok(false, "a memfd and a disk");
		return;
	}
	is(d.disk.ops->lend(&d.disk, shared, DEPTH * AREA), 0, "a memfd is lent");
	arena = shared;
	run("file, memory lent", &d);
	d.disk.ops->forget(&d.disk, shared);
	is(dut_data(&d.port, NF_BLKOP_WRITE, 8, shared, 8192), 0, "forgotten, it still is memory");
	munmap(shared, DEPTH * AREA);
	is(dut_data(&d.port, NF_BLKOP_READ, 8, own, 8192), 0, "unmapped: others go on");
	is(dut_data(&d.port, NF_BLKOP_READ, 8, shared, 8192), -EIO,
	   "memory that is not there is an I/O error");
	is(dut_data(&d.port, NF_BLKOP_READ, 8, own, 8192), 0, "and the disk goes on");
	arena = own;
	close(fd);
	dut_close(&d);
}

int main(int argc, char **argv)
{
	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 0x9e3779b97f4a7c15ull;
	diag("seed 0x%llx: an argument makes it another", (unsigned long long)seed);
	arena = aligned_alloc(4096, DEPTH * AREA);
	if (!arena)
		return 1;
	tmp_make();
	try_spec("mem", "mem:4M", true);
	file_specs();
	block_specs();
	lent();
	tmp_remove();
	free(arena);
	return done();
}
