/* SPDX-License-Identifier: MIT */
/* A C test program run by a real hypervisor process: fds 3 and 4 are connections of two domains. */
#ifndef NF_TEST_LIVE_H
#define NF_TEST_LIVE_H

#include <stdbool.h>
#include <stddef.h>

/* The hypervisor started this program. */
bool live_started(void);
/* Becomes the hypervisor's helper, which starts `program` again. Returns only with a reason why
 * not. */
void live_start(const char *program, char *why, size_t cap);

#endif
