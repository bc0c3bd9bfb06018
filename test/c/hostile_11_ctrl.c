/* SPDX-License-Identifier: MIT */
/* HOSTILE.md group 11: the control ring. Everything is answered, nothing is believed. */
#include "hostile.h"

#define SIZE NF_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE
#define ADD NF_NETIF_CTRL_TYPE_ADD_GREF_MAPPING
#define DEL NF_NETIF_CTRL_TYPE_DEL_GREF_MAPPING
#define BAD NF_NETIF_CTRL_STATUS_INVALID_PARAMETER
#define LIST 0xfffffff0u /* stands for the list's own gref */

static const struct ctrl_case {
	const char *what;
	uint16_t type;
	uint32_t queue, gref, count, status;
} cases[] = {
	{"the mapping's size", SIZE, 0, 0, 0, NF_NETIF_CTRL_STATUS_SUCCESS},
	{"the size of a queue that is not there", SIZE, 1, 0, 0, BAD},
	{"the size of queue 2^32-1", SIZE, 0xffffffffu, 0, 0, BAD},
	{"type 0", 0, 0, 0, 0, NF_NETIF_CTRL_STATUS_NOT_SUPPORTED},
	{"a hash key from a bad gref", 3, 0x80000000u, 65535, 0,
	 NF_NETIF_CTRL_STATUS_NOT_SUPPORTED},
	{"a hash mapping that overflows", 6, 0, 0xffffffffu, 0xffffffffu,
	 NF_NETIF_CTRL_STATUS_NOT_SUPPORTED},
	{"type 11", 11, 0, 0, 0, NF_NETIF_CTRL_STATUS_NOT_SUPPORTED},
	{"type 65535", 65535, 0, 0, 0, NF_NETIF_CTRL_STATUS_NOT_SUPPORTED},
	{"a list of nothing", ADD, 0, LIST, 0, BAD},
	{"513 grefs", ADD, 0, LIST, 513, BAD},
	{"2^32-1 grefs", ADD, 0, LIST, 0xffffffffu, BAD},
	{"2^29+1 grefs, which times eight wraps", ADD, 0, LIST, 0x20000001u, BAD},
	{"a list in gref 0", ADD, 0, 0, 8, BAD},
	{"a list in an unknown gref", ADD, 0, 30000, 8, BAD},
	{"a list in gref 2^32-1", ADD, 0, 0xffffffffu, 8, BAD},
	{"adding to queue 1", ADD, 1, LIST, 8, BAD},
	{"adding what is there already", ADD, 0, LIST, 8, BAD},
	{"deleting from queue 9", DEL, 9, LIST, 8, BAD},
	{"deleting 513", DEL, 0, LIST, 513, BAD},
};

static struct nf_netif_ctrl_response ask(struct scene *s, uint16_t type, uint32_t queue,
					 uint32_t gref, uint32_t count)
{
	struct nf_netif_ctrl_response rsp = {.status = 999};
	(void)hostile_ctrl(&s->h, type, queue, gref, count, &rsp);
	return rsp;
}

static void answers(struct scene *s)
{
	struct hostile_options opt = {.payload_pages = 64};
	SCENE(s, scene_front(s, &opt, NULL), "connected, 128 grefs registered");
	for (uint32_t i = 0; i < 64; i++)
		s->h.list[i] = (struct nf_netif_gref){.ref = s->h.q[0].tx_grefs[i],
						      .flags = NF_NETCTRLF_GREF_readonly};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct ctrl_case *c = &cases[i];
		uint32_t gref = c->gref == LIST ? s->h.ctrl_grefs[1] : c->gref;
		struct nf_netif_ctrl_response rsp = ask(s, c->type, c->queue, gref, c->count);
		is(rsp.status, c->status, "%s", c->what);
		is(rsp.type, c->type, "%s: type echoed", c->what);
	}
	SCENE(s, scene_survived(s), "goes on");
	SCENE(s, scene_end(s, false), "baseline");
}

/* All or nothing: one bad entry and none is mapped. */
static void bad_entries(struct scene *s)
{
	static const struct nf_netif_gref bad[] = {
		{.ref = 0}, {.ref = 30000}, {.ref = 0xffffffffu}, {.flags = 2}, {.flags = 0xffff}};
	SCENE(s, scene_front(s, NULL, NULL), "entries: connected");
	struct nf_netif_ctrl_response rsp;
	for (uint32_t i = 0; i < 256; i++)
		s->h.list[i].ref = s->h.q[0].tx_grefs[i];
	is(ask(s, DEL, 0, s->h.ctrl_grefs[1], 256).data, 256, "entries: tx pages deleted");
	struct mem_baseline before, after;
	mem_world_baseline(s->r.w, &before);
	for (size_t i = 0; i < 5; i++) {
		for (uint32_t k = 0; k < 8; k++)
			s->h.list[k] = (struct nf_netif_gref){.ref = s->h.q[0].tx_grefs[k],
							      .flags = 1};
		s->h.list[7].ref = bad[i].flags ? s->h.list[7].ref : bad[i].ref;
		s->h.list[7].flags |= bad[i].flags;
		is(ask(s, ADD, 0, s->h.ctrl_grefs[1], 8).status, BAD, "entries: case %zu", i);
	}
	s->h.list[7] = (struct nf_netif_gref){.ref = s->h.q[0].tx_grefs[7]}; /* for writing */
	is(ask(s, ADD, 0, s->h.ctrl_grefs[1], 8).status, BAD,
	   "entries: a read-only page for writing");
	s->h.list[7] = s->h.list[6];
	is(ask(s, ADD, 0, s->h.ctrl_grefs[1], 8).status, BAD, "entries: one gref twice");
	mem_world_baseline(s->r.w, &after);
	is(after.mapped_pages, before.mapped_pages, "entries: nothing stays mapped");
	rsp = ask(s, DEL, 0, s->h.ctrl_grefs[1], 8);
	is(rsp.data, 0, "entries: deleting what is not there deletes nothing");
	is(s->h.list[0].status, BAD, "entries: and says so for each");
	SCENE(s, scene_survived(s), "entries: go on");
	SCENE(s, scene_end(s, false), "entries: baseline");
}

/* More grefs than a queue may keep, in as many requests as it likes. */
static void cap(struct scene *s)
{
	SCENE(s, scene_front(s, NULL, NULL), "cap: 512 registered");
	uint32_t grefs[8];
	struct nf_arena more;
	struct nf_arena_key key = {
		.peer = 0, .inner_owner = NF_DOMID_SELF, .queue = 3, .purpose = NF_PURPOSE_OTHER};
	is(s->h.layer->ops->alloc(s->h.layer, &key, 8, 0, grefs, &more), 0,
	   "cap: eight more pages");
	for (uint32_t i = 0; i < 8; i++)
		s->h.list[i] = (struct nf_netif_gref){.ref = grefs[i]};
	struct nf_netif_ctrl_response rsp = ask(s, ADD, 0, s->h.ctrl_grefs[1], 1);
	ok(rsp.status == BAD || rsp.status == NF_NETIF_CTRL_STATUS_BUFFER_OVERFLOW,
	   "cap: the 513th is refused (status %u)", rsp.status);
	is(s->h.layer->ops->end(s->h.layer, &more), 0, "cap: and was never kept mapped");
	SCENE(s, scene_survived(s), "cap: goes on");
	SCENE(s, scene_end(s, false), "cap: baseline");
}

/* Requests without end cost the control thread a bounded share, and are answered in time. */
static void flood(struct scene *s)
{
	SCENE(s, scene_front(s, NULL, NULL), "flood: connected");
	uint32_t start = s->h.ctrl_prod;
	for (uint32_t i = 0; i < 128; i++) {
		struct nf_netif_ctrl_request req = {.id = (uint16_t)i, .type = SIZE};
		memcpy(hostile_slot(&s->h, 0, 'c', s->h.ctrl_prod++), &req, sizeof(req));
	}
	hostile_poke(&s->h, 0, 'c', 0, s->h.ctrl_prod);
	(void)s->h.layer->ops->chan_notify(&s->h.ctrl_chan);
	hostile_linger(&s->h, 100);
	uint32_t early = hostile_peek(&s->h, 0, 'c', 2) - start;
	ok(early < 128, "flood: %u of 128 answered within 100 ms", early);
	SCENE(s, scene_survived(s), "flood: goes on");
	for (int i = 0; i < 40 && hostile_peek(&s->h, 0, 'c', 2) != s->h.ctrl_prod; i++)
		hostile_linger(&s->h, 100);
	is(hostile_peek(&s->h, 0, 'c', 2), s->h.ctrl_prod, "flood: all are answered in the end");
	SCENE(s, scene_end(s, false), "flood: baseline");
}

/* The numbers of queues that negotiation must not believe. */
static void queue_counts(struct scene *s)
{
	static const char *const counts[] = {"0", "2", "9", "4294967296", "-1", "1 ", "x"};
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		SCENE(s, scene_prepare(s, false, NULL, NULL), "queues: opened");
		is(hostile_wait(&s->h, NF_XENBUS_INITWAIT), 0, "queues: offered");
		(void)hostile_key(&s->h, "multi-queue-num-queues", "%s", counts[i]);
		(void)hostile_front_publish(&s->h);
		SCENE(s, scene_refused(s, "multi-queue-num-queues"), "queues: \"%s\"", counts[i]);
		SCENE(s, scene_end(s, i & 1), "queues: baseline");
	}
}

int main(void)
{
	struct scene s;
	SCENE(&s, scene_open(&s, NF_POLL_EVENT), "the stage");
	answers(&s);
	bad_entries(&s);
	cap(&s);
	flood(&s);
	queue_counts(&s);
	scene_close(&s);
	return done();
}
