/* SPDX-License-Identifier: MIT */
/*
 * The journal of a back, a file of one header page and two pages a queue, which lie under the queue
 * itself: writing it costs nothing that the queue would not write anyway.
 *
 * Killed at any instruction, a back leaves its rings in one of these states, and each is told
 * apart:
 * - tx, answers not begun: tx_redo is of an earlier batch; requests are read again, and a frame may
 *   go out twice
 * - tx, answers begun: tx_redo begins at rsp_prod; all are written again and published
 * - tx, answers published: tx_redo ends at rsp_prod
 * - rx: slots between rsp_prod and rx_seen may hold responses; the requests are put back, and the
 *   frames that were to go there are lost, as on any wire
 */
#include "net_back.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_MAGIC 0x4e464a4cu /* "NFJL" */
#define JOURNAL_VERSION 1u
#define HEADER_BYTES 4096u
#define QUEUE_BYTES                                                                                \
	((sizeof(struct nf_back_queue) + NF_PAGE_BYTES - 1) & ~(size_t)(NF_PAGE_BYTES - 1))

struct journal_header {
	uint32_t magic, version;
	uint64_t nonce; /* of the connection; the store has it too */
	uint32_t queues;
};

static size_t offset_of(uint32_t queue)
{
	return HEADER_BYTES + (size_t)queue * NF_BACK_JOURNAL_BYTES;
}

static int tx_repair(const struct nf_back_journal *j, struct nf_ring_back *tx)
{
	uint32_t first = (uint32_t)j->tx_redo, count = (uint32_t)(j->tx_redo >> 32);
	if (count > tx->count)
		return -EPROTO;
	if (first + count == tx->rsp_prod || count == 0)
		return first + count == tx->rsp_prod ? 0 : -EPROTO;
	if (first != tx->rsp_prod)
		return -EPROTO;
	for (uint32_t i = 0; i < count; i++, tx->rsp_prod++)
		nf_store_relaxed(nf_ring_back_slot(tx, tx->rsp_prod),
				 j->tx_rsp[tx->rsp_prod & NF_NET_MASK]);
	tx->req_cons = tx->rsp_prod;
	nf_ring_back_push(tx); /* whoever attaches notifies anyway */
	return (int)count;
}

static int rx_repair(const struct nf_back_journal *j, struct nf_ring_back *rx)
{
	uint32_t count = j->rx_seen - rx->rsp_prod;
	if (count > rx->count)
		return -EPROTO;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t idx = rx->rsp_prod + i;
		const struct nf_back_rx_slot *s = &j->rx_slot[idx & NF_NET_MASK];
		nf_store64(nf_ring_back_slot(rx, idx), (uint64_t)s->gref << 32 | s->id);
	}
	return (int)count;
}

int nf__back_journal_repair(struct nf_back_journal *j, struct nf_back_rings *rings)
{
	int tx = tx_repair(j, &rings->tx);
	int rx = tx < 0 ? tx : rx_repair(j, &rings->rx);
	return rx < 0 ? rx : tx + rx;
}

struct nf_back_journal *nf__journal_of(struct nf_netback *b, uint32_t queue)
{
	if (!b->journal.base)
		return NULL;
	return (struct nf_back_journal *)(void *)(b->journal.base + offset_of(queue));
}

static int journal_map(struct nf_netback *b, int fd)
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
	b->journal = (struct nf_journal_file){.fd = fd, .base = base, .bytes = bytes};
	return 0;
}

int nf__journal_create(struct nf_netback *b, uint64_t nonce)
{
	nf__journal_close(b);
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
		nf__journal_of(b, i)->refs = b->refs[i];
	*(struct journal_header *)(void *)b->journal.base = (struct journal_header){
		.magic = JOURNAL_MAGIC,
		.version = JOURNAL_VERSION,
		.nonce = nonce,
		.queues = b->queues,
	};
	return 0;
}

int nf__journal_open(struct nf_netback *b, uint64_t nonce)
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
	for (uint32_t i = 0; is_ours && i < b->queues; i++) {
		const struct nf_back_journal *j = nf__journal_of(b, i);
		is_ours = memcmp(&j->refs, &b->refs[i], sizeof(j->refs)) == 0 &&
			  j->gref_count <= NF_NET_GREFS_MAX;
	}
	if (is_ours)
		return 0;
	nf__journal_close(b);
	return -EPROTO;
}

void nf__journal_close(struct nf_netback *b)
{
	if (!b->journal.base)
		return;
	munmap(b->journal.base, b->journal.bytes);
	close(b->journal.fd);
	b->journal = (struct nf_journal_file){.fd = -1};
}

void nf__journal_remove(struct nf_netback *b)
{
	if (!b->journal.base)
		return;
	nf__journal_close(b);
	unlink(b->e.cfg.journal); /* one that stays is another connection's for whoever reads it */
}

void nf__journal_grefs(struct nf_netback *b, uint32_t queue, const struct nf_netif_gref *list,
		       uint32_t count, bool add)
{
	struct nf_back_journal *j = nf__journal_of(b, queue);
	for (uint32_t i = 0; j && i < count; i++) {
		if (add && j->gref_count < NF_NET_GREFS_MAX) {
			j->grefs[j->gref_count] = list[i];
			nf_store_release(&j->gref_count, j->gref_count + 1);
		}
		for (uint32_t k = 0; !add && k < j->gref_count; k++) {
			if (list[i].status || j->grefs[k].ref != list[i].ref)
				continue;
			j->grefs[k] = j->grefs[j->gref_count - 1];
			nf_store_release(&j->gref_count, j->gref_count - 1);
		}
	}
}

struct nf_back_queue *nf__back_queue_new(struct nf_netback *b, uint32_t queue)
{
	void *p = mmap(NULL, QUEUE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
	if (p == MAP_FAILED)
		return NULL;
	if (b->journal.base &&
	    mmap(p, NF_BACK_JOURNAL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 b->journal.fd, (off_t)offset_of(queue)) == MAP_FAILED) {
		munmap(p, QUEUE_BYTES);
		return NULL;
	}
	return p;
}

void nf__back_queue_drop(struct nf_back_queue *q)
{
	if (q)
		munmap(q, QUEUE_BYTES);
}
