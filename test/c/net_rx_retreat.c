/* SPDX-License-Identifier: MIT */
/*
 * Group 1, a case between: rx req_prod goes back behind requests the back has looked up already but
 * not behind those it has answered. In the ring that is a possible index; it must still end the
 * device, and soon.
 */
#include <time.h>

#include "hostile.h"

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void retreat(struct scene *s, uint32_t by)
{
	double start;
	SCENE(s, scene_front(s, NULL, NULL), "connected");
	for (uint32_t k = 0; k < 10; k++)
		hostile_rx_post(&s->h, 0, k, s->h.q[0].rx_grefs[k]);
	hostile_rx_push(&s->h, 0);
	hostile_linger(&s->h, 20);
	hostile_poke(&s->h, 0, 'r', 0, s->h.q[0].rx_prod - by);
	start = seconds();
	hostile_kick(&s->h, 0);
	SCENE(s, scene_refused(s, "rx req_prod"), "req_prod %u back", by);
	ok(seconds() - start < 4, "at once");
	SCENE(s, scene_end(s, false), "baseline");
}

int main(void)
{
	struct scene s;
	SCENE(&s, scene_open(&s, NF_POLL_EVENT), "the stage");
	retreat(&s, 1);
	retreat(&s, 5);
	retreat(&s, 10);
	scene_close(&s);
	return done();
}
