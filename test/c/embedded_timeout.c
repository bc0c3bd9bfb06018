/* SPDX-License-Identifier: MIT */
/* A hypervisor that stops answering and comes back: the late answer belongs to nobody. */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "fakehv.h"
#include "tap.h"

int main(void)
{
	static struct fakehv hv;
	static const struct nf_arena_key key = {.peer = 9, .purpose = NF_PURPOSE_OTHER};
	struct nf_arena a;
	uint32_t gref;
	int before = fakehv_open_fds(NULL), rc;
	struct timespec t0, t1;

	if (!fakehv_start(&hv))
		skip_all("no memfd or socket pair");
	struct nf_layer *l = fakehv_open(&hv, &rc);
	if (!ok(l != NULL, "open"))
		return done();
	fakehv_arm(&hv, FAKEHV_SILENT, NF_HV_ALLOC, 0);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	is(l->ops->alloc(l, &key, 1, 0, &gref, &a), -ETIMEDOUT, "no answer in time");
	clock_gettime(CLOCK_MONOTONIC, &t1);
	int64_t ms = (t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000;
	ok(ms >= NF_LAYER_TIMEOUT_MS - 1 && ms < NF_LAYER_TIMEOUT_MS + 2000, "after %lld ms",
	   (long long)ms);
	fakehv_late(&hv);
	is(l->ops->alloc(l, &key, 1, 0, &gref, &a), 0, "the next request gets its own answer");
	is(gref, NF_GREF_RESERVED + 1, "and not the late one's");
	is(l->ops->end(l, &a), 0, "end");
	l->ops->close(l);
	fakehv_stop(&hv);
	is(fakehv_open_fds(NULL), before, "the late answer's descriptor was closed");
	return done();
}
