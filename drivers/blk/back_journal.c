/* SPDX-License-Identifier: MIT */
/*
 * The journal of a back: a file of one header page and the ledger of each queue, which holds what
 * was taken off the ring and not answered. Requests and responses share slots, so the ring alone
 * does not tell.
 *
 * Killed at any instruction, a back leaves one of these, and each is told apart:
 * - answers not begun: redo is of an earlier batch and empty; entries are done again
 * - answers begun: redo begins at rsp_prod: all of them are written again and published
 * - answers published, entries not yet dropped: redo ends at rsp_prod: they are dropped now
 */
#include "blk_back.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_MAGIC 0x4e46424au /* "NFBJ" */
#define JOURNAL_VERSION 1u
#define HEADER_BYTES 4096u

struct journal_header {
	uint32_t magic, version;
	uint64_t nonce; /* of the connection; the store has it too */
	uint32_t queues;
};

static size_t offset_of(uint32_t queue)
{
	return HEADER_BYTES + (size_t)queue * NF_BLK_JOURNAL_QUEUE_BYTES;
}

struct nf_blk_journal *nf__blk_journal_of(struct nf_blkback *b, uint32_t queue)
{
	if (!b->journal.base)
		return NULL;
	return (struct nf_blk_journal *)(void *)(b->journal.base + offset_of(queue));
}

static int journal_map(struct nf_blkback *b, int fd)
{
	size_t bytes = offset_of(b->queues);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size != (off_t)bytes)
		return -EPROTO;
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	b->journal.fd = fd;
	b->journal.base = base;
	b->journal.bytes = bytes;
	return 0;
}

int nf__blk_journal_create(struct nf_blkback *b, uint64_t nonce)
{
	nf__blk_journal_close(b);
	if (unlink(b->e.cfg.journal) < 0 && errno != ENOENT)
		return -errno;
	int fd = open(b->e.cfg.journal, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	/* allocated, not only sized: a full tmpfs is an error here, not a SIGBUS in the poller */
	int rc = -posix_fallocate(fd, 0, (off_t)offset_of(b->queues));
	if (rc == 0)
		rc = journal_map(b, fd);
	if (rc) {
		close(fd);
		unlink(b->e.cfg.journal);
		return rc;
	}
	for (uint32_t i = 0; i < b->queues; i++)
		nf__blk_journal_of(b, i)->refs = b->refs[i];
	*(struct journal_header *)(void *)b->journal.base = (struct journal_header){
		.magic = JOURNAL_MAGIC,
		.version = JOURNAL_VERSION,
		.nonce = nonce,
		.queues = b->queues,
	};
	return 0;
}

int nf__blk_journal_open(struct nf_blkback *b, uint64_t nonce)
{
	int fd = open(b->e.cfg.journal, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	int rc = journal_map(b, fd);
	if (rc) {
		close(fd);
		return rc;
	}
	const struct journal_header *h = (const struct journal_header *)(void *)b->journal.base;
	bool is_ours = h->magic == JOURNAL_MAGIC && h->version == JOURNAL_VERSION &&
		       h->nonce == nonce && h->queues == b->queues;
	for (uint32_t i = 0; is_ours && i < b->queues; i++)
		is_ours = memcmp(&nf__blk_journal_of(b, i)->refs, &b->refs[i],
				 sizeof(b->refs[i])) == 0;
	if (is_ours)
		return 0;
	nf__blk_journal_close(b);
	return -EPROTO;
}

void nf__blk_journal_close(struct nf_blkback *b)
{
	if (!b->journal.base)
		return;
	munmap(b->journal.base, b->journal.bytes);
	close(b->journal.fd);
	b->journal.fd = -1;
	b->journal.base = NULL;
}

void nf__blk_journal_remove(struct nf_blkback *b)
{
	if (!b->journal.base)
		return;
	nf__blk_journal_close(b);
	unlink(b->e.cfg.journal); /* one that stays is another connection's for whoever reads it */
}

/* Answers the killed back had decided on: out, once. */
static int answers_redo(struct nf_blk_back_queue *q)
{
	struct nf_blk_journal *j = q->journal;
	struct nf_ring_back *ring = &q->rings->ring;
	uint32_t first = (uint32_t)j->redo, count = (uint32_t)(j->redo >> 32);
	if (count > ring->count ||
	    (count > 0 && first != ring->rsp_prod && first + count != ring->rsp_prod))
		return -EPROTO;
	bool is_begun = count > 0 && first == ring->rsp_prod;
	for (uint32_t i = 0; is_begun && i < count; i++)
		nf__blk_rsp_store(q->features.abi, nf_ring_back_slot(ring, ring->rsp_prod++),
				  j->answers[i].id, j->answers[i].op, j->answers[i].status);
	nf_ring_back_push(ring); /* whoever attaches notifies anyway */
	for (uint32_t i = 0; i < count; i++)
		if (j->answers[i].req < ring->count)
			j->entries[j->answers[i].req].is_valid = 0;
	nf_store64(&j->redo, ring->rsp_prod);
	return is_begun ? (int)count : 0;
}

/* The entries keep their numbers: the requests are put back where they were. */
int nf__blk_journal_replay(struct nf_blk_back_queue *q)
{
	struct nf_blk_journal *j = q->journal;
	struct nf_ring_back *ring = &q->rings->ring;
	if (!j)
		return -EPROTO;
	int fixed = answers_redo(q);
	if (fixed < 0)
		return fixed;
	uint32_t count = 0;
	q->free_sp = 0;
	for (uint32_t i = ring->count; i-- > 0;) {
		if (j->entries[i].is_valid)
			count++;
		else
			q->free_stack[q->free_sp++] = (uint16_t)i;
	}
	ring->req_cons = ring->rsp_prod + count;
	for (uint32_t i = 0; i < ring->count; i++) {
		union nf_blk_slot slot = j->entries[i].slot;
		if (!j->entries[i].is_valid)
			continue;
		/* all that were in flight have had their bounce pages at once before */
		if (q->op_count + q->segments_max > q->op_cap)
			nf__bbq_copy(q);
		int rc = nf__bbq_accept(q, &slot, i);
		if (rc < 0)
			return rc;
	}
	nf__bbq_copy(q);
	NF_COUNT(q->counters, blk_replayed, count);
	return fixed + (int)count;
}
