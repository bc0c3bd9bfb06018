/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pcap.h"

#define BUFFER_BYTES (512u << 10)

int nf__pcap_write_open(struct nf__pcap_writer *w, const char *path)
{
	struct nf__pcap_file_header h = {.magic = NF_PCAP_MAGIC_NS,
					 .major = 2,
					 .minor = 4,
					 .snaplen = NF_PCAP_SNAP,
					 .linktype = NF_PCAP_ETHERNET};
	*w = (struct nf__pcap_writer){
		.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
	if (w->fd < 0)
		return -errno;
	w->buffer = malloc(BUFFER_BYTES);
	if (!w->buffer) {
		close(w->fd);
		w->fd = -1;
		return -ENOMEM;
	}
	memcpy(w->buffer, &h, sizeof(h));
	w->used = sizeof(h);
	return nf__pcap_flush(w); /* a reader may look at once */
}

int nf__pcap_flush(struct nf__pcap_writer *w)
{
	uint32_t done = 0;
	while (done < w->used) {
		ssize_t n = write(w->fd, w->buffer + done, w->used - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int error = n < 0 ? -errno : -EIO;
			memmove(w->buffer, w->buffer + done, w->used - done);
			w->used -= done;
			return error;
		}
		done += (uint32_t)n;
	}
	w->used = 0;
	return 0;
}

uint8_t *nf__pcap_record(struct nf__pcap_writer *w, uint64_t ns, uint32_t bytes, int *error)
{
	struct nf__pcap_record rec = {.seconds = (uint32_t)(ns / 1000000000u),
				      .fraction = (uint32_t)(ns % 1000000000u),
				      .caplen = bytes,
				      .len = bytes};
	uint32_t all = (uint32_t)sizeof(rec) + bytes;
	*error = w->used + all > BUFFER_BYTES ? nf__pcap_flush(w) : 0;
	if (*error)
		return NULL;
	uint8_t *at = w->buffer + w->used;
	memcpy(at, &rec, sizeof(rec));
	w->used += all;
	return at + sizeof(rec);
}

int nf__pcap_write_close(struct nf__pcap_writer *w)
{
	int error = 0;
	if (w->fd >= 0) {
		error = nf__pcap_flush(w);
		if (close(w->fd) < 0 && !error)
			error = -errno;
	}
	free(w->buffer);
	*w = (struct nf__pcap_writer){.fd = -1};
	return error;
}
