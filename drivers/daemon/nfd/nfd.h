/* SPDX-License-Identifier: MIT */
/*
 * nestfrontd: to this layer what a kernel's xenbus drivers are to Xen. One control thread (this)
 * and one poller. A side is one layer as this domain sees it; a relay has two: inner first.
 */
#ifndef NF_DAEMON_NFD_H
#define NF_DAEMON_NFD_H

#include <stdbool.h>
#include <stdint.h>

#include "nf/counters.h"
#include "nf/layer.h"
#include "nf/poll.h"
#include "nf/relay.h"
#include "nf/store.h"

#define NFD_SIDES 2
#define NFD_DEVICES 64
#define NFD_FDS 4 /* of one device */
#define NFD_PATH 96
#define NFD_TOKEN 24
#define NFD_SHUTDOWN_MS 3000
#define NFD_EXIT_USAGE 2
#define NFD_EXIT_REFUSED 3

/* Where a layer is: an inherited socket, or the kernel's Xen devices. */
struct nfd_where {
	int fd;		      /* of an embedded hypervisor, -1: not embedded */
	const char *xen_dir;  /* NULL: not xen */
	const char *counters; /* file to count in, NULL: the layer's page, or nobody sees it */
};

struct nfd_options {
	struct nfd_where layer, outer; /* outer may be neither */
	struct nf_poller_config poll;
	const char *name;
};

struct nfd_side {
	struct nf_layer *layer;
	struct nf_store *store;
	struct nf_counters_map counters;
	const struct nf_control_page *control; /* NULL: none */
	bool is_xen;
	bool rescan;
	bool dead; /* the hypervisor is gone: running rings go on, nothing can be changed */
};

enum nfd_kind { NFD_FRONT, NFD_BACK, NFD_RELAY };

struct nfd_device {
	bool used;
	enum nfd_kind kind;
	uint32_t side;
	char path[NFD_PATH];	   /* on its side */
	char outer_path[NFD_PATH]; /* relay: on the outer side */
	char tap[16];		   /* held for it, empty: none */
	char token[NFD_TOKEN], outer_token[NFD_TOKEN];
	union {
		struct nf_netfront *front;
		struct nf_netback *back;
		struct nf_net_relay *relay;
		void *any; /* NULL: not opened yet */
	} u;
	int phase;	      /* enum nf_net_phase, or negative: what opening or a step returned */
	bool dirty;	      /* to be stepped */
	bool seen;	      /* by the scan that is going on */
	uint64_t retry_at_ms; /* opening failed: again then */
	uint32_t retry_ms;
	bool gave_up;		/* its nodes are wrong: only a store event makes it try again */
	uint64_t mute_until_ms; /* its control descriptor hung up */
};

struct nfd {
	struct nfd_options opt;
	struct nfd_side sides[NFD_SIDES];
	uint32_t side_count;
	struct nf_poller *poller;
	struct nfd_device devices[NFD_DEVICES];
	uint32_t serial; /* of tokens: an event for a device that went is nobody's */
	int signal_fd;
	uint64_t stop_at_ms; /* 0: not asked to stop */
};

/* args.c: 0, or an exit code after printing. */
int nfd_parse(struct nfd_options *o, int argc, char **argv, bool *help);

/* side.c: opens the layer and watches its device folders; negative errno after logging. */
int nfd_side_open(struct nfd_side *s, const struct nfd_where *where);
void nfd_side_close(struct nfd_side *s);
/* Reads queued events: marks devices dirty, asks for a rescan; true when there was any. */
bool nfd_side_events(struct nfd *d, uint32_t side);

/* scan.c: makes the device table follow the store. */
void nfd_scan(struct nfd *d, uint32_t side);

/* hold.c: makes a persistent TAP, and takes it away again. */
int nfd_tap_hold(const char *name);
void nfd_tap_let_go(const char *name);

/* device.c */
void nfd_device_found(struct nfd *d, uint32_t side, const char *path, bool is_back);
void nfd_device_step(struct nfd *d, struct nfd_device *v);
void nfd_device_shutdown(struct nfd *d, struct nfd_device *v);
void nfd_device_drop(struct nfd *d, struct nfd_device *v);
int nfd_device_fds(struct nfd *d, struct nfd_device *v, int *fds, int cap);
/* False when one of its hypervisors is gone, so that a step could only break it. */
bool nfd_device_alive(const struct nfd *d, const struct nfd_device *v);
/* True when only a step after some time can bring it further. */
bool nfd_device_waits(const struct nfd_device *v);

/* loop.c: until stopped; the exit code. */
int nfd_loop(struct nfd *d);
uint64_t nfd_now_ms(void);

/* log.c: one line to stderr, at most so many a second. Any thread. */
void nfd_log_name(const char *name);
void nfd_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
