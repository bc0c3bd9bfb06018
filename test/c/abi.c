/* SPDX-License-Identifier: MIT */
/*
 * Our statements of Xen's layouts against the real headers (libxen-dev): every size, every offset,
 * every constant. Each fact is one TAP line, so a failure names the field.
 */
#include "tap.h"

#include <errno.h>
#include <stddef.h>

#include "../../drivers/xenbus/xs_wire.h"
#include "nf/device.h"
#include "nf/hvmsg.h"
#include "nf/netif.h"
#include "nf/ring.h"

#if __has_include(<xen/io/netif.h>) && __has_include(<xen/io/ring.h>)
#include <xen/io/netif.h>
#define HAVE_NETIF 1
#else
#define HAVE_NETIF 0
#endif
#if __has_include(<xen/io/xs_wire.h>)
#include <xen/io/xs_wire.h>
#define HAVE_XS 1
#else
#define HAVE_XS 0
#endif
#if __has_include(<xen/io/xenbus.h>)
#include <xen/io/xenbus.h>
#define HAVE_XENBUS 1
#else
#define HAVE_XENBUS 0
#endif
#if __has_include(<xen/grant_table.h>)
#include <xen/grant_table.h>
#define HAVE_GRANT 1
#else
#define HAVE_GRANT 0
#endif

#define CONSTANT(ours, xens) is((ours), (xens), #ours " = " #xens)
#define SIZE(ours, xens) is(sizeof(ours), sizeof(xens), "sizeof " #ours)
#define FIELD(ours, f, xens, x)                                                                    \
	do {                                                                                       \
		is(offsetof(ours, f), offsetof(xens, x), #ours "." #f " is where " #x " is");      \
		is(sizeof(((ours *)0)->f), sizeof(((xens *)0)->x), #ours "." #f " is as wide");    \
	} while (0)

#if HAVE_NETIF
static void ring_header(void)
{
	typedef struct netif_tx_sring xen_tx;
	FIELD(struct nf_sring, req_prod, xen_tx, req_prod);
	FIELD(struct nf_sring, req_event, xen_tx, req_event);
	FIELD(struct nf_sring, rsp_prod, xen_tx, rsp_prod);
	FIELD(struct nf_sring, rsp_event, xen_tx, rsp_event);
	is(sizeof(struct nf_sring), offsetof(xen_tx, ring), "slots start at 64");
	is(NF_NETIF_TX_SLOT_BYTES, sizeof(((xen_tx *)0)->ring[0]), "tx slot");
	is(NF_NETIF_RX_SLOT_BYTES, sizeof(((struct netif_rx_sring *)0)->ring[0]), "rx slot");
	is(NF_NETIF_CTRL_SLOT_BYTES, sizeof(((struct xen_netif_ctrl_sring *)0)->ring[0]),
	   "ctrl slot");
	is(NF_NETIF_RING_SLOTS, __CONST_RING_SIZE(netif_tx, 4096), "tx slots of a page");
	is(NF_NETIF_RING_SLOTS, __CONST_RING_SIZE(netif_rx, 4096), "rx slots of a page");
	is(nf_ring_count(4096, NF_NETIF_TX_SLOT_BYTES), __CONST_RING_SIZE(netif_tx, 4096),
	   "nf_ring_count of tx");
	is(nf_ring_count(4096, NF_NETIF_RX_SLOT_BYTES), __CONST_RING_SIZE(netif_rx, 4096),
	   "nf_ring_count of rx");
	is(nf_ring_count(4096, NF_NETIF_CTRL_SLOT_BYTES), __CONST_RING_SIZE(xen_netif_ctrl, 4096),
	   "nf_ring_count of ctrl");
}

static void netif_structs(void)
{
	SIZE(struct nf_netif_tx_request, struct netif_tx_request);
	FIELD(struct nf_netif_tx_request, gref, struct netif_tx_request, gref);
	FIELD(struct nf_netif_tx_request, offset, struct netif_tx_request, offset);
	FIELD(struct nf_netif_tx_request, flags, struct netif_tx_request, flags);
	FIELD(struct nf_netif_tx_request, id, struct netif_tx_request, id);
	FIELD(struct nf_netif_tx_request, size, struct netif_tx_request, size);
	SIZE(struct nf_netif_tx_response, struct netif_tx_response);
	FIELD(struct nf_netif_tx_response, id, struct netif_tx_response, id);
	FIELD(struct nf_netif_tx_response, status, struct netif_tx_response, status);
	SIZE(struct nf_netif_rx_request, struct netif_rx_request);
	FIELD(struct nf_netif_rx_request, id, struct netif_rx_request, id);
	FIELD(struct nf_netif_rx_request, pad, struct netif_rx_request, pad);
	FIELD(struct nf_netif_rx_request, gref, struct netif_rx_request, gref);
	SIZE(struct nf_netif_rx_response, struct netif_rx_response);
	FIELD(struct nf_netif_rx_response, id, struct netif_rx_response, id);
	FIELD(struct nf_netif_rx_response, offset, struct netif_rx_response, offset);
	FIELD(struct nf_netif_rx_response, flags, struct netif_rx_response, flags);
	FIELD(struct nf_netif_rx_response, status, struct netif_rx_response, status);
}

static void netif_extra_and_ctrl(void)
{
	SIZE(struct nf_netif_extra_info, struct netif_extra_info);
	FIELD(struct nf_netif_extra_info, type, struct netif_extra_info, type);
	FIELD(struct nf_netif_extra_info, flags, struct netif_extra_info, flags);
	FIELD(struct nf_netif_extra_info, u.gso.size, struct netif_extra_info, u.gso.size);
	FIELD(struct nf_netif_extra_info, u.gso.type, struct netif_extra_info, u.gso.type);
	FIELD(struct nf_netif_extra_info, u.gso.pad, struct netif_extra_info, u.gso.pad);
	FIELD(struct nf_netif_extra_info, u.gso.features, struct netif_extra_info, u.gso.features);
	FIELD(struct nf_netif_extra_info, u.mcast.addr, struct netif_extra_info, u.mcast.addr);
	FIELD(struct nf_netif_extra_info, u.hash.type, struct netif_extra_info, u.hash.type);
	FIELD(struct nf_netif_extra_info, u.hash.algorithm, struct netif_extra_info,
	      u.hash.algorithm);
	FIELD(struct nf_netif_extra_info, u.hash.value, struct netif_extra_info, u.hash.value);
	FIELD(struct nf_netif_extra_info, u.pad, struct netif_extra_info, u.pad);
	SIZE(struct nf_netif_ctrl_request, struct xen_netif_ctrl_request);
	FIELD(struct nf_netif_ctrl_request, id, struct xen_netif_ctrl_request, id);
	FIELD(struct nf_netif_ctrl_request, type, struct xen_netif_ctrl_request, type);
	FIELD(struct nf_netif_ctrl_request, data, struct xen_netif_ctrl_request, data);
	SIZE(struct nf_netif_ctrl_response, struct xen_netif_ctrl_response);
	FIELD(struct nf_netif_ctrl_response, id, struct xen_netif_ctrl_response, id);
	FIELD(struct nf_netif_ctrl_response, type, struct xen_netif_ctrl_response, type);
	FIELD(struct nf_netif_ctrl_response, status, struct xen_netif_ctrl_response, status);
	FIELD(struct nf_netif_ctrl_response, data, struct xen_netif_ctrl_response, data);
	SIZE(struct nf_netif_gref, struct xen_netif_gref);
	FIELD(struct nf_netif_gref, ref, struct xen_netif_gref, ref);
	FIELD(struct nf_netif_gref, flags, struct xen_netif_gref, flags);
	FIELD(struct nf_netif_gref, status, struct xen_netif_gref, status);
}

static void netif_slot_constants(void)
{
	CONSTANT(NF_NETTXF_csum_blank, NETTXF_csum_blank);
	CONSTANT(NF_NETTXF_data_validated, NETTXF_data_validated);
	CONSTANT(NF_NETTXF_more_data, NETTXF_more_data);
	CONSTANT(NF_NETTXF_extra_info, NETTXF_extra_info);
	CONSTANT(NF_NETRXF_data_validated, NETRXF_data_validated);
	CONSTANT(NF_NETRXF_csum_blank, NETRXF_csum_blank);
	CONSTANT(NF_NETRXF_more_data, NETRXF_more_data);
	CONSTANT(NF_NETRXF_extra_info, NETRXF_extra_info);
	CONSTANT(NF_NETRXF_gso_prefix, NETRXF_gso_prefix);
	CONSTANT(NF_NETIF_EXTRA_TYPE_NONE, XEN_NETIF_EXTRA_TYPE_NONE);
	CONSTANT(NF_NETIF_EXTRA_TYPE_GSO, XEN_NETIF_EXTRA_TYPE_GSO);
	CONSTANT(NF_NETIF_EXTRA_TYPE_MCAST_ADD, XEN_NETIF_EXTRA_TYPE_MCAST_ADD);
	CONSTANT(NF_NETIF_EXTRA_TYPE_MCAST_DEL, XEN_NETIF_EXTRA_TYPE_MCAST_DEL);
	CONSTANT(NF_NETIF_EXTRA_TYPE_HASH, XEN_NETIF_EXTRA_TYPE_HASH);
#ifdef XEN_NETIF_EXTRA_TYPE_XDP
	CONSTANT(NF_NETIF_EXTRA_TYPE_XDP, XEN_NETIF_EXTRA_TYPE_XDP);
	CONSTANT(NF_NETIF_EXTRA_TYPE_MAX, XEN_NETIF_EXTRA_TYPE_MAX);
	FIELD(struct nf_netif_extra_info, u.xdp.headroom, struct netif_extra_info, u.xdp.headroom);
#else
	skip("NF_NETIF_EXTRA_TYPE_XDP", "these headers are older than XDP");
	is(NF_NETIF_EXTRA_TYPE_MAX, XEN_NETIF_EXTRA_TYPE_MAX + 1, "one type more than theirs");
#endif
	CONSTANT(NF_NETIF_EXTRA_FLAG_MORE, XEN_NETIF_EXTRA_FLAG_MORE);
	CONSTANT(NF_NETIF_GSO_TYPE_NONE, XEN_NETIF_GSO_TYPE_NONE);
	CONSTANT(NF_NETIF_GSO_TYPE_TCPV4, XEN_NETIF_GSO_TYPE_TCPV4);
	CONSTANT(NF_NETIF_GSO_TYPE_TCPV6, XEN_NETIF_GSO_TYPE_TCPV6);
	CONSTANT(NF_NETIF_RSP_DROPPED, NETIF_RSP_DROPPED);
	CONSTANT(NF_NETIF_RSP_ERROR, NETIF_RSP_ERROR);
	CONSTANT(NF_NETIF_RSP_OKAY, NETIF_RSP_OKAY);
	CONSTANT(NF_NETIF_RSP_NULL, NETIF_RSP_NULL);
	CONSTANT(NF_NETIF_SLOTS_MIN, XEN_NETIF_NR_SLOTS_MIN);
	CONSTANT(NF_NETIF_FRAME_MAX, XEN_NETIF_MAX_TX_SIZE);
}

static void netif_ctrl_constants(void)
{
	CONSTANT(NF_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE,
		 XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE);
	CONSTANT(NF_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING);
	CONSTANT(NF_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING);
	CONSTANT(NF_NETIF_CTRL_STATUS_SUCCESS, XEN_NETIF_CTRL_STATUS_SUCCESS);
	CONSTANT(NF_NETIF_CTRL_STATUS_NOT_SUPPORTED, XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED);
	CONSTANT(NF_NETIF_CTRL_STATUS_INVALID_PARAMETER, XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
	CONSTANT(NF_NETIF_CTRL_STATUS_BUFFER_OVERFLOW, XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW);
	CONSTANT(NF_NETCTRLF_GREF_readonly, XEN_NETIF_CTRLF_GREF_readonly);
	is(NF_NETIF_CTRL_GREFS_MAX, 4096 / sizeof(struct xen_netif_gref), "grefs of a page");
}
#endif

#if HAVE_XS
static void xs_wire(void)
{
	SIZE(struct nf_xs_header, struct xsd_sockmsg);
	FIELD(struct nf_xs_header, type, struct xsd_sockmsg, type);
	FIELD(struct nf_xs_header, req_id, struct xsd_sockmsg, req_id);
	FIELD(struct nf_xs_header, tx_id, struct xsd_sockmsg, tx_id);
	FIELD(struct nf_xs_header, len, struct xsd_sockmsg, len);
	CONSTANT(NF_XS_CONTROL, XS_CONTROL);
	CONSTANT(NF_XS_DIRECTORY, XS_DIRECTORY);
	CONSTANT(NF_XS_READ, XS_READ);
	CONSTANT(NF_XS_GET_PERMS, XS_GET_PERMS);
	CONSTANT(NF_XS_WATCH, XS_WATCH);
	CONSTANT(NF_XS_UNWATCH, XS_UNWATCH);
	CONSTANT(NF_XS_TRANSACTION_START, XS_TRANSACTION_START);
	CONSTANT(NF_XS_TRANSACTION_END, XS_TRANSACTION_END);
	CONSTANT(NF_XS_INTRODUCE, XS_INTRODUCE);
	CONSTANT(NF_XS_RELEASE, XS_RELEASE);
	CONSTANT(NF_XS_GET_DOMAIN_PATH, XS_GET_DOMAIN_PATH);
	CONSTANT(NF_XS_WRITE, XS_WRITE);
	CONSTANT(NF_XS_MKDIR, XS_MKDIR);
	CONSTANT(NF_XS_RM, XS_RM);
	CONSTANT(NF_XS_SET_PERMS, XS_SET_PERMS);
	CONSTANT(NF_XS_WATCH_EVENT, XS_WATCH_EVENT);
	CONSTANT(NF_XS_ERROR, XS_ERROR);
	CONSTANT(NF_XS_IS_DOMAIN_INTRODUCED, XS_IS_DOMAIN_INTRODUCED);
	CONSTANT(NF_XS_RESUME, XS_RESUME);
	CONSTANT(NF_XS_SET_TARGET, XS_SET_TARGET);
	CONSTANT(NF_XS_RESET_WATCHES, XS_RESET_WATCHES);
	CONSTANT(NF_XS_DIRECTORY_PART, XS_DIRECTORY_PART);
	CONSTANT(NF_XS_PAYLOAD_MAX, XENSTORE_PAYLOAD_MAX);
	CONSTANT(NF_XS_ABS_PATH_MAX, XENSTORE_ABS_PATH_MAX);
	CONSTANT(NF_XS_REL_PATH_MAX, XENSTORE_REL_PATH_MAX);
}
#endif

#if HAVE_XENBUS
static void xenbus_states(void)
{
	CONSTANT(NF_XENBUS_UNKNOWN, XenbusStateUnknown);
	CONSTANT(NF_XENBUS_INITIALISING, XenbusStateInitialising);
	CONSTANT(NF_XENBUS_INITWAIT, XenbusStateInitWait);
	CONSTANT(NF_XENBUS_INITIALISED, XenbusStateInitialised);
	CONSTANT(NF_XENBUS_CONNECTED, XenbusStateConnected);
	CONSTANT(NF_XENBUS_CLOSING, XenbusStateClosing);
	CONSTANT(NF_XENBUS_CLOSED, XenbusStateClosed);
	CONSTANT(NF_XENBUS_RECONFIGURING, XenbusStateReconfiguring);
	CONSTANT(NF_XENBUS_RECONFIGURED, XenbusStateReconfigured);
}
#endif

#if HAVE_GRANT
static void grant_entry(void)
{
	SIZE(struct nf_grant_entry, struct grant_entry_v1);
	FIELD(struct nf_grant_entry, flags, struct grant_entry_v1, flags);
	FIELD(struct nf_grant_entry, domid, struct grant_entry_v1, domid);
	FIELD(struct nf_grant_entry, frame, struct grant_entry_v1, frame);
	CONSTANT(NF_GTF_invalid, GTF_invalid);
	CONSTANT(NF_GTF_permit_access, GTF_permit_access);
	CONSTANT(NF_GTF_readonly, GTF_readonly);
	CONSTANT(NF_GTF_reading, GTF_reading);
	CONSTANT(NF_GTF_writing, GTF_writing);
	CONSTANT(NF_GREF_RESERVED, GNTTAB_NR_RESERVED_ENTRIES);
	CONSTANT(NF_DOMID_SELF, DOMID_SELF);
}
#endif

int main(void)
{
#if HAVE_NETIF
	ring_header();
	netif_structs();
	netif_extra_and_ctrl();
	netif_slot_constants();
	netif_ctrl_constants();
#else
	skip("abi_netif", "xen/io/netif.h is missing: install libxen-dev");
#endif
#if HAVE_XS
	xs_wire();
#else
	skip("abi_xs_wire", "xen/io/xs_wire.h is missing: install libxen-dev");
#endif
#if HAVE_XENBUS
	xenbus_states();
#else
	skip("abi_xenbus", "xen/io/xenbus.h is missing: install libxen-dev");
#endif
#if HAVE_GRANT
	grant_entry();
#else
	skip("abi_grant_table", "xen/grant_table.h is missing: install libxen-dev");
#endif
	return done();
}
