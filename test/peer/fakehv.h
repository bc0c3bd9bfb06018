/* SPDX-License-Identifier: MIT */
/*
 * The other end of the embedded layer's socket, in a thread of the test: answers like a hypervisor,
 * and on request like a broken one. One domain (FAKEHV_SELF) is connected; the pages of its peer
 * (FAKEHV_PEER) are made by the test itself.
 */
#ifndef NF_TEST_FAKEHV_H
#define NF_TEST_FAKEHV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "nf/hvmsg.h"
#include "nf/layer.h"

#define FAKEHV_SELF 5u
#define FAKEHV_PEER 7u
#define FAKEHV_ENTRIES 1024u
#define FAKEHV_ARENAS 64u
#define FAKEHV_TYPES 16u

/* What is wrong with the next answer to a message of `type`. */
enum fakehv_fault {
	FAKEHV_NONE,
	FAKEHV_STATUS,	     /* refuses with `value` */
	FAKEHV_STATUS_FD,    /* refuses, but sends a descriptor */
	FAKEHV_EMPTY_HEADER, /* 15 bytes */
	FAKEHV_SHORT,	     /* `value` bytes fewer than right */
	FAKEHV_LONG,	     /* `value` bytes more than right */
	FAKEHV_OVERSIZED,    /* more than NF_HV_MESSAGE_MAX */
	FAKEHV_MAGIC,
	FAKEHV_TYPE,
	FAKEHV_NO_REPLY_FLAG,
	FAKEHV_SEQ_OLD,
	FAKEHV_SEQ_NEW,
	FAKEHV_STATUS_POSITIVE,
	FAKEHV_STATUS_HUGE,
	FAKEHV_STRAY_FDS, /* `value` descriptors more than right */
	FAKEHV_NO_FDS,
	FAKEHV_WRONG_FDS,  /* /dev/null in place of each descriptor */
	FAKEHV_UNSEALED,   /* memory that may shrink, in place of each */
	FAKEHV_WORD,	   /* the 32-bit word at `offset` of the answer becomes `value` */
	FAKEHV_DIE_BEFORE, /* closes without an answer */
	FAKEHV_DIE_AFTER,  /* answers, then closes */
	FAKEHV_SILENT,	   /* no answer now; fakehv_late() sends it */
	FAKEHV_TWICE,	   /* the same answer again */
};

struct fakehv_arena {
	uint64_t id;
	int fd;
	uint32_t pages;
	bool readonly;
	uint8_t *base; /* the peer's own mapping */
};

struct fakehv {
	int fd;	       /* ours */
	int client_fd; /* to pass to nf_layer_open_embedded, which then owns it */
	pthread_t thread;
	pthread_mutex_t lock; /* everything below */
	enum fakehv_fault fault;
	uint16_t fault_type;
	int32_t value;
	uint32_t offset;
	bool privileged;
	uint32_t version;

	atomic_uint messages[FAKEHV_TYPES]; /* received, by type */
	int table_fd, counters_fd, control_fd, peer_table_fd;
	struct nf_grant_entry *table, *peer_table;
	struct fakehv_arena arenas[FAKEHV_ARENAS];
	uint32_t arena_count;
	struct {
		uint32_t arena, page;
		bool valid;
		int32_t mapped[2]; /* by readonly: map messages less unmap messages */
	} peer_grefs[FAKEHV_ENTRIES];
	uint32_t next_gref, next_port;
	int chan_fd;  /* the other end of the last channel, -1 none */
	int store_fd; /* the other end of the last store socket */
	uint64_t donated_inode;
	struct nf_hv_donate donated;
	struct nf_hv_chan chan_donated;
	uint32_t donated_grefs[NF_HV_GREFS_MAX];

	uint8_t late[256]; /* the answer held back by FAKEHV_SILENT */
	uint32_t late_bytes;
	int late_fds[4];
	int late_fd_count;
};

/* Starts the thread; false when the system refuses. */
bool fakehv_start(struct fakehv *h);
/* Ends the thread (the client sees a hang-up) and frees everything. */
void fakehv_stop(struct fakehv *h);
/* Opens the layer over it; NULL on failure, *rc tells. */
struct nf_layer *fakehv_open(struct fakehv *h, int *rc);
void fakehv_arm(struct fakehv *h, enum fakehv_fault fault, uint16_t type, int32_t value);
void fakehv_late(struct fakehv *h);

/* Grants `pages` pages of the peer to us under grefs first, first + 1 ...; returns the arena's
 * index. */
uint32_t fakehv_grant(struct fakehv *h, uint32_t first, uint32_t pages, bool readonly);
/* Rewrites one entry of the peer's table. */
void fakehv_entry(struct fakehv *h, uint32_t gref, uint16_t flags, uint16_t domid, uint32_t frame);
/* Ends an arena as a hypervisor does: entries and grefs gone, pages punched. */
void fakehv_revoke(struct fakehv *h, uint32_t arena);
/* Grants of the peer that are mapped by us: map messages less unmap messages. */
int fakehv_mapped(struct fakehv *h);
/* Messages of that type so far. */
uint32_t fakehv_messages(struct fakehv *h, uint16_t type);

/* Open descriptors of this process, when the thread of h (NULL: none runs) holds none for a moment.
 */
int fakehv_open_fds(struct fakehv *h);

#endif
