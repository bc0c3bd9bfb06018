/* SPDX-License-Identifier: MIT */
/* A store server that stops answering, and comes back. */
#include <time.h>

#include "nf/layer.h"
#include "xs_wire.h"

int main(void)
{
	struct wire w;
	struct timespec t0, t1;
	char buf[8];

	if (!wire_open(&w))
		return done();
	clock_gettime(CLOCK_MONOTONIC, &t0);
	is(nf_store_read(w.s, 0, "x", buf, sizeof(buf)), -ETIMEDOUT, "no answer in time");
	clock_gettime(CLOCK_MONOTONIC, &t1);
	int64_t ms = (t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000;
	ok(ms >= NF_LAYER_TIMEOUT_MS - 1 && ms < NF_LAYER_TIMEOUT_MS + 2000, "after %lld ms",
	   (long long)ms);
	put(&w, NF_XS_READ, 1, "old", 3);
	put(&w, NF_XS_READ, 2, "new", 3);
	is(nf_store_read(w.s, 0, "y", buf, sizeof(buf)), 3, "the next request");
	is_str(buf, "new", "gets its own answer, not the late one");
	put(&w, NF_XS_READ, 2, "new", 3);
	put(&w, NF_XS_READ, 3, "own", 3);
	is(nf_store_read(w.s, 0, "z", buf, sizeof(buf)), 3, "the last answer given twice");
	is_str(buf, "own", "as a store that was restarted may, is dropped");
	put(&w, NF_XS_READ, 1, "old", 3);
	is(nf_store_read(w.s, 0, "z", buf, sizeof(buf)), -EPROTO, "an older one is nonsense");
	wire_close(&w);
	return done();
}
