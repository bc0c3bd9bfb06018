/* SPDX-License-Identifier: MIT */
/* The hostile peer of a block device. */
#include "blkhostile.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_ROUNDS 25000 /* of at least 0.2 ms */

int bh_key(struct blkhostile *h, const char *key, const char *fmt, ...)
{
	char path[NF_STORE_PATH_MAX + 64], value[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "%s/%s", h->path, key);
	return nf_store_write(h->store, 0, path, value);
}

int bh_state(struct blkhostile *h, int state)
{
	return bh_key(h, "state", "%d", state);
}

static int other_state(struct blkhostile *h)
{
	char path[NF_STORE_PATH_MAX + 16], value[16];
	snprintf(path, sizeof(path), "%s/state", h->other);
	return nf_store_read(h->store, 0, path, value, sizeof(value)) > 0 ? atoi(value) : 0;
}

static void turn(struct blkhostile *h)
{
	blkrig_turn(h->rig);
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

int bh_wait(struct blkhostile *h, int state)
{
	for (int i = 0; i < WAIT_ROUNDS; i++) {
		int other = other_state(h);
		if (other == state)
			return 0;
		if (other >= NF_XENBUS_CLOSING && state < NF_XENBUS_CLOSING)
			return -ECONNRESET; /* it gave up */
		turn(h);
	}
	return -ETIMEDOUT;
}

static int peer_open(struct blkhostile *h, struct blkrig *rig, uint16_t domid,
		     const struct blkhostile_options *opt)
{
	h->rig = rig;
	h->layer = mem_world_layer(rig->r->w, domid);
	if (opt)
		h->opt = *opt;
	h->chan.fd = -1;
	int fd = h->layer->ops->store_fd(h->layer);
	return fd < 0 ? fd : nf_store_open(fd, &h->store);
}

static int grant(struct blkhostile *h, uint8_t purpose, uint32_t pages, uint32_t *grefs,
		 struct nf_arena *out)
{
	struct nf_arena_key key = {.peer = h->peer,
				   .inner_owner = NF_DOMID_SELF,
				   .device = h->devid,
				   .purpose = purpose};
	return h->layer->ops->alloc(h->layer, &key, pages, 0, grefs, out);
}

int bh_front_open(struct blkhostile *h, struct blkrig *rig, uint16_t domid, uint16_t devid,
		  const struct blkhostile_options *opt)
{
	*h = (struct blkhostile){.devid = devid, .peer = 0};
	int rc = peer_open(h, rig, domid, opt);
	snprintf(h->path, sizeof(h->path), "/local/domain/%u/device/vbd/%u", domid, devid);
	snprintf(h->other, sizeof(h->other), "/local/domain/0/backend/vbd/%u/%u", domid, devid);
	if (rc == 0)
		rc = grant(h, NF_PURPOSE_BLK_RING, 1, &h->ring_gref, &h->ring);
	if (rc == 0)
		rc = grant(h, NF_PURPOSE_BLK_PAYLOAD, BH_PAGES, h->grefs, &h->pages);
	if (rc == 0)
		rc = grant(h, NF_PURPOSE_BLK_LISTS, 8, h->list_grefs, &h->lists);
	if (rc == 0)
		rc = grant(h, NF_PURPOSE_BLK_TABLE, 1, &h->table_gref, &h->table);
	if (rc == 0)
		rc = h->layer->ops->alloc_chan(h->layer, h->peer, devid, 0, NF_PURPOSE_BLK_CHAN,
					       &h->chan);
	if (rc)
		return rc;
	h->shared = (struct nf_sring *)(void *)h->ring.base;
	memset(h->ring.base, 0, NF_PAGE_BYTES);
	h->shared->req_event = h->shared->rsp_event = 1;
	uint32_t *list = (uint32_t *)(void *)h->table.base;
	memcpy(list, h->grefs, sizeof(h->grefs));
	memcpy(list + BH_PAGES, h->list_grefs, sizeof(h->list_grefs));
	return 0;
}

int bh_front_publish(struct blkhostile *h)
{
	int rc = bh_key(h, "ring-ref", "%u", h->ring_gref);
	rc = rc ? rc : bh_key(h, "event-channel", "%u", h->chan.port);
	rc = rc ? rc
		: bh_key(h, "protocol", "%s",
			 h->opt.abi == NF_BLK_ABI_X86_32 ? NF_BLK_PROTO_X86_32
							 : NF_BLK_PROTO_X86_64);
	rc = rc ? rc : bh_key(h, "feature-persistent", "%d", h->opt.persistent);
	if (rc == 0 && h->opt.registered_only)
		rc = bh_key(h, "request-nestfront-registered-only", "1");
	if (rc == 0 && h->opt.registered) {
		uint32_t count = h->opt.registered_lie ? h->opt.registered_lie : BH_PAGES + 8;
		rc = bh_key(h, "nestfront-registered", "%u", count);
		for (uint32_t i = 0; i < (count + 1023) / 1024; i++) {
			char key[40];
			snprintf(key, sizeof(key), "nestfront-registered-ref%u", i);
			rc = rc ? rc : bh_key(h, key, "%u", h->table_gref);
		}
	}
	if (rc == 0 && h->opt.lie_key)
		rc = bh_key(h, h->opt.lie_key, "%s", h->opt.lie);
	return rc ? rc : bh_state(h, NF_XENBUS_INITIALISED);
}

int bh_front_connect(struct blkhostile *h)
{
	int rc = bh_wait(h, NF_XENBUS_INITWAIT);
	rc = rc ? rc : bh_front_publish(h);
	rc = rc ? rc : bh_wait(h, NF_XENBUS_CONNECTED);
	return rc ? rc : bh_state(h, NF_XENBUS_CONNECTED);
}

int bh_back_open(struct blkhostile *h, struct blkrig *rig, uint16_t domid, uint16_t front,
		 uint16_t devid, const struct blkhostile_options *opt)
{
	*h = (struct blkhostile){.devid = devid, .peer = front, .is_back = true};
	int rc = peer_open(h, rig, domid, opt);
	snprintf(h->path, sizeof(h->path), "/local/domain/%u/backend/vbd/%u/%u", domid, front,
		 devid);
	snprintf(h->other, sizeof(h->other), "/local/domain/%u/device/vbd/%u", front, devid);
	if (rc == 0 && !h->opt.persistent_late)
		rc = bh_key(h, "feature-persistent", "%d", h->opt.persistent);
	rc = rc ? rc : bh_key(h, "feature-nestfront-registered", "%d", h->opt.registered);
	return rc ? rc : bh_state(h, NF_XENBUS_INITWAIT);
}

static uint32_t read_number(struct blkhostile *h, const char *key)
{
	char path[NF_STORE_PATH_MAX + 64], value[32];
	snprintf(path, sizeof(path), "%s/%s", h->other, key);
	return nf_store_read(h->store, 0, path, value, sizeof(value)) > 0
		       ? (uint32_t)strtoul(value, NULL, 10)
		       : 0;
}

int bh_back_connect(struct blkhostile *h)
{
	int rc = bh_wait(h, NF_XENBUS_INITIALISED);
	if (rc)
		return rc;
	h->ring_gref = read_number(h, "ring-ref");
	rc = h->layer->ops->map(h->layer, h->peer, &h->ring_gref, 1, false, &h->map_addr, &h->map);
	rc = rc ? rc
		: h->layer->ops->bind_chan(h->layer, h->peer, read_number(h, "event-channel"),
					   &h->chan);
	h->shared = h->map_addr;
	rc = rc ? rc
		: bh_key(h, "sectors", "%llu",
			 (unsigned long long)(h->opt.sectors ? h->opt.sectors : 32768));
	rc = rc ? rc : bh_key(h, "sector-size", "512");
	rc = rc ? rc : bh_key(h, "info", "0");
	rc = rc ? rc : bh_key(h, "feature-flush-cache", "1");
	if (rc == 0 && !h->opt.no_indirect)
		rc = bh_key(h, "feature-max-indirect-segments", "64");
	if (rc == 0 && h->opt.persistent_late)
		rc = bh_key(h, "feature-persistent", "%u", read_number(h, "feature-persistent"));
	return rc ? rc : bh_state(h, NF_XENBUS_CONNECTED);
}

void bh_close(struct blkhostile *h)
{
	struct nf_arena *all[] = {&h->ring, &h->pages, &h->lists, &h->table};
	if (!h->layer)
		return;
	if (h->chan.fd >= 0)
		h->layer->ops->chan_close(&h->chan);
	if (h->map.count)
		h->layer->ops->unmap(h->layer, &h->map);
	for (int i = 0; i < 4; i++)
		if (all[i]->pages)
			(void)h->layer->ops->end(h->layer, all[i]);
	nf_store_close(h->store);
	h->layer->ops->close(h->layer);
	*h = (struct blkhostile){0};
}

void *bh_slot(struct blkhostile *h, uint32_t idx)
{
	uint32_t bytes = nf__blk_slot_bytes((uint8_t)h->opt.abi);
	return (uint8_t *)(h->shared + 1) + (size_t)(idx & 31u) * bytes;
}

void bh_kick(struct blkhostile *h)
{
	(void)h->layer->ops->chan_notify(&h->chan);
}

void bh_put(struct blkhostile *h, const union nf_blk_slot *slot)
{
	nf__blk_slot_store((uint8_t)h->opt.abi, bh_slot(h, h->prod++), slot);
}

void bh_push(struct blkhostile *h)
{
	nf_store_release(h->is_back ? &h->shared->rsp_prod : &h->shared->req_prod, h->prod);
	bh_kick(h);
}

void bh_rw(union nf_blk_slot *slot, const struct blkhostile *h, uint8_t op, uint64_t id,
	   uint64_t sector, uint32_t page, uint32_t n)
{
	memset(slot, 0, sizeof(*slot));
	slot->rw.operation = op;
	slot->rw.nr_segments = (uint8_t)n;
	slot->rw.id = id;
	slot->rw.sector_number = sector;
	for (uint32_t i = 0; i < n; i++)
		slot->rw.seg[i] = (struct nf_blkif_segment){.gref = h->grefs[page + i],
							    .last_sect = 7};
}

int bh_answers(struct blkhostile *h, uint32_t count, struct nf_blkif_response *rsp)
{
	for (int i = 0; i < WAIT_ROUNDS; i++) {
		if (nf_load_acquire(&h->shared->rsp_prod) == count) {
			if (rsp)
				nf__blk_rsp_load((uint8_t)h->opt.abi, bh_slot(h, count - 1), rsp);
			return 0;
		}
		turn(h);
	}
	return -ETIMEDOUT;
}

int bh_ask(struct blkhostile *h, const union nf_blk_slot *slot)
{
	struct nf_blkif_response rsp;
	bh_put(h, slot);
	bh_push(h);
	int rc = bh_answers(h, h->prod, &rsp);
	if (rc)
		return rc;
	return rsp.id == slot->rw.id ? rsp.status : -EPROTO;
}

void bh_rsp(struct blkhostile *h, uint64_t id, uint8_t op, int16_t status)
{
	nf__blk_rsp_store((uint8_t)h->opt.abi, bh_slot(h, h->prod++), id, op, status);
}
