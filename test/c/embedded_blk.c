/* SPDX-License-Identifier: MIT */
/*
 * A disk between two processes on a real hypervisor: blkfront here, nestfrontd with blkback on a
 * file there, killed under load and started again. No write that was answered is lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blkrig.h"
#include "live.h"
#include "tap.h"

#define BYTES (16u << 20)
#define DAEMON "build/Release/nestfrontd"
#define KILLS 6

static struct rig rig;
static struct blkrig b;
static struct mem_vbd vbd = {.front = 1, .back = 0, .devid = 0};
static struct blkrig_end *front;
static char file[] = "/tmp/nf-embedded-blk-XXXXXX";
static uint8_t *want, *got;
static pid_t daemon_pid;

static bool open_domain(int fd, uint16_t domid)
{
	struct rig_domain *d = &rig.domains[domid];
	*d = (struct rig_domain){.rig = &rig, .domid = domid};
	if (!is(nf_layer_open_embedded(fd, &d->layer), 0, "domain %u: its layer", domid))
		return false;
	d->control = aligned_alloc(4096, sizeof(*d->control));
	memset(d->control, 0, sizeof(*d->control));
	d->control->magic = NF_CONTROL_MAGIC;
	return is(nf_store_open(d->layer->ops->store_fd(d->layer), &d->store), 0, "its store") &&
	       is(nf_counters_open(&d->counters, -1, 64, domid), 0, "its counters");
}

static void make_nodes(const char *port, const char *grants)
{
	const char *const keys[][2] = {
		{"/local/domain/1/device/vbd/0/backend", "/local/domain/0/backend/vbd/1/0"},
		{"/local/domain/1/device/vbd/0/backend-id", "0"},
		{"/local/domain/0/backend/vbd/1/0/frontend", "/local/domain/1/device/vbd/0"},
		{"/local/domain/0/backend/vbd/1/0/frontend-id", "1"},
		{"/local/domain/0/backend/vbd/1/0/mode", "w"},
		{"/local/domain/0/backend/vbd/1/0/nestfront/port", port},
		{"/local/domain/0/backend/vbd/1/0/nestfront/grants", grants},
		{"/local/domain/1/device/vbd/0/state", "1"},
		{"/local/domain/0/backend/vbd/1/0/state", "1"},
	};
	int failed = 0;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		failed += nf_store_write(rig.domains[0].store, 0, keys[i][0], keys[i][1]) != 0;
	is(failed, 0, "the toolstack's nodes");
}

static bool daemon_start(void)
{
	char layer[40];
	int fd = nf_layer_embedded_clone(rig.domains[0].layer);
	if (fd < 0)
		return false;
	daemon_pid = fork();
	if (daemon_pid == 0) {
		int out = open("/dev/null", O_WRONLY);
		dup2(out, 1);
		if (!getenv("NF_TEST_VERBOSE"))
			dup2(out, 2);
		fcntl(fd, F_SETFD, 0);
		snprintf(layer, sizeof(layer), "embedded:fd=%d", fd);
		execl(DAEMON, DAEMON, "--layer", layer, "--notify", "adaptive", (char *)NULL);
		_exit(127);
	}
	close(fd);
	return daemon_pid > 0;
}

static int daemon_end(int sig)
{
	int status = -1;
	kill(daemon_pid, sig);
	waitpid(daemon_pid, &status, 0);
	return status;
}

/* A round of writes all over the disk; `want` knows what each leaves. */
static bool round_of_writes(uint32_t seed, bool is_killed)
{
	static struct iovec v[64];
	static struct nf_blkreq r[64];
	for (uint32_t i = 0; i < 64; i++) {
		uint64_t at = ((uint64_t)(i * 61 + seed * 13) % 256) * 65536;
		uint32_t bytes = i % 4 == 0 ? 65536 : 4096;
		blkrig_fill(want + at, bytes, at, seed * 64 + i);
		v[i] = (struct iovec){.iov_base = want + at, .iov_len = bytes};
		r[i] = (struct nf_blkreq){.op = NF_BLKOP_WRITE,
					  .flags = i % 8 == 0 ? NF_BLKREQ_FUA : 0,
					  .sector = at / 512,
					  .sectors = bytes / 512,
					  .segs = &v[i],
					  .nsegs = 1};
	}
	blkrig_post(&b, front, 0, r, 64);
	if (is_killed) {
		blkrig_linger(&b, seed % 4);
		daemon_end(SIGKILL);
		if (!daemon_start())
			return false;
	}
	if (blkrig_wait(&b, front, 0, r, 64, 30000) != 0) {
		diag("not answered: %s", front->notice);
		return false;
	}
	for (uint32_t i = 0; i < 64; i++)
		if (blkrig_result(front, 0, &r[i]) != 0)
			return false;
	return true;
}

static bool disk_is_right(void)
{
	for (uint32_t at = 0; at < BYTES; at += 1u << 20)
		if (blkrig_do(&b, front, NF_BLKOP_READ, at / 512, got + at, 1u << 20) != 0)
			return false;
	return memcmp(got, want, BYTES) == 0;
}

static void run(const char *grants)
{
	char port[80];
	int err = 0;
	memset(want, 0, BYTES);
	if (truncate(file, 0) < 0 || truncate(file, BYTES) < 0)
		diag("truncate: %s", strerror(errno));
	snprintf(port, sizeof(port), "file:%s", file);
	make_nodes(port, grants);
	ok(daemon_start(), "%s: nestfrontd is started", grants);
	front = blkrig_front(&b, &vbd, NULL, &err);
	if (!is(err, 0, "%s: the front opens", grants))
		return;
	is(blkrig_until_phase(&b, front, NF_BLK_RUNNING, 20000), 0, "%s: connected", grants);
	ok(round_of_writes(1, false), "%s: writes", grants);
	ok(disk_is_right(), "%s: are read back", grants);
	bool good = true;
	for (uint32_t k = 2; good && k < 2 + KILLS; k++)
		good = round_of_writes(k, true);
	ok(good, "%s: killed %d times under load, every write was answered well", grants, KILLS);
	ok(disk_is_right(), "%s: and is there", grants);
	ok(blkrig_counter(front, NF_COUNTER_connects) > 1, "%s: over %llu connections, %llu again",
	   grants, (unsigned long long)blkrig_counter(front, NF_COUNTER_connects),
	   (unsigned long long)blkrig_counter(front, NF_COUNTER_blk_replayed));
	is(nf_blkfront_shutdown(front->front), 0, "%s: the front goes", grants);
	is(blkrig_until_phase(&b, front, NF_BLK_CLOSED, 10000), 0, "%s: Closed", grants);
	blkrig_end_close(front);
	is(daemon_end(SIGTERM), 0, "%s: nestfrontd ends well", grants);
	int fd = open(file, O_RDONLY);
	ok(fd >= 0 && read(fd, got, BYTES) == (ssize_t)BYTES && memcmp(got, want, BYTES) == 0,
	   "%s: the file holds it all", grants);
	close(fd);
}

int main(int argc, char **argv)
{
	char why[256];
	(void)argc;
	if (!live_started()) {
		live_start(argv[0], false, why, sizeof(why));
		skip_all("%s", why);
	}
	if (access(DAEMON, X_OK) != 0)
		skip_all("no %s: npm run build", DAEMON);
	close(mkstemp(file));
	want = calloc(1, BYTES);
	got = calloc(1, BYTES);
	rig_open(&rig, NF_POLL_ADAPTIVE);
	blkrig_open(&b, &rig);
	if (open_domain(4, 0) && open_domain(3, 1)) {
		run("static");
		run("persistent");
		run("copy");
	}
	struct nf_layer *layers[2] = {rig.domains[0].layer, rig.domains[1].layer};
	blkrig_close(&b);
	rig_close(&rig);
	for (int i = 0; i < 2; i++)
		layers[i]->ops->close(layers[i]);
	unlink(file);
	return done();
}
