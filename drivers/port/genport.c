/* SPDX-License-Identifier: MIT */
/*
 * "gen": generator, sink, echo and pinger in one, told what to do by the control page. Frames that
 * arrive are always copied out and checked; in echo mode the copy is what goes back.
 */
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "gen.h"
#include "nf/atomics.h"
#include "ports.h"

#define ECHO_BYTES (512u * 1024)
#define PING_LOST_NS 1000000000ull
#define VERIFY_EVERY 1024u

struct genport {
	struct nf_gen gen;
	const struct nf_control_dev
		*control;  /* read-only page of the toolstack; its values are junk */
	uint64_t *latency; /* NF_LATENCY_BUCKETS words or NULL */
	uint32_t epoch;
	uint32_t sent; /* frames of this epoch */
	uint64_t ping_seq, ping_at_ns;
	bool pinging;
	uint32_t echo_head,
		echo_tail; /* records: u32 length, bytes, padded to 8; tail is taken first */
	uint32_t echo_used;
	uint8_t *echo;
	struct nf_sink_totals flushed;
	struct nf_sink sink;
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t frame_bytes_of(const struct nf_control_dev *c)
{
	uint32_t n = nf_load_relaxed(&c->frame_bytes);
	if (n < NF_GEN_FRAME_MIN)
		return NF_GEN_FRAME_MIN;
	return n > NF_GEN_FRAME_MAX ? NF_GEN_FRAME_MAX : n;
}

/* False: the driver must hear of another size first; it lends other buffers at the next call. */
static bool size_is_known(struct nf_port *p, uint32_t bytes)
{
	bool is_known = p->frame_bytes_max == bytes;
	p->frame_bytes_max = bytes;
	return is_known;
}

static int gen_send(struct nf_port *p, struct genport *g, struct nf_buf *bufs, uint32_t nbufs,
		    struct nf_frame *frames, uint32_t nframes)
{
	uint32_t batch = nf_load_relaxed(&g->control->batch);
	uint32_t limit = nf_load_relaxed(&g->control->limit);
	uint32_t epoch = nf_load_relaxed(&g->control->epoch);

	if (epoch != g->epoch) {
		g->epoch = epoch;
		g->sent = 0;
	}
	if (batch == 0)
		batch = NF_GEN_BATCH;
	if (nframes > batch)
		nframes = batch;
	if (limit && nframes > limit - (g->sent < limit ? g->sent : limit))
		nframes = limit - (g->sent < limit ? g->sent : limit);
	if (!size_is_known(p, frame_bytes_of(g->control)))
		return 0;
	uint32_t n = nf__gen_fill(&g->gen, bufs, nbufs, frames, nframes, p->frame_bytes_max,
				  NF_GEN_DATA);
	g->sent += limit ? n : 0;
	if (n && p->counters)
		NF_COUNT(p->counters, gen_packets, n);
	return (int)n;
}

static int gen_ping(struct nf_port *p, struct genport *g, struct nf_buf *bufs, uint32_t nbufs,
		    struct nf_frame *frames)
{
	uint64_t now = 0;
	if (g->pinging) {
		now = now_ns();
		if (now - g->ping_at_ns < PING_LOST_NS)
			return 0;
	}
	if (!size_is_known(p, frame_bytes_of(g->control)))
		return 0;
	g->ping_seq = g->gen.h.seq;
	g->ping_at_ns = now_ns();
	if (nf__gen_fill(&g->gen, bufs, nbufs, frames, 1, p->frame_bytes_max, NF_GEN_PROBE) == 0)
		return 0;
	g->pinging = true;
	if (p->counters)
		NF_COUNT(p->counters, gen_packets, 1);
	return 1;
}

/* Room for a record of n bytes in one piece; its offset, or -1. */
static int64_t echo_room(struct genport *g, uint32_t n)
{
	uint32_t need = (n + 4 + 7) & ~7u;
	uint32_t end = ECHO_BYTES - g->echo_head;
	if (need > end) { /* the rest of the buffer is skipped */
		if (g->echo_used + end + need > ECHO_BYTES)
			return -1;
		if (end >= 4)
			memset(g->echo + g->echo_head, 0, 4);
		g->echo_used += end;
		g->echo_head = 0;
	} else if (g->echo_used + need > ECHO_BYTES) {
		return -1;
	}
	return g->echo_head;
}

static int echo_put(struct genport *g, const struct nf_buf *bufs, const struct nf_frame *frames,
		    uint32_t nframes)
{
	for (uint32_t i = 0; i < nframes; i++) {
		uint32_t n = frames[i].bytes;
		if (n == 0 || n > NF_GEN_FRAME_MAX)
			continue;
		int64_t at = echo_room(g, n);
		if (at < 0)
			return (int)i;
		uint8_t *dst = g->echo + at;
		if (nf__frame_gather(dst + 4, bufs, &frames[i]) != n)
			continue;
		memcpy(dst, &n, 4);
		nf__sink_check(&g->sink, dst + 4, n);
		g->echo_head = (uint32_t)at + ((n + 4 + 7) & ~7u);
		g->echo_used += (n + 4 + 7) & ~7u;
		if (g->echo_head == ECHO_BYTES)
			g->echo_head = 0;
	}
	return (int)nframes;
}

static void scatter(const uint8_t *src, uint32_t bytes, struct nf_buf *bufs)
{
	for (; bytes; bufs++) {
		if (bufs->bytes > bytes)
			bufs->bytes = bytes;
		memcpy(bufs->data, src, bufs->bytes);
		src += bufs->bytes;
		bytes -= bufs->bytes;
	}
}

static int echo_get(struct nf_port *p, struct genport *g, struct nf_buf *bufs, uint32_t nbufs,
		    struct nf_frame *frames, uint32_t nframes)
{
	uint32_t used = 0, done = 0;
	while (g->echo_used && done < nframes) {
		uint32_t n = 0;
		if (ECHO_BYTES - g->echo_tail >= 4)
			memcpy(&n, g->echo + g->echo_tail, 4);
		if (n == 0) { /* skipped rest */
			g->echo_used -= ECHO_BYTES - g->echo_tail;
			g->echo_tail = 0;
			continue;
		}
		if (n > p->frame_bytes_max) { /* grows only: frames of mixed sizes are no news */
			p->frame_bytes_max = n;
			break;
		}
		uint32_t count = 0;
		uint64_t room = 0;
		while (room < n && used + count < nbufs)
			room += bufs[used + count++].bytes;
		if (room < n)
			break;
		scatter(g->echo + g->echo_tail + 4, n, &bufs[used]);
		frames[done++] = (struct nf_frame){
			.bytes = n, .first = (uint16_t)used, .count = (uint16_t)count};
		used += count;
		g->echo_used -= (n + 4 + 7) & ~7u;
		g->echo_tail += (n + 4 + 7) & ~7u;
		if (g->echo_tail == ECHO_BYTES)
			g->echo_tail = 0;
	}
	if (done && p->counters)
		NF_COUNT(p->counters, echo_packets, done);
	return (int)done;
}

static int gen_get(struct nf_port *p, struct nf_buf *bufs, uint32_t nbufs, struct nf_frame *frames,
		   uint32_t nframes)
{
	struct genport *g = p->priv;
	if (!g->control || nframes == 0 || nbufs == 0)
		return 0;
	if (g->echo_used) /* also after the mode changed: what was taken goes back */
		return echo_get(p, g, bufs, nbufs, frames, nframes);
	switch (nf_load_relaxed(&g->control->mode)) {
	case NF_GEN_SEND:
		return gen_send(p, g, bufs, nbufs, frames, nframes);
	case NF_GEN_PING:
		return gen_ping(p, g, bufs, nbufs, frames);
	default:
		return 0;
	}
}

static void flush_counters(struct nf_counters *c, struct genport *g)
{
	struct nf_sink_totals *n = &g->sink.n, *f = &g->flushed;
	NF_COUNT(c, sink_packets, n->packets - f->packets);
	NF_COUNT(c, sink_bytes, n->bytes - f->bytes);
	if (n->verified != f->verified)
		NF_COUNT(c, sink_verified, n->verified - f->verified);
	if (n->lost != f->lost)
		NF_COUNT(c, sink_lost, n->lost - f->lost);
	if (n->duplicated != f->duplicated)
		NF_COUNT(c, sink_duplicated, n->duplicated - f->duplicated);
	if (n->reordered != f->reordered)
		NF_COUNT(c, sink_reordered, n->reordered - f->reordered);
	if (n->corrupted != f->corrupted)
		NF_COUNT(c, sink_corrupted, n->corrupted - f->corrupted);
	*f = *n;
}

static void probe_back(struct nf_port *p, struct genport *g)
{
	g->sink.probes = 0;
	if (!g->pinging || g->sink.probe_flow != g->gen.h.flow || g->sink.probe_seq != g->ping_seq)
		return;
	g->pinging = false;
	if (g->latency)
		nf_count(&g->latency[nf_latency_bucket(now_ns() - g->ping_at_ns)], 1);
	if (p->counters)
		NF_COUNT(p->counters, echo_packets, 1);
}

static int gen_put(struct nf_port *p, const struct nf_buf *bufs, const struct nf_frame *frames,
		   uint32_t nframes)
{
	struct genport *g = p->priv;
	uint32_t every = g->control ? nf_load_relaxed(&g->control->verify_every) : 0;
	int taken = (int)nframes;

	if (every == 0)
		every = VERIFY_EVERY;
	if (every != g->sink.verify_every)
		g->sink.verify_every = g->sink.verify_in = every;
	if (g->control && nf_load_relaxed(&g->control->mode) == NF_GEN_ECHO)
		taken = echo_put(g, bufs, frames, nframes);
	else
		nf__sink_take(&g->sink, bufs, frames, nframes);
	if (__builtin_expect(g->sink.probes != 0, 0))
		probe_back(p, g);
	if (p->counters)
		flush_counters(p->counters, g);
	return taken;
}

static void gen_close(struct nf_port *p)
{
	struct genport *g = p->priv;
	p->priv = NULL;
	if (g)
		free(g->echo);
	free(g);
}

static const struct nf_port_ops gen_ops = {
	.name = "gen",
	.get = gen_get,
	.put = gen_put,
	.close = gen_close,
};

int nf__port_open_gen(const struct nf_port_env *env, struct nf_port *out)
{
	struct genport *g = aligned_alloc(64, (sizeof(*g) + 63) & ~(size_t)63);
	uint32_t flow = 0;

	if (!g)
		return -ENOMEM;
	memset(g, 0, sizeof(*g)); /* touched now, not on the first frame */
	g->echo = malloc(ECHO_BYTES);
	if (!g->echo) {
		free(g);
		return -ENOMEM;
	}
	while (flow == 0)
		if (getrandom(&flow, sizeof(flow), 0) != (ssize_t)sizeof(flow))
			flow = (uint32_t)now_ns();
	nf__gen_init(&g->gen, flow);
	/* from the guest's address, or to it */
	static const uint8_t none[6];
	if (memcmp(env->mac, none, sizeof(none)) != 0)
		memcpy(env->is_back ? g->gen.h.dst : g->gen.h.src, env->mac, sizeof(env->mac));
	nf__sink_init(&g->sink, VERIFY_EVERY);
	g->control = env->control;
	if (g->control)
		g->epoch = nf_load_relaxed(&g->control->epoch);
	if (env->latency) /* buckets follow the one header of the region */
		g->latency = (uint64_t *)(void *)((uint8_t *)env->latency +
						  sizeof(struct nf_block_header));
	*out = (struct nf_port){
		.ops = &gen_ops,
		.fd = -1,
		.features = NF_PORT_CSUM | NF_PORT_GSO4 | NF_PORT_GSO6 | NF_PORT_SG,
		.frame_bytes_max = g->control ? frame_bytes_of(g->control) : NF_GEN_FRAME_MIN,
		.counters = env->counters,
		.priv = g,
	};
	return 0;
}
