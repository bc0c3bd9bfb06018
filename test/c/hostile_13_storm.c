/* SPDX-License-Identifier: MIT */
/* HOSTILE.md group 13: event storms on empty rings, closed ports, peers that never notify. */
#include "hostile.h"

#include <pthread.h>
#include <time.h>

struct storm {
	struct hostile *h;
	uint32_t stop;
	uint64_t sent;
};

static void *rain(void *arg)
{
	struct storm *w = arg;
	while (!nf_load_relaxed(&w->stop)) {
		for (int i = 0; i < 64; i++)
			(void)w->h->layer->ops->chan_notify(&w->h->q[0].tx_chan);
		w->sent += 64;
		nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
	}
	return NULL;
}

static void under_storm(struct scene *s, bool hostile_is_back)
{
	const char *what = hostile_is_back ? "front" : "back";
	SCENE(s, hostile_is_back ? scene_back(s, NULL, NULL) : scene_front(s, NULL, NULL),
	      "%s: connected", what);
	struct storm w = {.h = &s->h};
	pthread_t t;
	if (pthread_create(&t, NULL, rain, &w) != 0)
		abort();
	uint64_t sent = rig_counter(s->real, NF_COUNTER_notify_sent);
	bool moves = true;
	for (int i = 0; i < 10; i++)
		moves = moves && rig_pair_moves(&s->bystander, 200, 5000);
	ok(moves, "%s: ten rounds of the bystander's traffic get through the storm", what);
	nf_store_relaxed(&w.stop, 1);
	pthread_join(t, NULL);
	diag("%llu notifications sent, %llu merged into it", (unsigned long long)w.sent,
	     (unsigned long long)rig_counter(s->real, NF_COUNTER_notify_received));
	is(rig_counter(s->real, NF_COUNTER_notify_sent), sent, "%s: nothing is sent back", what);
	is(rig_counter(s->real, NF_COUNTER_tx_packets), 0, "%s: and nothing moved", what);
	SCENE(s, scene_survived(s), "%s: goes on", what);
	SCENE(s, scene_end(s, false), "%s: baseline", what);
}

/* The control channel of either end, without a request behind it. */
static void ctrl_storm(struct scene *s)
{
	SCENE(s, scene_front(s, NULL, NULL), "ctrl storm: connected");
	for (int i = 0; i < 2000; i++) {
		(void)s->h.layer->ops->chan_notify(&s->h.ctrl_chan);
		if (i % 50 == 0)
			rig_turn(&s->r);
	}
	SCENE(s, scene_survived(s), "ctrl storm: 2,000 events ask nothing");
	SCENE(s, scene_end(s, false), "ctrl storm: baseline");
}

/* The peer closes its end of a channel and leaves everything else as it is. */
static void closed_port(struct scene *s, bool hostile_is_back)
{
	SCENE(s, hostile_is_back ? scene_back(s, NULL, NULL) : scene_front(s, NULL, NULL),
	      "closed port: connected");
	s->h.layer->ops->chan_close(&s->h.q[0].tx_chan);
	SCENE(s, scene_refused(s, "hung up"), "closed port: the device stops");
	SCENE(s, scene_end(s, false), "closed port: baseline");
}

/* Requests without a notification: served when anything wakes the poller, and never a hang. */
static void never_notifies(struct scene *s)
{
	SCENE(s, scene_front(s, NULL, NULL), "never notifies: connected");
	for (uint32_t i = 0; i < 100; i++)
		hostile_tx_frame(&s->h, 0, i, 60);
	hostile_poke(&s->h, 0, 't', 0, s->h.q[0].tx_prod);
	ok(rig_pair_moves(&s->bystander, 200, 5000), "never notifies: the bystander goes on");
	ok(tx_answered(&s->h, 0), "never notifies: served with the others");
	SCENE(s, scene_survived(s), "never notifies: goes on");
	SCENE(s, scene_end(s, false), "never notifies: baseline");
}

int main(void)
{
	struct scene s;
	SCENE(&s, scene_open(&s, NF_POLL_EVENT), "the stage");
	under_storm(&s, false);
	under_storm(&s, true);
	ctrl_storm(&s);
	closed_port(&s, false);
	closed_port(&s, true);
	never_notifies(&s);
	scene_close(&s);
	return done();
}
