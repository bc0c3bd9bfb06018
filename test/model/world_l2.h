/* SPDX-License-Identifier: MIT */
/* L2's front: honest, and on top of it a writer of any word at any time. Part of world.h. */
#ifndef NF_MODEL_WORLD_L2_H
#define NF_MODEL_WORLD_L2_H

static bool l2_lies(void)
{
	return scene->lies > 0;
}

/* Ids are L2's own business: they neither fit a ring nor come twice in a life. */
static uint16_t l2_id(uint32_t post)
{
	return (uint16_t)(world.now * 1000u + post * 7u);
}

static uint32_t l2_post_of(uint16_t id)
{
	for (uint32_t k = 0; k < POSTS; k++)
		if (l2_id(k) == id)
			return k;
	return POSTS;
}

/* The first page that no frame in flight uses. */
static uint32_t l2_page(const uint8_t *did, const uint8_t *pages, uint32_t posts)
{
	for (uint32_t page = 0; page < MODEL_SLOTS; page++) {
		bool busy = false;
		for (uint32_t k = 0; k < posts; k++)
			busy |= pages[k] == page && did[k] != DONE;
		if (!busy)
			return page;
	}
	return MODEL_SLOTS;
}

static void l2_tx_slot(uint16_t size, uint16_t flags)
{
	struct l2 *l = &world.l2;
	uint32_t k = l->tx_posts++, page = l2_page(l->tx_did, l->tx_page, k);
	l->tx_page[k] = (uint8_t)page;
	l->tx_did[k] = ASKED;
	struct nf_netif_tx_request r = {.gref = TX_NAME(page),
					.offset = (uint16_t)(8 * k),
					.flags = flags,
					.id = l2_id(k),
					.size = size};
	memcpy(nf_ring_front_slot(&l2_tx, l2_tx.req_prod++), &r, sizeof(r));
}

static uint32_t l2_tx_busy(void)
{
	uint32_t n = 0;
	for (uint32_t k = 0; k < world.l2.tx_posts; k++)
		n += world.l2.tx_did[k] != DONE;
	return n;
}

static bool l2_tx_can(enum shape s)
{
	uint32_t data = s & (TWO | HALVES) ? 2 : 1, all = data + (s == GSO);
	return (scene->shapes & s) && world.tx_left > 0 && !world.l2.owes_second &&
	       nf_ring_front_free(&l2_tx) >= all && l2_tx_busy() + data <= MODEL_SLOTS &&
	       world.l2.tx_posts + data <= POSTS;
}

static void l2_tx_send(enum shape s)
{
	const struct nf_netif_extra_info gso = {.type = NF_NETIF_EXTRA_TYPE_GSO,
						.u.gso = {.size = 50,
							  .type = NF_NETIF_GSO_TYPE_TCPV4}};
	world.tx_left--;
	l2_tx_slot(s & (TWO | HALVES) ? 100 : 60, s == GSO	       ? NF_NETTXF_extra_info
						  : s & (TWO | HALVES) ? NF_NETTXF_more_data
								       : 0);
	if (s == GSO) {
		memcpy(nf_ring_front_slot(&l2_tx, l2_tx.req_prod++), &gso, sizeof(gso));
		world.l2.tx_extras++;
	}
	if (s == TWO)
		l2_tx_slot(40, 0);
	world.l2.owes_second = s == HALVES;
	told(nf_ring_front_push(&l2_tx));
}

static void l2_tx_second(void)
{
	world.l2.owes_second = 0;
	l2_tx_slot(40, 0);
	told(nf_ring_front_push(&l2_tx));
}

static bool l2_reaps(const struct nf_ring_front *r)
{
	return r->shared_hdr->rsp_prod != r->rsp_cons;
}

/* The oldest is over. */
static void l2_forget(uint8_t *did)
{
	for (uint32_t k = 0; k < POSTS; k++)
		if (did[k] != DONE) {
			did[k] = DONE;
			return;
		}
}

/* Only what was asked and, by an honest L0, answered comes back, and once. */
static void l2_tx_reap(void)
{
	int n = nf_ring_front_pending(&l2_tx);
	if (n < 0)
		explore_fail("more answers inside than questions");
	for (int i = 0; i < n; i++) {
		struct nf_netif_tx_response r;
		memcpy(&r, nf_ring_front_slot(&l2_tx, l2_tx.rsp_cons++), sizeof(r));
		if (l2_lies()) { /* its ids say nothing */
			l2_forget(world.l2.tx_did);
			continue;
		}
		if (r.status == NF_NETIF_RSP_NULL) {
			if (world.l2.tx_extras-- == 0)
				explore_fail("a null for an extra that was not sent");
			continue;
		}
		uint32_t k = l2_post_of(r.id);
		uint8_t did = k < POSTS ? world.l2.tx_did[k] : NOTHING;
		if (did == DONE)
			explore_fail("an inner id was answered twice");
		if (did == NOTHING)
			explore_fail("an inner id was answered that nobody asked");
		if (did == ASKED && !may_forge())
			explore_fail("an inner id was answered before L0 did");
		world.l2.tx_did[k] = DONE;
	}
}

static bool l2_rx_can(void)
{
	return world.rx_left > 0 && nf_ring_front_free(&l2_rx) > 0 && world.l2.rx_posts < POSTS;
}

static void l2_rx_post(void)
{
	struct l2 *l = &world.l2;
	uint32_t k = l->rx_posts++, page = l2_page(l->rx_did, l->rx_page, k);
	world.rx_left--;
	l->rx_page[k] = (uint8_t)page;
	l->rx_did[k] = ASKED;
	struct nf_netif_rx_request r = {.id = l2_id(k), .gref = RX_NAME(page)};
	memcpy(nf_ring_front_slot(&l2_rx, l2_rx.req_prod++), &r, sizeof(r));
	told(nf_ring_front_push(&l2_rx));
}

/* L0's n-th response, under the id of L2's n-th buffer, as L0 wrote it, and within its page. */
static void l2_rx_check(uint32_t n, const struct nf_netif_rx_response *r)
{
	struct nf_netif_rx_response said;
	if (n >= world.back[world.now].rx_answered || n >= world.l2.rx_posts)
		explore_fail("a frame inside that L0 did not write");
	memcpy(&said, &world.back[world.now].rx_said[n], sizeof(said));
	bool extra = n > 0 && (world.back[world.now].rx_said[n - 1] >> 32 & NF_NETRXF_extra_info);
	if (extra && memcmp(r, &said, sizeof(said)) == 0)
		return;
	if (r->id != l2_id(n))
		explore_fail("a frame under another id than its buffer's");
	/* in the slot of a request that was not out yet, what L0 makes up is written over by it */
	if (may_forge())
		memcpy(&said, r, sizeof(said));
	if (r->status != said.status || (r->offset != said.offset && said.status >= 0))
		explore_fail("a frame inside is not what L0 wrote");
	if (r->status > 0 && r->offset + r->status > 4096)
		explore_fail("a frame beyond its page was believed");
}

static void l2_rx_reap(void)
{
	int n = nf_ring_front_pending(&l2_rx);
	if (n < 0)
		explore_fail("more frames inside than buffers");
	for (int i = 0; i < n; i++) {
		struct nf_netif_rx_response r;
		memcpy(&r, nf_ring_front_slot(&l2_rx, l2_rx.rsp_cons++), sizeof(r));
		if (l2_lies()) {
			l2_forget(world.l2.rx_did);
			continue;
		}
		l2_rx_check(world.l2.rx_seen, &r);
		world.l2.rx_did[world.l2.rx_seen++] = DONE;
	}
}

/* ---- a liar ---- */
#define LIE_WORDS (3u * MODEL_SLOTS + 2u * MODEL_SLOTS)
#define LIE_VALUES 5u
static uint32_t lie_value(uint32_t word, uint32_t which)
{
	const uint32_t gref[LIE_VALUES] = {TX_NAME(0), RX_NAME(0), SIBLING, OUTER_TX + 1, ~0u};
	const uint32_t offset_flags[LIE_VALUES] = {0, 4090, NF_NETTXF_more_data << 16,
						   NF_NETTXF_extra_info << 16, ~0u};
	const uint32_t id_size[LIE_VALUES] = {0, 60u << 16, 5000u << 16, 4096u << 16 | 7, ~0u};
	if (word >= 3 * MODEL_SLOTS)
		return (word - 3 * MODEL_SLOTS) % 2 ? gref[which] : which;
	return word % 3 == 0 ? gref[which] : word % 3 == 1 ? offset_flags[which] : id_size[which];
}

static uint32_t *lie_at(uint32_t word)
{
	uint8_t *slots = word < 3 * MODEL_SLOTS ? l2_tx.shared_slots : l2_rx.shared_slots;
	uint32_t at = word < 3 * MODEL_SLOTS ? word : word - 3 * MODEL_SLOTS;
	return (uint32_t *)(void *)(slots + 4 * (size_t)at);
}

static bool lie_changes(uint32_t word, uint32_t which)
{
	return *lie_at(word) != lie_value(word, which);
}

static void lie(uint32_t word, uint32_t which)
{
	world.lies_left--;
	*lie_at(word) = lie_value(word, which);
}

/* Publishes a slot it never wrote, or (by) more than there are. */
static void lie_push(struct nf_ring_front *r, uint32_t by)
{
	world.lies_left--;
	r->req_prod += by;
	told(nf_ring_front_push(r));
}

#endif
