/* SPDX-License-Identifier: MIT */
/*
 * All memory ordering of the data path. Nothing else in drivers/ orders accesses to shared memory.
 * Every use says which store must be visible before which load.
 */
#ifndef NF_ATOMICS_H
#define NF_ATOMICS_H

#include <stdint.h>

/* The peer's earlier stores (slots) are visible once its index is seen. */
static inline uint32_t nf_load_acquire(const uint32_t *shared)
{
	return __atomic_load_n(shared, __ATOMIC_ACQUIRE);
}

/* Our earlier stores (slots) become visible before the index. */
static inline void nf_store_release(uint32_t *shared, uint32_t value)
{
	__atomic_store_n(shared, value, __ATOMIC_RELEASE);
}

/* One access of one word, no ordering. */
static inline uint32_t nf_load_relaxed(const uint32_t *shared)
{
	return __atomic_load_n(shared, __ATOMIC_RELAXED);
}

/* A whole grant entry: its fields belong together. */
static inline uint64_t nf_load_relaxed_u64(const uint64_t *shared)
{
	return __atomic_load_n(shared, __ATOMIC_RELAXED);
}

static inline void nf_store_relaxed(uint32_t *shared, uint32_t value)
{
	__atomic_store_n(shared, value, __ATOMIC_RELAXED);
}

static inline void nf_store_relaxed_u64(uint64_t *shared, uint64_t value)
{
	__atomic_store_n(shared, value, __ATOMIC_RELAXED);
}

/* Brings a line here that is read and then written soon; changes nothing but how long that takes.
 * Any address will do. */
static inline void nf_prefetch_write(const void *at)
{
#if defined(__x86_64__)
	/* a no-op on processors that do not know it; the compiler would only ask to read */
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)at));
#else
	__builtin_prefetch(at, 1);
#endif
}

/* A 64-bit word shared by threads of one process: what it names was complete before the store. */
static inline uint64_t nf_load64(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void nf_store64(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* Full barrier: our index store before our load of the peer's event index (Dekker). */
static inline void nf_full_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Single-writer counter: readers in other processes see whole 64-bit words. */
static inline void nf_count(uint64_t *word, uint64_t add)
{
	__atomic_store_n(word, __atomic_load_n(word, __ATOMIC_RELAXED) + add, __ATOMIC_RELAXED);
}

/* Single-writer gauge, likewise. */
static inline void nf_gauge(uint64_t *word, uint64_t now)
{
	__atomic_store_n(word, now, __ATOMIC_RELAXED);
}

/* Our stores before it come before those after it for a process that finds them in a shared file
 * after we were killed: a kill falls between two instructions, so the compiler's order is all. */
static inline void nf_kill_barrier(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void nf_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

#endif
