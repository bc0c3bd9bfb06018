/* SPDX-License-Identifier: MIT */
/*
 * The copy limit: the same bytes written and copied out by the same code, with no ring at all: two
 * batches of buffers change hands by one word each way.
 */
#include "lib/pair.h"
#include "nf/atomics.h"

#define HALVES 2u
#define HALF_PAGES (PAIR_PAGES / HALVES)

struct half {
	uint32_t full; /* frames to copy, 0: the writer's turn */
	uint32_t frame_bytes;
	uint32_t frame_pages;
	uint32_t layout_bytes; /* what the offsets in the pages were chosen for */
	uint8_t pad[112];
};

static struct half *half_of(const struct pair *p, uint32_t i)
{
	return (struct half *)(void *)p->shared + i;
}

static uint32_t lend(const struct pair *p, uint32_t half, uint32_t frame_bytes, struct nf_buf *bufs)
{
	for (uint32_t i = 0; i < HALF_PAGES; i++) {
		uint32_t page = half * HALF_PAGES + i;
		uint32_t offset = pair_offset(page, frame_bytes);
		bufs[i] = (struct nf_buf){.data = pair_page(p, page) + offset,
					  .bytes = PAIR_PAGE_BYTES - offset};
	}
	return HALF_PAGES;
}

static int produce(struct pair *p, struct half *h, uint32_t half)
{
	struct nf_buf bufs[HALF_PAGES];
	struct nf_frame frames[HALF_PAGES];

	if (nf_load_acquire(&h->full) != 0) /* the reader's copies before it */
		return 0;
	/* orders change only while nothing is under way: the port reads the same length */
	uint32_t layout = nf_load_relaxed(&p->control->dev[0].frame_bytes);
	uint32_t nbufs = lend(p, half, layout, bufs);
	/* longer frames are a stream, which the hardware follows by itself */
	for (uint32_t i = 0; layout <= 128 && i < PAIR_BATCH; i++)
		pair_prefetch_own(bufs[i].data);
	int n = p->port.ops->get(&p->port, bufs, nbufs, frames, HALF_PAGES);
	if (n <= 0)
		return 0;
	h->layout_bytes = layout;
	h->frame_bytes = frames[0].bytes;
	h->frame_pages = frames[0].count;
	nf_store_release(&h->full, (uint32_t)n); /* the payload before it */
	return n;
}

static int consume(struct pair *p, struct half *h, uint32_t half)
{
	struct nf_buf bufs[HALF_PAGES];
	struct nf_frame frames[HALF_PAGES];
	uint32_t n = nf_load_acquire(&h->full); /* the writer's payload before it */

	if (n == 0)
		return 0;
	uint32_t pages = h->frame_pages;
	lend(p, half, h->layout_bytes, bufs);
	for (uint32_t i = 0; i < n; i++)
		frames[i] = (struct nf_frame){.bytes = h->frame_bytes,
					      .first = (uint16_t)(i * pages),
					      .count = (uint16_t)pages};
	p->port.ops->put(&p->port, bufs, frames, n);
	nf_store_release(&h->full, 0);
	return (int)n;
}

int main(int argc, char **argv)
{
	static struct pair p;
	uint32_t half = 0;
	int e = pair_open(&p, argc, argv);

	while (e == 0 && pair_go_on(&p)) {
		struct half *h = half_of(&p, half);
		if ((p.front ? produce(&p, h, half) : consume(&p, h, half)) == 0)
			nf_cpu_relax();
		else
			half = (half + 1) % HALVES;
	}
	pair_close(&p);
	return e == 0 ? 0 : 1;
}
