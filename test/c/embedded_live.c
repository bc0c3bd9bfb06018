/* SPDX-License-Identifier: MIT */
/*
 * The client against the real hypervisor: fd 3 is domain 1 (the front), fd 4 domain 0 (the back,
 * privileged). Started without them, the program asks test/js/helpers/live to start a hypervisor
 * and this program again.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "live.h"
#include "live_store.h"
#include "tap.h"

static struct nf_layer *front, *back;

static int open_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 4096; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static struct nf_arena_key key_of(uint16_t queue, uint8_t purpose, bool readonly)
{
	return (struct nf_arena_key){.peer = back->domid,
				     .inner_owner = NF_DOMID_SELF,
				     .device = 2,
				     .queue = queue,
				     .purpose = purpose,
				     .readonly = readonly};
}

static void test_readonly(void)
{
	struct nf_arena_key key = key_of(0, NF_PURPOSE_TX_PAYLOAD, true);
	static uint32_t grefs[300];
	static void *addrs[300];
	struct nf_arena a;
	struct nf_mapping m;

	is(front->ops->alloc(front, &key, 300, 0, grefs, &a), 0, "300 read-only pages");
	memset(a.base, 0x5a, 300 * NF_PAGE_BYTES);
	is(back->ops->map(back, front->domid, grefs, 300, false, addrs, &m), -EACCES,
	   "the back does not map them for writing");
	is(back->ops->map(back, front->domid, grefs, 300, true, addrs, &m), 0, "but for reading");
	is(((uint8_t *)addrs[299])[4095], 0x5a, "and reads them");
	is(mprotect(addrs[0], NF_PAGE_BYTES, PROT_READ | PROT_WRITE) < 0 ? errno : 0, EACCES,
	   "nor makes the mapping writable");
	a.base[0] = 1;
	is(((uint8_t *)addrs[0])[0], 1, "the granter goes on writing");
	is(mmap(NULL, NF_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, a.fd, 0) == MAP_FAILED
		   ? errno
		   : 0,
	   EPERM, "but nobody maps the sealed memory for writing anew");
	is(front->ops->end(front, &a), -EBUSY, "end while the back maps them");
	ok(((volatile uint8_t *)addrs[299])[0] <= 0x5a, "the back's mapping is no fault");
	is(back->ops->unmap(back, &m), 0, "unmap");
}

static void test_writable(void)
{
	struct nf_arena_key key = key_of(0, NF_PURPOSE_RX_PAYLOAD, false);
	uint32_t grefs[2], none = 9999;
	void *addrs[2];
	struct nf_arena a;
	struct nf_mapping m;

	is(front->ops->alloc(front, &key, 2, 0, grefs, &a), 0, "two pages");
	is(back->ops->map(back, front->domid, grefs, 2, false, addrs, &m), 0, "map");
	memcpy(addrs[1], "hello", 6);
	is_str((char *)a.base + NF_PAGE_BYTES, "hello", "the front reads what the back wrote");
	is(front->ops->map(front, back->domid, grefs, 1, true, addrs, &m), -EACCES,
	   "numbers are the granter's, not the back's");
	is(back->ops->map(back, front->domid, &none, 1, true, addrs, &m), -EACCES,
	   "an unknown one");
	is(front->ops->end(front, &a), -EBUSY, "end");
	is(((volatile char *)addrs[1])[0], 0, "a revoked page reads as zeros");
	is(back->ops->unmap(back, &m), 0, "unmap");
}

static void test_copy(void)
{
	struct nf_arena_key rw = key_of(1, NF_PURPOSE_RX_PAYLOAD, false);
	struct nf_arena_key ro = key_of(1, NF_PURPOSE_TX_PAYLOAD, true);
	uint32_t grefs[2][64];
	struct nf_arena a, b;
	uint8_t in[64], out = 0x77;
	struct nf_grant_copy ops[64];
	int bad = 0;

	is(front->ops->alloc(front, &rw, 64, 0, grefs[0], &a), 0, "64 writable pages");
	is(front->ops->alloc(front, &ro, 64, 0, grefs[1], &b), 0, "64 read-only ones");
	for (int i = 0; i < 64; i++) {
		b.base[i * (int)NF_PAGE_BYTES + 4095] = (uint8_t)i;
		ops[i] = (struct nf_grant_copy){.peer = front->domid,
						.gref = grefs[1][i],
						.offset = 4095,
						.bytes = 1,
						.local = &in[i]};
	}
	is(back->ops->copy(back, ops, 64), 0, "copy from them");
	for (int i = 0; i < 64; i++)
		bad += ops[i].status != 0 || in[i] != i;
	is(bad, 0, "every byte");
	ops[0].gref = grefs[0][63];
	ops[0].to_peer = 1;
	ops[0].local = &out;
	ops[1].to_peer = 1;
	is(back->ops->copy(back, ops, 2), 0, "copy to");
	is(ops[0].status, 0, "a writable page");
	is(a.base[63 * NF_PAGE_BYTES + 4095], 0x77, "arrives");
	is(ops[1].status, -EACCES, "a read-only page refuses");
	struct nf_grant_copy foreign = {
		.peer = back->domid, .gref = grefs[0][0], .bytes = 1, .local = in};
	is(front->ops->copy(front, &foreign, 1), 0, "the front tries the back's table");
	is(foreign.status, -EACCES, "which grants it nothing");
	is(front->ops->end(front, &a), -EBUSY, "end while the copier has the pages mapped");
	is(back->ops->copy(back, ops, 1), 0, "copy after the end");
	is(ops[0].status, -ENOENT, "finds nothing, and lets go of them");
	is(front->ops->end(front, &b), 0, "so that the other arena ends at once");
}

static void test_channel(void)
{
	struct nf_chan f, b, again;

	is(front->ops->alloc_chan(front, back->domid, 2, 0, NF_PURPOSE_CHAN, &f), 0, "a port");
	is(back->ops->bind_chan(back, front->domid, f.port + 1, &b), -EACCES, "another number");
	is(back->ops->bind_chan(back, front->domid, f.port, &b), 0, "bind");
	is(back->ops->bind_chan(back, front->domid, f.port, &again), -EBUSY, "once");
	is(front->ops->chan_notify(&f), 0, "notify");
	is(back->ops->chan_clear(&b), 1, "arrives");
	is(back->ops->chan_notify(&b), 0, "and back");
	struct pollfd p = {.fd = f.fd, .events = POLLIN};
	is(poll(&p, 1, 20000), 1, "wakes a sleeper");
	is(front->ops->chan_clear(&f), 1, "once");
	back->ops->chan_close(&b);
	is(front->ops->chan_notify(&f), -ENODEV, "hang-up");
	front->ops->chan_close(&f);
}

static uint64_t inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static void test_donation(void)
{
	struct nf_arena_key key = key_of(3, NF_PURPOSE_RX_PAYLOAD, false), outer_key = key;
	uint32_t outer_grefs[4], inner_grefs[4];
	struct nf_arena outer, inner;
	struct nf_chan c = {.fd = -1}, got;

	outer_key.peer = front->domid;
	is(back->ops->alloc(back, &outer_key, 4, NF_ALLOC_NOMAP, outer_grefs, &outer), 0,
	   "the back has pages");
	is(front->ops->donate(front, 0, &outer, true), -ENOSYS,
	   "an ordinary domain donates nothing");
	is(back->ops->donate(back, front->domid, &outer, true), 0, "donates them");
	is(front->ops->alloc(front, &key, 4, 0, inner_grefs, &inner), 0, "the front allocates");
	ok(inode_of(inner.fd) == inode_of(outer.fd), "the very pages");
	ok(!memcmp(inner_grefs, outer_grefs, sizeof(inner_grefs)), "under the same numbers");
	front->ops->end(front, &inner);
	is(front->ops->alloc(front, &key, 4, 0, inner_grefs, &inner), 0, "the next time");
	ok(inode_of(inner.fd) != inode_of(outer.fd), "fresh ones");
	front->ops->end(front, &inner);
	is(back->ops->alloc_chan(back, front->domid, 2, 3, NF_PURPOSE_CHAN, &c), 0, "a channel");
	is(back->ops->donate_chan(back, front->domid, 2, 3, NF_PURPOSE_CHAN, &c), 0, "donated");
	is(front->ops->alloc_chan(front, back->domid, 2, 3, NF_PURPOSE_CHAN, &got), 0, "is had");
	ok(inode_of(c.fd) == inode_of(got.fd), "by the front");
	front->ops->chan_close(&got);
	back->ops->chan_close(&c);
	is(back->ops->end(back, &outer), 0, "end of the donated pages");
}

/* More connections than any quota, so that whatever one leaves behind is missed. */
static void test_cycles(void)
{
	struct nf_arena_key key = key_of(0, NF_PURPOSE_TX_RING, false);
	int fds = open_fds(), failed = 0;
	uint8_t byte;

	for (int i = 0; i < 1500; i++) {
		uint32_t grefs[40];
		void *addr;
		struct nf_arena a;
		struct nf_mapping m;
		struct nf_chan f, b;

		failed += front->ops->alloc(front, &key, 40, 0, grefs, &a) != 0;
		failed += front->ops->alloc_chan(front, back->domid, 2, 0, NF_PURPOSE_CHAN, &f) !=
			  0;
		failed += back->ops->map(back, front->domid, grefs, 1, false, &addr, &m) != 0;
		failed += back->ops->bind_chan(back, front->domid, f.port, &b) != 0;
		struct nf_grant_copy op = {
			.peer = front->domid, .gref = grefs[39], .bytes = 1, .local = &byte};
		failed += back->ops->copy(back, &op, 1) != 0 || op.status != 0;
		back->ops->chan_close(&b);
		failed += back->ops->unmap(back, &m) != 0;
		front->ops->chan_close(&f);
		failed += front->ops->end(front, &a) != 0;
		if (failed)
			break;
	}
	is(failed, 0, "1500 connections of 40 pages, each ended with nothing mapped");
	is(open_fds(), fds, "no descriptor is left");
}

/* The front's process goes: what the back sees of it. */
static void test_death(void)
{
	struct nf_arena_key key = key_of(5, NF_PURPOSE_RX_PAYLOAD, false);
	uint32_t gref;
	void *addr;
	struct nf_arena a;
	struct nf_mapping m;
	struct nf_chan f, b;

	is(front->ops->alloc(front, &key, 1, 0, &gref, &a), 0, "a page");
	is(back->ops->map(back, front->domid, &gref, 1, false, &addr, &m), 0, "mapped");
	is(front->ops->alloc_chan(front, back->domid, 0, 0, NF_PURPOSE_CHAN, &f), 0, "a channel");
	is(back->ops->bind_chan(back, front->domid, f.port, &b), 0, "bound");
	uint16_t domid = front->domid;
	munmap(a.base, NF_PAGE_BYTES);
	close(a.fd);
	close(f.fd);
	front->ops->close(front);
	struct pollfd p = {.fd = b.fd, .events = POLLIN};
	is(poll(&p, 1, 20000), 1, "the back wakes");
	is(back->ops->chan_clear(&b), -ENODEV, "to a hang-up");
	*(volatile char *)addr = 1;
	ok(true, "its mapping is no fault");
	is(back->ops->unmap(back, &m), 0, "it unmaps as usual");
	back->ops->chan_close(&b);
	/* the channel is between the two; the hypervisor hears of the death on its own socket */
	int rc = 0;
	for (int i = 0; i < 5000 && rc == 0; i++) {
		rc = back->ops->map(back, domid, &gref, 1, false, &addr, &m);
		if (rc == 0)
			back->ops->unmap(back, &m);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	is(rc, -EACCES, "nothing is left to map");
}

int main(int argc, char **argv)
{
	char why[256];

	(void)argc;
	if (!live_started()) {
		live_start(argv[0], false, why, sizeof(why));
		skip_all("%s", why);
	}
	is(nf_layer_open_embedded(3, &front), 0, "the front's connection");
	is(nf_layer_open_embedded(4, &back), 0, "the back's connection");
	if (!front || !back)
		return done();
	is(front->domid, 1, "domain 1");
	is(back->domid, 0, "domain 0");
	ok(!(front->caps & NF_CAP_DONATE) && (back->caps & NF_CAP_DONATE), "who may donate");
	test_readonly();
	test_writable();
	test_copy();
	test_channel();
	test_donation();
	live_devices(front, back);
	test_cycles();
	test_death();
	back->ops->close(back);
	return done();
}
