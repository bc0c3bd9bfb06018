/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nf/netif.h"
#include "pcap.h"

#define WINDOW_BYTES (NF_PCAP_SNAP + sizeof(struct nf__pcap_record))
#define FRAME_MIN 14u

static uint32_t word(const struct nf__pcap_reader *r, uint32_t v)
{
	return r->is_swapped ? __builtin_bswap32(v) : v;
}

/* Makes `bytes` available at r->at: false at the end of the file. */
static bool need(struct nf__pcap_reader *r, uint32_t bytes)
{
	if (r->have - r->at >= bytes)
		return true;
	memmove(r->window, r->window + r->at, r->have - r->at);
	r->have -= r->at;
	r->at = 0;
	while (r->have < bytes) {
		ssize_t n = read(r->fd, r->window + r->have, WINDOW_BYTES - r->have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		r->have += (uint32_t)n;
	}
	return true;
}

static const char *header_fault(struct nf__pcap_reader *r)
{
	struct nf__pcap_file_header h;
	if (!need(r, sizeof(h)))
		return "shorter than a pcap header";
	memcpy(&h, r->window, sizeof(h));
	r->at = sizeof(h);
	r->is_swapped = h.magic == __builtin_bswap32(NF_PCAP_MAGIC_US) ||
			h.magic == __builtin_bswap32(NF_PCAP_MAGIC_NS);
	uint32_t magic = word(r, h.magic);
	if (h.magic == NF_PCAP_MAGIC_NG)
		return "a pcapng file; convert it: editcap -F nsecpcap IN OUT, or tcpdump -r IN -w "
		       "OUT";
	if (magic != NF_PCAP_MAGIC_US && magic != NF_PCAP_MAGIC_NS)
		return "no pcap file: its magic number is wrong";
	/* the upper bits tell of an FCS and other things of the recording */
	if ((word(r, h.linktype) & 0xffffu) != NF_PCAP_ETHERNET)
		return "not of Ethernet frames (link type 1)";
	return NULL;
}

int nf__pcap_read_open(struct nf__pcap_reader *r, const char *path, bool loop, const char **why)
{
	*why = NULL;
	*r = (struct nf__pcap_reader){.fd = open(path, O_RDONLY | O_CLOEXEC), .loop = loop};
	if (r->fd < 0)
		return -errno;
	r->window = malloc(WINDOW_BYTES);
	if (!r->window) {
		nf__pcap_read_close(r);
		return -ENOMEM;
	}
	*why = header_fault(r);
	if (!*why)
		return 0;
	nf__pcap_read_close(r);
	return -EINVAL;
}

void nf__pcap_read_close(struct nf__pcap_reader *r)
{
	if (r->fd >= 0)
		close(r->fd);
	free(r->window);
	*r = (struct nf__pcap_reader){.fd = -1, .is_over = true};
}

/* At the end: from the start again, if that is wished and there was a frame. */
static bool rewound(struct nf__pcap_reader *r)
{
	bool again = r->loop && r->looped > 0 &&
		     lseek(r->fd, sizeof(struct nf__pcap_file_header), SEEK_SET) >= 0;
	r->at = r->have = r->looped = 0;
	r->is_over = !again;
	return again;
}

enum nf__pcap_next nf__pcap_read(struct nf__pcap_reader *r, const uint8_t **data, uint32_t *bytes)
{
	struct nf__pcap_record rec;
	if (r->is_over)
		return NF_PCAP_END;
	if (!need(r, sizeof(rec))) {
		bool is_whole = r->have == r->at;
		if (is_whole && rewound(r))
			return nf__pcap_read(r, data, bytes);
		r->is_over = true;
		return is_whole ? NF_PCAP_END : NF_PCAP_BROKEN;
	}
	memcpy(&rec, r->window + r->at, sizeof(rec));
	uint32_t caplen = word(r, rec.caplen);
	if (caplen > NF_PCAP_SNAP || !need(r, (uint32_t)sizeof(rec) + caplen)) {
		r->is_over = true;
		return NF_PCAP_BROKEN;
	}
	*data = r->window + r->at + sizeof(rec);
	*bytes = caplen;
	r->at += (uint32_t)sizeof(rec) + caplen;
	if (caplen < FRAME_MIN || caplen > NF_NETIF_FRAME_MAX || caplen < word(r, rec.len))
		return NF_PCAP_SKIPPED;
	r->looped++;
	return NF_PCAP_FRAME;
}

void nf__pcap_unread(struct nf__pcap_reader *r, uint32_t bytes)
{
	r->at -= (uint32_t)sizeof(struct nf__pcap_record) + bytes;
	r->looped--;
}
