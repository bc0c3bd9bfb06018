/* SPDX-License-Identifier: MIT */
/* The kernel's headers of /dev/xen use three of Xen's own names without declaring them. */
#ifndef NF_LAYER_XEN_UAPI_H
#define NF_LAYER_XEN_UAPI_H

#include <stdint.h>

typedef uint16_t domid_t;
typedef uint32_t grant_ref_t;

#include <xen/evtchn.h>
#include <xen/gntalloc.h>
#include <xen/gntdev.h>

#define NF_GNTCOPY_source_gref 1u /* grant_table.h, GNTCOPY_* */
#define NF_GNTCOPY_dest_gref 2u

#endif
