/* SPDX-License-Identifier: MIT */
/*
 * Frames from and to a TAP: one readv or writev each, straight into and out of the lent buffers.
 * Only headers an offload is derived from are copied to private memory, and those copies are what
 * is sent.
 */
#include <string.h>
#include <sys/uio.h>

#include "nf/atomics.h"
#include "nf/netif.h"
#include "tap.h"
#include "vnet_iov.h"

#define READ_BUFS 17u /* of a page, at any offset: the largest frame */

/* tx is from the guest: what a back puts, what a front gets. */
static void count_drop(struct nf_port *p, bool put)
{
	const struct tap *t = p->priv;
	if (!p->counters)
		return;
	if (put == t->is_back)
		NF_COUNT(p->counters, tx_dropped_port, 1);
	else
		NF_COUNT(p->counters, rx_dropped_port, 1);
}

static void count_malformed(struct nf_port *p)
{
	if (p->counters)
		NF_COUNT(p->counters, rx_dropped_malformed, 1);
}

static bool dead(int error)
{
	return error == EBADFD || error == EBADF || error == ENODEV || error == ENXIO;
}

/* Distributes bytes read over the buffers; how many of them the frame took. */
static uint32_t spread(struct nf_buf *bufs, uint32_t nbufs, uint32_t bytes)
{
	uint32_t i = 0;
	for (; i < nbufs && bytes; i++) {
		if (bufs[i].bytes > bytes)
			bufs[i].bytes = bytes;
		bytes -= bufs[i].bytes;
	}
	return i;
}

/* One frame, already in bufs[0 .. f->count): its offloads. False: it must not go on. */
static bool describe(struct nf_port *p, const struct nf_vnet_hdr *v, struct nf_buf *bufs,
		     struct nf_frame *f)
{
	const struct tap *t = p->priv;
	uint8_t head[NF_HEADERS_MAX];
	uint32_t n = 0;

	if (v->flags & NF_VNET_NEEDS_CSUM)
		n = nf_frame_peek(bufs, f, 0, head, sizeof(head));
	int rc = nf__vnet_to_frame(v, head, n, t->allowed, f);
	if (rc < 0)
		return false;
	if (rc > 0) {
		nf__vnet_complete(v, bufs, f);
		if (p->counters)
			NF_COUNT(p->counters, csum_completed, 1);
	}
	return true;
}

/* One read: 1 a frame, 0 nothing there, -EAGAIN a frame was dropped, other negative: dead. */
static int read_frame(struct nf_port *p, struct nf_buf *bufs, uint32_t nbufs, struct nf_frame *f)
{
	const struct tap *t = p->priv;
	union {
		struct nf_vnet_hdr v;
		uint8_t space[NF_VNET_HDR_BYTES_MAX];
	} hdr = {0};
	struct iovec iov[2 + READ_BUFS] = {{&hdr, t->hdr_bytes}};
	uint32_t room = 0, n = 0;
	uint8_t beyond; /* a longer frame is cut without a word: seen by a byte that got here */

	for (; n < nbufs && n < READ_BUFS && room < NF_NETIF_FRAME_MAX; n++) {
		iov[1 + n] = (struct iovec){bufs[n].data, bufs[n].bytes};
		room += bufs[n].bytes;
	}
	iov[1 + n] = (struct iovec){&beyond, 1};
	ssize_t got = readv(t->fd, iov, (int)(2 + n));
	if (got < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return 0;
		return dead(errno) || errno == EIO ? -ENODEV : -EAGAIN;
	}
	size_t bytes = (size_t)got - t->hdr_bytes;
	if ((size_t)got < t->hdr_bytes + 14u || bytes > NF_NETIF_FRAME_MAX || bytes > room)
		return -EAGAIN;
	f->bytes = (uint32_t)bytes;
	f->count = (uint16_t)spread(bufs, n, f->bytes);
	f->first = 0;
	return describe(p, &hdr.v, bufs, f) ? 1 : -EAGAIN;
}

int nf__tap_get(struct nf_port *p, struct nf_buf *bufs, uint32_t nbufs, struct nf_frame *frames,
		uint32_t nframes)
{
	uint32_t used = 0, done = 0;

	while (done < nframes) {
		uint64_t room = 0;
		for (uint32_t i = used; i < nbufs && room < p->frame_bytes_max; i++)
			room += bufs[i].bytes;
		if (room < p->frame_bytes_max)
			break;
		struct nf_frame f = {0};
		int rc = read_frame(p, &bufs[used], nbufs - used, &f);
		if (rc == 0)
			break;
		if (rc == -EAGAIN) {
			count_malformed(p);
			count_drop(p, false);
			/* its bytes are in the buffers, whose capacities may have been cut: one is
			 * given up */
			break;
		}
		if (rc < 0)
			return done ? (int)done : rc;
		f.first = (uint16_t)used;
		used += f.count;
		frames[done++] = f;
	}
	return (int)done;
}

/* 0 sent or dropped, negative: the TAP is gone. */
static int write_frame(struct nf_port *p, const struct nf_buf *bufs, const struct nf_frame *f)
{
	const struct tap *t = p->priv;
	struct nf__vnet_out out;
	int n = nf__vnet_gather(bufs, f, p->features, t->hdr_bytes, &out);

	if (n < 0) {
		count_malformed(p);
		count_drop(p, true);
		return 0;
	}
	if (writev(t->fd, out.iov, n) >= 0)
		return 0;
	if (dead(errno))
		return -ENODEV;
	if (p->counters)
		NF_COUNT(p->counters, tap_drops, 1);
	count_drop(p, true);
	return 0;
}

int nf__tap_put(struct nf_port *p, const struct nf_buf *bufs, const struct nf_frame *frames,
		uint32_t nframes)
{
	for (uint32_t i = 0; i < nframes; i++) {
		int rc = write_frame(p, bufs, &frames[i]);
		if (rc < 0)
			return rc;
	}
	return (int)nframes;
}
