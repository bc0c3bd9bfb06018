/* SPDX-License-Identifier: MIT */
/* A nested stack in one process. */
#include "relay_nest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void nest_open(struct nest *n, enum nf_poll_mode mode)
{
	memset(n, 0, sizeof(*n));
	rig_open(&n->outer, mode);
	rig_open(&n->inner, mode);
	rig_domain(&n->outer, 0);
	rig_domain(&n->outer, 1);
	rig_domain(&n->inner, 0);
	mem_world_gref_base(n->inner.w, 0, 5000);
}

void nest_close(struct nest *n)
{
	for (uint32_t i = 0; i < NEST_LINKS; i++)
		nest_unlink(&n->links[i]);
	rig_close(&n->inner);
	rig_close(&n->outer);
}

static void notice(void *ctx, const char *line)
{
	struct nest_link *l = ctx;
	size_t used = strlen(l->said);
	snprintf(l->notice, sizeof(l->notice), "%s", line);
	snprintf(l->said + used, sizeof(l->said) - used, "%s\n", line);
	if (getenv("NF_TEST_VERBOSE"))
		printf("# %s\n", line);
}

static struct nf_net_config end_config(struct nest_link *l, struct rig *r, uint16_t domid,
				       const char *path, const char *token)
{
	struct rig_domain *d = rig_domain(r, domid);
	return (struct nf_net_config){.layer = d->layer,
				      .store = d->store,
				      .poller = r->poller,
				      .counters = &d->counters,
				      .control = d->control,
				      .path = path,
				      .token = token,
				      .notice = notice,
				      .ctx = l};
}

int nest_relay(struct nest_link *l)
{
	const struct nest_options *o = &l->options;
	struct nest *n = l->n;
	snprintf(l->inner_path, sizeof(l->inner_path), "backend/vif/%u/%u", l->inner_vif.front,
		 l->inner_vif.devid);
	snprintf(l->outer_path, sizeof(l->outer_path), "device/vif/%u", l->outer_vif.devid);
	snprintf(l->tokens[0], sizeof(l->tokens[0]), "ri%u", l->index);
	snprintf(l->tokens[1], sizeof(l->tokens[1]), "ro%u", l->index);
	struct nf_relay_config cfg = {
		.inner = end_config(l, &n->inner, 0, l->inner_path, l->tokens[0]),
		.outer = end_config(l, &n->outer, 1, l->outer_path, l->tokens[1]),
		.mode = o->mode,
		.trust_inner = o->trust_inner,
	};
	cfg.inner.queues = cfg.outer.queues = o->queues ? o->queues : 1;
	cfg.inner.grants = o->inner_grants ? o->inner_grants : NF_NET_GRANTS_STATIC;
	cfg.outer.grants = NF_NET_GRANTS_STATIC;
	return nf_net_relay_open(&cfg, &l->relay);
}

struct nest_link *nest_link(struct nest *n, uint32_t index, const struct nest_options *o)
{
	struct nest_link *l = &n->links[index];
	*l = (struct nest_link){.n = n, .index = index, .queues = o->queues ? o->queues : 1};
	struct rig_options l0 = {.queues = o->queues,
				 .grants = o->l0_grants,
				 .static_only = o->mode == NF_RELAY_DIRECT && !o->l0_not_static};
	struct rig_options l2 = {.queues = o->queues};
	uint16_t l2_domid = (uint16_t)(2 + index);
	rig_domain(&n->inner, l2_domid);
	mem_world_gref_base(n->inner.w, l2_domid, 9000 + 1000 * index);
	if (mem_vif_create(&l->outer_vif, n->outer.w, 1, 0, (uint16_t)index, NULL) < 0 ||
	    mem_vif_create(&l->inner_vif, n->inner.w, l2_domid, 0, (uint16_t)(10 + index), NULL) <
		    0)
		return NULL;
	uint32_t bytes = o->frame_bytes ? o->frame_bytes : 60;
	rig_domain(&n->outer, 0)->control->dev[index].frame_bytes = bytes;
	rig_domain(&n->inner, l2_domid)->control->dev[10 + index].frame_bytes = bytes;
	if (!o->no_l0) {
		l->l0 = rig_back(&n->outer, &l->outer_vif, &l0, NULL);
		if (!l->l0)
			return NULL;
	}
	l->options = *o;
	int rc = nest_relay(l);
	if (rc < 0) {
		l->last = rc;
		return NULL;
	}
	if (!o->no_l2) {
		l->l2 = rig_front(&n->inner, &l->inner_vif, &l2, NULL);
		if (!l->l2)
			return NULL;
	}
	return l;
}

void nest_unlink(struct nest_link *l)
{
	if (!l->n)
		return;
	if (l->l2)
		rig_end_close(l->l2);
	nf_net_relay_close(l->relay);
	if (l->l0)
		rig_end_close(l->l0);
	mem_vif_remove(&l->inner_vif);
	mem_vif_remove(&l->outer_vif);
	*l = (struct nest_link){0};
}

void nest_turn(struct nest *n)
{
	rig_turn(&n->outer);
	for (uint32_t i = 0; i < NEST_LINKS; i++) {
		struct nest_link *l = &n->links[i];
		if (l->relay)
			l->last = nf_net_relay_step(l->relay);
	}
	rig_turn(&n->inner);
}

void nest_turn_cb(void *nest)
{
	nest_turn(nest);
}

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void round_of(struct nest *n)
{
	nest_turn(n);
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

void nest_linger(struct nest *n, unsigned ms)
{
	uint64_t end = now_ms() + ms;
	do
		round_of(n);
	while (now_ms() < end);
}

int nest_until(struct nest_link *l, int phase, unsigned ms)
{
	uint64_t end = now_ms() + ms;
	do {
		round_of(l->n);
		if (l->last == phase)
			return 0;
	} while (now_ms() < end);
	return -ETIMEDOUT;
}

int nest_until_end(struct nest *n, struct rig_end *e, int phase, unsigned ms)
{
	uint64_t end = now_ms() + ms;
	while (rig_phase(e) != phase) {
		if (now_ms() > end)
			return -ETIMEDOUT;
		round_of(n);
	}
	return 0;
}

int nest_connect(struct nest_link *l)
{
	int rc = nest_until(l, NF_NET_RUNNING, 5000);
	if (rc == 0 && l->l2)
		rc = nest_until_end(l->n, l->l2, NF_NET_RUNNING, 5000);
	if (rc == 0 && l->l0)
		rc = nest_until_end(l->n, l->l0, NF_NET_RUNNING, 5000);
	return rc;
}

static int until_counter(struct nest *n, struct rig_end *e, enum nf_counter c, uint64_t at_least,
			 unsigned ms)
{
	uint64_t end = now_ms() + ms;
	while (rig_counter(e, c) < at_least) {
		if (now_ms() > end)
			return -ETIMEDOUT;
		round_of(n);
	}
	return 0;
}

static uint64_t harm(const struct nest_link *l, const struct rig_end *e)
{
	uint64_t sum = rig_counter(e, NF_COUNTER_sink_corrupted);
	if (!l->is_restarted)
		sum += rig_counter(e, NF_COUNTER_sink_lost) +
		       rig_counter(e, NF_COUNTER_sink_duplicated) +
		       rig_counter(e, NF_COUNTER_sink_reordered);
	return sum;
}

bool nest_moves(struct nest_link *l, uint32_t bytes, uint32_t frames, unsigned ms)
{
	uint64_t up = rig_counter(l->l0, NF_COUNTER_sink_packets);
	uint64_t down = rig_counter(l->l2, NF_COUNTER_sink_packets);
	/* what a death left in flight is lost: before this, not now */
	uint64_t hurt = harm(l, l->l0) + harm(l, l->l2);
	rig_generate(l->l2, NF_GEN_SEND, bytes, frames);
	rig_generate(l->l0, NF_GEN_SEND, bytes, frames);
	frames *= l->queues;
	int rc = until_counter(l->n, l->l0, NF_COUNTER_sink_packets, up + frames, ms);
	if (rc == 0)
		rc = until_counter(l->n, l->l2, NF_COUNTER_sink_packets, down + frames, ms);
	if (rc < 0)
		printf("# up %llu of %llu, down %llu of %llu\n",
		       (unsigned long long)(rig_counter(l->l0, NF_COUNTER_sink_packets) - up),
		       (unsigned long long)frames,
		       (unsigned long long)(rig_counter(l->l2, NF_COUNTER_sink_packets) - down),
		       (unsigned long long)frames);
	return rc == 0 && harm(l, l->l0) + harm(l, l->l2) == hurt;
}

const struct nf_counters *nest_block(const struct nest_link *l, uint32_t queue)
{
	const struct nf_counters_map *m = &rig_domain(&l->n->inner, 0)->counters;
	for (uint32_t i = 0; i < m->count; i++) {
		const struct nf_counters *b = &m->blocks[i];
		if (b->h.kind == NF_BLOCK_NETRELAY && b->h.devid == l->inner_vif.devid &&
		    b->h.peer == l->inner_vif.front && b->h.queue == queue)
			return b;
	}
	return NULL;
}

uint64_t nest_counter(const struct nest_link *l, enum nf_counter c)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < NF_NET_QUEUES_MAX; i++) {
		const struct nf_counters *b = nest_block(l, i);
		sum += b ? nf_load64(&b->words[c]) : 0;
	}
	return sum;
}

const char *nest_error(struct nest_link *l)
{
	static char text[NF_STORE_PAYLOAD_MAX];
	char path[80];
	snprintf(path, sizeof(path), "%s/error", l->inner_vif.back_path);
	return mem_store_read(l->n->inner.w, path, text, sizeof(text)) < 0 ? "" : text;
}
