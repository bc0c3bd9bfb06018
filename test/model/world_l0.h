/* SPDX-License-Identifier: MIT */
/*
 * L0's back of each connection, which does not stop when the relay dies: what it was asked for it
 * may do until it lets go. Part of world.h.
 */
#ifndef NF_MODEL_WORLD_L0_H
#define NF_MODEL_WORLD_L0_H

static bool is_own(uint32_t g, int way, uint32_t page)
{
	for (uint32_t i = 0; i < MODEL_SLOTS; i++)
		if (world.page[g][way][i] == page + 1)
			return true;
	return false;
}

/* Who made up answers in the place of requests it never read has spoilt these itself. */
static bool l0_can(uint32_t g, const struct nf_ring_back *r)
{
	return world.back[g].holds && r->shared_hdr->req_prod != r->req_cons &&
	       (int32_t)(r->rsp_prod - r->req_cons) <= 0;
}

static bool l0_tx_can(uint32_t g)
{
	return l0_can(g, &l0_tx[g]);
}

/* The page L2 named is the page L0 is told, and only an honest L2's names say which. */
static void l0_tx_named(uint32_t g, const struct nf_netif_tx_request *r)
{
	struct back *b = &world.back[g];
	uint32_t page = r->gref - OUTER_TX;
	if (page >= PAGES || !is_own(g, 0, page))
		explore_fail("translated to a page that is not this L2's to send");
	if (b->tx_count >= (may_forge() ? HANDS : MODEL_SLOTS))
		explore_fail("more outside than the ring holds");
	if (r->id >= MODEL_SLOTS)
		explore_fail("an outer id that is no index of the table");
	for (uint32_t i = 0; i < b->tx_count && !may_forge(); i++)
		if (b->tx_hand[i] == r->id)
			explore_fail("an outer id twice in flight");
	uint32_t post = b->tx_taken++;
	if (!scene->lies && g == world.now) {
		if (post >= world.l2.tx_posts)
			explore_fail("a frame outside that L2 did not send");
		if (world.page[g][0][world.l2.tx_page[post]] != page + 1)
			explore_fail("translated to another page than L2 named");
		if (r->offset != 8 * post)
			explore_fail("a frame outside is not what L2 wrote");
	}
	b->tx_hand[b->tx_count] = (uint8_t)r->id;
	b->tx_post[b->tx_count++] = (uint8_t)post;
}

/* One packet; whatever L2 does, it is whole and within its pages. */
static void l0_tx_take(uint32_t g)
{
	struct nf_ring_back *ring = &l0_tx[g];
	struct nf_netif_tx_request r;
	uint32_t first = 0, rest = 0, offset = 0, flags = NF_NETTXF_more_data;
	for (uint32_t n = 0; flags & NF_NETTXF_more_data; n++) {
		if (nf_ring_back_pending(ring) <= 0)
			explore_fail("half a packet outside, or an index that lies");
		memcpy(&r, nf_ring_back_slot(ring, ring->req_cons++), sizeof(r));
		l0_tx_named(g, &r);
		flags = r.flags;
		if (n == 0) {
			first = r.size;
			offset = r.offset;
		} else {
			if (r.offset + r.size > 4096)
				explore_fail("a slot outside reaches beyond its page");
			rest += r.size;
		}
		if (n == 0 && (flags & NF_NETTXF_extra_info)) {
			if (nf_ring_back_pending(ring) <= 0)
				explore_fail("an extra that is not outside");
			ring->req_cons++;
			world.back[g].tx_nulls++;
		}
	}
	if (rest > first || offset + (first - rest) > 4096 || first < 14)
		explore_fail("a frame outside whose sizes are no frame's");
}

static void l0_tx_put(uint32_t g, uint16_t id, int16_t status)
{
	struct nf_netif_tx_response r = {.id = id, .status = status};
	memcpy(nf_ring_back_slot(&l0_tx[g], l0_tx[g].rsp_prod++), &r, sizeof(r));
	bool notify = nf_ring_back_push(&l0_tx[g]);
	if (g == world.now)
		told(notify);
}

/* It is off L0's hands: an answer to it is owed inside. */
static void l0_tx_pop(uint32_t g, uint32_t i)
{
	struct back *b = &world.back[g];
	uint32_t post = b->tx_post[i];
	b->tx_count--;
	memmove(&b->tx_hand[i], &b->tx_hand[i + 1], b->tx_count - i);
	memmove(&b->tx_post[i], &b->tx_post[i + 1], b->tx_count - i);
	b->tx_hand[b->tx_count] = b->tx_post[b->tx_count] = 0;
	if (g == world.now && post < POSTS && world.l2.tx_did[post] == ASKED)
		world.l2.tx_did[post] = OUTSIDE;
}

static void l0_tx_answer(uint32_t g, uint32_t i)
{
	uint16_t id = world.back[g].tx_hand[i];
	l0_tx_pop(g, i);
	l0_tx_put(g, id, NF_NETIF_RSP_OKAY);
}

static void l0_tx_null(uint32_t g)
{
	world.back[g].tx_nulls--;
	l0_tx_put(g, 0, NF_NETIF_RSP_NULL);
}

static bool l0_rx_can(uint32_t g)
{
	return l0_can(g, &l0_rx[g]);
}

static void l0_rx_take(uint32_t g)
{
	struct back *b = &world.back[g];
	struct nf_netif_rx_request r;
	if (nf_ring_back_pending(&l0_rx[g]) <= 0)
		explore_fail("a request outside that overruns the ring");
	uint32_t idx = l0_rx[g].req_cons++;
	memcpy(&r, nf_ring_back_slot(&l0_rx[g], idx), sizeof(r));
	uint32_t page = r.gref - OUTER_RX;
	if (page >= PAGES || !is_own(g, 1, page))
		explore_fail("L0 may write to a page that is not this L2's to fill");
	if (r.id != (idx & (MODEL_SLOTS - 1)))
		explore_fail("an outer rx id that is not its index");
	uint32_t post = b->rx_taken++;
	if (!scene->lies && g == world.now &&
	    (post >= world.l2.rx_posts || world.page[g][1][world.l2.rx_page[post]] != page + 1))
		explore_fail("another buffer outside than L2 posted");
	if (b->rx_count >= (may_forge() ? HANDS : MODEL_SLOTS))
		explore_fail("more buffers outside than the ring holds");
	b->rx_hand[b->rx_count++] = (uint8_t)page;
}

static void l0_rx_pop(uint32_t g)
{
	struct back *b = &world.back[g];
	b->rx_count--;
	memmove(&b->rx_hand[0], &b->rx_hand[1], b->rx_count);
	b->rx_hand[b->rx_count] = 0;
}

/* The copy itself, however late: into nothing that a later connection has. */
static void l0_rx_write(uint32_t g)
{
	uint32_t page = world.back[g].rx_hand[0];
	if (g != world.now && (is_own(world.now, 0, page) || is_own(world.now, 1, page)))
		explore_fail("a late copy landed in a page that was given to somebody else");
	l0_rx_pop(g);
}

static void l0_rx_put(uint32_t g, const struct nf_netif_rx_response *r)
{
	struct back *b = &world.back[g];
	memcpy(nf_ring_back_slot(&l0_rx[g], l0_rx[g].rsp_prod++), r, sizeof(*r));
	if (b->rx_answered < POSTS)
		memcpy(&b->rx_said[b->rx_answered], r, sizeof(*r));
	b->rx_answered++;
}

static void l0_rx_data(uint32_t g, uint16_t flags, int16_t status)
{
	uint32_t n = world.back[g].rx_answered;
	l0_rx_write(g);
	l0_rx_put(g, &(struct nf_netif_rx_response){.id = (uint16_t)(n & (MODEL_SLOTS - 1)),
						    .offset = (uint16_t)(16 * n),
						    .flags = flags,
						    .status = status});
}

static bool l0_rx_fills(uint32_t g, enum shape s)
{
	const struct back *b = &world.back[g];
	return (scene->shapes & s) && b->holds && !b->rx_owes_second &&
	       b->rx_count >= (s & (TWO | HALVES | GSO) ? 2 : 1);
}

static void l0_rx_pushed(uint32_t g)
{
	bool notify = nf_ring_back_push(&l0_rx[g]);
	if (g == world.now)
		told(notify);
}

static void l0_rx_fill(uint32_t g, enum shape s)
{
	const struct nf_netif_extra_info gso = {.type = NF_NETIF_EXTRA_TYPE_GSO,
						.u.gso = {.size = 50,
							  .type = NF_NETIF_GSO_TYPE_TCPV4}};
	struct nf_netif_rx_response overlay;
	l0_rx_data(g,
		   s == GSO		? NF_NETRXF_extra_info
		   : s & (TWO | HALVES) ? NF_NETRXF_more_data
					: 0,
		   s == ERROR ? NF_NETIF_RSP_ERROR : 100);
	if (s == GSO) {
		l0_rx_pop(g); /* nothing lands in the buffer whose slot it overlays */
		memcpy(&overlay, &gso, sizeof(overlay));
		l0_rx_put(g, &overlay);
	}
	if (s == TWO)
		l0_rx_data(g, 0, 40);
	world.back[g].rx_owes_second = s == HALVES;
	l0_rx_pushed(g);
}

static void l0_rx_second(uint32_t g)
{
	world.back[g].rx_owes_second = 0;
	l0_rx_data(g, 0, 40);
	l0_rx_pushed(g);
}

/* L0's back of a dead connection closes: it maps and asks for nothing any more. */
static void l0_let_go(uint32_t g)
{
	memset(&world.back[g], 0, sizeof(world.back[g]));
}

/* ---- a forger ---- */
#define FORGED_TX 6u
#define FORGED_RX 6u
static void forge_tx(uint32_t which)
{
	const struct nf_netif_tx_response r[FORGED_TX] = {
		{.id = 0, .status = NF_NETIF_RSP_OKAY},
		{.id = 1, .status = NF_NETIF_RSP_OKAY},
		{.id = MODEL_SLOTS, .status = NF_NETIF_RSP_OKAY},
		{.id = 1, .status = NF_NETIF_RSP_NULL},
		{.id = 1, .status = NF_NETIF_RSP_ERROR},
		{.id = 0, .status = 7}};
	struct back *b = &world.back[world.now];
	world.forged_left--;
	for (uint32_t i = 0; i < b->tx_count && r[which].status <= NF_NETIF_RSP_OKAY; i++)
		if (b->tx_hand[i] == r[which].id) /* it may well use the id again */
			l0_tx_pop(world.now, i);
	l0_tx_put(world.now, r[which].id, r[which].status);
}

static void forge_rx(uint32_t which)
{
	uint16_t at = (uint16_t)(l0_rx[world.now].rsp_prod & (MODEL_SLOTS - 1));
	const struct nf_netif_rx_response r[FORGED_RX] = {
		{.id = at, .status = 100},
		{.id = (uint16_t)(at + 1), .status = 100},
		{.id = at, .offset = 4000, .status = 100},
		{.id = at, .status = -7},
		{.id = at, .status = 100, .flags = NF_NETRXF_more_data},
		{.id = at, .status = 100, .flags = NF_NETRXF_gso_prefix}};
	world.forged_left--;
	if (world.back[world.now].rx_count > 0)
		l0_rx_pop(world.now);
	l0_rx_put(world.now, &r[which]);
	l0_rx_pushed(world.now);
}

#endif
