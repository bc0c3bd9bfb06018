/* SPDX-License-Identifier: MIT */
/*
 * The relay's data loops against a model of both ends: random frames of one to eighteen slots, with
 * and without GSO, pushed whole or cut anywhere, answered in any order, through every mode, with
 * ring indices that cross 2^31 and 2^32. Every byte, id and slot is checked.
 */
#include "relay_loop.h"

#define ROUNDS 3000u

static uint32_t seed = 20261122;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)seed * n) >> 32);
}

/* What both ends of the model know. */
struct model {
	struct loop *r;
	bool copies;
	uint32_t bad; /* broken expectations, the first ones named */
	/* tx */
	uint32_t tx_sent, tx_seen, tx_answered, tx_responses, tx_nulls, tx_extras;
	uint16_t tx_free[LOOP_SLOTS];
	uint32_t tx_free_count;
	uint8_t tx_busy[LOOP_SLOTS];
	uint16_t owed[LOOP_SLOTS]; /* outer ids to answer */
	uint32_t owed_count, owed_nulls;
	/* rx */
	uint32_t rx_sent, rx_seen, rx_max_posted;
	uint16_t rx_free[LOOP_SLOTS]; /* L2's pages not posted */
	uint32_t rx_free_count;
	uint16_t rx_page[LOOP_SLOTS];		     /* by inner slot */
	struct nf_netif_rx_request want[LOOP_SLOTS]; /* L0: posted, in order */
	uint32_t want_head, want_count;
};

/* Notes what is wrong; the run ends after this round. */
static void expect(struct model *m, bool good, const char *what, int64_t value)
{
	if (!good && m->bad++ < 5)
		diag("%s: %lld", what, (long long)value);
}

static uint16_t l2_id(uint32_t page)
{
	return (uint16_t)(60000u - page * 5u); /* beyond the ring's size: ids are L2's business */
}

static uint8_t pattern(uint32_t frame, uint32_t at)
{
	return (uint8_t)(frame * 31 + at * 7 + (at >> 8));
}

static void fill(uint8_t *to, uint32_t frame, uint32_t at, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		to[i] = pattern(frame, at + i);
}

static bool same(const uint8_t *got, uint32_t frame, uint32_t at, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (got[i] != pattern(frame, at + i))
			return false;
	}
	return true;
}

/* Shape of frame number f, the same for whoever asks: slots, extra, bytes of each slot. */
struct shape {
	uint32_t slots, bytes, gso;
	uint16_t part[18], offset[18];
};

static struct shape shape_of(uint32_t f)
{
	struct shape s = {.slots = 1};
	uint32_t x = f * 2654435761u;
	if (x % 3 == 0)
		s.slots = 1 + (x >> 8) % 18;
	s.gso = (x >> 16) % 4 == 0 ? 1 + (x >> 20) % 1400 : 0;
	for (uint32_t i = 0; i < s.slots; i++) {
		x = x * 1664525u + 1013904223u;
		s.part[i] = (uint16_t)(14 + (x >> 16) % 300);
		s.offset[i] = (uint16_t)((x >> 8) % (4096u - s.part[i] + 1u));
		s.bytes += s.part[i];
	}
	return s;
}

static struct nf_netif_extra_info gso_extra(uint32_t size, uint32_t frame)
{
	struct nf_netif_extra_info e = {.type = NF_NETIF_EXTRA_TYPE_GSO};
	e.u.gso.size = (uint16_t)size;
	e.u.gso.type = frame & 1 ? NF_NETIF_GSO_TYPE_TCPV4 : NF_NETIF_GSO_TYPE_TCPV6;
	return e;
}

static bool extra_is(const struct nf_netif_extra_info *e, uint32_t size, uint32_t frame)
{
	struct nf_netif_extra_info want = gso_extra(size, frame);
	return memcmp(e, &want, sizeof(want)) == 0;
}

/* ---- tx ---- */
static void l2_send(struct model *m)
{
	struct shape s = shape_of(m->tx_sent);
	if (m->tx_free_count < s.slots ||
	    nf_ring_front_free(&m->r->l2_tx_ring) < s.slots + (s.gso != 0))
		return;
	uint32_t at = 0;
	for (uint32_t i = 0; i < s.slots; i++) {
		uint16_t page = m->tx_free[--m->tx_free_count];
		m->tx_busy[page] = 1;
		fill(m->r->l2_tx[page] + s.offset[i], m->tx_sent, at, s.part[i]);
		at += s.part[i];
		uint16_t flags = i + 1 < s.slots ? NF_NETTXF_more_data : 0;
		if (i == 0 && s.gso)
			flags |= NF_NETTXF_extra_info | NF_NETTXF_csum_blank;
		l2_tx(m->r, (struct nf_netif_tx_request){.gref = loop_tx_gref(page),
							 .offset = s.offset[i],
							 .flags = flags,
							 .id = l2_id(page),
							 .size = (uint16_t)(i == 0 ? s.bytes
										   : s.part[i])});
		if (i == 0 && s.gso) {
			l2_tx_extra(m->r, gso_extra(s.gso, m->tx_sent));
			m->tx_extras++;
		}
		if (rnd(8) == 0)
			nf_ring_front_push(&m->r->l2_tx_ring); /* half a packet, too */
	}
	m->tx_sent++;
}

static void l2_reap(struct model *m)
{
	struct nf_ring_front *ring = &m->r->l2_tx_ring;
	int n = nf_ring_front_pending(ring);
	expect(m, n >= 0, "L2's tx responses", n);
	for (int i = 0; i < n; i++) {
		struct nf_netif_tx_response rsp;
		memcpy(&rsp, nf_ring_front_slot(ring, ring->rsp_cons++), sizeof(rsp));
		if (rsp.status == NF_NETIF_RSP_NULL) {
			m->tx_nulls++;
			continue;
		}
		uint32_t page = (60000u - rsp.id) / 5u;
		bool known = page < LOOP_SLOTS && l2_id(page) == rsp.id && m->tx_busy[page];
		expect(m, known, "L2 gets a tx response it has no request for", rsp.id);
		if (!known)
			continue;
		m->tx_busy[page] = 0;
		m->tx_free[m->tx_free_count++] = (uint16_t)page;
		m->tx_responses++;
	}
}

static const uint8_t *l0_tx_page(struct model *m, uint32_t gref)
{
	uint32_t page = gref - LOOP_OUTER_TX;
	expect(m, page < LOOP_SLOTS, "an outer tx gref that is not L2's", gref);
	if (page >= LOOP_SLOTS)
		page = 0;
	return m->copies ? m->r->l1_tx[page] : m->r->l2_tx[page];
}

static void l0_receive(struct model *m)
{
	struct nf_netif_tx_request req;
	while (l0_tx_take(m->r, &req)) {
		struct shape s = shape_of(m->tx_seen);
		uint32_t at = 0;
		expect(m, req.size == s.bytes, "tx frame size", req.size);
		expect(m, !(req.flags & NF_NETTXF_extra_info) == !s.gso, "tx extra", req.flags);
		for (uint32_t i = 0; i < s.slots; i++) {
			const uint8_t *page = l0_tx_page(m, req.gref);
			expect(m, req.offset == s.offset[i], "tx offset", req.offset);
			expect(m, same(page + s.offset[i], m->tx_seen, at, s.part[i]), "tx bytes",
			       m->tx_seen);
			at += s.part[i];
			m->owed[m->owed_count++] = req.id;
			struct nf_netif_extra_info e[2];
			if (i == 0 && s.gso) {
				expect(m, l0_tx_take(m->r, e), "an extra that is not there", 0);
				expect(m, extra_is(e, s.gso, m->tx_seen), "tx gso",
				       e[0].u.gso.size);
				m->owed_nulls++;
			}
			bool more = req.flags & NF_NETTXF_more_data;
			expect(m, more == (i + 1 < s.slots), "tx more_data", i);
			if (more)
				expect(m, l0_tx_take(m->r, &req), "published in halves", i);
		}
		m->tx_seen++;
	}
}

static void l0_complete(struct model *m, uint32_t most)
{
	while (most-- > 0 && m->owed_count + m->owed_nulls > 0) {
		if (m->owed_nulls > 0 && (m->owed_count == 0 || rnd(3) == 0)) {
			m->owed_nulls--;
			l0_tx_answer(m->r, (uint16_t)rnd(65536), NF_NETIF_RSP_NULL);
			continue;
		}
		uint32_t pick = rnd(m->owed_count);
		l0_tx_answer(m->r, m->owed[pick], rnd(9) ? NF_NETIF_RSP_OKAY : NF_NETIF_RSP_ERROR);
		m->owed[pick] = m->owed[--m->owed_count];
		m->tx_answered++;
	}
}

/* ---- rx ---- */
static void l2_post_some(struct model *m, uint32_t most)
{
	struct nf_ring_front *ring = &m->r->l2_rx_ring;
	while (most-- > 0 && m->rx_free_count > 0 && nf_ring_front_free(ring) > 0) {
		uint32_t pick = rnd(m->rx_free_count);
		uint16_t page = m->rx_free[pick];
		m->rx_free[pick] = m->rx_free[--m->rx_free_count];
		m->rx_page[ring->req_prod % LOOP_SLOTS] = page;
		l2_post(m->r, l2_id(page), page);
	}
}

static void l0_want(struct model *m)
{
	struct nf_netif_rx_request req;
	while (l0_rx_take(m->r, &req)) {
		m->want[(m->want_head + m->want_count++) % LOOP_SLOTS] = req;
		if (m->want_count > m->rx_max_posted)
			m->rx_max_posted = m->want_count;
	}
}

static void l0_send(struct model *m)
{
	struct shape s = shape_of(m->rx_sent);
	if (m->want_count < s.slots + (s.gso != 0))
		return;
	uint32_t at = 0;
	for (uint32_t i = 0; i < s.slots; i++) {
		struct nf_netif_rx_request req = m->want[m->want_head++ % LOOP_SLOTS];
		uint32_t page = req.gref - LOOP_OUTER_RX;
		expect(m, page < LOOP_SLOTS, "an outer rx gref that is not L2's", req.gref);
		uint8_t *to = m->copies ? m->r->l1_rx[page % LOOP_SLOTS]
					: m->r->l2_rx[page % LOOP_SLOTS];
		fill(to + s.offset[i], m->rx_sent, at, s.part[i]);
		at += s.part[i];
		uint16_t flags = i + 1 < s.slots ? NF_NETRXF_more_data : 0;
		flags |= i == 0 && s.gso ? NF_NETRXF_extra_info : 0;
		struct nf_netif_rx_response rsp = {.id = req.id,
						   .offset = s.offset[i],
						   .flags = flags,
						   .status = (int16_t)s.part[i]};
		l0_rx_answer(m->r, &rsp);
		if (i == 0 && s.gso) {
			struct nf_netif_extra_info e = gso_extra(s.gso, m->rx_sent);
			l0_rx_answer(m->r, &e);
			m->want_head++;
		}
		if (rnd(8) == 0)
			nf_ring_back_push(&m->r->l0_rx_ring);
	}
	m->want_count -= s.slots + (s.gso != 0);
	m->rx_sent++;
}

/* The next response; gives its page back. */
static struct nf_netif_rx_response l2_take(struct model *m, uint16_t *page)
{
	struct nf_ring_front *ring = &m->r->l2_rx_ring;
	struct nf_netif_rx_response rsp;
	*page = m->rx_page[ring->rsp_cons % LOOP_SLOTS];
	m->rx_free[m->rx_free_count++] = *page;
	memcpy(&rsp, nf_ring_front_slot(ring, ring->rsp_cons++), sizeof(rsp));
	return rsp;
}

static void l2_receive(struct model *m)
{
	int n = nf_ring_front_pending(&m->r->l2_rx_ring);
	expect(m, n >= 0, "L2's rx responses", n);
	while (n > 0) {
		struct shape s = shape_of(m->rx_seen);
		uint32_t at = 0;
		n -= (int)(s.slots + (s.gso != 0));
		expect(m, n >= 0, "rx published in halves", n);
		for (uint32_t i = 0; i < s.slots; i++) {
			uint16_t page, none;
			struct nf_netif_rx_response rsp = l2_take(m, &page);
			expect(m, rsp.id == l2_id(page), "rx id", rsp.id);
			expect(m, rsp.status == s.part[i], "rx status", rsp.status);
			expect(m, same(m->r->l2_rx[page] + rsp.offset, m->rx_seen, at, s.part[i]),
			       "rx bytes", m->rx_seen);
			at += s.part[i];
			if (i != 0 || !s.gso)
				continue;
			struct nf_netif_extra_info e;
			rsp = l2_take(m, &none);
			memcpy(&e, &rsp, sizeof(e));
			expect(m, extra_is(&e, s.gso, m->rx_seen), "rx gso", e.u.gso.size);
		}
		m->rx_seen++;
	}
}

static void round_of(struct model *m)
{
	for (uint32_t n = rnd(40); n > 0; n--)
		l2_send(m);
	l2_post_some(m, rnd(80));
	if (rnd(4))
		l2_push(m->r);
	int rc = nf__queue_run(&m->r->q);
	expect(m, rc >= 0, "the relay stops", rc);
	if (rc < 0)
		diag("field %s %lld", m->r->q.fault.field, (long long)m->r->q.fault.value);
	l0_receive(m);
	l0_want(m);
	for (uint32_t n = rnd(40); n > 0; n--)
		l0_send(m);
	l0_complete(m, rnd(60));
	if (rnd(4))
		l0_push(m->r);
	l2_reap(m);
	l2_receive(m);
}

static void run(enum nf_relay_mode mode, bool mapped, uint32_t first, const char *name)
{
	static struct model m;
	memset(&m, 0, sizeof(m));
	m.r = loop_new(mode, mapped, first);
	m.copies = mode == NF_RELAY_COPY;
	for (uint32_t i = 0; i < LOOP_SLOTS; i++)
		m.tx_free[m.tx_free_count++] = m.rx_free[m.rx_free_count++] = (uint16_t)i;
	for (uint32_t i = 0; i < ROUNDS && m.bad == 0; i++)
		round_of(&m);
	for (uint32_t i = 0; i < 20 && m.bad == 0; i++) { /* drain */
		l2_post_some(&m, LOOP_SLOTS);
		l2_push(m.r);
		nf__queue_run(&m.r->q);
		l0_receive(&m);
		l0_complete(&m, LOOP_SLOTS);
		l0_push(m.r);
		l2_reap(&m);
		l2_receive(&m);
	}
	is(m.bad, 0, "%s from %#x: %u frames out, %u in, all as sent", name, first, m.tx_seen,
	   m.rx_seen);
	ok(m.tx_seen == m.tx_sent && m.tx_seen > ROUNDS / 10, "nothing is left behind outbound");
	ok(m.rx_seen == m.rx_sent && m.rx_seen > ROUNDS / 10, "nothing is left behind inbound");
	is(m.tx_free_count, LOOP_SLOTS, "each of L2's tx requests has one answer");
	is(m.tx_nulls, m.tx_extras, "each tx extra has its null answer");
	is(m.r->counters.words[NF_COUNTER_tx_packets], m.tx_sent, "tx_packets counts them");
	is(m.r->counters.words[NF_COUNTER_rx_packets], m.rx_sent, "rx_packets counts them");
	is(m.rx_max_posted <= LOOP_SLOTS, 1, "never more posted than the ring holds");
	loop_free(m.r);
}

int main(void)
{
	static const uint32_t firsts[] = {0, 0x80000000u - 5000, 0u - 5000};
	for (int i = 0; i < 3; i++) {
		run(NF_RELAY_TRANSLATE, true, firsts[i], "translate");
		run(NF_RELAY_COPY, true, firsts[i], "copy, mapped");
		run(NF_RELAY_COPY, false, firsts[i], "copy by grant copy");
	}
	return done();
}
