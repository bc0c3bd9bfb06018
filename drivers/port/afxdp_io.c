/* SPDX-License-Identifier: MIT */
/*
 * Frames through AF_XDP: one chunk each, no offloads. Received chunks go back to the fill ring at
 * once; sent ones when the kernel says it is done with them.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "afxdp.h"
#include "nf/atomics.h"
#include "nf/netif.h"
#include "nf/offload.h"

#define QUIET 256u
#define MASK (NF_XDP_RING - 1u)
#define KICKS 40u /* a call sends 32 frames in copy mode; the ring holds 1,024 */

static bool wants_wakeup(const struct nf__xdp_ring *r)
{
	return nf_load_relaxed(r->shared_flags) & XDP_RING_NEED_WAKEUP;
}

static int check(struct nf_port *p)
{
	struct nf__xdp *x = p->priv;
	struct xdp_statistics s = {0};
	int error;
	socklen_t n = sizeof(error);
	(void)!getsockopt(x->fd, SOL_SOCKET, SO_ERROR, &error, &n);
	n = sizeof(s);
	(void)!getsockopt(x->fd, SOL_XDP, XDP_STATISTICS, &s, &n);
	return nf__iface_is_there(x->fd, x->ifindex) ? 0 : -ENODEV;
}

/* False: no room for it. */
static bool copy_out(const uint8_t *from, uint32_t bytes, struct nf_buf *bufs, uint32_t nbufs,
		     struct nf_frame *f)
{
	uint64_t room = 0;
	uint32_t at = 0, i = 0;
	for (uint32_t k = 0; k < nbufs && room < bytes; k++)
		room += bufs[k].bytes;
	if (room < bytes)
		return false;
	for (; at < bytes; i++) {
		uint32_t n = bytes - at < bufs[i].bytes ? bytes - at : bufs[i].bytes;
		memcpy(bufs[i].data, from + at, n);
		bufs[i].bytes = n;
		at += n;
	}
	f->bytes = bytes;
	f->count = (uint16_t)i;
	return true;
}

static void give_back(struct nf__xdp *x, uint64_t addr)
{
	uint64_t *fill = x->fill.descs;
	fill[x->fill.next++ & MASK] = addr & ~(uint64_t)(NF_XDP_CHUNK - 1);
}

int nf__xdp_get(struct nf_port *p, struct nf_buf *bufs, uint32_t nbufs, struct nf_frame *frames,
		uint32_t nframes)
{
	struct nf__xdp *x = p->priv;
	const struct xdp_desc *descs = x->rx.descs;
	uint32_t prod = nf_load_acquire(x->rx.shared_prod); /* descriptors before the index */
	uint32_t used = 0, done = 0, first = x->rx.next;

	for (; x->rx.next != prod && done < nframes; x->rx.next++) {
		struct xdp_desc d = descs[x->rx.next & MASK];
		struct nf_frame f = {.first = (uint16_t)used};
		bool good = d.len >= 14 && d.len <= p->frame_bytes_max &&
			    d.addr + d.len <= (uint64_t)NF_XDP_CHUNK * NF_XDP_CHUNKS;
		if (good && !copy_out(x->chunks + d.addr, d.len, &bufs[used], nbufs - used, &f))
			break;
		give_back(x, d.addr);
		if (!good) {
			if (p->counters)
				NF_COUNT(p->counters, rx_dropped_malformed, 1);
			nf__port_count_drop(p, x->is_back, false, 1);
			continue;
		}
		used += f.count;
		frames[done++] = f;
	}
	if (x->rx.next != first) {
		nf_store_release(x->rx.shared_cons, x->rx.next);
		nf_store_release(x->fill.shared_prod, x->fill.next);
		x->quiet = 0;
		return (int)done;
	}
	if (wants_wakeup(&x->fill))
		(void)!recvfrom(x->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	return ++x->quiet % QUIET ? 0 : check(p);
}

/* Chunks that were sent. */
static void reap(struct nf__xdp *x)
{
	const uint64_t *addrs = x->done.descs;
	uint32_t prod = nf_load_acquire(x->done.shared_prod);
	if (prod == x->done.next)
		return;
	for (; x->done.next != prod; x->done.next++)
		x->free[x->free_count++] = (uint32_t)(addrs[x->done.next & MASK] / NF_XDP_CHUNK);
	nf_store_release(x->done.shared_cons, x->done.next);
}

/* Makes the kernel send what is in the ring. Negative: the interface is gone. */
static int kick(struct nf_port *p)
{
	struct nf__xdp *x = p->priv;
	for (uint32_t i = 0; i < KICKS; i++) {
		if (nf_load_acquire(x->tx.shared_cons) == x->tx.next || !wants_wakeup(&x->tx))
			return 0;
		if (sendto(x->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0)
			continue;
		if (errno == ENXIO || errno == ENETDOWN || errno == EBADF)
			return check(p);
		if (errno != EAGAIN) /* EBUSY, ENOBUFS: the device is full for now */
			return 0;
	}
	return 0;
}

int nf__xdp_put(struct nf_port *p, const struct nf_buf *bufs, const struct nf_frame *frames,
		uint32_t nframes)
{
	struct nf__xdp *x = p->priv;
	struct xdp_desc *descs = x->tx.descs;
	uint32_t i = 0;

	reap(x);
	for (; i < nframes; i++) {
		const struct nf_frame *f = &frames[i];
		if (f->bytes > p->frame_bytes_max || f->flags & NF_FRAME_CSUM_BLANK ||
		    f->gso_type != NF_NETIF_GSO_TYPE_NONE) {
			if (p->counters)
				NF_COUNT(p->counters, rx_dropped_malformed, 1);
			nf__port_count_drop(p, x->is_back, true, 1);
			continue;
		}
		if (x->free_count == 0)
			reap(x);
		if (x->free_count == 0)
			break;
		uint64_t addr = (uint64_t)x->free[--x->free_count] * NF_XDP_CHUNK;
		nf_frame_peek(bufs, f, 0, x->chunks + addr, f->bytes);
		descs[x->tx.next++ & MASK] = (struct xdp_desc){.addr = addr, .len = f->bytes};
	}
	nf_store_release(x->tx.shared_prod, x->tx.next); /* descriptors before the index */
	int rc = kick(p);
	return rc < 0 ? rc : (int)i;
}
