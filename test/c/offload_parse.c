/* SPDX-License-Identifier: MIT */
/* Headers and checksums against frames built and summed here by the slowest means there are. */
#include "nf/netif.h"
#include "nf/offload.h"
#include "port/vnet.h"
#include "tap.h"

#include <errno.h>

static uint8_t f[2048];
static uint32_t len;

static void put16(uint32_t at, uint32_t v)
{
	f[at] = (uint8_t)(v >> 8);
	f[at + 1] = (uint8_t)v;
}

/* Ethernet with so many VLAN tags; where the network header starts. */
static uint32_t ethernet(uint32_t vlans, uint32_t type)
{
	memset(f, 0, sizeof(f));
	memset(f, 0x02, 12);
	uint32_t at = 12;
	for (uint32_t i = 0; i < vlans; i++, at += 4)
		put16(at, i == 0 && vlans == 2 ? 0x88a8 : 0x8100);
	put16(at, type);
	return at + 2;
}

static void payload(uint32_t at, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		f[at + i] = (uint8_t)(i * 7 + 3);
	len = at + n;
}

/* TCP or UDP of n payload bytes at `at`; header bytes. */
static uint32_t l4(uint32_t at, uint32_t proto, uint32_t n)
{
	uint32_t head = proto == 6 ? 32 : 8; /* TCP with 12 bytes of options */
	put16(at, 4242);
	put16(at + 2, 80);
	if (proto == 6)
		f[at + 12] = 8 << 4;
	else
		put16(at + 4, head + n);
	payload(at + head, n);
	return head;
}

static void ipv4(uint32_t vlans, uint32_t options, uint32_t proto, uint32_t n)
{
	uint32_t at = ethernet(vlans, 0x0800), head = 20 + options;
	f[at] = (uint8_t)(0x40 | head / 4);
	f[at + 8] = 64;
	f[at + 9] = (uint8_t)proto;
	memcpy(f + at + 12, "\x0a\x00\x00\x01\x0a\x00\x00\x02", 8);
	put16(at + 2, head + l4(at + head, proto, n) + n);
}

/* ext: next-header numbers of 8-byte extension headers, ended by 255. */
static void ipv6(const uint8_t *ext, uint32_t proto, uint32_t n)
{
	uint32_t at = ethernet(0, 0x86dd), start = at + 40, here = start;
	f[at] = 0x60;
	for (int i = 0; i < 16; i++) {
		f[at + 8 + (uint32_t)i] = (uint8_t)(0x20 + i);
		f[at + 24 + (uint32_t)i] = (uint8_t)(0x40 + i);
	}
	uint8_t *next = &f[at + 6];
	for (; *ext != 255; ext++, here += 8) {
		*next = *ext;
		next = &f[here];
	}
	*next = (uint8_t)proto;
	put16(at + 4, here - start + l4(here, proto, n) + n);
}

/* RFC 1071 as it is written. */
static uint16_t slow_sum(uint32_t start, const uint8_t *p, uint32_t n)
{
	uint32_t sum = start;
	for (uint32_t i = 0; i < n; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

static uint16_t slow_checksum(const struct nf_headers *h, uint32_t bytes)
{
	const uint8_t *ip = f + h->l3_offset;
	uint16_t sum = h->version == 4 ? slow_sum(h->protocol + bytes, ip + 12, 8)
				       : slow_sum(h->protocol + bytes, ip + 8, 32);
	uint8_t copy[2048];
	memcpy(copy, f + h->l4_offset, bytes);
	copy[h->csum_offset] = copy[h->csum_offset + 1] = 0;
	uint16_t v = (uint16_t)~slow_sum(sum, copy, bytes);
	return v == 0 && h->protocol == 17 ? 0xffff : v;
}

static struct nf_headers parsed(const char *what)
{
	struct nf_headers h = {0};
	is(nf_headers_parse(f, len > 256 ? 256 : len, len, &h), 0, "%s parses", what);
	return h;
}

static void golden(void)
{
	static const uint8_t none[] = {255}, hop[] = {0, 60, 43, 255}, atomic[] = {0, 44, 255};
	struct nf_headers h;

	ipv4(0, 0, 6, 100);
	h = parsed("IPv4 TCP");
	ok(h.version == 4 && h.protocol == 6 && h.l3_offset == 14 && h.l4_offset == 34 &&
		   h.payload_offset == 66 && h.csum_offset == 16 && !h.fragment,
	   "with every field");
	is(nf_csum_complete(f, len, &h), slow_checksum(&h, 132), "and its checksum");
	ipv4(1, 24, 17, 33);
	h = parsed("IPv4 with options, VLAN, UDP of odd length");
	ok(h.l3_offset == 18 && h.l4_offset == 62 && h.payload_offset == 70 && h.csum_offset == 6,
	   "with every field");
	is(nf_csum_complete(f, len, &h), slow_checksum(&h, 41), "and its checksum");
	len += 7; /* padding of a short frame is not summed */
	is(nf_csum_complete(f, len, &h), slow_checksum(&h, 41), "padding does not change it");
	ipv4(2, 0, 6, 1);
	h = parsed("two VLAN tags");
	is(h.l3_offset, 22, "at the right place");
	ipv6(none, 6, 64);
	h = parsed("IPv6 TCP");
	ok(h.version == 6 && h.l4_offset == 54 && h.payload_offset == 86, "with every field");
	is(nf_csum_complete(f, len, &h), slow_checksum(&h, 96), "and its checksum");
	ipv6(hop, 17, 21);
	h = parsed("IPv6 with three extension headers, UDP");
	ok(h.l4_offset == 78 && h.protocol == 17, "with every field");
	is(nf_csum_complete(f, len, &h), slow_checksum(&h, 29), "and its checksum");
	ipv6(atomic, 6, 10);
	h = parsed("an atomic fragment");
	ok(!h.fragment && h.l4_offset == 70, "is a whole packet");
	put16(56 + 8, 0x0001);
	h = parsed("a first fragment");
	is(h.fragment, 1, "is marked");
	ipv4(0, 0, 6, 10);
	put16(20, 0x2000);
	h = parsed("an IPv4 fragment");
	is(h.fragment, 1, "is marked");
}

static void refused(const char *what)
{
	struct nf_headers h;
	is(nf_headers_parse(f, len > 256 ? 256 : len, len, &h), -EINVAL, "%s is refused", what);
}

static void refusals(void)
{
	static const uint8_t none[] = {255}, many[] = {0, 60, 60, 60, 60, 60, 60, 60, 60, 60, 255};
	ipv4(0, 0, 6, 10);
	f[14] = 0x44;
	refused("an IPv4 header shorter than itself");
	ipv4(0, 0, 6, 10);
	put16(16, 3000);
	refused("a total length beyond the frame");
	ipv4(0, 0, 6, 10);
	f[34 + 12] = 0x40;
	refused("a TCP header shorter than itself");
	ipv4(0, 0, 6, 10);
	f[34 + 12] = 0xf0;
	refused("a TCP header beyond the packet");
	ipv4(0, 0, 1, 10);
	refused("ICMP");
	ipv4(3, 0, 6, 10);
	refused("a third VLAN tag");
	ipv6(many, 6, 10);
	refused("ten extension headers");
	ipv6(none, 6, 10);
	put16(18, 2000);
	refused("an IPv6 length beyond the frame");
	ethernet(0, 0x0806);
	payload(14, 46);
	refused("ARP");
	len = 13;
	refused("13 bytes");
}

/* Every cut and many random changes: bounded, no byte beyond count read (the sanitizer watches). */
static void junk(void)
{
	static const uint8_t hop[] = {0, 60, 43, 44, 255};
	uint64_t r = 42;
	uint32_t accepted = 0, bad = 0;

	for (uint32_t round = 0; round < 200000; round++) {
		r = r * 6364136223846793005ull + 1442695040888963407ull;
		if (round % 64 == 0) {
			if (r >> 63)
				ipv4((uint32_t)(r >> 40) % 3, (uint32_t)(r >> 44) % 11 * 4,
				     (r >> 50) & 1 ? 6 : 17, (uint32_t)(r >> 30) % 100);
			else
				ipv6(hop, 6, 40);
		}
		f[(r >> 33) % len] = (uint8_t)(r >> 20);
		uint32_t n = 1 + (uint32_t)(r >> 10) % (len < 256 ? len : 256);
		uint8_t *exact = malloc(n);
		memcpy(exact, f, n);
		struct nf_headers h;
		if (nf_headers_parse(exact, n, len, &h) == 0) {
			accepted++;
			bad += h.payload_offset > n || h.l4_offset < h.l3_offset + 20 ||
			       (!h.fragment && h.l4_offset + h.csum_offset + 2u > n);
			if (n == len && !h.fragment)
				bad += nf_csum_complete(exact, n, &h) == 0 && h.protocol == 17;
		}
		free(exact);
	}
	ok(accepted > 1000, "of 200,000 changed frames %u still parse", accepted);
	is(bad, 0, "and none of them names a byte that is not there");
}

static void sums(void)
{
	uint8_t p[512];
	uint64_t r = 7;
	uint32_t wrong = 0;
	for (uint32_t i = 0; i < 20000; i++) {
		for (uint32_t k = 0; k < sizeof(p); k += 8) {
			r = r * 6364136223846793005ull + 1442695040888963407ull;
			memcpy(p + k, &r, 8);
		}
		if (i & 1)
			memset(p, 0xff, 300);
		uint32_t at = (uint32_t)(r >> 20) % 64, n = (uint32_t)(r >> 30) % 400;
		uint32_t cut = n ? (uint32_t)(r >> 40) % n : 0;
		uint16_t want = slow_sum(0, p + at, n);
		uint32_t got = nf_csum_add(0, p + at, cut, 0);
		got = nf_csum_add(got, p + at + cut, n - cut, cut & 1);
		uint16_t folded = nf_csum_fold(got);
		/* 0 and 0xffff are one number */
		wrong += folded != want && !(folded % 0xffff == 0 && want % 0xffff == 0);
	}
	is(wrong, 0, "20,000 sums in two pieces, at any alignment and parity, are right");
}

static void vnet_out(void)
{
	struct nf_vnet_hdr v;
	struct nf_frame fr = {.bytes = 0, .count = 1};
	const uint32_t all = NF_PORT_CSUM | NF_PORT_GSO4 | NF_PORT_GSO6 | NF_PORT_SG;

	ipv4(1, 0, 6, 1000);
	fr.bytes = len;
	fr.flags = NF_FRAME_CSUM_BLANK;
	is(nf__vnet_from_frame(&fr, f, 256, all, &v), 0, "a blank checksum goes out");
	ok(v.flags == NF_VNET_NEEDS_CSUM && v.csum_start == 38 && v.csum_offset == 16 &&
		   v.gso_type == 0,
	   "with its place");
	fr.gso_type = NF_NETIF_GSO_TYPE_TCPV4;
	fr.gso_bytes = 500;
	is(nf__vnet_from_frame(&fr, f, 256, all, &v), 0, "GSO goes out");
	ok(v.gso_type == NF_VNET_GSO_TCPV4 && v.gso_size == 500 && v.hdr_len == 70, "with sizes");
	is(nf__vnet_from_frame(&fr, f, 256, NF_PORT_CSUM, &v), -EINVAL, "not to a TAP without it");
	fr.gso_bytes = 1000;
	is(nf__vnet_from_frame(&fr, f, 256, all, &v), 0, "GSO of one segment");
	is(v.gso_type, NF_VNET_GSO_NONE, "is none");
	fr.gso_bytes = 0;
	is(nf__vnet_from_frame(&fr, f, 256, all, &v), -EINVAL, "segments of 0 bytes are refused");
	fr.gso_bytes = 500;
	fr.gso_type = NF_NETIF_GSO_TYPE_TCPV6;
	is(nf__vnet_from_frame(&fr, f, 256, all, &v), -EINVAL, "the wrong version too");
	fr.gso_type = 7;
	is(nf__vnet_from_frame(&fr, f, 256, all, &v), -EINVAL, "and an unknown type");
	fr.gso_type = NF_NETIF_GSO_TYPE_TCPV4;
	is(nf__vnet_from_frame(&fr, f, 40, all, &v), -EINVAL, "and headers that are cut");
}

static void vnet_in(void)
{
	struct nf_vnet_hdr v = {.flags = NF_VNET_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16};
	struct nf_frame fr = {.count = 1};
	const uint32_t all = NF_PORT_CSUM | NF_PORT_GSO4 | NF_PORT_GSO6 | NF_PORT_SG;

	ipv4(0, 0, 6, 1000);
	fr.bytes = len;
	is(nf__vnet_to_frame(&v, f, 256, all, &fr), 0, "a checksum comes in");
	is(fr.flags, NF_FRAME_CSUM_BLANK | NF_FRAME_DATA_VALID, "as blank");
	is(nf__vnet_to_frame(&v, f, 256, 0, &fr), 1, "to be completed when nobody agreed");
	v.csum_offset = 20;
	is(nf__vnet_to_frame(&v, f, 256, all, &fr), 1, "or at a place netif cannot say");
	v.csum_offset = 60000;
	is(nf__vnet_to_frame(&v, f, 256, all, &fr), -EINVAL, "beyond the frame it is refused");
	v.csum_offset = 16;
	v.gso_type = NF_VNET_GSO_TCPV4;
	v.gso_size = 400;
	is(nf__vnet_to_frame(&v, f, 256, all, &fr), 0, "GSO comes in");
	ok(fr.gso_bytes == 400 && fr.gso_type == NF_NETIF_GSO_TYPE_TCPV4, "with its size");
	is(nf__vnet_to_frame(&v, f, 256, NF_PORT_CSUM, &fr), -EINVAL, "not unless agreed");
	v.gso_size = 2000;
	is(nf__vnet_to_frame(&v, f, 256, all & ~(uint32_t)NF_PORT_CSUM, &fr), 1,
	   "of one segment it is a checksum, to be completed when nobody agreed");
	v.gso_size = 0;
	is(nf__vnet_to_frame(&v, f, 256, all, &fr), -EINVAL, "size 0 is refused");
	v.gso_size = 400;
	v.gso_type = NF_VNET_GSO_TCPV6;
	is(nf__vnet_to_frame(&v, f, 256, all, &fr), -EINVAL, "the wrong version");
	v.gso_type = 3;
	is(nf__vnet_to_frame(&v, f, 256, all, &fr), -EINVAL, "UDP fragmentation");
	v.gso_type = NF_VNET_GSO_TCPV4 | 0x80;
	is(nf__vnet_to_frame(&v, f, 256, all, &fr), -EINVAL, "ECN");
	v.gso_type = NF_VNET_GSO_TCPV4;
	v.flags = 0;
	is(nf__vnet_to_frame(&v, f, 256, all, &fr), -EINVAL, "GSO without a checksum request");
	is(fr.gso_type, NF_NETIF_GSO_TYPE_NONE, "and no offload is left in the frame");
}

/* Completed in software over buffers that end anywhere: the same value as on the whole. */
static void completion(void)
{
	static uint8_t parts[2048];
	uint32_t wrong = 0;
	for (uint32_t cut = 1; cut < 200; cut++) {
		struct nf_headers h;
		ipv4(0, 0, 6, 301);
		nf_headers_parse(f, 256, len, &h);
		uint16_t want = nf_csum_complete(f, len, &h);
		put16(50, nf_csum_pseudo(f, &h, len - 34));
		memcpy(parts, f, len);
		struct nf_buf b[3] = {
			{parts, cut, 0}, {parts + cut, 1, 0}, {parts + cut + 1, len - cut - 1, 0}};
		struct nf_frame fr = {.bytes = len, .count = 3};
		struct nf_vnet_hdr v = {.csum_start = 34, .csum_offset = 16};
		nf__vnet_complete(&v, b, &fr);
		wrong += parts[50] != want >> 8 || parts[51] != (want & 0xff);
		uint8_t peek[64];
		wrong += nf_frame_peek(b, &fr, 20, peek, 64) != 64 || memcmp(peek, parts + 20, 64);
	}
	is(wrong, 0, "a checksum completed over three buffers cut anywhere is right");
}

int main(void)
{
	golden();
	refusals();
	junk();
	sums();
	vnet_out();
	vnet_in();
	completion();
	return done();
}
