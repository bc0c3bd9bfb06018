/* SPDX-License-Identifier: MIT */
/* Ports and counter blocks of a device's queues. Both outlive a reconnection that wants the same.
 */
#include "net_end.h"

#include <string.h>

/* What a port must not hand out, because the other end does not take it. */
static uint32_t refused_by(const struct nf_net_features *agreed)
{
	uint32_t refused = 0;
	if (!agreed->csum4 || !agreed->csum6) /* a frame does not say which it needs */
		refused |= NF_PORT_CSUM;
	if (!agreed->gso4)
		refused |= NF_PORT_GSO4;
	if (!agreed->gso6)
		refused |= NF_PORT_GSO6;
	if (!agreed->sg)
		refused |= NF_PORT_SG;
	return refused;
}

static struct nf_counters *block_take(struct nf_net_end *e, uint32_t queue)
{
	struct nf_counters *b = NULL;
	if (e->cfg.counters)
		b = nf_counters_take(e->cfg.counters, 1);
	if (!b) {
		nf__end_notice(e, "queue %u: no counter block left, its counters are not shown",
			       queue);
		b = &e->spare[queue];
	}
	nf_block_begin(b);
	b->h.kind = e->dev.is_back ? NF_BLOCK_NETBACK : NF_BLOCK_NETFRONT;
	b->h.mode = NF_MODE_NONE;
	b->h.peer = e->dev.other_domid;
	b->h.devid = e->dev.devid;
	b->h.queue = (uint16_t)queue;
	nf_block_end(b);
	return b;
}

static struct nf_counters *latency_take(struct nf_net_end *e, uint32_t queue)
{
	if (!e->cfg.counters || strcmp(e->spec, "gen") != 0)
		return NULL;
	struct nf_counters *b = nf_counters_take(e->cfg.counters, NF_LATENCY_BLOCKS);
	if (!b)
		return NULL;
	nf_block_begin(b);
	b->h.kind = NF_BLOCK_LATENCY;
	b->h.of = e->dev.is_back ? NF_BLOCK_NETBACK : NF_BLOCK_NETFRONT;
	b->h.peer = e->dev.other_domid;
	b->h.devid = e->dev.devid;
	b->h.queue = (uint16_t)queue;
	nf_block_end(b);
	return b;
}

static int port_open(struct nf_net_end *e, uint32_t queue, uint32_t queues)
{
	char err[320] = "";
	struct nf_port_env env = {
		.queue = queue,
		.queues = queues,
		.devid = e->dev.devid,
		.mtu = e->own.mtu,
		.is_back = e->dev.is_back,
		.features_refused = e->ports_refused,
		.control = e->cfg.control ? &e->cfg.control->dev[e->dev.devid % NF_CONTROL_DEVICES]
					  : NULL,
		.counters = e->blocks[queue],
		.latency = e->latency[queue],
	};
	memcpy(env.mac, e->own.mac, sizeof(env.mac));
	int rc = nf_port_open(e->spec, &env, &e->ports[queue], err, sizeof(err));
	if (rc < 0)
		return nf__end_fail(e, rc, "port %s: %s", e->spec, err[0] ? err : strerror(-rc));
	if (err[0])
		nf__end_notice(e, "port %s", err);
	return 0;
}

static void ports_drop(struct nf_net_end *e)
{
	for (uint32_t i = 0; i < e->ports_open; i++)
		nf_port_close(&e->ports[i]);
	e->ports_open = 0;
}

int nf__end_ports_open(struct nf_net_end *e, const struct nf_net_features *agreed, uint32_t queues)
{
	uint32_t refused = refused_by(agreed);
	if (!e->cfg.port)
		return 0;
	for (uint32_t i = 0; i < queues; i++) {
		if (!e->blocks[i])
			e->blocks[i] = block_take(e, i);
		if (!e->latency[i])
			e->latency[i] = latency_take(e, i);
	}
	if (e->ports_open == queues && refused == e->ports_refused)
		return 0;
	ports_drop(e);
	e->ports_refused = refused;
	for (uint32_t i = 0; i < queues; i++) {
		int rc = port_open(e, i, queues);
		if (rc) {
			ports_drop(e);
			return rc;
		}
		e->ports_open = i + 1;
	}
	return 0;
}

void nf__end_ports_close(struct nf_net_end *e)
{
	ports_drop(e);
	for (uint32_t i = 0; i < NF_NET_QUEUES_MAX; i++) {
		if (e->latency[i])
			nf_counters_drop(e->cfg.counters, e->latency[i], NF_LATENCY_BLOCKS);
		if (e->blocks[i] && e->blocks[i] != &e->spare[i])
			nf_counters_drop(e->cfg.counters, e->blocks[i], 1);
		e->blocks[i] = e->latency[i] = NULL;
	}
}

void nf__end_blocks(struct nf_net_end *e, uint8_t grants, int error)
{
	if (e->ports_open)
		nf_port_carrier(&e->ports[0], e->phase == NF_NET_RUNNING);
	for (uint32_t i = 0; i < NF_NET_QUEUES_MAX; i++) {
		struct nf_counters *b = e->blocks[i];
		if (!b)
			continue;
		nf_block_begin(b);
		b->h.state = (uint8_t)e->dev.state;
		b->h.grants = grants;
		b->h.generation = e->generation;
		b->h.error = error;
		nf_block_end(b);
	}
}
