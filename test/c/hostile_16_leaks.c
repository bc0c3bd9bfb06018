/* SPDX-License-Identifier: MIT */
/* HOSTILE.md group 16: what a peer can read that was not meant for it. */
#include "hostile.h"

/* The back writes a frame into a marked page: not a byte beside the frame changes. */
static void rx_page(struct scene *s, bool copy, uint32_t bytes)
{
	struct hostile_options opt = {.no_ctrl = copy};
	struct rig_options o = {.grants = copy ? NF_NET_GRANTS_COPY : 0};
	const char *how = copy ? "copy" : "static";
	SCENE(s, scene_front(s, &opt, &o), "rx page, %s: connected", how);
	struct hostile_queue *q = &s->h.q[0];
	/* a long frame first, so that a bounce buffer would have a tail to leak */
	for (uint32_t i = 0; i < 64; i++)
		hostile_rx_post(&s->h, 0, i, q->rx_grefs[i]);
	hostile_rx_push(&s->h, 0);
	rig_generate(s->real, NF_GEN_SEND, 4096, 1);
	ok(rig_until_counter(s->real, NF_COUNTER_rx_packets, 1, 2000) == 0, "rx page: a long one");
	memset(q->rx_pages.base, 0x77, 256 * NF_PAGE_BYTES);
	for (uint32_t i = 64; i < 256; i++)
		hostile_rx_post(&s->h, 0, i, q->rx_grefs[i]);
	hostile_rx_push(&s->h, 0);
	rig_generate(s->real, NF_GEN_SEND, bytes, 100);
	ok(rig_until_counter(s->real, NF_COUNTER_rx_packets, 101, 2000) == 0,
	   "rx page, %s: 100 frames of %u", how, bytes);
	rig_generate(s->real, NF_GEN_IDLE, bytes, 0);
	uint32_t foreign = 0;
	for (uint32_t idx = 1; idx < 101; idx++) {
		struct nf_netif_rx_response r;
		memcpy(&r, hostile_slot(&s->h, 0, 'r', idx), sizeof(r));
		const uint8_t *page = q->rx_pages.base + (size_t)r.id * NF_PAGE_BYTES;
		for (uint32_t i = 0; i < NF_PAGE_BYTES; i++)
			foreign += (i < r.offset || i >= r.offset + (uint32_t)r.status) &&
				   page[i] != 0x77;
	}
	is(foreign, 0, "rx page, %s: bytes written beside the frames", how);
	SCENE(s, scene_end(s, false), "rx page: baseline");
}

/* Every page of a front that a back may map is cleared when it is granted. */
static void tx_page_is_cleared_before_grant(struct scene *s)
{
	SCENE(s, scene_back(s, NULL, NULL), "tx_page_is_cleared_before_grant: first life");
	struct nf_front_rings *r = nf_netfront_rings(s->real->front, 0);
	rig_generate(s->real, NF_GEN_SEND, 4000, 200);
	rig_linger(&s->r, 20);
	rig_generate(s->real, NF_GEN_IDLE, 60, 0);
	rig_linger(&s->r, 2);
	memset(r->tx_pages.base, 0x5a, NF_NET_PAGES * NF_PAGE_BYTES);
	SCENE(s, scene_end(s, false), "tx_page_is_cleared_before_grant: baseline");
	SCENE(s, scene_back(s, NULL, NULL), "tx_page_is_cleared_before_grant: second life");
	r = nf_netfront_rings(s->real->front, 0);
	void *addrs[NF_NET_PAGES];
	struct nf_mapping m;
	int rc = s->h.layer->ops->map(s->h.layer, 2, r->tx_grefs, NF_NET_PAGES, true, addrs, &m);
	is(rc, 0, "tx_page_is_cleared_before_grant: the back maps them all");
	uint32_t old = 0;
	for (uint32_t p = 0; rc == 0 && p < NF_NET_PAGES; p++)
		for (uint32_t i = 0; i < NF_PAGE_BYTES; i++)
			old += ((uint8_t *)addrs[p])[i] == 0x5a;
	is(old, 0, "tx_page_is_cleared_before_grant: bytes of the first life");
	if (rc == 0)
		(void)s->h.layer->ops->unmap(s->h.layer, &m);
	SCENE(s, scene_end(s, false), "tx_page_is_cleared_before_grant: baseline");
}

/* Ring pages of a fresh connection hold indices, posted requests and zeroes. */
static void ring_pages(struct scene *s)
{
	SCENE(s, scene_back(s, NULL, NULL), "ring pages: connected");
	const uint8_t *tx = (const uint8_t *)s->h.q[0].shared_tx;
	const uint8_t *rx = (const uint8_t *)s->h.q[0].shared_rx;
	uint32_t junk = 0;
	for (uint32_t i = 16; i < NF_PAGE_BYTES; i++)
		junk += tx[i] != 0;
	for (uint32_t i = 16; i < 64; i++)
		junk += rx[i] != 0;
	for (uint32_t i = 64 + 256 * 8; i < NF_PAGE_BYTES; i++)
		junk += rx[i] != 0;
	is(junk, 0, "ring pages: nothing but what the wire needs");
	bool clean = true;
	for (uint32_t i = 0; i < 256; i++) {
		struct nf_netif_rx_request r;
		memcpy(&r, hostile_slot(&s->h, 0, 'r', i), sizeof(r));
		clean = clean && r.pad == 0 && r.id < 256;
	}
	ok(clean, "ring pages: the padding of posted requests is zero");
	SCENE(s, scene_end(s, false), "ring pages: baseline");
}

/* Responses: an extra's and a dropped packet's slot show nothing of ours. */
static void tx_responses(struct scene *s)
{
	struct nf_netif_extra_info e = {.type = NF_NETIF_EXTRA_TYPE_GSO};
	e.u.gso.size = 40;
	e.u.gso.type = 1;
	SCENE(s, scene_front(s, NULL, NULL), "tx responses: connected");
	memset(hostile_slot(&s->h, 0, 't', 0), 0, 36);
	hostile_tx(&s->h, 0, s->h.q[0].tx_grefs[0], 0, NF_NETTXF_extra_info, 5, 200);
	hostile_tx_extra(&s->h, 0, &e);
	uint8_t before[24], after[24];
	memcpy(before, hostile_slot(&s->h, 0, 't', 0), 24);
	hostile_tx_push(&s->h, 0);
	ok(tx_answered(&s->h, 0), "tx responses: answered");
	memcpy(after, hostile_slot(&s->h, 0, 't', 0), 24);
	ok(memcmp(before + 4, after + 4, 8) == 0, "tx responses: only the four bytes are written");
	ok(memcmp(before + 16, after + 16, 8) == 0, "tx responses: of an extra's slot too");
	is(tx_rsp_at(&s->h, 0, 1).id, 0, "tx responses: a null answer has no id");
	SCENE(s, scene_end(s, false), "tx responses: baseline");
}

int main(void)
{
	struct scene s;
#ifdef __SANITIZE_THREAD__
	skip_all("the peer writes pages while they are in use: races on purpose");
#endif
	SCENE(&s, scene_open(&s, NF_POLL_EVENT), "the stage");
	rx_page(&s, false, 60);
	rx_page(&s, true, 60);
	rx_page(&s, true, 1500);
	tx_page_is_cleared_before_grant(&s);
	ring_pages(&s);
	tx_responses(&s);
	scene_close(&s);
	return done();
}
