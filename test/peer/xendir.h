/* SPDX-License-Identifier: MIT */
/*
 * A folder that looks like /dev/xen: plain files for the devices, whose ioctls the test answers by
 * an ioctl() of its own, and a pseudo-terminal with a tiny store behind it for xenbus.
 */
#ifndef NF_TEST_XENDIR_H
#define NF_TEST_XENDIR_H

#include <stdbool.h>

/* What the store answers for "domid", the one node it has. */
extern char xendir_domid[8];

/* Its path, empty inside; NULL and errno when it cannot be made. One a program. */
const char *xendir_make(void);
/* A file below it, with the folders above. */
void xendir_file(const char *name, const char *text);
/* False where there are no pseudo-terminals. */
bool xendir_xenbus(void);
void xendir_remove(void);

#endif
