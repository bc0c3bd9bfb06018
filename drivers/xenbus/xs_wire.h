/* SPDX-License-Identifier: MIT */
/*
 * The xenstore wire protocol as Xen's public io/xs_wire.h states it: a 16-byte header of four words
 * in host order, then len bytes of payload. A test compares this file with Xen's.
 */
#ifndef NF_XS_WIRE_H
#define NF_XS_WIRE_H

#include <stddef.h>
#include <stdint.h>

enum nf_xs_type {
	NF_XS_CONTROL = 0,
	NF_XS_DIRECTORY = 1,
	NF_XS_READ = 2,
	NF_XS_GET_PERMS = 3,
	NF_XS_WATCH = 4,
	NF_XS_UNWATCH = 5,
	NF_XS_TRANSACTION_START = 6,
	NF_XS_TRANSACTION_END = 7,
	NF_XS_INTRODUCE = 8,
	NF_XS_RELEASE = 9,
	NF_XS_GET_DOMAIN_PATH = 10,
	NF_XS_WRITE = 11,
	NF_XS_MKDIR = 12,
	NF_XS_RM = 13,
	NF_XS_SET_PERMS = 14,
	NF_XS_WATCH_EVENT = 15, /* server to client, never a reply; req_id and tx_id are 0 */
	NF_XS_ERROR = 16,	/* the reply's payload is the name of an errno */
	NF_XS_IS_DOMAIN_INTRODUCED = 17,
	NF_XS_RESUME = 18,
	NF_XS_SET_TARGET = 19,
	NF_XS_RESET_WATCHES = 21,
	NF_XS_DIRECTORY_PART = 22,
};

#define NF_XS_PAYLOAD_MAX 4096u
#define NF_XS_ABS_PATH_MAX 3072u
#define NF_XS_REL_PATH_MAX 2048u

struct nf_xs_header {
	uint32_t type;
	uint32_t req_id; /* echoed */
	uint32_t tx_id;	 /* 0: no transaction */
	uint32_t len;	 /* of the payload, <= NF_XS_PAYLOAD_MAX */
};

_Static_assert(sizeof(struct nf_xs_header) == 16, "header is 16 B");
_Static_assert(offsetof(struct nf_xs_header, type) == 0, "type at 0");
_Static_assert(offsetof(struct nf_xs_header, req_id) == 4, "req_id at 4");
_Static_assert(offsetof(struct nf_xs_header, tx_id) == 8, "tx_id at 8");
_Static_assert(offsetof(struct nf_xs_header, len) == 12, "len at 12");

#endif
