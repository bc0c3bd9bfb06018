/* SPDX-License-Identifier: MIT */
/* HOSTILE.md group 12: xenstore keys and states that are junk, vanish or never stop changing. */
#include "hostile.h"

#include <time.h>

static const char *const junk[] = {"",	  "abc", "-1",	"4294967296", "99999999999999999999",
				   " 9",  "9 ",	 "0x9", "+9",	      "9.5",
				   "9\n", "long"};
#define JUNK (sizeof(junk) / sizeof(junk[0]))

static int key_junk(struct hostile *h, const char *key, const char *value)
{
	char text[2000];
	if (strcmp(value, "long") != 0)
		return hostile_key(h, key, "%s", value);
	memset(text, '9', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	return hostile_key(h, key, "%s", text);
}

/* The value as one line. */
static const char *shown(const char *value)
{
	return value[0] == '\0' ? "(empty)" : strchr(value, '\n') ? "(a line's end)" : value;
}

/* One key of a front that is otherwise honest. */
static void front_key(struct scene *s, const char *key, const char *value)
{
	SCENE(s, scene_prepare(s, false, NULL, NULL), "front key: opened");
	is(hostile_wait(&s->h, NF_XENBUS_INITWAIT), 0, "front key: offered");
	(void)hostile_front_publish(&s->h);
	(void)hostile_state(&s->h, NF_XENBUS_INITIALISING);
	(void)key_junk(&s->h, key, value);
	(void)hostile_state(&s->h, NF_XENBUS_CONNECTED);
	SCENE(s, scene_refused(s, key), "front key: %s, %s", key, shown(value));
	SCENE(s, scene_end(s, false), "front key: baseline");
}

static void front_keys(struct scene *s)
{
	static const char *const keys[] = {"tx-ring-ref",	 "rx-ring-ref",
					   "event-channel",	 "ctrl-ring-ref",
					   "event-channel-ctrl", "feature-sg",
					   "feature-gso-tcpv4",	 "request-rx-copy"};
	/* every kind of junk for one key, two kinds for the others */
	for (size_t i = 0; i < JUNK; i++)
		front_key(s, "tx-ring-ref", junk[i]);
	for (size_t k = 1; k < sizeof(keys) / sizeof(keys[0]); k++) {
		front_key(s, keys[k], junk[k % JUNK]);
		front_key(s, keys[k], "4294967296");
	}
	front_key(s, "tx-ring-ref", "0");
	front_key(s, "request-rx-copy", "0");
	front_key(s, "feature-no-csum-offload", "2");
}

static void front_keys_missing(struct scene *s)
{
	static const char *const keys[] = {"tx-ring-ref", "rx-ring-ref", "event-channel",
					   "event-channel-ctrl", "request-rx-copy"};
	for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
		char path[128];
		SCENE(s, scene_prepare(s, false, NULL, NULL), "missing: opened");
		is(hostile_wait(&s->h, NF_XENBUS_INITWAIT), 0, "missing: offered");
		void (*turn)(void *) = s->h.turn;
		s->h.turn = NULL; /* the back sees it all at once */
		(void)hostile_front_publish(&s->h);
		snprintf(path, sizeof(path), "%s/%s", s->v.front_path, keys[k]);
		(void)mem_store_rm(s->r.w, path);
		s->h.turn = turn;
		SCENE(s, scene_refused(s, keys[k]), "missing: %s", keys[k]);
		SCENE(s, scene_end(s, true), "missing: baseline");
	}
}

static void back_keys(struct scene *s)
{
	static const char *const keys[] = {
		"multi-queue-max-queues", "feature-sg",	       "feature-split-event-channels",
		"feature-ctrl-ring",	  "feature-gso-tcpv6", "feature-rx-copy"};
	for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
		for (size_t i = k; i < JUNK; i += k == 0 ? 1 : 5) {
			SCENE(s, scene_prepare(s, true, NULL, NULL), "back key: opened");
			(void)hostile_state(&s->h, NF_XENBUS_INITIALISING);
			(void)key_junk(&s->h, keys[k], junk[i]);
			(void)hostile_state(&s->h, NF_XENBUS_INITWAIT);
			SCENE(s, scene_refused(s, keys[k]), "back key: %s, %s", keys[k],
			      shown(junk[i]));
			SCENE(s, scene_end(s, i & 1), "back key: baseline");
		}
	}
}

/* After any sequence of states an honest front can still connect. */
static void recover(struct scene *s, const char *what)
{
	(void)hostile_state(&s->h, NF_XENBUS_CLOSED);
	is(hostile_wait(&s->h, NF_XENBUS_CLOSED), 0, "%s: closed", what);
	hostile_close(&s->h);
	int rc = hostile_front_open(&s->h, mem_world_layer(s->r.w, 1), 0, NULL);
	(void)hostile_state(&s->h, NF_XENBUS_INITIALISING);
	if (rc == 0)
		rc = hostile_front_connect(&s->h);
	is(rc, 0, "%s: an honest connection afterwards", what);
	if (rc == 0) {
		hostile_tx_frame(&s->h, 0, 0, 60);
		hostile_tx_push(&s->h, 0);
		ok(tx_answered(&s->h, 0), "%s: which moves", what);
	}
	ok(rig_pair_moves(&s->bystander, 50, 5000), "%s: the bystander goes on", what);
	SCENE(s, scene_end(s, false), "%s: baseline", what);
}

static void any_to_any(struct scene *s)
{
	static const char *const odd[] = {"9", "-1", "", "four", "4294967300"};
	uint32_t seed = 12345;
	SCENE(s, scene_prepare(s, false, NULL, NULL), "any to any: opened");
	for (int i = 0; i < 300; i++) {
		seed = seed * 1103515245u + 12345u;
		uint32_t pick = seed >> 16;
		if (pick % 7 == 0)
			(void)hostile_key(&s->h, "state", "%s", odd[pick % 5]);
		else if (pick % 7 == 1)
			(void)hostile_front_publish(&s->h);
		else
			(void)hostile_state(&s->h, (int)(pick % 9));
		rig_turn(&s->r);
	}
	recover(s, "any to any");
}

static void flapping(struct scene *s)
{
	SCENE(s, scene_front(s, NULL, NULL), "flapping: connected");
	struct timespec t0, t1;
	clock_gettime(CLOCK_MONOTONIC, &t0);
	for (int i = 0; i < 1000; i++) {
		(void)hostile_state(&s->h, i & 1 ? NF_XENBUS_CONNECTED : NF_XENBUS_CLOSING);
		if (i % 3 == 0)
			rig_turn(&s->r);
	}
	clock_gettime(CLOCK_MONOTONIC, &t1);
	diag("1,000 changes in %lld ms",
	     (long long)((t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000));
	recover(s, "flapping");
}

/* The toolstack (or a hostile peer) takes the nodes away under a running device. */
static void vanish(struct scene *s, bool hostile_is_back, bool both)
{
	char state[8], path[96];
	bool up = hostile_is_back ? scene_back(s, NULL, NULL) : scene_front(s, NULL, NULL);
	SCENE(s, up, "vanish: connected");
	rig_generate(s->real, NF_GEN_SEND, 200, 0);
	(void)mem_store_rm(s->r.w, hostile_is_back ? s->v.back_path : s->v.front_path);
	if (both)
		mem_vif_remove(&s->v);
	rig_linger(&s->r, 50);
	ok(rig_phase(s->real) != NF_NET_RUNNING, "vanish: it stops (phase %d)", rig_phase(s->real));
	rig_generate(s->real, NF_GEN_IDLE, 200, 0);
	snprintf(path, sizeof(path), "%s/state",
		 hostile_is_back ? s->v.back_path : s->v.front_path);
	is(mem_store_read(s->r.w, path, state, sizeof(state)), -ENOENT,
	   "vanish: nobody makes the peer's node again");
	if (both) {
		snprintf(path, sizeof(path), "%s/state",
			 hostile_is_back ? s->v.front_path : s->v.back_path);
		is(mem_store_read(s->r.w, path, state, sizeof(state)), -ENOENT,
		   "vanish: nor our own");
	}
	ok(rig_pair_moves(&s->bystander, 50, 5000), "vanish: the bystander goes on");
	SCENE(s, scene_end(s, false), "vanish: baseline");
}

/* Writes that fire watches as fast as they can be written. */
static void flood(struct scene *s)
{
	SCENE(s, scene_front(s, NULL, NULL), "flood: connected");
	for (int i = 0; i < 3000; i++)
		(void)hostile_state(&s->h, NF_XENBUS_CONNECTED);
	SCENE(s, scene_survived(s), "flood: 3,000 watch events change nothing");
	SCENE(s, scene_end(s, false), "flood: baseline");
}

/* The store fails us in the middle: an error or a connection, never a leak. */
static void store_fails(struct scene *s)
{
	static const int errors[] = {-EIO, -ENOSPC, -ENOMEM, -EAGAIN};
	for (uint32_t n = 1; n <= 40; n++) {
		s->h.wait_ms = 60;
		mem_world_fail(s->r.w, 0, MEM_STORE, n, errors[n % 4]);
		bool up = scene_prepare(s, false, NULL, NULL) && hostile_front_connect(&s->h) == 0;
		mem_world_fail(s->r.w, 0, MEM_STORE, 0, 0);
		s->h.wait_ms = 0;
		if (!scene_end(s, false))
			ok(false, "store request %u fails (connected: %d): %s", n, up, s->why);
		s->h.wait_ms = 0;
	}
	ok(rig_pair_moves(&s->bystander, 50, 5000), "store fails: the bystander goes on");
	ok(true, "store fails: 40 points, nothing left behind");
}

int main(void)
{
	struct scene s;
	SCENE(&s, scene_open(&s, NF_POLL_EVENT), "the stage");
	front_keys(&s);
	front_keys_missing(&s);
	back_keys(&s);
	any_to_any(&s);
	flapping(&s);
	vanish(&s, false, false);
	vanish(&s, false, true);
	vanish(&s, true, false);
	vanish(&s, true, true);
	flood(&s);
	store_fails(&s);
	scene_close(&s);
	return done();
}
