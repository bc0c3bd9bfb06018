/* SPDX-License-Identifier: MIT */
/* Negotiation: what each end offers, wants and writes, and that traffic flows with every outcome.
 */
#include "../peer/rig.h"
#include "tap.h"

static const struct nf_net_features everything = {.sg = 1,
						  .gso4 = 1,
						  .gso6 = 1,
						  .csum4 = 1,
						  .csum6 = 1,
						  .split = 1,
						  .ctrl = 1,
						  .static_only = 1,
						  .queues = NF_NET_QUEUES_MAX,
						  .mtu = 65521};

/* Turns until both run, doing a relay's part for a held back. */
static bool connect_held(struct rig_end *front, struct rig_end *back,
			 const struct nf_net_features *limit)
{
	for (int i = 0; i < 5000; i++) {
		rig_linger(front->d->rig, 0);
		if (rig_phase(back) == NF_NET_OFFERING)
			nf_netback_offer(back->back, limit);
		else if (rig_phase(back) == NF_NET_MAPPED)
			nf_netback_accept(back->back);
		else if (rig_phase(back) == NF_NET_RUNNING && rig_phase(front) == NF_NET_RUNNING)
			return true;
	}
	diag("front %d: %s", rig_phase(front), front->notice);
	diag("back %d: %s", rig_phase(back), back->notice);
	return false;
}

static bool key_is(const struct mem_vif *v, bool back, const char *key, const char *want)
{
	char path[128], value[64] = "";
	snprintf(path, sizeof(path), "%s/%s", back ? v->back_path : v->front_path, key);
	int rc = mem_store_read(v->w, path, value, sizeof(value));
	bool same = want ? rc >= 0 && strcmp(value, want) == 0 : rc == -ENOENT;
	if (!same)
		diag("%s is \"%s\" (%d), want \"%s\"", path, value, rc, want ? want : "nothing");
	return same;
}

static bool key_exists(const struct mem_vif *v, const char *key)
{
	char path[128], value[64];
	snprintf(path, sizeof(path), "%s/%s", v->front_path, key);
	return mem_store_read(v->w, path, value, sizeof(value)) > 0;
}

static bool same_features(const struct nf_net_features *a, const struct nf_net_features *b)
{
	return a->sg == b->sg && a->gso4 == b->gso4 && a->gso6 == b->gso6 && a->csum4 == b->csum4 &&
	       a->csum6 == b->csum6 && a->split == b->split && a->ctrl == b->ctrl &&
	       a->static_only == b->static_only;
}

/* Keys of the rings are where netif.h wants them for that many queues. */
static bool ring_keys(const struct mem_vif *v, uint32_t queues, bool split)
{
	bool good = key_exists(v, "tx-ring-ref") == (queues == 1) &&
		    key_exists(v, "event-channel") == (queues == 1 && !split) &&
		    key_exists(v, "event-channel-tx") == (queues == 1 && split);
	char num[8];
	snprintf(num, sizeof(num), "%u", queues);
	good = good && key_is(v, false, "multi-queue-num-queues", queues > 1 ? num : NULL);
	for (uint32_t i = 0; i < NF_NET_QUEUES_MAX; i++) {
		static const char *const keys[] = {"tx-ring-ref", "rx-ring-ref", "event-channel",
						   "event-channel-tx", "event-channel-rx"};
		for (int k = 0; k < 5; k++) {
			char key[48];
			snprintf(key, sizeof(key), "queue-%u/%s", i, keys[k]);
			bool want = queues > 1 && i < queues && (k < 2 || split == (k > 2));
			if (key_exists(v, key) != want) {
				diag("%s: there is %d", key, !want);
				good = false;
			}
		}
	}
	return good;
}

struct matrix_case {
	uint32_t offered, wanted;
	bool split, is_static;
	uint8_t features; /* bits: sg, gso4, gso6, csum4, csum6 */
};

static void matrix_one(struct rig *r, const struct matrix_case *c)
{
	struct mem_vif v;
	struct rig_options fo = {.queues = c->wanted};
	struct rig_options bo = {.queues = c->offered,
				 .grants = c->is_static ? NF_NET_GRANTS_STATIC
							: NF_NET_GRANTS_COPY};
	struct nf_net_features limit = everything;
	limit.split = c->split;
	limit.sg = c->features & 1;
	limit.gso4 = (c->features >> 1) & 1;
	limit.gso6 = (c->features >> 2) & 1;
	limit.csum4 = (c->features >> 3) & 1;
	limit.csum6 = (c->features >> 4) & 1;
	mem_vif_create(&v, r->w, 1, 0, 0, NULL);
	struct rig_pair p = {.v = v};
	p.back = rig_back(r, &v, &bo, NULL);
	p.front = rig_front(r, &v, &fo, NULL);
	nf_netback_hold(p.back->back, true, true);
	bool up = connect_held(p.front, p.back, &limit);
	uint32_t queues = c->offered < c->wanted ? c->offered : c->wanted;
	enum nf_net_grants grants = c->is_static ? NF_NET_GRANTS_STATIC : NF_NET_GRANTS_COPY;
	bool good = up && nf_netfront_queues(p.front->front) == queues &&
		    nf_netback_queues(p.back->back) == queues &&
		    nf_netfront_grants(p.front->front) == grants &&
		    same_features(nf_netfront_agreed(p.front->front),
				  nf_netback_agreed(p.back->back)) &&
		    nf_netfront_agreed(p.front->front)->gso4 == limit.gso4 &&
		    nf_netfront_agreed(p.front->front)->csum6 == limit.csum6 &&
		    ring_keys(&v, queues, c->split) && rig_pair_moves(&p, 200, 5000);
	if (good && c->is_static)
		good = rig_counter(p.back, NF_COUNTER_grant_copies) == 0 &&
		       rig_counter(p.back, NF_COUNTER_grant_maps) == 512ull * queues;
	ok(good, "%u of %u queues, %s, %s, features %02x", c->wanted, c->offered,
	   c->split ? "split" : "one channel", c->is_static ? "static" : "copied", c->features);
	rig_pair_close(&p);
}

static void matrix(struct rig *r)
{
	static const uint32_t pairs[][2] = {{1, 1}, {2, 2}, {8, 8}, {4, 2}, {1, 4}, {3, 8}};
	for (size_t q = 0; q < sizeof(pairs) / sizeof(pairs[0]); q++) {
		for (int bits = 0; bits < 4; bits++) {
			struct matrix_case c = {.offered = pairs[q][0],
						.wanted = pairs[q][1],
						.split = bits & 1,
						.is_static = bits & 2,
						.features = 31};
			matrix_one(r, &c);
		}
	}
	for (uint8_t f = 0; f < 31; f = (uint8_t)(f * 2 + 1)) {
		struct matrix_case c = {1, 1, true, true, f};
		matrix_one(r, &c);
	}
}

/* The offer's keys as Linux's netfront reads them. */
static void offer_keys(struct rig *r)
{
	struct rig_pair p;
	is(rig_pair_open(&p, r, 1, 0, 0, NULL), 0, "two ends connect");
	static const char *const back[][2] = {{"feature-rx-copy", "1"},
					      {"feature-rx-flip", "0"},
					      {"feature-sg", "1"},
					      {"feature-gso-tcpv4", "1"},
					      {"feature-gso-tcpv6", "1"},
					      {"feature-ipv6-csum-offload", "1"},
					      {"feature-no-csum-offload", "0"},
					      {"feature-split-event-channels", "1"},
					      {"feature-ctrl-ring", "1"},
					      {"multi-queue-max-queues", "1"},
					      {"state", "4"}};
	static const char *const front[][2] = {{"request-rx-copy", "1"},
					       {"feature-rx-notify", "1"},
					       {"feature-sg", "1"},
					       {"feature-gso-tcpv4", "1"},
					       {"feature-gso-tcpv6", "1"},
					       {"feature-ipv6-csum-offload", "1"},
					       {"feature-no-csum-offload", "0"},
					       {"state", "4"}};
	for (size_t i = 0; i < sizeof(back) / sizeof(back[0]); i++)
		ok(key_is(&p.v, true, back[i][0], back[i][1]), "the back writes %s = %s",
		   back[i][0], back[i][1]);
	for (size_t i = 0; i < sizeof(front) / sizeof(front[0]); i++)
		ok(key_is(&p.v, false, front[i][0], front[i][1]), "the front writes %s = %s",
		   front[i][0], front[i][1]);
	ok(key_exists(&p.v, "ctrl-ring-ref") && key_exists(&p.v, "event-channel-ctrl"),
	   "and its control ring");
	rig_pair_close(&p);
}

static void static_only(struct rig *r)
{
	struct rig_options only = {.static_only = true}, copy = {.grants = NF_NET_GRANTS_COPY};
	struct rig_pair p;
	is(rig_pair_open(&p, r, 1, 0, 0, &only), 0, "static only on both ends");
	ok(nf_netback_agreed(p.back->back)->static_only, "is agreed");
	ok(rig_pair_moves(&p, 1000, 5000), "and works");
	rig_pair_close(&p);
	mem_vif_create(&p.v, r->w, 1, 0, 0, NULL);
	p.back = rig_back(r, &p.v, &copy, NULL);
	p.front = rig_front(r, &p.v, &only, NULL);
	is(rig_until_phase(p.front, NF_NET_FAILED, 2000), 0,
	   "a front that demands it of a back without stops");
	ok(strstr(p.front->notice, "static grants only") != NULL, "saying why");
	rig_pair_close(&p);
}

/* Every frame size over a connected device, in both directions at once. */
static void traffic(struct rig *r)
{
	static const uint32_t bytes[] = {60, 1514, 4096, 9018, 65226, 65535};
	for (int copied = 0; copied < 2; copied++) {
		struct rig_options o = {.grants = copied ? NF_NET_GRANTS_COPY
							 : NF_NET_GRANTS_STATIC};
		struct rig_pair p;
		rig_pair_open(&p, r, 1, 0, 0, &o);
		uint64_t want = 0;
		for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
			/* the size is told before the frames: a port's buffers are of that size */
			rig_generate(p.front, NF_GEN_IDLE, bytes[i], 0);
			rig_generate(p.back, NF_GEN_IDLE, bytes[i], 0);
			rig_generate(p.front, NF_GEN_SEND, bytes[i], 1000);
			rig_generate(p.back, NF_GEN_SEND, bytes[i], 1000);
			want += 1000;
			bool up = !rig_until_counter(p.back, NF_COUNTER_sink_packets, want, 5000);
			bool down = !rig_until_counter(p.front, NF_COUNTER_sink_packets, want,
						       5000);
			ok(up && down, "1,000 frames of %u bytes each way, %s", bytes[i],
			   copied ? "copied" : "static");
		}
		is(rig_counter(p.back, NF_COUNTER_sink_corrupted) +
			   rig_counter(p.back, NF_COUNTER_sink_lost) +
			   rig_counter(p.front, NF_COUNTER_sink_corrupted) +
			   rig_counter(p.front, NF_COUNTER_sink_lost),
		   0, "none lost or damaged");
		rig_pair_close(&p);
	}
}

int main(void)
{
	static const enum nf_poll_mode modes[] = {NF_POLL_EVENT, NF_POLL_ADAPTIVE};
	for (int m = 0; m < 2; m++) {
		struct rig r;
		struct mem_baseline base;
		char why[256];
		rig_open(&r, modes[m]);
		rig_domain(&r, 0);
		rig_domain(&r, 1);
		mem_world_baseline(r.w, &base);
		if (m == 0) {
			matrix(&r);
			offer_keys(&r);
			static_only(&r);
		}
		traffic(&r);
		is(mem_world_settle(r.w, &base, 2000, why, sizeof(why)), 0, "nothing is left");
		rig_close(&r);
	}
	return done();
}
