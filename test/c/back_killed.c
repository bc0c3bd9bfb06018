/* SPDX-License-Identifier: MIT */
/*
 * A back killed at any instruction, and the next one on the same rings and journal. The killer
 * steps the process instruction by instruction from inside its port, where a batch is about to be
 * answered, and kills it after so many. The front, here, knows what each slot must be answered
 * with.
 */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/net_back.h"
#include "tap.h"

#define TX_GREF 600u
#define RX_GREF 40000u
#define SEQS 65536u
#define FRAME 400u
#define NONCE 0x1234567890abcdefull

enum stop_at { STOP_NOWHERE, STOP_PUT, STOP_GET, STOP_START };

/* What both processes see. */
struct shared {
	_Alignas(4096) uint8_t tx_ring[4096], rx_ring[4096];
	uint8_t tx_page[NF_NET_PAGES][4096], rx_page[NF_NET_PAGES][4096];
	uint8_t delivered[SEQS]; /* times a tx frame came out of the port */
	uint32_t rx_seq;	 /* of the next frame to the guest */
	uint32_t bad_grefs, bad_frames, is_idle;
	int32_t attach_rc, repaired;
	enum stop_at stop;
};

static struct shared *s;
static char journal_path[] = "/tmp/nf-back-killed-XXXXXX";
static struct nf_ring_front tx, rx;
static uint32_t tx_want[NF_NET_PAGES]; /* response word of each slot */
static uint32_t tx_seq, wrong;

/* ---- the back's side ---- */
static int fake_copy(struct nf_layer *l, struct nf_grant_copy *ops, uint32_t count)
{
	(void)l;
	for (uint32_t i = 0; i < count; i++) {
		struct nf_grant_copy *o = &ops[i];
		uint32_t at = o->gref - (o->to_peer ? RX_GREF : TX_GREF);
		o->status = at < NF_NET_PAGES && o->offset + o->bytes <= 4096 ? 0 : -EACCES;
		if (o->status) {
			s->bad_grefs++;
			continue;
		}
		uint8_t *page = (o->to_peer ? s->rx_page : s->tx_page)[at] + o->offset;
		memcpy(o->to_peer ? page : o->local, o->to_peer ? o->local : page, o->bytes);
	}
	return 0;
}

static int fake_notify(struct nf_chan *c)
{
	(void)c;
	return 0;
}

static uint32_t seq_of(const uint8_t *data)
{
	uint32_t seq;
	memcpy(&seq, data + 16, sizeof(seq));
	return seq;
}

static int fake_put(struct nf_port *p, const struct nf_buf *bufs, const struct nf_frame *frames,
		    uint32_t count)
{
	(void)p;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t seq = seq_of(bufs[frames[i].first].data);
		if (seq >= SEQS || frames[i].bytes < FRAME)
			s->bad_frames++;
		else if (s->delivered[seq] < 255)
			s->delivered[seq]++;
	}
	if (s->stop == STOP_PUT)
		raise(SIGSTOP);
	return (int)count;
}

/* Frames of one and of two buffers, the two with a GSO extra between. */
static int fake_get(struct nf_port *p, struct nf_buf *bufs, uint32_t nbufs, struct nf_frame *frames,
		    uint32_t nframes)
{
	(void)p, (void)nframes;
	uint32_t seq = s->rx_seq;
	bool two = seq % 3 == 0;
	if (nbufs < 2)
		return 0;
	memset(bufs[0].data, (int)(seq & 0xff), FRAME);
	memcpy(bufs[0].data + 16, &seq, sizeof(seq));
	bufs[0].bytes = two ? 4096 : FRAME;
	if (two) {
		memset(bufs[1].data, (int)(seq & 0xff), FRAME);
		bufs[1].bytes = FRAME;
	}
	frames[0] = (struct nf_frame){.bytes = two ? 4096 + FRAME : FRAME,
				      .count = two ? 2 : 1,
				      .gso_bytes = two ? 1448 : 0,
				      .gso_type = two ? NF_NETIF_GSO_TYPE_TCPV4 : 0};
	s->rx_seq++;
	if (s->stop == STOP_GET)
		raise(SIGSTOP);
	return 1;
}

static const struct nf_net_features features = {
	.sg = 1, .gso4 = 1, .csum4 = 1, .csum6 = 1, .queues = 1, .mtu = 1500};

static void back_prepare(struct nf_netback *b)
{
	*b = (struct nf_netback){.queues = 1, .journal = {.fd = -1}};
	b->e.cfg.journal = journal_path;
	b->refs[0] = (struct nf_net_refs){8, 9, 1, 1};
}

/* Attaches as a new process does and serves until it is killed. */
static void back_process(bool repair)
{
	static const struct nf_layer_ops ops = {
		.kind = "fake", .copy = fake_copy, .chan_notify = fake_notify};
	static const struct nf_port_ops port_ops = {
		.name = "fake", .get = fake_get, .put = fake_put};
	static struct nf_layer layer = {.ops = &ops};
	static struct nf_counters counters;
	static struct nf_port port = {.ops = &port_ops,
				      .fd = -1,
				      .features = NF_PORT_SG | NF_PORT_GSO4 | NF_PORT_CSUM,
				      .frame_bytes_max = NF_NETIF_FRAME_MAX};
	static struct nf_back_rings r;
	struct nf_netback b;
	port.counters = &counters;
	r.rx_chan.fd = -1;
	back_prepare(&b);
	s->attach_rc = nf__journal_open(&b, NONCE);
	if (s->attach_rc)
		_exit(3);
	nf_ring_back_init(&r.tx, s->tx_ring, 4096, NF_NETIF_TX_SLOT_BYTES,
			  ((struct nf_sring *)(void *)s->tx_ring)->rsp_prod);
	nf_ring_back_init(&r.rx, s->rx_ring, 4096, NF_NETIF_RX_SLOT_BYTES,
			  ((struct nf_sring *)(void *)s->rx_ring)->rsp_prod);
	if (s->stop == STOP_START)
		raise(SIGSTOP);
	int rc = repair ? nf__back_journal_repair(nf__journal_of(&b, 0), &r) : 0;
	s->attach_rc = rc < 0 ? rc : 0;
	s->repaired += rc > 0;
	struct nf_back_queue *q = nf__back_queue_new(&b, 0);
	if (rc < 0 || !q ||
	    nf__back_queue_init(q, &r, &layer, &port, &counters, &features, &features, 1, -1))
		_exit(4);
	for (;;) {
		rc = q->item.ops->run(&q->item);
		if (rc < 0) {
			s->attach_rc = rc;
			_exit(5);
		}
		s->is_idle = rc == 0;
		if (rc == 0)
			sched_yield();
	}
}

/* ---- the front's side ---- */
static void tx_slot(uint32_t page, uint16_t flags, uint16_t bytes, uint32_t want)
{
	struct nf_netif_tx_request r = {
		.gref = TX_GREF + page, .flags = flags, .id = (uint16_t)page, .size = bytes};
	uint32_t slot = tx.req_prod & NF_NET_MASK;
	memcpy(nf_ring_front_slot(&tx, tx.req_prod++), &r, sizeof(r));
	tx_want[slot] = want;
}

static void tx_fill(void)
{
	while (nf_ring_front_free(&tx) >= 3 && tx_seq < SEQS) {
		uint32_t page = tx.req_prod & NF_NET_MASK;
		memset(s->tx_page[page], 0, FRAME);
		memcpy(s->tx_page[page] + 16, &tx_seq, sizeof(tx_seq));
		if (tx_seq % 4 == 0) { /* an extra, and a second fragment */
			struct nf_netif_extra_info e = {.type = NF_NETIF_EXTRA_TYPE_GSO};
			e.u.gso.size = 1448;
			e.u.gso.type = NF_NETIF_GSO_TYPE_TCPV4;
			tx_slot(page, NF_NETTXF_extra_info | NF_NETTXF_more_data, 2 * FRAME, page);
			tx_want[tx.req_prod & NF_NET_MASK] = 0x10000u; /* RSP_NULL, id 0 */
			memcpy(nf_ring_front_slot(&tx, tx.req_prod++), &e, sizeof(e));
			uint32_t second = tx.req_prod & NF_NET_MASK;
			tx_slot(second, 0, FRAME, second);
		} else {
			tx_slot(page, 0, FRAME, page);
		}
		tx_seq++;
	}
	nf_ring_front_push(&tx);
}

static void complain(const char *what, uint32_t idx, uint64_t got, uint64_t want)
{
	if (wrong++ < 3)
		diag("%s %u: %#llx, want %#llx", what, idx, (unsigned long long)got,
		     (unsigned long long)want);
}

static void tx_reap(void)
{
	int n = nf_ring_front_pending(&tx);
	if (n < 0)
		complain("tx rsp_prod", tx.rsp_cons, (uint64_t)-n, 0);
	for (; n > 0; n--, tx.rsp_cons++) {
		uint32_t word;
		memcpy(&word, nf_ring_front_slot(&tx, tx.rsp_cons), sizeof(word));
		if (word != tx_want[tx.rsp_cons & NF_NET_MASK])
			complain("tx response", tx.rsp_cons, word,
				 tx_want[tx.rsp_cons & NF_NET_MASK]);
	}
}

static void rx_reap(void)
{
	static bool extra_next;
	int n = nf_ring_front_pending(&rx);
	if (n < 0)
		complain("rx rsp_prod", rx.rsp_cons, (uint64_t)-n, 0);
	for (; n > 0; n--, rx.rsp_cons++) {
		struct nf_netif_rx_response r;
		uint32_t slot = rx.rsp_cons & NF_NET_MASK;
		memcpy(&r, nf_ring_front_slot(&rx, rx.rsp_cons), sizeof(r));
		if (extra_next) {
			extra_next = false;
			continue;
		}
		extra_next = r.flags & NF_NETRXF_extra_info;
		if (r.id != slot || r.status < (int)FRAME)
			complain("rx response id", rx.rsp_cons, r.id, slot);
		else if (s->rx_page[slot][r.offset + 30] != s->rx_page[slot][r.offset + 31])
			complain("rx bytes", rx.rsp_cons, 0, 1);
	}
}

static void rx_fill(void)
{
	while (nf_ring_front_free(&rx) > 0) {
		uint32_t slot = rx.req_prod & NF_NET_MASK;
		struct nf_netif_rx_request r = {.id = (uint16_t)slot, .gref = RX_GREF + slot};
		memcpy(nf_ring_front_slot(&rx, rx.req_prod++), &r, sizeof(r));
	}
	nf_ring_front_push(&rx);
}

static void front_turn(void)
{
	tx_reap();
	rx_reap();
	rx_fill();
	tx_fill();
}

/* ---- the killer ---- */
static pid_t start(bool repair, enum stop_at stop, bool traced)
{
	s->stop = stop;
	s->is_idle = 0;
	pid_t pid = fork();
	if (pid == 0) {
		if (traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(77);
		back_process(repair);
	}
	return pid;
}

/* Steps it `steps` instructions from where it stops, then kills. False: it ended by itself. */
static bool kill_after(pid_t pid, uint32_t steps)
{
	int status;
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) {
		diag("it ended with %#x: %d", status, s->attach_rc);
		return false;
	}
	for (uint32_t i = 0; i < steps; i++) {
		ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
		if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
			return false;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return true;
}

static bool world_make(void)
{
	struct nf_netback b;
	memset(s, 0, sizeof(*s));
	tx_seq = wrong = 0;
	nf_ring_front_init(&tx, s->tx_ring, 4096, NF_NETIF_TX_SLOT_BYTES);
	nf_ring_front_init(&rx, s->rx_ring, 4096, NF_NETIF_RX_SLOT_BYTES);
	back_prepare(&b);
	int rc = nf__journal_create(&b, NONCE);
	nf__journal_close(&b);
	return rc == 0;
}

/* Kills `kills` backs, then lets one finish. Returns wrong answers; -1: ptrace is not allowed. */
static int slaughter(bool repair, uint32_t kills)
{
	uint32_t steps = 7;
	if (!world_make())
		return -1;
	for (uint32_t i = 0; i < kills; i++) {
		static const enum stop_at where[4] = {STOP_PUT, STOP_GET, STOP_PUT, STOP_START};
		front_turn();
		pid_t pid = start(repair, where[i % 4], true);
		steps = (steps * 1103515245u + 12345u) & 0x7fffffffu;
		if (!kill_after(pid, (steps >> 8) % (i % 8 == 0 ? 2400 : 500)))
			return s->attach_rc == 0 ? -1 : (int)wrong + 1;
		front_turn();
	}
	pid_t pid = start(repair, STOP_NOWHERE, false);
	for (int i = 0; i < 20000 && tx.rsp_cons != tx.req_prod; i++) {
		tx_reap();
		rx_reap();
		rx_fill();
		usleep(200);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return (int)wrong;
}

static uint32_t lost(void)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < tx_seq; i++)
		n += s->delivered[i] == 0;
	return n;
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
	skip_all("kills are placed by counting instructions, and TSan's are others");
#endif
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd = mkstemp(journal_path);
	if (s == MAP_FAILED || fd < 0)
		return 1;
	close(fd);
	int bad = slaughter(true, 240);
	if (bad < 0) {
		unlink(journal_path);
		skip_all("ptrace is refused here");
	}
	is(bad, 0, "every slot of both rings was answered once, as it was posted");
	is((int)s->bad_grefs, 0, "no copy named a page that was not granted");
	is((int)s->bad_frames, 0, "no frame came out that was not sent");
	is((int)lost(), 0, "of %u frames from the guest none was lost", tx_seq);
	ok(tx.rsp_cons == tx.req_prod, "nothing is left unanswered");
	ok(s->repaired > 20, "%d of 240 had left something to repair", s->repaired);
	bad = slaughter(false, 120);
	ok(bad > 0 || s->bad_grefs > 0,
	   "canary: without the journal %d answers and %u copies are wrong", bad, s->bad_grefs);
	struct nf_netback b;
	back_prepare(&b);
	is(nf__journal_open(&b, NONCE + 1), -EPROTO,
	   "the journal of another connection is refused");
	b.refs[0].tx_ring_ref++;
	is(nf__journal_open(&b, NONCE), -EPROTO, "and one of other rings");
	unlink(journal_path);
	is(nf__journal_open(&b, NONCE), -ENOENT, "and none is said to be none");
	return done();
}
