/* SPDX-License-Identifier: MIT */
/* The TAP port's parts: its options, its link, its data. */
#ifndef NF_PORT_TAP_H
#define NF_PORT_TAP_H

#include <sys/socket.h>
#include <linux/if.h>
#include <stdbool.h>

#include "nf/port.h"

struct tap_options {
	char name[IFNAMSIZ];
	uint32_t features; /* enum nf_port_features the port takes */
	bool mq;	   /* IFF_MULTI_QUEUE even for one queue */
};

struct tap {
	int fd;
	uint32_t hdr_bytes; /* of the vnet header in front of each frame */
	uint32_t allowed;   /* enum nf_port_features get may hand out */
	bool is_back;
};

/* 0, or -EINVAL with a line in err. */
int nf__tap_parse(const char *spec, struct tap_options *o, char *err, uint32_t err_cap);

/* The interface: address (front), MTU, GSO limit, up. 0 or negative errno with a line in err. */
int nf__tap_link_up(const char *name, const struct nf_port_env *env, char *err, uint32_t err_cap);

int nf__tap_get(struct nf_port *p, struct nf_buf *bufs, uint32_t nbufs, struct nf_frame *frames,
		uint32_t nframes);
int nf__tap_put(struct nf_port *p, const struct nf_buf *bufs, const struct nf_frame *frames,
		uint32_t nframes);

#endif
