/* SPDX-License-Identifier: MIT */
/*
 * Every interleaving of the ring's publish/arm protocol, stepped through the real code of
 * nf/ring.h: atomics.h is replaced by accesses at which a scheduler decides who goes on and which
 * store leaves which CPU's buffer next. Stores to different words may become visible in any order
 * unless a release or a full barrier forbids it (weaker than x86). A producer publishes and sends
 * an event when the ring says so; a consumer takes, arms and sleeps until an event. Found is a
 * lost wake-up (it sleeps, all is published, nothing will ever wake it) or a slot seen before its
 * bytes. The checker must be able to fail: the same code without one barrier, without the second
 * look, without release is found guilty.
 */
#define NF_ATOMICS_H /* ours instead */
#include "../model/interleave.h"

#include "nf/ring.h"

#include "tap.h"

#define SLOTS 4

struct scene {
	bool responses; /* the back publishes, the front sleeps */
	uint32_t batches, per_batch, after, start;
};

static struct scene scene;
static _Alignas(64) uint8_t page[64 + SLOTS * 4];
static struct nf_ring_front front;
static struct nf_ring_back back;
static uint32_t taken;

static void set_up(void)
{
	memset(page, 0, sizeof(page));
	nf_ring_front_init(&front, page, sizeof(page), 4);
	nf_ring_back_init(&back, page, sizeof(page), 4, scene.start);
	struct nf_sring *hdr = (struct nf_sring *)(void *)page;
	hdr->req_prod = hdr->rsp_prod = scene.start;
	hdr->req_event = hdr->rsp_event = scene.start + 1;
	front.req_prod = front.rsp_cons = scene.start;
	taken = 0;
	if (!scene.responses)
		return;
	uint32_t total = scene.batches * scene.per_batch; /* requested and seen before we look */
	front.req_prod = hdr->req_prod = scene.start + total;
	back.req_cons = scene.start + total;
}

static uint32_t *slot(uint32_t idx)
{
	return (uint32_t *)nf_ring_front_slot(&front, idx);
}

static void producer(void)
{
	for (uint32_t b = 0; b < scene.batches; b++) {
		uint32_t *prod = scene.responses ? &back.rsp_prod : &front.req_prod;
		for (uint32_t i = 0; i < scene.per_batch; i++, (*prod)++)
			nf_store_relaxed(slot(*prod), *prod + 1);
		if (scene.responses ? nf_ring_back_push(&back) : nf_ring_front_push(&front))
			model_notify();
	}
}

static bool take(void)
{
	int n = scene.responses ? nf_ring_front_pending(&front) : nf_ring_back_pending(&back);
	if (n < 0)
		model_fail("an honest index was refused");
	for (int i = 0; i < n; i++, taken++) {
		uint32_t *cons = scene.responses ? &front.rsp_cons : &back.req_cons;
		if (nf_load_relaxed(slot(*cons)) != *cons + 1)
			model_fail("a slot was seen before its bytes");
		(*cons)++;
	}
	return n > 0;
}

static void consumer(void)
{
	uint32_t total = scene.batches * scene.per_batch;
	while (taken < total) {
		if (take())
			continue;
		uint32_t left = total - taken, after = scene.after < left ? scene.after : left;
		int n = scene.responses ? nf_ring_front_arm(&front, after)
					: nf_ring_back_arm(&back, after);
		if (n > 0 && !model_mutation(NO_SECOND_LOOK))
			continue;
		model_sleep();
	}
}

static const struct model model = {
	.set_up = set_up, .thread = {producer, consumer}, .shared = page, .bytes = sizeof(page)};

static void holds(const char *name, const struct scene *s)
{
	scene = *s;
	const char *why = model_run(&model, 0);
	ok(!why, "%s: %llu states, no lost wake-up%s%s", name, (unsigned long long)model_states(),
	   why ? ": " : "", why ? why : "");
}

static void found(const char *name, const struct scene *s, unsigned mutation)
{
	scene = *s;
	const char *why = model_run(&model, mutation);
	ok(why, "%s is found: %s", name, why ? why : "no, the checker is blind");
}

int main(void)
{
	const uint32_t most = 4;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip("interleavings", "sanitizers do not follow stacks that are switched by hand");
	return done();
#endif
	for (int way = 0; way < 2; way++) {
		const char *what = way ? "responses" : "requests";
		for (uint32_t b = 1; b <= most; b++) {
			struct scene s = {way, b, 1, 1, 0};
			char name[80];
			snprintf(name, sizeof(name), "%u single %s", b, what);
			holds(name, &s);
		}
		holds("bursts of two", &(struct scene){way, 2, 2, 1, 0});
		holds("an event after two", &(struct scene){way, most - 1, 1, 2, 0});
		holds("indices wrap", &(struct scene){way, 3, 1, 1, 0xfffffffeu});
		const struct scene two = {way, 2, 1, 1, 0};
		found("no barrier", &two, NO_BARRIER);
		found("no barrier in publishing", &two, NO_BARRIER_0);
		found("no barrier in arming", &two, NO_BARRIER_1);
		found("no second look after arming", &two, NO_SECOND_LOOK);
		found("an index without release", &two, NO_RELEASE);
	}
	return done();
}
