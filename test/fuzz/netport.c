/* SPDX-License-Identifier: MIT */
#include "netport.h"

struct nf_net_features fuzz_features(uint8_t bits)
{
	return (struct nf_net_features){.sg = bits & 1,
					.gso4 = bits >> 1 & 1,
					.gso6 = bits >> 2 & 1,
					.csum4 = bits >> 3 & 1,
					.csum6 = bits >> 4 & 1,
					.queues = 1,
					.mtu = 1500};
}

static void frame_check(const struct fuzz_port *p, const struct nf_buf *bufs,
			const struct nf_frame *f)
{
	uint32_t sum = 0;
	FUZZ_EXPECT(f->count >= 1 && f->count <= NF_NET_SLOTS_TOLERATED, "buffers of a frame");
	for (uint32_t i = 0; i < f->count; i++) {
		const struct nf_buf *b = &bufs[f->first + i];
		FUZZ_EXPECT(b->bytes >= 1 && b->bytes <= NF_PAGE_BYTES, "bytes of a buffer");
		fuzz_touch(b->data, b->bytes);
		sum += b->bytes;
	}
	FUZZ_EXPECT(sum == f->bytes, "a frame is the sum of its buffers");
	FUZZ_EXPECT(f->bytes >= NF_NET_FRAME_MIN && f->bytes <= NF_NETIF_FRAME_MAX, "frame bytes");
	FUZZ_EXPECT((f->gso_bytes != 0) == (f->gso_type != 0), "gso size and type together");
	FUZZ_EXPECT(f->gso_bytes == 0 || nf__net_gso_allowed(&p->allowed, f->gso_type),
		    "a gso type nobody offered");
}

static int port_put(struct nf_port *port, const struct nf_buf *bufs, const struct nf_frame *frames,
		    uint32_t nframes)
{
	struct fuzz_port *p = (struct fuzz_port *)port;
	FUZZ_EXPECT(nframes >= 1 && nframes <= NF_NET_BATCH, "frames of a batch");
	for (uint32_t i = 0; i < nframes; i++)
		frame_check(p, bufs, &frames[i]);
	uint32_t take = fuzz_u8(p->in) & 1 ? fuzz_u8(p->in) % (nframes + 1) : nframes;
	p->taken += take;
	return (int)take;
}

/* Frames of any legal shape, and a few that no port should make. */
static int port_get(struct nf_port *port, struct nf_buf *bufs, uint32_t nbufs,
		    struct nf_frame *frames, uint32_t nframes)
{
	struct fuzz_port *p = (struct fuzz_port *)port;
	uint32_t used = 0, n = 0, want = fuzz_u8(p->in) & 31;
	for (; n < nframes && n < want; n++) {
		uint32_t bytes = NF_NET_FRAME_MIN + fuzz_u16(p->in) % (port->frame_bytes_max - 13);
		uint8_t shape = fuzz_u8(p->in);
		struct nf_frame f = {.bytes = bytes, .first = (uint16_t)used, .flags = shape & 3};
		uint32_t done = 0, at = used, room = 0;
		for (uint32_t i = used; i < nbufs; i++)
			room += bufs[i].bytes;
		if (room < bytes)
			break;
		while (done < bytes) {
			uint32_t part = bytes - done < bufs[at].bytes ? bytes - done
								      : bufs[at].bytes;
			memset(bufs[at].data, (int)n, part);
			bufs[at++].bytes = part;
			done += part;
			f.count++;
		}
		if (shape & 4) {
			f.gso_bytes = (uint16_t)(1 + (shape >> 3));
			f.gso_type = shape & 0x80 ? NF_NETIF_GSO_TYPE_TCPV6
						  : NF_NETIF_GSO_TYPE_TCPV4;
		}
		frames[n] = f;
		used = at;
	}
	return (int)n;
}

static void port_close(struct nf_port *port)
{
	(void)port;
}

void fuzz_port_init(struct fuzz_port *p, struct fuzz_in *in, const struct nf_net_features *f)
{
	static const struct nf_port_ops ops = {
		.name = "fuzz", .get = port_get, .put = port_put, .close = port_close};
	static const uint32_t sizes[] = {60, 1514, 9014, NF_NETIF_FRAME_MAX};
	*p = (struct fuzz_port){.p = {.ops = &ops,
				      .fd = -1,
				      .features = NF_PORT_CSUM | NF_PORT_GSO4 | NF_PORT_GSO6 |
						  NF_PORT_SG,
				      .frame_bytes_max = sizes[fuzz_u8(in) & 3]},
				.in = in,
				.allowed = *f};
}
