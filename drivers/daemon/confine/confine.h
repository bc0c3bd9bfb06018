/* SPDX-License-Identifier: MIT */
/*
 * What a process of ours gives up once it is set up, so that a peer that takes it over finds little
 * to work with: system calls, by seccomp filters that outlive execve, and capabilities.
 * 0, or a negative errno: -ENOSYS this kernel, this CPU or this build (sanitizers, which need calls
 * of their own) has no such filter.
 */
#ifndef NF_DAEMON_CONFINE_H
#define NF_DAEMON_CONFINE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * For whatever program runs in a domain: all system calls but the requests of Xen's devices
 * (gntalloc, gntdev, evtchn) and those of another ABI, which fail with EPERM. A domain
 * is handed the gntalloc descriptor of its payload: with this it can map those pages and no more.
 * The caller must have set no_new_privs.
 */
int confine_domain(void);

/*
 * For a driver daemon, all its threads: only the system calls of layers, stores, pollers and ports;
 * anything else fails with EPERM. No new program and no new process, no executable memory, ioctls
 * from a list. is_xen: Xen's requests too, and starting the process that holds lost event channels
 * (nf/xen.h). Sets no_new_privs.
 */
int confine_driver(bool is_xen);

/*
 * Keeps the capabilities a driver needs (network, files of other users, locked memory), gives the
 * others up for good. All threads started later; call it before there are others. Never gains any.
 */
int confine_capabilities(void);

/* seccomp programs under construction; filter.c */
#define CONFINE_STEPS 512u

struct sock_filter;
struct confine_filter {
	uint32_t count;
	bool is_full;
	struct {
		uint16_t code;
		uint8_t jt, jf;
		uint32_t k;
	} step[CONFINE_STEPS]; /* laid out as struct sock_filter */
};

/* Refuses calls of another ABI than this program's, then loads the number of the call. */
void confine_begin(struct confine_filter *f);
void confine_allow(struct confine_filter *f, long call);
void confine_refuse(struct confine_filter *f, long call, int error);
/* For one call: the 32-bit value of an argument; ends with is_allowed or refused when none fits. */
void confine_if_listed(struct confine_filter *f, long call, int argument, const uint32_t *values,
		       uint32_t count, bool is_listed_allowed);
/* For one call: allowed when (argument & mask) is wanted, else refused. */
void confine_if_masked(struct confine_filter *f, long call, int argument, uint32_t mask,
		       uint32_t wanted);
/* What is not decided by now: allowed or refused. Installs it for all threads. */
int confine_install(struct confine_filter *f, bool is_rest_allowed);

/* xen.c: the requests of Xen's devices. */
const uint32_t *confine_xen_requests(uint32_t *count);

#endif
