/* SPDX-License-Identifier: MIT */
/*
 * Checks test frames from a private copy. Sequence: everything below a flow's `next` has come but
 * for the holes, so the frame in order costs one comparison and the rest is kept out of the way.
 */
#include "gen.h"

#define JOIN_SEQ 65536u

void nf__sink_init(struct nf_sink *s, uint32_t verify_every)
{
	memset(s, 0, offsetof(struct nf_sink, copy));
	s->verify_every = verify_every ? verify_every : 1024;
	s->verify_in = s->verify_every;
	s->last = &s->flow[0];
}

/* 32 .. 64 bytes as four overlapping loads: no call, no loop. The end is stored first, so that the
 * check's loads of the header are forwarded from one store each. */
static inline void copy_small(uint8_t *dst, const uint8_t *src, uint32_t n)
{
	nf__v2 a = *(const nf__v2 *)src, b = *(const nf__v2 *)(src + 16);
	nf__v2 c = *(const nf__v2 *)(src + n - 32), d = *(const nf__v2 *)(src + n - 16);
	*(nf__v2 *)(dst + n - 32) = c;
	*(nf__v2 *)(dst + n - 16) = d;
	*(nf__v2 *)dst = a;
	*(nf__v2 *)(dst + 16) = b;
}

uint32_t nf__frame_gather(uint8_t *dst, const struct nf_buf *bufs, const struct nf_frame *f)
{
	uint32_t done = 0;
	for (uint32_t i = f->first; i < (uint32_t)f->first + f->count && done < f->bytes; i++) {
		uint32_t n = bufs[i].bytes;
		if (n > f->bytes - done)
			n = f->bytes - done;
		memcpy(dst + done, bufs[i].data, n);
		done += n;
	}
	return done;
}

static bool words_match(const uint8_t *src, uint32_t off, uint32_t n, uint64_t base)
{
	uint64_t w = base + (off / 8) * NF_GEN_STEP, diff = 0;
	for (; n >= 8; n -= 8, src += 8, w += NF_GEN_STEP) {
		uint64_t got;
		memcpy(&got, src, 8);
		diff |= got ^ w;
	}
	for (; n; n--, w >>= 8)
		diff |= (uint64_t)(*src++ ^ (uint8_t)w);
	return diff == 0;
}

static struct nf_sink_flow *flow_of(struct nf_sink *s, uint32_t flow, uint64_t seq)
{
	struct nf_sink_flow *oldest = &s->flow[0];
	for (uint32_t i = 0; i < NF_SINK_FLOWS; i++) {
		if (s->flow[i].flow == flow)
			return &s->flow[i];
		if (s->flow[i].used < oldest->used)
			oldest = &s->flow[i];
	}
	/* new: numbers start at 0, so what is missing before the first frame is lost; but a
	 * generator outlives a back that is restarted, and what it sent before is not this sink's
	 */
	memset(oldest, 0, sizeof(*oldest));
	oldest->flow = flow;
	oldest->next = seq < JOIN_SEQ ? 0 : seq;
	return oldest;
}

static void hole_add(struct nf_sink_flow *f, uint64_t from, uint64_t to)
{
	if (f->holes == NF_SINK_HOLES) { /* forget the oldest: it stays lost */
		memmove(&f->hole[0], &f->hole[1], sizeof(f->hole[0]) * (NF_SINK_HOLES - 1));
		f->holes--;
	}
	f->hole[f->holes++] = (struct nf_sink_hole){from, to};
}

/* A number below next: it fills a hole (late) or came before. */
static bool hole_fill(struct nf_sink_flow *f, uint64_t seq)
{
	for (uint32_t i = 0; i < f->holes; i++) {
		struct nf_sink_hole *h = &f->hole[i];
		if (seq < h->from || seq > h->to)
			continue;
		uint64_t to = h->to;
		if (seq > h->from) {
			h->to = seq - 1;
			if (seq < to)
				hole_add(f, seq + 1, to);
		} else if (seq < to) {
			h->from = seq + 1;
		} else {
			memmove(h, h + 1, sizeof(*h) * (f->holes - i - 1));
			f->holes--;
		}
		return true;
	}
	return false;
}

static void out_of_order(struct nf_sink *s, uint32_t flow, uint64_t seq)
{
	struct nf_sink_flow *f = flow_of(s, flow, seq);
	f->used = ++s->age;
	s->last = f;
	if (seq == f->next) {
		f->next++;
	} else if (seq > f->next) {
		s->n.lost += seq - f->next;
		hole_add(f, f->next, seq - 1);
		f->next = seq + 1;
	} else if (hole_fill(f, seq)) {
		s->n.lost--;
		s->n.reordered++;
	} else {
		s->n.duplicated++;
	}
}

void nf__sink_check(struct nf_sink *s, const uint8_t *frame, uint32_t bytes)
{
	struct nf_gen_header h;

	s->n.packets++;
	s->n.bytes += bytes;
	if (bytes < NF_GEN_FRAME_MIN) {
		s->n.corrupted++;
		return;
	}
	memcpy(&h, frame, sizeof(h));
	if (h.ethertype_be != NF_GEN_ETHERTYPE_BE || h.version != NF_GEN_VERSION ||
	    h.bytes != bytes || h.flow == 0 || h.kind - 1u > 1u) {
		s->n.corrupted++;
		return;
	}
	if (--s->verify_in == 0) {
		s->verify_in = s->verify_every;
		s->n.verified++;
		if (!words_match(frame + sizeof(h), sizeof(h), bytes - (uint32_t)sizeof(h),
				 nf__gen_base(h.flow, h.seq))) {
			s->n.corrupted++;
			return; /* its sequence number is not believed either */
		}
	}
	if (__builtin_expect(h.flow == s->last->flow && h.seq == s->last->next, 1))
		s->last->next++;
	else
		out_of_order(s, h.flow, h.seq);
	if (__builtin_expect(h.kind != NF_GEN_DATA, 0)) {
		s->probes++;
		s->probe_flow = h.flow;
		s->probe_seq = h.seq;
	}
}

void nf__sink_take(struct nf_sink *s, const struct nf_buf *bufs, const struct nf_frame *frames,
		   uint32_t nframes)
{
	for (uint32_t i = 0; i < nframes; i++) {
		const struct nf_frame *f = &frames[i];
		uint32_t bytes = f->bytes;
		/* relayed pages come in any order: the hardware prefetcher does not follow */
		if (i + 3 < nframes)
			__builtin_prefetch(bufs[frames[i + 3].first].data);
		if (f->count == 1 && bytes >= 32 && bytes <= 64 && bufs[f->first].bytes >= bytes)
			copy_small(s->copy, bufs[f->first].data, bytes);
		else if (bytes > NF_GEN_FRAME_MAX || nf__frame_gather(s->copy, bufs, f) != bytes)
			bytes = 0; /* counted as corrupted */
		nf__sink_check(s, s->copy, bytes);
	}
}
