/* SPDX-License-Identifier: MIT */
/* model_table.c with more of everything. */
#define MODEL_SLOTS 2
#include "model/table_tap.h"

static const struct scene scenes[] = {
	{"frames of all shapes from L2", .tx = 3, .shapes = ONE | TWO | GSO | HALVES},
	{"frames of all shapes to L2", .rx = 4, .shapes = ONE | TWO | GSO | HALVES | ERROR},
	{"both ways", .tx = 2, .rx = 1, .shapes = ONE},
	{"L2 rewrites three words while it sends", .tx = 1, .shapes = ONE, .lies = 3},
	{"L2 rewrites three words while it receives", .rx = 1, .shapes = ONE, .lies = 3},
	{"L0 makes up two answers", .tx = 3, .shapes = ONE | GSO, .forged = 2},
	{"L0 makes up two frames", .rx = 3, .shapes = ONE | TWO, .forged = 2},
	{"killed anywhere while L2 sends", .tx = 2, .shapes = ONE, .kills = 1},
	{"killed anywhere in longer frames", .tx = 1, .shapes = TWO | GSO | HALVES, .kills = 1},
	{"killed anywhere while L2 receives", .rx = 2, .shapes = ONE, .kills = 1},
	{"killed between liars", .tx = 1, .shapes = ONE, .kills = 1, .lies = 1, .forged = 1},
};

int main(void)
{
	scenes_run(scenes, sizeof(scenes) / sizeof(scenes[0]), false);
	scenes_end();
	return done();
}
