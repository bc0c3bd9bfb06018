/* SPDX-License-Identifier: MIT */
/* HOSTILE.md groups 1 and 2: a ring's header is the peer's to write at any time. */
#include "nf/ring.h"
#include "targets.h"

#define RING_BYTES 4096u

static uint8_t *ring_page(struct fuzz_in *in, uint32_t *slot_bytes, uint32_t *first)
{
	static uint8_t *page;
	static const uint32_t slots[] = {8, 12, 16, 112};
	if (!page)
		page = fuzz_page();
	*slot_bytes = slots[fuzz_u8(in) & 3];
	*first = fuzz_u32(in); /* wraps at 2^31 and 2^32 are as near as any index */
	struct nf_sring *shared = (struct nf_sring *)page;
	*shared = (struct nf_sring){*first, *first + 1, *first, *first + 1, {0}};
	return page;
}

/* The peer's hand: any header word, near where we are or anywhere. */
static void poke(struct fuzz_in *in, uint8_t *page, uint32_t near)
{
	uint8_t how = fuzz_u8(in);
	uint32_t value = how & 4 ? fuzz_u32(in) : fuzz_near(in, near);
	((uint32_t *)page)[how & 3] = value;
}

static void take(const uint8_t *page, const uint8_t *slot, uint32_t slot_bytes)
{
	FUZZ_EXPECT(slot >= page + sizeof(struct nf_sring), "a slot lies in the header");
	FUZZ_EXPECT(slot + slot_bytes <= page + RING_BYTES, "a slot lies beyond the ring");
	fuzz_touch(slot, slot_bytes);
}

static void back_do(struct fuzz_in *in, struct nf_ring_back *r, uint8_t *page)
{
	int n = fuzz_u8(in) & 1 ? nf_ring_back_arm(r, 1) : nf_ring_back_pending(r);
	FUZZ_EXPECT(n == -EPROTO || (n >= 0 && (uint32_t)n <= r->count), "pending of a back");
	FUZZ_EXPECT((n < 0) == (r->error != 0), "an error is sticky");
	uint32_t want = fuzz_u8(in);
	for (uint32_t i = 0; n > 0 && i < (uint32_t)n && i < want; i++) {
		take(page, nf_ring_back_slot(r, r->req_cons), r->slot_bytes);
		r->req_cons++;
	}
	uint32_t owed = r->req_cons - r->rsp_prod;
	FUZZ_EXPECT(owed <= r->count, "more requests in hand than slots");
	for (uint32_t i = 0; i < owed && i < (want >> 4); i++)
		memset(nf_ring_back_slot(r, r->rsp_prod++), 0, r->slot_bytes);
	(void)nf_ring_back_push(r);
	FUZZ_EXPECT(((struct nf_sring *)page)->rsp_prod == r->rsp_prod, "responses published");
}

void fuzz_ring_back(const uint8_t *data, size_t bytes)
{
	struct fuzz_in in = fuzz_input(data, bytes);
	struct nf_ring_back r;
	uint32_t slot_bytes, first;
	uint8_t *page = ring_page(&in, &slot_bytes, &first);
	FUZZ_EXPECT(nf_ring_back_init(&r, page, RING_BYTES, slot_bytes, first) == 0, "init");
	while (fuzz_left(&in) > 0) {
		if (fuzz_u8(&in) & 1)
			poke(&in, page, r.req_cons);
		else
			back_do(&in, &r, page);
	}
}

static void front_do(struct fuzz_in *in, struct nf_ring_front *r, uint8_t *page)
{
	uint32_t room = nf_ring_front_free(r), want = fuzz_u8(in);
	FUZZ_EXPECT(room <= r->count, "room of a front");
	for (uint32_t i = 0; i < room && i < want; i++)
		memset(nf_ring_front_slot(r, r->req_prod++), 0, r->slot_bytes);
	(void)nf_ring_front_push(r);
	FUZZ_EXPECT(((struct nf_sring *)page)->req_prod == r->req_prod, "requests published");
	int n = want & 1 ? nf_ring_front_arm(r, 1 + (want >> 1)) : nf_ring_front_pending(r);
	FUZZ_EXPECT(n == -EPROTO || (n >= 0 && (uint32_t)n <= r->req_prod - r->rsp_cons),
		    "a response nobody asked for");
	FUZZ_EXPECT((n < 0) == (r->error != 0), "an error is sticky");
	for (int i = 0; i < n; i++) {
		take(page, nf_ring_front_slot(r, r->rsp_cons), r->slot_bytes);
		r->rsp_cons++;
	}
}

void fuzz_ring_front(const uint8_t *data, size_t bytes)
{
	struct fuzz_in in = fuzz_input(data, bytes);
	struct nf_ring_front r;
	uint32_t slot_bytes, first;
	uint8_t *page = ring_page(&in, &slot_bytes, &first);
	FUZZ_EXPECT(nf_ring_front_init(&r, page, RING_BYTES, slot_bytes) == 0, "init");
	r.req_prod = r.rsp_cons = first;
	struct nf_sring *shared = (struct nf_sring *)page;
	shared->req_prod = shared->rsp_prod = first;
	while (fuzz_left(&in) > 0) {
		if (fuzz_u8(&in) & 1)
			poke(&in, page, r.rsp_cons);
		else
			front_do(&in, &r, page);
	}
}
