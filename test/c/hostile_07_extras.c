/* SPDX-License-Identifier: MIT */
/* HOSTILE.md group 7: extra info, from the front to the back and from the back to the front. */
#include "hostile.h"

#define MORE_EXTRA NF_NETIF_EXTRA_FLAG_MORE
#define GSO NF_NETIF_EXTRA_TYPE_GSO

static const struct extra_case {
	const char *what;
	uint8_t type, flags;
	uint16_t gso_bytes;
	uint8_t gso_type;
	uint32_t repeat;  /* times the extra stands in the ring */
	const char *text; /* NULL: taken */
} cases[] = {
	{"GSO v4", GSO, 0, 40, 1, 1, NULL},
	{"GSO v6", GSO, 0, 40, 2, 1, NULL},
	{"GSO of 65535: one segment", GSO, 0, 65535, 1, 1, NULL},
	{"GSO of one byte", GSO, 0, 1, 1, 1, NULL},
	{"GSO twice", GSO, MORE_EXTRA, 40, 1, 2, ""},
	{"type 0", 0, 0, 40, 1, 1, "extra type"},
	{"type 2, multicast nobody offered", 2, 0, 40, 1, 1, "extra type"},
	{"type 4, hash nobody offered", 4, 0, 40, 1, 1, "extra type"},
	{"type 5, XDP nobody offered", 5, 0, 40, 1, 1, "extra type"},
	{"type 6", 6, 0, 40, 1, 1, "extra type"},
	{"type 255", 255, 0, 40, 1, 1, "extra type"},
	{"GSO size 0", GSO, 0, 0, 1, 1, "gso.size"},
	{"GSO type 0", GSO, 0, 40, 0, 1, "gso.type"},
	{"GSO type 3", GSO, 0, 40, 3, 1, "gso.type"},
	{"GSO type 255", GSO, 0, 40, 255, 1, "gso.type"},
	{"a chain that never ends", GSO, MORE_EXTRA, 40, 1, 250, "extras"},
	{"a chain past the producer", GSO, MORE_EXTRA, 40, 1, 1, "beyond"},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static struct nf_netif_extra_info extra_of(const struct extra_case *c, bool is_last)
{
	struct nf_netif_extra_info e = {.type = c->type, .flags = c->flags};
	/* chains of a few end; the long one and the one past the producer do not */
	if (is_last && c->text && c->text[0] == '\0')
		e.flags = 0;
	e.u.gso.size = c->gso_bytes;
	e.u.gso.type = c->gso_type;
	return e;
}

static void back(struct scene *s, const struct extra_case *c)
{
	SCENE(s, scene_front(s, NULL, NULL), "back: connected");
	hostile_tx(&s->h, 0, s->h.q[0].tx_grefs[0], 0, NF_NETTXF_extra_info, 0, 200);
	for (uint32_t i = 0; i < c->repeat; i++) {
		struct nf_netif_extra_info e = extra_of(c, i + 1 == c->repeat);
		hostile_tx_extra(&s->h, 0, &e);
	}
	hostile_tx_push(&s->h, 0);
	if (c->text && c->text[0]) {
		SCENE(s, scene_refused(s, c->text), "back: %s", c->what);
	} else {
		ok(tx_answered(&s->h, 0), "back: %s is answered", c->what);
		is(tx_rsp_at(&s->h, 0, 0).status, NF_NETIF_RSP_OKAY, "back: the frame");
		is(tx_rsp_at(&s->h, 0, 1).status, NF_NETIF_RSP_NULL, "back: the extra, null");
		is(rig_counter(s->real, NF_COUNTER_sink_packets), 1, "back: one frame");
		SCENE(s, scene_survived(s), "back: goes on");
	}
	SCENE(s, scene_end(s, false), "back: baseline");
}

/* Extras of what was never negotiated: a direction and a protocol that were refused. */
static void back_not_agreed(struct scene *s)
{
	struct rig_options o = {.port = "null"};
	struct nf_netif_extra_info e = {.type = GSO};
	SCENE(s, scene_front(s, NULL, &o), "not agreed: connected");
	hostile_tx(&s->h, 0, s->h.q[0].tx_grefs[0], 0, NF_NETTXF_extra_info | 0xfff0u, 0, 200);
	e.u.gso.size = 40;
	e.u.gso.type = 1;
	hostile_tx_extra(&s->h, 0, &e);
	hostile_tx_push(&s->h, 0);
	ok(tx_answered(&s->h, 0), "not agreed: unknown flag bits are nothing");
	SCENE(s, scene_survived(s), "not agreed: goes on");
	SCENE(s, scene_end(s, false), "not agreed: baseline");
}

static void front(struct scene *s, const struct extra_case *c)
{
	SCENE(s, scene_back(s, NULL, NULL), "front: connected");
	hostile_rx_rsp(&s->h, 0, 0, 0, NF_NETRXF_extra_info, 200);
	for (uint32_t i = 0; i < c->repeat; i++) {
		struct nf_netif_extra_info e = extra_of(c, i + 1 == c->repeat);
		memcpy(hostile_slot(&s->h, 0, 'r', s->h.q[0].rx_prod++), &e, sizeof(e));
	}
	hostile_rx_rsp_push(&s->h, 0);
	if (c->text && c->text[0]) {
		SCENE(s, scene_refused(s, c->text), "front: %s", c->what);
	} else {
		ok(rig_until_counter(s->real, NF_COUNTER_rx_packets, 1, 2000) == 0,
		   "front: %s is taken", c->what);
		SCENE(s, scene_survived(s), "front: goes on");
	}
	SCENE(s, scene_end(s, false), "front: baseline");
}

int main(void)
{
	struct scene s;
	SCENE(&s, scene_open(&s, NF_POLL_EVENT), "the stage");
	for (size_t i = 0; i < CASES; i++) {
		back(&s, &cases[i]);
		front(&s, &cases[i]);
	}
	back_not_agreed(&s);
	scene_close(&s);
	return done();
}
