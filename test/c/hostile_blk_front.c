/* SPDX-License-Identifier: MIT */
/* A hostile back against blkfront: groups 1 to 4, 12 to 14 and 17. */
#include "tap.h"

#include "../peer/blkhostile.h"

static struct blkscene s;
static uint8_t data[65536];
static struct iovec vec = {.iov_base = data, .iov_len = sizeof(data)};
static struct nf_blkreq req;

/* Connected, with one request of 16 segments on the ring. */
static void begin(const char *what)
{
	const struct blkhostile_options opt = {.registered = true};
	if (!ok(blkscene_back(&s, &opt, NULL), "%s: connected", what))
		diag("%s", s.why);
	req = (struct nf_blkreq){
		.op = NF_BLKOP_READ, .sector = 0, .sectors = 128, .segs = &vec, .nsegs = 1};
	blkrig_post(&s.b, s.real, 0, &req, 1);
	for (int i = 0; i < 25000 && nf_load_acquire(&s.h.shared->req_prod) == 0; i++)
		blkrig_linger(&s.b, 1);
	is(nf_load_acquire(&s.h.shared->req_prod), 1, "%s: one request", what);
}

static uint64_t first_id(void)
{
	union nf_blk_slot slot = {0};
	nf__blk_slot_load(0, bh_slot(&s.h, 0), &slot);
	return slot.rw.id;
}

static void refused(const char *text, const char *what)
{
	bh_push(&s.h);
	if (!ok(blkscene_refused(&s, text), "%s: the device is stopped", what))
		diag("%s", s.why);
	is(blkrig_result(s.real, 0, &req), 1, "%s: the request waits for a better back", what);
	if (!ok(blkscene_end(&s, false), "%s: nothing is left", what))
		diag("%s", s.why);
}

static void responses(void)
{
	static const uint32_t jumps[] = {2, 33, 0x80000000u, 0xffffffffu};
	for (int i = 0; i < 4; i++) {
		begin("rsp_prod");
		s.h.prod = jumps[i];
		refused("rsp_prod", "rsp_prod");
	}
	begin("unknown id");
	bh_rsp(&s.h, 12345678901ull, NF_BLK_READ, 0);
	refused("response id", "unknown id");
	begin("not in flight");
	bh_rsp(&s.h, first_id() ^ 1, NF_BLK_READ, 0);
	refused("not in flight", "not in flight");
	begin("another operation");
	bh_rsp(&s.h, first_id(), NF_BLK_WRITE, 0);
	refused("response operation", "another operation");
}

static void duplicate(void)
{
	struct nf_blkreq more[2];
	begin("answered twice");
	uint64_t id = first_id();
	for (int i = 0; i < 2; i++)
		more[i] = req;
	blkrig_post(&s.b, s.real, 0, more, 2);
	for (int i = 0; i < 5000 && nf_load_acquire(&s.h.shared->req_prod) < 3; i++)
		blkrig_linger(&s.b, 1);
	bh_rsp(&s.h, id, NF_BLK_READ, 0);
	bh_rsp(&s.h, id, NF_BLK_READ, 0);
	bh_push(&s.h);
	if (!ok(blkscene_refused(&s, "not in flight"), "answered twice: the device is stopped"))
		diag("%s", s.why);
	ok(blkscene_end(&s, false), "answered twice: nothing is left");
}

static void statuses(void)
{
	static const struct {
		int16_t status;
		int want;
	} list[] = {{0, 0}, {-1, -EIO}, {-2, -EOPNOTSUPP}, {1, -EIO}, {-3, -EIO}, {-32768, -EIO}};
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		begin("status");
		bh_rsp(&s.h, first_id(), NF_BLK_READ, list[i].status);
		bh_push(&s.h);
		is(blkrig_wait(&s.b, s.real, 0, &req, 1, 5000), 0, "answered");
		is(blkrig_result(s.real, 0, &req), list[i].want, "status %d", list[i].status);
		if (!ok(blkscene_survived(&s), "it goes on"))
			diag("%s", s.why);
		if (!ok(blkscene_end(&s, false), "nothing is left"))
			diag("%s", s.why);
	}
}

static bool until_asked(uint32_t count)
{
	for (int i = 0; i < 25000 && nf_load_acquire(&s.h.shared->req_prod) != count &&
			blkrig_phase(s.real) == NF_BLK_RUNNING;
	     i++)
		blkrig_linger(&s.b, 1);
	return nf_load_acquire(&s.h.shared->req_prod) == count;
}

static uint64_t id_at(uint32_t idx)
{
	union nf_blk_slot slot = {0};
	nf__blk_slot_load(0, bh_slot(&s.h, idx), &slot);
	return slot.rw.id;
}

/* 2, 13: event indices anywhere, notifications of nothing; every answer is found all the same. */
static void events(void)
{
	static const uint32_t lies[] = {0, 1, 0x7fffffff, 0x80000000u, 0xffffffffu};
	bool good = true;
	begin("events");
	for (uint32_t i = 0; i < 100 && good; i++) {
		nf_store_relaxed(&s.h.shared->req_event, lies[i % 5]);
		nf_store_relaxed(&s.h.shared->rsp_event, lies[(i + 2) % 5]);
		for (uint32_t k = 0; k < 200; k++)
			bh_kick(&s.h);
		bh_rsp(&s.h, id_at(i), NF_BLK_READ, 0);
		bh_push(&s.h);
		good = blkrig_wait(&s.b, s.real, 0, &req, 1, 5000) == 0;
		blkrig_post(&s.b, s.real, 0, &req, 1);
		good = good && until_asked(i + 2);
	}
	ok(good, "events: a hundred requests asked and answered");
	ok(blkscene_survived(&s), "events: it goes on");
	ok(blkscene_end(&s, false), "events: nothing is left");
}

static uint32_t race_stop;

static void *race(void *arg)
{
	uint32_t x = 1;
	(void)arg;
	while (!nf_load_acquire(&race_stop)) {
		x = x * 1664525u + 1013904223u;
		uint32_t *shared = bh_slot(&s.h, x >> 20);
		nf_store_relaxed(&shared[x >> 16 & 3], x >> 8 & 31);
	}
	return NULL;
}

/* 3: responses that change while they are read. It believes what it read first, or stops. */
static void double_fetch(void)
{
	pthread_t thread;
	begin("double fetch");
	nf_store_release(&race_stop, 0);
	pthread_create(&thread, NULL, race, NULL);
	for (uint32_t i = 0; i < 200 && blkrig_phase(s.real) == NF_BLK_RUNNING; i++) {
		bh_rsp(&s.h, id_at(i), NF_BLK_READ, 0);
		bh_push(&s.h);
		for (int k = 0; k < 20 && blkrig_result(s.real, 0, &req) == 1; k++)
			blkrig_linger(&s.b, 1);
		if (blkrig_result(s.real, 0, &req) == 1)
			break; /* what was read is nobody's answer, and was told so */
		blkrig_post(&s.b, s.real, 0, &req, 1);
		(void)until_asked(i + 2);
	}
	nf_store_release(&race_stop, 1);
	pthread_join(thread, NULL);
	int phase = blkrig_phase(s.real);
	ok(phase == NF_BLK_FAILED || phase == NF_BLK_RUNNING, "double fetch: phase %d", phase);
	uint8_t page[4096] = {1};
	is(blkrig_do(&s.b, s.bystander.front, NF_BLKOP_WRITE, 0, page, sizeof(page)), 0,
	   "double fetch: the bystander goes on");
	ok(blkscene_end(&s, false), "double fetch: nothing is left");
}

/* 12: what the back says of its disk. */
static void keys(void)
{
	static const struct {
		const char *key, *value;
	} lies[] = {{"sectors", "0"},
		    {"sectors", "-1"},
		    {"sectors", "18446744073709551616"},
		    {"sectors", "99999999999999999999999999999999999"},
		    {"sectors", "many"},
		    {"sector-size", "0"},
		    {"sector-size", "1000"},
		    {"sector-size", "8192"},
		    {"info", "x"},
		    {"feature-discard", "2"},
		    {"feature-max-indirect-segments", "4294967296"},
		    {"physical-sector-size", ""}};
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		const struct blkhostile_options opt = {.registered = true};
		ok(blkscene_back(&s, &opt, NULL), "%s: connected", lies[i].key);
		/* the front looks again at every change of state */
		bh_key(&s.h, lies[i].key, "%s", lies[i].value);
		bh_state(&s.h, NF_XENBUS_CONNECTED);
		if (!ok(blkscene_refused(&s, lies[i].key), "%s = '%s'", lies[i].key, lies[i].value))
			diag("%s", s.why);
		ok(blkscene_end(&s, i & 1), "nothing is left");
	}
}

static void offers(void)
{
	static const struct {
		const char *key, *value;
	} lies[] = {{"max-ring-page-order", "17"},
		    {"max-ring-pages", "3"},
		    {"max-ring-pages", "-4"},
		    {"multi-queue-max-queues", "0"},
		    {"multi-queue-max-queues", "1e3"},
		    {"feature-persistent", "yes"},
		    {"feature-nestfront-registered", "9"}};
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		int rc = 0;
		mem_vbd_create(&s.v, s.r.w, 2, 3, 0);
		bh_back_open(&s.h, &s.b, 3, 2, 0, NULL);
		bh_key(&s.h, lies[i].key, "%s", lies[i].value);
		s.real = blkrig_front(&s.b, &s.v, NULL, &rc);
		if (!ok(blkscene_refused(&s, lies[i].key), "%s = '%s'", lies[i].key, lies[i].value))
			diag("%s", s.why);
		ok(blkscene_end(&s, i & 1), "nothing is left");
	}
}

/* Linux' back looks for the front's feature-persistent before it offers its own. */
static void late_offer(void)
{
	const struct blkhostile_options opt = {.persistent_late = true};
	if (!ok(blkscene_back(&s, &opt, NULL), "a back that offers when it is Connected"))
		diag("%s", s.why);
	is(nf_blkfront_grants(s.real->front), NF_BLK_GRANTS_PERSISTENT, "is taken at its word");
	ok(blkscene_survived(&s), "and the device runs");
	ok(blkscene_end(&s, false), "nothing is left");
}

/* 14, 17: it dies, or keeps what it maps. */
static void deaths(void)
{
	begin("the back dies");
	bh_close(&s.h);
	blkrig_linger(&s.b, 400);
	is(blkrig_result(s.real, 0, &req), 1, "the request waits");
	ok(blkscene_end(&s, true), "nothing is left");
	begin("the back keeps the ring");
	bh_state(&s.h, NF_XENBUS_CLOSED);
	is(blkrig_until_phase(&s.b, s.real, NF_BLK_CLOSED, 5000), 0, "the front closes");
	ok(mem_world_quarantine(s.r.w, 3) > 0, "what it maps is in quarantine");
	ok(blkscene_end(&s, false), "and goes when it lets go");
}

int main(void)
{
	if (!ok(blkscene_open(&s, NF_POLL_ADAPTIVE), "the scene"))
		diag("%s", s.why);
	responses();
	duplicate();
	statuses();
	events();
	double_fetch();
	keys();
	offers();
	late_offer();
	deaths();
	blkscene_close(&s);
	return done();
}
