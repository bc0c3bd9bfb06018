/* SPDX-License-Identifier: MIT */
/* Worlds, domains, faults and leak accounting of the in-process layer. */
#include "mem.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void layer_close(struct nf_layer *l);

static int layer_store_fd(struct nf_layer *l)
{
	struct mem_layer *m = (struct mem_layer *)l;
	pthread_mutex_lock(&m->w->lock);
	int err = mem__enter(m, MEM_STORE_FD);
	pthread_mutex_unlock(&m->w->lock);
	return err ? err : mem__store_connect(m->w->store, l->domid);
}

static const struct nf_layer_ops mem_ops = {
	.kind = "memory",
	.alloc = mem__alloc,
	.end = mem__end,
	.donate = mem__donate,
	.donate_chan = mem__donate_chan,
	.map = mem__map,
	.unmap = mem__unmap,
	.copy = mem__copy,
	.alloc_chan = mem__alloc_chan,
	.bind_chan = mem__bind_chan,
	.chan_notify = mem__chan_notify,
	.chan_clear = mem__chan_clear,
	.chan_close = mem__chan_close,
	.store_fd = layer_store_fd,
	.close = layer_close,
};

struct mem_world *mem_world_new(const char *name)
{
	struct mem_world *w = calloc(1, sizeof(*w));
	if (!w)
		abort();
	pthread_mutex_init(&w->lock, NULL);
	snprintf(w->name, sizeof(w->name), "%s", name);
	w->next_arena = 1;
	w->store = mem__store_new(w);
	w->domains[0].is_privileged = true;
	for (uint16_t i = 0; i < MEM_DOMAINS; i++)
		w->domains[i].gref_base = NF_GREF_RESERVED;
	return w;
}

void mem_world_free(struct mem_world *w)
{
	if (!w)
		return;
	for (uint16_t i = 0; i < MEM_DOMAINS; i++)
		mem_world_kill(w, i);
	mem__store_free(w->store);
	for (struct mem_layer *m = w->layers, *next; m; m = next) {
		next = m->next;
		free(m);
	}
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static void domain_init(struct mem_world *w, uint16_t domid)
{
	struct mem_domain *dom = &w->domains[domid];
	dom->grants = calloc(MEM_GREFS, sizeof(*dom->grants));
	dom->ports = calloc(MEM_PORTS, sizeof(*dom->ports));
	if (!dom->grants || !dom->ports)
		abort();
	for (uint32_t i = 0; i < MEM_PORTS; i++)
		dom->ports[i] = (struct mem_port){.unbound = -1, .ours = -1};
}

struct nf_layer *mem_world_layer(struct mem_world *w, uint16_t domid)
{
	struct mem_layer *m = calloc(1, sizeof(*m));
	if (!m || domid >= MEM_DOMAINS)
		abort();
	pthread_mutex_lock(&w->lock);
	bool is_new = !w->domains[domid].grants;
	if (is_new)
		domain_init(w, domid);
	m->w = w;
	m->generation = w->domains[domid].generation;
	m->l = (struct nf_layer){
		.ops = &mem_ops, .domid = domid, .counters_fd = -1, .control_fd = -1};
	m->l.caps = NF_CAP_GRANT | NF_CAP_MAP | NF_CAP_COPY | NF_CAP_READONLY | NF_CAP_BACKING;
	if (w->domains[domid].is_privileged)
		m->l.caps |= NF_CAP_DONATE | NF_CAP_EQUAL_GREFS;
	m->next = w->layers;
	w->layers = m;
	pthread_mutex_unlock(&w->lock);
	if (is_new)
		mem__store_home(w->store, domid);
	return &m->l;
}

static void layer_close(struct nf_layer *l)
{
	struct mem_layer *m = (struct mem_layer *)l;
	struct mem_world *w = m->w;
	pthread_mutex_lock(&w->lock);
	for (struct mem_layer **at = &w->layers; *at; at = &(*at)->next) {
		if (*at == m) {
			*at = m->next;
			break;
		}
	}
	pthread_mutex_unlock(&w->lock);
	free(m);
}

void mem_world_gref_base(struct mem_world *w, uint16_t domid, uint32_t first)
{
	pthread_mutex_lock(&w->lock);
	w->domains[domid].gref_base = first;
	pthread_mutex_unlock(&w->lock);
}

void mem_world_privileged(struct mem_world *w, uint16_t domid, bool privileged)
{
	pthread_mutex_lock(&w->lock);
	w->domains[domid].is_privileged = privileged;
	for (struct mem_layer *m = w->layers; m; m = m->next) {
		if (m->l.domid == domid && privileged)
			m->l.caps |= NF_CAP_DONATE | NF_CAP_EQUAL_GREFS;
		else if (m->l.domid == domid)
			m->l.caps &= ~(uint32_t)(NF_CAP_DONATE | NF_CAP_EQUAL_GREFS);
	}
	pthread_mutex_unlock(&w->lock);
}

void mem_world_quota(struct mem_world *w, uint16_t domid, uint32_t pages)
{
	pthread_mutex_lock(&w->lock);
	w->domains[domid].quota_pages = pages;
	pthread_mutex_unlock(&w->lock);
}

/* What the dead domain had mapped of others no longer counts as mapped. */
static void forget_mappings(struct mem_world *w, uint16_t dead)
{
	for (uint32_t d = 0; d < MEM_DOMAINS; d++) {
		for (struct mem_arena *a = w->domains[d].arenas; a; a = a->next) {
			if (a->peer == dead) {
				w->mapped_pages -= a->pages->mapped;
				a->pages->mapped = 0;
			}
		}
	}
}

static void free_quarantine(struct mem_world *w, uint16_t charged)
{
	for (struct mem_pages **at = &w->quarantine; *at;) {
		struct mem_pages *p = *at;
		if (p->charged != charged) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		w->mapped_pages -= p->mapped;
		p->mapped = 0;
		mem__pages_put(p);
	}
}

void mem__domain_fini(struct mem_world *w, uint16_t domid)
{
	struct mem_domain *dom = &w->domains[domid];
	while (dom->arenas)
		mem__arena_drop(w, domid, dom->arenas);
	for (struct mem_donation *d = dom->donations, *next; d; d = next) {
		next = d->next;
		mem__donation_free(d);
	}
	dom->donations = NULL;
	for (uint32_t i = 0; i < MEM_PORTS; i++) {
		if (dom->ports[i].unbound >= 0)
			close(dom->ports[i].unbound);
		if (dom->ports[i].ours >= 0)
			shutdown(dom->ports[i].ours, SHUT_RDWR);
	}
	free(dom->grants);
	free(dom->ports);
	dom->grants = NULL;
	dom->ports = NULL;
	dom->granted_pages = 0;
}

void mem_world_kill(struct mem_world *w, uint16_t domid)
{
	pthread_mutex_lock(&w->lock);
	struct mem_domain *dom = &w->domains[domid];
	bool was = dom->grants != NULL;
	dom->generation++;
	if (was) {
		mem__domain_fini(w, domid);
		forget_mappings(w, domid);
		free_quarantine(w, domid);
	}
	pthread_mutex_unlock(&w->lock);
	if (was)
		mem__store_release(w->store, domid);
}

void mem_world_fail(struct mem_world *w, uint16_t domid, enum mem_verb verb, uint32_t nth,
		    int error)
{
	pthread_mutex_lock(&w->lock);
	w->domains[domid].faults[verb] = (struct mem_fault){nth, error};
	pthread_mutex_unlock(&w->lock);
}

uint64_t mem_world_calls(struct mem_world *w, uint16_t domid, enum mem_verb verb)
{
	pthread_mutex_lock(&w->lock);
	uint64_t n = w->domains[domid].calls[verb];
	pthread_mutex_unlock(&w->lock);
	return n;
}

static int strike(struct mem_domain *dom, enum mem_verb verb)
{
	struct mem_fault *f = &dom->faults[verb];
	dom->calls[verb]++;
	if (f->in == 0 || --f->in != 0)
		return 0;
	return f->error;
}

int mem__enter(struct mem_layer *m, enum mem_verb verb)
{
	struct mem_domain *dom = &m->w->domains[m->l.domid];
	int any = strike(dom, MEM_ANY);
	int one = strike(dom, verb);
	if (m->generation != dom->generation)
		return -ECONNRESET;
	return one ? one : any;
}

int mem__store_fault(struct mem_world *w, uint16_t domid)
{
	pthread_mutex_lock(&w->lock);
	int err = strike(&w->domains[domid], MEM_STORE);
	pthread_mutex_unlock(&w->lock);
	return err;
}

struct mem_domain *mem__domain(struct mem_layer *m)
{
	return &m->w->domains[m->l.domid];
}

static uint64_t entries(const char *dir)
{
	DIR *d = opendir(dir);
	uint64_t n = 0;
	if (!d)
		return 0;
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void count_domain(const struct mem_domain *dom, struct mem_baseline *b)
{
	for (const struct mem_arena *a = dom->arenas; a; a = a->next)
		b->arenas++;
	for (const struct mem_donation *d = dom->donations; d; d = d->next)
		b->donations++;
	for (uint32_t i = 0; dom->grants && i < MEM_GREFS; i++)
		b->grants += dom->grants[i].pages != NULL;
	for (uint32_t i = 0; dom->ports && i < MEM_PORTS; i++)
		b->channels += dom->ports[i].is_used;
}

void mem_world_baseline(struct mem_world *w, struct mem_baseline *b)
{
	*b = (struct mem_baseline){0};
	pthread_mutex_lock(&w->lock);
	for (uint32_t i = 0; i < MEM_DOMAINS; i++)
		count_domain(&w->domains[i], b);
	b->mapped_pages = w->mapped_pages;
	b->fds = entries("/proc/self/fd");
	for (struct mem_pages *p = w->quarantine; p; p = p->next)
		b->fds -= p->fd >= 0;
	pthread_mutex_unlock(&w->lock);
	mem__store_counts(w->store, b);
	b->threads = entries("/proc/self/task");
}

int mem_world_check(struct mem_world *w, const struct mem_baseline *b, char *why, size_t cap)
{
	struct mem_baseline now;
	mem_world_baseline(w, &now);
	static const char *const names[] = {"arenas",	"grants",	"mapped pages",
					    "channels", "donations",	"store clients",
					    "watches",	"transactions", "fds",
					    "threads"};
	uint64_t was[10], is[10];
	_Static_assert(sizeof(*b) == sizeof(was), "a name for each word");
	memcpy(was, b, sizeof(was));
	memcpy(is, &now, sizeof(is));
	int bad = 0;
	size_t at = 0;
	if (cap)
		why[0] = '\0';
	for (uint32_t i = 0; i < 10; i++) {
		if (was[i] == is[i])
			continue;
		bad++;
		int n = snprintf(why + at, cap - at, "%s%s: %s %llu, was %llu", at ? "; " : "",
				 w->name, names[i], (unsigned long long)is[i],
				 (unsigned long long)was[i]);
		at = n > 0 && at + (size_t)n < cap ? at + (size_t)n : at;
	}
	return bad;
}

int mem_world_settle(struct mem_world *w, const struct mem_baseline *b, unsigned ms, char *why,
		     size_t cap)
{
	for (unsigned t = 0;; t += 2) {
		int bad = mem_world_check(w, b, why, cap);
		if (bad == 0 || t >= ms)
			return bad;
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	}
}

uint64_t mem_world_quarantine(struct mem_world *w, uint16_t domid)
{
	uint64_t n = 0;
	pthread_mutex_lock(&w->lock);
	for (struct mem_pages *p = w->quarantine; p; p = p->next)
		n += p->charged == domid ? p->pages : 0;
	pthread_mutex_unlock(&w->lock);
	return n;
}
