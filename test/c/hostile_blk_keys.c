/* SPDX-License-Identifier: MIT */
/* A hostile front of a disk before and beside its requests: groups 4, 12 and 14 against blkback. */
#include "tap.h"

#include "../peer/blkgate.h"
#include "../peer/blkhostile.h"

static struct blkscene s;
static struct blkgate gate;

static void end(const char *what, bool hostile_first)
{
	if (!ok(blkscene_end(&s, hostile_first), "%s: nothing is left", what))
		diag("%s", s.why);
}

/* 12: each key in turn, everything else honest. */
static void keys(void)
{
	static const struct {
		const char *key, *value;
	} lies[] = {
		{"ring-ref", "0"},
		{"ring-ref", "7"},
		{"ring-ref", "-1"},
		{"ring-ref", "4294967295"},
		{"ring-ref", "4294967304"},
		{"ring-ref", "99999999999999999999999999999999999999999"},
		{"ring-ref", "0x10"},
		{"ring-ref", ""},
		{"event-channel", "-1"},
		{"event-channel", "2147483648"},
		{"event-channel", "1 "},
		{"protocol", "x86_128-abi"},
		{"protocol", "a very long name of a protocol that nobody has ever heard of"},
		{"feature-persistent", "2"},
		{"ring-page-order", "1"},
		{"ring-page-order", "32"},
		{"num-ring-pages", "0"},
		{"num-ring-pages", "3"},
		{"multi-queue-num-queues", "0"},
		{"multi-queue-num-queues", "2"},
		{"multi-queue-num-queues", "4294967297"},
		{"nestfront-registered", "0"},
		{"nestfront-registered", "2305"},
		{"nestfront-registered-ref0", "-8"},
		{"request-nestfront-registered-only", "yes"},
	};
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		const struct blkhostile_options opt = {
			.registered = true, .lie_key = lies[i].key, .lie = lies[i].value};
		blkscene_front(&s, &opt, NULL); /* does not connect */
		if (!ok(blkscene_refused(&s, lies[i].key), "%s = '%s'", lies[i].key, lies[i].value))
			diag("%s", s.why);
		end(lies[i].key, i & 1);
	}
}

/* 12: numbers that are numbers, but of nothing this front granted. */
static void nobodys(void)
{
	static const char *const names[] = {"ring-ref", "event-channel",
					    "nestfront-registered-ref0"};
	for (size_t i = 0; i < 3; i++) {
		const struct blkhostile_options opt = {
			.registered = true, .lie_key = names[i], .lie = "31337"};
		blkscene_front(&s, &opt, NULL);
		if (!ok(blkscene_refused(&s, ""), "%s of nothing", names[i]))
			diag("%s", s.why);
		end(names[i], i & 1);
	}
}

/* 4: an id is the front's own affair: any, and any number of times. */
static void ids(void)
{
	union nf_blk_slot slot;
	uint32_t wrong = 0;
	if (!ok(blkscene_front(&s, NULL, NULL), "ids: connected"))
		diag("%s", s.why);
	for (uint32_t i = 0; i < 32; i++) {
		bh_rw(&slot, &s.h, i & 1, i < 16 ? 7 : UINT64_MAX, 8 * i, 0, 1);
		bh_put(&s.h, &slot);
	}
	bh_push(&s.h);
	is(bh_answers(&s.h, 32, NULL), 0, "ids: each is answered");
	uint32_t seven = 0, all = 0;
	for (uint32_t i = 0; i < 32; i++) {
		struct nf_blkif_response rsp;
		nf__blk_rsp_load(0, bh_slot(&s.h, i), &rsp);
		seven += rsp.id == 7;
		all += rsp.id == UINT64_MAX;
		wrong += rsp.status != 0;
	}
	ok(seven == 16 && all == 16 && wrong == 0, "ids: by the id it came with: %u, %u", seven,
	   all);
	ok(blkscene_survived(&s), "ids: it goes on");
	end("ids", false);
}

static bool is_over(void)
{
	int phase = blkrig_phase(s.real);
	return phase == NF_BLK_FAILED || phase == NF_BLK_CLOSED || phase == NF_BLK_WAITING;
}

/* 14: the front goes with a full ring of writes that the disk still holds. */
static void dies_in_flight(bool in_order)
{
	const struct nf_blk_config real = {.disk = &gate.disk};
	const struct blkhostile_options opt = {.registered = true};
	const char *what = in_order ? "closes in flight" : "dies in flight";
	union nf_blk_slot slot;
	if (!ok(blkscene_front(&s, &opt, &real), "%s: connected", what))
		diag("%s", s.why);
	blkgate_shut(&gate, true);
	for (uint32_t i = 0; i < 32; i++) {
		bh_rw(&slot, &s.h, NF_BLK_WRITE, i, 8 * i, i, 1);
		bh_put(&s.h, &slot);
	}
	bh_push(&s.h);
	for (int i = 0; i < 25000 && blkgate_holding(&gate) < 32; i++)
		blkrig_linger(&s.b, 1);
	is(blkgate_holding(&gate), 32, "%s: the disk holds all of them", what);
	if (in_order)
		bh_state(&s.h, NF_XENBUS_CLOSING);
	else
		bh_close(&s.h);
	blkrig_linger(&s.b, 30);
	ok(nf_blkback_state(s.real->back) != NF_XENBUS_CLOSED,
	   "%s: the back does not say Closed while the disk is at it", what);
	blkgate_shut(&gate, false);
	nf_poller_kick(s.r.poller);
	if (in_order) {
		is(bh_wait(&s.h, NF_XENBUS_CLOSING), 0, "%s: it says Closing", what);
		bh_state(&s.h, NF_XENBUS_CLOSED);
		is(bh_wait(&s.h, NF_XENBUS_CLOSED), 0, "%s: and Closed at last", what);
	}
	for (int i = 0; i < 25000 && !is_over(); i++)
		blkrig_linger(&s.b, 1);
	ok(is_over(), "%s: it lets go: phase %d", what, blkrig_phase(s.real));
	end(what, !in_order);
}

/* 12, 14: states that nobody asked for, as fast as the store takes them. */
static void flapping(void)
{
	static const int states[] = {4, 5, 1, 3, 6, 4, 2, 5, 9, 3, 0, 4};
	const struct blkhostile_options opt = {.registered = true};
	uint32_t seed = 1;
	if (!ok(blkscene_front(&s, &opt, NULL), "flapping: connected"))
		diag("%s", s.why);
	for (uint32_t i = 0; i < 400; i++) {
		seed = seed * 1664525u + 1013904223u;
		bh_state(&s.h, states[(seed >> 16) % 12]);
		if (i % 7 == 0)
			blkrig_turn(&s.b);
	}
	/* what is left of it, its bystander goes on */
	bh_state(&s.h, NF_XENBUS_CLOSED);
	for (int i = 0; i < 25000 && blkrig_phase(s.real) == NF_BLK_RUNNING; i++)
		blkrig_linger(&s.b, 1);
	ok(blkrig_phase(s.real) != NF_BLK_RUNNING, "flapping: it does not run with a closed front");
	uint8_t page[4096] = {1};
	is(blkrig_do(&s.b, s.bystander.front, NF_BLKOP_WRITE, 0, page, sizeof(page)), 0,
	   "flapping: the bystander goes on");
	end("flapping", true);
}

int main(void)
{
	if (!ok(blkscene_open(&s, NF_POLL_ADAPTIVE), "the scene"))
		diag("%s", s.why);
	blkgate_open(&gate, 1u << 20);
	keys();
	nobodys();
	ids();
	dies_in_flight(false);
	dies_in_flight(true);
	flapping();
	blkscene_close(&s);
	blkgate_free(&gate);
	return done();
}
