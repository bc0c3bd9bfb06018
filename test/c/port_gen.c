/* SPDX-License-Identifier: MIT */
/* The test frame: what the generator writes, what the sink sees, and every way it can be wrong. */
#include "nf/atomics.h"
#include "nf/port.h"
#include "port/gen.h"
#include "tap.h"

static uint8_t memory[64][4096];
static struct nf_buf bufs[64];
static struct nf_frame frames[64];
static struct nf_gen gen;
static struct nf_sink sink;

/* count buffers of `bytes`, starting `shift` into their pages. */
static void lend(uint32_t count, uint32_t bytes, uint32_t shift)
{
	for (uint32_t i = 0; i < count; i++)
		bufs[i] = (struct nf_buf){memory[i] + shift, bytes, i};
}

static void fresh(uint32_t verify_every)
{
	nf__gen_init(&gen, 77);
	nf__sink_init(&sink, verify_every);
}

static void sizes(void)
{
	static const uint32_t sizes[] = {60,   61,   63,   64,	 65,   95,   96,    100,
					 1500, 4095, 4096, 4097, 9000, 8192, 65226, 65535};
	static const uint32_t shapes[][2] = {{4096, 0}, {4095, 1}, {100, 3}, {7, 0}, {1021, 64}};
	uint32_t made = 0;

	fresh(1);
	for (uint32_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
		for (uint32_t k = 0; k < 5; k++) {
			lend(64, shapes[k][0], shapes[k][1]);
			memset(memory, 0xee, sizeof(memory));
			uint32_t n = nf__gen_fill(&gen, bufs, 64, frames, 64, sizes[s], 1);
			if ((uint64_t)shapes[k][0] * 64 < sizes[s] && n)
				ok(false, "%u bytes do not fit", sizes[s]);
			made += n;
			nf__sink_take(&sink, bufs, frames, n);
		}
	ok(made > 500, "%u frames of 16 sizes over buffers of 5 shapes", made);
	is(sink.n.packets, made, "all are seen");
	is(sink.n.verified, made, "all are verified, every byte");
	is(sink.n.corrupted + sink.n.lost + sink.n.duplicated + sink.n.reordered, 0,
	   "all are right");
	is(nf__gen_fill(&gen, bufs, 64, frames, 64, 59, 1), 0, "59 bytes are refused");
	is(nf__gen_fill(&gen, bufs, 64, frames, 64, 65536, 1), 0, "65,536 too");
}

static void every_byte(void)
{
	uint32_t missed = 0;
	for (uint32_t at = 0; at < 200; at++) {
		fresh(1);
		lend(1, 4096, 0);
		nf__gen_fill(&gen, bufs, 1, frames, 1, 200, 1);
		memory[0][at] ^= 0x10;
		nf__sink_take(&sink, bufs, frames, 1);
		/* the addresses and a sequence number one bit off are not the payload's to tell */
		bool noticed = sink.n.corrupted || sink.n.lost;
		missed += !noticed && at >= 12;
	}
	is(missed, 0, "a bit flipped in any byte from the ethertype on is noticed");
	fresh(1);
	lend(1, 4096, 0);
	nf__gen_fill(&gen, bufs, 1, frames, 1, 200, 1);
	frames[0].bytes = 199;
	nf__sink_take(&sink, bufs, frames, 1);
	is(sink.n.corrupted, 1, "a frame that was cut is corrupted");
	bufs[0].bytes = 100;
	frames[0].bytes = 200;
	nf__sink_take(&sink, bufs, frames, 1);
	is(sink.n.corrupted, 2, "so is one whose buffers hold less than it says");
	fresh(10);
	for (int i = 0; i < 100; i++) {
		lend(1, 4096, 0);
		nf__gen_fill(&gen, bufs, 1, frames, 1, 64, 1);
		nf__sink_take(&sink, bufs, frames, 1);
	}
	is(sink.n.verified, 10, "one frame in ten is verified when asked");
}

/* Delivers frame number seq of the flow. */
static void deliver(uint64_t seq)
{
	gen.h.seq = seq;
	lend(1, 4096, 0);
	nf__gen_fill(&gen, bufs, 1, frames, 1, 60, 1);
	nf__sink_take(&sink, bufs, frames, 1);
}

static void sequence(void)
{
	fresh(1024);
	deliver(0);
	deliver(1);
	deliver(5);
	is(sink.n.lost, 3, "2, 3 and 4 are lost");
	deliver(3);
	ok(sink.n.lost == 2 && sink.n.reordered == 1, "3 comes late: reordered, not lost");
	deliver(3);
	ok(sink.n.lost == 2 && sink.n.duplicated == 1, "3 again: duplicated");
	deliver(0);
	is(sink.n.duplicated, 2, "0 again: duplicated");
	deliver(2);
	deliver(4);
	ok(sink.n.lost == 0 && sink.n.reordered == 3, "the rest comes late: nothing is lost");
	deliver(6);
	is(sink.n.lost, 0, "then the order goes on");
	gen.h.flow = 78;
	deliver(2);
	is(sink.n.lost, 2, "a new flow starts at 0");
	gen.h.flow = 79;
	deliver(10000000);
	deliver(10000001);
	is(sink.n.lost, 2, "one that ran long before is joined");
	gen.h.flow = 77;
	deliver(7);
	is(sink.n.lost, 2, "flows do not disturb each other");
	for (uint64_t i = 0; i < 100; i++)
		deliver(100 + 2 * i);
	is(sink.n.lost, 2 + 92 + 99, "more holes than are remembered are still counted");
}

static struct nf_control_dev control;
static struct nf_counters counters, latency[NF_LATENCY_BLOCKS];

static int get(struct nf_port *p, uint32_t nframes)
{
	lend(64, 4096, 0);
	uint32_t size = p->frame_bytes_max;
	int got = p->ops->get(p, bufs, 64, frames, nframes);
	if (got == 0 && p->frame_bytes_max != size) /* as drivers do: it wanted other buffers */
		got = p->ops->get(p, bufs, 64, frames, nframes);
	return got;
}

static uint64_t word(enum nf_counter c)
{
	return counters.words[c];
}

static void port_send(struct nf_port *p)
{
	is(get(p, 32), 0, "an idle generator sends nothing");
	control.frame_bytes = 60;
	control.mode = NF_GEN_SEND;
	is(get(p, 32), 32, "a sending one fills what it is given");
	is(p->ops->put(p, bufs, frames, 32), 32, "the sink takes them");
	control.batch = 5;
	is(get(p, 32), 5, "a batch is a batch");
	p->ops->put(p, bufs, frames, 5);
	control.limit = 7;
	control.epoch = 1;
	is(get(p, 32), 5, "with a limit of 7: 5");
	p->ops->put(p, bufs, frames, 5);
	is(get(p, 32), 2, "then 2");
	p->ops->put(p, bufs, frames, 2);
	is(get(p, 32), 0, "then none");
	control.epoch = 2;
	is(get(p, 32), 5, "until the epoch changes");
	p->ops->put(p, bufs, frames, 5);
	control.limit = 0;
	control.batch = 0;
	control.frame_bytes = 0xffffffffu;
	is(get(p, 64), 4, "an absurd size is the largest one: 4 of 65,535 in 64 pages");
	is(p->frame_bytes_max, 65535, "and the port says what it needs");
	p->ops->put(p, bufs, frames, 4);
	control.frame_bytes = 1;
	is(get(p, 1), 1, "and 1 the smallest");
	is(frames[0].bytes, 60, "of 60");
	p->ops->put(p, bufs, frames, 1);
	is(word(NF_COUNTER_gen_packets), word(NF_COUNTER_sink_packets), "all sent were taken");
	is(word(NF_COUNTER_sink_lost) + word(NF_COUNTER_sink_corrupted), 0, "and right");
}

static void port_ping(struct nf_port *p)
{
	uint64_t echoed = word(NF_COUNTER_echo_packets), pings = 0;
	control.mode = NF_GEN_PING;
	control.frame_bytes = 1500;
	is(get(p, 32), 1, "a ping is one frame");
	struct nf_frame f = frames[0];
	is(get(p, 32), 0, "and no other before it is back");
	lend(64, 4096, 0);
	bufs[0].bytes = 1500;
	p->ops->put(p, bufs, &f, 1);
	is(word(NF_COUNTER_echo_packets), echoed + 1, "its return is counted");
	for (uint32_t i = 0; i < NF_LATENCY_BUCKETS; i++)
		pings += ((uint64_t *)(void *)((uint8_t *)latency + 64))[i];
	is(pings, 1, "and timed");
	is(get(p, 32), 1, "then the next goes");
	p->ops->put(p, bufs, frames, 1);
}

static void port_echo(struct nf_port *p)
{
	struct nf_gen other;
	uint32_t sent = 0, back = 0, refused = 0, wrong = 0;
	static uint8_t copy[65536];

	nf__gen_init(&other, 4711);
	control.mode = NF_GEN_ECHO;
	for (uint32_t round = 0; round < 400; round++) {
		uint32_t bytes = 60 + round * 163;
		lend(64, 4096, 0);
		uint32_t n = nf__gen_fill(&other, bufs, 64, frames, 3, bytes, 1);
		int taken = p->ops->put(p, bufs, frames, n);
		other.h.seq -= n - (uint32_t)taken;
		sent += (uint32_t)taken;
		refused += n - (uint32_t)taken;
		for (uint32_t i = round % 3; i > 0; i--) {
			int got = get(p, 4);
			for (int k = 0; k < got; k++) {
				struct nf_gen_header h;
				wrong += nf__frame_gather(copy, bufs, &frames[k]) !=
					 frames[k].bytes;
				memcpy(&h, copy, sizeof(h));
				wrong += h.seq != back || h.flow != 4711;
				back++;
			}
		}
	}
	control.mode = NF_GEN_IDLE;
	for (int got; (got = get(p, 4)) > 0;)
		back += (uint32_t)got;
	ok(sent > 500, "%u frames echoed, %u held back while it was full", sent, refused);
	is(back, sent, "as many come back, also after the mode changed");
	is(wrong, 0, "in order, whole");
	is(word(NF_COUNTER_sink_lost) + word(NF_COUNTER_sink_corrupted), 0, "all were checked");
}

static void specs(void)
{
	struct nf_port p = {0};
	struct nf_port_env env = {.queues = 1};
	char err[100];
	is(nf_port_open("genx", &env, &p, err, sizeof(err)), -EINVAL, "an unknown port");
	ok(p.ops == NULL && strstr(err, "genx"), "is refused by name: %s", err);
	is(nf_port_probe("tap:a,gso=off"), NF_PORT_CSUM | NF_PORT_SG, "gso=off");
	is(nf_port_probe("tap:a,csum=off"), NF_PORT_SG, "csum=off means no GSO either");
	is(nf_port_probe("tap:"), -EINVAL, "a TAP without a name");
	is(nf_port_probe("tap:0123456789abcdef"), -EINVAL, "16 letters");
	is(nf_port_probe("tap:a/b"), -EINVAL, "a slash");
	is(nf_port_probe("tap:a,frob=1"), -EINVAL, "an unknown option");
	is(nf_port_open("null", &env, &p, err, sizeof(err)), 0, "null");
	is(p.ops->put(&p, bufs, frames, 3), 3, "takes all");
	is(p.ops->get(&p, bufs, 3, frames, 3), 0, "gives nothing");
	nf_port_close(&p);
}

int main(void)
{
	struct nf_port p;
	struct nf_port_env env = {
		.queues = 1, .control = &control, .counters = &counters, .latency = latency};
	sizes();
	every_byte();
	sequence();
	is(nf_port_open("gen", &env, &p, NULL, 0), 0, "gen opens");
	port_send(&p);
	port_ping(&p);
	port_echo(&p);
	nf_port_close(&p);
	nf_port_close(&p);
	specs();
	return done();
}
