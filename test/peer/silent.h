/* SPDX-License-Identifier: MIT */
#ifndef NF_TEST_SILENT_H
#define NF_TEST_SILENT_H

#include "rig.h"

/* The domain's channels become silent ones: of every domain that is to talk to it, before any
 * channel is made. One process, all worlds together: at most 255 channels. */
void silence(struct rig_domain *d);

#endif
