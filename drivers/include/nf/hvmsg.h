/* SPDX-License-Identifier: MIT */
/*
 * Messages between a domain and its embedded hypervisor: one SOCK_SEQPACKET message each way,
 * little endian, answered in order. Descriptors travel with SCM_RIGHTS. lib/hypervisor mirrors this
 * file and a test compares the two. The hypervisor trusts nothing here.
 */
#ifndef NF_HVMSG_H
#define NF_HVMSG_H

#include <stdint.h>

#define NF_HV_MAGIC 0x4e465631u /* "NFV1" */
#define NF_HV_VERSION 1u
#define NF_HV_MESSAGE_MAX 65536u
#define NF_HV_FDS_MAX 200u
#define NF_HV_GREFS_MAX 2048u /* per message */

enum nf_hv_type {
	NF_HV_HELLO = 1,
	NF_HV_CLONE = 2,  /* reply fd[0]: another connection as this domain */
	NF_HV_STORE = 3,  /* reply fd[0]: xenstore stream socket as this domain */
	NF_HV_ALLOC = 4,  /* reply: nf_hv_alloc_reply + grefs[pages], fd[0] the arena */
	NF_HV_END = 5,	  /* reply status 0 or -EBUSY (quarantined) */
	NF_HV_DONATE = 6, /* request fd[0]: the pages */
	NF_HV_MAP = 7,	  /* reply: nf_hv_map_reply, arenas, slots; one fd per arena */
	NF_HV_UNMAP = 8,
	NF_HV_CHAN_ALLOC = 9, /* reply: port, fd[0] our end */
	NF_HV_CHAN_BIND = 10, /* reply: port, fd[0] our end */
	NF_HV_CHAN_CLOSE = 11,
	NF_HV_CHAN_DONATE = 12, /* request fd[0]: the end to hand on */
	NF_HV_TABLE = 13, /* reply fd[0]: the peer's grant table, read-only; if it grants us any */
};

struct nf_hv_header {
	uint32_t magic;
	uint16_t type;	/* replies carry the request's type */
	uint16_t flags; /* 1 = reply */
	uint32_t seq;	/* echoed */
	int32_t status; /* reply: 0 or negative errno */
};

struct nf_hv_hello {
	struct nf_hv_header h;
	uint32_t version;
	uint32_t pad;
};

/* fds: [0] own grant table (rw), [1] counters (rw), [2] control page (ro) */
struct nf_hv_hello_reply {
	struct nf_hv_header h;
	uint32_t version;
	uint16_t domid;
	uint16_t privileged; /* may donate to, and back, other domains of this layer */
	uint32_t table_entries;
	uint32_t counters_bytes;
	uint32_t control_bytes;
	uint32_t pad;
};

struct nf_hv_key {
	uint16_t peer;
	uint16_t inner_owner;
	uint16_t device;
	uint16_t queue;
	uint8_t purpose;
	uint8_t readonly;
	uint16_t pad;
};

struct nf_hv_alloc {
	struct nf_hv_header h;
	struct nf_hv_key key;
	uint32_t pages;
};

struct nf_hv_alloc_reply {
	struct nf_hv_header h;
	uint64_t arena;
	uint64_t fd_offset;
	uint32_t pages;
	uint32_t donated; /* 1: backed by an outer layer's pages */
			  /* uint32_t grefs[pages] */
};

struct nf_hv_end {
	struct nf_hv_header h;
	uint64_t arena;
};

struct nf_hv_donate {
	struct nf_hv_header h;
	struct nf_hv_key key; /* peer = the inner domain that will allocate */
	uint32_t pages;
	uint64_t fd_offset;
	uint32_t equal_grefs;
	uint32_t pad;
	/* uint32_t grefs[pages] when equal_grefs */
};

struct nf_hv_map {
	struct nf_hv_header h;
	uint16_t peer;
	uint16_t readonly;
	uint32_t count;
	/* uint32_t grefs[count] */
};

struct nf_hv_map_arena {
	uint64_t arena;
	uint64_t fd_offset;
	uint32_t pages;
	uint32_t readonly;
};

struct nf_hv_map_slot {
	uint32_t arena_index; /* into the reply's arenas */
	uint32_t page;
};

struct nf_hv_map_reply {
	struct nf_hv_header h;
	uint32_t arenas;
	uint32_t count;
	/* struct nf_hv_map_arena[arenas]; struct nf_hv_map_slot[count]; fds[arenas] */
};

struct nf_hv_unmap {
	struct nf_hv_header h;
	uint16_t peer;
	uint16_t readonly;
	uint32_t count;
	/* uint32_t grefs[count] */
};

struct nf_hv_chan {
	struct nf_hv_header h;
	uint16_t peer;
	uint16_t device;
	uint16_t queue;
	uint16_t purpose;
	uint32_t port; /* bind: the peer's; close: ours */
	uint32_t pad;
};

struct nf_hv_chan_reply {
	struct nf_hv_header h;
	uint32_t port;
	uint32_t pad;
};

struct nf_hv_table {
	struct nf_hv_header h;
	uint16_t peer;
	uint16_t pad[3];
};

/* Xen's v1 grant entry */
struct nf_grant_entry {
	uint16_t flags;
	uint16_t domid;
	uint32_t frame; /* opaque page number, unique within the granter's table */
};

#define NF_GTF_invalid 0u
#define NF_GTF_permit_access 1u
#define NF_GTF_readonly 0x04u
#define NF_GTF_reading 0x08u
#define NF_GTF_writing 0x10u

_Static_assert(sizeof(struct nf_hv_header) == 16, "header is 16 B");
_Static_assert(sizeof(struct nf_hv_hello_reply) == 40, "hello reply is 40 B");
_Static_assert(sizeof(struct nf_hv_key) == 12, "key is 12 B");
_Static_assert(sizeof(struct nf_hv_alloc) == 32, "alloc is 32 B");
_Static_assert(sizeof(struct nf_hv_alloc_reply) == 40, "alloc reply is 40 B");
_Static_assert(sizeof(struct nf_hv_donate) == 48, "donate is 48 B");
_Static_assert(sizeof(struct nf_hv_map) == 24, "map is 24 B");
_Static_assert(sizeof(struct nf_hv_map_arena) == 24, "map arena is 24 B");
_Static_assert(sizeof(struct nf_hv_chan) == 32, "chan is 32 B");
_Static_assert(sizeof(struct nf_grant_entry) == 8, "v1 entry is 8 B");

#endif
