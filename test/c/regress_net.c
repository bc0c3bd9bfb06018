/* SPDX-License-Identifier: MIT */
/* Regressions other implementations shipped, by name (docs/hostile.md has the whole list). */
#include "../../drivers/port/gen.h"
#include "hostile.h"

#include <setjmp.h>
#include <signal.h>

static struct nf_netif_tx_request request_at(struct hostile *h, uint32_t idx)
{
	struct nf_netif_tx_request r;
	memcpy(&r, hostile_slot(h, 0, 't', idx), sizeof(r));
	return r;
}

static bool sent_reaches(struct scene *s, uint32_t prod)
{
	for (int i = 0; i < 2000 && hostile_peek(&s->h, 0, 't', 0) < prod; i++)
		hostile_linger(&s->h, 0);
	return hostile_peek(&s->h, 0, 't', 0) >= prod;
}

/* Publishes the answers put so far; notifies only when the front asked for it, as an honest back.
 */
static bool answer_as_asked(struct hostile *h, uint32_t old)
{
	uint32_t now = h->q[0].tx_prod;
	hostile_poke(h, 0, 't', 2, now);
	nf_full_barrier();
	bool asked = nf_ring_event_crossed(now, old, hostile_peek(h, 0, 't', 3));
	if (asked)
		(void)h->layer->ops->chan_notify(&h->q[0].tx_chan);
	return asked;
}

/* A sender that found the ring full is told of the first slot that is free again. */
static void tx_waiter_wakes_on_last_slot(struct scene *s)
{
	const char *name = "tx_waiter_wakes_on_last_slot";
	SCENE(s, scene_back(s, NULL, NULL), "%s: connected", name);
	rig_generate(s->real, NF_GEN_SEND, 200, 0);
	ok(sent_reaches(s, 255), "%s: the ring fills", name);
	hostile_linger(&s->h, 20); /* it has gone to sleep */
	for (uint32_t i = 0; i < 4; i++) {
		uint32_t prod = hostile_peek(&s->h, 0, 't', 0), old = s->h.q[0].tx_prod;
		for (int k = 0; k < 2; k++) /* GSO ports keep a slot for an extra: two make room */
			hostile_tx_rsp(&s->h, 0, request_at(&s->h, s->h.q[0].tx_prod).id, 0);
		ok(answer_as_asked(&s->h, old), "%s: the front asked to be told", name);
		ok(sent_reaches(s, prod + 1), "%s: and sends again, round %u", name, i);
		hostile_linger(&s->h, 10);
	}
	rig_generate(s->real, NF_GEN_IDLE, 200, 0);
	SCENE(s, scene_survived(s), "%s: goes on", name);
	SCENE(s, scene_end(s, false), "%s: baseline", name);
}

/* A generator that starts before there is a connection loses nothing and touches no ring. */
static void tx_blocked_until_connected(struct scene *s)
{
	const char *name = "tx_blocked_until_connected";
	struct rig_pair p = {0};
	int rc = mem_vif_create(&p.v, s->r.w, 2, 0, 9, NULL);
	p.front = rig_front(&s->r, &p.v, NULL, &rc);
	rig_generate(p.front, NF_GEN_SEND, 500, 1000);
	rig_linger(&s->r, 20);
	is(rig_counter(p.front, NF_COUNTER_gen_packets), 0, "%s: nothing before", name);
	p.back = rig_back(&s->r, &p.v, NULL, &rc);
	is(rig_until_phase(p.back, NF_NET_RUNNING, 5000), 0, "%s: connected", name);
	is(rig_until_counter(p.back, NF_COUNTER_sink_packets, 1000, 5000), 0,
	   "%s: all 1,000 afterwards", name);
	is(rig_counter(p.back, NF_COUNTER_sink_lost), 0, "%s: none lost", name);
	rig_pair_close(&p);
	rig_linger(&s->r, 5);
	char why[256];
	is(mem_world_settle(s->r.w, &s->base, 2000, why, sizeof(why)), 0, "%s: baseline %s", name,
	   why);
}

/* However answers come, no id is used twice at a time. */
static void request_id_unique_while_grant_shared(struct scene *s)
{
	const char *name = "request_id_unique_while_grant_shared";
	SCENE(s, scene_back(s, NULL, NULL), "%s: connected", name);
	rig_generate(s->real, NF_GEN_SEND, 200, 0);
	ok(sent_reaches(s, 250), "%s: the ring fills", name);
	uint8_t busy[256] = {0};
	uint32_t ids[256], grefs[256], flying = 0, seen = 0, twice = 0, shared = 0, seed = 1;
	for (int round = 0; round < 200; round++) {
		for (uint32_t end = hostile_peek(&s->h, 0, 't', 0); seen != end; seen++) {
			struct nf_netif_tx_request r = request_at(&s->h, seen);
			twice += r.id > 255 || busy[r.id & 255]++;
			for (uint32_t i = 0; i < flying; i++)
				shared += grefs[i] == r.gref;
			ids[flying] = r.id;
			grefs[flying++] = r.gref;
		}
		for (int k = 0; k < 7 && flying; k++) { /* out of order */
			seed = seed * 1103515245u + 12345u;
			uint32_t pick = (seed >> 16) % flying;
			busy[ids[pick]] = 0;
			hostile_tx_rsp(&s->h, 0, ids[pick], 0);
			ids[pick] = ids[--flying];
			grefs[pick] = grefs[flying];
		}
		hostile_tx_rsp_push(&s->h, 0);
		hostile_linger(&s->h, 0);
	}
	ok(seen > 1000, "%s: %u requests", name, seen);
	is(twice, 0, "%s: ids used twice at a time", name);
	is(shared, 0, "%s: pages used twice at a time", name);
	rig_generate(s->real, NF_GEN_IDLE, 200, 0);
	SCENE(s, scene_survived(s), "%s: goes on", name);
	SCENE(s, scene_end(s, false), "%s: baseline", name);
}

/* One checked frame in three pages, each part at an offset of its own. */
static void rx_offset_and_multi_slot_frame(struct scene *s)
{
	static const uint32_t offsets[] = {64, 1, 4095}, sizes[] = {900, 1099, 1};
	const char *name = "rx_offset_and_multi_slot_frame";
	SCENE(s, scene_back(s, NULL, NULL), "%s: connected", name);
	uint8_t frame[2000];
	struct nf_gen gen;
	struct nf_buf buf = {.data = frame, .bytes = sizeof(frame)};
	struct nf_frame f;
	nf__gen_init(&gen, 77);
	rig_generate(s->real, NF_GEN_IDLE, 200, 0); /* and every byte is checked */
	for (uint32_t round = 0; round < 80; round++) {
		buf.bytes = sizeof(frame);
		if (nf__gen_fill(&gen, &buf, 1, &f, 1, 2000, NF_GEN_DATA) != 1)
			abort();
		for (uint32_t k = 0, at = 0; k < 3; at += sizes[k++]) {
			uint32_t slot = s->h.q[0].rx_prod & 255;
			struct nf_netif_rx_request r;
			memcpy(&r, hostile_slot(&s->h, 0, 'r', s->h.q[0].rx_prod), sizeof(r));
			struct nf_grant_copy op = {.peer = 2,
						   .offset = (uint16_t)offsets[k],
						   .bytes = (uint16_t)sizes[k],
						   .to_peer = 1,
						   .gref = r.gref,
						   .local = frame + at};
			(void)s->h.layer->ops->copy(s->h.layer, &op, 1);
			hostile_rx_rsp(&s->h, 0, slot, offsets[k], k < 2 ? NF_NETRXF_more_data : 0,
				       (int)sizes[k]);
		}
		hostile_rx_rsp_push(&s->h, 0);
		hostile_linger(&s->h, 0);
	}
	is(rig_until_counter(s->real, NF_COUNTER_sink_packets, 80, 2000), 0, "%s: 80 frames", name);
	is(rig_counter(s->real, NF_COUNTER_sink_verified) > 0, 1, "%s: were checked", name);
	is(rig_counter(s->real, NF_COUNTER_sink_corrupted), 0, "%s: none wrong", name);
	is(rig_counter(s->real, NF_COUNTER_sink_lost), 0, "%s: none lost", name);
	SCENE(s, scene_end(s, false), "%s: baseline", name);
}

static sigjmp_buf fault_at;

static void on_fault(int sig)
{
	siglongjmp(fault_at, sig);
}

/* The front's tx pages: the back can read them, and there is no way to write. */
static void grant_map_readonly_is_readonly(struct scene *s)
{
	const char *name = "grant_map_readonly_is_readonly";
	SCENE(s, scene_back(s, NULL, NULL), "%s: connected", name);
	uint32_t gref = nf_netfront_rings(s->real->front, 0)->tx_grefs[0];
	void *addr = NULL;
	struct nf_mapping m;
	is(s->h.layer->ops->map(s->h.layer, 2, &gref, 1, false, &addr, &m), -EACCES,
	   "%s: not mapped for writing", name);
	is(s->h.layer->ops->map(s->h.layer, 2, &gref, 1, true, &addr, &m), 0, "%s: for reading",
	   name);
	struct sigaction old, sa = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
	sigaction(SIGSEGV, &sa, &old);
	volatile bool faulted = true;
	if (sigsetjmp(fault_at, 1) == 0) {
		*(volatile uint8_t *)addr = 1;
		faulted = false;
	}
	sigaction(SIGSEGV, &old, NULL);
	ok(faulted, "%s: a write is a fault", name);
	struct nf_grant_copy op = {
		.peer = 2, .bytes = 4, .to_peer = 1, .gref = gref, .local = (char[4]){0}};
	(void)s->h.layer->ops->copy(s->h.layer, &op, 1);
	is(op.status, -EACCES, "%s: nor a copy into it", name);
	(void)s->h.layer->ops->unmap(s->h.layer, &m);
	SCENE(s, scene_end(s, false), "%s: baseline", name);
}

static void device_close_twice(struct scene *s)
{
	const char *name = "device_close_twice";
	struct mem_vif v;
	is(mem_vif_create(&v, s->r.w, 2, 0, 11, NULL), 0, "%s: nodes", name);
	struct rig_domain *d = rig_domain(&s->r, 2);
	struct nf_device dev;
	is(nf_device_open(&dev, d->layer, d->store, "device/vif/11", false, "twice"), 0,
	   "%s: opened", name);
	nf_device_close(&dev);
	nf_device_close(&dev);
	struct rig_pair p;
	mem_vif_remove(&v);
	is(rig_pair_open(&p, &s->r, 2, 0, 11, NULL), 0, "%s: a pair", name);
	for (int i = 0; i < 2; i++) {
		ok(nf_netfront_shutdown(p.front->front) >= 0, "%s: front, time %d", name, i);
		ok(nf_netback_shutdown(p.back->back) >= 0, "%s: back, time %d", name, i);
		rig_linger(&s->r, 10);
	}
	is(rig_phase(p.front), NF_NET_CLOSED, "%s: front is closed", name);
	is(rig_phase(p.back), NF_NET_CLOSED, "%s: back is closed", name);
	rig_pair_close(&p);
	nf_netfront_close(NULL);
	nf_netback_close(NULL);
	char why[256];
	rig_linger(&s->r, 5);
	is(mem_world_settle(s->r.w, &s->base, 2000, why, sizeof(why)), 0, "%s: baseline %s", name,
	   why);
}

int main(void)
{
	struct scene s;
	SCENE(&s, scene_open(&s, NF_POLL_EVENT), "the stage");
	tx_waiter_wakes_on_last_slot(&s);
	tx_blocked_until_connected(&s);
	request_id_unique_while_grant_shared(&s);
	rx_offset_and_multi_slot_frame(&s);
	grant_map_readonly_is_readonly(&s);
	device_close_twice(&s);
	scene_close(&s);
	return done();
}
