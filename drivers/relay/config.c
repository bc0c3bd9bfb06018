/* SPDX-License-Identifier: MIT */
#include "relay/config.h"

#include <stdio.h>
#include <string.h>

#include "nf/layer.h"

int nf__relay_path_ids(const char *path, uint16_t *domid, uint16_t *devid)
{
	const char *last = strrchr(path, '/');
	const char *before = last;
	while (before && before > path && before[-1] != '/')
		before--;
	unsigned dom, dev;
	int end = 0;
	if (!before || before == last || sscanf(before, "%5u/%5u%n", &dom, &dev, &end) != 2 ||
	    before[end] != '\0' || dom >= NF_DOMID_SELF || dev > UINT16_MAX)
		return -EINVAL;
	*domid = (uint16_t)dom;
	*devid = (uint16_t)dev;
	return 0;
}

int nf__relay_keep(char *to, size_t cap, const char **field)
{
	const char *from = *field ? *field : "";
	if (strlen(from) >= cap)
		return -EINVAL;
	strcpy(to, from);
	*field = to;
	return 0;
}
