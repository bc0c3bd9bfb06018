/* SPDX-License-Identifier: MIT */
/*
 * Frames from an AF_PACKET socket's TPACKET_V3 ring. A block is handed over when it is full or a
 * millisecond old, so the ring is for throughput. The kernel takes VLAN tags off; they are put
 * back.
 */
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "afpacket.h"
#include "nf/atomics.h"
#include "nf/netif.h"

#define BLOCK_MS 1
#define FRAME_SLOT                                                                                 \
	2048u	   /* only V1 and V2 care, but the kernel checks that blocks hold whole ones */
#define QUIET 256u /* empty gets between looks at the socket */
#define VLAN_BYTES 4u
#define ADDRESSES_BYTES 12u

/* One frame of the ring: the kernel's bytes, ours until its block is given back. */
struct raw {
	const uint8_t *data;
	uint32_t bytes; /* without a tag that was taken off */
	struct nf_vnet_hdr v;
	uint8_t tag[VLAN_BYTES];
	uint32_t tag_bytes; /* 0 or VLAN_BYTES */
};

int nf__afp_ring_open(struct nf__afp *a)
{
	struct tpacket_req3 req = {.tp_block_size = NF_AFP_BLOCK_BYTES,
				   .tp_block_nr = NF_AFP_BLOCKS,
				   .tp_frame_size = FRAME_SLOT,
				   .tp_frame_nr = NF_AFP_BLOCK_BYTES / FRAME_SLOT * NF_AFP_BLOCKS,
				   .tp_retire_blk_tov = BLOCK_MS};
	int version = TPACKET_V3;

	if (setsockopt(a->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
	    setsockopt(a->fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) < 0)
		return -errno;
	size_t bytes = (size_t)NF_AFP_BLOCK_BYTES * NF_AFP_BLOCKS;
	void *ring = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);
	if (ring == MAP_FAILED)
		return -errno;
	a->ring = ring;
	a->ring_bytes = bytes;
	return 0;
}

void nf__afp_ring_close(struct nf__afp *a)
{
	if (a->ring)
		munmap(a->ring, a->ring_bytes);
	a->ring = NULL;
}

static struct tpacket_block_desc *block_of(const struct nf__afp *a)
{
	return (void *)(a->ring + (size_t)a->block * NF_AFP_BLOCK_BYTES);
}

/* The next frame in the ring, NULL: none yet. */
static const struct tpacket3_hdr *frame_next(struct nf__afp *a)
{
	struct tpacket_block_desc *b = block_of(a);
	if (!a->is_open) {
		/* the kernel's frames before its status */
		if (!(nf_load_acquire(&b->hdr.bh1.block_status) & TP_STATUS_USER))
			return NULL;
		a->is_open = true;
		a->left = b->hdr.bh1.num_pkts;
		a->at = b->hdr.bh1.offset_to_first_pkt;
	}
	return a->left ? (const void *)((const uint8_t *)b + a->at) : NULL;
}

static void block_give(struct nf__afp *a)
{
	/* our reads before the kernel may write */
	nf_store_release(&block_of(a)->hdr.bh1.block_status, TP_STATUS_KERNEL);
	a->is_open = false;
	a->block = (a->block + 1) % NF_AFP_BLOCKS;
}

static void frame_done(struct nf__afp *a, const struct tpacket3_hdr *h)
{
	a->at += h->tp_next_offset;
	a->left--;
	if (a->left == 0)
		block_give(a);
}

/* False: cut short by the ring, or no frame at all. */
static bool frame_read(const struct tpacket3_hdr *h, struct raw *raw)
{
	raw->data = (const uint8_t *)h + h->tp_mac;
	raw->bytes = h->tp_snaplen;
	raw->tag_bytes = 0;
	raw->v = (struct nf_vnet_hdr){0};
	memcpy(&raw->v, raw->data - NF_AFP_VNET_BYTES, NF_AFP_VNET_BYTES);
	if (h->tp_snaplen < h->tp_len || raw->bytes < 14)
		return false;
	if (!(h->tp_status & TP_STATUS_VLAN_VALID))
		return true;
	uint16_t type = h->tp_status & TP_STATUS_VLAN_TPID_VALID ? h->hv1.tp_vlan_tpid : 0x8100;
	uint16_t tci = (uint16_t)h->hv1.tp_vlan_tci;
	uint8_t tag[VLAN_BYTES] = {(uint8_t)(type >> 8), (uint8_t)type, (uint8_t)(tci >> 8),
				   (uint8_t)tci};
	memcpy(raw->tag, tag, sizeof(tag));
	raw->tag_bytes = VLAN_BYTES;
	if (raw->v.flags & NF_VNET_NEEDS_CSUM)
		raw->v.csum_start = (uint16_t)(raw->v.csum_start + VLAN_BYTES);
	return true;
}

/* Where the next byte of a frame goes. */
struct fill {
	struct nf_buf *bufs;
	uint32_t n, used, room; /* room: of bufs[used - 1] */
};

/* The caller knows that the buffers hold the frame. */
static void fill(struct fill *to, const uint8_t *from, uint32_t bytes)
{
	while (bytes > 0) {
		if (to->room == 0) {
			to->room = to->bufs[to->used++].bytes;
			to->bufs[to->used - 1].bytes = 0;
		}
		struct nf_buf *b = &to->bufs[to->used - 1];
		uint32_t n = bytes < to->room ? bytes : to->room;
		memcpy(b->data + b->bytes, from, n);
		b->bytes += n;
		to->room -= n;
		from += n;
		bytes -= n;
	}
}

static bool holds(const struct nf_buf *bufs, uint32_t nbufs, uint32_t bytes)
{
	uint64_t room = 0;
	for (uint32_t i = 0; i < nbufs && room < bytes; i++)
		room += bufs[i].bytes;
	return room >= bytes;
}

/* A whole frame: 1, 0 no room for it now, -EINVAL dropped. */
static int frame_whole(struct nf_port *p, const struct raw *raw, struct nf_buf *bufs,
		       uint32_t nbufs, struct nf_frame *f)
{
	const struct nf__afp *a = p->priv;
	struct fill to = {.bufs = bufs, .n = nbufs};
	uint8_t head[NF_HEADERS_MAX];
	uint32_t n = 0;

	f->bytes = raw->bytes + raw->tag_bytes;
	if (f->bytes > p->frame_bytes_max)
		return -EINVAL;
	if (!holds(bufs, nbufs, f->bytes))
		return 0;
	uint32_t at = raw->tag_bytes ? ADDRESSES_BYTES : 0;
	fill(&to, raw->data, at);
	fill(&to, raw->tag, raw->tag_bytes);
	fill(&to, raw->data + at, raw->bytes - at);
	f->count = (uint16_t)to.used;
	if (raw->v.flags & NF_VNET_NEEDS_CSUM)
		n = nf_frame_peek(bufs, f, 0, head, sizeof(head));
	int rc = nf__vnet_to_frame(&raw->v, head, n, a->allowed, f);
	if (rc < 0) /* the buffers were cut, and this frame's are the next one's */
		return rc;
	if (rc > 0) {
		nf__vnet_complete(&raw->v, bufs, f);
		if (p->counters)
			NF_COUNT(p->counters, csum_completed, 1);
	}
	return 1;
}

/* A GSO frame that has to be cut: netif cannot say it, or the other side does not take it. */
static bool is_cut(const struct nf__afp *a, const struct raw *raw)
{
	uint32_t need = raw->v.gso_type == NF_VNET_GSO_TCPV4   ? NF_PORT_GSO4
			: raw->v.gso_type == NF_VNET_GSO_TCPV6 ? NF_PORT_GSO6
							       : 0;
	if (need == 0 || raw->tag_bytes) /* cut frames of a VLAN: nobody makes them here */
		return false;
	return !(a->allowed & need) || raw->bytes > NF_NETIF_FRAME_MAX;
}

/* One segment of the frame being cut: 1, 0 no room, -EINVAL: not even segments fit. */
static int segment(struct nf_port *p, struct nf_buf *bufs, uint32_t nbufs, struct nf_frame *f)
{
	struct nf__afp *a = p->priv;
	uint8_t linear[9216];
	bool blank = (a->allowed & NF_PORT_CSUM) != 0;
	struct fill to = {.bufs = bufs, .n = nbufs};

	uint32_t most = nf__cut_bytes_max(&a->cut);
	if (most > sizeof(linear) || most > p->frame_bytes_max)
		return -EINVAL;
	if (!holds(bufs, nbufs, most))
		return 0;
	f->bytes = nf__cut_next(&a->cut, blank, linear);
	fill(&to, linear, f->bytes);
	f->count = (uint16_t)to.used;
	f->flags = blank ? NF_FRAME_CSUM_BLANK | NF_FRAME_DATA_VALID : NF_FRAME_DATA_VALID;
	return 1;
}

/* One frame or segment off the ring: 1, 0 nothing or no room, -EINVAL: one was dropped. */
static int take(struct nf_port *p, struct nf_buf *bufs, uint32_t nbufs, struct nf_frame *f)
{
	struct nf__afp *a = p->priv;
	struct raw raw;
	const struct tpacket3_hdr *h = frame_next(a);
	if (!h) {
		if (a->is_open) /* a block of no frames: a timer that met none */
			block_give(a);
		return 0;
	}
	bool good = a->cut.data || frame_read(h, &raw);
	if (good && !a->cut.data && is_cut(a, &raw)) {
		good = nf__cut_begin(&a->cut, raw.data, raw.bytes, raw.v.gso_size) == 0;
		if (good && p->counters)
			NF_COUNT(p->counters, gso_segmented, 1);
	}
	int rc = !good	       ? -EINVAL
		 : a->cut.data ? segment(p, bufs, nbufs, f)
			       : frame_whole(p, &raw, bufs, nbufs, f);
	if (rc < 0)
		a->cut.data = NULL;
	if (rc != 0 && !a->cut.data)
		frame_done(a, h);
	return rc;
}

/* What the ring had no room for; reading it begins it anew. */
static void count_ring_drops(struct nf_port *p)
{
	const struct nf__afp *a = p->priv;
	struct tpacket_stats_v3 s = {0};
	socklen_t n = sizeof(s);
	if (getsockopt(a->fd, SOL_PACKET, PACKET_STATISTICS, &s, &n) == 0)
		nf__port_count_drop(p, a->is_back, false, s.tp_drops);
}

int nf__afp_check(struct nf_port *p)
{
	struct nf__afp *a = p->priv;
	int error = 0;
	socklen_t n = sizeof(error);

	count_ring_drops(p);
	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		return -ENODEV;
	return nf__iface_is_there(a->fd, a->ifindex) ? 0 : -ENODEV;
}

int nf__afp_get(struct nf_port *p, struct nf_buf *bufs, uint32_t nbufs, struct nf_frame *frames,
		uint32_t nframes)
{
	struct nf__afp *a = p->priv;
	uint32_t used = 0, done = 0;

	while (done < nframes) {
		struct nf_frame f = {0};
		if (!holds(&bufs[used], nbufs - used, p->frame_bytes_max))
			break;
		int rc = take(p, &bufs[used], nbufs - used, &f);
		if (rc == 0)
			break;
		if (rc < 0) {
			if (p->counters)
				NF_COUNT(p->counters, rx_dropped_malformed, 1);
			nf__port_count_drop(p, a->is_back, false, 1);
			break; /* the capacities of its buffers may have been cut */
		}
		f.first = (uint16_t)used;
		used += f.count;
		frames[done++] = f;
	}
	if (done > 0) {
		a->quiet = 0;
		return (int)done;
	}
	if (++a->quiet == 1) /* the end of a burst */
		count_ring_drops(p);
	return a->quiet % QUIET ? 0 : nf__afp_check(p);
}
