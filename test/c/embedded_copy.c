/* SPDX-License-Identifier: MIT */
/* Grant copy on the embedded layer: what it costs, what it refuses (group 5), and two pollers
 * against the control thread. */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "fakehv.h"
#include "tap.h"

#define GREF 100u
#define PAGES 64u

static struct fakehv hv;
static struct nf_layer *layer;

static int32_t copy_one(uint32_t gref, uint16_t to_peer, uint16_t offset, uint16_t bytes,
			void *local)
{
	struct nf_grant_copy op = {.peer = FAKEHV_PEER,
				   .gref = gref,
				   .to_peer = to_peer,
				   .offset = offset,
				   .bytes = bytes,
				   .local = local};
	int rc = layer->ops->copy(layer, &op, 1);

	return rc < 0 ? rc : op.status;
}

static bool start(void)
{
	int rc;

	if (!fakehv_start(&hv))
		return ok(false, "start");
	layer = fakehv_open(&hv, &rc);
	return ok(layer != NULL, "open");
}

static void stop(void)
{
	layer->ops->close(layer);
	is(fakehv_mapped(&hv), 0, "nothing stays mapped");
	fakehv_stop(&hv);
}

static uint32_t messages(void)
{
	return fakehv_messages(&hv, NF_HV_TABLE) + fakehv_messages(&hv, NF_HV_MAP) +
	       fakehv_messages(&hv, NF_HV_UNMAP);
}

static void test_steady(void)
{
	struct nf_grant_copy ops[PAGES];
	uint8_t local[PAGES][8];
	int bad = 0;

	if (!start())
		return;
	uint32_t a = fakehv_grant(&hv, GREF, PAGES, false);
	for (uint32_t i = 0; i < PAGES; i++) {
		hv.arenas[a].base[i * NF_PAGE_BYTES + 4088] = (uint8_t)i;
		ops[i] = (struct nf_grant_copy){.peer = FAKEHV_PEER,
						.gref = GREF + i,
						.offset = 4088,
						.bytes = 8,
						.local = local[i],
						.status = 1};
	}
	is(layer->ops->copy(layer, ops, PAGES), 0, "a batch from the peer");
	for (uint32_t i = 0; i < PAGES; i++)
		bad += ops[i].status != 0 || local[i][0] != i;
	is(bad, 0, "each from its page");
	is(messages(), 2, "at the cost of two messages: the table, the arena");
	for (uint32_t i = 0; i < PAGES; i++) {
		ops[i].to_peer = 1;
		local[i][0] = (uint8_t)(i + 1);
	}
	is(layer->ops->copy(layer, ops, PAGES), 0, "a batch to the peer");
	for (uint32_t i = 0; i < PAGES; i++)
		bad += ops[i].status != 0 || hv.arenas[a].base[i * NF_PAGE_BYTES + 4088] != i + 1;
	is(bad, 0, "each to its page");
	is(messages(), 2, "at the cost of none");
	is(layer->ops->copy(layer, ops, 0), 0, "an empty batch");
	is(copy_one(GREF, 0, 0, 0, NULL), 0, "no bytes");
	stop();
}

static void test_order(void)
{
	uint8_t in = 5, out = 0;
	struct nf_grant_copy ops[2] = {
		{.peer = FAKEHV_PEER, .gref = GREF, .to_peer = 1, .bytes = 1, .local = &in},
		{.peer = FAKEHV_PEER, .gref = GREF, .bytes = 1, .local = &out},
	};

	if (!start())
		return;
	fakehv_grant(&hv, GREF, 1, false);
	layer->ops->copy(layer, ops, 2);
	is(out, 5, "operations of a batch run in order, also at first use");
	stop();
}

static void test_refused(void)
{
	static const struct {
		const char *name;
		uint16_t flags, domid;
		int32_t want;
	} entries[] = {
		{"an invalid entry", NF_GTF_invalid, FAKEHV_SELF, -ENOENT},
		{"a transfer entry", 2, FAKEHV_SELF, -ENOENT},
		{"a transitive entry", 3, FAKEHV_SELF, -ENOENT},
		{"of another domain", NF_GTF_permit_access, FAKEHV_SELF + 1, -EACCES},
		{"a sub-page entry", NF_GTF_permit_access | 0x100, FAKEHV_SELF, -EACCES},
	};
	uint8_t byte = 0;

	if (!start())
		return;
	fakehv_grant(&hv, GREF, 2, false);
	uint32_t ro = fakehv_grant(&hv, 300, 1, true);
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		fakehv_entry(&hv, GREF, entries[i].flags, entries[i].domid, 1);
		is(copy_one(GREF, 0, 0, 1, &byte), entries[i].want, "%s", entries[i].name);
	}
	is(copy_one(FAKEHV_ENTRIES, 0, 0, 1, &byte), -ENOENT, "the first gref beyond the table");
	is(copy_one(UINT32_MAX, 0, 0, 1, &byte), -ENOENT, "the last number");
	is(copy_one(0, 0, 0, 1, &byte), -ENOENT, "a reserved one");
	is(copy_one(GREF + 1, 0, 4096, 1, &byte), -ERANGE, "one byte beyond the page");
	is(copy_one(GREF + 1, 0, 1, 4096, &byte), -ERANGE, "crossing the page");
	is(copy_one(GREF + 1, 0, 65535, 65535, &byte), -ERANGE, "the largest numbers");
	is(fakehv_messages(&hv, NF_HV_MAP), 0, "none of them cost a message");
	is(copy_one(300, 0, 0, 1, &byte), 0, "reading what is read-only");
	is(copy_one(300, 1, 0, 1, &byte), -EACCES, "writing it");
	fakehv_entry(&hv, 300, NF_GTF_permit_access, FAKEHV_SELF, ro * 4096);
	is(copy_one(300, 1, 0, 1, &byte), -EACCES, "writing it after its entry was forged");
	stop();
}

static void test_bad_neighbour(void)
{
	struct nf_grant_copy ops[3];
	uint8_t local[3] = {0};

	if (!start())
		return;
	uint32_t a = fakehv_grant(&hv, GREF, 3, false);
	hv.peer_grefs[GREF + 1].valid = false; /* forged: permitted in the table only */
	for (uint32_t i = 0; i < 3; i++) {
		ops[i] = (struct nf_grant_copy){
			.peer = FAKEHV_PEER, .gref = GREF + i, .bytes = 1, .local = &local[i]};
		hv.arenas[a].base[i * NF_PAGE_BYTES] = (uint8_t)(i + 1);
	}
	is(layer->ops->copy(layer, ops, 3), 0, "a batch with one forged gref");
	is(ops[1].status, -ENOENT, "it fails");
	is(ops[0].status + ops[2].status, 0, "its neighbours do not");
	is(local[0] + local[2], 4, "and carry their bytes");
	stop();
}

/* A peer that forges may cost the hypervisor a few messages, not one a packet. */
static void test_credit(void)
{
	uint8_t byte;
	int refused = 0;

	if (!start())
		return;
	fakehv_entry(&hv, GREF, NF_GTF_permit_access, FAKEHV_SELF, 1);
	for (int i = 0; i < 2000; i++)
		refused += copy_one(GREF, 0, 0, 1, &byte) < 0;
	is(refused, 2000, "a grant that is in the table only is refused");
	ok(fakehv_messages(&hv, NF_HV_MAP) < 100, "at %u messages for 2000 attempts",
	   fakehv_messages(&hv, NF_HV_MAP));
	usleep(50000);
	fakehv_grant(&hv, GREF, 1, false);
	is(copy_one(GREF, 0, 0, 1, &byte), 0, "a real grant later works");
	uint32_t before = messages();
	for (uint32_t i = 0; i < 2000; i++) {
		fakehv_entry(&hv, GREF, NF_GTF_permit_access, FAKEHV_SELF, i);
		copy_one(GREF, 0, 0, 1, &byte);
	}
	ok(messages() - before < 300, "frames that change all the time: %u messages",
	   messages() - before);
	stop();
}

static void test_stale(void)
{
	uint8_t byte = 0;
	uint32_t own = 500;
	void *addr;
	struct nf_mapping m;

	if (!start())
		return;
	uint32_t a = fakehv_grant(&hv, GREF, 1, false);
	hv.arenas[a].base[0] = 1;
	is(copy_one(GREF, 0, 0, 1, &byte), 0, "copy");
	fakehv_revoke(&hv, a);
	is(copy_one(GREF, 0, 0, 1, &byte), -ENOENT, "a revoked grant");
	uint32_t b = fakehv_grant(&hv, GREF, 1, false);
	hv.arenas[b].base[0] = 2;
	is(copy_one(GREF, 0, 0, 1, &byte), 0, "the number granted anew");
	is(byte, 2, "is the new page");
	is(fakehv_mapped(&hv), 1, "and the old one is not kept");
	fakehv_grant(&hv, own, 1, false);
	is(layer->ops->map(layer, FAKEHV_PEER, &own, 1, false, &addr, &m), 0, "map a ring");
	is(layer->ops->unmap(layer, &m), 0, "unmap it, as at a disconnect");
	is(fakehv_mapped(&hv), 0, "gives the copied pages back too");
	is(copy_one(GREF, 0, 0, 1, &byte), 0, "which are found again");
	stop();
}

struct copier {
	pthread_t thread;
	atomic_bool *stop;
	uint32_t gref;
	uint64_t rounds, wrong;
};

/* Each copier owns one half of each page, so that the copies themselves do not race. */
static void *copier_main(void *arg)
{
	struct copier *c = arg;
	uint8_t out[16], in[16];

	while (!atomic_load(c->stop)) {
		struct nf_grant_copy ops[2] = {
			{.peer = FAKEHV_PEER,
			 .gref = c->gref,
			 .to_peer = 1,
			 .bytes = 16,
			 .local = out},
			{.peer = FAKEHV_PEER, .gref = c->gref, .bytes = 16, .local = in},
		};
		memset(out, (int)(c->rounds & 0xff), sizeof(out));
		layer->ops->copy(layer, ops, 2);
		c->wrong += ops[0].status != 0 || ops[1].status != 0 ||
			    memcmp(in, out, sizeof(in)) != 0;
		c->rounds++;
	}
	return NULL;
}

static void test_threads(void)
{
	atomic_bool stop_now = false;
	struct copier c[2];
	uint32_t own = 500, cycles = 0, failed = 0;
	struct timespec t0, t;

	if (!start())
		return;
	fakehv_grant(&hv, GREF, 2, false);
	fakehv_grant(&hv, own, 1, false);
	for (uint32_t i = 0; i < 2; i++) {
		c[i] = (struct copier){.stop = &stop_now, .gref = GREF + i};
		pthread_create(&c[i].thread, NULL, copier_main, &c[i]);
	}
	clock_gettime(CLOCK_MONOTONIC, &t0);
	do {
		void *addr;
		struct nf_mapping m;
		struct nf_chan ch;

		failed += layer->ops->map(layer, FAKEHV_PEER, &own, 1, false, &addr, &m) != 0 ||
			  layer->ops->unmap(layer, &m) != 0;
		failed += layer->ops->alloc_chan(layer, FAKEHV_PEER, 0, 0, NF_PURPOSE_CHAN, &ch) !=
			  0;
		layer->ops->chan_close(&ch);
		cycles++;
		clock_gettime(CLOCK_MONOTONIC, &t);
	} while ((t.tv_sec - t0.tv_sec) * 1000 + (t.tv_nsec - t0.tv_nsec) / 1000000 < 400);
	atomic_store(&stop_now, true);
	for (int i = 0; i < 2; i++)
		pthread_join(c[i].thread, NULL);
	diag("%u control cycles, %llu and %llu copies", cycles, (unsigned long long)c[0].rounds,
	     (unsigned long long)c[1].rounds);
	ok(cycles > 10 && c[0].rounds > 10 && c[1].rounds > 10, "all three made progress");
	is(failed, 0, "no control operation failed");
	is(c[0].wrong + c[1].wrong, 0, "no copy failed or was wrong");
	stop();
}

int main(void)
{
	int before = fakehv_open_fds(NULL);

	test_steady();
	test_order();
	test_refused();
	test_bad_neighbour();
	test_credit();
	test_stale();
	test_threads();
	is(fakehv_open_fds(NULL), before, "no descriptor is left");
	return done();
}
