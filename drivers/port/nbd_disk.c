/* SPDX-License-Identifier: MIT */
/* NBD requests on their way to the disk and back: in pieces no longer than the disk likes. */
#include "nbd.h"

#define BATCH 64u
#define NONE UINT32_MAX

static uint64_t piece_bytes(const struct nf__nbd *n, const struct nf__nbd_request *r)
{
	uint64_t left = r->bytes - r->started, max = left;
	if (r->type == NBD_CMD_READ || r->type == NBD_CMD_WRITE)
		max = n->disk->bytes_max ? n->disk->bytes_max : NF_BLKREQ_BYTES_MAX;
	else if (r->type == NBD_CMD_WRITE_ZEROES)
		max = r->mem_bytes;
	if (n->disk->bytes_max && r->type == NBD_CMD_WRITE_ZEROES && max > n->disk->bytes_max)
		max = n->disk->bytes_max;
	return left < max ? left : max;
}

static struct nf_blkreq make(struct nf__nbd *n, struct nf__nbd_request *r)
{
	uint32_t index = n->free_piece;
	struct nf__nbd_piece *p = &n->pieces[index];
	uint64_t bytes = piece_bytes(n, r);
	struct nf_blkreq q = {.token = index};

	n->free_piece = p->next_free;
	p->request = r;
	p->bytes = bytes;
	r->pieces++;
	if (r->type == NBD_CMD_FLUSH) {
		q.op = NF_BLKOP_FLUSH;
		r->started += bytes;
		return q;
	}
	q.sector = (r->offset + r->started) / NF_SECTOR_BYTES;
	q.sectors = bytes / NF_SECTOR_BYTES;
	q.op = r->type == NBD_CMD_TRIM	 ? NF_BLKOP_DISCARD
	       : r->type == NBD_CMD_READ ? NF_BLKOP_READ
					 : NF_BLKOP_WRITE;
	if (q.op != NF_BLKOP_DISCARD) {
		bool is_zeroes = r->type == NBD_CMD_WRITE_ZEROES;
		p->iov = (struct iovec){r->mem + (is_zeroes ? 0 : r->started), bytes};
		q.segs = &p->iov;
		q.nsegs = 1;
	}
	if (q.op == NF_BLKOP_WRITE && r->is_fua)
		q.flags = NF_BLKREQ_FUA;
	r->started += bytes;
	return q;
}

static struct nf__nbd_request *piece_free(struct nf__nbd *n, uint32_t index)
{
	struct nf__nbd_request *r = n->pieces[index].request;
	n->pieces[index].request = NULL;
	n->pieces[index].next_free = n->free_piece;
	n->free_piece = index;
	r->pieces--;
	return r;
}

/* All of it was done, or its first error stopped it. */
static void over(struct nf__nbd_request *r)
{
	if (r->type == NBD_CMD_TRIM && r->is_fua && !r->error) {
		r->type = NBD_CMD_FLUSH; /* durable discards: a flush after them */
		r->bytes = 1;
		r->started = 0;
		nf__nbd_request_ready(r);
		return;
	}
	nf__nbd_request_end(r);
}

/* Requests with nothing left to give leave the queue, in order. */
static void trim_queue(struct nf__nbd *n)
{
	while (n->working.head && n->working.head->started == n->working.head->bytes) {
		struct nf__nbd_request *r = nf__nbd_shift(&n->working);
		r->is_queued = false;
		if (r->pieces == 0)
			over(r);
	}
}

int nf__nbd_pump(struct nf__nbd *n)
{
	int total = 0;
	for (;;) {
		struct nf_blkreq batch[BATCH];
		uint32_t count = 0;
		for (struct nf__nbd_request *r = n->working.head; r; r = r->next)
			while (r->started < r->bytes && count < BATCH && n->free_piece != NONE)
				batch[count++] = make(n, r);
		int taken = count ? n->disk->ops->submit(n->disk, batch, count) : 0;
		for (uint32_t i = count; i-- > (taken > 0 ? (uint32_t)taken : 0);) {
			uint32_t index = (uint32_t)batch[i].token;
			uint64_t bytes = n->pieces[index].bytes;
			piece_free(n, index)->started -= bytes;
		}
		trim_queue(n);
		if (taken < 0)
			return taken;
		total += taken;
		if (taken == 0 || (uint32_t)taken < count)
			return total;
	}
}

int nf__nbd_reap(struct nf__nbd *n)
{
	struct nf_blkdone done[BATCH];
	int total = 0, got;
	while ((got = n->disk->ops->reap(n->disk, done, BATCH)) > 0) {
		for (int i = 0; i < got; i++) {
			if (done[i].token >= n->depth || !n->pieces[done[i].token].request)
				continue; /* not one of ours */
			struct nf__nbd_request *r = piece_free(n, (uint32_t)done[i].token);
			if (done[i].error && !r->error) {
				r->error = done[i].error;
				r->started = r->bytes; /* the rest is not worth doing */
			}
			if (r->pieces == 0 && r->started == r->bytes && !r->is_queued)
				over(r);
		}
		total += got;
		if (got < (int)BATCH)
			break;
	}
	if (total)
		trim_queue(n);
	return got < 0 ? got : total;
}
