/* SPDX-License-Identifier: MIT */
/*
 * What a request of the file disk becomes: one io at a time. Short ones are continued, what direct
 * I/O does not take goes through the page cache, what must not be read from the peer's pages by the
 * device is bounced.
 */
#include "blk_fileport.h"

#include <stdlib.h>
#include <string.h>

#define BOUNCE_BYTES_MAX                                                                           \
	(16u << 20) /* of all requests of a queue: at least NF_BLKREQ_BYTES_MAX                    \
		     */
#define BOUNCE_ALIGN 4096u
#define TRIES_MAX 64u

static bool is_aligned(const struct nf__filedisk *f, uint64_t a, uint64_t b)
{
	return ((a | b) & (f->len_align - 1)) == 0;
}

/* Whether one memory region has all the segments in order, and direct I/O could take them. */
static bool look_at(const struct nf__filedisk *f, const struct nf_blkreq *r, bool *is_fit)
{
	const uint8_t *next = r->segs[0].iov_base;
	bool is_linear = true;
	*is_fit = true;
	for (uint32_t i = 0; i < r->nsegs; i++) {
		const struct iovec *s = &r->segs[i];
		is_linear &= s->iov_base == next;
		next = (const uint8_t *)s->iov_base + s->iov_len;
		if ((uintptr_t)s->iov_base & (f->mem_align - 1) || s->iov_len & (f->len_align - 1))
			*is_fit = false;
	}
	return is_linear;
}

static void bounce_drop(struct nf__fileport *q, struct nf__fileslot *s)
{
	q->bounce_bytes -= s->bounce_bytes;
	free(s->bounce);
	s->bounce = NULL;
	s->bounce_bytes = 0;
}

/* Memory of our own for the slot's bytes; false: not before others are done. */
static bool bounce_take(struct nf__fileport *q, struct nf__fileslot *s)
{
	uint64_t want = (s->bytes + BOUNCE_ALIGN - 1) & ~(uint64_t)(BOUNCE_ALIGN - 1);
	if (s->bounce_bytes >= want)
		return true;
	bounce_drop(q, s);
	/* idle slots keep theirs for the next request; take it from them first */
	for (struct nf__fileslot *o = q->free; o && q->bounce_bytes + want > BOUNCE_BYTES_MAX;
	     o = o->next_free)
		bounce_drop(q, o);
	if (q->bounce_bytes + want > BOUNCE_BYTES_MAX)
		return false;
	s->bounce = aligned_alloc(BOUNCE_ALIGN, want);
	if (!s->bounce)
		return false;
	s->bounce_bytes = want;
	q->bounce_bytes += want;
	return true;
}

static void bounce_copy(const struct nf__fileslot *s, bool is_out)
{
	uint8_t *at = s->bounce;
	for (uint32_t i = 0; i < s->req.nsegs; i++) {
		size_t n = s->req.segs[i].iov_len;
		if (is_out)
			memcpy(at, s->req.segs[i].iov_base, n);
		else
			memcpy(s->req.segs[i].iov_base, at, n);
		at += n;
	}
}

static int16_t region_of(const struct nf__filedisk *f, const struct iovec *v)
{
	for (uint32_t i = 0; i < f->region_count; i++) {
		uintptr_t at = (uintptr_t)v->iov_base - (uintptr_t)f->regions[i].iov_base;
		if (at < f->regions[i].iov_len && v->iov_len <= f->regions[i].iov_len - at)
			return (int16_t)i;
	}
	return -1;
}

/* The io for what the slot has not moved yet. */
static void prepare_rest(struct nf__fileport *q, struct nf__fileslot *s)
{
	struct nf__filedisk *f = q->disk;
	uint64_t skip = s->moved;
	uint32_t i = 0;

	s->io.offset = s->req.sector * NF_SECTOR_BYTES + s->moved;
	s->io.fd = f->fd;
	if (s->is_direct && !s->is_refused && is_aligned(f, s->io.offset, s->bytes - s->moved))
		s->io.fd = f->direct_fd;
	if (s->is_bounced) {
		s->one = (struct iovec){s->bounce + s->moved, s->bytes - s->moved};
	} else {
		for (; skip >= s->req.segs[i].iov_len; i++)
			skip -= s->req.segs[i].iov_len;
		s->one = (struct iovec){(uint8_t *)s->req.segs[i].iov_base + skip,
					s->req.segs[i].iov_len - skip};
	}
	s->io.iov = &s->one;
	s->io.niov = 1;
	s->io.buffer = -1;
}

/* False: no bounce memory now. */
static bool prepare_data(struct nf__fileport *q, struct nf__fileslot *s)
{
	struct nf__filedisk *f = q->disk;
	const struct nf_blkreq *r = &s->req;
	bool is_fit, is_linear = look_at(f, r, &is_fit);

	s->moved = 0;
	s->is_direct = f->direct_fd >= 0 && is_aligned(f, r->sector * NF_SECTOR_BYTES, s->bytes);
	s->is_bounced = s->is_direct && (!is_fit || q->is_copied);
	if (s->is_bounced) {
		if (!bounce_take(q, s))
			return false;
		if (r->op == NF_BLKOP_WRITE)
			bounce_copy(s, true);
	}
	if (s->is_bounced) {
		prepare_rest(q, s);
		return true;
	}
	s->io.offset = r->sector * NF_SECTOR_BYTES;
	s->io.fd = s->is_direct ? f->direct_fd : f->fd;
	s->io.iov = r->segs;
	s->io.niov = r->nsegs;
	s->io.buffer = -1;
	if (is_linear) {
		s->one = (struct iovec){r->segs[0].iov_base, s->bytes};
		s->io.iov = &s->one;
		s->io.niov = 1;
		if (q->serial == f->region_serial) /* else the kernel's numbers are older */
			s->io.buffer = region_of(f, &s->one);
	}
	return true;
}

bool nf__transfer_begin(struct nf__fileport *q, struct nf__fileslot *s)
{
	const struct nf_blkreq *r = &s->req;
	s->tries = 0;
	s->is_refused = false;
	s->io.is_sync = (r->flags & NF_BLKREQ_FUA) != 0;
	switch (r->op) {
	case NF_BLKOP_READ:
		s->io.op = NF__IO_READV;
		s->io.is_sync = 0;
		return prepare_data(q, s);
	case NF_BLKOP_WRITE:
		s->io.op = NF__IO_WRITEV;
		return prepare_data(q, s);
	case NF_BLKOP_FLUSH:
		s->io.op = NF__IO_FDATASYNC;
		break;
	default:
		s->io.op = NF__IO_PUNCH;
		if (q->disk->is_block)
			s->io.op = r->flags & NF_BLKREQ_SECURE ? NF__IO_BLKSECDISCARD
							       : NF__IO_BLKDISCARD;
	}
	s->io.fd = q->disk->fd;
	s->io.offset = r->sector * NF_SECTOR_BYTES;
	s->io.bytes = r->sectors * NF_SECTOR_BYTES;
	return true;
}

static int blame(int error)
{
	switch (error) {
	case -ENOSPC:
	case -EDQUOT:
	case -EROFS:
	case -EOPNOTSUPP:
		return error;
	case -EFBIG:
		return -ENOSPC;
	default: /* a truncated, vanished or broken store is an I/O error, not a dead device */
		return -EIO;
	}
}

/* True: the slot goes on; false: it ended with *error. */
static bool data_goes_on(struct nf__fileport *q, struct nf__fileslot *s, int *error)
{
	int32_t rc = s->io.result;

	*error = 0;
	if (rc > 0) {
		s->moved += (uint32_t)rc;
		if (s->moved >= s->bytes) {
			if (s->is_bounced && s->req.op == NF_BLKOP_READ)
				bounce_copy(s, false);
			return false;
		}
		s->tries = 0;
		prepare_rest(q, s);
		return true;
	}
	if (rc == 0) { /* the file ends before the disk does */
		*error = s->req.op == NF_BLKOP_READ ? -EIO : -ENOSPC;
		return false;
	}
	bool is_again = rc == -EINTR || rc == -EAGAIN;
	bool is_direct_only = s->io.fd == q->disk->direct_fd && (rc == -EINVAL || rc == -EFAULT);
	if (is_direct_only) {
		/* memory that no device may reach (grants mapped on Xen), or an alignment the file
		 * system did not tell: the page cache takes anything */
		if (rc == -EFAULT)
			q->is_copied = true;
		s->is_refused = true;
		prepare_rest(q, s);
		return true;
	}
	if (is_again && ++s->tries < TRIES_MAX)
		return true;
	*error = blame(rc);
	return false;
}

bool nf__transfer_next(struct nf__fileport *q, struct nf__fileslot *s, int *error)
{
	if (s->req.op == NF_BLKOP_READ || s->req.op == NF_BLKOP_WRITE)
		return data_goes_on(q, s, error);
	int32_t rc = s->io.result;
	if ((rc == -EINTR || rc == -EAGAIN) && ++s->tries < TRIES_MAX)
		return true;
	*error = rc < 0 ? blame(rc) : 0;
	return false;
}
