/* SPDX-License-Identifier: MIT */
/*
 * Group 20 from the domain's side: a hypervisor end that answers wrongly in every way the message
 * format has, to every verb. Nothing is kept of such an answer, and the connection is not used
 * again.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fakehv.h"
#include "tap.h"

static struct fakehv hv;
static const struct nf_arena_key key = {
	.peer = 9, .inner_owner = NF_DOMID_SELF, .purpose = NF_PURPOSE_OTHER};

/* Each verb once; its own result is what counts, what it got is given back. */
static int do_alloc(struct nf_layer *l)
{
	uint32_t grefs[4];
	struct nf_arena a;
	int rc = l->ops->alloc(l, &key, 4, 0, grefs, &a);

	if (rc == 0)
		l->ops->end(l, &a);
	return rc;
}

static int do_map(struct nf_layer *l)
{
	uint32_t grefs[2] = {100, 101};
	void *addrs[2];
	struct nf_mapping m;
	int rc = l->ops->map(l, FAKEHV_PEER, grefs, 2, false, addrs, &m);

	if (rc == 0)
		l->ops->unmap(l, &m);
	return rc;
}

static int do_chan(struct nf_layer *l)
{
	struct nf_chan c;
	int rc = l->ops->alloc_chan(l, FAKEHV_PEER, 0, 0, NF_PURPOSE_CHAN, &c);

	if (rc == 0)
		l->ops->chan_close(&c);
	return rc;
}

static int do_bind(struct nf_layer *l)
{
	struct nf_chan c;
	int rc = l->ops->bind_chan(l, FAKEHV_PEER, 1, &c);

	if (rc == 0)
		l->ops->chan_close(&c);
	return rc;
}

static int do_store(struct nf_layer *l)
{
	int fd = l->ops->store_fd(l);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

static int do_clone(struct nf_layer *l)
{
	int fd = nf_layer_embedded_clone(l);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

static int do_copy(struct nf_layer *l)
{
	char byte;
	struct nf_grant_copy op = {.peer = FAKEHV_PEER, .gref = 100, .bytes = 1, .local = &byte};

	l->ops->copy(l, &op, 1);
	return op.status;
}

static int do_end(struct nf_layer *l)
{
	uint32_t gref;
	struct nf_arena a;
	int rc = l->ops->alloc(l, &key, 1, 0, &gref, &a);

	return rc < 0 ? rc : l->ops->end(l, &a);
}

static const struct verb {
	const char *name;
	uint16_t type;
	bool has_fd; /* its answer carries one */
	bool memory; /* and that is memory */
	int (*run)(struct nf_layer *l);
} verbs[] = {
	{"alloc", NF_HV_ALLOC, true, true, do_alloc},
	{"end", NF_HV_END, false, false, do_end},
	{"map", NF_HV_MAP, true, true, do_map},
	{"alloc_chan", NF_HV_CHAN_ALLOC, true, false, do_chan},
	{"bind_chan", NF_HV_CHAN_BIND, true, false, do_bind},
	{"store_fd", NF_HV_STORE, true, false, do_store},
	{"clone", NF_HV_CLONE, true, false, do_clone},
	{"copy", NF_HV_TABLE, true, true, do_copy},
};

static const struct fault {
	const char *name;
	enum fakehv_fault fault;
	int32_t value;
	int want;
	bool sticky;
	bool fd_only, memory_only;
} faults[] = {
	{"a refusal", FAKEHV_STATUS, -EACCES, -EACCES, false, false, false},
	{"a refusal with a descriptor", FAKEHV_STATUS_FD, -EACCES, -EPROTO, true, false, false},
	{"half a header", FAKEHV_EMPTY_HEADER, 0, -EPROTO, true, false, false},
	{"one byte less", FAKEHV_SHORT, 1, -EPROTO, true, false, false},
	{"more than a message", FAKEHV_OVERSIZED, 0, -EPROTO, true, false, false},
	{"another magic", FAKEHV_MAGIC, 0, -EPROTO, true, false, false},
	{"another type", FAKEHV_TYPE, 0, -EPROTO, true, false, false},
	{"no reply", FAKEHV_NO_REPLY_FLAG, 0, -EPROTO, true, false, false},
	{"an old number", FAKEHV_SEQ_OLD, 0, -EPROTO, true, false, false},
	{"a number not asked", FAKEHV_SEQ_NEW, 0, -EPROTO, true, false, false},
	{"status 1", FAKEHV_STATUS_POSITIVE, 0, -EPROTO, true, false, false},
	{"status INT_MIN", FAKEHV_STATUS_HUGE, 0, -EPROTO, true, false, false},
	{"one descriptor too many", FAKEHV_STRAY_FDS, 1, -EPROTO, true, false, false},
	{"250 too many", FAKEHV_STRAY_FDS, 250, -EPROTO, true, false, false},
	{"no descriptor", FAKEHV_NO_FDS, 0, -EPROTO, true, true, false},
	{"/dev/null", FAKEHV_WRONG_FDS, 0, -EPROTO, true, true, false},
	{"memory that can shrink", FAKEHV_UNSEALED, 0, -EPROTO, true, true, true},
	{"death before the answer", FAKEHV_DIE_BEFORE, 0, -ECONNRESET, true, false, false},
};

static void test_fault(const struct verb *v, const struct fault *f)
{
	int before = fakehv_open_fds(NULL), rc;

	if ((f->fd_only && !v->has_fd) || (f->memory_only && !v->memory))
		return;
	if (!fakehv_start(&hv)) {
		ok(false, "start");
		return;
	}
	fakehv_grant(&hv, 100, 2, false);
	struct nf_layer *l = fakehv_open(&hv, &rc);
	if (!ok(l != NULL, "%s: open", v->name))
		return;
	fakehv_arm(&hv, f->fault, v->type, f->value);
	is(v->run(l), f->want, "%s: %s", v->name, f->name);
	is(v->run(l), f->sticky ? f->want : 0, "%s: after it", v->name);
	l->ops->close(l);
	fakehv_stop(&hv);
	is(fakehv_open_fds(NULL), before, "%s: nothing kept", v->name);
}

/* The contents of the answers whose form is right. */
static const struct word {
	const char *name;
	uint16_t type;
	uint32_t offset;
	int32_t value;
	int (*run)(struct nf_layer *l);
} words[] = {
	{"alloc: fewer pages", NF_HV_ALLOC, 32, 3, do_alloc},
	{"alloc: 2^32-1 pages", NF_HV_ALLOC, 32, -1, do_alloc},
	{"alloc: donated 2", NF_HV_ALLOC, 36, 2, do_alloc},
	{"alloc: offset beyond the memory", NF_HV_ALLOC, 24, 4096, do_alloc},
	{"alloc: unaligned offset", NF_HV_ALLOC, 24, 1, do_alloc},
	{"alloc: offset near 2^64", NF_HV_ALLOC, 28, -1, do_alloc},
	{"alloc: a reserved gref", NF_HV_ALLOC, 40, 7, do_alloc},
	{"alloc: no gref", NF_HV_ALLOC, 44, -1, do_alloc},
	{"map: no arenas", NF_HV_MAP, 16, 0, do_map},
	{"map: more arenas than descriptors", NF_HV_MAP, 16, 2, do_map},
	{"map: 2^32-1 arenas", NF_HV_MAP, 16, -1, do_map},
	{"map: another count", NF_HV_MAP, 20, 1, do_map},
	{"map: arena of no pages", NF_HV_MAP, 40, 0, do_map},
	{"map: arena larger than its memory", NF_HV_MAP, 40, 3, do_map},
	{"map: arena of 2^32-1 pages", NF_HV_MAP, 40, -1, do_map},
	{"map: arena at an offset beyond", NF_HV_MAP, 32, 8192, do_map},
	{"map: read-only where writable was asked", NF_HV_MAP, 44, 1, do_map},
	{"map: access 2", NF_HV_MAP, 44, 2, do_map},
	{"map: slot of no arena", NF_HV_MAP, 48, 1, do_map},
	{"map: slot beyond the arena", NF_HV_MAP, 60, 2, do_map},
	{"map: slot far beyond", NF_HV_MAP, 60, -1, do_map},
};

static void test_word(const struct word *w)
{
	int before = fakehv_open_fds(NULL), rc;

	if (!fakehv_start(&hv)) {
		ok(false, "start");
		return;
	}
	fakehv_grant(&hv, 100, 2, false);
	struct nf_layer *l = fakehv_open(&hv, &rc);
	if (!ok(l != NULL, "open"))
		return;
	fakehv_arm(&hv, FAKEHV_WORD, w->type, w->value);
	hv.offset = w->offset;
	is(w->run(l), -EPROTO, "%s", w->name);
	is(w->run(l), -EPROTO, "sticky");
	l->ops->close(l);
	fakehv_stop(&hv);
	is(fakehv_open_fds(NULL), before, "nothing kept");
}

static void test_hello(void)
{
	static const struct {
		enum fakehv_fault fault;
		int32_t value, want;
		uint32_t offset;
		const char *name;
	} cases[] = {
		{FAKEHV_STATUS, -EPROTONOSUPPORT, -EPROTONOSUPPORT, 0, "version refused"},
		{FAKEHV_WORD, 2, -EPROTONOSUPPORT, 16, "another version"},
		{FAKEHV_WORD, 0x7ff0, -EPROTO, 20, "a reserved domid"},
		{FAKEHV_WORD, 1 << 20, -EPROTO, 24, "a table larger than its memory"},
		{FAKEHV_WORD, 1 << 20, -EPROTO, 28, "counters larger than their memory"},
		{FAKEHV_WORD, 1 << 20, -EPROTO, 32, "a control page larger than its memory"},
		{FAKEHV_NO_FDS, 0, -EPROTO, 0, "no descriptors"},
		{FAKEHV_STRAY_FDS, 1, -EPROTO, 0, "four descriptors"},
		{FAKEHV_UNSEALED, 0, -EPROTO, 0, "memory that can shrink"},
		{FAKEHV_DIE_BEFORE, 0, -ECONNRESET, 0, "death"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int before = fakehv_open_fds(NULL), rc;

		if (!fakehv_start(&hv))
			continue;
		fakehv_arm(&hv, cases[i].fault, NF_HV_HELLO, cases[i].value);
		hv.offset = cases[i].offset;
		struct nf_layer *l = fakehv_open(&hv, &rc);
		ok(!l, "hello, %s: no layer", cases[i].name);
		is(rc, cases[i].want, "its error");
		fakehv_stop(&hv);
		is(fakehv_open_fds(NULL), before, "nothing kept");
	}
}

static void test_not_a_socket(void)
{
	int before = fakehv_open_fds(NULL), pair[2], pipes[2];
	struct nf_layer *l = NULL;

	is(nf_layer_open_embedded(-1, &l), -EINVAL, "no descriptor");
	if (pipe(pipes) == 0) {
		is(nf_layer_open_embedded(pipes[0], &l), -EINVAL, "a pipe");
		close(pipes[1]);
	}
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0) {
		is(nf_layer_open_embedded(pair[0], &l), -EINVAL, "a stream socket");
		close(pair[1]);
	}
	is(fakehv_open_fds(NULL), before, "ownership passed all the same");
}

/* When the hypervisor dies, what runs goes on: mappings, channels, copies of pages known. */
static void test_death(void)
{
	uint32_t gref = 100;
	void *addr;
	struct nf_mapping m;
	struct nf_chan c;
	int rc, before = fakehv_open_fds(NULL);

	if (!fakehv_start(&hv))
		return;
	uint32_t a = fakehv_grant(&hv, 100, 1, false);
	struct nf_layer *l = fakehv_open(&hv, &rc);
	if (!ok(l != NULL, "open"))
		return;
	is(l->ops->map(l, FAKEHV_PEER, &gref, 1, false, &addr, &m), 0, "map");
	is(do_copy(l), 0, "copy");
	is(l->ops->alloc_chan(l, FAKEHV_PEER, 0, 0, NF_PURPOSE_CHAN, &c), 0, "channel");
	fakehv_arm(&hv, FAKEHV_DIE_AFTER, NF_HV_STORE, 0);
	is(do_store(l), 0, "the last answer is taken");
	is(do_alloc(l), -ECONNRESET, "then the hypervisor is gone");
	is(do_map(l), -ECONNRESET, "for every verb");
	*(uint8_t *)addr = 9;
	is(hv.arenas[a].base[0], 9, "mappings go on");
	is(do_copy(l), 0, "copies go on");
	is(l->ops->chan_notify(&c), 0, "channels go on");
	is(l->ops->unmap(l, &m), -ECONNRESET, "unmap says so");
	ok(!addr, "but unmaps");
	l->ops->chan_close(&c);
	l->ops->close(l);
	fakehv_stop(&hv);
	is(fakehv_open_fds(NULL), before, "nothing kept");
}

int main(void)
{
	for (size_t v = 0; v < sizeof(verbs) / sizeof(verbs[0]); v++)
		for (size_t f = 0; f < sizeof(faults) / sizeof(faults[0]); f++)
			test_fault(&verbs[v], &faults[f]);
	for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++)
		test_word(&words[w]);
	test_hello();
	test_not_a_socket();
	test_death();
	return done();
}
