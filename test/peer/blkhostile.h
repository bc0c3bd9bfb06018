/* SPDX-License-Identifier: MIT */
/*
 * The hostile peer of a block device, as hostile.h has it for the network: a raw front or back that
 * negotiates honestly and then hands ring, pages, event channel and keys to the test. It checks
 * nothing. With it, a scene: the victim, and a bystander whose disk goes on.
 *
 *   domain 0  real backs        domain 1  the hostile front
 *   domain 2  real fronts       domain 3  the hostile back
 */
#ifndef NF_TEST_BLKHOSTILE_H
#define NF_TEST_BLKHOSTILE_H

#include "blk/blk_internal.h"
#include "blkrig.h"

#define BH_PAGES 64u

struct blkhostile_options {
	uint32_t abi;
	bool persistent, registered, registered_only;
	bool no_indirect;	 /* back: does not offer it */
	bool persistent_late;	 /* back: as Linux: not before 4, and then what the front said */
	uint64_t sectors;	 /* back: 0: 32768 */
	uint32_t registered_lie; /* front: publishes this count in place of the true one */
	const char *lie_key;	 /* front: this one of its keys says lie; NULL: none */
	const char *lie;
};

struct blkhostile {
	struct nf_layer *layer; /* borrowed */
	struct nf_store *store;
	bool is_back;
	uint16_t peer, devid;
	struct blkhostile_options opt;
	char path[NF_STORE_PATH_MAX], other[NF_STORE_PATH_MAX];
	struct nf_sring *shared;
	uint32_t prod; /* what push publishes */
	struct nf_chan chan;
	struct nf_arena ring, pages, lists, table; /* front */
	uint32_t ring_gref, grefs[BH_PAGES], list_grefs[8], table_gref;
	struct nf_mapping map; /* back */
	void *map_addr;
	struct blkrig *rig; /* turned while waiting */
};

/* Nodes exist. Allocates, publishes nothing. */
int bh_front_open(struct blkhostile *h, struct blkrig *rig, uint16_t domid, uint16_t devid,
		  const struct blkhostile_options *opt);
/* Writes the keys and state 3. */
int bh_front_publish(struct blkhostile *h);
/* Waits for the offer, publishes, waits for Connected, says 4. */
int bh_front_connect(struct blkhostile *h);
int bh_back_open(struct blkhostile *h, struct blkrig *rig, uint16_t domid, uint16_t front,
		 uint16_t devid, const struct blkhostile_options *opt);
/* Waits for the front's rings, maps them, says what disk it is and 4. */
int bh_back_connect(struct blkhostile *h);
void bh_close(struct blkhostile *h); /* without a word; idempotent */
int bh_key(struct blkhostile *h, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int bh_state(struct blkhostile *h, int state);
int bh_wait(struct blkhostile *h, int state); /* of the other end: 0, -ETIMEDOUT */
void *bh_slot(struct blkhostile *h, uint32_t idx);
void bh_kick(struct blkhostile *h);
/* Front: the next request slot; push publishes and notifies. */
void bh_put(struct blkhostile *h, const union nf_blk_slot *slot);
void bh_push(struct blkhostile *h);
/* A read or write of n whole pages, page i of the arena on. */
void bh_rw(union nf_blk_slot *slot, const struct blkhostile *h, uint8_t op, uint64_t id,
	   uint64_t sector, uint32_t page, uint32_t n);
/* Waits for so many responses in all; 0 or -ETIMEDOUT; rsp gets the last of them. */
int bh_answers(struct blkhostile *h, uint32_t count, struct nf_blkif_response *rsp);
/* One request and its answer: the status, or -ETIMEDOUT. */
int bh_ask(struct blkhostile *h, const union nf_blk_slot *slot);
/* Back: the next response. */
void bh_rsp(struct blkhostile *h, uint64_t id, uint8_t op, int16_t status);

struct blkscene {
	struct rig r;
	struct blkrig b;
	struct blkrig_pair bystander;
	struct mem_baseline base;
	struct mem_vbd v;
	struct blkrig_end *real;
	struct blkhostile h;
	char why[600];
};

bool blkscene_open(struct blkscene *s, enum nf_poll_mode mode);
void blkscene_close(struct blkscene *s);
/* A victim back and a hostile front, connected; or the other way round. */
bool blkscene_front(struct blkscene *s, const struct blkhostile_options *opt,
		    const struct nf_blk_config *real);
bool blkscene_back(struct blkscene *s, const struct blkhostile_options *opt,
		   const struct nf_blk_config *real);
/* The victim was stopped, its error node says `text`, the bystander goes on. */
bool blkscene_refused(struct blkscene *s, const char *text);
/* The victim runs without an error, and the bystander goes on. */
bool blkscene_survived(struct blkscene *s);
/* Ends the act; all must be back where it was, quarantine aside. */
bool blkscene_end(struct blkscene *s, bool hostile_first);

#endif
