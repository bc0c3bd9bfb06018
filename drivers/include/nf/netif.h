/* SPDX-License-Identifier: MIT */
/* Xen's network wire format (public/io/netif.h), stated anew; test/c/abi.c compares both. */
#ifndef NF_NETIF_H
#define NF_NETIF_H

#include <stddef.h>
#include <stdint.h>

/* tx request flags */
#define NF_NETTXF_csum_blank 0x01u
#define NF_NETTXF_data_validated 0x02u
#define NF_NETTXF_more_data 0x04u
#define NF_NETTXF_extra_info 0x08u

/* rx response flags */
#define NF_NETRXF_data_validated 0x01u
#define NF_NETRXF_csum_blank 0x02u
#define NF_NETRXF_more_data 0x04u
#define NF_NETRXF_extra_info 0x08u
#define NF_NETRXF_gso_prefix 0x10u

/* extra info */
#define NF_NETIF_EXTRA_TYPE_NONE 0u
#define NF_NETIF_EXTRA_TYPE_GSO 1u
#define NF_NETIF_EXTRA_TYPE_MCAST_ADD 2u
#define NF_NETIF_EXTRA_TYPE_MCAST_DEL 3u
#define NF_NETIF_EXTRA_TYPE_HASH 4u
#define NF_NETIF_EXTRA_TYPE_XDP 5u
#define NF_NETIF_EXTRA_TYPE_MAX 6u
#define NF_NETIF_EXTRA_FLAG_MORE 0x01u
#define NF_NETIF_GSO_TYPE_NONE 0u
#define NF_NETIF_GSO_TYPE_TCPV4 1u
#define NF_NETIF_GSO_TYPE_TCPV6 2u

/* response status */
#define NF_NETIF_RSP_DROPPED (-2)
#define NF_NETIF_RSP_ERROR (-1)
#define NF_NETIF_RSP_OKAY 0
#define NF_NETIF_RSP_NULL 1

#define NF_NETIF_SLOTS_MIN 18u	  /* what every back must take per packet */
#define NF_NETIF_FRAME_MAX 65535u /* the first slot's size is 16 bits */
#define NF_NETIF_RING_SLOTS 256u  /* of one page, tx and rx alike */

struct nf_netif_tx_request {
	uint32_t gref;
	uint16_t offset;
	uint16_t flags;
	uint16_t id;
	uint16_t size;
};

struct nf_netif_tx_response {
	uint16_t id;
	int16_t status;
};

struct nf_netif_rx_request {
	uint16_t id;
	uint16_t pad;
	uint32_t gref;
};

struct nf_netif_rx_response {
	uint16_t id;
	uint16_t offset;
	uint16_t flags;
	int16_t status; /* < 0 an error, else bytes */
};

struct nf_netif_extra_info {
	uint8_t type;
	uint8_t flags;
	union {
		struct {
			uint16_t size;
			uint8_t type;
			uint8_t pad;
			uint16_t features;
		} gso;
		struct {
			uint8_t addr[6];
		} mcast;
		struct {
			uint8_t type;
			uint8_t algorithm;
			uint8_t value[4];
		} hash;
		struct {
			uint16_t headroom;
			uint16_t pad[2];
		} xdp;
		uint16_t pad[3];
	} u;
};

/* control ring: 16 B request and 16 B response slots */
#define NF_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE 8u
#define NF_NETIF_CTRL_TYPE_ADD_GREF_MAPPING 9u
#define NF_NETIF_CTRL_TYPE_DEL_GREF_MAPPING 10u
#define NF_NETIF_CTRL_STATUS_SUCCESS 0u
#define NF_NETIF_CTRL_STATUS_NOT_SUPPORTED 1u
#define NF_NETIF_CTRL_STATUS_INVALID_PARAMETER 2u
#define NF_NETIF_CTRL_STATUS_BUFFER_OVERFLOW 3u
#define NF_NETCTRLF_GREF_readonly 0x01u
#define NF_NETIF_CTRL_GREFS_MAX 512u /* of one request: one page of entries */

struct nf_netif_ctrl_request {
	uint16_t id;
	uint16_t type;
	uint32_t data[3];
};

struct nf_netif_ctrl_response {
	uint16_t id;
	uint16_t type;
	uint32_t status;
	uint32_t data;
};

struct nf_netif_gref {
	uint32_t ref;
	uint16_t flags;
	uint16_t status;
};

_Static_assert(sizeof(struct nf_netif_tx_request) == 12, "tx request is 12 B");
_Static_assert(sizeof(struct nf_netif_tx_response) == 4, "tx response is 4 B");
_Static_assert(sizeof(struct nf_netif_rx_request) == 8, "rx request is 8 B");
_Static_assert(sizeof(struct nf_netif_rx_response) == 8, "rx response is 8 B");
_Static_assert(sizeof(struct nf_netif_extra_info) == 8, "extra info is 8 B");
_Static_assert(sizeof(struct nf_netif_ctrl_request) == 16, "ctrl request is 16 B");
_Static_assert(sizeof(struct nf_netif_ctrl_response) == 12, "ctrl response is 12 B");
_Static_assert(sizeof(struct nf_netif_gref) == 8, "gref entry is 8 B");

#define NF_NETIF_TX_SLOT_BYTES 12u
#define NF_NETIF_RX_SLOT_BYTES 8u
#define NF_NETIF_CTRL_SLOT_BYTES 16u

#endif
