/* SPDX-License-Identifier: MIT */
/*
 * The embedded layer's client against a hypervisor that answers anything, descriptors included:
 * HOSTILE.md group 20, client side. Whatever comes, nothing stays open and nothing out of a memfd's
 * bounds is mapped.
 */
#include "feed.h"
#include "nf/hvmsg.h"
#include "nf/layer.h"
#include "targets.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS_MAX 8u
#define MEMORY_PAGES 16u

enum { MEMORY, UNSEALED, STREAM, PACKET, KINDS };

static int fds[KINDS];

static void fds_make(void)
{
	int ends[2];
	if (fds[MEMORY] > 0)
		return;
	for (int i = 0; i < 2; i++) {
		fds[i] = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (fds[i] < 0 || ftruncate(fds[i], MEMORY_PAGES * NF_PAGE_BYTES) != 0)
			abort();
	}
	if (fcntl(fds[MEMORY], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0)
		abort();
	for (int i = 0; i < 2; i++) {
		if (socketpair(AF_UNIX, (i ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC, 0, ends))
			abort();
		fds[STREAM + i] = ends[0];
	}
}

static void reply_send(struct fuzz_feed *f, const void *bytes, size_t count, const int *send_fds,
		       uint32_t fd_count)
{
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = count};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	if (fd_count > 0) {
		control.h.cmsg_level = SOL_SOCKET;
		control.h.cmsg_type = SCM_RIGHTS;
		control.h.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.h), send_fds, fd_count * sizeof(int));
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
	}
	(void)!sendmsg(f->server, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void hello_send(struct fuzz_feed *f)
{
	struct nf_hv_hello_reply r = {.h = {.magic = NF_HV_MAGIC, .type = NF_HV_HELLO, .flags = 1},
				      .version = NF_HV_VERSION,
				      .domid = 3,
				      .privileged = 1,
				      .table_entries = 1024,
				      .counters_bytes = 4096,
				      .control_bytes = 4096};
	int three[3] = {fds[MEMORY], fds[MEMORY], fds[MEMORY]};
	r.h.seq = 1;
	reply_send(f, &r, sizeof(r), three, 3);
}

/* Replies that fit the verbs to come mostly. */
static void replies_make(struct fuzz_in *in, struct fuzz_feed *f, const uint8_t *types,
			 uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint8_t how = fuzz_u8(in), body[512] = {0};
		struct nf_hv_header h = {
			.magic = NF_HV_MAGIC, .type = types[i], .flags = 1, .seq = i + 2};
		int send_fds[FDS_MAX];
		uint32_t fd_count = how & 3;
		if (how & 4)
			h.status = -(int32_t)fuzz_u8(in);
		if (how & 8)
			h.seq = fuzz_u8(in);
		if (how & 16)
			h.type = fuzz_u8(in);
		if ((how & 0xe0) == 0xe0)
			fd_count = fuzz_u8(in) % (FDS_MAX + 1);
		for (uint32_t k = 0; k < fd_count; k++)
			send_fds[k] = fds[fuzz_u8(in) % KINDS];
		memcpy(body, &h, sizeof(h));
		size_t n = fuzz_bytes(in, body + sizeof(h), fuzz_u8(in) * 2u % 496u);
		reply_send(f, body, sizeof(h) + n, send_fds, fd_count);
	}
}

static void alloc_do(struct nf_layer *l)
{
	uint32_t grefs[4];
	struct nf_arena_key key = {.peer = 1, .inner_owner = NF_DOMID_SELF, .purpose = 1};
	struct nf_arena a;
	if (l->ops->alloc(l, &key, 4, 0, grefs, &a) != 0)
		return;
	FUZZ_EXPECT(a.pages == 4 && a.base, "an arena as asked for");
	memset(a.base, 1, (size_t)a.pages * NF_PAGE_BYTES);
	(void)l->ops->end(l, &a);
}

static void map_do(struct nf_layer *l)
{
	uint32_t grefs[3] = {8, 9, 200};
	void *addrs[3];
	struct nf_mapping m;
	if (l->ops->map(l, 1, grefs, 3, true, addrs, &m) != 0)
		return;
	for (int i = 0; i < 3; i++)
		fuzz_touch(addrs[i], NF_PAGE_BYTES);
	(void)l->ops->unmap(l, &m);
}

static void chan_do(struct nf_layer *l, bool bind)
{
	struct nf_chan c;
	int rc = bind ? l->ops->bind_chan(l, 1, 5, &c) : l->ops->alloc_chan(l, 1, 0, 0, 6, &c);
	if (rc == 0)
		l->ops->chan_close(&c);
}

static void copy_do(struct nf_layer *l)
{
	uint8_t buf[64];
	struct nf_grant_copy op = {.peer = 1, .bytes = sizeof(buf), .gref = 9, .local = buf};
	(void)l->ops->copy(l, &op, 1);
}

static void verb_do(struct nf_layer *l, uint8_t verb)
{
	int fd;
	switch (verb) {
	case NF_HV_ALLOC:
		alloc_do(l);
		break;
	case NF_HV_MAP:
		map_do(l);
		break;
	case NF_HV_CHAN_ALLOC:
	case NF_HV_CHAN_BIND:
		chan_do(l, verb == NF_HV_CHAN_BIND);
		break;
	case NF_HV_TABLE:
		copy_do(l);
		break;
	default:
		fd = verb == NF_HV_STORE ? l->ops->store_fd(l) : nf_layer_embedded_clone(l);
		if (fd >= 0)
			close(fd);
	}
}

void fuzz_hv_reply(const uint8_t *data, size_t bytes)
{
	static const uint8_t kinds[] = {NF_HV_ALLOC, NF_HV_MAP,	  NF_HV_CHAN_ALLOC, NF_HV_CHAN_BIND,
					NF_HV_TABLE, NF_HV_STORE, NF_HV_CLONE,	    NF_HV_MAP};
	struct fuzz_in in = fuzz_input(data, bytes);
	struct fuzz_feed f;
	struct nf_layer *l = NULL;
	uint8_t verbs[6];
	fds_make();
	for (size_t i = 0; i < sizeof(verbs); i++)
		verbs[i] = kinds[fuzz_u8(&in) & 7];
	fuzz_feed_open(&f, SOCK_SEQPACKET);
	hello_send(&f);
	replies_make(&in, &f, verbs, sizeof(verbs));
	fuzz_feed_end(&f);
	if (nf_layer_open_embedded(f.client, &l) != 0)
		abort();
	for (size_t i = 0; i < sizeof(verbs); i++)
		verb_do(l, verbs[i]);
	l->ops->close(l);
	fuzz_feed_close(&f);
}
