/* SPDX-License-Identifier: MIT */
/* The embedded layer's client against a well-behaved hypervisor end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fakehv.h"
#include "tap.h"

static struct fakehv hv;

static const struct nf_arena_key tx_key = {
	.peer = 9,
	.inner_owner = NF_DOMID_SELF,
	.device = 3,
	.queue = 1,
	.purpose = NF_PURPOSE_TX_PAYLOAD,
	.readonly = 1,
};

static uint64_t inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static void test_alloc(struct nf_layer *l)
{
	uint32_t grefs[300];
	struct nf_arena a, b;

	is(l->ops->alloc(l, &tx_key, 300, 0, grefs, &a), 0, "alloc");
	is(a.pages, 300, "as many pages");
	ok(a.base && a.grefs == grefs && a.fd >= 0, "mapped, with its descriptor");
	is(grefs[299], grefs[0] + 299, "grant numbers are written");
	is(hv.table[grefs[0]].domid, 9, "granted to the peer");
	a.base[0] = 1;
	a.base[300 * NF_PAGE_BYTES - 1] = 2;
	is(fcntl(a.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC, "no exec inherits it");
	is(l->ops->alloc(l, &tx_key, 4, NF_ALLOC_NOMAP, grefs, &b), 0, "alloc, not mapped");
	ok(!b.base && b.fd >= 0, "has a descriptor only");
	is(l->ops->end(l, &b), 0, "end of one");
	is(l->ops->end(l, &b), -EINVAL, "not twice");
	fakehv_arm(&hv, FAKEHV_STATUS, NF_HV_END, -EBUSY);
	is(l->ops->end(l, &a), -EBUSY, "end while the peer maps it");
	ok(!a.base && a.fd == -1, "is gone for us either way");
	is(l->ops->alloc(l, &tx_key, 0, 0, grefs, &a), -EINVAL, "no page");
	is(l->ops->alloc(l, &tx_key, NF_ARENA_PAGES_MAX + 1, 0, grefs, &a), -EINVAL, "too many");
	is(l->ops->alloc(l, &tx_key, 1, 0x80, grefs, &a), -EINVAL, "unknown flag");
	fakehv_arm(&hv, FAKEHV_STATUS, NF_HV_ALLOC, -EDQUOT);
	grefs[0] = 77;
	is(l->ops->alloc(l, &tx_key, 1, 0, grefs, &a), -EDQUOT, "the quota's error comes through");
	is(grefs[0], 77, "and nothing is written");
}

static void test_map(struct nf_layer *l)
{
	uint32_t grefs[4] = {100, 103, 100, 200};
	void *addrs[4], *again[1];
	struct nf_mapping m, n;
	uint32_t a = fakehv_grant(&hv, 100, 4, false), b = fakehv_grant(&hv, 200, 1, false);
	int fds = fakehv_open_fds(&hv);

	hv.arenas[a].base[3 * NF_PAGE_BYTES] = 33;
	hv.arenas[b].base[0] = 44;
	is(l->ops->map(l, FAKEHV_PEER, grefs, 4, false, addrs, &m), 0, "map of two arenas");
	is(*(uint8_t *)addrs[1], 33, "the right page of the first");
	is(*(uint8_t *)addrs[3], 44, "and the second");
	ok(addrs[0] == addrs[2], "the same grant is at the same address");
	ok((uint8_t *)addrs[1] == (uint8_t *)addrs[0] + 3 * NF_PAGE_BYTES,
	   "an arena is one mapping");
	*(uint8_t *)addrs[0] = 55;
	is(hv.arenas[a].base[0], 55, "the peer sees a write");
	is(l->ops->map(l, FAKEHV_PEER, grefs, 1, false, again, &n), 0, "map again");
	ok(again[0] == addrs[0], "shares the mapping");
	is(fakehv_open_fds(&hv), fds, "mappings keep no descriptor");
	is(l->ops->unmap(l, &m), 0, "unmap");
	ok(!addrs[0] && !addrs[3], "addresses are gone");
	is(*(uint8_t *)again[0], 55, "the other user's mapping stays");
	is(l->ops->unmap(l, &m), -EINVAL, "not twice");
	is(l->ops->unmap(l, &n), 0, "unmap of the last");
	is(fakehv_mapped(&hv), 0, "the hypervisor was told of each");
}

static void test_map_refused(struct nf_layer *l)
{
	uint32_t grefs[2] = {300, 301};
	void *addrs[2] = {NULL, NULL};
	struct nf_mapping m = {.count = 9};

	fakehv_grant(&hv, 300, 1, true);
	is(l->ops->map(l, FAKEHV_PEER, grefs, 2, true, addrs, &m), -ENOENT, "one unknown: none");
	ok(!addrs[0] && m.count == 9, "outputs untouched");
	is(l->ops->map(l, FAKEHV_PEER, grefs, 1, false, addrs, &m), -EACCES,
	   "read-only for writing");
	is(l->ops->map(l, FAKEHV_PEER, grefs, 0, true, addrs, &m), -EINVAL, "none at all");
	is(l->ops->map(l, FAKEHV_PEER, grefs, NF_HV_GREFS_MAX + 1, true, addrs, &m), -EINVAL,
	   "more than a message holds");
	is(l->ops->map(l, FAKEHV_PEER, grefs, 1, true, addrs, &m), 0, "read-only for reading");
	is(l->ops->unmap(l, &m), 0, "unmap");
}

/* Group 17 as seen from the grantee: what was revoked stays readable, as zeros. */
static void test_revoked(struct nf_layer *l, uint32_t first, bool readonly)
{
	uint32_t grefs[2] = {first, first + 1};
	void *addrs[2];
	struct nf_mapping m;
	uint32_t a = fakehv_grant(&hv, first, 2, readonly);
	int sum = 0;

	memset(hv.arenas[a].base, 0xee, 2 * NF_PAGE_BYTES);
	is(l->ops->map(l, FAKEHV_PEER, grefs, 2, readonly, addrs, &m), 0, "map");
	is(*(uint8_t *)addrs[1], 0xee, "reads the peer's bytes");
	fakehv_revoke(&hv, a);
	for (size_t i = 0; i < NF_PAGE_BYTES; i++)
		sum += ((volatile uint8_t *)addrs[1])[i];
	/* a read-only arena cannot be punched: the seal forbids it */
	is(sum, readonly ? 0xee * (int)NF_PAGE_BYTES : 0, "reading a revoked page is no fault");
	is(l->ops->unmap(l, &m), 0, "and is unmapped as any other");
}

static void test_chan(struct nf_layer *l)
{
	struct nf_chan c;
	char byte;

	is(l->ops->alloc_chan(l, FAKEHV_PEER, 0, 0, NF_PURPOSE_CHAN, &c), 0, "channel");
	is(c.port, 1, "its port");
	is(l->ops->chan_clear(&c), 0, "nothing pending");
	is(l->ops->chan_notify(&c), 0, "notify");
	is(recv(hv.chan_fd, &byte, 1, MSG_DONTWAIT), 1, "arrives");
	int sent = 0;
	for (int i = 0; i < 5000; i++)
		sent += l->ops->chan_notify(&c) == 0;
	is(sent, 5000, "a peer that never looks blocks nobody");
	int pending = 0;
	while (recv(hv.chan_fd, &byte, 1, MSG_DONTWAIT) == 1)
		pending++;
	ok(pending >= 1 && pending <= 16, "few are queued (%d)", pending);
	for (int i = 0; i < 3; i++)
		send(hv.chan_fd, "xy", 2, 0);
	struct pollfd p = {.fd = c.fd, .events = POLLIN};
	is(poll(&p, 1, 0), 1, "readable when pending");
	is(l->ops->chan_clear(&c), 3, "three merged");
	is(poll(&p, 1, 0), 0, "and not any more");
	send(hv.chan_fd, "x", 1, 0);
	shutdown(hv.chan_fd, SHUT_RDWR);
	is(l->ops->chan_clear(&c), 1, "the last notification comes before the hang-up");
	is(l->ops->chan_clear(&c), -ENODEV, "then the peer is gone");
	is(l->ops->chan_notify(&c), -ENODEV, "for notify too");
	l->ops->chan_close(&c);
	is(c.fd, -1, "closed");
	is(fakehv_messages(&hv, NF_HV_CHAN_CLOSE), 1, "the port is given back");
	l->ops->chan_close(&c);
	is(fakehv_messages(&hv, NF_HV_CHAN_CLOSE), 1, "once");
	is(l->ops->chan_clear(&c), -ENODEV, "a closed channel clears nothing");
	is(l->ops->bind_chan(l, FAKEHV_PEER, 4, &c), 0, "bind");
	l->ops->chan_close(&c);
}

/* Group 13: more events than one call takes, with descriptors attached. */
static void test_chan_storm(struct nf_layer *l)
{
	struct nf_chan c;
	int fds = fakehv_open_fds(&hv), got, total = 0, sent = 0;

	is(l->ops->alloc_chan(l, FAKEHV_PEER, 0, 0, NF_PURPOSE_CHAN, &c), 0, "channel");
	while (send(hv.chan_fd, "x", 1, MSG_DONTWAIT) == 1)
		sent++;
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {.iov_base = (char[]){"x"}, .iov_len = 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.bytes,
			   .msg_controllen = sizeof(control.bytes)};
	control.h.cmsg_level = SOL_SOCKET;
	control.h.cmsg_type = SCM_RIGHTS;
	control.h.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.h), &hv.fd, sizeof(int));
	while ((got = l->ops->chan_clear(&c)) > 0)
		total += got;
	is(got, 0, "drained");
	is(total, sent, "every one counted");
	is(sendmsg(hv.chan_fd, &m, 0), 1, "a notification with a descriptor");
	is(l->ops->chan_clear(&c), 1, "counts as any other");
	l->ops->chan_close(&c);
	is(fakehv_open_fds(&hv), fds, "the descriptor is not kept");
}

static void test_donate(struct nf_layer *l)
{
	uint32_t grefs[8];
	struct nf_arena a;
	struct nf_chan c;

	is(l->ops->alloc(l, &tx_key, 8, NF_ALLOC_NOMAP, grefs, &a), 0, "an outer arena");
	is(l->ops->donate(l, 2, &a, true), 0, "donate");
	is(hv.donated.key.peer, 2, "to the inner domain");
	is(hv.donated.key.device, 3, "for the device");
	is(hv.donated.key.queue, 1, "and queue");
	is(hv.donated.key.purpose, NF_PURPOSE_TX_PAYLOAD, "and purpose");
	is(hv.donated.pages, 8, "its pages");
	is(hv.donated.equal_grefs, 1, "with equal numbers");
	ok(!memcmp(hv.donated_grefs, grefs, sizeof(grefs)), "these");
	ok(hv.donated_inode == inode_of(a.fd), "the very memory");
	is(l->ops->donate(l, 2, &a, false), 0, "donate, numbers free");
	is(hv.donated.equal_grefs + hv.donated_grefs[0], 0, "sends none");
	is(l->ops->bind_chan(l, FAKEHV_PEER, 4, &c), 0, "a channel");
	is(l->ops->donate_chan(l, 2, 3, 1, NF_PURPOSE_CHAN_RX, &c), 0, "donate its end");
	is(hv.chan_donated.peer, 2, "to the inner domain");
	is(hv.chan_donated.purpose, NF_PURPOSE_CHAN_RX, "for this purpose");
	ok(hv.donated_inode == inode_of(c.fd), "the very socket");
	l->ops->chan_close(&c);
	is(l->ops->donate_chan(l, 2, 3, 1, NF_PURPOSE_CHAN_RX, &c), -EINVAL, "a closed one: no");
	is(l->ops->end(l, &a), 0, "end");
	is(l->ops->donate(l, 2, &a, false), -EINVAL, "an ended arena: no");
}

static void test_sockets(struct nf_layer *l)
{
	char word[8];
	int fd = l->ops->store_fd(l);

	ok(fd >= 0, "a store connection");
	is(send(hv.store_fd, "hi", 2, 0), 2, "is a socket");
	is(recv(fd, word, sizeof(word), MSG_DONTWAIT), 2, "to the hypervisor");
	close(fd);
	fd = nf_layer_embedded_clone(l);
	ok(fd >= 0, "a clone of the connection");
	close(fd);
}

int main(void)
{
	int before = fakehv_open_fds(NULL), rc;

	if (!fakehv_start(&hv))
		skip_all("no memfd or socket pair");
	hv.privileged = true;
	struct nf_layer *l = fakehv_open(&hv, &rc);
	is(rc, 0, "open");
	if (!l)
		return done();
	is_str(l->ops->kind, "embedded", "kind");
	is(l->domid, FAKEHV_SELF, "domid");
	ok(l->caps & NF_CAP_DONATE, "may donate");
	ok(l->counters_fd >= 0 && l->control_fd >= 0, "counters and control pages");
	test_alloc(l);
	test_map(l);
	test_map_refused(l);
	test_revoked(l, 400, true);
	test_revoked(l, 410, false);
	test_chan(l);
	test_chan_storm(l);
	test_donate(l);
	test_sockets(l);
	l->ops->close(l);
	fakehv_stop(&hv);
	is(fakehv_open_fds(NULL), before, "no descriptor is left");
	if (!fakehv_start(&hv))
		return 1;
	l = fakehv_open(&hv, &rc);
	is(rc, 0, "open without privilege");
	struct nf_arena none = {.fd = 0, .pages = 1};
	is(l->ops->donate(l, 2, &none, false), -ENOSYS, "cannot donate");
	l->ops->close(l);
	fakehv_stop(&hv);
	return done();
}
