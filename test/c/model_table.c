/* SPDX-License-Identifier: MIT */
/*
 * Every execution of the relay's translate table: the real loops (nf__queue_run, nf__queue_arm and
 * all they call) between an L2 that may write any word between two reads, and an L0 that answers in
 * any order, makes things up, or does late what a relay that is no more asked it for. The relay may
 * be killed at any access; the next one has new rings, a new table and whatever pages are free.
 *
 * Never: a page outside that is not this L2's, or not the one it named; an id answered twice, or
 * without being asked; half a packet; a late copy in a page that is somebody else's by then. And
 * while a relay lives, every id is answered and every frame arrives, asleep or not.
 *
 * long_model_table.c has the same with more of everything.
 */
#define MODEL_SLOTS 2
#include "model/table_tap.h"

static const struct scene scenes[] = {
	{"frames from L2", .tx = 2, .shapes = ONE | TWO | GSO | HALVES},
	{"frames to L2", .rx = 3, .shapes = ONE | TWO | GSO | HALVES | ERROR},
	{"both ways", .tx = 1, .rx = 1, .shapes = ONE},
	{"L2 rewrites what it sends", .tx = 1, .shapes = ONE, .lies = 2},
	{"L2 rewrites what it posts", .rx = 1, .shapes = ONE, .lies = 2},
	{"L0 makes up answers", .tx = 2, .shapes = ONE, .forged = 1},
	{"L0 makes up frames", .rx = 2, .shapes = ONE, .forged = 1},
	{"killed anywhere while L2 sends", .tx = 1, .shapes = ONE, .kills = 1},
	{"killed anywhere while L2 receives", .rx = 1, .shapes = ONE, .kills = 1},
	{"killed, then an L0 that makes answers up", .tx = 1, .shapes = ONE, .kills = 1,
	 .forged = 1},
};

/* --hasty: sound scenes only, up to the first that is not. */
int main(int argc, char **argv)
{
	const struct scene lies = {"", .tx = 1, .shapes = ONE, .lies = 2},
			   sends = {"", .tx = 2, .shapes = ONE},
			   forged = {"", .rx = 2, .shapes = ONE, .forged = 1},
			   again = {"", .tx = 1, .shapes = ONE, .kills = 1, .forged = 1},
			   late = {"", .rx = 1, .shapes = ONE, .kills = 1};
	bool is_hasty = argc > 1 && !strcmp(argv[1], "--hasty");
	scenes_run(scenes, sizeof(scenes) / sizeof(scenes[0]), is_hasty);
	if (!is_hasty) {
		found("a gref that passes as L2 wrote it", NAMES_PASS, &sends);
		found("a size that is read again after the check", SIZE_AGAIN, &lies);
		found("an index of L0's that is believed", NO_CLAMP, &forged);
		found("an id in flight that looks free", NOT_BUSY, &sends);
		found("a table that outlives its connection", NO_RESET, &again);
		found("a page that is handed out while L0 holds it", HELD_REUSED, &late);
	}
	scenes_end();
	return done();
}
