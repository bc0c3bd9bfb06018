/* SPDX-License-Identifier: MIT */
/* What a relay tells: one human line, the inner device's error node, the counters' headers. */
#include "relay/link.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_MAX_BYTES 256
#define TX_RETRIES 32

static const char *mode_name(enum nf_relay_mode mode)
{
	switch (mode) {
	case NF_RELAY_COPY:
		return "copy";
	case NF_RELAY_TRANSLATE:
		return "translate";
	case NF_RELAY_DIRECT:
		return "direct";
	}
	return "unknown";
}

static void tell(struct nf_net_relay *r, const char *text, char *line)
{
	snprintf(line, LINE_MAX_BYTES, "relay %s %u/%u: %s", mode_name(r->cfg.mode), r->inner_owner,
		 r->inner_devid, text);
	if (r->cfg.inner.notice)
		r->cfg.inner.notice(r->cfg.inner.ctx, line);
}

void nf__link_notice(struct nf_net_relay *r, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES - 48], line[LINE_MAX_BYTES];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tell(r, text, line);
}

/* Only into a node that is there: a write would bring a removed device back. 0 or negative. */
static int error_write(struct nf_net_relay *r, const char *line)
{
	struct nf_store *store = r->cfg.inner.store;
	char path[NF_STORE_PATH_MAX + 16], frontend[NF_STORE_PATH_MAX];
	for (int i = 0; i < TX_RETRIES; i++) {
		uint32_t tx;
		int rc = nf_store_tx_begin(store, &tx);
		if (rc < 0)
			return rc;
		snprintf(path, sizeof(path), "%s/frontend", r->inner_path);
		rc = nf_store_read(store, tx, path, frontend, sizeof(frontend));
		snprintf(path, sizeof(path), "%s/error", r->inner_path);
		if (rc >= 0)
			rc = nf_store_write(store, tx, path, line);
		int end = nf_store_tx_end(store, tx, rc >= 0);
		if (rc < 0 || end != -EAGAIN)
			return rc < 0 ? rc : end;
	}
	return -EAGAIN;
}

int nf__link_fail(struct nf_net_relay *r, int error, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES - 48], line[LINE_MAX_BYTES];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tell(r, text, line);
	r->error = error;
	int rc = error_write(r, line);
	r->is_error_written = rc >= 0;
	if (rc < 0 && rc != -ENOENT)
		nf__link_notice(r, "cannot write its error: errno %d", -rc);
	return error;
}

void nf__link_healed(struct nf_net_relay *r)
{
	char path[NF_STORE_PATH_MAX + 16];
	r->error = 0;
	if (!r->is_error_written)
		return;
	snprintf(path, sizeof(path), "%s/error", r->inner_path);
	int rc = nf_store_rm(r->cfg.inner.store, 0, path);
	if (rc < 0 && rc != -ENOENT)
		nf__link_notice(r, "cannot remove %s: errno %d", path, -rc);
	r->is_error_written = false;
}

void nf__link_ended(struct nf_net_relay *r, bool is_outer, int phase)
{
	char path[NF_STORE_PATH_MAX + 16], why[LINE_MAX_BYTES / 2];
	int error = phase < 0 ? phase : -EPROTO;
	if (nf__link_refused(r))
		return; /* told */
	if (phase >= 0 && phase != NF_NET_FAILED) {
		nf__link_notice(r, "the %s end closes", is_outer ? "outer" : "inner");
		return;
	}
	if (!is_outer) { /* the end itself wrote its error node */
		r->error = error;
		nf__link_notice(r, "the inner end failed: errno %d", -error);
		return;
	}
	snprintf(path, sizeof(path), "%s/error", r->outer_path);
	if (nf_store_read(r->cfg.outer.store, 0, path, why, sizeof(why)) < 0)
		snprintf(why, sizeof(why), "errno %d", -error);
	nf__link_fail(r, error, "the outer end failed: %s", why);
}

int nf__link_fault(struct nf_net_relay *r, int error)
{
	for (uint32_t i = 0; i < r->queues; i++) {
		const struct nf__queue *q = r->queue[i];
		const struct nf__fault *f = q ? &q->fault : NULL;
		if (!f || !f->field)
			continue;
		const char *who = q->inner_fault ? "the inner front" : "the outer back";
		if (f->min > f->max)
			return nf__link_fail(r, error,
					     "queue %u: %s broke the protocol: %s %lld is "
					     "not one of this queue's",
					     i, who, f->field, (long long)f->value);
		return nf__link_fail(r, error,
				     "queue %u: %s broke the protocol: %s %lld, allowed "
				     "%lld to %lld",
				     i, who, f->field, (long long)f->value, (long long)f->min,
				     (long long)f->max);
	}
	if (error == -ENODEV)
		return nf__link_fail(r, error, "an event channel hung up");
	return nf__link_fail(r, error, "a queue stopped: errno %d", -error);
}

static uint32_t blocks_wanted(const struct nf_net_relay *r)
{
	uint32_t n = r->cfg.inner.queues;
	return n < 1 ? 1 : n > NF_NET_QUEUES_MAX ? NF_NET_QUEUES_MAX : n;
}

int nf__link_blocks_open(struct nf_net_relay *r)
{
	r->spare = calloc(NF_NET_QUEUES_MAX, sizeof(*r->spare));
	if (!r->spare)
		return -ENOMEM;
	for (uint32_t i = 0; i < NF_NET_QUEUES_MAX; i++) {
		bool wanted = i < blocks_wanted(r) && r->cfg.inner.counters;
		r->blocks[i] = wanted ? nf_counters_take(r->cfg.inner.counters, 1) : NULL;
		if (wanted && !r->blocks[i])
			nf__link_notice(r, "queue %u has no counters: the page is full", i);
		if (!r->blocks[i])
			r->blocks[i] = &r->spare[i];
	}
	nf__link_blocks(r);
	return 0;
}

void nf__link_blocks_close(struct nf_net_relay *r)
{
	for (uint32_t i = 0; r->spare && i < NF_NET_QUEUES_MAX; i++) {
		if (r->blocks[i] != &r->spare[i])
			nf_counters_drop(r->cfg.inner.counters, r->blocks[i], 1);
	}
	free(r->spare);
	r->spare = NULL;
}

static uint8_t state_shown(const struct nf_net_relay *r)
{
	switch (r->state) {
	case NF__LINK_PREPARE:
		return NF_XENBUS_INITIALISING;
	case NF__LINK_OFFERED:
		return NF_XENBUS_INITWAIT;
	case NF__LINK_RELEASED:
		return NF_XENBUS_INITIALISED;
	case NF__LINK_RUNNING:
		return NF_XENBUS_CONNECTED;
	case NF__LINK_CLOSING_OUTER:
	case NF__LINK_CLOSING_INNER:
		return NF_XENBUS_CLOSING;
	case NF__LINK_CLOSED:
		break;
	}
	return NF_XENBUS_CLOSED;
}

void nf__link_blocks(struct nf_net_relay *r)
{
	bool is_running = r->state == NF__LINK_RUNNING;
	bool is_direct = r->cfg.mode == NF_RELAY_DIRECT;
	for (uint32_t i = 0; i < NF_NET_QUEUES_MAX; i++) {
		struct nf_counters *b = r->blocks[i];
		nf_block_begin(b);
		b->h.kind = NF_BLOCK_NETRELAY;
		b->h.mode = (uint8_t)r->cfg.mode; /* the modes of relay.h are numbered as there */
		b->h.grants = is_running ? (uint8_t)nf_netfront_grants(r->outer) : NF_GRANTS_NONE;
		b->h.state = state_shown(r);
		b->h.peer = r->inner_owner;
		b->h.devid = r->inner_devid;
		b->h.queue = (uint16_t)i;
		b->h.confined = !is_direct || !is_running ? 0 : r->is_confined ? 1 : 2;
		b->h.generation = r->generation;
		b->h.error = r->error;
		nf_block_end(b);
	}
}

_Static_assert((int)NF_RELAY_COPY == (int)NF_MODE_COPY, "one numbering");
_Static_assert((int)NF_RELAY_TRANSLATE == (int)NF_MODE_TRANSLATE, "one numbering");
_Static_assert((int)NF_RELAY_DIRECT == (int)NF_MODE_DIRECT, "one numbering");
_Static_assert((int)NF_NET_GRANTS_COPY == (int)NF_GRANTS_COPY, "one numbering");
