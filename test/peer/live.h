/* SPDX-License-Identifier: MIT */
/*
 * A C test program run by a real hypervisor: fd 3 is domain 1 (a front), fd 4 domain 0 (a back).
 * Nested, there are two: fd 3 is domain 1 of H1 and fd 5 its domain 0, fd 4 is domain 0 of H0 and
 * fd 6 its domain 1; 5 and 6 are a relay's.
 */
#ifndef NF_TEST_LIVE_H
#define NF_TEST_LIVE_H

#include <stdbool.h>
#include <stddef.h>

/* The hypervisor started this program. */
bool live_started(void);
/* Becomes the hypervisor's helper, which starts `program` again. Returns only with a reason why
 * not. */
void live_start(const char *program, bool nested, char *why, size_t cap);

#endif
