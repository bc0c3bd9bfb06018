/* SPDX-License-Identifier: MIT */
/* A call runs in the poller's thread between two rounds, whether that is asleep, busy or parked. */
#include "nf/atomics.h"
#include "nf/poll.h"
#include "tap.h"

#include <pthread.h>

struct place { /* an item whose word is the poller's, without an atomic */
	struct nf_poll_item item;
	uint64_t word;
	pthread_t by;
};

static int place_run(struct nf_poll_item *item)
{
	struct place *p = (struct place *)item;
	p->word += 2;
	return 0;
}

static int place_arm(struct nf_poll_item *item)
{
	(void)item;
	return 0;
}

static int place_fds(struct nf_poll_item *item, int *fds, int cap)
{
	(void)item, (void)fds, (void)cap;
	return 0;
}

static const struct nf_poll_item_ops ops = {.run = place_run, .arm = place_arm, .fds = place_fds};

static int visit(void *ctx)
{
	struct place *p = ctx;
	p->by = pthread_self();
	p->word += 1ull << 40;
	return (int)(p->word >> 40);
}

static void calls(enum nf_poll_mode mode, bool is_parked, const char *name)
{
	struct nf_control_page page = {.park = is_parked};
	const struct nf_poller_config cfg = {.mode = mode, .cpu = -1, .yield = 1, .control = &page};
	struct place p = {.item.ops = &ops};
	struct nf_poller *poller = NULL;
	is(nf_poller_call(NULL, visit, &p), 1, "%s: without a poller it runs right here", name);
	ok(pthread_equal(p.by, pthread_self()), "%s: in this thread", name);
	is(nf_poller_start(&cfg, &poller), 0, "%s: a poller", name);
	is(nf_poller_call(poller, visit, &p), 2, "%s: a call while it has nothing", name);
	is(nf_poller_attach(poller, &p.item), 0, "%s: an item", name);
	int good = 2;
	for (int i = 0; i < 200; i++)
		good += nf_poller_call(poller, visit, &p) == good + 1;
	is(good, 202, "%s: each call ran once, and what it returned came back", name);
	nf_poller_detach(&p.item);
	ok(!pthread_equal(p.by, pthread_self()), "%s: in the poller's thread", name);
	nf_poller_stop(poller);
}

int main(void)
{
	calls(NF_POLL_BUSY, false, "busy");
	calls(NF_POLL_ADAPTIVE, false, "adaptive");
	calls(NF_POLL_EVENT, false, "event");
	calls(NF_POLL_EVENT, true, "parked");
	return done();
}
