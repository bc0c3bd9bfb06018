/* SPDX-License-Identifier: MIT */
/* Shared by hostile.c, hostile_front.c and hostile_back.c only. */
#ifndef NF_TEST_HOSTILE_OWN_H
#define NF_TEST_HOSTILE_OWN_H

#include "hostile.h"

/* The store, and from it the other end; h->path and is_back are set. */
int hostile__open(struct hostile *h, struct nf_layer *layer, uint16_t devid,
		  const struct hostile_options *opt);

#endif
