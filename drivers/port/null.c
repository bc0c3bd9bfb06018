/* SPDX-License-Identifier: MIT */
/* A port that has nothing to send and takes everything. */
#include "ports.h"

static int null_get(struct nf_port *p, struct nf_buf *bufs, uint32_t nbufs, struct nf_frame *frames,
		    uint32_t nframes)
{
	(void)p, (void)bufs, (void)nbufs, (void)frames, (void)nframes;
	return 0;
}

static int null_put(struct nf_port *p, const struct nf_buf *bufs, const struct nf_frame *frames,
		    uint32_t nframes)
{
	(void)p, (void)bufs, (void)frames;
	return (int)nframes;
}

static void null_close(struct nf_port *p)
{
	(void)p;
}

static const struct nf_port_ops null_ops = {
	.name = "null",
	.get = null_get,
	.put = null_put,
	.close = null_close,
};

int nf__port_open_null(const struct nf_port_env *env, struct nf_port *out)
{
	*out = (struct nf_port){
		.ops = &null_ops,
		.fd = -1,
		.features = NF_PORT_CSUM | NF_PORT_GSO4 | NF_PORT_GSO6 | NF_PORT_SG,
		.frame_bytes_max = 1514,
		.counters = env->counters,
	};
	return 0;
}
