/* SPDX-License-Identifier: MIT */
/*
 * The bare ring: the wire's slots and indices and the page reuse of netfront, without ids,
 * validation, negotiation, events or the possibility that the other end lies. What is left of a
 * frame's cost here is moving its lines between two CPUs.
 */
#include <string.h>

#include "lib/pair.h"
#include "nf/atomics.h"
#include "nf/netif.h"
#include "nf/ring.h"

#define SLOTS NF_NETIF_RING_SLOTS
#define MORE NF_NETTXF_more_data
#define BURST 64u /* slots a batch: a whole ring at once would make the ends take turns */

struct bare {
	struct nf_sring *hdr;
	struct nf_netif_tx_request *slots;
	uint32_t prod, cons;
	uint32_t layout_bytes; /* frame length the offsets were chosen for */
	uint32_t top;	       /* free buffers: stack[top ..], the warmest first */
	struct nf_buf stack[PAIR_PAGES];
	uint16_t page_of[SLOTS];
};

static void give(struct bare *b, const struct pair *p, uint32_t page)
{
	uint32_t offset = pair_offset(page, b->layout_bytes);
	b->stack[--b->top] = (struct nf_buf){.data = pair_page(p, page) + offset,
					     .bytes = PAIR_PAGE_BYTES - offset,
					     .tag = page};
}

/* Lays the free buffers out for another frame length; those on their way follow as they return. */
static void lay_out(struct bare *b, const struct pair *p, uint32_t frame_bytes)
{
	uint16_t pages[PAIR_PAGES];
	uint32_t count = 0;

	for (uint32_t i = b->top; i < PAIR_PAGES; i++)
		pages[count++] = (uint16_t)b->stack[i].tag;
	b->layout_bytes = frame_bytes;
	b->top = PAIR_PAGES;
	while (count > 0)
		give(b, p, pages[--count]);
}

static void attach(struct bare *b, const struct pair *p)
{
	b->hdr = (struct nf_sring *)(void *)p->shared;
	b->slots = (struct nf_netif_tx_request *)(void *)(p->shared + sizeof(struct nf_sring));
	b->top = PAIR_PAGES;
	for (uint32_t i = PAIR_PAGES; i-- > 0;)
		give(b, p, i);
}

static void reap(struct bare *b, const struct pair *p)
{
	uint32_t done = nf_load_acquire(&b->hdr->rsp_prod); /* the reader's copies before it */
	while (b->cons != done) {
		give(b, p, b->page_of[b->cons++ & (SLOTS - 1)]);
		pair_prefetch_own(b->stack[b->top].data);
	}
}

static int produce(struct bare *b, struct pair *p)
{
	struct nf_frame frames[BURST];

	reap(b, p);
	if (b->layout_bytes != p->port.frame_bytes_max)
		lay_out(b, p, p->port.frame_bytes_max);
	struct nf_buf *bufs = &b->stack[b->top];
	uint32_t count = PAIR_PAGES - b->top < BURST ? PAIR_PAGES - b->top : BURST;
	int n = p->port.ops->get(&p->port, bufs, count, frames, BURST);
	for (int f = 0; f < n; f++) {
		for (uint32_t i = frames[f].first; i < frames[f].first + frames[f].count; i++) {
			struct nf_netif_tx_request *s = &b->slots[b->prod & (SLOTS - 1)];
			bool last = i + 1 == (uint32_t)frames[f].first + frames[f].count;
			s->gref = bufs[i].tag;
			s->offset = (uint16_t)(bufs[i].data - pair_page(p, bufs[i].tag));
			s->size = (uint16_t)bufs[i].bytes;
			s->flags = last ? 0 : MORE;
			b->page_of[b->prod++ & (SLOTS - 1)] = (uint16_t)bufs[i].tag;
			b->top++;
		}
	}
	if (n > 0)
		nf_store_release(&b->hdr->req_prod, b->prod); /* slots and payload before it */
	return n;
}

static int consume(struct bare *b, struct pair *p)
{
	struct nf_buf bufs[SLOTS];
	struct nf_frame frames[SLOTS];
	uint32_t prod = nf_load_acquire(&b->hdr->req_prod), n = 0, nframes = 0;

	while (b->cons + n != prod && nframes < PAIR_BATCH) {
		uint32_t first = n, bytes = 0;
		const struct nf_netif_tx_request *s;
		do { /* the writer publishes whole frames */
			s = &b->slots[(b->cons + n) & (SLOTS - 1)];
			bufs[n] = (struct nf_buf){.data = pair_page(p, s->gref) + s->offset,
						  .bytes = s->size};
			__builtin_prefetch(bufs[n].data);
			bytes += s->size;
			n++;
		} while (s->flags & MORE);
		frames[nframes++] = (struct nf_frame){
			.bytes = bytes, .first = (uint16_t)first, .count = (uint16_t)(n - first)};
	}
	if (nframes == 0)
		return 0;
	p->port.ops->put(&p->port, bufs, frames, nframes);
	b->cons += n;
	nf_store_release(&b->hdr->rsp_prod, b->cons); /* our copies before the pages go back */
	return (int)nframes;
}

int main(int argc, char **argv)
{
	static struct pair p;
	static struct bare b;
	int e = pair_open(&p, argc, argv);

	if (e == 0) {
		attach(&b, &p);
		while (pair_go_on(&p))
			if ((p.front ? produce(&b, &p) : consume(&b, &p)) == 0)
				nf_cpu_relax();
	}
	pair_close(&p);
	return e == 0 ? 0 : 1;
}
