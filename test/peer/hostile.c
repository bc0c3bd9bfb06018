/* SPDX-License-Identifier: MIT */
/* What the raw front and the raw back have in common. */
#include "hostile_own.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int hostile_key(struct hostile *h, const char *key, const char *fmt, ...)
{
	char path[NF_STORE_PATH_MAX + 64], value[NF_STORE_PAYLOAD_MAX];
	va_list ap;
	snprintf(path, sizeof(path), "%s/%s", h->path, key);
	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	return nf_store_write(h->store, 0, path, value);
}

int hostile_state(struct hostile *h, int state)
{
	return hostile_key(h, "state", "%d", state);
}

int hostile_other_state(struct hostile *h)
{
	char path[NF_STORE_PATH_MAX + 8];
	uint32_t state = 0;
	snprintf(path, sizeof(path), "%s/state", h->other);
	(void)nf_store_read_u32(h->store, 0, path, 0, 8, &state);
	return (int)state;
}

static void nap(struct hostile *h)
{
	if (h->turn)
		h->turn(h->ctx);
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int wait_for(struct hostile *h, int state, int unless)
{
	uint64_t end = now_ms() + (h->wait_ms ? h->wait_ms : HOSTILE_WAIT_MS);
	for (int other; (other = hostile_other_state(h)) != state;) {
		if (now_ms() > end)
			return -ETIMEDOUT;
		if (other >= unless)
			return -ECONNRESET;
		nap(h);
	}
	return 0;
}

int hostile_wait(struct hostile *h, int state)
{
	return wait_for(h, state, INT_MAX);
}

int hostile_wait_accepted(struct hostile *h)
{
	return wait_for(h, NF_XENBUS_CONNECTED, NF_XENBUS_CLOSING);
}

void hostile_linger(struct hostile *h, unsigned ms)
{
	uint64_t end = now_ms() + ms;
	do
		nap(h);
	while (now_ms() < end);
}

static struct nf_sring *ring_of(struct hostile *h, uint32_t queue, char ring)
{
	return ring == 'c'   ? h->shared_ctrl
	       : ring == 't' ? h->q[queue].shared_tx
			     : h->q[queue].shared_rx;
}

void hostile_poke(struct hostile *h, uint32_t queue, char ring, uint32_t word, uint32_t value)
{
	nf_store_release((uint32_t *)(void *)ring_of(h, queue, ring) + word, value);
}

uint32_t hostile_peek(struct hostile *h, uint32_t queue, char ring, uint32_t word)
{
	return nf_load_acquire((uint32_t *)(void *)ring_of(h, queue, ring) + word);
}

void *hostile_slot(struct hostile *h, uint32_t queue, char ring, uint32_t idx)
{
	uint8_t *slots = (uint8_t *)ring_of(h, queue, ring) + sizeof(struct nf_sring);
	uint32_t bytes = ring == 'c' ? 16 : ring == 't' ? 12 : 8;
	return slots + (size_t)(idx & (ring == 'c' ? 127u : 255u)) * bytes;
}

void hostile_load(struct hostile *h, uint32_t queue, char ring, uint32_t idx, void *out,
		  uint32_t bytes)
{
	const uint32_t *shared = hostile_slot(h, queue, ring, idx);
	for (uint32_t i = 0; i < bytes / 4; i++) {
		uint32_t word = nf_load_relaxed(shared + i);
		memcpy((uint8_t *)out + 4 * (size_t)i, &word, 4);
	}
}

void hostile_store(struct hostile *h, uint32_t queue, char ring, uint32_t idx, const void *in,
		   uint32_t bytes)
{
	uint32_t *shared = hostile_slot(h, queue, ring, idx);
	for (uint32_t i = 0; i < bytes / 4; i++) {
		uint32_t word;
		memcpy(&word, (const uint8_t *)in + 4 * (size_t)i, 4);
		nf_store_relaxed(shared + i, word);
	}
}

void hostile_kick(struct hostile *h, uint32_t queue)
{
	struct hostile_queue *q = &h->q[queue];
	(void)h->layer->ops->chan_notify(&q->tx_chan);
	if (q->rx_chan.fd >= 0)
		(void)h->layer->ops->chan_notify(&q->rx_chan);
}

static void queue_close(struct hostile *h, struct hostile_queue *q)
{
	const struct nf_layer_ops *ops = h->layer->ops;
	struct nf_arena *arenas[] = {&q->tx_ring, &q->rx_ring, &q->tx_pages, &q->rx_pages};
	if (q->tx_chan.fd >= 0)
		ops->chan_close(&q->tx_chan);
	if (q->rx_chan.fd >= 0)
		ops->chan_close(&q->rx_chan);
	if (q->map.priv)
		(void)ops->unmap(h->layer, &q->map);
	for (size_t i = 0; i < 4; i++) {
		if (arenas[i]->pages)
			(void)ops->end(h->layer, arenas[i]);
		arenas[i]->pages = 0;
	}
	memset(q, 0, sizeof(*q));
	q->tx_chan.fd = q->rx_chan.fd = -1;
}

void hostile_close(struct hostile *h)
{
	if (!h->layer)
		return;
	for (uint32_t i = 0; i < HOSTILE_QUEUES; i++)
		queue_close(h, &h->q[i]);
	if (h->ctrl_chan.fd >= 0)
		h->layer->ops->chan_close(&h->ctrl_chan);
	if (h->ctrl_map.priv)
		(void)h->layer->ops->unmap(h->layer, &h->ctrl_map);
	if (h->ctrl.pages)
		(void)h->layer->ops->end(h->layer, &h->ctrl);
	nf_store_close(h->store);
	*h = (struct hostile){
		.ctrl_chan.fd = -1, .turn = h->turn, .ctx = h->ctx, .wait_ms = h->wait_ms};
}

static int number(struct hostile *h, const char *key, uint32_t *out)
{
	char path[NF_STORE_PATH_MAX + 64];
	snprintf(path, sizeof(path), "%s/%s", h->path, key);
	return nf_store_read_u32(h->store, 0, path, 0, UINT32_MAX, out);
}

int hostile__open(struct hostile *h, struct nf_layer *layer, uint16_t devid,
		  const struct hostile_options *opt)
{
	h->layer = layer;
	h->devid = devid;
	h->opt = opt ? *opt : (struct hostile_options){0};
	h->queues = h->opt.queues ? h->opt.queues : 1;
	h->ctrl_chan.fd = -1;
	for (uint32_t i = 0; i < HOSTILE_QUEUES; i++)
		h->q[i].tx_chan.fd = h->q[i].rx_chan.fd = -1;
	if (h->opt.payload_pages == 0)
		h->opt.payload_pages = HOSTILE_SLOTS;
	int fd = layer->ops->store_fd(layer);
	int rc = fd < 0 ? fd : nf_store_open(fd, &h->store);
	uint32_t peer = 0;
	char path[NF_STORE_PATH_MAX + 16];
	if (rc == 0)
		rc = number(h, h->is_back ? "frontend-id" : "backend-id", &peer);
	snprintf(path, sizeof(path), "%s/%s", h->path, h->is_back ? "frontend" : "backend");
	if (rc == 0)
		rc = nf_store_read(h->store, 0, path, h->other, sizeof(h->other));
	h->peer = (uint16_t)peer;
	if (rc < 0)
		hostile_close(h);
	return rc < 0 ? rc : 0;
}
