/* SPDX-License-Identifier: MIT */
/*
 * Frames to an AF_PACKET socket: one sendmmsg a batch, straight out of the lent buffers. What the
 * socket's send buffer does not hold stays with the caller: the link's speed is the ring's.
 */
#include <string.h>

#include "afpacket.h"
#include "nf/atomics.h"

/* Builds up to NF_AFP_SEND messages of frames from `from` on; frames looked at. `made` messages. */
static uint32_t prepare(struct nf_port *p, const struct nf_buf *bufs, const struct nf_frame *frames,
			uint32_t nframes, uint32_t *owner, uint32_t *made)
{
	struct nf__afp *a = p->priv;
	uint32_t i = 0, n = 0;
	for (; i < nframes && n < NF_AFP_SEND; i++) {
		int iovs = nf__vnet_gather(bufs, &frames[i], p->features, NF_AFP_VNET_BYTES,
					   &a->out[n]);
		if (iovs < 0) {
			if (n >
			    0) /* dropped when it is the first: nothing before it can come back */
				break;
			if (p->counters)
				NF_COUNT(p->counters, rx_dropped_malformed, 1);
			nf__port_count_drop(p, a->is_back, true, 1);
			continue;
		}
		a->msgs[n].msg_hdr = (struct msghdr){.msg_iov = a->out[n].iov,
						     .msg_iovlen = (size_t)iovs};
		owner[n++] = i;
	}
	*made = n;
	return i;
}

/* What to do about the first message that was not sent: 1 skip it, 0 later, negative: dead. */
static int refused(struct nf_port *p, int error)
{
	struct nf__afp *a = p->priv;
	switch (error) {
	case EAGAIN:
	case EINTR:
		return 0;
	case ENETDOWN:
	case ENXIO:
	case ENODEV:
		if (!nf__iface_is_there(a->fd, a->ifindex))
			return -ENODEV;
		break; /* only down: a wire without a carrier loses what it gets */
	case EBADF:
		return -ENODEV;
	default: /* ENOBUFS: the queueing discipline is full; EMSGSIZE, EINVAL: not for this link */
		break;
	}
	if (p->counters)
		NF_COUNT(p->counters, tap_drops, 1);
	nf__port_count_drop(p, a->is_back, true, 1);
	return 1;
}

int nf__afp_put(struct nf_port *p, const struct nf_buf *bufs, const struct nf_frame *frames,
		uint32_t nframes)
{
	struct nf__afp *a = p->priv;
	uint32_t done = 0, owner[NF_AFP_SEND];

	while (done < nframes) {
		uint32_t made, sent = 0;
		uint32_t seen = prepare(p, bufs, &frames[done], nframes - done, owner, &made);
		while (sent < made) {
			int n = sendmmsg(a->fd, &a->msgs[sent], made - sent, MSG_DONTWAIT);
			if (n > 0) {
				sent += (uint32_t)n;
				continue;
			}
			int rc = refused(p, errno);
			if (rc < 0)
				return rc;
			if (rc == 0) /* frames before it that were malformed are done with */
				return (int)(done + owner[sent]);
			sent++;
		}
		done += seen;
	}
	return (int)nframes;
}
