/* SPDX-License-Identifier: MIT */
/*
 * The pcap file port: a reader and a writer of the classic format (draft-ietf-opsawg-pcap): a 24 B
 * header, then 16 B a record. Read in either byte order, with micro- or nanoseconds; written in our
 * own order with nanoseconds.
 */
#ifndef NF_PORT_PCAP_H
#define NF_PORT_PCAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define NF_PCAP_MAGIC_US 0xa1b2c3d4u
#define NF_PCAP_MAGIC_NS 0xa1b23c4du
#define NF_PCAP_MAGIC_NG 0x0a0d0d0au /* pcapng: another format */
#define NF_PCAP_ETHERNET 1u
#define NF_PCAP_SNAP 262144u /* what tcpdump writes; records above it are junk */

struct nf__pcap_file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, sigfigs, snaplen, linktype;
};
_Static_assert(sizeof(struct nf__pcap_file_header) == 24, "a pcap header is 24 B");

struct nf__pcap_record {
	uint32_t seconds, fraction, caplen, len;
};
_Static_assert(sizeof(struct nf__pcap_record) == 16, "a pcap record header is 16 B");

/* ---- pcap_read.c ---- */
struct nf__pcap_reader {
	int fd;
	bool is_swapped;
	bool is_over; /* at its end, or broken */
	bool loop;
	uint32_t looped; /* frames since it began again */
	uint8_t *window; /* a part of the file */
	uint32_t at, have;
};

enum nf__pcap_next {
	NF_PCAP_END = 0,
	NF_PCAP_FRAME = 1,
	NF_PCAP_SKIPPED = 2, /* too large, too short or cut when it was recorded */
	NF_PCAP_BROKEN = 3,  /* the file ends inside a record, or a length is absurd */
};

/* 0 or negative errno; *why: what is wrong with the file, a constant string, or NULL. */
int nf__pcap_read_open(struct nf__pcap_reader *r, const char *path, bool loop, const char **why);
void nf__pcap_read_close(struct nf__pcap_reader *r);
/* The next frame, borrowed until the next call. */
enum nf__pcap_next nf__pcap_read(struct nf__pcap_reader *r, const uint8_t **data, uint32_t *bytes);
/* It was not taken: the next call gives it again. */
void nf__pcap_unread(struct nf__pcap_reader *r, uint32_t bytes);

/* ---- pcap_write.c ---- */
struct nf__pcap_writer {
	int fd;
	uint8_t *buffer;
	uint32_t used;
};

/* Makes the file or empties it. */
int nf__pcap_write_open(struct nf__pcap_writer *w, const char *path);
/* Room for a record of so many bytes, its header written; NULL: *error says why not. */
uint8_t *nf__pcap_record(struct nf__pcap_writer *w, uint64_t ns, uint32_t bytes, int *error);
/* All records to the file: 0 or negative errno. */
int nf__pcap_flush(struct nf__pcap_writer *w);
int nf__pcap_write_close(struct nf__pcap_writer *w);

#endif
