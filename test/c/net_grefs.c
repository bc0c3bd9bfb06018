/* SPDX-License-Identifier: MIT */
/* The gref map against a plain list: small and large numbers, both accesses, its bounds. */
#include "net/net_internal.h"
#include "tap.h"

#define MODEL 4096u

struct entry {
	uint32_t gref;
	uint8_t *page;
	bool writable;
};

static uint64_t seed = 88172645463325252ull;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % below;
}

/* Numbers of both kinds, few enough to meet again. */
static uint32_t some_gref(void)
{
	uint32_t n = rnd(900);
	switch (rnd(3)) {
	case 0:
		return NF_GREF_RESERVED + n;
	case 1:
		return NF_GREF_DIRECT - 300 + n; /* around the border */
	default:
		return 0xfffffff0u - n * 4097u;
	}
}

static struct entry *model_find(struct entry *e, uint32_t count, uint32_t gref)
{
	for (uint32_t i = 0; i < count; i++)
		if (e[i].gref == gref)
			return &e[i];
	return NULL;
}

static bool agree(const struct nf_gref_map *m, struct entry *e, uint32_t count, uint32_t gref)
{
	const struct entry *w = model_find(e, count, gref);
	uint8_t *read = nf_gref_map_find(m, gref, false), *write = nf_gref_map_find(m, gref, true);
	int ro = nf_gref_map_index(m, gref, false), rw = nf_gref_map_index(m, gref, true);
	if (!w)
		return !read && !write && ro == -ENOENT && rw == -ENOENT;
	return read == w->page && write == (w->writable ? w->page : NULL) &&
	       (w->writable ? ro == -ENOENT && rw >= 0 : rw == -ENOENT && ro >= 0);
}

static void differential(struct nf_gref_map *m)
{
	static struct entry e[MODEL];
	uint32_t count = 0, of[2] = {0, 0}, wrong = 0;
	for (uint32_t i = 0; i < 400000; i++) {
		uint32_t gref = some_gref();
		struct entry *w = model_find(e, count, gref);
		bool writable = rnd(2);
		uint8_t *page = (uint8_t *)(uintptr_t)((uint64_t)(rnd(1u << 20) + 1) << 12);
		if (rnd(2)) {
			int want = w ? -EEXIST : of[writable] == NF_NET_PAGES ? -ENOSPC : 0;
			int rc = nf__gref_map_add(m, gref, page, writable);
			wrong += rc != want;
			if (rc == 0) {
				e[count++] = (struct entry){gref, page, writable};
				of[writable]++;
			}
		} else if (rnd(8) == 0) {
			int rc = nf__gref_map_move(m, gref, page);
			wrong += rc != (w ? 0 : -ENOENT);
			if (w)
				w->page = page;
		} else {
			int rc = nf__gref_map_del(m, gref);
			wrong += rc != (w ? 0 : -ENOENT);
			if (w) {
				of[w->writable]--;
				*w = e[--count];
			}
		}
		wrong += !agree(m, e, count, gref) || !agree(m, e, count, some_gref());
	}
	is(wrong, 0, "400,000 additions, moves and deletions agree with a list");
	for (uint32_t i = 0; i < count; i++)
		wrong += nf__gref_map_del(m, e[i].gref) != 0;
	is(wrong + m->count[0] + m->count[1], 0, "and leave an empty map");
}

static void positions(struct nf_gref_map *m)
{
	uint32_t wrong = 0;
	for (uint32_t i = 0; i < NF_NET_PAGES; i++) {
		wrong += nf__gref_map_add(m, 50 + i, NULL, false) != 0;
		wrong += nf__gref_map_add(m, 1u << 20 | i, NULL, true) != 0;
	}
	for (uint32_t i = 0; i < NF_NET_PAGES; i++)
		wrong += nf_gref_map_index(m, 50 + i, false) != (int)i ||
			 nf_gref_map_index(m, 1u << 20 | i, true) != (int)i;
	is(wrong, 0, "positions count each access in the order of adding");
	is(nf__gref_map_add(m, 9, NULL, false), -ENOSPC, "a 257th page is refused");
	is(nf__gref_map_del(m, 50 + 7), 0, "one goes");
	is(nf__gref_map_add(m, 9, NULL, false), 0, "another comes");
	is(nf_gref_map_index(m, 9, false), 7, "at its place");
	is(nf__gref_map_add(m, NF_GREF_NONE, NULL, true), -ENOSPC, "no gref is no gref");
	is(nf_gref_map_index(m, NF_GREF_NONE, true), -ENOENT, "and is not found");
}

int main(void)
{
	struct nf_gref_map *m;
	is(nf__gref_map_new(&m), 0, "a map");
	differential(m);
	positions(m);
	nf__gref_map_free(m);
	nf__gref_map_free(NULL);
	return done();
}
