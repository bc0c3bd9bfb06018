/* SPDX-License-Identifier: MIT */
/*
 * What can come out of a relay queue, whatever goes in: L2 and L0 in turn write junk that is nearly
 * right, and every slot that reaches the other side is judged. Also every gref there is room to
 * try.
 */
#include "relay_loop.h"

#define LIVES 300u
#define STEPS 40u

static uint32_t seed = 77;
static uint32_t bad;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)seed * n) >> 32);
}

static void judge(bool good, const char *what, int64_t value)
{
	if (!good && bad++ < 5)
		diag("%s: %lld", what, (long long)value);
}

/* ---- hostile L2, L0 judges ---- */
static void spoil(struct nf_netif_tx_request *r)
{
	switch (rnd(1500)) { /* now and then a field is anything */
	case 0:
		r->gref = seed;
		break;
	case 1:
		r->gref = loop_rx_gref(rnd(LOOP_SLOTS));
		break;
	case 2:
		r->offset = (uint16_t)rnd(65536);
		break;
	case 3:
		r->size = (uint16_t)rnd(65536);
		break;
	case 4:
		r->flags = (uint16_t)rnd(65536);
		break;
	default:
		break;
	}
}

/* A packet of up to 20 slots, nearly right; returns ring slots. */
static uint32_t junk_tx(struct loop *r)
{
	uint32_t slots = rnd(4) ? 1 : 1 + rnd(20), total = 0;
	bool extra = rnd(5) == 0;
	uint16_t part[20];
	for (uint32_t i = 0; i < slots; i++)
		total += part[i] = (uint16_t)(rnd(30) ? 14 + rnd(2000) : rnd(3));
	for (uint32_t i = 0; i < slots; i++) {
		struct nf_netif_tx_request q = {.gref = loop_tx_gref(rnd(LOOP_SLOTS)),
						.offset = (uint16_t)rnd(2000),
						.id = (uint16_t)rnd(65536),
						.size = (uint16_t)(i ? part[i] : total)};
		q.flags = (uint16_t)((i + 1 < slots ? NF_NETTXF_more_data : 0) |
				     (i == 0 && extra ? NF_NETTXF_extra_info : 0) | rnd(4));
		spoil(&q);
		l2_tx(r, q);
		if (i == 0 && extra) {
			struct nf_netif_extra_info e = {.type = 1};
			e.u.gso.size = (uint16_t)(rnd(300) ? 1 + rnd(3000) : 0);
			e.u.gso.type = (uint8_t)(rnd(300) ? 1 + rnd(2) : rnd(256));
			e.u.gso.pad = (uint8_t)rnd(256);
			l2_tx_extra(r, e);
		}
	}
	return slots + extra;
}

struct judge_tx {
	uint8_t in_flight[LOOP_SLOTS];
	uint32_t slots; /* of the packet being read, 0 none */
	uint32_t total, rest_min, first_offset;
	bool extra_next;
	uint16_t owed[LOOP_SLOTS];
	uint32_t owed_count, nulls;
};

/* One slot as L0 reads it; packets must be whole when the ring is empty. */
static void judge_tx_slot(struct judge_tx *j, const void *slot)
{
	struct nf_netif_tx_request r;
	if (j->extra_next) {
		struct nf_netif_extra_info e;
		memcpy(&e, slot, sizeof(e));
		judge(e.type == NF_NETIF_EXTRA_TYPE_GSO && e.flags == 0 && e.u.gso.size != 0 &&
			      (e.u.gso.type == 1 || e.u.gso.type == 2) && e.u.gso.pad == 0,
		      "an extra L0 should never see", e.type);
		j->extra_next = false;
		j->nulls++;
		return;
	}
	memcpy(&r, slot, sizeof(r));
	judge(r.gref - LOOP_OUTER_TX < LOOP_SLOTS, "a gref that is not L2's tx page", r.gref);
	judge(r.id < LOOP_SLOTS && !j->in_flight[r.id % LOOP_SLOTS], "a tx id twice", r.id);
	judge(!(r.flags & ~NF__TX_FLAGS), "unknown flags", r.flags);
	j->in_flight[r.id % LOOP_SLOTS] = 1;
	j->owed[j->owed_count++] = r.id;
	if (j->slots == 0) {
		j->total = r.size;
		j->rest_min = 0;
		judge(r.size >= 14, "a runt", r.size);
		j->extra_next = r.flags & NF_NETTXF_extra_info;
	} else {
		judge((uint32_t)r.offset + r.size <= 4096, "a slot past its page", r.offset);
		judge(!(r.flags & NF_NETTXF_extra_info), "an extra after the first slot", r.flags);
		j->rest_min += r.size;
		judge(j->rest_min <= j->total, "slots beyond the total", j->rest_min);
	}
	j->first_offset = j->slots == 0 ? r.offset : j->first_offset;
	j->slots = r.flags & NF_NETTXF_more_data ? j->slots + 1 : 0;
	if (j->slots == 0)
		judge(j->first_offset + j->total - j->rest_min <= 4096,
		      "a first slot past its page", j->first_offset);
	judge(j->slots < NF_NETIF_SLOTS_MIN, "too many slots", j->slots);
}

static void l0_reads(struct loop *r, struct judge_tx *j)
{
	uint8_t slot[12];
	while (l0_tx_take(r, slot))
		judge_tx_slot(j, slot);
	judge(j->slots == 0 && !j->extra_next, "half a packet published", j->slots);
	while (j->owed_count > 0 && rnd(10)) {
		uint16_t id = j->owed[--j->owed_count];
		j->in_flight[id] = 0;
		l0_tx_answer(r, id, NF_NETIF_RSP_OKAY);
	}
	for (; j->nulls > 0; j->nulls--)
		l0_tx_answer(r, (uint16_t)rnd(65536), NF_NETIF_RSP_NULL);
	struct nf_netif_rx_request want;
	while (l0_rx_take(r, &want))
		judge(want.gref - LOOP_OUTER_RX < LOOP_SLOTS && want.id < LOOP_SLOTS,
		      "an rx gref that is not L2's", want.gref);
	l0_push(r);
}

static uint32_t hostile_l2(enum nf_relay_mode mode)
{
	uint32_t ended = 0;
	for (uint32_t life = 0; life < LIVES; life++) {
		struct loop *r = loop_new(mode, true, rnd(2) ? 0 : 0u - rnd(300));
		static struct judge_tx j;
		memset(&j, 0, sizeof(j));
		int rc = 0;
		for (uint32_t step = 0; step < STEPS && rc >= 0; step++) {
			uint32_t room = nf_ring_front_free(&r->l2_tx_ring);
			for (uint32_t n = rnd(12); n > 0 && room >= 21; n--)
				room -= junk_tx(r);
			if (rnd(4) && nf_ring_front_free(&r->l2_rx_ring))
				l2_post(r, (uint16_t)rnd(65536), rnd(LOOP_SLOTS));
			l2_push(r);
			if (rnd(2000) == 0)
				nf_store_relaxed(&r->l2_tx_ring.shared_hdr->req_prod, seed);
			rc = nf__queue_run(&r->q);
			l0_reads(r, &j);
			int n = nf_ring_front_pending(&r->l2_tx_ring);
			judge(n >= 0, "L2 is answered what it did not ask", n);
			r->l2_tx_ring.rsp_cons += (uint32_t)n;
		}
		judge(rc >= 0 || rc == -EPROTO, "another error", rc);
		judge(rc >= 0 || (r->q.fault.field && r->q.inner_fault), "a fault of L2's, named",
		      rc);
		ended += rc < 0;
		loop_free(r);
	}
	return ended;
}

/* ---- hostile L0, L2 judges ---- */
static void junk_rx(struct loop *r)
{
	uint32_t idx = r->l0_rx_ring.rsp_prod;
	static bool more; /* the slot before goes on here: no extra may follow this one */
	static const uint16_t flags[] = {0, 0, 0, 1, 2, 4, 8};
	struct nf_netif_rx_response rsp = {.id = (uint16_t)(idx % LOOP_SLOTS),
					   .offset = (uint16_t)rnd(2000),
					   .flags = flags[rnd(7)],
					   .status = (int16_t)(rnd(2090) - 2)};
	struct nf_netif_extra_info e = {.type = 1};
	e.u.gso.size = (uint16_t)rnd(3000);
	e.u.gso.type = (uint8_t)(1 + rnd(2));
	if (more)
		rsp.flags &= NF_NETRXF_more_data;
	more = rsp.flags & NF_NETRXF_more_data;
	switch (rnd(2000)) {
	case 0:
		rsp.id = (uint16_t)rnd(65536);
		break;
	case 1:
		rsp.offset = (uint16_t)rnd(65536);
		break;
	case 2:
		rsp.status = (int16_t)rnd(65536);
		break;
	case 3:
		rsp.flags = (uint16_t)rnd(65536);
		break;
	default:
		break;
	}
	l0_rx_answer(r, &rsp);
	if (rsp.flags & NF_NETRXF_extra_info)
		l0_rx_answer(r, &e);
}

/* What L2 sees: its own ids in its own slots, within pages, packets whole. */
static void l2_reads(struct loop *r, const uint16_t *ids)
{
	struct nf_ring_front *ring = &r->l2_rx_ring;
	int n = nf_ring_front_pending(ring);
	bool more = false, extra = false;
	judge(n >= 0, "L2's rx responses", n);
	for (; n > 0; n--, ring->rsp_cons++) {
		struct nf_netif_rx_response rsp;
		memcpy(&rsp, nf_ring_front_slot(ring, ring->rsp_cons), sizeof(rsp));
		if (extra) {
			struct nf_netif_extra_info e;
			memcpy(&e, &rsp, sizeof(e));
			judge(e.type == 1 && e.flags == 0 && e.u.gso.size != 0, "an extra", e.type);
			extra = false;
			continue;
		}
		judge(rsp.id == ids[ring->rsp_cons % LOOP_SLOTS], "an id of another slot", rsp.id);
		judge(!(rsp.flags & ~NF__RX_FLAGS), "unknown flags", rsp.flags);
		judge(rsp.status >= -2 && rsp.offset + rsp.status <= 4096, "past the page",
		      rsp.status);
		extra = !more && (rsp.flags & NF_NETRXF_extra_info);
		more = rsp.flags & NF_NETRXF_more_data;
	}
	judge(!more && !extra, "half a packet published", 0);
}

static uint32_t hostile_l0(enum nf_relay_mode mode)
{
	uint32_t ended = 0;
	for (uint32_t life = 0; life < LIVES; life++) {
		struct loop *r = loop_new(mode, true, rnd(2) ? 0 : 0u - rnd(300));
		uint16_t ids[LOOP_SLOTS];
		int rc = 0;
		for (uint32_t step = 0; step < STEPS && rc >= 0; step++) {
			while (nf_ring_front_free(&r->l2_rx_ring)) {
				uint16_t id = (uint16_t)rnd(65536);
				ids[r->l2_rx_ring.req_prod % LOOP_SLOTS] = id;
				l2_post(r, id, rnd(LOOP_SLOTS));
			}
			l2_push(r);
			rc = nf__queue_run(&r->q);
			struct nf_netif_rx_request want;
			while (l0_rx_take(r, &want))
				;
			for (uint32_t n = rnd(20); n > 0; n--) {
				if (r->l0_rx_ring.req_cons - r->l0_rx_ring.rsp_prod >= 2)
					junk_rx(r);
			}
			l0_push(r);
			if (rnd(2000) == 0)
				nf_store_relaxed(&r->out.rx.shared_hdr->rsp_prod, seed);
			rc = rc < 0 ? rc : nf__queue_run(&r->q);
			l2_reads(r, ids);
		}
		judge(rc >= 0 || rc == -EPROTO, "another error", rc);
		judge(rc >= 0 || (r->q.fault.field && !r->q.inner_fault), "a fault of L0's, named",
		      rc);
		ended += rc < 0;
		loop_free(r);
	}
	return ended;
}

/* The table is total and bounded: each number is one of L2's pages of that direction, or nothing.
 */
static void every_gref(void)
{
	struct loop *r = loop_new(NF_RELAY_TRANSLATE, true, 0);
	uint32_t found[2] = {0, 0};
	for (uint64_t g = 0; g < (1u << 20) + (1u << 16); g++) {
		uint32_t gref = g < (1u << 20) ? (uint32_t)g : (uint32_t)(g * 2654435761u);
		for (int write = 0; write < 2; write++) {
			const uint32_t *outer = nf__outer_gref(&r->q, gref, write);
			if (!outer)
				continue;
			found[write]++;
			judge(*outer - (write ? LOOP_OUTER_RX : LOOP_OUTER_TX) < LOOP_SLOTS,
			      "a gref out of the table", gref);
		}
	}
	is(found[0], LOOP_SLOTS, "of a million grefs as many read as L2 listed so");
	is(found[1], LOOP_SLOTS, "and as many are written");
	loop_free(r);
}

int main(void)
{
	static const struct {
		enum nf_relay_mode mode;
		const char *name;
	} modes[] = {{NF_RELAY_TRANSLATE, "translate"}, {NF_RELAY_COPY, "copy"}};
	every_gref();
	for (int i = 0; i < 2; i++) {
		uint32_t ended = hostile_l2(modes[i].mode);
		is(bad, 0, "%s: L0 sees nothing wrong of %u hostile L2s", modes[i].name, LIVES);
		ok(ended > LIVES / 10 && ended < LIVES, "%u of them were stopped", ended);
		ended = hostile_l0(modes[i].mode);
		is(bad, 0, "%s: L2 sees nothing wrong of %u hostile L0s", modes[i].name, LIVES);
		ok(ended > LIVES / 10 && ended < LIVES, "%u of them were stopped", ended);
	}
	return done();
}
