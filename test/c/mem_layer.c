/* SPDX-License-Identifier: MIT */
/* The in-process layer keeps the promises of nf/layer.h; other tests stand on it. */
#include "../peer/memlayer.h"
#include "tap.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

static sigjmp_buf fault_at;

static void on_fault(int sig)
{
	siglongjmp(fault_at, sig);
}

/* True when writing (or reading) the byte is a fault. */
static bool faults(volatile uint8_t *at, bool write)
{
	struct sigaction old_segv, old_bus, sa = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
	sigaction(SIGSEGV, &sa, &old_segv);
	sigaction(SIGBUS, &sa, &old_bus);
	volatile bool hit = true;
	if (sigsetjmp(fault_at, 1) == 0) {
		if (write)
			*at = 1;
		else
			(void)*at;
		hit = false;
	}
	sigaction(SIGSEGV, &old_segv, NULL);
	sigaction(SIGBUS, &old_bus, NULL);
	return hit;
}

static const struct nf_arena_key tx_key = {.peer = 0,
					   .inner_owner = NF_DOMID_SELF,
					   .device = 3,
					   .purpose = NF_PURPOSE_TX_PAYLOAD,
					   .readonly = 1};

static void grants(struct mem_world *w, struct nf_layer *front, struct nf_layer *back)
{
	uint32_t grefs[8];
	void *addrs[8];
	struct nf_arena a;
	struct nf_mapping m;
	is(front->ops->alloc(front, &tx_key, 8, 0, grefs, &a), 0, "alloc");
	strcpy((char *)a.base + 4096, "second");
	ok(grefs[0] >= NF_GREF_RESERVED, "reserved entries are left alone");
	is(back->ops->map(back, 1, grefs, 8, false, addrs, &m), -EACCES,
	   "a read-only grant is not mapped for writing");
	is(back->ops->map(back, 1, grefs, 8, true, addrs, &m), 0, "map");
	is_str(addrs[1], "second", "the same page");
	ok(faults(addrs[0], true), "a write to it is a fault");
	struct nf_grant_copy ops[3] = {
		{.peer = 1, .gref = grefs[1], .bytes = 7, .local = (char[8]){0}},
		{.peer = 1, .gref = grefs[1], .bytes = 7, .to_peer = 1, .local = (char[8]){0}},
		{.peer = 1, .gref = grefs[1], .offset = 4090, .bytes = 7, .local = (char[8]){0}}};
	is(back->ops->copy(back, ops, 3), 0, "a batch of copies runs");
	is(ops[0].status, 0, "a copy out");
	is_str(ops[0].local, "second", "its bytes");
	is(ops[1].status, -EACCES, "a copy into a read-only grant is refused");
	is(ops[2].status, -ERANGE, "a copy across the page's end is refused");
	uint8_t *mapped = addrs[2];
	is(back->ops->unmap(back, &m), 0, "unmap");
	ok(faults(mapped, false), "use after unmap is a fault");
	grefs[3] = 7777;
	is(back->ops->map(back, 1, grefs, 8, true, addrs, &m), -EACCES, "one bad gref: nothing");
	is(mem_world_revoke(w, 1, grefs[2]), 0, "revoke");
	is(back->ops->map(back, 1, grefs + 2, 1, true, addrs, &m), -EACCES, "revoked");
	is(front->ops->end(front, &a), 0, "end");
}

static void quarantine(struct mem_world *w, struct nf_layer *front, struct nf_layer *back)
{
	uint32_t grefs[4];
	void *addrs[4];
	struct nf_arena a;
	struct nf_mapping m;
	front->ops->alloc(front, &tx_key, 4, 0, grefs, &a);
	a.base[0] = 42;
	back->ops->map(back, 1, grefs, 4, true, addrs, &m);
	is(front->ops->end(front, &a), -EBUSY, "ending what the peer maps is -EBUSY");
	is(a.fd, -1, "and the arena is gone all the same");
	is(mem_world_quarantine(w, 0), 4, "four pages are charged to the peer");
	is(*(uint8_t *)addrs[0], 0, "and punched");
	back->ops->unmap(back, &m);
	is(mem_world_quarantine(w, 0), 4, "unmapping late gives nothing back");
	mem_world_kill(w, 0);
	is(mem_world_quarantine(w, 0), 0, "the peer's death does");
}

static void channels(struct mem_world *w, struct nf_layer *front, struct nf_layer *back)
{
	struct nf_chan f, b, none;
	is(front->ops->alloc_chan(front, 0, 3, 0, NF_PURPOSE_CHAN, &f), 0, "alloc_chan");
	is(back->ops->bind_chan(back, 1, f.port + 1, &none), -EACCES, "another port is refused");
	is(back->ops->bind_chan(back, 1, f.port, &b), 0, "bind_chan");
	is(back->ops->bind_chan(back, 1, f.port, &none), -EACCES, "once");
	is(front->ops->chan_notify(&f), 0, "notify");
	struct pollfd p = {.fd = b.fd, .events = POLLIN};
	is(poll(&p, 1, 20000), 1, "it is readable");
	is(back->ops->chan_clear(&b), 1, "clear");
	for (int i = 0; i < 5000; i++)
		front->ops->chan_notify(&f);
	is(front->ops->chan_notify(&f), 0, "a full channel is only pending");
	ok(back->ops->chan_clear(&b) > 0, "and is drained");
	mem_world_fail(w, 1, MEM_NOTIFY, 1, -EIO);
	is(front->ops->chan_notify(&f), -EIO, "the armed call fails");
	is(front->ops->chan_notify(&f), 0, "the one after does not");
	back->ops->chan_close(&b);
	is(front->ops->chan_notify(&f), -ENODEV, "a closed end is gone");
	is(front->ops->chan_clear(&f), -ENODEV, "for clear as well");
	front->ops->chan_close(&f);
	front->ops->chan_close(&f);
}

/* One set of pages, two sets of grefs: outer back reads what the inner front wrote. */
static void nested(struct mem_world *inner, struct mem_world *outer)
{
	struct nf_layer *l2 = mem_world_layer(inner, 2), *l1in = mem_world_layer(inner, 0);
	struct nf_layer *l1out = mem_world_layer(outer, 1), *l0 = mem_world_layer(outer, 0);
	uint32_t og[4], ig[4];
	void *addrs[4];
	struct nf_arena o, i;
	struct nf_mapping m;
	struct nf_arena_key key = tx_key;
	key.inner_owner = 2;
	mem_world_gref_base(outer, 1, 512);
	is(l1out->ops->alloc(l1out, &key, 4, NF_ALLOC_NOMAP, og, &o), 0, "outer arena, unmapped");
	ok(o.base == NULL, "not mapped in the relay");
	is(l2->ops->donate(l2, 0, &o, true), -EACCES, "who is not privileged donates nothing");
	is(l1in->ops->donate(l1in, 2, &o, true), 0, "donate");
	is(l2->ops->alloc(l2, &key, 4, 0, ig, &i), 0, "the inner front allocates");
	ok(memcmp(og, ig, sizeof(og)) == 0, "equal numbers");
	strcpy((char *)i.base, "from L2");
	l0->ops->map(l0, 1, og, 4, true, addrs, &m);
	is_str(addrs[0], "from L2", "the outer back reads it");
	is(l1in->ops->donate(l1in, 2, &o, true), -EEXIST, "taken numbers");
	l0->ops->unmap(l0, &m);
	is(l2->ops->end(l2, &i), 0, "inner end");
	is(l1out->ops->end(l1out, &o), 0, "outer end");
	struct nf_chan oc, ic, bc;
	l1out->ops->alloc_chan(l1out, 0, 3, 0, NF_PURPOSE_CHAN, &oc);
	is(l1in->ops->donate_chan(l1in, 2, 3, 0, NF_PURPOSE_CHAN, &oc), 0, "donate_chan");
	is(l2->ops->alloc_chan(l2, 0, 3, 0, NF_PURPOSE_CHAN, &ic), 0, "the inner front's channel");
	is(l0->ops->bind_chan(l0, 1, oc.port, &bc), 0, "the outer back binds");
	l2->ops->chan_notify(&ic);
	is(l0->ops->chan_clear(&bc), 1, "L2 rings L0");
	l2->ops->chan_close(&ic);
	l1out->ops->chan_close(&oc);
	l0->ops->chan_close(&bc);
}

int main(void)
{
	char why[256];
	struct mem_baseline base, deep;
	struct mem_world *w = mem_world_new("outer"), *in = mem_world_new("inner");
	struct nf_layer *back = mem_world_layer(w, 0), *front = mem_world_layer(w, 1);
	mem_world_baseline(w, &base);
	mem_world_baseline(in, &deep);
	channels(w, front, back);
	grants(w, front, back);
	nested(in, w);
	is(mem_world_check(w, &base, why, sizeof(why)), 0, "outer at its baseline");
	is(mem_world_check(in, &deep, why, sizeof(why)), 0, "inner at its baseline");
	uint32_t gref;
	struct nf_arena a;
	front->ops->alloc(front, &tx_key, 1, 0, &gref, &a);
	ok(mem_world_check(w, &base, why, sizeof(why)) > 0, "a leak is seen: %s", why);
	front->ops->end(front, &a);
	mem_world_quota(w, 1, 3);
	uint32_t many[4];
	is(front->ops->alloc(front, &tx_key, 4, 0, many, &a), -EDQUOT, "quota");
	mem_world_quota(w, 1, 0);
	quarantine(w, front, back);
	is(back->ops->store_fd(back), -ECONNRESET, "a dead domain's layer answers nothing");
	mem_world_free(w);
	mem_world_free(in);
	return done();
}
