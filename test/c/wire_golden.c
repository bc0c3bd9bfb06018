/* SPDX-License-Identifier: MIT */
/*
 * wire_golden_vectors: slots as the bytes netif.h puts on the wire (little endian), and the other
 * way round. A layout that changes with the compiler or by an edit fails here without Xen's
 * headers.
 */
#include "tap.h"

#include "nf/hvmsg.h"
#include "nf/netif.h"
#include "nf/ring.h"

#define GOLDEN(name, value, ...)                                                                   \
	do {                                                                                       \
		static const uint8_t want[] = {__VA_ARGS__};                                       \
		__typeof__(value) made = (value), back;                                            \
		is(sizeof(made), sizeof(want), "wire_golden_vectors: %s has %zu bytes", name,      \
		   sizeof(want));                                                                  \
		ok(memcmp(&made, want, sizeof(want)) == 0, "wire_golden_vectors: %s to bytes",     \
		   name);                                                                          \
		memcpy(&back, want, sizeof(back));                                                 \
		ok(memcmp(&back, &made, sizeof(back)) == 0, "wire_golden_vectors: %s from bytes",  \
		   name);                                                                          \
	} while (0)

int main(void)
{
	GOLDEN("tx request",
	       ((struct nf_netif_tx_request){.gref = 0x11223344,
					     .offset = 0x5566,
					     .flags = 0x0005,
					     .id = 0x99aa,
					     .size = 0xbbcc}),
	       0x44, 0x33, 0x22, 0x11, 0x66, 0x55, 0x05, 0x00, 0xaa, 0x99, 0xcc, 0xbb);
	GOLDEN("tx response", ((struct nf_netif_tx_response){.id = 0x0102, .status = -2}), 0x02,
	       0x01, 0xfe, 0xff);
	GOLDEN("rx request", ((struct nf_netif_rx_request){.id = 0x0102, .gref = 0xdeadbeef}), 0x02,
	       0x01, 0x00, 0x00, 0xef, 0xbe, 0xad, 0xde);
	GOLDEN("rx response",
	       ((struct nf_netif_rx_response){
		       .id = 7, .offset = 0x0140, .flags = 0x0007, .status = 0x05dc}),
	       0x07, 0x00, 0x40, 0x01, 0x07, 0x00, 0xdc, 0x05);
	struct nf_netif_extra_info gso = {.type = 1, .flags = 1};
	gso.u.gso.size = 0x05a8;
	gso.u.gso.type = 2;
	gso.u.gso.features = 0x0304;
	GOLDEN("GSO extra", gso, 0x01, 0x01, 0xa8, 0x05, 0x02, 0x00, 0x04, 0x03);
	struct nf_netif_extra_info hash = {.type = 4};
	hash.u.hash.type = 3;
	hash.u.hash.algorithm = 1;
	memcpy(hash.u.hash.value, "\x0a\x0b\x0c\x0d", 4);
	GOLDEN("hash extra", hash, 0x04, 0x00, 0x03, 0x01, 0x0a, 0x0b, 0x0c, 0x0d);
	GOLDEN("ctrl request",
	       ((struct nf_netif_ctrl_request){
		       .id = 1, .type = 9, .data = {2, 0x00000108, 0x00000200}}),
	       0x01, 0x00, 0x09, 0x00, 0x02, 0x00, 0x00, 0x00, 0x08, 0x01, 0x00, 0x00, 0x00, 0x02,
	       0x00, 0x00);
	GOLDEN("ctrl response",
	       ((struct nf_netif_ctrl_response){.id = 1, .type = 9, .status = 2, .data = 0x0400}),
	       0x01, 0x00, 0x09, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00);
	GOLDEN("gref entry", ((struct nf_netif_gref){.ref = 0x0a0b0c0d, .flags = 1, .status = 2}),
	       0x0d, 0x0c, 0x0b, 0x0a, 0x01, 0x00, 0x02, 0x00);
	GOLDEN("grant entry",
	       ((struct nf_grant_entry){.flags = NF_GTF_permit_access | NF_GTF_readonly,
					.domid = 3,
					.frame = 0x01020304}),
	       0x05, 0x00, 0x03, 0x00, 0x04, 0x03, 0x02, 0x01);
	uint8_t page[4096];
	struct nf_ring_front f;
	static const uint8_t fresh[64] = {[4] = 1, [12] = 1};
	is(nf_ring_front_init(&f, page, sizeof(page), NF_NETIF_TX_SLOT_BYTES), 0,
	   "wire_golden_vectors: a fresh ring");
	ok(memcmp(page, fresh, 64) == 0, "wire_golden_vectors: its header");
	is((uint8_t *)nf_ring_front_slot(&f, 257) - page, 64 + 12,
	   "wire_golden_vectors: index 257 is slot 1");
	return done();
}
