/* SPDX-License-Identifier: MIT */
/*
 * Where frames come from and go to. A driver lends page buffers, a port fills or empties them; the
 * port never keeps a buffer after the call. One port object per queue, used by one poller.
 *
 * Trust: bytes of a buffer passed to put may belong to a hostile peer and change at any time: read
 * each once, copy headers before parsing. Buffers passed to get may be readable by the peer at
 * once.
 */
#ifndef NF_PORT_H
#define NF_PORT_H

#include <errno.h>
#include <stdint.h>

#include "nf/control.h"
#include "nf/counters.h"

#define NF_FRAME_CSUM_BLANK 0x01u /* TCP/UDP checksum holds the pseudo-header sum only */
#define NF_FRAME_DATA_VALID 0x02u /* checksum was verified or never left the machine */

/* bytes: capacity for get, length for put. tag: the driver's, ports leave it alone. */
struct nf_buf {
	uint8_t *data;
	uint32_t bytes;
	uint32_t tag;
};

/* One frame over bufs[first .. first+count). */
struct nf_frame {
	uint32_t bytes; /* whole frame without FCS, 14 .. 65535 */
	uint16_t first;
	uint16_t count;
	uint16_t gso_bytes; /* payload per segment, 0 = no GSO */
	uint8_t gso_type;   /* NF_NETIF_GSO_TYPE_* */
	uint8_t flags;	    /* NF_FRAME_* */
	uint32_t pad;
};

struct nf_port;

struct nf_port_ops {
	const char *name;
	/*
	 * Fills up to nframes frames into bufs, consuming buffers in order and never sharing one
	 * between frames; sets bufs[].bytes to what was written, and frames[]. A buffer whose
	 * capacity was not needed by its frame's end is still consumed whole. Returns frames filled
	 * (0: nothing to send or not enough buffers for the largest frame), -EIO/-ENODEV when the
	 * port is dead.
	 */
	int (*get)(struct nf_port *p, struct nf_buf *bufs, uint32_t nbufs, struct nf_frame *frames,
		   uint32_t nframes);
	/*
	 * Takes frames in order; returns how many were taken (a frame refused for good is taken and
	 * counted as a drop; fewer than nframes means: again later, see put_waits), or
	 * -EIO/-ENODEV.
	 */
	int (*put)(struct nf_port *p, const struct nf_buf *bufs, const struct nf_frame *frames,
		   uint32_t nframes);
	void (*close)(struct nf_port *p);
	/* The device is connected or not: an interface has it as its carrier. NULL: none has.
	 * Control thread, also while the poller uses the port. */
	void (*carrier)(struct nf_port *p, int on);
};

/* What a port can take and give; decides what the driver negotiates. */
enum nf_port_features {
	NF_PORT_CSUM = 1u << 0,
	NF_PORT_GSO4 = 1u << 1,
	NF_PORT_GSO6 = 1u << 2,
	NF_PORT_SG = 1u << 3,
};

struct nf_port {
	const struct nf_port_ops *ops;
	int fd;			  /* poll for input when >= 0 */
	uint32_t features;	  /* of enum nf_port_features */
	uint32_t frame_bytes_max; /* of the next frames: a get that changes it returns 0 and is
				     called again */
	uint32_t put_waits;	  /* 1: after a put that took fewer, fd has POLLOUT when it takes
				     more; 0: it takes more after a get, or at any time */
	struct nf_counters *counters; /* borrowed; the queue's block */
	void *priv;
};

struct nf_port_env {
	uint32_t queue;
	uint32_t queues;
	uint32_t devid;
	uint32_t mtu;	 /* for ports that make an interface */
	uint8_t mac[6];	 /* of the guest side; zero: the port's own */
	uint8_t is_back; /* 1 behind netback */
	/* of enum nf_port_features: what the other side does not take, so what get must not hand
	 * out. CSUM: frames with NF_FRAME_CSUM_BLANK; GSO4/6: GSO frames; SG: frames over several
	 * pages. Ports are opened after negotiation. What put takes is the port's own features. */
	uint32_t features_refused;
	const struct nf_control_dev *control; /* may be NULL */
	struct nf_counters *counters;
	struct nf_counters *latency; /* NF_LATENCY_BLOCKS blocks, may be NULL */
};

/*
 * Opens a port from its spec: "gen" (generator, echo, pinger and sink in one, driven by the control
 * page), "null", "tap:NAME[,csum=off][,gso=off][,mq]",
 * "afpacket:NAME[,csum=off][,gso=off][,ring=v3]", "afxdp:NAME[,queue=N][,zerocopy]", "pcap:FILE",
 * "pcap:[in=FILE][,out=FILE][,loop]". -EINVAL: unknown or malformed; -EPERM, -EACCES, -ENOENT,
 * -ENODEV, -EBUSY ...: what it names cannot be had; err gets one line with the remedy; out is
 * untouched then. 0 with a line in err: it works, and the user should know this.
 */
int nf_port_open(const char *spec, const struct nf_port_env *env, struct nf_port *out, char *err,
		 uint32_t err_cap);
/* Features a spec will have, before it is opened (negotiation needs them): >= 0 or -EINVAL. */
int nf_port_probe(const char *spec);

static inline void nf_port_carrier(struct nf_port *p, int on)
{
	if (p->ops && p->ops->carrier)
		p->ops->carrier(p, on);
}

static inline void nf_port_close(struct nf_port *p)
{
	if (p->ops)
		p->ops->close(p);
	p->ops = 0;
}

#endif
