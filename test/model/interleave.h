/* SPDX-License-Identifier: MIT */
/*
 * An exhaustive scheduler for two threads of real C code that reach shared memory only through
 * these stand-ins for nf/atomics.h. Depth first over all choices, each execution from the start;
 * a state seen before (what each thread has read so far, memory, store buffers, event) is not
 * entered again. Included by one program; not thread safe.
 */
#ifndef NF_MODEL_INTERLEAVE_H
#define NF_MODEL_INTERLEAVE_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define NO_BARRIER_0 1u	  /* in thread 0 */
#define NO_BARRIER_1 2u	  /* in thread 1 */
#define NO_BARRIER 3u	  /* in both */
#define NO_RELEASE 4u	  /* a release is an ordinary store */
#define NO_SECOND_LOOK 8u /* for the threads to ask for */

#define MODEL_BUFFER 8
#define MODEL_DEPTH 4096
#define MODEL_STACK (64 * 1024)
#define MODEL_SEEN (1u << 22)

struct model {
	void (*set_up)(void);
	void (*thread[2])(void); /* 0 publishes, 1 sleeps */
	void *shared;
	size_t bytes;
};

struct model_store {
	uint32_t *at, value;
	bool release;
};

enum model_wait { MODEL_RUNS, MODEL_FENCE, MODEL_SLEEPS, MODEL_ENDED };

struct model_thread {
	ucontext_t context;
	struct model_store buffer[MODEL_BUFFER];
	uint32_t stored;
	enum model_wait wait;
	uint64_t history; /* hash of all it read: with the code, all of its state */
	uint8_t *stack;
};

static struct model_thread model_threads[2];
static ucontext_t model_scheduler;
static const struct model *model_now;
static unsigned model_mutations;
static int model_self;
static bool model_event;
static const char *model_why;
static uint64_t *model_seen;
static uint64_t model_seen_count;

static inline bool model_mutation(unsigned which)
{
	return (model_mutations & which) == which;
}

static inline uint64_t model_mix(uint64_t hash, uint64_t value)
{
	hash ^= value + 0x9e3779b97f4a7c15u + (hash << 6) + (hash >> 2);
	hash *= 0xff51afd7ed558ccdu;
	return hash ^ (hash >> 32);
}

static inline void model_yield(void)
{
	swapcontext(&model_threads[model_self].context, &model_scheduler);
}

static inline void model_fail(const char *why)
{
	model_why = why;
	model_threads[model_self].wait = MODEL_ENDED;
	model_yield();
}

static inline uint32_t model_load(const uint32_t *at)
{
	model_yield();
	struct model_thread *t = &model_threads[model_self];
	uint32_t value = *at;
	for (uint32_t i = 0; i < t->stored; i++)
		if (t->buffer[i].at == at)
			value = t->buffer[i].value; /* its own stores first, the newest last */
	t->history = model_mix(t->history, value + 1u);
	return value;
}

static inline void model_put(uint32_t *at, uint32_t value, bool release)
{
	struct model_thread *t = &model_threads[model_self];
	while (t->stored == MODEL_BUFFER) {
		t->wait = MODEL_FENCE;
		model_yield();
	}
	release = release && !model_mutation(NO_RELEASE);
	t->buffer[t->stored++] = (struct model_store){at, value, release};
	t->history = model_mix(t->history, 3);
}

static inline void nf_full_barrier(void)
{
	struct model_thread *t = &model_threads[model_self];
	if (model_mutation(1u << model_self))
		return;
	while (t->stored > 0) {
		t->wait = MODEL_FENCE;
		model_yield();
	}
}

static inline uint32_t nf_load_acquire(const uint32_t *shared)
{
	return model_load(shared);
}

static inline uint32_t nf_load_relaxed(const uint32_t *shared)
{
	return model_load(shared);
}

static inline void nf_store_release(uint32_t *shared, uint32_t value)
{
	model_put(shared, value, true);
}

static inline void nf_store_relaxed(uint32_t *shared, uint32_t value)
{
	model_put(shared, value, false);
}

/* The event stays pending until the sleeper takes it, as a full socket does (EAGAIN: pending). The
 * kernel orders nothing for us here: what is in the buffer may still be there. */
static inline void model_notify(void)
{
	model_yield();
	model_event = true;
}

static inline void model_sleep(void)
{
	struct model_thread *t = &model_threads[model_self];
	t->wait = MODEL_SLEEPS;
	model_yield();
	model_event = false;
	t->history = model_mix(t->history, 5);
}

static void model_entry(int self)
{
	model_now->thread[self]();
	model_threads[self].wait = MODEL_ENDED;
	for (;;)
		swapcontext(&model_threads[self].context, &model_scheduler);
}

/* May the i-th store of a buffer become visible now? */
static inline bool model_may_flush(const struct model_thread *t, uint32_t i)
{
	if (i > 0 && t->buffer[i].release)
		return false;
	for (uint32_t k = 0; k < i; k++)
		if (t->buffer[k].at == t->buffer[i].at)
			return false;
	return true;
}

static inline void model_flush(struct model_thread *t, uint32_t i)
{
	*t->buffer[i].at = t->buffer[i].value;
	t->stored--;
	memmove(&t->buffer[i], &t->buffer[i + 1], (t->stored - i) * sizeof(t->buffer[0]));
}

static inline bool model_can_run(const struct model_thread *t)
{
	if (t->wait == MODEL_FENCE)
		return t->stored == 0;
	if (t->wait == MODEL_SLEEPS)
		return model_event;
	return t->wait == MODEL_RUNS;
}

/* All that may happen next: t runs, or its store i becomes visible. */
static uint32_t model_choices(uint8_t *out)
{
	uint32_t n = 0;
	for (uint32_t k = 0; k < 2; k++) {
		const struct model_thread *t = &model_threads[k];
		if (model_can_run(t))
			out[n++] = (uint8_t)(k << 4);
		for (uint32_t i = 0; i < t->stored; i++)
			if (model_may_flush(t, i))
				out[n++] = (uint8_t)(k << 4 | (i + 1));
	}
	return n;
}

static uint64_t model_hash(void)
{
	uint64_t h = model_event;
	for (uint32_t k = 0; k < 2; k++) {
		const struct model_thread *t = &model_threads[k];
		h = model_mix(model_mix(h, t->history), (uint64_t)t->wait << 32 | t->stored);
		for (uint32_t i = 0; i < t->stored; i++)
			h = model_mix(h, (uint64_t)((uint8_t *)t->buffer[i].at -
						    (uint8_t *)model_now->shared)
							 << 32 |
						 t->buffer[i].value);
	}
	for (size_t i = 0; i < model_now->bytes / 4; i++)
		h = model_mix(h, ((const uint32_t *)model_now->shared)[i]);
	return h ? h : 1;
}

/* True when this state was new. */
static bool model_enter(void)
{
	uint64_t h = model_hash();
	for (uint32_t i = (uint32_t)h & (MODEL_SEEN - 1);; i = (i + 1) & (MODEL_SEEN - 1)) {
		if (model_seen[i] == h)
			return false;
		if (model_seen[i])
			continue;
		model_seen[i] = h;
		model_seen_count++;
		return model_seen_count < MODEL_SEEN / 2 || (model_why = "too many states", true);
	}
}

static void model_step(uint8_t choice)
{
	struct model_thread *t = &model_threads[choice >> 4];
	if (choice & 15) {
		model_flush(t, (choice & 15u) - 1);
		return;
	}
	model_self = choice >> 4;
	t->wait = MODEL_RUNS;
	t->history = model_mix(t->history, 7); /* where it stands is how often it went on */
	swapcontext(&model_scheduler, &t->context);
}

static void model_restart(void)
{
	model_event = false;
	model_now->set_up();
	for (int k = 0; k < 2; k++) {
		struct model_thread *t = &model_threads[k];
		uint8_t *stack = t->stack ? t->stack : malloc(MODEL_STACK);
		*t = (struct model_thread){.stack = stack};
		getcontext(&t->context);
		t->context.uc_stack.ss_sp = stack;
		t->context.uc_stack.ss_size = MODEL_STACK;
		makecontext(&t->context, (void (*)(void))model_entry, 1, k);
	}
}

/* Distinct states of the last run. */
static inline uint64_t model_states(void)
{
	return model_seen_count;
}

/* Follows path as far as it goes, then first choices; the new length. */
static uint32_t model_execute(uint8_t *path, uint8_t *width, uint32_t known)
{
	uint8_t choices[2 + 2 * MODEL_BUFFER];
	uint32_t depth = 0;
	model_restart();
	for (; !model_why; depth++) {
		uint32_t n = model_choices(choices);
		if (n == 0) {
			bool asleep = model_threads[1].wait != MODEL_ENDED;
			if (asleep || model_threads[0].wait != MODEL_ENDED)
				model_why = "asleep for ever with everything published";
			break;
		}
		if (depth >= known && !model_enter())
			break;
		if (depth == MODEL_DEPTH) {
			model_why = "an execution without end";
			break;
		}
		if (depth >= known)
			path[depth] = 0;
		width[depth] = (uint8_t)n;
		model_step(choices[path[depth]]);
	}
	return depth;
}

/* NULL when every execution ends well, else what went wrong. */
static const char *model_run(const struct model *m, unsigned mutations)
{
	static uint8_t path[MODEL_DEPTH + 1], width[MODEL_DEPTH + 1];
	uint32_t known = 0;
	model_now = m;
	model_mutations = mutations;
	model_why = NULL;
	model_seen_count = 0;
	free(model_seen);
	model_seen = calloc(MODEL_SEEN, sizeof(*model_seen));
	for (;;) {
		uint32_t depth = model_execute(path, width, known);
		if (model_why)
			return model_why;
		while (depth > 0 && path[depth - 1] + 1 >= width[depth - 1])
			depth--;
		if (depth == 0)
			return NULL;
		path[depth - 1]++;
		known = depth;
	}
}

#endif
