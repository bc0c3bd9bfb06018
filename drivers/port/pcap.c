/* SPDX-License-Identifier: MIT */
/*
 * "pcap:FILE" records what it is given; "pcap:[in=FILE][,out=FILE][,loop]" sends the frames of one
 * file and records to another. Several queues share nothing: queue N > 0 records to FILE.N and
 * sends nothing.
 */
#include "pcap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "iface.h"
#include "nf/atomics.h"
#include "nf/netif.h"
#include "nf/offload.h"
#include "ports.h"

#define PATH_BYTES 160

struct options {
	char in[PATH_BYTES], out[PATH_BYTES]; /* empty: none */
	bool loop;
};

struct pcap {
	struct nf__pcap_reader in;
	struct nf__pcap_writer out;
	bool is_back;
};

static int refuse(char *err, uint32_t err_cap, const char *spec)
{
	if (err)
		snprintf(err, err_cap,
			 "pcap:%.60s: pcap:FILE records; pcap:in=FILE[,out=FILE][,loop] sends",
			 spec);
	return -EINVAL;
}

static bool keep_path(char *to, const char *from, size_t n)
{
	if (n == 0 || n >= PATH_BYTES || to[0])
		return false;
	memcpy(to, from, n);
	to[n] = '\0';
	return true;
}

static int parse(const char *spec, struct options *o, char *err, uint32_t err_cap)
{
	struct options out = {0};
	for (const char *at = spec;;) {
		size_t n = strcspn(at, ",");
		bool good;
		if (!strncmp(at, "in=", 3))
			good = keep_path(out.in, at + 3, n - 3);
		else if (!strncmp(at, "out=", 4))
			good = keep_path(out.out, at + 4, n - 4);
		else if (n == 4 && !strncmp(at, "loop", 4))
			good = out.loop = true;
		else /* a bare name comes first */
			good = at == spec && keep_path(out.out, at, n);
		if (!good)
			return refuse(err, err_cap, spec);
		at += n;
		if (!*at++)
			break;
	}
	if ((out.loop && !out.in[0]) || (!out.in[0] && !out.out[0]))
		return refuse(err, err_cap, spec);
	*o = out;
	return 0;
}

/* Frames as on a wire: a recorded blank checksum would look wrong to whoever reads it. */
int nf__port_probe_pcap(const char *options)
{
	struct options o;
	int rc = parse(options, &o, NULL, 0);
	return rc < 0 ? rc : (int)NF_PORT_SG;
}

static int pcap_get(struct nf_port *p, struct nf_buf *bufs, uint32_t nbufs, struct nf_frame *frames,
		    uint32_t nframes)
{
	struct pcap *c = p->priv;
	uint32_t used = 0, done = 0;
	uint64_t bad = 0;

	while (done < nframes && !c->in.is_over) {
		const uint8_t *data;
		uint32_t bytes, at = 0, first = used;
		enum nf__pcap_next what = nf__pcap_read(&c->in, &data, &bytes);
		if (what == NF_PCAP_END)
			break;
		if (what != NF_PCAP_FRAME || bytes > p->frame_bytes_max) {
			bad++;
			continue;
		}
		uint64_t room = 0;
		for (uint32_t i = used; i < nbufs && room < bytes; i++)
			room += bufs[i].bytes;
		if (room < bytes) {
			nf__pcap_unread(&c->in, bytes);
			break;
		}
		for (; at < bytes; used++) {
			uint32_t n = bytes - at < bufs[used].bytes ? bytes - at : bufs[used].bytes;
			memcpy(bufs[used].data, data + at, n);
			bufs[used].bytes = n;
			at += n;
		}
		frames[done++] = (struct nf_frame){.bytes = bytes,
						   .first = (uint16_t)first,
						   .count = (uint16_t)(used - first)};
	}
	if (bad && p->counters)
		NF_COUNT(p->counters, rx_dropped_malformed, bad);
	nf__port_count_drop(p, c->is_back, false, bad);
	return (int)done;
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A full disk ends the device: a record with holes nobody knows of is worse than none. */
static int pcap_put(struct nf_port *p, const struct nf_buf *bufs, const struct nf_frame *frames,
		    uint32_t nframes)
{
	struct pcap *c = p->priv;
	uint64_t ns = now_ns();
	int error = 0;

	if (c->out.fd < 0)
		return (int)nframes;
	for (uint32_t i = 0; i < nframes; i++) {
		const struct nf_frame *f = &frames[i];
		if (f->flags & NF_FRAME_CSUM_BLANK || f->gso_type != NF_NETIF_GSO_TYPE_NONE) {
			if (p->counters) /* this port said that it takes none */
				NF_COUNT(p->counters, rx_dropped_malformed, 1);
			nf__port_count_drop(p, c->is_back, true, 1);
			continue;
		}
		uint8_t *to = nf__pcap_record(&c->out, ns, f->bytes, &error);
		if (!to)
			return -EIO;
		nf_frame_peek(bufs, f, 0, to, f->bytes);
	}
	return nf__pcap_flush(&c->out) < 0 ? -EIO : (int)nframes;
}

static void drop(struct pcap *c)
{
	nf__pcap_read_close(&c->in);
	nf__pcap_write_close(&c->out); /* each put was flushed */
	free(c);
}

static void pcap_close(struct nf_port *p)
{
	if (p->priv)
		drop(p->priv);
	p->priv = NULL;
}

static const struct nf_port_ops pcap_ops = {
	.name = "pcap",
	.get = pcap_get,
	.put = pcap_put,
	.close = pcap_close,
};

static int failed(const char *path, int error, const char *why, char *err, uint32_t err_cap)
{
	const char *remedy = "";
	if (error == -ENOENT)
		remedy = ": no such file or folder where this domain looks";
	else if (error == -EACCES || error == -EROFS || error == -EPERM)
		remedy = ": not a place this domain may write to";
	if (err)
		snprintf(err, err_cap, "pcap:%.100s: %s%s", path, why ? why : strerror(-error),
			 remedy);
	return error;
}

static int set_up(struct pcap *c, struct options *o, uint32_t queue, char *err, uint32_t err_cap)
{
	const char *why = NULL;
	if (o->in[0] && queue == 0) {
		int rc = nf__pcap_read_open(&c->in, o->in, o->loop, &why);
		if (rc < 0)
			return failed(o->in, rc, why, err, err_cap);
	}
	if (!o->out[0])
		return 0;
	char path[PATH_BYTES + 12];
	if (queue)
		snprintf(path, sizeof(path), "%s.%u", o->out, queue);
	else
		snprintf(path, sizeof(path), "%s", o->out);
	int rc = nf__pcap_write_open(&c->out, path);
	return rc < 0 ? failed(path, rc, NULL, err, err_cap) : 0;
}

int nf__port_open_pcap(const char *options, const struct nf_port_env *env, struct nf_port *out,
		       char *err, uint32_t err_cap)
{
	struct options o;
	int rc = parse(options, &o, err, err_cap);
	if (rc < 0)
		return rc;
	struct pcap *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->in.fd = c->out.fd = -1;
	c->in.is_over = true;
	c->is_back = env->is_back;
	rc = set_up(c, &o, env->queue, err, err_cap);
	if (rc < 0) {
		drop(c);
		return rc;
	}
	uint32_t mtu = env->mtu ? env->mtu : 1500;
	*out = (struct nf_port){
		.ops = &pcap_ops,
		.fd = -1,
		.features = NF_PORT_SG,
		.frame_bytes_max = mtu + 18,
		.counters = env->counters,
		.priv = c,
	};
	return 0;
}
