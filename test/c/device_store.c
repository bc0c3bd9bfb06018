/* SPDX-License-Identifier: MIT */
/* A device's two ends over a real store: opening, switching, looking, failing (group 12). */
#include <errno.h>
#include <poll.h>

#include "memlayer.h"
#include "nf/device.h"
#include "nf/store.h"
#include "tap.h"

#define FRONT "device/vif/0"
#define BACK "/local/domain/0/backend/vif/1/0"

static struct mem_world *world;
static struct mem_vif vif;
static struct nf_layer *layers[2]; /* by domid: 0 the back, 1 the front */
static struct nf_store *stores[2];

static int open_end(struct nf_device *d, bool is_back)
{
	uint16_t domid = is_back ? 0 : 1;

	return nf_device_open(d, layers[domid], stores[domid], is_back ? "backend/vif/1/0" : FRONT,
			      is_back, is_back ? "back0" : "front0");
}

static void drain(struct nf_store *s, int *events)
{
	char path[NF_STORE_PATH_MAX], token[64];
	struct pollfd p = {.fd = nf_store_pollfd(s), .events = POLLIN};

	while (poll(&p, 1, 100) > 0 &&
	       nf_store_next_event(s, path, sizeof(path), token, sizeof(token)) > 0)
		*events += !strcmp(token, "back0") || !strcmp(token, "front0");
}

static void test_life(void)
{
	struct nf_device f, b;
	char value[64], key[NF_STORE_PATH_MAX];
	int events = 0;

	is(open_end(&f, false), 0, "open the front");
	is(open_end(&b, true), 0, "open the back");
	is(f.other_domid, 0, "the front's other end");
	is_str(f.other_path, BACK, "its node");
	is(b.other_domid, 1, "the back's other end");
	is(f.devid + b.devid, 0, "devids");
	is(f.state, NF_XENBUS_INITIALISING, "as the toolstack left it");
	is(nf_device_switch(&b, NF_XENBUS_INITWAIT), 0, "the back waits");
	is(nf_device_look(&f), NF_XENBUS_INITWAIT, "the front sees it");
	is(f.other_state, NF_XENBUS_INITWAIT, "and keeps it");
	is(nf_device_switch(&f, NF_XENBUS_INITWAIT), -EINVAL, "a front never waits so");
	is(f.state, NF_XENBUS_INITIALISING, "refused: nothing changed");
	is(nf_device_switch(&f, NF_XENBUS_CONNECTED), 0, "the front connects");
	is(mem_store_read(world, "/local/domain/1/device/vif/0/state", value, sizeof(value)), 1,
	   "in the store");
	is_str(value, "4", "as a number");
	drain(stores[0], &events);
	ok(events > 0, "the back was told");
	is(nf_device_key(&f, true, "mac", key), 0, "a key of the other end");
	is_str(key, BACK "/mac", "joined");
	nf_device_close(&f);
	nf_device_close(&f);
	nf_device_close(&b);
	is(nf_device_switch(&b, NF_XENBUS_CLOSING), -ENODEV, "a closed device switches nothing");
	is(nf_device_look(&b), -ENODEV, "nor looks");
	events = 0;
	drain(stores[0], &events);
	events = 0;
	mem_store_write(world, "/local/domain/1/device/vif/0/state", "5");
	drain(stores[0], &events);
	is(events, 0, "nor is told anything");
}

/* What the other end may write where its state belongs. */
static void test_junk_states(void)
{
	static const struct {
		const char *text;
		int want;
	} cases[] = {
		{"4", 4},
		{"8", 8},
		{"0", 0},
		{"9", 0},
		{"-1", 0},
		{"", 0},
		{"x", 0},
		{" 4", 0},
		{"4 ", 0},
		{"4294967300", 0},
		{"99999999999999999999999999999999999999999999999999999999999999", 0},
	};
	struct nf_device b;

	is(open_end(&b, true), 0, "open");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		mem_store_write(world, "/local/domain/1/device/vif/0/state", cases[i].text);
		is(nf_device_look(&b), cases[i].want, "state \"%s\"", cases[i].text);
	}
	mem_store_rm(world, "/local/domain/1/device/vif/0");
	is(nf_device_look(&b), NF_XENBUS_CLOSED, "a vanished node is Closed");
	nf_device_close(&b);
}

/* A node that the toolstack removed must not come back as a lone `state` or `error`. */
static void test_no_resurrection(void)
{
	struct nf_device f;
	char value[64];

	is(open_end(&f, false), 0, "open");
	mem_store_rm(world, "/local/domain/1/device/vif/0");
	is(nf_device_switch(&f, NF_XENBUS_CONNECTED), -ENOENT, "switch without a node");
	is(nf_device_fail(&f, -EPROTO, "too late"), -EPROTO, "fail without a node");
	is(mem_store_read(world, "/local/domain/1/device/vif/0/state", value, sizeof(value)),
	   -ENOENT, "no state came back");
	is(mem_store_read(world, "/local/domain/1/device/vif/0/error", value, sizeof(value)),
	   -ENOENT, "no error came back");
	nf_device_close(&f);
}

static void test_fail(void)
{
	struct nf_device f;
	char value[600], long_text[500];

	is(open_end(&f, false), 0, "open");
	is(nf_device_fail(&f, -EPROTO, "tx size %u of %s", 70000u, "a\x1b[31mb\n"), -EPROTO,
	   "returns its error");
	mem_store_read(world, "/local/domain/1/device/vif/0/error", value, sizeof(value));
	is_str(value, "71 tx size 70000 of a?[31mb?", "the node says why, without escapes");
	memset(long_text, 'y', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	is(nf_device_fail(&f, -EIO, "%s", long_text), -EIO, "a long text");
	ok(mem_store_read(world, "/local/domain/1/device/vif/0/error", value, sizeof(value)) < 300,
	   "is cut");
	nf_device_close(&f);
}

/* Nodes that do not point at each other. */
static void test_mutual(void)
{
	static const struct {
		bool is_back; /* whose node has it */
		const char *key, *value;
		bool opens_back;
		int want;
	} cases[] = {
		{false, "backend", "/local/domain/0/backend/vif/1/7", false, -ENOENT},
		{false, "backend", "/local/domain/2/backend/vif/1/0", false, -EPROTO},
		{false, "backend", "backend/vif/1/0", false, -EPROTO},
		{false, "backend", "/local/domain/0", false, -EPROTO},
		{false, "backend", "/local/domain/0/", false, -EPROTO},
		{false, "backend", "", false, -EPROTO},
		{false, "backend-id", "x", false, -EPROTO},
		{false, "backend-id", "65536", false, -EPROTO},
		{false, "backend-id", "32752", false, -EPROTO},
		{true, "frontend", "/local/domain/1/device/vif/1", false, -EPROTO},
		{true, "frontend-id", "2", false, -EPROTO},
		{true, "frontend-id", "junk", true, -EPROTO},
		{false, "backend", "/local/domain/0/backend/vif/1/3", true, -EPROTO},
		{false, "backend-id", "3", true, -EPROTO},
		{false, "backend-id", "-1", true, -EPROTO},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nf_device d = {.devid = 77};
		char old[128];
		char path[256];

		snprintf(path, sizeof(path), "%s/%s",
			 cases[i].is_back ? vif.back_path : vif.front_path, cases[i].key);
		mem_store_read(world, path, old, sizeof(old));
		mem_store_write(world, path, cases[i].value);
		is(open_end(&d, cases[i].opens_back), cases[i].want, "%s's %s = \"%s\"",
		   cases[i].is_back ? "back" : "front", cases[i].key, cases[i].value);
		is(d.devid, 77, "nothing opened");
		mem_store_write(world, path, old);
	}
}

static void test_arguments(void)
{
	struct nf_device d;
	char path[NF_STORE_PATH_MAX + 10], token[64];

	memset(path, 'p', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	memset(token, 't', sizeof(token));
	token[sizeof(token) - 1] = '\0';
	is(nf_device_open(&d, layers[1], stores[1], "", false, "t"), -EINVAL, "no path");
	is(nf_device_open(&d, layers[1], stores[1], path, false, "t"), -EINVAL, "a long path");
	is(nf_device_open(&d, layers[1], stores[1], FRONT, false, ""), -EINVAL, "no token");
	is(nf_device_open(&d, layers[1], stores[1], FRONT, false, token), -EINVAL, "a long token");
	is(nf_device_open(&d, layers[1], stores[1], "device/vif/x", false, "t"), -EINVAL,
	   "no devid");
	is(nf_device_open(&d, layers[1], stores[1], "device/vif/65536", false, "t"), -EINVAL,
	   "a devid beyond 16 bits");
	is(nf_device_open(&d, layers[1], stores[1], "device/vif/9", false, "t"), -ENOENT,
	   "a device that is not there");
	is(open_end(&d, false), 0, "open");
	memset(path, 'k', NF_STORE_PATH_MAX - sizeof(FRONT) - 1);
	path[NF_STORE_PATH_MAX - sizeof(FRONT) - 1] = '\0';
	char key[NF_STORE_PATH_MAX] = "old";
	is(nf_device_key(&d, false, path, key), 0, "the longest key");
	strcat(path, "k");
	is(nf_device_key(&d, false, path, key), -ERANGE, "one byte more");
	nf_device_close(&d);
}

/* A server that dies in mid-operation is an error of each, and closing is safe. */
static void test_store_death(void)
{
	struct nf_device f;

	is(open_end(&f, false), 0, "open");
	mem_store_hangup(world, 1);
	is(nf_device_switch(&f, NF_XENBUS_CONNECTED), -ECONNRESET, "switch");
	is(f.state, NF_XENBUS_INITIALISING, "did not happen");
	is(nf_device_look(&f), -ECONNRESET, "look");
	is(nf_device_fail(&f, -EIO, "x"), -EIO, "fail still returns its own error");
	nf_device_close(&f);
}

static void with_device(void (*run)(void))
{
	struct mem_baseline before;
	char why[256] = "";

	world = mem_world_new("device");
	mem_world_layer(world, 0);
	mem_world_baseline(world, &before);
	for (uint16_t i = 0; i < 2; i++) {
		layers[i] = mem_world_layer(world, i);
		stores[i] = NULL;
		is(nf_store_open(layers[i]->ops->store_fd(layers[i]), &stores[i]), 0, "store");
	}
	is(mem_vif_create(&vif, world, 1, 0, 0, "null"), 0, "device nodes");
	run();
	for (int i = 0; i < 2; i++)
		nf_store_close(stores[i]);
	is(mem_world_settle(world, &before, 2000, why, sizeof(why)), 0, "nothing left %s", why);
	mem_world_free(world);
}

int main(void)
{
	with_device(test_life);
	with_device(test_junk_states);
	with_device(test_no_resurrection);
	with_device(test_fail);
	with_device(test_mutual);
	with_device(test_arguments);
	with_device(test_store_death);
	return done();
}
