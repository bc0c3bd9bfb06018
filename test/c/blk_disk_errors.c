/* SPDX-License-Identifier: MIT */
/* What can be wrong with a spec, a request, a file or a kernel, and what is left working after. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "blkdisk.h"

static uint8_t *page; /* 64 KiB */

static void specs(void)
{
	static const char *const good[] = {"file:/x",
					   "file:/x,ro",
					   "file:/x,direct=on,engine=threads,create=8G",
					   "block:/dev/x,direct=off",
					   "mem:64M",
					   "mem:512,ro",
					   "null:1T"};
	static const char *const bad[] = {"",
					  "x",
					  "file:",
					  "file:x",
					  "file:/x,",
					  "file:/x,rw",
					  "file:/x,create=0",
					  "file:/x,create=1000",
					  "block:/x,create=8G",
					  "mem:",
					  "mem:0",
					  "mem:513",
					  "mem:-512",
					  "mem:1X",
					  "mem:1MM",
					  "mem:99999999999999999999",
					  "mem:18014398509481984K",
					  "mem:16777216T",
					  "mem:64M,direct=on",
					  "null:8G,ro,ro,x"};
	char err[200];
	for (uint32_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		is(nf_disk_check(good[i], err, sizeof(err)), 0, "'%s' is well formed", good[i]);
	for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int rc = nf_disk_check(bad[i], err, sizeof(err));
		ok(rc == -EINVAL && err[0], "'%s' is not: %s", bad[i], err);
	}
}

static void bad_requests(const char *spec)
{
	struct disk_under_test d;
	if (dut_open(&d, spec, true, 4)) {
		ok(false, "%s: %s", spec, d.err);
		return;
	}
	const uint64_t size = d.disk.geometry.sectors, top = UINT64_MAX;
	struct iovec v[2] = {{page, 512}, {page + 512, 512}};
	const struct {
		struct nf_blkreq r;
		int error;
		const char *what;
	} cases[] = {
		{{.sector = size, .sectors = 1, .segs = v, .nsegs = 1}, -EINVAL, "at the end"},
		{{.sector = size - 1, .sectors = 2, .segs = v, .nsegs = 2}, -EINVAL, "over it"},
		{{.sector = top, .sectors = 1, .segs = v, .nsegs = 1}, -EINVAL, "sector 2^64 - 1"},
		{{.sector = 0, .sectors = 0, .segs = v, .nsegs = 1}, -EINVAL, "no sectors"},
		{{.sector = 0, .sectors = 2, .segs = v, .nsegs = 1}, -EINVAL, "sum too small"},
		{{.sector = 0, .sectors = 1, .segs = v, .nsegs = 2}, -EINVAL, "sum too large"},
		{{.sector = 0, .sectors = 1, .segs = v, .nsegs = 0}, -EINVAL, "no segments"},
		{{.sector = 0, .sectors = 1, .segs = NULL, .nsegs = 1}, -EINVAL, "no array"},
		{{.sector = 0, .sectors = 1, .segs = v, .nsegs = NF_BLKREQ_SEGS_MAX + 1},
		 -EINVAL,
		 "too many segments"},
		{{.sector = 0, .sectors = top, .op = NF_BLKOP_DISCARD}, -EINVAL, "2^64 - 1 gone"},
		{{.sector = 1, .sectors = size, .op = NF_BLKOP_DISCARD}, -EINVAL, "discard over"},
		{{.sector = 0, .sectors = 1, .op = NF_BLKOP_DISCARD, .flags = NF_BLKREQ_SECURE},
		 -EOPNOTSUPP,
		 "a secure discard"},
		{{.op = 9}, -EOPNOTSUPP, "an unknown operation"},
		{{.sector = 0, .sectors = 1, .segs = v, .nsegs = 1, .op = NF_BLKOP_WRITE},
		 0,
		 "and a right one"},
	};
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nf_blkreq r = cases[i].r;
		is(dut_do(&d.port, &r), cases[i].error, "%.4s: %s", spec, cases[i].what);
	}
	v[0].iov_len = 511;
	is(dut_do(&d.port, &(struct nf_blkreq){.sectors = 1, .segs = v, .nsegs = 2}), -EINVAL,
	   "%.4s: an odd length", spec);
	v[0].iov_len = 0;
	is(dut_do(&d.port, &(struct nf_blkreq){.sectors = 1, .segs = v, .nsegs = 2}), -EINVAL,
	   "%.4s: an empty segment", spec);
	v[0].iov_len = (size_t)NF_BLKREQ_BYTES_MAX + 512;
	is(dut_do(&d.port, &(struct nf_blkreq){.sectors = NF_BLKREQ_BYTES_MAX / 512 + 1,
					       .segs = v,
					       .nsegs = 1}),
	   -EINVAL, "%.4s: more than the largest request", spec);
	dut_close(&d);
}

/* More than fit: taken up to the depth, and the rest after a reap. */
static void full(const char *spec)
{
	struct disk_under_test d;
	struct iovec v[12];
	struct nf_blkreq r[12];
	struct nf_blkdone done[12];
	if (dut_open(&d, spec, true, 4)) {
		ok(false, "%s: %s", spec, d.err);
		return;
	}
	for (uint32_t i = 0; i < 12; i++) { /* some of them wrong: those take room too */
		v[i] = (struct iovec){page + i * 512, 512};
		r[i] = (struct nf_blkreq){.token = i,
					  .sector = i % 3 ? i : 1u << 30,
					  .sectors = 1,
					  .segs = &v[i],
					  .nsegs = 1};
	}
	is(d.port.ops->submit(&d.port, r, 12), 4, "%.4s: depth 4 takes 4 of 12", spec);
	is(d.port.ops->submit(&d.port, r + 4, 8), 0, "%.4s: and no more", spec);
	int n = 0;
	while (n < 4 && dut_wait(&d.port))
		n += d.port.ops->reap(&d.port, done + n, 1);
	is(n, 4, "%.4s: all four come", spec);
	is(d.port.ops->submit(&d.port, r + 4, 8), 4, "%.4s: then four more", spec);
	dut_close(&d);
	ok(true, "%.4s: closed with requests in flight", spec);
}

static void shrunk(void)
{
	struct disk_under_test d;
	char spec[160], path[128];
	snprintf(path, sizeof(path), "%s", tmp_file("shrunk", 1 << 20));
	snprintf(spec, sizeof(spec), "file:%s", path);
	if (dut_open(&d, spec, true, 0)) {
		ok(false, "%s", d.err);
		return;
	}
	is(dut_data(&d.port, NF_BLKOP_WRITE, 0, page, 4096), 0, "a file disk");
	is(truncate(path, 300 * 1024 + 100), 0, "its file is cut behind its back");
	is(dut_data(&d.port, NF_BLKOP_READ, 1000, page, 4096), -EIO, "beyond: an I/O error");
	is(dut_data(&d.port, NF_BLKOP_READ, 600, page, 4096), -EIO, "across: an I/O error");
	is(dut_data(&d.port, NF_BLKOP_READ, 0, page, 4096), 0, "before: the disk lives");
	is(nf_disk_refresh(&d.disk), 1, "a look finds the new size");
	is(d.disk.geometry.sectors, 600, "rounded down to sectors");
	is(dut_data(&d.port, NF_BLKOP_READ, 600, page, 512), -EINVAL, "beyond it is beyond it");
	is(truncate(path, 2 << 20), 0, "it grows");
	is(nf_disk_refresh(&d.disk), 1, "a look finds it");
	is(nf_disk_refresh(&d.disk), 0, "and nothing the next time");
	is(dut_data(&d.port, NF_BLKOP_WRITE, 4095, page, 512), 0, "its last sector is written");
	is(truncate(path, 0), 0, "emptied");
	is(nf_disk_refresh(&d.disk), -EINVAL, "no disk has no sectors");
	is(d.disk.geometry.sectors, 4096, "the size it had stays");
	is(dut_data(&d.port, NF_BLKOP_READ, 0, page, 512), -EIO, "and reading fails");
	is(unlink(path), 0, "its name goes");
	is(dut_data(&d.port, NF_BLKOP_WRITE, 0, page, 4096), 0, "writing goes on");
	is(dut_plain(&d.port, NF_BLKOP_FLUSH, 0, 0, 0), 0, "so does flushing");
	dut_close(&d);
}

static void locks(void)
{
	struct disk_under_test a, b;
	char spec[160], ro[160];
	const char *path = tmp_file("locked", 1 << 20);
	snprintf(spec, sizeof(spec), "file:%s", path);
	snprintf(ro, sizeof(ro), "file:%s,ro", path);
	is(dut_open(&a, spec, true, 0), 0, "one writer");
	is(dut_open(&b, spec, true, 0), -EBUSY, "no second: %s", b.err);
	is(dut_open(&b, ro, true, 0), -EBUSY, "no reader beside it");
	dut_close(&a);
	is(dut_open(&a, ro, true, 0), 0, "a reader");
	is(dut_open(&b, ro, true, 0), 0, "and another");
	is(dut_data(&a.port, NF_BLKOP_WRITE, 0, page, 512), -EROFS, "neither writes");
	is(dut_plain(&a.port, NF_BLKOP_DISCARD, 0, 0, 8), -EROFS, "nor discards");
	is(dut_plain(&a.port, NF_BLKOP_FLUSH, 0, 0, 0), 0, "but flushes, to no purpose");
	dut_close(&a);
	dut_close(&b);
}

static void opening(void)
{
	struct disk_under_test d;
	char spec[160];
	is(dut_open(&d, "file:/nowhere/at/all", true, 0), -ENOENT, "no such file: %s", d.err);
	snprintf(spec, sizeof(spec), "file:%s", tmp_dir);
	is(dut_open(&d, spec, true, 0), -EISDIR, "a folder: %s", d.err);
	is(dut_open(&d, "file:/dev/null", true, 0), -EINVAL, "a character device: %s", d.err);
	snprintf(spec, sizeof(spec), "file:%s", tmp_file("tiny", 100));
	is(dut_open(&d, spec, true, 0), -EINVAL, "not one sector: %s", d.err);
	snprintf(spec, sizeof(spec), "block:%s", tmp_file("plain", 4096));
	is(dut_open(&d, spec, true, 0), -ENOTBLK, "block: of a file: %s", d.err);
	snprintf(spec, sizeof(spec), "file:%s/made,create=2M", tmp_dir);
	is(dut_open(&d, spec, true, 0), 0, "create makes it");
	is(d.disk.geometry.sectors, 4096, "of that size");
	dut_close(&d);
	snprintf(spec, sizeof(spec), "file:%s/made,create=8M", tmp_dir);
	is(dut_open(&d, spec, true, 0), 0, "and leaves it");
	is(d.disk.geometry.sectors, 4096, "as it is");
	dut_close(&d);
}

/* Where we are not root: we are in there. */
static bool own_user_namespace(void)
{
	char map[40];
	int n = snprintf(map, sizeof(map), "0 %u 1", (unsigned int)getuid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
		return false;
	int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
	bool is_done = fd >= 0 && write(fd, map, (size_t)n) == n;
	if (fd >= 0)
		close(fd);
	return is_done;
}

/* In a child with a small tmpfs of its own. */
static int no_space_child(void)
{
	struct disk_under_test d;
	char spec[160];
	if (unshare(CLONE_NEWNS) != 0 && !own_user_namespace())
		return 77;
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("small", tmp_dir, "tmpfs", 0, "size=256k") != 0)
		return 77;
	snprintf(spec, sizeof(spec), "file:%s/full,create=4M", tmp_dir);
	if (dut_open(&d, spec, true, 0))
		return 2;
	uint32_t written = 0;
	int rc = 0;
	for (uint64_t s = 0; s < 8192 && rc == 0; s += 64, written += rc == 0)
		rc = dut_data(&d.port, NF_BLKOP_WRITE, s, page, 32768);
	if (rc != -ENOSPC || written == 0 || written >= 128)
		return 3;
	if (dut_data(&d.port, NF_BLKOP_READ, 0, page, 32768) != 0 ||
	    dut_plain(&d.port, NF_BLKOP_DISCARD, 0, 0, 64) != 0 ||
	    dut_data(&d.port, NF_BLKOP_WRITE, 8128, page, 32768) != 0)
		return 4;
	dut_close(&d);
	return 0;
}

/* As docker's default profile of late: io_uring_setup is refused. */
static int no_uring_child(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {.len = 4, .filter = f};
	struct disk_under_test d;
	char spec[160];
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &prog))
		return 77;
	const char *path = tmp_file("nouring", 1 << 20);
	snprintf(spec, sizeof(spec), "file:%s", path);
	if (dut_open(&d, spec, true, 0) || strcmp(d.disk.engine, "threads") ||
	    !strstr(d.err, "threads are used"))
		return 2;
	memset(page, 0x5a, 4096);
	if (dut_data(&d.port, NF_BLKOP_WRITE, 8, page, 4096) ||
	    dut_plain(&d.port, NF_BLKOP_FLUSH, 0, 0, 0) ||
	    dut_data(&d.port, NF_BLKOP_READ, 8, page + 4096, 4096) ||
	    memcmp(page, page + 4096, 4096))
		return 3;
	dut_close(&d);
	snprintf(spec, sizeof(spec), "file:%s,engine=io_uring", path);
	return dut_open(&d, spec, true, 0) == -EPERM && strstr(d.err, "io_uring_disabled") ? 0 : 4;
}

static void in_child(int (*what)(void), const char *name, const char *reason)
{
	int status = 0;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(what());
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip(name, "%s", reason);
	else
		ok(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s (status 0x%x)", name, status);
}

int main(void)
{
	char file[160];
	page = aligned_alloc(4096, 65536);
	if (!page)
		return 1;
	memset(page, 0, 65536);
	tmp_make();
	specs();
	snprintf(file, sizeof(file), "file:%s", tmp_file("bad", 1 << 20));
	bad_requests("mem:1M");
	bad_requests("null:1M");
	bad_requests(file);
	full("mem:1M");
	full("null:1M");
	full(file);
	strcat(file, ",engine=threads");
	full(file);
	shrunk();
	locks();
	opening();
	in_child(no_space_child, "a full file system: ENOSPC, and the disk goes on",
		 "no mount namespace of our own here");
	in_child(no_uring_child, "without io_uring threads serve, and it is said",
		 "no seccomp filter here");
	tmp_remove();
	free(page);
	return done();
}
