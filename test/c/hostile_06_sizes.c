/* SPDX-License-Identifier: MIT */
/* HOSTILE.md group 6: sizes, offsets and slot counts of tx packets. */
#include "hostile.h"

#define MORE NF_NETTXF_more_data

struct slot {
	uint32_t offset, flags, size;
};

/* What a case expects. */
enum outcome {
	TAKEN,	/* answered OKAY, the port gets one frame */
	ERROR,	/* answered ERROR, no frame */
	REFUSED /* protocol error */
};

struct packet {
	const char *what;
	enum outcome outcome;
	const char *text;
	uint32_t slots; /* listed; 0: `repeat` slots like slot[0], the first's size is total */
	uint32_t repeat, total;
	struct slot slot[4];
};

static const struct packet packets[] = {
	{"14 bytes", TAKEN, "", 1, 0, 0, {{0, 0, 14}}},
	{"13 bytes", ERROR, "", 1, 0, 0, {{0, 0, 13}}},
	{"size 0", ERROR, "", 1, 0, 0, {{0, 0, 0}}},
	{"a whole page", TAKEN, "", 1, 0, 0, {{0, 0, 4096}}},
	{"the page's last bytes", TAKEN, "", 1, 0, 0, {{4036, 0, 60}}},
	{"one byte over the page", REFUSED, "tx offset + size", 1, 0, 0, {{4037, 0, 60}}},
	{"offset 4096", REFUSED, "tx offset + size", 1, 0, 0, {{4096, 0, 60}}},
	{"offset 65535", REFUSED, "tx offset + size", 1, 0, 0, {{65535, 0, 60}}},
	{"offset + size wraps 16 bits", REFUSED, "tx offset + size", 1, 0, 0, {{4000, 0, 65535}}},
	{"65535 in one slot", REFUSED, "tx offset + size", 1, 0, 0, {{0, 0, 65535}}},
	{"two slots", TAKEN, "", 2, 0, 0, {{0, MORE, 100}, {0, 0, 40}}},
	{"the second larger than the total",
	 REFUSED,
	 "tx fragment size",
	 2,
	 0,
	 0,
	 {{0, MORE, 100}, {0, 0, 101}}},
	{"the sum larger than the total",
	 REFUSED,
	 "tx fragment size",
	 3,
	 0,
	 0,
	 {{0, MORE, 50}, {0, MORE, 30}, {0, 0, 30}}},
	{"a total its slots cannot hold",
	 REFUSED,
	 "tx offset + size",
	 2,
	 0,
	 0,
	 {{0, MORE, 9000}, {0, 0, 100}}},
	{"the second crosses its page",
	 REFUSED,
	 "tx offset + size",
	 2,
	 0,
	 0,
	 {{0, MORE, 200}, {4050, 0, 100}}},
	{"empty fragments", TAKEN, "", 3, 0, 0, {{0, MORE, 60}, {0, MORE, 0}, {0, 0, 0}}},
	{"an empty fragment at the page's end", TAKEN, "", 2, 0, 0, {{0, MORE, 60}, {4096, 0, 0}}},
	{"more_data and nothing more", REFUSED, "beyond req_prod", 1, 0, 0, {{0, MORE, 60}}},
	{"more_data three times and nothing more",
	 REFUSED,
	 "beyond req_prod",
	 3,
	 0,
	 0,
	 {{0, MORE, 600}, {0, MORE, 60}, {0, MORE, 60}}},
	{"18 slots", TAKEN, "", 0, 18, 18 * 60, {{0, MORE, 60}}},
	{"18 slots of one byte", TAKEN, "", 0, 18, 18, {{0, MORE, 1}}},
	{"16 slots, 65535 bytes", TAKEN, "", 0, 16, 65535, {{0, MORE, 4096}}},
	{"19 slots", ERROR, "", 0, 19, 19 * 60, {{0, MORE, 60}}},
	{"20 slots", ERROR, "", 0, 20, 20 * 60, {{0, MORE, 60}}},
	{"21 slots", REFUSED, "tx fragments", 0, 21, 21 * 60, {{0, MORE, 60}}},
	{"256 slots", REFUSED, "tx fragments", 0, 256, 65535, {{0, MORE, 1}}},
};

static uint32_t put(struct hostile *h, const struct packet *p)
{
	struct hostile_queue *q = &h->q[0];
	uint32_t count = p->slots ? p->slots : p->repeat, first = q->tx_prod;
	for (uint32_t i = 0; i < count; i++) {
		struct slot one = p->slot[p->slots ? i : 0];
		if (!p->slots && i == 0)
			one.size = p->total;
		if (!p->slots && i + 1 == count)
			one.flags = 0;
		hostile_tx(h, 0, q->tx_grefs[i], one.offset, one.flags, i, one.size);
	}
	return first;
}

static void play(struct scene *s, const struct packet *p, bool copy)
{
	struct hostile_options opt = {.no_ctrl = copy};
	struct rig_options o = {.grants = copy ? NF_NET_GRANTS_COPY : NF_NET_GRANTS_STATIC};
	const char *how = copy ? "copy" : "static";
	SCENE(s, scene_front(s, &opt, &o), "%s: connected", how);
	uint32_t first = put(&s->h, p), end = s->h.q[0].tx_prod;
	hostile_tx_push(&s->h, 0);
	if (p->outcome == REFUSED) {
		SCENE(s, scene_refused(s, p->text), "%s: %s is refused", how, p->what);
		is(rig_counter(s->real, NF_COUNTER_sink_packets), 0, "%s: no frame of it", how);
	} else {
		ok(tx_answered(&s->h, 0), "%s: %s is answered", how, p->what);
		int want = p->outcome == TAKEN ? NF_NETIF_RSP_OKAY : NF_NETIF_RSP_ERROR;
		bool all = true;
		for (uint32_t i = first; i != end; i++)
			all = all && tx_rsp_at(&s->h, 0, i).status == want;
		ok(all, "%s: each slot with %d", how, want);
		is(rig_counter(s->real, NF_COUNTER_sink_packets), p->outcome == TAKEN,
		   "%s: frames at the port", how);
		SCENE(s, scene_survived(s), "%s: goes on", how);
	}
	SCENE(s, scene_end(s, false), "%s: baseline", how);
}

int main(void)
{
	struct scene s;
	SCENE(&s, scene_open(&s, NF_POLL_EVENT), "the stage");
	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
		play(&s, &packets[i], false);
		play(&s, &packets[i], true);
	}
	scene_close(&s);
	return done();
}
