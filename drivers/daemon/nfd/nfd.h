/* SPDX-License-Identifier: MIT */
/*
 * nestfrontd: to this layer what a kernel's xenbus drivers are to Xen. One control thread (this)
 * and one poller. A side is one layer as this domain sees it; a relay has two: inner first.
 */
#ifndef NF_DAEMON_NFD_H
#define NF_DAEMON_NFD_H

#include <stdbool.h>
#include <stdint.h>

#include "nf/blk.h"
#include "nf/blkrelay.h"
#include "nf/counters.h"
#include "nf/layer.h"
#include "nf/mux.h"
#include "nf/net.h"
#include "nf/poll.h"
#include "nf/relay.h"
#include "nf/store.h"

#define NFD_SIDES 2
#define NFD_DEVICES 2048 /* of them only those that are there cost anything */
#define NFD_HUBS 8
#define NFD_FDS 4 /* of one device */
#define NFD_PATH 96
#define NFD_TOKEN 24
#define NFD_CONTROL_FDS 9 /* the socket and its clients */
#define NFD_PATH_MAX 200  /* of a file of ours */
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
	const char *run_dir; /* NULL: the default on Xen, else none */
	const char *control; /* path of the control socket, NULL: none */
	bool no_seccomp;
};

struct nfd_side {
	struct nf_layer *layer;
	struct nf_store *store;
	struct nf_counters_map counters;
	const struct nf_control_page *control; /* NULL: none */
	bool is_xen;
	bool rescan;
	bool silent; /* xenstored does not answer; an event of its ends that */
	uint64_t probe_at_ms;
	bool dead; /* the hypervisor is gone: running rings go on, nothing can be changed */
};

enum nfd_kind { NFD_FRONT, NFD_BACK, NFD_RELAY, NFD_MUX };

struct nfd_device {
	bool used;
	enum nfd_kind kind;
	bool is_disk; /* a vbd, else a vif */
	uint32_t side;
	char path[NFD_PATH];	   /* on its side */
	char outer_path[NFD_PATH]; /* relay: on the outer side */
	char tap[16];		   /* held for it, empty: none */
	char token[NFD_TOKEN], outer_token[NFD_TOKEN];
	union {
		struct nf_netfront *front;
		struct nf_netback *back;
		struct nf_net_relay *relay;
		struct nf_blkfront *blkfront;
		struct nf_blkback *blkback;
		struct nf_blk_relay *blkrelay;
		struct nf_mux_member *member;
		void *any; /* NULL: not opened yet */
	} u;
	int phase;	      /* enum nf_net_phase, or negative: what opening or a step returned */
	bool dirty;	      /* to be stepped */
	bool seen;	      /* by the scan that is going on */
	uint64_t retry_at_ms; /* opening failed: again then */
	uint32_t retry_ms;
	bool gave_up;		/* its nodes are wrong: only a store event makes it try again */
	bool is_retired;	/* closed and offline: its TAP is gone already */
	uint64_t mute_until_ms; /* its control descriptor hung up */
	int watched;		/* 1 + its one descriptor in watch_fd; 0: none is */
	uint32_t pages;		/* on Xen: what its front may grant while it is open */
};

/* An outer device that several guests share; every member has its token. */
struct nfd_hub {
	struct nf_mux *mux; /* NULL: free */
	char path[NFD_PATH], token[NFD_TOKEN];
};

struct nfd {
	struct nfd_options opt;
	struct nfd_side sides[NFD_SIDES];
	uint32_t side_count;
	struct nf_poller *poller;
	struct nfd_device devices[NFD_DEVICES];
	uint32_t device_count;		  /* entries that ever were in use: all others are zeros */
	struct nf_blk_outer *outer_disks; /* that relays share; NULL: none */
	struct nfd_hub hubs[NFD_HUBS];
	uint32_t serial; /* of tokens: an event for a device that went is nobody's */
	int signal_fd;
	int watch_fd;			 /* epoll: devices that have one descriptor of their own */
	int lock_fd;			 /* of the run directory */
	char run_dir[NFD_PATH_MAX - 64]; /* ours, empty: none */
	char counters[NFD_SIDES][NFD_PATH_MAX];
	struct nfd_control *ctl; /* NULL: none */
	bool is_leaving;	 /* stop without closing: the next instance re-attaches */
	uint64_t stop_at_ms;	 /* 0: not asked to stop */
};

/* args.c: 0, or an exit code after printing. */
int nfd_parse(struct nfd_options *o, int argc, char **argv, bool *help);

/* side.c: opens the layer and watches its device folders; negative errno after logging. */
int nfd_side_open(struct nfd_side *s, const struct nfd_where *where);
void nfd_side_close(struct nfd_side *s);
/* Reads queued events: marks devices dirty, asks for a rescan; true when there was any. */
bool nfd_side_events(struct nfd *d, uint32_t side);

/* Asks a Xen store for a sign of life now and then; when to do so next, UINT64_MAX: never. */
uint64_t nfd_side_probe(struct nfd_side *s, uint64_t now);
/* A request of ours got error: one line when it was the store that does not answer. */
void nfd_side_note(struct nfd_side *s, int error);

/* scan.c: makes the device table follow the store. */
void nfd_scan(struct nfd *d, uint32_t side);
/* The same for the one device a changed node belongs to; false: only a whole scan can tell. */
bool nfd_scan_one(struct nfd *d, uint32_t side, const char *changed, bool is_back);

/* hold.c: makes a persistent TAP, and takes it away again. */
int nfd_tap_hold(const char *name, bool mq);
void nfd_tap_let_go(const char *name);

/* device.c */
void nfd_device_found(struct nfd *d, uint32_t side, const char *path, bool is_back);
void nfd_device_step(struct nfd *d, struct nfd_device *v);
void nfd_device_shutdown(struct nfd *d, struct nfd_device *v);
/* gone: the node is, so the TAP goes too; else both stay for whoever comes next. */
void nfd_device_drop(struct nfd *d, struct nfd_device *v, bool gone);
int nfd_device_fds(struct nfd *d, struct nfd_device *v, int *fds, int cap);
/* True: its one descriptor, if it has any now, is in watch_fd. */
bool nfd_device_watch(struct nfd *d, struct nfd_device *v);
/* False when one of its hypervisors is gone, so that a step could only break it. */
bool nfd_device_alive(const struct nfd *d, const struct nfd_device *v);
/* True when only a step after some time can bring it further. */
bool nfd_device_waits(const struct nfd_device *v);

/* open.c */
int nfd_device_open(struct nfd *d, struct nfd_device *v);
/* A relay's end on that side, as its node says. */
int nfd_fill_config(struct nfd *d, struct nfd_device *v, uint32_t side, const char *path,
		    const char *token, struct nf_net_config *c);
/* The outer device a relayed one names, or -EINVAL after logging. */
int nfd_outer_path(struct nfd *d, struct nfd_device *v);

/* mux.c */
int nfd_mux_open(struct nfd *d, struct nfd_device *v);
/* Its member is gone; the last one takes the hub with it. */
void nfd_mux_close(struct nfd *d, struct nfd_device *v);
int nfd_mux_fds(struct nfd *d, const struct nfd_device *v, int *fds, int cap);
uint32_t nfd_read_number(struct nfd_side *s, const struct nfd_device *v, const char *path,
			 const char *key, uint32_t min, uint32_t max, uint32_t fallback);
/* A short word; empty when absent. */
void nfd_read_word(struct nfd_side *s, const char *path, const char *key, char *out, size_t cap);

/* disk.c: the same for block devices; -ESHUTDOWN: not ours */
bool nfd_disk_is_ours(struct nfd_side *s, const struct nfd_device *v);
int nfd_disk_open(struct nfd *d, struct nfd_device *v);
int nfd_disk_step(const struct nfd_device *v);
int nfd_disk_shutdown(const struct nfd_device *v);
void nfd_disk_close(struct nfd_device *v);
int nfd_disk_state(const struct nfd_device *v);
int nfd_disk_fds(const struct nfd_device *v, int *fds, int cap);

/* xen.c: what xl and the kernel expect */
/* path: its node on s. */
int nfd_xen_allowed(struct nfd_side *s, struct nfd_device *v, const char *path);
/* Pages a front grants: these, and so many for each queue. */
struct nfd_pages {
	uint32_t fixed, queue;
};
/* Promises v the pages of a front on that side; *queues: wanted, then those that fit. */
int nfd_xen_budget(struct nfd *d, struct nfd_device *v, uint32_t side, const struct nfd_pages *want,
		   uint32_t *queues);
int nfd_xen_net_budget(struct nfd *d, struct nfd_device *v, uint32_t side, uint32_t *queues);
void nfd_xen_port(struct nfd_side *s, const struct nfd_device *v, char *port, size_t cap);
/* journal: NFD_PATH_MAX bytes, borrowed by c. */
int nfd_xen_prepare(struct nfd *d, struct nfd_device *v, struct nf_net_config *c, char *journal);
bool nfd_xen_is_offline(struct nfd_side *s, const struct nfd_device *v);
/* The end of v that is on Xen, if any has its node made anew under it: that side, else NULL. */
struct nfd_side *nfd_xen_was_reset(struct nfd *d, const struct nfd_device *v);
/* Marks a front's node as a relay's outer end, so that nobody takes it for a device of its own. */
void nfd_xen_mark_relayed(struct nfd *d, const struct nfd_device *v);
void nfd_xen_sweep(struct nfd_side *s);

/* xendisk.c: the same of disks. Is the back at path meant for us, by its hotplug script's name? */
bool nfd_xen_disk_is_scripted(struct nfd_side *s, const char *path);
/* The port xl's target makes; -EINVAL after logging. */
int nfd_xen_disk_port(struct nfd_side *s, const struct nfd_device *v, char *port, size_t cap);
int nfd_xen_disk_budget(struct nfd *d, struct nfd_device *v, uint32_t side,
			struct nf_blk_config *c);
/* A toolstack that runs a script writes its name, and its end as hotplug-status. */
bool nfd_xen_has_script(struct nfd_side *s, const struct nfd_device *v);

/* rundir.c: 0, or negative errno after logging. */
int nfd_rundir_open(struct nfd *d);
/* Where sides count that nobody else gives a page. */
void nfd_rundir_counters(struct nfd *d);
void nfd_rundir_close(struct nfd *d);

/* control.c: the JSON-lines socket. */
struct pollfd;
int nfd_control_open(struct nfd *d);
void nfd_control_close(struct nfd *d);
/* Descriptors to wait for, up to NFD_CONTROL_FDS; how many. */
int nfd_control_collect(struct nfd *d, struct pollfd *fds);
void nfd_control_react(struct nfd *d, const struct pollfd *fds, int count);
/* ops.c: answers one line into out (with its newline); its length. */
const char *nfd_phase_name(const struct nfd_device *v);
size_t nfd_control_answer(struct nfd *d, const char *line, char *out, size_t cap);

/* notify.c: systemd's protocol; nothing without NOTIFY_SOCKET. */
void nfd_notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
uint32_t nfd_notify_watchdog_ms(void); /* 0: no watchdog */

/* loop.c: closes in order, or (leave) lets go of everything as it is. */
void nfd_stop(struct nfd *d, bool leave);
void nfd_count(const struct nfd *d, uint32_t *devices, uint32_t *running);
/* loop.c: until stopped; the exit code. */
int nfd_loop(struct nfd *d);
uint64_t nfd_now_ms(void);

/* log.c: one line to stderr, at most so many a second. Any thread. */
enum nfd_log_level { NFD_LOG_QUIET, NFD_LOG_NORMAL, NFD_LOG_DEBUG };
void nfd_log_level(enum nfd_log_level level);
void nfd_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void nfd_log_name(const char *name);
void nfd_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
