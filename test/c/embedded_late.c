/* SPDX-License-Identifier: MIT */
/*
 * A copy that comes late. L1's relay is a process of its own (nestfrontd) between two real
 * hypervisors. L0 holds every page the relay let it write, the relay is killed and started again,
 * the devices reconnect, and L0 writes to all it holds while traffic runs: none of it may land.
 * That the test can see what lands: L0 writes to the pages of the running connection at the end.
 * Then the relay is killed while both ends send: neither end may take what that leaves for a frame,
 * or for a peer that lies.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "live.h"
#include "rig.h"
#include "tap.h"

#define DAEMON "build/Release/nestfrontd"
#define FRAMES 3000u
#define GREFS 4096u
#define KILLS 2

static struct rig rig; /* domains[0]: L0's, domains[1]: L2's */
static struct mem_vif vif = {.front = 1, .back = 0};
static struct nf_layer *inner, *outer; /* L1's */
static struct nf_store *inner_store;
static pid_t relay;

static struct rig_end *l0, *l2; /* back and front of the device at hand */

/* What L0 holds beside what its back maps. */
struct held {
	uint32_t grefs[GREFS];
	void *addrs[GREFS];
	struct nf_mapping maps[GREFS];
	uint32_t count;
};
static struct held before, now;

static bool open_domain(int fd, uint32_t at, uint16_t domid)
{
	struct rig_domain *d = &rig.domains[at];
	*d = (struct rig_domain){.rig = &rig, .domid = domid};
	d->control = aligned_alloc(4096, sizeof(*d->control));
	memset(d->control, 0, sizeof(*d->control));
	d->control->magic = NF_CONTROL_MAGIC;
	for (uint32_t i = 0; i < 6; i++)
		d->control->dev[i].verify_every = 1;
	return is(nf_layer_open_embedded(fd, &d->layer), 0, "fd %d: its layer", fd) &&
	       is(nf_store_open(d->layer->ops->store_fd(d->layer), &d->store), 0, "its store") &&
	       is(nf_counters_open(&d->counters, -1, 64, domid), 0, "its counters");
}

static int node(struct nf_store *store, const char *folder, const char *key, const char *value)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%u/%s", folder, vif.devid, key);
	return nf_store_write(store, 0, path, value) != 0;
}

/* What a toolstack writes, on either layer; mode: the relay's, NULL outside. */
static void make_nodes(struct nf_store *store, const char *mode)
{
	static const char front[] = "/local/domain/1/device/vif";
	static const char back[] = "/local/domain/0/backend/vif/1";
	char front_path[64], back_path[64], devid[8];
	snprintf(front_path, sizeof(front_path), "%s/%u", front, vif.devid);
	snprintf(back_path, sizeof(back_path), "%s/%u", back, vif.devid);
	snprintf(devid, sizeof(devid), "%u", vif.devid);
	int failed = node(store, front, "backend", back_path) +
		     node(store, front, "backend-id", "0") + node(store, front, "mtu", "1500") +
		     node(store, front, "mac", "00:16:3e:00:00:01") +
		     node(store, back, "frontend", front_path) +
		     node(store, back, "frontend-id", "1") + node(store, back, "mtu", "1500") +
		     node(store, back, "mac", "00:16:3e:00:00:01");
	if (mode)
		failed += node(store, back, "nestfront/relay", mode) +
			  node(store, back, "nestfront/relay-outer", devid);
	else
		failed += node(store, front, "nestfront/relayed", "1");
	failed += node(store, front, "state", "1") + node(store, back, "state", "1");
	is(failed, 0, "a toolstack's nodes");
}

static bool relay_start(void)
{
	char in[40], out[40];
	int fds[2] = {nf_layer_embedded_clone(inner), nf_layer_embedded_clone(outer)};
	if (fds[0] < 0 || fds[1] < 0)
		return false;
	relay = fork();
	if (relay == 0) {
		int null = open("/dev/null", O_WRONLY);
		dup2(null, 1);
		if (!getenv("NF_TEST_VERBOSE"))
			dup2(null, 2);
		fcntl(fds[0], F_SETFD, 0);
		fcntl(fds[1], F_SETFD, 0);
		snprintf(in, sizeof(in), "embedded:fd=%d", fds[0]);
		snprintf(out, sizeof(out), "embedded:fd=%d", fds[1]);
		execl(DAEMON, DAEMON, "--layer", in, "--outer", out, "--notify", "adaptive",
		      (char *)NULL);
		_exit(127);
	}
	close(fds[0]);
	close(fds[1]);
	return relay > 0;
}

static int relay_end(int sig)
{
	int status = -1;
	kill(relay, sig);
	waitpid(relay, &status, 0);
	relay = 0;
	return status;
}

/* Every page of domain 1 that this gref space has and L0 may write. */
static void hold(struct held *h)
{
	struct nf_layer *l = rig.domains[0].layer;
	h->count = 0;
	for (uint32_t gref = 1; gref < GREFS; gref++) {
		uint32_t i = h->count;
		h->grefs[i] = gref;
		h->count += l->ops->map(l, 1, &h->grefs[i], 1, false, &h->addrs[i], &h->maps[i]) ==
			    0;
	}
}

static void scribble(const struct held *h)
{
	for (uint32_t i = 0; i < h->count; i++)
		memset(h->addrs[i], 0xee, 4096);
}

static int let_go(struct held *h)
{
	struct nf_layer *l = rig.domains[0].layer;
	int failed = 0;
	for (uint32_t i = 0; i < h->count; i++)
		failed += l->ops->unmap(l, &h->maps[i]) != 0;
	h->count = 0;
	return failed;
}

static uint64_t harm(const struct rig_end *e)
{
	static const struct {
		const char *name;
		enum nf_counter c;
	} bad[] = {{"lost", NF_COUNTER_sink_lost},
		   {"corrupted", NF_COUNTER_sink_corrupted},
		   {"duplicated", NF_COUNTER_sink_duplicated},
		   {"reordered", NF_COUNTER_sink_reordered},
		   {"broken protocol", NF_COUNTER_protocol_errors}};
	uint64_t sum = 0;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t n = rig_counter(e, bad[i].c);
		if (n)
			diag("%s: %llu %s; %s", e->path, (unsigned long long)n, bad[i].name,
			     e->notice);
		sum += n;
	}
	return sum;
}

/* Frames from one end to the other while L0 writes to what it holds. */
static int frames(struct rig_end *from, struct rig_end *to, const struct held *h)
{
	uint64_t until = rig_counter(to, NF_COUNTER_sink_packets) + FRAMES;
	int rc = -1;
	rig_generate(from, NF_GEN_SEND, 1500, FRAMES);
	for (int i = 0; i < 5000 && rc != 0; i++) {
		if (h)
			scribble(h);
		rc = rig_until_counter(to, NF_COUNTER_sink_packets, until, 1);
	}
	rig_generate(from, NF_GEN_IDLE, 1500, 0);
	return rc;
}

/* True once L0's writes to pages in use were seen: as a broken ring or as a wrong byte. */
static bool is_seen(void)
{
	uint64_t connects = rig_counter(l2, NF_COUNTER_connects);
	rig_generate(l0, NF_GEN_SEND, 1500, 0);
	for (int i = 0; i < 10000; i++) {
		scribble(&now);
		rig_linger(&rig, 1);
		if (harm(l2) > 0 || rig_phase(l2) != NF_NET_RUNNING ||
		    rig_counter(l2, NF_COUNTER_connects) != connects)
			return true;
	}
	return false;
}

static bool is_up(const struct rig_end *e)
{
	return rig_phase(e) == NF_NET_RUNNING;
}

static bool begin(uint16_t devid, const char *mode)
{
	struct rig_options o = {.static_only = !strcmp(mode, "direct")}, plain = {0};
	int err = 0;
	vif.devid = devid;
	make_nodes(rig.domains[0].store, NULL);
	make_nodes(inner_store, mode);
	l0 = rig_back(&rig, &vif, &o, &err);
	l2 = rig_front(&rig, &vif, &plain, &err);
	if (!ok(l0 && l2 && relay_start(), "%s: all open (%d)", mode, err))
		return false;
	int rc = rig_until_phase(l2, NF_NET_RUNNING, 20000);
	return is(rc ? rc : rig_until_phase(l0, NF_NET_RUNNING, 20000), 0, "%s: connected", mode);
}

static void finish(void)
{
	relay_end(SIGKILL);
	rig_end_close(l2);
	rig_end_close(l0);
}

/* Waits for both ends to hear of the relay's death, then for the next one's connection. */
static bool again(const char *mode)
{
	for (int i = 0; i < 20000 && (is_up(l2) || is_up(l0)); i++)
		rig_linger(&rig, 1);
	return ok(!is_up(l2) && !is_up(l0), "%s: both ends hear of it", mode) &&
	       ok(relay_start(), "%s: the relay is started again", mode) &&
	       is(rig_until_phase(l2, NF_NET_RUNNING, 20000), 0, "%s: connected again", mode) &&
	       is(rig_until_phase(l0, NF_NET_RUNNING, 20000), 0, "%s: at both ends", mode);
}

/* What was in flight may be lost; what arrives is what was sent, and nobody is blamed. */
static void loaded(uint16_t devid, const char *mode)
{
	if (!begin(devid, mode))
		return;
	for (int i = 0; i < KILLS; i++) {
		uint64_t down = rig_counter(l2, NF_COUNTER_sink_packets) + FRAMES;
		uint64_t up = rig_counter(l0, NF_COUNTER_sink_packets) + FRAMES;
		rig_generate(l2, NF_GEN_SEND, 1500, 0);
		rig_generate(l0, NF_GEN_SEND, 1500, 0);
		is(rig_until_counter(l2, NF_COUNTER_sink_packets, down, 20000), 0,
		   "%s: frames to L2", mode);
		is(rig_until_counter(l0, NF_COUNTER_sink_packets, up, 20000), 0, "%s: and from it",
		   mode);
		relay_end(SIGKILL);
		if (!again(mode))
			return;
	}
	struct rig_end *ends[] = {l2, l0};
	for (int i = 0; i < 2; i++) {
		is(rig_counter(ends[i], NF_COUNTER_sink_corrupted), 0, "%s: %s: no wrong byte",
		   mode, ends[i]->path);
		is(rig_counter(ends[i], NF_COUNTER_protocol_errors), 0, "%s: %s: no lie", mode,
		   ends[i]->path);
	}
	finish();
}

static void late(uint16_t devid, const char *mode)
{
	if (!begin(devid, mode))
		return;
	is(frames(l0, l2, NULL), 0, "%s: frames to L2", mode);
	hold(&before);
	ok(before.count > 64, "%s: L0 holds %u pages", mode, before.count);
	relay_end(SIGKILL);
	if (!again(mode))
		return;
	uint64_t harmed = harm(l2) + harm(l0);
	is(frames(l0, l2, &before), 0, "%s: frames to L2 under late copies", mode);
	is(frames(l2, l0, &before), 0, "%s: and from it", mode);
	is(harm(l2) + harm(l0), harmed, "%s: none of them landed", mode);
	ok(rig_counter(l2, NF_COUNTER_sink_verified) >= FRAMES, "%s: every byte was looked at",
	   mode);
	is(let_go(&before), 0, "%s: L0 lets go", mode);
	hold(&now);
	ok(now.count > 64 && is_seen(), "%s: what is in use (%u pages) would be seen", mode,
	   now.count);
	let_go(&now);
	finish();
}

int main(int argc, char **argv)
{
	char why[256];
	(void)argc;
	if (!live_started()) {
		live_start(argv[0], true, why, sizeof(why));
		skip_all("%s", why);
	}
	if (access(DAEMON, X_OK) != 0)
		skip_all("no %s: npm run build", DAEMON);
	rig_open(&rig, NF_POLL_ADAPTIVE);
	if (!open_domain(4, 0, 0) || !open_domain(3, 1, 1) ||
	    !is(nf_layer_open_embedded(5, &inner), 0, "L1 on H1") ||
	    !is(nf_layer_open_embedded(6, &outer), 0, "L1 on H0") ||
	    !is(nf_store_open(inner->ops->store_fd(inner), &inner_store), 0, "L1's store"))
		return done();
	late(0, "copy");
	late(1, "translate");
	late(2, "direct");
	loaded(3, "copy");
	loaded(4, "translate");
	loaded(5, "direct");
	struct nf_layer *layers[] = {rig.domains[0].layer, rig.domains[1].layer, inner, outer};
	nf_store_close(inner_store);
	rig_close(&rig);
	for (int i = 0; i < 4; i++)
		layers[i]->ops->close(layers[i]);
	return done();
}
