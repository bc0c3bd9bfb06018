/* SPDX-License-Identifier: MIT */
/* Honest domains for tests. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void rig_open(struct rig *r, enum nf_poll_mode mode)
{
	*r = (struct rig){.w = mem_world_new("rig")};
	struct nf_poller_config cfg = {.mode = mode, .cpu = -1, .spin_us = 50, .yield = 1};
	if (nf_poller_start(&cfg, &r->poller) < 0)
		abort();
}

void rig_close(struct rig *r)
{
	for (uint32_t i = 0; i < RIG_ENDS; i++)
		rig_end_close(&r->ends[i]);
	nf_poller_stop(r->poller);
	for (uint32_t i = 0; i < RIG_DOMAINS; i++) {
		struct rig_domain *d = &r->domains[i];
		if (!d->layer)
			continue;
		nf_store_close(d->store);
		nf_counters_close(&d->counters);
		free(d->control);
	}
	mem_world_free(r->w);
}

struct rig_domain *rig_domain(struct rig *r, uint16_t domid)
{
	struct rig_domain *d = &r->domains[0];
	for (; d->layer; d++) {
		if (d->domid == domid)
			return d;
		if (d == &r->domains[RIG_DOMAINS - 1])
			abort();
	}
	*d = (struct rig_domain){.rig = r, .domid = domid};
	d->layer = mem_world_layer(r->w, domid);
	int fd = d->layer->ops->store_fd(d->layer);
	d->control = aligned_alloc(4096, sizeof(*d->control));
	if (fd < 0 || nf_store_open(fd, &d->store) < 0 || !d->control ||
	    nf_counters_open(&d->counters, -1, 64, domid) < 0)
		abort();
	memset(d->control, 0, sizeof(*d->control));
	d->control->magic = NF_CONTROL_MAGIC;
	return d;
}

static void notice(void *ctx, const char *line)
{
	struct rig_end *e = ctx;
	snprintf(e->notice, sizeof(e->notice), "%s", line);
	if (getenv("NF_TEST_VERBOSE"))
		printf("# %s: %s\n", e->path, line);
}

static struct rig_end *take(struct rig *r)
{
	for (uint32_t i = 0; i < RIG_ENDS; i++) {
		if (!r->ends[i].is_used)
			return &r->ends[i];
	}
	abort();
}

static struct rig_end *open_end(struct rig *r, const struct mem_vif *v, const struct rig_options *o,
				bool is_back, int *err)
{
	static const struct rig_options none;
	struct rig_end *e = take(r);
	o = o ? o : &none;
	*e = (struct rig_end){.d = rig_domain(r, is_back ? v->back : v->front),
			      .is_back = is_back,
			      .is_used = true,
			      .devid = v->devid};
	if (is_back)
		snprintf(e->path, sizeof(e->path), "backend/vif/%u/%u", v->front, v->devid);
	else
		snprintf(e->path, sizeof(e->path), "device/vif/%u", v->devid);
	snprintf(e->token, sizeof(e->token), "%s%u", is_back ? "b" : "f", (unsigned)(e - r->ends));
	struct nf_net_config cfg = {.layer = e->d->layer,
				    .store = e->d->store,
				    .poller = r->poller,
				    .counters = &e->d->counters,
				    .control = e->d->control,
				    .path = e->path,
				    .port = o->port ? o->port : "gen",
				    .queues = o->queues ? o->queues : 1,
				    .grants = o->grants ? o->grants : NF_NET_GRANTS_STATIC,
				    .static_only = o->static_only,
				    .journal = is_back ? o->journal : NULL,
				    .token = e->token,
				    .notice = notice,
				    .ctx = e};
	int rc = is_back ? nf_netback_open(&cfg, &e->back) : nf_netfront_open(&cfg, &e->front);
	if (err)
		*err = rc;
	e->is_used = rc == 0;
	return rc == 0 ? e : NULL;
}

struct rig_end *rig_front(struct rig *r, const struct mem_vif *v, const struct rig_options *o,
			  int *err)
{
	return open_end(r, v, o, false, err);
}

struct rig_end *rig_back(struct rig *r, const struct mem_vif *v, const struct rig_options *o,
			 int *err)
{
	return open_end(r, v, o, true, err);
}

void rig_end_close(struct rig_end *e)
{
	if (!e->is_used)
		return;
	nf_netfront_close(e->front);
	nf_netback_close(e->back);
	e->front = NULL;
	e->back = NULL;
	e->is_used = false;
}

int rig_phase(const struct rig_end *e)
{
	return e->is_back ? nf_netback_phase(e->back) : nf_netfront_phase(e->front);
}

void rig_turn(struct rig *r)
{
	char path[NF_STORE_PATH_MAX], token[64];
	for (uint32_t i = 0; i < RIG_DOMAINS && r->domains[i].layer; i++) {
		while (nf_store_next_event(r->domains[i].store, path, sizeof(path), token,
					   sizeof(token)) > 0)
			;
	}
	for (uint32_t i = 0; i < RIG_ENDS; i++) {
		struct rig_end *e = &r->ends[i];
		if (!e->is_used)
			continue;
		e->last = e->is_back ? nf_netback_step(e->back) : nf_netfront_step(e->front);
		e->failures += e->last < 0;
	}
}

void rig_turn_cb(void *rig)
{
	rig_turn(rig);
}

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void round_of(struct rig *r)
{
	rig_turn(r);
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

int rig_until_phase(struct rig_end *e, int phase, unsigned ms)
{
	uint64_t end = now_ms() + ms;
	while (rig_phase(e) != phase) {
		if (now_ms() > end)
			return -ETIMEDOUT;
		round_of(e->d->rig);
	}
	return 0;
}

void rig_linger(struct rig *r, unsigned ms)
{
	uint64_t end = now_ms() + ms;
	do
		round_of(r);
	while (now_ms() < end);
}

uint64_t rig_counter(const struct rig_end *e, enum nf_counter c)
{
	uint8_t kind = e->is_back ? NF_BLOCK_NETBACK : NF_BLOCK_NETFRONT;
	const char *front = e->is_back ? strchr(e->path + 8, '/') : NULL;
	uint64_t sum = 0;
	for (uint32_t i = 0; i < e->d->counters.count; i++) {
		const struct nf_counters *b = &e->d->counters.blocks[i];
		if (b->h.kind != kind || b->h.devid != e->devid)
			continue;
		if (front && (uint16_t)atoi(front + 1) != b->h.peer)
			continue;
		sum += nf_load64(&b->words[c]);
	}
	return sum;
}

int rig_until_counter(struct rig_end *e, enum nf_counter c, uint64_t at_least, unsigned ms)
{
	uint64_t end = now_ms() + ms;
	while (rig_counter(e, c) < at_least) {
		if (now_ms() > end)
			return -ETIMEDOUT;
		round_of(e->d->rig);
	}
	return 0;
}

void rig_generate(struct rig_end *e, enum nf_gen_mode mode, uint32_t frame_bytes, uint32_t limit)
{
	struct nf_control_dev *c = &e->d->control->dev[e->devid % NF_CONTROL_DEVICES];
	nf_store_relaxed(&c->frame_bytes, frame_bytes);
	nf_store_relaxed(&c->limit, limit);
	nf_store_relaxed(&c->verify_every, 1);
	nf_store_release(&c->epoch, c->epoch + 1);
	nf_store_release(&c->mode, mode);
	nf_poller_kick(e->d->rig->poller);
}

int rig_pair_open(struct rig_pair *p, struct rig *r, uint16_t front, uint16_t back, uint16_t devid,
		  const struct rig_options *o)
{
	*p = (struct rig_pair){0};
	int rc = mem_vif_create(&p->v, r->w, front, back, devid, NULL);
	if (rc)
		return rc;
	p->back = rig_back(r, &p->v, o, &rc);
	if (p->back)
		p->front = rig_front(r, &p->v, o, &rc);
	if (!p->front)
		return rc;
	rc = rig_until_phase(p->front, NF_NET_RUNNING, 5000);
	return rc ? rc : rig_until_phase(p->back, NF_NET_RUNNING, 5000);
}

static uint64_t harm(const struct rig_end *e)
{
	return rig_counter(e, NF_COUNTER_sink_lost) + rig_counter(e, NF_COUNTER_sink_corrupted) +
	       rig_counter(e, NF_COUNTER_sink_duplicated) +
	       rig_counter(e, NF_COUNTER_sink_reordered);
}

bool rig_pair_moves(struct rig_pair *p, uint32_t frames, unsigned ms)
{
	uint64_t up = rig_counter(p->back, NF_COUNTER_sink_packets);
	uint64_t down = rig_counter(p->front, NF_COUNTER_sink_packets);
	rig_generate(p->front, NF_GEN_SEND, 1000, frames);
	rig_generate(p->back, NF_GEN_SEND, 1000, frames);
	int rc = rig_until_counter(p->back, NF_COUNTER_sink_packets, up + frames, ms);
	if (rc == 0)
		rc = rig_until_counter(p->front, NF_COUNTER_sink_packets, down + frames, ms);
	return rc == 0 && harm(p->back) == 0 && harm(p->front) == 0;
}

static int end_tell(const struct rig_end *e, char *text, size_t cap)
{
	static const struct {
		const char *name;
		enum nf_counter c;
	} told[] = {{"gen", NF_COUNTER_gen_packets},	 {"sink", NF_COUNTER_sink_packets},
		    {"lost", NF_COUNTER_sink_lost},	 {"dup", NF_COUNTER_sink_duplicated},
		    {"bad", NF_COUNTER_sink_corrupted},	 {"tx", NF_COUNTER_tx_packets},
		    {"rx", NF_COUNTER_rx_packets},	 {"sent", NF_COUNTER_notify_sent},
		    {"got", NF_COUNTER_notify_received}, {"sleeps", NF_COUNTER_sleeps}};
	int at = snprintf(text, cap, "%s: phase %d", e->is_back ? "back" : "front", rig_phase(e));
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		at += snprintf(text + at, cap - (size_t)at, " %s %llu", told[i].name,
			       (unsigned long long)rig_counter(e, told[i].c));
	return at;
}

const char *rig_pair_tell(const struct rig_pair *p)
{
	static char text[480];
	int at = end_tell(p->front, text, sizeof(text) / 2);
	at += snprintf(text + at, sizeof(text) - (size_t)at, "; ");
	(void)end_tell(p->back, text + at, sizeof(text) - (size_t)at);
	return text;
}

void rig_pair_close(struct rig_pair *p)
{
	if (p->front)
		rig_end_close(p->front);
	if (p->back)
		rig_end_close(p->back);
	mem_vif_remove(&p->v);
	*p = (struct rig_pair){0};
}
