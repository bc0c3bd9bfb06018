/* SPDX-License-Identifier: MIT */
/* What every relay makes of its configuration: strings of its own, and who its guest is. */
#ifndef NF_RELAY_CONFIG_H
#define NF_RELAY_CONFIG_H

#include <stddef.h>
#include <stdint.h>

/* The last two numbers of .../<domid>/<devid>; -EINVAL: it has none. */
int nf__relay_path_ids(const char *path, uint16_t *domid, uint16_t *devid);
/* Copies *field (NULL: "") and points it at the copy; -EINVAL: too long. */
int nf__relay_keep(char *to, size_t cap, const char **field);

#endif
