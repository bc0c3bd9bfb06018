/* SPDX-License-Identifier: MIT */
/* HOSTILE.md group 5: grefs unknown, revoked, another's, read-only, of a ring, of another queue. */
#include "hostile.h"

/* Puts one tx slot naming gref; the status it is answered with, or 99 when it is not. */
static int tx_status(struct scene *s, uint32_t queue, uint32_t gref)
{
	uint32_t idx = hostile_tx(&s->h, queue, gref, 0, 0, 1, 60);
	hostile_tx_push(&s->h, queue);
	return tx_answered(&s->h, queue) ? tx_rsp_at(&s->h, queue, idx).status : 99;
}

/* Numbers that name nothing of this front. */
static uint32_t bad_gref(struct scene *s, int kind)
{
	switch (kind) {
	case 0:
		return 0; /* reserved */
	case 1:
		return 20000; /* unknown */
	case 2:
		return 0xffffffffu;
	case 3:
		return 0x80000008u;
	default: /* the bystander's: granted by domain 2, not by us */
		return nf_netfront_rings(s->bystander.front->front, 0)->tx_grefs[0];
	}
}

static void back_tx_copy(struct scene *s)
{
	static const char *const what[] = {"reserved", "unknown", "2^32-1", "2^31+8",
					   "of another domain"};
	SCENE(s, scene_front(s, NULL, NULL), "tx: connected");
	for (int k = 0; k < 5; k++) {
		is(tx_status(s, 0, bad_gref(s, k)), NF_NETIF_RSP_ERROR, "tx: a gref %s", what[k]);
		is(rig_counter(s->real, NF_COUNTER_sink_packets), 0, "tx: no frame of it");
	}
	is(tx_status(s, 0, s->h.q[0].tx_grefs[0]), NF_NETIF_RSP_OKAY, "tx: an honest one goes");
	is(tx_status(s, 0, s->h.q[0].tx_ring_gref), NF_NETIF_RSP_OKAY,
	   "tx: the ring page is its own to send");
	SCENE(s, scene_survived(s), "tx: goes on");
	SCENE(s, scene_end(s, false), "tx: baseline");
}

static void back_tx_static_only(struct scene *s)
{
	struct hostile_options opt = {.static_only = true};
	struct rig_options o = {.static_only = true};
	for (int k = 0; k < 6; k++) {
		SCENE(s, scene_front(s, &opt, &o), "static only: connected");
		uint32_t gref = k < 5 ? bad_gref(s, k) : s->h.q[0].tx_ring_gref;
		hostile_tx(&s->h, 0, gref, 0, 0, 1, 60);
		hostile_tx_push(&s->h, 0);
		SCENE(s, scene_refused(s, "tx gref not registered"), "static only: tx gref %u",
		      gref);
		SCENE(s, scene_end(s, k & 1), "static only: baseline");
	}
	SCENE(s, scene_front(s, &opt, &o), "static only: connected");
	hostile_rx_post(&s->h, 0, 0, s->h.q[0].tx_grefs[0]);
	hostile_rx_push(&s->h, 0);
	SCENE(s, scene_refused(s, "rx gref not registered"),
	      "static only: a read-only page as an rx buffer");
	SCENE(s, scene_end(s, false), "static only: baseline");
}

static void other_queue(struct scene *s)
{
	struct hostile_options opt = {.static_only = true, .queues = 2};
	struct rig_options o = {.static_only = true, .queues = 2};
	SCENE(s, scene_front(s, &opt, &o), "two queues: connected");
	is(tx_status(s, 1, s->h.q[1].tx_grefs[3]), NF_NETIF_RSP_OKAY, "two queues: its own");
	hostile_tx(&s->h, 1, s->h.q[0].tx_grefs[3], 0, 0, 1, 60);
	hostile_tx_push(&s->h, 1);
	SCENE(s, scene_refused(s, "tx gref not registered"), "two queues: the other's gref");
	SCENE(s, scene_end(s, false), "two queues: baseline");
}

/* Posts rx buffers, has the back send a frame, and gives the response of slot 0. */
static struct nf_netif_rx_response rx_into(struct scene *s, uint32_t gref)
{
	struct nf_netif_rx_response r = {.status = 99};
	for (uint32_t i = 0; i < 32; i++)
		hostile_rx_post(&s->h, 0, i, gref);
	hostile_rx_push(&s->h, 0);
	rig_generate(s->real, NF_GEN_SEND, 100, 1);
	for (int i = 0; i < 2000 && hostile_peek(&s->h, 0, 'r', 2) == 0; i++)
		hostile_linger(&s->h, 0);
	rig_generate(s->real, NF_GEN_IDLE, 100, 0);
	if (hostile_peek(&s->h, 0, 'r', 2) != 0)
		memcpy(&r, hostile_slot(&s->h, 0, 'r', 0), sizeof(r));
	return r;
}

static void back_rx(struct scene *s)
{
	for (int k = 0; k < 6; k++) {
		SCENE(s, scene_front(s, NULL, NULL), "rx: connected");
		uint8_t *page = s->h.q[0].tx_pages.base;
		memset(page, 0x77, NF_PAGE_BYTES);
		uint32_t gref = k < 5 ? bad_gref(s, k) : s->h.q[0].tx_grefs[0];
		is(rx_into(s, gref).status, NF_NETIF_RSP_ERROR, "rx: into gref %u: an error", gref);
		bool same = true;
		for (uint32_t i = 0; i < NF_PAGE_BYTES; i++)
			same = same && page[i] == 0x77;
		ok(same, "rx: a read-only page is not written");
		SCENE(s, scene_survived(s), "rx: goes on");
		SCENE(s, scene_end(s, false), "rx: baseline");
	}
	SCENE(s, scene_front(s, NULL, NULL), "rx: connected");
	is(rx_into(s, s->h.q[0].rx_grefs[0]).status, 100, "rx: an honest buffer takes it");
	SCENE(s, scene_end(s, false), "rx: baseline");
}

static void revoked(struct scene *s)
{
	struct rig_options o = {.grants = NF_NET_GRANTS_COPY};
	struct hostile_options opt = {.no_ctrl = true};
	SCENE(s, scene_front(s, &opt, &o), "revoked: connected with grant copy");
	uint32_t gref = s->h.q[0].tx_grefs[4];
	is(tx_status(s, 0, gref), NF_NETIF_RSP_OKAY, "revoked: before");
	mem_world_revoke(s->r.w, 1, gref);
	is(tx_status(s, 0, gref), NF_NETIF_RSP_ERROR, "revoked: after");
	SCENE(s, scene_survived(s), "revoked: goes on");
	SCENE(s, scene_end(s, false), "revoked: baseline");
}

/* Ring references that cannot be mapped: no connection, a named error, nothing left. */
static void ring_refs(struct scene *s)
{
	for (int k = 0; k < 7; k++) {
		SCENE(s, scene_prepare(s, false, NULL, NULL), "ring refs: opened");
		is(hostile_wait(&s->h, NF_XENBUS_INITWAIT), 0, "ring refs: offered");
		struct hostile_queue *q = &s->h.q[0];
		uint32_t own = k & 1 ? q->rx_ring_gref : q->tx_ring_gref;
		uint32_t *which = k & 1 ? &q->rx_ring_gref : &q->tx_ring_gref;
		*which = k < 5 ? bad_gref(s, k) : q->tx_grefs[0]; /* read-only */
		if (k == 6)
			*which = own == q->tx_ring_gref ? q->rx_ring_gref : q->tx_ring_gref;
		(void)hostile_front_publish(&s->h);
		if (k == 6) /* one page as both rings: its own harm, but not ours */
			hostile_linger(&s->h, 50);
		else
			SCENE(s, scene_refused(s, ""), "ring refs: case %d", k);
		ok(k == 6 || scene_error(s)[0] != '\0', "ring refs: an error text: %s",
		   scene_error(s));
		*which = own;
		SCENE(s, scene_end(s, k & 1), "ring refs: baseline");
	}
}

int main(void)
{
	struct scene s;
	SCENE(&s, scene_open(&s, NF_POLL_EVENT), "the stage");
	mem_world_gref_base(s.r.w, 1, 9000); /* so that the bystander's numbers are not ours */
	back_tx_copy(&s);
	back_tx_static_only(&s);
	other_queue(&s);
	back_rx(&s);
	revoked(&s);
	ring_refs(&s);
	scene_close(&s);
	return done();
}
