/* SPDX-License-Identifier: MIT */
/*
 * What real Xen makes one look at before and after using the verbs of layer.h: is it there at all,
 * how many pages may be granted, does the kernel drive the device already, is this still the domain
 * it was. Lines are one sentence with cause and remedy.
 */
#ifndef NF_XEN_H
#define NF_XEN_H

#include "nf/layer.h"

/* Why nf_layer_open_xen(dir) failed with error (negative errno): what is missing, what to do. */
void nf_xen_explain(const char *dir, int error, char *line, size_t cap);

/* Pages a grant needs and may have; the kernel does not tell what other processes hold. */
struct nf_xen_budget {
	uint32_t limit; /* of all processes of this guest, xen-gntalloc.limit */
	uint32_t held;	/* by this layer object */
};
/* -ENOENT: this kernel has no gntalloc. */
int nf_xen_budget(struct nf_layer *l, struct nf_xen_budget *out);
/* What to do about a budget in which `wanted` more pages do not fit. */
void nf_xen_budget_line(const struct nf_xen_budget *b, uint32_t wanted, char *line, size_t cap);

/* Looks for gntalloc again, whose module may be loaded late: 0 and NF_CAP_GRANT in l->caps, or
 * -ENOENT. */
int nf_xen_probe_grants(struct nf_layer *l);

/*
 * 1 when a driver of the kernel is bound to the device of that node (device/vif/N,
 * backend/vif/D/N): line says how to unbind it; 0 when none is.
 */
int nf_xen_kernel_driver(struct nf_layer *l, const char *path, char *line, size_t cap);

/* Looks up our own domid again, which a restore or a migration changes. 1: it changed; 0; -errno.
 */
int nf_xen_refresh(struct nf_layer *l);

/*
 * After a restore. Linux (6.1 at least) has forgotten the ports that were bound before, and BUG()s
 * when the descriptor of one is closed. Between begin and end, channels that are closed are put
 * aside; end hands them to a process that does nothing but hold them, for as long as this guest
 * runs: ourselves, executed as `nestfrontd --hold-evtchn`, see nf_xen_hold.
 */
void nf_xen_abandon_begin(struct nf_layer *l);
/* Descriptors handed over, or -errno: they stay open here. */
int nf_xen_abandon_end(struct nf_layer *l);
/* The life of that process; does not return. */
void nf_xen_hold(void) __attribute__((noreturn));

#endif
