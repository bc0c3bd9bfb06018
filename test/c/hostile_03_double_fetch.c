/* SPDX-License-Identifier: MIT */
/*
 * HOSTILE.md group 3: what was checked is changed before it is used. A thread flips one word of
 * every slot between a value that is honest and one that is not while the victim works. Whatever it
 * saw, it saw once: each slot is taken or refused, and nothing outside the peer's pages is touched
 * (mappings have guard pages, so a wrong offset is a crash here).
 */
#include "hostile.h"

#include <pthread.h>

struct flipper {
	uint32_t *words[512];
	uint32_t masks[512]; /* bits to turn over and back */
	uint32_t count;
	uint32_t stop;
};

static void *flip(void *arg)
{
	struct flipper *f = arg;
	while (!nf_load_relaxed(&f->stop)) {
		for (uint32_t i = 0; i < f->count; i++) {
			uint32_t v = nf_load_relaxed(f->words[i]);
			nf_store_relaxed(f->words[i], v ^ f->masks[i]);
			nf_store_relaxed(f->words[i], v);
		}
	}
	return NULL;
}

/* Flips word `word` of every slot of a ring by mask while `push` makes the victim work. */
static void under_flips(struct scene *s, char ring, uint32_t word, uint32_t mask,
			void (*push)(struct scene *s, uint32_t round))
{
	struct flipper f = {0};
	uint32_t slots = ring == 'c' ? 128 : 256;
	for (uint32_t i = 0; i < slots; i++) {
		f.words[f.count] = (uint32_t *)hostile_slot(&s->h, 0, ring, i) + word;
		f.masks[f.count++] = mask;
	}
	pthread_t t;
	if (pthread_create(&t, NULL, flip, &f) != 0)
		abort();
	for (uint32_t round = 0; round < 40 && rig_phase(s->real) == NF_NET_RUNNING; round++)
		push(s, round);
	nf_store_relaxed(&f.stop, 1);
	pthread_join(t, NULL);
}

static void verdict(struct scene *s, const char *what)
{
	rig_linger(&s->r, 5);
	int phase = rig_phase(s->real);
	bool refused = phase == NF_NET_FAILED && strstr(scene_error(s), "protocol error");
	ok(phase == NF_NET_RUNNING || refused, "%s: taken or refused (phase %d)", what, phase);
	ok(rig_pair_moves(&s->bystander, 50, 5000), "%s: the bystander goes on", what);
	SCENE(s, scene_end(s, false), "%s: baseline", what);
}

static void push_tx(struct scene *s, uint32_t round)
{
	struct hostile_queue *q = &s->h.q[0];
	if (hostile_peek(&s->h, 0, 't', 2) != q->tx_prod) {
		hostile_linger(&s->h, 0);
		return;
	}
	for (uint32_t i = 0; i < 128; i += 2) { /* two-slot packets at the pages' ends */
		hostile_tx(&s->h, 0, q->tx_grefs[i], 4096 - 100, NF_NETTXF_more_data, i, 130);
		hostile_tx(&s->h, 0, q->tx_grefs[i + 1], 4096 - 30, 0, i + 1, 30);
	}
	(void)round;
	hostile_tx_push(&s->h, 0);
}

static void push_tx_extra(struct scene *s, uint32_t round)
{
	struct hostile_queue *q = &s->h.q[0];
	struct nf_netif_extra_info e = {.type = NF_NETIF_EXTRA_TYPE_GSO};
	e.u.gso.size = 40;
	e.u.gso.type = 1;
	if (hostile_peek(&s->h, 0, 't', 2) != q->tx_prod) {
		hostile_linger(&s->h, 0);
		return;
	}
	for (uint32_t i = 0; i < 64; i++) {
		hostile_tx(&s->h, 0, q->tx_grefs[i], 0, NF_NETTXF_extra_info, i, 200);
		hostile_tx_extra(&s->h, 0, &e);
	}
	(void)round;
	hostile_tx_push(&s->h, 0);
}

static void push_rx(struct scene *s, uint32_t round)
{
	struct hostile_queue *q = &s->h.q[0];
	while (q->rx_prod - hostile_peek(&s->h, 0, 'r', 2) < 200)
		hostile_rx_post(&s->h, 0, q->rx_prod & 255, q->rx_grefs[q->rx_prod & 255]);
	hostile_rx_push(&s->h, 0);
	if (round == 0)
		rig_generate(s->real, NF_GEN_SEND, 5000, 0);
	hostile_linger(&s->h, 0);
}

static const struct field {
	const char *what;
	char ring;
	uint32_t word, mask;
} back_fields[] = {
	{"tx gref", 't', 0, 0xff00},	   {"tx offset", 't', 1, 0x0fff},
	{"tx flags", 't', 1, 0xffff0000u}, {"tx id", 't', 2, 0xffff},
	{"tx size", 't', 2, 0xffff0000u},  {"tx size by one page", 't', 2, 0x10000000u},
	{"rx id", 'r', 0, 0xffff},	   {"rx gref", 'r', 1, 0xffff},
};

static void back(struct scene *s)
{
	for (size_t i = 0; i < sizeof(back_fields) / sizeof(back_fields[0]); i++) {
		const struct field *f = &back_fields[i];
		for (int copy = 0; copy < 2; copy++) {
			struct hostile_options opt = {.no_ctrl = copy};
			struct rig_options o = {.grants = copy ? NF_NET_GRANTS_COPY : 0};
			SCENE(s, scene_front(s, &opt, &o), "back: connected");
			under_flips(s, f->ring, f->word, f->mask,
				    f->ring == 't' ? push_tx : push_rx);
			rig_generate(s->real, NF_GEN_IDLE, 60, 0);
			verdict(s, f->what);
		}
	}
	static const uint32_t masks[] = {0xff, 0xff00, 0xffff0000u};
	for (int i = 0; i < 3; i++) {
		SCENE(s, scene_front(s, NULL, NULL), "back extra: connected");
		under_flips(s, 't', 0, masks[i], push_tx_extra);
		verdict(s, "tx extra type, flags, size");
	}
}

/* The list page of a control request, flipped while the back reads it. */
static void ctrl_list(struct scene *s)
{
	struct hostile_options opt = {.payload_pages = 64};
	SCENE(s, scene_front(s, &opt, NULL), "ctrl list: connected");
	struct flipper f = {0};
	for (uint32_t i = 0; i < 64; i++) {
		f.words[f.count] = &s->h.list[i].ref;
		f.masks[f.count++] = 0xffff;
		f.words[f.count] = (uint32_t *)(void *)&s->h.list[i].flags;
		f.masks[f.count++] = 1;
	}
	pthread_t t;
	if (pthread_create(&t, NULL, flip, &f) != 0)
		abort();
	for (uint32_t i = 0; i < 20; i++) {
		struct nf_netif_ctrl_response rsp;
		uint16_t type = i & 1 ? NF_NETIF_CTRL_TYPE_ADD_GREF_MAPPING
				      : NF_NETIF_CTRL_TYPE_DEL_GREF_MAPPING;
		if (hostile_ctrl(&s->h, type, 0, s->h.ctrl_grefs[1], 64, &rsp) < 0)
			break;
	}
	nf_store_relaxed(&f.stop, 1);
	pthread_join(t, NULL);
	SCENE(s, scene_survived(s), "ctrl list: goes on");
	verdict(s, "ctrl list");
}

/* Answers rx buffers with honest responses while words are flipped. */
static void push_rx_rsp(struct scene *s, uint32_t round)
{
	struct hostile_queue *q = &s->h.q[0];
	uint32_t prod = hostile_peek(&s->h, 0, 'r', 0);
	(void)round;
	for (uint32_t i = 0; i < 100 && q->rx_prod != prod; i++)
		hostile_rx_rsp(&s->h, 0, q->rx_prod & 255, 4096 - 200, 0, 200);
	hostile_rx_rsp_push(&s->h, 0);
	hostile_linger(&s->h, 0);
}

static void push_tx_rsp(struct scene *s, uint32_t round)
{
	struct hostile_queue *q = &s->h.q[0];
	if (round == 0)
		rig_generate(s->real, NF_GEN_SEND, 200, 0);
	uint32_t prod = hostile_peek(&s->h, 0, 't', 0);
	while (q->tx_prod != prod) {
		struct nf_netif_tx_request r;
		hostile_load(&s->h, 0, 't', q->tx_prod, &r, sizeof(r));
		hostile_tx_rsp(&s->h, 0, r.id, NF_NETIF_RSP_OKAY);
	}
	hostile_tx_rsp_push(&s->h, 0);
	hostile_linger(&s->h, 0);
}

static const struct field front_fields[] = {
	{"rx response id", 'r', 0, 0xffff},    {"rx response offset", 'r', 0, 0xffff0000u},
	{"rx response flags", 'r', 1, 0xffff}, {"rx response status", 'r', 1, 0xffff0000u},
	{"tx response id", 't', 0, 0xffff},    {"tx response status", 't', 0, 0xffff0000u},
};

static void front(struct scene *s)
{
	for (size_t i = 0; i < sizeof(front_fields) / sizeof(front_fields[0]); i++) {
		const struct field *f = &front_fields[i];
		SCENE(s, scene_back(s, NULL, NULL), "front: connected");
		under_flips(s, f->ring, f->word, f->mask,
			    f->ring == 't' ? push_tx_rsp : push_rx_rsp);
		rig_generate(s->real, NF_GEN_IDLE, 60, 0);
		verdict(s, f->what);
	}
}

int main(void)
{
	struct scene s;
	SCENE(&s, scene_open(&s, NF_POLL_ADAPTIVE), "the stage");
	back(&s);
	ctrl_list(&s);
	front(&s);
	scene_close(&s);
	return done();
}
