/* SPDX-License-Identifier: MIT */
/* Frames of every shape through a front and a back queue, both ways, static and copied. */
#include "net_pair.h"

#define CSUM NF_FRAME_CSUM_BLANK
#define VALID NF_FRAME_DATA_VALID

static const char *const way_name[2] = {"tx", "rx"};
static const char *const grants_name[2] = {"copied", "static"};

static struct pair_port *source(struct pair *p, int rx)
{
	return rx ? &p->bp : &p->fp;
}

static struct pair_port *target(struct pair *p, int rx)
{
	return rx ? &p->fp : &p->bp;
}

static void check(struct pair *p, int rx, const char *what)
{
	is(pair_run(p), 0, "%s %s, %s: runs", way_name[rx], what, grants_name[p->br.grefs != NULL]);
	ok(pair_arrived(source(p, rx), target(p, rx)), "arrives whole and in order");
	ok(pair_at_rest(p), "nothing stays in flight");
}

/* Every size around a page and the largest, jumbo without GSO. */
static void sizes(bool is_static, int rx)
{
	static const uint32_t bytes[] = {14,   60,   1514, 2048,  2049,	 4095, 4096,
					 4097, 8192, 9018, 40000, 65226, 65535};
	struct pair *p = pair_new(is_static, 65535, 0);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
			pair_send(source(p, rx), bytes[i], 0, 0, i % 3 == 1 ? VALID : 0);
	}
	check(p, rx, "jumbo frames of 14 to 65,535 bytes");
	is(target(p, rx)->slots_max, 16, "65,535 bytes take 16 slots");
	pair_free(p);
}

static void small(bool is_static, int rx)
{
	struct pair *p = pair_new(is_static, 1514, 0);
	for (uint32_t i = 0; i < PAIR_FRAMES; i++)
		pair_send(source(p, rx), 60 + i * 2, 0, 0, (uint8_t)(i & 3));
	check(p, rx, "512 small frames");
	is(target(p, rx)->slots_max, 1, "a slot each");
	pair_free(p);
}

/* GSO beside jumbo and small frames: the rx layout changes with each. */
static void mixed(bool is_static, int rx)
{
	struct pair *p = pair_new(is_static, 65535, 0);
	for (uint32_t i = 0; i < 12; i++) {
		pair_send(source(p, rx), 65226, 1448, NF_NETIF_GSO_TYPE_TCPV4, CSUM);
		pair_send(source(p, rx), 60, 0, 0, VALID);
		pair_send(source(p, rx), 9018 + i, 0, 0, 0);
		pair_send(source(p, rx), 3000, 1428, NF_NETIF_GSO_TYPE_TCPV6, CSUM);
		pair_send(source(p, rx), 65535, 8960, NF_NETIF_GSO_TYPE_TCPV6, CSUM);
		if (i & 1)
			pair_send(source(p, rx), 30000, 1448, NF_NETIF_GSO_TYPE_TCPV4, CSUM);
	}
	check(p, rx, "GSO v4 and v6 beside jumbo frames");
	uint64_t slots = (rx ? p->fc : p->bc).words[rx ? NF_COUNTER_rx_slots : NF_COUNTER_tx_slots];
	uint64_t want = 0;
	for (uint32_t i = 0; i < source(p, rx)->out_count; i++) {
		const struct pair_frame *f = &source(p, rx)->out[i];
		want += (f->bytes + 4095) / 4096 + (f->gso_bytes ? 1 : 0);
	}
	is(slots, want, "a slot a page, and one for each extra");
	pair_free(p);
}

static void indices(bool is_static, int rx)
{
	static const uint32_t starts[] = {0x7fffff80u, 0xffffff80u};
	for (int s = 0; s < 2; s++) {
		struct pair *p = pair_new(is_static, 65535, starts[s]);
		for (uint32_t i = 0; i < 60; i++)
			pair_send(source(p, rx), i % 5 ? 4097 + i : 65226, i % 5 ? 0 : 1448,
				  (uint8_t)(i % 5 ? 0 : NF_NETIF_GSO_TYPE_TCPV4), 0);
		check(p, rx, s ? "indices across 2^32" : "indices across 2^31");
		pair_free(p);
	}
}

/* A port that takes few frames at a time leaves the rest in the ring. */
static void pressure(bool is_static, int rx)
{
	struct pair *p = pair_new(is_static, 65535, 0);
	for (uint32_t i = 0; i < 64; i++) {
		bool is_gso = i % 4 == 0 && i >= 8;
		pair_send(source(p, rx), 60 + i * 301, is_gso ? 1448 : 0,
			  is_gso ? NF_NETIF_GSO_TYPE_TCPV4 : 0, 0);
	}
	target(p, rx)->take = 0;
	is(pair_run(p), 0, "a port that takes nothing stops the ring, not the device");
	is(target(p, rx)->in_count, 0, "nothing is passed");
	for (uint32_t take = 1; take < 4; take++) {
		target(p, rx)->take = take;
		for (int i = 0; i < 4; i++) {
			p->fq.item.ops->run(&p->fq.item);
			p->bq.item.ops->run(&p->bq.item);
		}
	}
	target(p, rx)->take = UINT32_MAX;
	check(p, rx, "under back pressure");
	uint64_t counted = rx ? p->fc.words[NF_COUNTER_rx_packets]
			      : p->bc.words[NF_COUNTER_tx_packets];
	is(counted, 64, "each frame is counted once");
	pair_free(p);
}

/* The generator's frame size changes while frames of the old one are in flight. */
static void resize(bool is_static, int rx)
{
	struct pair *p = pair_new(is_static, 1514, 0);
	for (uint32_t i = 0; i < 100; i++)
		pair_send(source(p, rx), 1514, 0, 0, 0);
	target(p, rx)->take = 3;
	for (int i = 0; i < 3; i++) {
		p->fq.item.ops->run(&p->fq.item);
		p->bq.item.ops->run(&p->bq.item);
	}
	source(p, rx)->p.frame_bytes_max = target(p, rx)->p.frame_bytes_max = 65535;
	pair_send(source(p, rx), 65535, 0, 0, 0);
	target(p, rx)->take = UINT32_MAX;
	pair_run(p);
	source(p, rx)->p.frame_bytes_max = target(p, rx)->p.frame_bytes_max = 60;
	for (uint32_t i = 0; i < 300; i++)
		pair_send(source(p, rx), 60, 0, 0, 0);
	check(p, rx, "frame sizes that change under way");
	pair_free(p);
}

/* What was not negotiated is dropped at the sender, by count, and its pages come back. */
static void refused(int rx)
{
	struct pair *p = pair_new(true, 65535, 0);
	p->fq.features.gso4 = p->bq.features.gso4 = 0;
	for (uint32_t i = 0; i < 40; i++)
		pair_send(source(p, rx), 20000, 1448, NF_NETIF_GSO_TYPE_TCPV4, CSUM);
	is(pair_run(p), 0, "%s GSO nobody negotiated: runs", way_name[rx]);
	is(target(p, rx)->in_count, 0, "is not sent");
	is((rx ? p->bc : p->fc).words[NF_COUNTER_rx_dropped_malformed], 40, "is counted");
	ok(pair_at_rest(p), "its pages come back");
	pair_free(p);
}

static void copy_fails(int rx)
{
	struct pair *p = pair_new(false, 65535, 0);
	for (uint32_t i = 0; i < 8; i++)
		pair_send(source(p, rx), 9000, 0, 0, 0);
	p->copy_fails_at = 5; /* within the second frame */
	is(pair_run(p), 0, "%s, a copy fails: runs", way_name[rx]);
	is(target(p, rx)->in_count, 7, "its frame alone is lost");
	ok(target(p, rx)->is_good[0] && !target(p, rx)->is_good[1], "the second one is the one");
	is(p->bc.words[rx ? NF_COUNTER_rx_dropped_error : NF_COUNTER_tx_dropped_error], 1,
	   "it is counted");
	ok(pair_at_rest(p), "its slots are answered");
	pair_free(p);
}

static void static_only(void)
{
	struct pair *p = pair_new(true, 1514, 0);
	p->bq.static_only = true;
	pair_send(&p->fp, 60, 0, 0, 0);
	is(pair_run(p), 0, "registered pages pass");
	p->fq.tx_req[0].gref = 5; /* the next page used is the last one freed */
	pair_send(&p->fp, 60, 0, 0, 0);
	is(pair_run(p), -EPROTO, "static only: a gref outside the map stops the device");
	is(p->bq.fault.value, 5, "the fault names it");
	is_str(p->bq.fault.field, "tx gref not registered", "and the field");
	pair_free(p);
}

/* One notification a batch, and none while the other end has not asked. */
static void notifications(void)
{
	struct pair *p = pair_new(true, 1514, 0);
	for (uint32_t i = 0; i < 300; i++)
		pair_send(&p->fp, 60, 0, 0, 0);
	pair_run(p);
	ok(p->notified[0] <= 2 && p->notified[1] <= 1,
	   "polled ends notify each other for the rings' first events only (%u, %u)",
	   p->notified[0], p->notified[1]);
	uint32_t before = p->notified[0];
	is(p->bq.item.ops->arm(&p->bq.item), 0, "an armed back sleeps");
	pair_send(&p->fp, 60, 0, 0, 0);
	p->fq.item.ops->run(&p->fq.item);
	is(p->notified[0], before + 1, "the next frame wakes it");
	ok(p->bq.item.ops->arm(&p->bq.item) > 0, "arming sees a frame that is there");
	pair_free(p);
}

int main(void)
{
	for (int is_static = 0; is_static < 2; is_static++) {
		for (int rx = 0; rx < 2; rx++) {
			sizes(is_static, rx);
			small(is_static, rx);
			mixed(is_static, rx);
			indices(is_static, rx);
			pressure(is_static, rx);
			resize(is_static, rx);
		}
	}
	for (int rx = 0; rx < 2; rx++) {
		refused(rx);
		copy_fails(rx);
	}
	static_only();
	notifications();
	return done();
}
