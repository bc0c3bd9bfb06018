/* SPDX-License-Identifier: MIT */
/*
 * The C ring behind a line protocol, for the differential test against lib/ring/model.ts. One line
 * in, one line out. Values are u32 in decimal; results are numbers or negative errnos.
 *
 *   new RING_BYTES SLOT_BYTES   fresh ring: slots, or -22
 *   at FIRST                    every free-running index starts there: 0
 *   fput V | bput V             front/back: next slot holds V: its index, or -11
 *   fpush | bpush               publish: 1 notify, 0 not
 *   fpend | bpend               waiting, or -71
 *   ftake | btake               value of the next response/request, -11 none, -71
 *   farm N | barm N             arm: as pend
 *   ffree                       free request slots
 *   poke WORD V                 the peer's hand: shared word 0 .. 3 (req_prod req_event rsp_prod
 * rsp_event) peek                        the four shared words priv                        front
 * req_prod rsp_cons error, back rsp_prod req_cons error
 *
 * It reads them with the argument --stdin; else it runs a script of its own and prints TAP.
 */
#include "tap.h"

#include "nf/ring.h"

static _Alignas(4096) uint8_t page[16384];

struct oracle {
	struct nf_ring_front f;
	struct nf_ring_back b;
	bool is_ready;
	char out[128];
};

static void say(struct oracle *o, int64_t n)
{
	snprintf(o->out, sizeof(o->out), "%lld", (long long)n);
}

static void make(struct oracle *o, uint32_t ring_bytes, uint32_t slot_bytes)
{
	if (ring_bytes > sizeof(page)) {
		say(o, -EINVAL);
		return;
	}
	int err = nf_ring_front_init(&o->f, page, ring_bytes, slot_bytes);
	if (!err)
		err = nf_ring_back_init(&o->b, page, ring_bytes, slot_bytes, 0);
	o->is_ready = !err;
	say(o, err ? err : (int64_t)o->f.count);
}

static void start_at(struct oracle *o, uint32_t first)
{
	struct nf_sring *hdr = o->f.shared_hdr;
	o->f.req_prod = o->f.rsp_cons = o->b.rsp_prod = o->b.req_cons = first;
	hdr->req_prod = hdr->rsp_prod = first;
	hdr->req_event = hdr->rsp_event = first + 1;
	say(o, 0);
}

static void put(struct oracle *o, bool back, uint32_t value)
{
	uint32_t room = back ? o->b.req_cons - o->b.rsp_prod : nf_ring_front_free(&o->f);
	uint32_t *prod = back ? &o->b.rsp_prod : &o->f.req_prod;
	if (room == 0) {
		say(o, -EAGAIN);
		return;
	}
	void *slot = back ? nf_ring_back_slot(&o->b, *prod) : nf_ring_front_slot(&o->f, *prod);
	memcpy(slot, &value, sizeof(value));
	say(o, (*prod)++);
}

static void take(struct oracle *o, bool back)
{
	int n = back ? nf_ring_back_pending(&o->b) : nf_ring_front_pending(&o->f);
	uint32_t *cons = back ? &o->b.req_cons : &o->f.rsp_cons, value;
	if (n <= 0) {
		say(o, n ? n : -EAGAIN);
		return;
	}
	void *slot = back ? nf_ring_back_slot(&o->b, *cons) : nf_ring_front_slot(&o->f, *cons);
	memcpy(&value, slot, sizeof(value));
	(*cons)++;
	say(o, value);
}

static void show(struct oracle *o, bool shared)
{
	const struct nf_sring *h = o->f.shared_hdr;
	if (shared)
		snprintf(o->out, sizeof(o->out), "%u %u %u %u", h->req_prod, h->req_event,
			 h->rsp_prod, h->rsp_event);
	else
		snprintf(o->out, sizeof(o->out), "%u %u %d %u %u %d", o->f.req_prod, o->f.rsp_cons,
			 o->f.error, o->b.rsp_prod, o->b.req_cons, o->b.error);
}

static void end_op(struct oracle *o, bool back, const char *verb, uint32_t a)
{
	if (strcmp(verb, "put") == 0)
		put(o, back, a);
	else if (strcmp(verb, "take") == 0)
		take(o, back);
	else if (strcmp(verb, "push") == 0)
		say(o, back ? nf_ring_back_push(&o->b) : nf_ring_front_push(&o->f));
	else if (strcmp(verb, "pend") == 0)
		say(o, back ? nf_ring_back_pending(&o->b) : nf_ring_front_pending(&o->f));
	else if (strcmp(verb, "arm") == 0)
		say(o, back ? nf_ring_back_arm(&o->b, a) : nf_ring_front_arm(&o->f, a));
	else if (!back && strcmp(verb, "free") == 0)
		say(o, nf_ring_front_free(&o->f));
	else
		snprintf(o->out, sizeof(o->out), "? %s", verb);
}

static const char *run(struct oracle *o, const char *line)
{
	char verb[16] = "";
	uint32_t a = 0, b = 0;
	if (sscanf(line, "%15s %u %u", verb, &a, &b) < 1 ||
	    (!o->is_ready && strcmp(verb, "new") != 0))
		return "?";
	if (strcmp(verb, "new") == 0)
		make(o, a, b);
	else if (strcmp(verb, "at") == 0)
		start_at(o, a);
	else if (strcmp(verb, "peek") == 0 || strcmp(verb, "priv") == 0)
		show(o, verb[1] == 'e');
	else if (strcmp(verb, "poke") == 0 && a < 4) {
		nf_store_relaxed((uint32_t *)(void *)page + a, b);
		say(o, 0);
	} else
		end_op(o, verb[0] == 'b', verb + 1, a);
	return o->out;
}

static int self_test(void)
{
	static const char *const script[][2] = {{"peek", "?"},
						{"new 4096 12", "256"},
						{"at 4294967295", "0"},
						{"fput 7", "4294967295"},
						{"fpush", "1"},
						{"fpush", "0"},
						{"bpend", "1"},
						{"btake", "7"},
						{"btake", "-11"},
						{"bput 8", "4294967295"},
						{"bput 9", "-11"},
						{"bpush", "1"},
						{"ftake", "8"},
						{"ffree", "256"},
						{"barm 1", "0"},
						{"poke 0 258", "0"},
						{"bpend", "-71"},
						{"peek", "258 1 0 0"},
						{"priv", "0 0 0 0 0 -71"},
						{"new 64 12", "-22"}};
	struct oracle o = {0};
	for (size_t i = 0; i < sizeof(script) / sizeof(script[0]); i++)
		is_str(run(&o, script[i][0]), script[i][1], "%s", script[i][0]);
	return done();
}

int main(int argc, char **argv)
{
	struct oracle o = {0};
	char line[128];
	if (argc < 2 || strcmp(argv[1], "--stdin") != 0)
		return self_test();
	while (fgets(line, sizeof(line), stdin))
		puts(run(&o, line));
	return 0;
}
