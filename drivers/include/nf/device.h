/* SPDX-License-Identifier: MIT */
/* One end of a xenbus device: its node, the other end's node, states. Control thread only. */
#ifndef NF_DEVICE_H
#define NF_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "nf/layer.h"
#include "nf/store.h"

enum nf_xenbus_state {
	NF_XENBUS_UNKNOWN = 0,
	NF_XENBUS_INITIALISING = 1,
	NF_XENBUS_INITWAIT = 2,
	NF_XENBUS_INITIALISED = 3,
	NF_XENBUS_CONNECTED = 4,
	NF_XENBUS_CLOSING = 5,
	NF_XENBUS_CLOSED = 6,
	NF_XENBUS_RECONFIGURING = 7,
	NF_XENBUS_RECONFIGURED = 8,
};

struct nf_device {
	struct nf_layer *layer;
	struct nf_store *store;
	char path[NF_STORE_PATH_MAX];	    /* our node, e.g. device/vif/0 or backend/vif/3/0 */
	char other_path[NF_STORE_PATH_MAX]; /* the other end's node, absolute */
	char token[40];			    /* of both watches; the daemon routes events by it */
	uint16_t other_domid;
	uint16_t devid;
	bool is_back;
	enum nf_xenbus_state state;	  /* ours as last written */
	enum nf_xenbus_state other_state; /* as last read; junk in the store reads as UNKNOWN */
};

/* Reads backend/backend-id (front) or frontend/frontend-id (back), watches both nodes' states.
 * -EPROTO: the nodes do not point at each other; -ENOENT: no such node. */
int nf_device_open(struct nf_device *d, struct nf_layer *layer, struct nf_store *store,
		   const char *path, bool is_back, const char *token);
void nf_device_close(struct nf_device *d); /* unwatches; idempotent */

/* Writes state in a transaction that checks that the node is there (-ENOENT: it is not; it must not
 * come back). Staying in a state writes nothing. -EINVAL: the table of transitions forbids it;
 * -EAGAIN: conflicts without end; else the store's failure. The state is unchanged then. */
int nf_device_switch(struct nf_device *d, enum nf_xenbus_state state);
/* Writes <path>/key if the node is there, as the states are. -ENOENT: it is not. */
int nf_device_write(struct nf_device *d, const char *key, const char *value);
/* Reads the other end's state into other_state and returns it. Vanished or unreadable node: CLOSED;
 * junk: UNKNOWN; negative: the store's failure, other_state unchanged. */
int nf_device_look(struct nf_device *d);
/* Writes "<errno> <text>" to <path>/error if the node is there (text cut to 255 bytes, unprintable
 * ones replaced), and returns error (negative errno) for `return nf_device_fail(...)`. */
int nf_device_fail(struct nf_device *d, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Transition table with reasons: 0 allowed, else -EINVAL; *why gets a sentence when not NULL. */
int nf_xenbus_transition(bool is_back, enum nf_xenbus_state from, enum nf_xenbus_state to,
			 const char **why);
const char *nf_xenbus_state_name(enum nf_xenbus_state s);

/* Joins path and key into buf[NF_STORE_PATH_MAX]; -ERANGE when too long. */
int nf_device_key(const struct nf_device *d, bool other, const char *key, char *buf);

#endif
