/* SPDX-License-Identifier: MIT */
/* HOSTILE.md group 8: what a back may write into an rx ring. */
#include "hostile.h"

#define MORE NF_NETRXF_more_data

static const struct rx_case {
	const char *what;
	uint32_t slots, offset, flags;
	int status;
	bool ends;	  /* the last slot has no more_data */
	const char *text; /* NULL: dropped or taken, and the front goes on */
	uint32_t taken;
} cases[] = {
	{"14 bytes", 1, 0, 0, 14, true, NULL, 1},
	{"a page", 1, 0, 0, 4096, true, NULL, 1},
	{"the page's last bytes", 1, 4036, 0, 60, true, NULL, 1},
	{"13 bytes", 1, 0, 0, 13, true, NULL, 0},
	{"nothing", 1, 0, 0, 0, true, NULL, 0},
	{"an error", 1, 0, 0, -1, true, NULL, 0},
	{"a drop", 1, 0, 0, -2, true, NULL, 0},
	{"an error of three slots", 3, 0, MORE, -1, true, NULL, 0},
	{"4097 bytes", 1, 0, 0, 4097, true, "rx offset + status", 0},
	{"32767 bytes", 1, 0, 0, 32767, true, "rx offset + status", 0},
	{"status -3", 1, 0, 0, -3, true, "rx response status", 0},
	{"status -32768", 1, 0, 0, -32768, true, "rx response status", 0},
	{"one byte over the page", 1, 4037, 0, 60, true, "rx offset + status", 0},
	{"offset 4097", 1, 4097, 0, 0, true, "rx offset + status", 0},
	{"offset 65535", 1, 65535, 0, 60, true, "rx offset + status", 0},
	{"offset 65535 and the largest status", 1, 65535, 0, 32767, true, "rx offset + status", 0},
	{"18 slots", 18, 0, MORE, 100, true, NULL, 1},
	{"19 slots", 19, 0, MORE, 100, true, "rx fragments", 0},
	{"200 slots", 200, 0, MORE, 100, true, "rx fragments", 0},
	{"more_data and nothing more", 1, 0, MORE, 100, false, "beyond rsp_prod", 0},
	{"more_data for ever", 256, 0, MORE, 100, false, "rx fragments", 0},
	{"empty slots for ever", 256, 0, MORE, 0, false, "rx fragments", 0},
	{"73,728 bytes in 18 slots", 18, 0, MORE, 4096, true, "rx frame bytes", 0},
	{"gso-prefix, which is dead", 1, 0, NF_NETRXF_gso_prefix, 100, true, "rx flags", 0},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static void play(struct scene *s, const struct rx_case *c)
{
	SCENE(s, scene_back(s, NULL, NULL), "connected");
	for (uint32_t i = 0; i < c->slots; i++) {
		uint32_t flags = c->ends && i + 1 == c->slots ? c->flags & ~MORE : c->flags;
		hostile_rx_rsp(&s->h, 0, i, c->offset, flags, c->status);
	}
	hostile_rx_rsp_push(&s->h, 0);
	if (c->text) {
		SCENE(s, scene_refused(s, c->text), "%s", c->what);
	} else {
		for (int i = 0; i < 2000 && hostile_peek(&s->h, 0, 'r', 0) != 256 + c->slots; i++)
			hostile_linger(&s->h, 0);
		is(hostile_peek(&s->h, 0, 'r', 0), 256 + c->slots, "%s: buffers come back",
		   c->what);
		is(rig_counter(s->real, NF_COUNTER_rx_packets), c->taken, "%s: frames", c->what);
		SCENE(s, scene_survived(s), "%s: goes on", c->what);
	}
	SCENE(s, scene_end(s, c->slots & 1), "baseline");
}

/* Far more than a ring's worth, valid and erroneous mixed: no buffer is lost. */
static void long_run(struct scene *s)
{
	SCENE(s, scene_back(s, NULL, NULL), "long run: connected");
	uint32_t sent = 0, prod = 0;
	for (int i = 0; i < 5000 && sent < 5000; i++) {
		prod = hostile_peek(&s->h, 0, 'r', 0);
		for (; s->h.q[0].rx_prod != prod && sent < 5000; sent++)
			hostile_rx_rsp(&s->h, 0, s->h.q[0].rx_prod & 255u, sent % 4000, 0,
				       sent % 3 ? 90 : -1);
		hostile_rx_rsp_push(&s->h, 0);
		hostile_linger(&s->h, 0);
	}
	is(sent, 5000, "long run: 5,000 answers find buffers");
	hostile_linger(&s->h, 20);
	is(hostile_peek(&s->h, 0, 'r', 0), 5256, "long run: all are posted again");
	is(rig_counter(s->real, NF_COUNTER_rx_dropped_error), 1667, "long run: errors counted");
	SCENE(s, scene_survived(s), "long run: goes on");
	SCENE(s, scene_end(s, false), "long run: baseline");
}

int main(void)
{
	struct scene s;
	SCENE(&s, scene_open(&s, NF_POLL_EVENT), "the stage");
	for (size_t i = 0; i < CASES; i++)
		play(&s, &cases[i]);
	long_run(&s);
	scene_close(&s);
	return done();
}
