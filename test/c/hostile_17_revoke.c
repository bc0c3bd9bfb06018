/* SPDX-License-Identifier: MIT */
/* HOSTILE.md group 17: a page the peer still maps is quarantined, charged to it and never used
 * again. */
#include "hostile.h"

static void back_keeps_pages(struct scene *s)
{
	SCENE(s, scene_back(s, NULL, NULL), "connected");
	struct nf_front_rings *r = nf_netfront_rings(s->real->front, 0);
	uint32_t grefs[NF_NET_PAGES];
	void *addrs[NF_NET_PAGES];
	struct nf_mapping m;
	memcpy(grefs, r->tx_grefs, sizeof(grefs));
	is(s->h.layer->ops->map(s->h.layer, 2, grefs, NF_NET_PAGES, true, addrs, &m), 0,
	   "the back maps every tx page");
	rig_generate(s->real, NF_GEN_SEND, 1000, 50);
	rig_linger(&s->r, 20);
	is(nf_netfront_shutdown(s->real->front) < 0, 0, "the front closes");
	rig_linger(&s->r, 10);
	(void)hostile_state(&s->h, NF_XENBUS_CLOSING); /* as if it had let go */
	ok(rig_until_phase(s->real, NF_NET_CLOSED, 5000) == 0, "and is closed");
	ok(mem_world_quarantine(s->r.w, 3) >= NF_NET_PAGES, "%llu pages are charged to the back",
	   (unsigned long long)mem_world_quarantine(s->r.w, 3));
	uint32_t alive = 0;
	for (uint32_t i = 0; i < NF_NET_PAGES; i++)
		alive += *(volatile uint8_t *)addrs[i] != 0;
	is(alive, 0, "what it sees there is punched");
	rig_end_close(s->real);
	s->real = NULL;
	/* a new life of the front: other pages, whatever it writes */
	struct rig_pair other;
	is(rig_pair_open(&other, &s->r, 2, 0, 7, NULL), 0, "another device of the front");
	ok(rig_pair_moves(&other, 300, 5000), "moves frames");
	for (uint32_t i = 0; i < NF_NET_PAGES; i++)
		for (uint32_t k = 0; k < NF_PAGE_BYTES; k += 64)
			alive += ((volatile uint8_t *)addrs[i])[k] != 0;
	is(alive, 0, "none of them in a page the old back holds");
	rig_pair_close(&other);
	(void)s->h.layer->ops->unmap(s->h.layer, &m);
	ok(mem_world_quarantine(s->r.w, 3) >= NF_NET_PAGES, "letting go late frees nothing");
	SCENE(s, scene_end(s, false), "baseline, quarantine aside");
	mem_world_kill(s->r.w, 3);
	is(mem_world_quarantine(s->r.w, 3), 0, "its death does");
}

/* A back that goes on using a static grant after the front ended it sees no new byte. */
static void front_reconnects(struct scene *s)
{
	SCENE(s, scene_back(s, NULL, NULL), "reconnect: connected");
	struct nf_front_rings *r = nf_netfront_rings(s->real->front, 0);
	uint32_t gref = r->rx_grefs[0];
	void *addr;
	struct nf_mapping m;
	is(s->h.layer->ops->map(s->h.layer, 2, &gref, 1, false, &addr, &m), 0,
	   "reconnect: the back maps an rx page for writing");
	(void)hostile_state(&s->h, NF_XENBUS_CLOSING);
	ok(rig_until_phase(s->real, NF_NET_CLOSED, 5000) == 0, "reconnect: the front closed");
	(void)hostile_state(&s->h, NF_XENBUS_CLOSED);
	uint64_t held = mem_world_quarantine(s->r.w, 3);
	ok(held >= NF_NET_PAGES, "reconnect: the arena is in quarantine");
	struct hostile_options opt = {0};
	struct hostile old = s->h; /* its mappings stay */
	s->h = (struct hostile){.turn = old.turn, .ctx = old.ctx, .ctrl_chan.fd = -1};
	is(hostile_back_open(&s->h, old.layer, 2, 0, &opt), 0, "reconnect: offers again");
	is(hostile_back_connect(&s->h), 0, "reconnect: connected again");
	memset(addr, 0xee, NF_PAGE_BYTES); /* the old page */
	r = nf_netfront_rings(s->real->front, 0);
	uint32_t hit = 0;
	for (uint32_t i = 0; i < NF_NET_PAGES * NF_PAGE_BYTES; i++)
		hit += r->rx_pages.base[i] == 0xee;
	is(hit, 0, "reconnect: a stale write reaches no page of the new life");
	(void)old.layer->ops->unmap(old.layer, &m);
	hostile_close(&old);
	SCENE(s, scene_end(s, false), "reconnect: baseline, quarantine aside");
	mem_world_kill(s->r.w, 3);
}

int main(void)
{
	struct scene s;
	SCENE(&s, scene_open(&s, NF_POLL_EVENT), "the stage");
	back_keeps_pages(&s);
	front_reconnects(&s);
	scene_close(&s);
	return done();
}
