/* SPDX-License-Identifier: MIT */
/*
 * Whether a guest may send a frame, by a private copy of its first bytes: that copy is what L0
 * sends, so the guest cannot change it after it was looked at.
 */
#include "relay/mux.h"

#define VLANS_MAX 2u

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static bool is_pinned(const struct nf_mux_limits *l, uint8_t version, const uint8_t *address)
{
	uint32_t bytes = version == 4 ? 4 : 16;
	for (uint32_t i = 0; i < l->pin_count; i++)
		if (l->pins[i].version == version && !memcmp(l->pins[i].bytes, address, bytes))
			return true;
	return false;
}

static bool is_zero(const uint8_t *p, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		if (p[i])
			return false;
	return true;
}

/* A guest that has no address yet asks for one from 0.0.0.0. */
static bool v4_allowed(const struct nf_mux_limits *l, const uint8_t *ip, uint32_t left)
{
	if (left < 20 || ip[0] >> 4 != 4)
		return false;
	uint32_t head = (uint32_t)(ip[0] & 15) * 4;
	if (is_pinned(l, 4, ip + 12))
		return true;
	return is_zero(ip + 12, 4) && ip[9] == 17 && head >= 20 && left >= head + 4 &&
	       be16(ip + head) == 68 && be16(ip + head + 2) == 67;
}

static bool v6_allowed(const struct nf_mux_limits *l, const uint8_t *ip, uint32_t left)
{
	if (left < 40 || ip[0] >> 4 != 6)
		return false;
	bool is_local = ip[8] == 0xfe && (ip[9] & 0xc0) == 0x80; /* fe80::/10, for ND */
	return is_pinned(l, 6, ip + 8) || is_local || is_zero(ip + 8, 16);
}

/* Sender addresses of Ethernet and IPv4; a probe's is 0.0.0.0. */
static bool arp_allowed(const struct nf__mux_queue *q, const uint8_t *arp, uint32_t left)
{
	if (left < 28 || be16(arp) != 1 || be16(arp + 2) != 0x0800 || arp[4] != 6 || arp[5] != 4)
		return false;
	return !memcmp(arp + 8, q->mac, 6) &&
	       (is_pinned(q->limits, 4, arp + 14) || is_zero(arp + 14, 4));
}

static bool address_allowed(const struct nf__mux_queue *q, const uint8_t *head, uint32_t bytes)
{
	uint32_t at = 12;
	uint16_t type = be16(head + at);
	for (uint32_t i = 0; i < VLANS_MAX && (type == 0x8100 || type == 0x88a8); i++) {
		at += 4;
		if (at + 2 > bytes)
			return false;
		type = be16(head + at);
	}
	at += 2;
	if (type == 0x0800)
		return v4_allowed(q->limits, head + at, bytes - at);
	if (type == 0x86dd)
		return v6_allowed(q->limits, head + at, bytes - at);
	return type == 0x0806 && arp_allowed(q, head + at, bytes - at);
}

enum nf__mux_verdict nf__mux_look(const struct nf__mux_queue *q, const uint8_t *head,
				  uint32_t bytes)
{
	if (memcmp(head + 6, q->mac, 6) != 0)
		return NF__MUX_SPOOFED;
	if (q->limits->pin_count && !address_allowed(q, head, bytes))
		return NF__MUX_SPOOFED;
	return head[0] & 1 ? NF__MUX_FLOOD : NF__MUX_UNICAST;
}
