/* SPDX-License-Identifier: MIT */
/* blkback, disk to ring: asks the port, collects what it has done, answers in one go. */
#include "blk_back.h"

void nf__bbq_answer(struct nf_blk_back_queue *q, uint32_t req, int16_t status)
{
	struct nf_blk_back_req *r = &q->reqs[req];
	r->stage = NF_BLK_BACK_ANSWER;
	for (uint32_t i = 0; i < r->bounces; i++)
		q->bounce_stack[q->bounce_sp++] = r->bounce[i].page;
	r->bounces = 0;
	q->answers[q->answer_count++] = (struct nf_blk_answer){
		.id = r->id, .op = r->op, .status = status, .req = req};
}

static int port_submit(struct nf_blk_back_queue *q, const struct nf_blkreq *reqs, uint32_t n)
{
	int taken = q->port.ops->submit(&q->port, reqs, n);
	if (taken > 0)
		q->asked += (uint32_t)taken;
	return taken;
}

/* A barrier: everything before it is done, then made durable, then it goes itself, durable too. */
static int barrier_move(struct nf_blk_back_queue *q)
{
	struct nf_blk_back_req *r = &q->reqs[q->barrier];
	if (r->stage != NF_BLK_BACK_READY || q->asked > 0 || q->ready_count > 0)
		return 0;
	if (r->status) {
		uint32_t req = q->barrier;
		q->barrier = NF_BLK_BACK_NONE;
		nf__bbq_answer(q, req, r->status);
		return 1;
	}
	const struct nf_blkreq flush = {.token = q->barrier, .op = NF_BLKOP_FLUSH};
	int rc = port_submit(q, &flush, 1);
	if (rc > 0)
		r->stage = r->r.op == NF_BLKOP_FLUSH ? NF_BLK_BACK_ASKED : NF_BLK_BACK_BEFORE;
	return rc;
}

int nf__bbq_submit(struct nf_blk_back_queue *q)
{
	int all = 0;
	while (q->ready_count > 0) {
		struct nf_blkreq batch[NF_BLK_BATCH];
		uint32_t n = 0, looked = 0;
		for (; looked < q->ready_count && n < NF_BLK_BATCH; looked++) {
			uint32_t req = q->ready[(q->ready_head + looked) % NF_BLK_SLOTS_MAX];
			struct nf_blk_back_req *r = &q->reqs[req];
			if (nf__unlikely(r->status)) {
				/* its bytes could not be copied */
				if (n > 0)
					break;
				nf__bbq_answer(q, req, r->status);
				q->ready_head = (q->ready_head + 1) % NF_BLK_SLOTS_MAX;
				q->ready_count--;
				looked--;
				all++;
				continue;
			}
			batch[n++] = r->r;
		}
		if (n == 0)
			break;
		int taken = port_submit(q, batch, n);
		if (taken < 0)
			return taken;
		for (int i = 0; i < taken; i++)
			q->reqs[batch[i].token].stage = NF_BLK_BACK_ASKED;
		q->ready_head = (q->ready_head + (uint32_t)taken) % NF_BLK_SLOTS_MAX;
		q->ready_count -= (uint32_t)taken;
		all += taken;
		if ((uint32_t)taken < n)
			break;
	}
	if (q->barrier != NF_BLK_BACK_NONE) {
		int rc = barrier_move(q);
		return rc < 0 ? rc : all + rc;
	}
	return all;
}

static void done_count(struct nf_blk_back_queue *q, const struct nf_blk_back_req *r)
{
	struct nf_counters *c = q->counters;
	uint64_t bytes = r->r.sectors * NF_BLK_SECTOR_BYTES;
	if (r->r.op == NF_BLKOP_READ) {
		NF_COUNT(c, blk_reads, 1);
		NF_COUNT(c, blk_read_bytes, bytes);
	} else if (r->r.op == NF_BLKOP_WRITE) {
		NF_COUNT(c, blk_writes, 1);
		NF_COUNT(c, blk_write_bytes, bytes);
	} else if (r->r.op == NF_BLKOP_FLUSH) {
		NF_COUNT(c, blk_flushes, 1);
	} else {
		NF_COUNT(c, blk_discards, 1);
	}
}

static int16_t status_of(struct nf_blk_back_queue *q, int error)
{
	if (nf__likely(error == 0))
		return NF_BLKIF_RSP_OKAY;
	NF_COUNT(q->counters, blk_errors, 1);
	return error == -EOPNOTSUPP ? NF_BLKIF_RSP_EOPNOTSUPP : NF_BLKIF_RSP_ERROR;
}

/* The flush before a barrier is done: now itself. True: it is on its way. */
static bool barrier_next(struct nf_blk_back_queue *q, struct nf_blk_back_req *r)
{
	if (r->stage != NF_BLK_BACK_BEFORE || r->status)
		return false;
	r->stage = NF_BLK_BACK_ASKED;
	/* the port is empty but for us: it has room */
	return port_submit(q, &r->r, 1) == 1;
}

/* A completion; true: it is to be answered once its bytes are copied. */
static bool done_take(struct nf_blk_back_queue *q, const struct nf_blkdone *d)
{
	struct nf_blk_back_req *r = &q->reqs[d->token];
	q->asked--;
	r->status = status_of(q, d->error);
	if (nf__unlikely(r->is_barrier && barrier_next(q, r)))
		return false;
	if (nf__unlikely(r->stage == NF_BLK_BACK_BEFORE && r->status == 0))
		r->status = NF_BLKIF_RSP_ERROR;
	done_count(q, r);
	if (r->bounces > 0 && r->r.op == NF_BLKOP_READ && r->status == 0) {
		if (q->op_count + r->bounces > q->op_cap)
			nf__bbq_copy(q);
		nf__bbq_ops(q, (uint32_t)d->token, true);
	}
	return true;
}

int nf__bbq_reap(struct nf_blk_back_queue *q)
{
	struct nf_blkdone done[NF_BLK_BATCH];
	int all = 0, n;
	while (q->asked > 0 && (n = q->port.ops->reap(&q->port, done, NF_BLK_BATCH)) != 0) {
		uint32_t answers = 0;
		if (n < 0)
			return n;
		for (int i = 0; i < n; i++)
			if (done_take(q, &done[i]))
				done[answers++] = done[i];
		nf__bbq_copy(q);
		for (uint32_t i = 0; i < answers; i++) {
			uint32_t req = (uint32_t)done[i].token;
			if (req == q->barrier)
				q->barrier = NF_BLK_BACK_NONE;
			nf__bbq_answer(q, req, q->reqs[req].status);
		}
		all += n;
		if ((uint32_t)n < NF_BLK_BATCH)
			break;
	}
	return all;
}

static void journal_begin(struct nf_blk_back_queue *q)
{
	struct nf_blk_journal *j = q->journal;
	for (uint32_t i = 0; i < q->answer_count; i++)
		j->answers[i] = q->answers[i];
	nf_store64(&j->redo, (uint64_t)q->answer_count << 32 | q->rings->ring.rsp_prod);
	nf_kill_barrier(); /* the journal before the first slot */
}

static void journal_end(struct nf_blk_back_queue *q)
{
	struct nf_blk_journal *j = q->journal;
	nf_kill_barrier(); /* answers are out before the entries go */
	for (uint32_t i = 0; i < q->answer_count; i++)
		nf_store_release(&j->entries[q->answers[i].req].is_valid, 0);
	nf_store64(&j->redo, q->rings->ring.rsp_prod);
}

int nf__bbq_respond(struct nf_blk_back_queue *q)
{
	struct nf_ring_back *ring = &q->rings->ring;
	int rc = 0;
	if (q->answer_count == 0)
		return 0;
	if (q->journal)
		journal_begin(q);
	for (uint32_t i = 0; i < q->answer_count; i++) {
		const struct nf_blk_answer *a = &q->answers[i];
		nf__blk_rsp_store(q->features.abi, nf_ring_back_slot(ring, ring->rsp_prod++), a->id,
				  a->op, a->status);
	}
	bool is_wanted = nf_ring_back_push(ring);
	if (q->journal)
		journal_end(q);
	if (is_wanted) {
		if (q->layer->ops->chan_notify(&q->rings->chan) < 0)
			rc = -ENODEV;
		else
			NF_COUNT(q->counters, notify_sent, 1);
	}
	for (uint32_t i = 0; i < q->answer_count; i++) {
		q->reqs[q->answers[i].req].stage = NF_BLK_BACK_FREE;
		q->free_stack[q->free_sp++] = (uint16_t)q->answers[i].req;
	}
	q->answer_count = 0;
	return rc;
}
