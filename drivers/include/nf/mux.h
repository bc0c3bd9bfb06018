/* SPDX-License-Identifier: MIT */
/*
 * Many guests of the inner layer on one device of the outer one: a hub is L1's outer front, each
 * member the inner back of one guest. See docs/relay.md, "mux".
 */
#ifndef NF_MUX_H
#define NF_MUX_H

#include "nf/net.h"

#define NF_MUX_MEMBERS 32u
#define NF_MUX_PINS 8u

/* An address a guest may send from. */
struct nf_mux_pin {
	uint8_t version; /* 4 or 6 */
	uint8_t bytes[16];
};

struct nf_mux_limits {
	uint64_t credit_bytes; /* a window, 0: no limit; xl's `rate` */
	uint32_t credit_us;    /* length of the window, 1 .. */
	uint32_t flood;	       /* broadcasts and multicasts a second, 0: NF_MUX_FLOOD */
	uint32_t pin_count;    /* 0: any address */
	struct nf_mux_pin pins[NF_MUX_PINS];
};

#define NF_MUX_FLOOD 2000u

struct nf_mux;
struct nf_mux_member;

/*
 * Control thread only, as everything here. cfg: the outer front's; its path names the device, its
 * poller runs every member's queue. The configuration is copied; layer, store, poller, counters and
 * notice stay the caller's until close. Errors as nf_netfront_open.
 */
int nf_mux_open(const struct nf_net_config *cfg, struct nf_mux **out);
/* Members still there are closed. NULL is fine. */
void nf_mux_close(struct nf_mux *mux);
/* One descriptor to wait on (POLLIN), for its life. Members' steps step it. */
int nf_mux_fd(const struct nf_mux *mux);
uint32_t nf_mux_members(const struct nf_mux *mux);

/* cfg: the inner back's. -ENOSPC: NF_MUX_MEMBERS; -ENOSYS: the layers cannot donate. */
int nf_mux_join(struct nf_mux *mux, const struct nf_net_config *cfg,
		const struct nf_mux_limits *limits, struct nf_mux_member **out);
/* As nf_net_relay_step: an nf_net_phase, or a negative errno when its node is gone. */
int nf_mux_step(struct nf_mux_member *m);
/* Orderly: its queue is emptied, then the guest is told. Steps until CLOSED. */
int nf_mux_shutdown(struct nf_mux_member *m);
/* At once; what L0 still holds of its pages goes to quarantine. NULL is fine. */
void nf_mux_leave(struct nf_mux_member *m);
int nf_mux_member_fd(const struct nf_mux_member *m);

/* "10000000,50000" as xl writes a backend's rate: bytes and microseconds. 0 or -EINVAL. */
int nf_mux_rate_parse(const char *text, struct nf_mux_limits *out);
/* Addresses separated by spaces, as xl writes a backend's ip. 0 or -EINVAL. */
int nf_mux_pins_parse(const char *text, struct nf_mux_limits *out);

#endif
