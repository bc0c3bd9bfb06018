/* SPDX-License-Identifier: MIT */
/* What blkuser.c and the users share. */
#ifndef NF_PORT_USERS_H
#define NF_PORT_USERS_H

#include "nf/blkport.h"

/* options: what follows "nbd:". err is there. */
int nf__blkuser_open_nbd(const char *options, const struct nf_blkuser_env *env,
			 struct nf_blkuser *out, char *err, uint32_t err_cap);
int nf__blkuser_open_gen(const struct nf_blkuser_env *env, struct nf_blkuser *out);

#endif
