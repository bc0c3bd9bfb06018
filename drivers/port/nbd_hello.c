/* SPDX-License-Identifier: MIT */
/* The fixed newstyle handshake: greeting, client flags, options. */
#include "nbd.h"

#define REPLY_HEADER_BYTES 20u /* magic, option, type, length */
#define REPLY_ROOM 512u	       /* the answers to one option */

static uint16_t export_flags(const struct nf__nbd_conn *c)
{
	const struct nf__nbd *n = c->nbd;
	const struct nf_disk_geometry *g = n->disk->geometry;
	uint16_t f = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA;
	if (c->is_structured)
		f |= NBD_FLAG_SEND_DF;
	/* connections share one disk and one order of flushes: what one was told is done is in what
	 * another flushes */
	f |= NBD_FLAG_CAN_MULTI_CONN;
	if (n->is_readonly || g->readonly)
		return f | NBD_FLAG_READ_ONLY;
	f |= NBD_FLAG_SEND_WRITE_ZEROES;
	if (g->discard_bytes)
		f |= NBD_FLAG_SEND_TRIM;
	return f;
}

static uint64_t export_bytes(const struct nf__nbd *n)
{
	return n->disk->geometry->sectors * NF_SECTOR_BYTES;
}

static void reply(struct nf__nbd_conn *c, uint32_t option, uint32_t type, const uint8_t *data,
		  uint32_t bytes)
{
	uint8_t *p = nbd_put64(c->out + c->out_bytes, NBD_REP_MAGIC);
	p = nbd_put32(p, option);
	p = nbd_put32(p, type);
	p = nbd_put32(p, bytes);
	if (bytes)
		memcpy(p, data, bytes);
	c->out_bytes += REPLY_HEADER_BYTES + bytes;
}

void nf__nbd_greet(struct nf__nbd_conn *c)
{
	uint8_t *p = nbd_put64(c->out, NBD_MAGIC);
	p = nbd_put64(p, NBD_IHAVEOPT);
	nbd_put16(p, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	c->out_bytes = 18;
	c->phase = NF__NBD_FLAGS;
}

static bool is_our_name(const struct nf__nbd *n, const uint8_t *name, uint32_t bytes)
{
	return bytes == 0 || (bytes == strlen(n->name) && !memcmp(name, n->name, bytes));
}

/* Ends the handshake without an answer to refuse in, as the specification wants. */
static int export_name(struct nf__nbd_conn *c, const uint8_t *data, uint32_t bytes)
{
	if (!is_our_name(c->nbd, data, bytes))
		return -EPROTO;
	uint8_t *p = nbd_put64(c->out + c->out_bytes, export_bytes(c->nbd));
	nbd_put16(p, export_flags(c));
	c->out_bytes += 10;
	if (!c->no_zeroes) {
		memset(c->out + c->out_bytes, 0, 124);
		c->out_bytes += 124;
	}
	c->phase = NF__NBD_MOVING;
	return 0;
}

static void list(struct nf__nbd_conn *c, uint32_t bytes)
{
	uint8_t data[4 + sizeof(c->nbd->name)];
	uint32_t n = (uint32_t)strlen(c->nbd->name);
	if (bytes) {
		reply(c, NBD_OPT_LIST, NBD_REP_ERR_INVALID, NULL, 0);
		return;
	}
	memcpy(nbd_put32(data, n), c->nbd->name, n);
	reply(c, NBD_OPT_LIST, NBD_REP_SERVER, data, 4 + n);
	reply(c, NBD_OPT_LIST, NBD_REP_ACK, NULL, 0);
}

/* INFO and GO: name length, name, count, that many numbers of what is wanted to be known. */
static void info(struct nf__nbd_conn *c, uint32_t option, const uint8_t *data, uint32_t bytes)
{
	const struct nf_blkport *disk = c->nbd->disk;
	uint8_t what[14];
	uint32_t name = bytes >= 6 ? nbd_get32(data) : 0;

	if (bytes < 6 || name > bytes - 6 || nbd_get16(data + 4 + name) * 2u != bytes - 6 - name) {
		reply(c, option, NBD_REP_ERR_INVALID, NULL, 0);
		return;
	}
	if (!is_our_name(c->nbd, data + 4, name)) {
		reply(c, option, NBD_REP_ERR_UNKNOWN, NULL, 0);
		return;
	}
	uint8_t *p = nbd_put16(what, NBD_INFO_EXPORT);
	p = nbd_put64(p, export_bytes(c->nbd));
	nbd_put16(p, export_flags(c));
	reply(c, option, NBD_REP_INFO, what, 12);
	p = nbd_put16(what, NBD_INFO_BLOCK_SIZE);
	p = nbd_put32(p, NF_SECTOR_BYTES);
	p = nbd_put32(p, disk->geometry->physical_bytes > 4096 ? disk->geometry->physical_bytes
							       : 4096);
	nbd_put32(p, NF__NBD_BYTES_MAX);
	reply(c, option, NBD_REP_INFO, what, 14);
	reply(c, option, NBD_REP_ACK, NULL, 0);
	if (option == NBD_OPT_GO)
		c->phase = NF__NBD_MOVING;
}

static int take_option(struct nf__nbd_conn *c, uint32_t option, const uint8_t *data, uint32_t bytes)
{
	switch (option) {
	case NBD_OPT_EXPORT_NAME:
		return export_name(c, data, bytes);
	case NBD_OPT_ABORT:
		reply(c, option, NBD_REP_ACK, NULL, 0);
		c->phase = NF__NBD_ENDING;
		return 0;
	case NBD_OPT_LIST:
		list(c, bytes);
		return 0;
	case NBD_OPT_INFO:
	case NBD_OPT_GO:
		info(c, option, data, bytes);
		return 0;
	case NBD_OPT_STRUCTURED_REPLY:
		c->is_structured |= bytes == 0;
		reply(c, option, bytes ? NBD_REP_ERR_INVALID : NBD_REP_ACK, NULL, 0);
		return 0;
	default: /* TLS, metadata contexts */
		reply(c, option, NBD_REP_ERR_UNSUP, NULL, 0);
		return 0;
	}
}

static int take_flags(struct nf__nbd_conn *c, const uint8_t *in)
{
	uint32_t flags = nbd_get32(in);
	/* a client without the fixed handshake could not read our refusals */
	if (!(flags & NBD_FLAG_FIXED_NEWSTYLE) ||
	    flags & ~(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES))
		return -EPROTO;
	c->no_zeroes = (flags & NBD_FLAG_NO_ZEROES) != 0;
	c->phase = NF__NBD_OPTIONS;
	return 4;
}

int nf__nbd_hello(struct nf__nbd_conn *c, const uint8_t *in, uint32_t bytes)
{
	if (c->phase == NF__NBD_FLAGS)
		return bytes < 4 ? 0 : take_flags(c, in);
	if (bytes < NBD_OPTION_HEADER_BYTES)
		return 0;
	uint32_t option = nbd_get32(in + 8), length = nbd_get32(in + 12);
	if (nbd_get64(in) != NBD_IHAVEOPT || length > NF__NBD_OPTION_BYTES_MAX)
		return -EPROTO;
	if (c->out_bytes + REPLY_ROOM > sizeof(c->out))
		return -EAGAIN;
	bool is_long = length > NBD_NAME_MAX + 1024;
	if (!is_long && bytes < NBD_OPTION_HEADER_BYTES + length)
		return 0;
	if (++c->options > NF__NBD_OPTIONS_MAX)
		return -EPROTO;
	if (is_long) {
		reply(c, option, NBD_REP_ERR_TOO_BIG, NULL, 0);
		c->skip = length;
		return option == NBD_OPT_EXPORT_NAME ? -EPROTO : (int)NBD_OPTION_HEADER_BYTES;
	}
	int rc = take_option(c, option, in + NBD_OPTION_HEADER_BYTES, length);
	return rc < 0 ? rc : (int)(NBD_OPTION_HEADER_BYTES + length);
}
