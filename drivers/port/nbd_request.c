/* SPDX-License-Identifier: MIT */
/* One request of an NBD client: what is wrong with it, and what it is answered. */
#include "nbd.h"

#include "nf/atomics.h"

static uint32_t wire_error(int error)
{
	switch (error) {
	case 0:
		return NBD_OK;
	case -EINVAL:
		return NBD_EINVAL;
	case -ENOSPC:
	case -EDQUOT:
		return NBD_ENOSPC;
	case -EROFS:
		return NBD_EPERM;
	case -EOPNOTSUPP:
		return NBD_ENOTSUP;
	case -ENODEV:
		return NBD_ESHUTDOWN;
	default:
		return NBD_EIO;
	}
}

void nf__nbd_request_free(struct nf__nbd_request *r)
{
	struct nf__nbd_conn *c = r->conn;
	nf__nbd_memory_give(r);
	r->next = c->free;
	c->free = r;
	c->unanswered--;
}

/* The pages may be a peer's and change while we look: then it was a hole when we looked. */
static bool is_zero(const uint8_t *p, uint64_t bytes)
{
	uint64_t head[2]; /* a range is 512 bytes at least */
	memcpy(head, p, sizeof(head));
	return (head[0] | head[1]) == 0 && !memcmp(p, p + sizeof(head), bytes - sizeof(head));
}

static void reply_simple(struct nf__nbd_request *r)
{
	uint8_t *p = nbd_put32(r->reply, NBD_SIMPLE_REPLY_MAGIC);
	p = nbd_put32(p, wire_error(r->error));
	p = nbd_put64(p, r->cookie);
	r->head_bytes = (uint8_t)(p - r->reply);
}

/* A read's only chunk: its bytes, or that they are all zero, which need not be carried, or why
 * there are none. */
static void reply_chunk(struct nf__nbd_request *r)
{
	bool is_hole = r->data_bytes && is_zero(r->mem, r->bytes);
	uint16_t type = r->error  ? NBD_REPLY_TYPE_ERROR
			: is_hole ? NBD_REPLY_TYPE_OFFSET_HOLE
				  : NBD_REPLY_TYPE_OFFSET_DATA;
	uint64_t bytes = r->error ? 6 : is_hole ? 12 : 8 + r->data_bytes;
	uint8_t *p = nbd_put32(r->reply, NBD_STRUCTURED_REPLY_MAGIC);
	p = nbd_put16(nbd_put16(p, NBD_REPLY_FLAG_DONE), type);
	p = nbd_put32(nbd_put64(p, r->cookie), (uint32_t)bytes);
	if (r->error)
		p = nbd_put16(nbd_put32(p, wire_error(r->error)), 0); /* and no words to it */
	else
		p = nbd_put64(p, r->offset);
	if (is_hole) {
		p = nbd_put32(p, (uint32_t)r->bytes);
		r->data_bytes = 0;
	}
	r->head_bytes = (uint8_t)(p - r->reply);
}

void nf__nbd_request_end(struct nf__nbd_request *r)
{
	if (r->conn->fd < 0) { /* nobody listens any more */
		nf__nbd_request_free(r);
		return;
	}
	r->sent = 0;
	r->data_bytes = r->type == NBD_CMD_READ && !r->error ? r->bytes : 0;
	if (r->type == NBD_CMD_READ && r->conn->is_structured)
		reply_chunk(r);
	else
		reply_simple(r);
	if (!r->data_bytes)
		nf__nbd_memory_give(r);
	nf__nbd_append(&r->conn->replies, r);
}

void nf__nbd_request_ready(struct nf__nbd_request *r)
{
	r->is_queued = true;
	nf__nbd_append(&r->conn->nbd->working, r);
}

static int check_range(const struct nf__nbd *n, uint16_t type, uint64_t offset, uint64_t bytes)
{
	/* a size that changes after the handshake counts, whatever the client was told */
	uint64_t sectors = nf_load64(&n->disk->geometry->sectors);
	uint64_t size = sectors * NF_SECTOR_BYTES;
	if (offset % NF_SECTOR_BYTES || bytes % NF_SECTOR_BYTES || bytes == 0)
		return -EINVAL;
	if (bytes > size || offset > size - bytes)
		return type == NBD_CMD_READ || type == NBD_CMD_TRIM ? -EINVAL : -ENOSPC;
	return 0;
}

/* 0 or the error it is answered with. */
static int check(const struct nf__nbd_conn *c, uint16_t type, uint16_t flags, uint64_t offset,
		 uint64_t bytes)
{
	const struct nf__nbd *n = c->nbd;
	bool is_change = type == NBD_CMD_WRITE || type == NBD_CMD_TRIM ||
			 type == NBD_CMD_WRITE_ZEROES;
	uint16_t known = NBD_CMD_FLAG_FUA;
	if (type == NBD_CMD_WRITE_ZEROES)
		known |= NBD_CMD_FLAG_NO_HOLE;
	if (type == NBD_CMD_READ && c->is_structured)
		known |= NBD_CMD_FLAG_DF; /* there is never more than one chunk */
	if (flags & ~known)
		return -EINVAL;
	if (type == NBD_CMD_FLUSH)
		return 0;
	if (type != NBD_CMD_READ && !is_change)
		return -EINVAL;
	if (is_change && (n->is_readonly || n->disk->geometry->readonly))
		return -EROFS;
	if (type == NBD_CMD_TRIM && !n->disk->geometry->discard_bytes)
		return -EOPNOTSUPP;
	if (type == NBD_CMD_READ && bytes > NF__NBD_BYTES_MAX)
		return -EINVAL;
	return check_range(n, type, offset, bytes);
}

static uint64_t memory_wanted(uint16_t type, uint64_t bytes)
{
	switch (type) {
	case NBD_CMD_READ:
	case NBD_CMD_WRITE:
		return bytes;
	case NBD_CMD_WRITE_ZEROES:
		return bytes < NF__NBD_ZEROES_BYTES ? bytes : NF__NBD_ZEROES_BYTES;
	default:
		return 0;
	}
}

static void start(struct nf__nbd_conn *c, struct nf__nbd_request *r, int error)
{
	c->free = r->next;
	c->unanswered++;
	r->error = error;
	if (error) {
		if (r->type == NBD_CMD_WRITE)
			c->skip = r->bytes;
		nf__nbd_request_end(r);
	} else if (r->type == NBD_CMD_WRITE) {
		c->receiving = r;
		c->received = 0;
	} else {
		if (r->type == NBD_CMD_WRITE_ZEROES)
			memset(r->mem, 0, r->mem_bytes);
		nf__nbd_request_ready(r);
	}
}

int nf__nbd_request_begin(struct nf__nbd_conn *c, const uint8_t *header)
{
	struct nf__nbd_request *r = c->free;
	uint16_t flags = nbd_get16(header + 4), type = nbd_get16(header + 6);
	uint64_t bytes = nbd_get32(header + 24), offset = nbd_get64(header + 16);

	if (nbd_get32(header) != NBD_REQUEST_MAGIC)
		return -EPROTO;
	if (type == NBD_CMD_DISC) {
		c->phase = NF__NBD_ENDING;
		return 0;
	}
	if (type == NBD_CMD_WRITE && bytes > NF__NBD_BYTES_MAX)
		return -EPROTO; /* its payload is more than we would read to throw away */
	if (!r)
		return -EAGAIN;
	int error = check(c, type, flags, offset, bytes);
	*r = (struct nf__nbd_request){
		.conn = c,
		.next = r->next,
		.cookie = nbd_get64(header + 8),
		.offset = offset,
		.bytes = type == NBD_CMD_FLUSH ? 1 : bytes,
		.type = type,
		.is_fua = (flags & NBD_CMD_FLAG_FUA) != 0,
	};
	uint64_t memory = error ? 0 : memory_wanted(type, bytes);
	if (memory && !nf__nbd_memory_take(r, memory))
		return -EAGAIN;
	start(c, r, error);
	return 0;
}
