/* SPDX-License-Identifier: MIT */
/* The shared ring: arithmetic, wraps, events, and what a lying peer cannot do to it. */
#include "tap.h"

#include <pthread.h>

#include "nf/ring.h"

static _Alignas(4096) uint8_t page[4096];

struct pair {
	struct nf_ring_front f;
	struct nf_ring_back b;
};

/* A fresh pair whose free-running indices start at first. */
static struct pair pair_at(uint32_t first)
{
	struct pair p;
	if (nf_ring_front_init(&p.f, page, sizeof(page), 12) < 0 ||
	    nf_ring_back_init(&p.b, page, sizeof(page), 12, first) < 0)
		abort();
	struct nf_sring *hdr = p.f.shared_hdr;
	p.f.req_prod = p.f.rsp_cons = first;
	hdr->req_prod = hdr->rsp_prod = first;
	hdr->req_event = hdr->rsp_event = first + 1;
	return p;
}

static bool front_put(struct pair *p, uint32_t value)
{
	if (nf_ring_front_free(&p->f) == 0)
		return false;
	memcpy(nf_ring_front_slot(&p->f, p->f.req_prod++), &value, sizeof(value));
	return true;
}

static uint32_t back_take(struct pair *p)
{
	uint32_t value;
	memcpy(&value, nf_ring_back_slot(&p->b, p->b.req_cons++), sizeof(value));
	return value;
}

static void back_put(struct pair *p, uint32_t value)
{
	memcpy(nf_ring_back_slot(&p->b, p->b.rsp_prod++), &value, sizeof(value));
}

static void sizes(void)
{
	is(nf_ring_count(4096, 12), 256, "256 slots of 12 bytes in a page");
	is(nf_ring_count(4096, 8), 256, "256 slots of 8 bytes: a power of two");
	is(nf_ring_count(4096, 16), 128, "128 slots of 16 bytes");
	is(nf_ring_count(4096, 112), 32, "32 slots of 112 bytes");
	is(nf_ring_count(64, 12), 0, "a header alone holds none");
	is(nf_ring_count(75, 12), 0, "nor one byte less than a slot");
	is(nf_ring_count(76, 12), 1, "one");
	is(nf_ring_count(4096, 0), 0, "slots of nothing");
	struct nf_ring_front f;
	struct nf_ring_back b;
	is(nf_ring_front_init(&f, page, 70, 12), -EINVAL, "front: does not fit");
	is(nf_ring_back_init(&b, page, 70, 12, 0), -EINVAL, "back: does not fit");
}

static void ring_event_initial_values(void)
{
	memset(page, 0xee, sizeof(page));
	struct nf_ring_front f;
	is(nf_ring_front_init(&f, page, sizeof(page), 12), 0, "ring_event_initial_values: init");
	is(f.shared_hdr->req_prod, 0, "ring_event_initial_values: req_prod 0");
	is(f.shared_hdr->rsp_prod, 0, "ring_event_initial_values: rsp_prod 0");
	is(f.shared_hdr->req_event, 1, "ring_event_initial_values: req_event 1");
	is(f.shared_hdr->rsp_event, 1, "ring_event_initial_values: rsp_event 1");
	uint32_t dirty = 0;
	for (size_t i = 16; i < sizeof(page); i++)
		dirty += page[i] != 0;
	is(dirty, 0, "ring_event_initial_values: nothing of the page's past shows");
	struct pair p = pair_at(0);
	front_put(&p, 1);
	ok(nf_ring_front_push(&p.f), "ring_event_initial_values: the first request notifies");
	nf_ring_back_pending(&p.b);
	back_put(&p, back_take(&p));
	ok(nf_ring_back_push(&p.b), "ring_event_initial_values: the first response notifies");
}

static void ring_full_reports_short_write(void)
{
	struct pair p = pair_at(0);
	uint32_t put = 0;
	while (put < 1000 && front_put(&p, put))
		put++;
	is(put, 256, "ring_full_reports_short_write: exactly the ring's size is taken");
	is(nf_ring_front_free(&p.f), 0, "ring_full_reports_short_write: then free is 0");
	nf_ring_front_push(&p.f);
	is(nf_ring_back_pending(&p.b), 256, "ring_full_reports_short_write: all are seen");
	for (int i = 0; i < 256; i++)
		back_take(&p);
	is(nf_ring_front_free(&p.f), 0, "ring_full_reports_short_write: taken is not answered");
	back_put(&p, 7);
	nf_ring_back_push(&p.b);
	is(nf_ring_front_free(&p.f), 0, "ring_full_reports_short_write: answered is not reaped");
	is(nf_ring_front_pending(&p.f), 1, "ring_full_reports_short_write: one answer");
	p.f.rsp_cons++;
	is(nf_ring_front_free(&p.f), 1, "ring_full_reports_short_write: one slot is free again");
}

/* Moves n values through the ring in batches that do not divide its size; false: one went wrong. */
static bool stream(struct pair *p, uint32_t n)
{
	for (uint32_t sent = 0, seen = 0, reaped = 0; reaped < n;) {
		for (uint32_t k = 0; k < 37 && sent < n && front_put(p, sent); k++)
			sent++;
		nf_ring_front_push(&p->f);
		int pending = nf_ring_back_pending(&p->b);
		if (pending < 0)
			return false;
		for (int k = 0; k < pending; k++) {
			if (back_take(p) != seen)
				return false;
			back_put(p, ~seen++);
		}
		nf_ring_back_push(&p->b);
		pending = nf_ring_front_pending(&p->f);
		if (pending < 0 || (uint32_t)pending != sent - reaped)
			return false;
		for (int k = 0; k < pending; k++, reaped++) {
			uint32_t value;
			memcpy(&value, nf_ring_front_slot(&p->f, p->f.rsp_cons++), sizeof(value));
			if (value != ~reaped)
				return false;
		}
	}
	return true;
}

static void ring_index_crosses_2p31_and_2p32(void)
{
	static const uint32_t starts[] = {0x7fffff00u, 0xffffff00u, 0x7fffffffu, 0xffffffffu};
	for (size_t i = 0; i < 4; i++) {
		struct pair p = pair_at(starts[i]);
		ok(stream(&p, 1000), "ring_index_crosses_2p31_and_2p32: stream from %#x",
		   starts[i]);
		is(p.f.req_prod, starts[i] + 1000u,
		   "ring_index_crosses_2p31_and_2p32: free-running index from %#x", starts[i]);
		p = pair_at(starts[i]);
		for (int k = 0; k < 256; k++)
			front_put(&p, 0);
		nf_ring_front_push(&p.f);
		is(nf_ring_back_pending(&p.b), 256,
		   "ring_index_crosses_2p31_and_2p32: a full ring from %#x", starts[i]);
		p = pair_at(starts[i]);
		is(nf_ring_back_arm(&p.b, 1), 0, "armed at %#x", starts[i]);
		front_put(&p, 0);
		ok(nf_ring_front_push(&p.f),
		   "ring_index_crosses_2p31_and_2p32: an event across %#x", starts[i]);
	}
}

static void events(void)
{
	struct pair p = pair_at(0);
	front_put(&p, 0);
	ok(nf_ring_front_push(&p.f), "req_event reached: notify");
	ok(!nf_ring_front_push(&p.f), "nothing new: no notify");
	front_put(&p, 0);
	ok(!nf_ring_front_push(&p.f), "req_event passed: no notify");
	is(nf_ring_back_arm(&p.b, 1), 2, "arm looks again: two are there already");
	p.b.req_cons += 2;
	p.b.rsp_prod += 2;
	nf_ring_back_push(&p.b);
	is(nf_ring_back_arm(&p.b, 3), 0, "armed for the third from now");
	front_put(&p, 0);
	front_put(&p, 0);
	ok(!nf_ring_front_push(&p.f), "two: not yet");
	front_put(&p, 0);
	ok(nf_ring_front_push(&p.f), "three: notify");
	ok(nf_ring_event_crossed(5, 3, 5), "the event is the last of the batch");
	ok(nf_ring_event_crossed(5, 3, 4), "or inside it");
	ok(!nf_ring_event_crossed(5, 3, 3), "what was published before is past");
	ok(!nf_ring_event_crossed(5, 3, 6), "what comes is not there");
	ok(nf_ring_event_crossed(1, 0xfffffffeu, 0), "across 2^32");
	is(nf_ring_front_arm(&p.f, 1), 2, "front: arm looks again");
}

/* However the peer sets it, one push gives at most one notify and an honest event is never lost. */
static void hostile_events(void)
{
	static const uint32_t junk[] = {0, 1, 2, 0x7fffffffu, 0x80000000u, 0xffffffffu};
	for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++) {
		struct pair p = pair_at(0x7ffffff0u);
		p.f.shared_hdr->req_event = junk[i];
		uint32_t notified = 0;
		for (int k = 0; k < 64; k++) {
			front_put(&p, 0);
			notified += nf_ring_front_push(&p.f);
		}
		ok(notified <= 1, "a fixed req_event %#x is crossed at most once", junk[i]);
		is(p.f.error, 0, "an event index is no error");
		is(nf_ring_back_arm(&p.b, 1), 64, "an honest arm sees what is there");
	}
}

/* An index that claims what cannot be: refused, for good, and nothing private moved. */
static void hostile_back(uint32_t first, uint32_t claim, const char *what)
{
	struct pair p = pair_at(first);
	p.f.shared_hdr->req_prod = claim;
	is(nf_ring_back_pending(&p.b), -EPROTO, "back, from %#x: req_prod %s", first, what);
	is(p.b.req_cons, first, "back: req_cons stays");
	is(p.b.rsp_prod, first, "back: rsp_prod stays");
	p.f.shared_hdr->req_prod = first + 1;
	is(nf_ring_back_pending(&p.b), -EPROTO, "back: sticky though the index is honest now");
	is(nf_ring_back_arm(&p.b, 1), -EPROTO, "back: no sleep on a broken ring");
}

static void hostile_front(uint32_t first, uint32_t claim, const char *what)
{
	struct pair p = pair_at(first);
	for (int i = 0; i < 10; i++)
		front_put(&p, 0);
	nf_ring_front_push(&p.f);
	p.f.shared_hdr->rsp_prod = claim;
	is(nf_ring_front_pending(&p.f), -EPROTO, "front, from %#x: rsp_prod %s", first, what);
	is(p.f.rsp_cons, first, "front: rsp_cons stays");
	p.f.shared_hdr->rsp_prod = first;
	is(nf_ring_front_pending(&p.f), -EPROTO, "front: sticky");
	is(nf_ring_front_arm(&p.f, 1), -EPROTO, "front: no sleep on a broken ring");
}

static void hostile_indices(void)
{
	static const uint32_t starts[] = {0, 0x7fffff80u, 0xffffff80u};
	for (size_t i = 0; i < 3; i++) {
		uint32_t s = starts[i];
		hostile_back(s, s + 257, "one past the ring");
		hostile_back(s, s - 1, "backwards");
		hostile_back(s, s + 0x80000000u, "half the range away");
		hostile_front(s, s + 11, "one more than was asked");
		hostile_front(s, s - 1, "backwards");
		hostile_front(s, s + 0x80000000u, "half the range away");
	}
	struct pair p = pair_at(0);
	for (int i = 0; i < 256; i++)
		front_put(&p, 0);
	nf_ring_front_push(&p.f);
	for (int i = 0; i < 256; i++)
		back_take(&p);
	p.f.shared_hdr->req_prod = 257;
	is(nf_ring_back_pending(&p.b), -EPROTO, "back: more than unanswered slots leave room for");
}

struct flips {
	struct nf_sring *hdr;
	uint32_t stop;
	uint32_t torn;
};

static void *flip(void *arg)
{
	struct flips *s = arg;
	for (uint32_t i = 0; !nf_load_relaxed(&s->stop); i++) {
		nf_store_release(&s->hdr->req_prod, i & 1 ? 0xffffffffu : 0);
		nf_store_release(&s->hdr->rsp_prod, i & 1 ? 0xffffffffu : 0);
		nf_store_relaxed(&s->hdr->req_event, i & 1 ? 0xffffffffu : 0);
		nf_store_relaxed(&s->hdr->rsp_event, i & 1 ? 0xffffffffu : 0);
	}
	return NULL;
}

static void ring_index_is_single_word_access(void)
{
	struct flips s = {.hdr = (struct nf_sring *)page};
	memset(page, 0, sizeof(page));
	pthread_t t;
	if (pthread_create(&t, NULL, flip, &s) != 0)
		abort();
	for (int i = 0; i < 3000000; i++) {
		uint32_t v[] = {nf_load_acquire(&s.hdr->req_prod),
				nf_load_acquire(&s.hdr->rsp_prod),
				nf_load_relaxed(&s.hdr->req_event),
				nf_load_relaxed(&s.hdr->rsp_event)};
		for (int k = 0; k < 4; k++)
			s.torn += v[k] != 0 && v[k] != 0xffffffffu;
	}
	nf_store_relaxed(&s.stop, 1);
	pthread_join(t, NULL);
	is(s.torn, 0, "ring_index_is_single_word_access: no torn index");
	is(__alignof__(struct nf_sring), 4, "ring_index_is_single_word_access: aligned words");
}

int main(void)
{
	sizes();
	ring_event_initial_values();
	ring_full_reports_short_write();
	ring_index_crosses_2p31_and_2p32();
	ring_index_is_single_word_access();
	events();
	hostile_events();
	hostile_indices();
	return done();
}
