/* SPDX-License-Identifier: MIT */
/* The NBD server: what it says, what it does, and every way a client can lie, leave or be lazy. */
#include "nbd_client.h"

#define MIB (1u << 20)
#define DISK_MIB 8u

static uint8_t *data, *back;
static struct served s;

static bool alive(void)
{
	uint64_t bytes;
	int fd = client_open(&s, &bytes, NULL);
	bool is_fine = fd >= 0 && bytes == DISK_MIB * MIB && ask(fd, NBD_CMD_FLUSH, 0, 0, 0) == 0;
	if (fd >= 0)
		close(fd);
	return is_fine;
}

static int write_at(int fd, uint16_t flags, uint64_t offset, const void *from, uint32_t bytes)
{
	uint64_t cookie;
	if (!send_request(fd, NBD_CMD_WRITE, flags, 7, offset, bytes) ||
	    !send_bytes(fd, from, bytes))
		return -1;
	return get_answer(fd, &cookie);
}

static int read_at(int fd, uint64_t offset, void *to, uint32_t bytes)
{
	int rc = ask(fd, NBD_CMD_READ, 0, offset, bytes);
	return rc == 0 && !get_bytes(fd, to, bytes) ? -1 : rc;
}

static void options(void)
{
	uint8_t go[40] = {0}, h[20];
	int fd = client_hello(&s);
	ok(send_option(fd, NBD_OPT_LIST, NULL, 0) && get_reply(fd, 3) == NBD_REP_SERVER &&
		   get_reply(fd, 3) == NBD_REP_ACK,
	   "LIST names the export");
	ok(send_option(fd, NBD_OPT_LIST, "x", 1) && get_reply(fd, 3) == NBD_REP_ERR_INVALID,
	   "LIST with data is invalid");
	ok(send_option(fd, 5, NULL, 0) && get_reply(fd, 5) == NBD_REP_ERR_UNSUP, "no TLS");
	ok(send_option(fd, 8, "x", 1) && get_reply(fd, 8) == NBD_REP_ERR_INVALID,
	   "structured replies take no data");
	ok(send_option(fd, 0xffffffff, "abc", 3) && get_reply(fd, 0xffffffff) == NBD_REP_ERR_UNSUP,
	   "nor what is unknown");
	nbd_put32(go, 0xfffffff0);
	ok(send_option(fd, NBD_OPT_INFO, go, 6) && get_reply(fd, 6) == NBD_REP_ERR_INVALID,
	   "a name longer than its option is invalid");
	ok(send_option(fd, NBD_OPT_INFO, go, 3) && get_reply(fd, 6) == NBD_REP_ERR_INVALID,
	   "so is an option too short for it");
	memcpy(nbd_put32(go, 4), "none", 4);
	nbd_put16(go + 8, 0);
	ok(send_option(fd, NBD_OPT_GO, go, 10) && get_reply(fd, 7) == NBD_REP_ERR_UNKNOWN,
	   "an unknown export");
	nbd_put16(go + 8, 9);
	ok(send_option(fd, NBD_OPT_INFO, go, 10) && get_reply(fd, 6) == NBD_REP_ERR_INVALID,
	   "more wishes than the option holds");
	static const uint8_t long_option[60000];
	ok(send_option(fd, NBD_OPT_INFO, long_option, sizeof(long_option)) &&
		   get_reply(fd, 6) == NBD_REP_ERR_TOO_BIG,
	   "60,000 bytes are too big, and skipped");
	nbd_put16(nbd_put32(go, 0), 0);
	ok(send_option(fd, NBD_OPT_GO, go, 6) && get_reply(fd, 7) == NBD_REP_INFO &&
		   get_reply(fd, 7) == NBD_REP_INFO && get_reply(fd, 7) == NBD_REP_ACK &&
		   ask(fd, NBD_CMD_FLUSH, 0, 0, 0) == 0,
	   "GO goes, after all that");
	close(fd);
	fd = client_hello(&s);
	ok(send_option(fd, NBD_OPT_ABORT, NULL, 0) && get_bytes(fd, h, 20) &&
		   nbd_get32(h + 12) == NBD_REP_ACK && is_closed(fd),
	   "ABORT is acknowledged");
	close(fd);
}

static void wrong_hello(const char *what, const void *bytes, uint32_t n)
{
	uint8_t h[18];
	int fd = client_connect(&s);
	ok(get_bytes(fd, h, 18) && send_bytes(fd, bytes, n) && is_closed(fd) && alive(),
	   "handshake: %s: dropped, the server lives", what);
	close(fd);
}

static void hostile_hello(void)
{
	uint8_t b[32];
	nbd_put32(b, 0);
	wrong_hello("a client without the fixed one", b, 4);
	nbd_put32(b, 0xffffffff);
	wrong_hello("unknown client flags", b, 4);
	nbd_put32(b, 3);
	memset(b + 4, 0xee, 16);
	wrong_hello("a wrong option magic", b, 20);
	nbd_put32(nbd_put32(nbd_put64(b + 4, NBD_IHAVEOPT), 7), 0xffffffff);
	wrong_hello("an option of 4 GiB", b, 20);
	nbd_put32(nbd_put32(nbd_put64(b + 4, NBD_IHAVEOPT), 1), 2);
	memcpy(b + 20, "xx", 2);
	wrong_hello("EXPORT_NAME of what is not there", b, 22);
	int fd = client_hello(&s);
	bool is_over = false;
	for (int i = 0; i < 100 && !is_over; i++)
		is_over = !send_option(fd, 99, NULL, 0) || !get_reply(fd, 99);
	ok(is_over && alive(), "a client that asks for ever is dropped");
	close(fd);
	for (uint32_t cut = 0; cut < 22; cut++) { /* leaves in the middle of it */
		fd = client_connect(&s);
		if (!send_bytes(fd, b, cut))
			diag("cut at %u: already closed", cut);
		close(fd);
	}
	ok(alive(), "22 clients that left in the middle of a handshake");
}

/* The sixteen places are full of clients that say nothing: a new one gets in. */
static void slow_hello(void)
{
	int fds[40];
	for (int i = 0; i < 40; i++)
		fds[i] = client_connect(&s);
	ok(alive(), "forty clients that do not say a word keep nobody out");
	for (int i = 0; i < 40; i++)
		close(fds[i]);
	for (int i = 0; i < 16; i++)
		fds[i] = client_open(&s, NULL, NULL);
	int one_more = client_connect(&s);
	ok(is_closed(one_more), "sixteen that work are the most");
	close(one_more);
	for (int i = 0; i < 16; i++)
		ok(ask(fds[i], NBD_CMD_FLUSH, 0, 0, 0) == 0, "client %d still works", i);
	for (int i = 0; i < 16; i++)
		close(fds[i]);
}

static void requests(void)
{
	uint16_t flags;
	uint64_t size, cookie;
	int fd = client_open(&s, &size, &flags);
	is(size, DISK_MIB * MIB, "the export has the disk's size");
	is(flags, 0x16d, "has flags, flush, FUA, trim, zeroes, several connections");
	for (uint32_t i = 0; i < 4 * MIB; i++)
		data[i] = (uint8_t)(i * 7 + i / 509);
	is(write_at(fd, 0, 512, data, 512), 0, "one sector");
	is(write_at(fd, NBD_CMD_FLAG_FUA, 4 * MIB, data, 4 * MIB), 0, "4 MiB, FUA");
	ok(read_at(fd, 512, back, 512) == 0 && !memcmp(back, data, 512), "come back");
	ok(read_at(fd, 4 * MIB, back, 4 * MIB) == 0 && !memcmp(back, data, 4 * MIB), "all of it");
	is(ask(fd, NBD_CMD_WRITE_ZEROES, 0, 5 * MIB, MIB), 0, "a MiB of zeros");
	is(ask(fd, NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_NO_HOLE | 1, 512, 512), 0, "and a sector");
	is(ask(fd, NBD_CMD_TRIM, 0, 6 * MIB, MIB), 0, "a MiB trimmed");
	is(ask(fd, NBD_CMD_TRIM, NBD_CMD_FLAG_FUA, 7 * MIB, MIB), 0, "another, durable");
	memset(data + MIB, 0, 3 * MIB);
	ok(read_at(fd, 4 * MIB, back, 4 * MIB) == 0 && !memcmp(back, data, 4 * MIB), "read so");
	ok(read_at(fd, 0, back, 1024) == 0 && back[512] == 0, "the sector too");
	ok(send_request(fd, NBD_CMD_DISC, 0, 0, 0, 0) && is_closed(fd), "DISC: good bye");
	close(fd);
	/* many at once, in any order */
	fd = client_open(&s, NULL, NULL);
	uint64_t seen = 0;
	for (uint64_t i = 0; i < 60; i++)
		send_request(fd, NBD_CMD_FLUSH, 0, i, 0, 0);
	for (int i = 0; i < 60 && get_answer(fd, &cookie) == 0; i++)
		seen |= 1ull << cookie;
	ok(seen == (1ull << 60) - 1, "sixty at once are each answered once");
	send_request(fd, NBD_CMD_READ, 0, 1, 0, 4096);
	ok(send_request(fd, NBD_CMD_DISC, 0, 0, 0, 0) && get_answer(fd, &cookie) == 0 &&
		   get_bytes(fd, back, 4096) && is_closed(fd),
	   "what was asked before DISC is answered");
	close(fd);
}

/* The one chunk a read is answered with: its type, or -1; *bytes that follow its header. */
static int get_chunk(int fd, uint64_t cookie, uint32_t *bytes)
{
	uint8_t h[NBD_CHUNK_BYTES];
	if (!get_bytes(fd, h, sizeof(h)) || nbd_get32(h) != NBD_STRUCTURED_REPLY_MAGIC ||
	    nbd_get16(h + 4) != NBD_REPLY_FLAG_DONE || nbd_get64(h + 8) != cookie)
		return -1;
	*bytes = nbd_get32(h + 16);
	return nbd_get16(h + 6);
}

static int read_chunk(int fd, uint16_t flags, uint64_t offset, uint32_t length, uint32_t *bytes)
{
	return send_request(fd, NBD_CMD_READ, flags, offset ^ 77, offset, length)
		       ? get_chunk(fd, offset ^ 77, bytes)
		       : -1;
}

static void structured(void)
{
	uint8_t h[12];
	uint32_t bytes = 0;
	int fd = client_hello(&s);
	ok(send_option(fd, NBD_OPT_STRUCTURED_REPLY, NULL, 0) &&
		   get_reply(fd, NBD_OPT_STRUCTURED_REPLY) == NBD_REP_ACK &&
		   send_option(fd, NBD_OPT_EXPORT_NAME, NULL, 0) && get_bytes(fd, h, 10),
	   "structured: agreed on");
	is(nbd_get16(h + 8), 0x1ed, "structured: reads may be asked for in one piece");
	memset(data, 0, MIB);
	data[MIB - 1] = 1;
	is(write_at(fd, 0, MIB, data, MIB), 0, "structured: a write's answer is a simple one");
	is(ask(fd, NBD_CMD_TRIM, 0, MIB, 512), 0, "structured: a trim's too");
	is(write_at(fd, 0, MIB, data, 512), 0, "structured: zeros");
	is(read_chunk(fd, 0, MIB, MIB, &bytes), NBD_REPLY_TYPE_OFFSET_DATA, "structured: bytes");
	ok(bytes == 8 + MIB && get_bytes(fd, h, 8) && nbd_get64(h) == MIB &&
		   get_bytes(fd, back, MIB) && !memcmp(back, data, MIB),
	   "structured: all of them, the last of which is no zero");
	is(read_chunk(fd, NBD_CMD_FLAG_DF, MIB, MIB - 512, &bytes), NBD_REPLY_TYPE_OFFSET_HOLE,
	   "structured: zeros are a hole");
	ok(bytes == 12 && get_bytes(fd, h, 12) && nbd_get64(h) == MIB &&
		   nbd_get32(h + 8) == MIB - 512,
	   "structured: of that offset and size");
	is(read_chunk(fd, 0, DISK_MIB * MIB, 512, &bytes), NBD_REPLY_TYPE_ERROR,
	   "structured: a read behind the end");
	ok(bytes == 6 && get_bytes(fd, h, 6) && nbd_get32(h) == NBD_EINVAL && !nbd_get16(h + 4),
	   "structured: is refused in a chunk");
	is(ask(fd, NBD_CMD_FLUSH, NBD_CMD_FLAG_DF, 0, 0), NBD_EINVAL,
	   "structured: no other request is asked for in one piece");
	is(ask(fd, NBD_CMD_FLUSH, 0, 0, 0), 0, "structured: and it goes on");
	close(fd);
	fd = client_open(&s, NULL, NULL);
	is(ask(fd, NBD_CMD_READ, NBD_CMD_FLAG_DF, 0, 512), NBD_EINVAL,
	   "without agreement there is no such flag");
	close(fd);
}

static void wrong_requests(void)
{
	const uint64_t size = DISK_MIB * MIB;
	int fd = client_open(&s, NULL, NULL);
	is(ask(fd, NBD_CMD_READ, 0, size, 512), NBD_EINVAL, "read at the end");
	is(ask(fd, NBD_CMD_READ, 0, size - 512, 1024), NBD_EINVAL, "over it");
	is(ask(fd, NBD_CMD_READ, 0, UINT64_MAX - 511, 512), NBD_EINVAL, "at 2^64 - 512");
	is(ask(fd, NBD_CMD_READ, 0, 0, 0), NBD_EINVAL, "nothing");
	is(ask(fd, NBD_CMD_READ, 0, 1, 512), NBD_EINVAL, "unaligned");
	is(ask(fd, NBD_CMD_READ, 0, 0, 513), NBD_EINVAL, "an odd length");
	is(ask(fd, NBD_CMD_READ, 0, 0, 0xfffffe00), NBD_EINVAL, "4 GiB at once");
	is(ask(fd, NBD_CMD_READ, 0x80, 0, 512), NBD_EINVAL, "an unknown flag");
	is(ask(fd, NBD_CMD_TRIM, 0, size - 512, 1024), NBD_EINVAL, "trim over the end");
	is(ask(fd, NBD_CMD_WRITE_ZEROES, 0, 512, (uint32_t)size), NBD_ENOSPC, "zeros over it");
	is(ask(fd, 7, 0, 0, 512), NBD_EINVAL, "BLOCK_STATUS, which was not agreed");
	is(ask(fd, 0xffff, 0, 0, 0), NBD_EINVAL, "an unknown command");
	is(write_at(fd, 0, size, data, 4096), NBD_ENOSPC, "write at the end");
	is(write_at(fd, 0, 3, data, 4096), NBD_EINVAL, "write unaligned");
	is(write_at(fd, 0xfffe, 0, data, 100000), NBD_EINVAL, "unknown flags");
	is(write_at(fd, 0, 0, data, 4096), 0, "and their payload was skipped each time");
	send_request(fd, NBD_CMD_WRITE, 0, 1, 0, 0xfffffe00);
	ok(is_closed(fd) && alive(), "a write of 4 GiB: dropped");
	close(fd);
	fd = client_open(&s, NULL, NULL);
	ok(send_bytes(fd, data, 28) && is_closed(fd) && alive(), "a wrong magic: dropped");
	close(fd);
}

static void leaving(void)
{
	for (uint32_t cut = 0; cut < 60; cut += 3) { /* headers, payload, answers never read */
		int fd = client_open(&s, NULL, NULL);
		send_request(fd, NBD_CMD_READ, 0, 1, 0, MIB);
		send_request(fd, NBD_CMD_WRITE, 0, 2, 0, MIB);
		send_bytes(fd, data, cut * 1000);
		send_bytes(fd, data, cut % 28);
		close(fd);
	}
	ok(alive(), "twenty clients that left in the middle of requests");
}

/* Asks for everything and reads nothing; another must not notice. */
static void never_reads(void)
{
	int lazy[4];
	for (int i = 0; i < 4; i++) {
		lazy[i] = client_open(&s, NULL, NULL);
		for (int k = 0; k < 64; k++)
			send_request(lazy[i], NBD_CMD_READ, 0, 1, 0, 4 * MIB);
	}
	int fd = client_open(&s, NULL, NULL);
	bool is_fine = true;
	for (int i = 0; i < 20 && is_fine; i++)
		is_fine = write_at(fd, 0, 0, data, MIB) == 0 && read_at(fd, 0, back, MIB) == 0 &&
			  !memcmp(back, data, MIB);
	ok(is_fine, "four clients that never read their answers disturb no other");
	/* and get all they asked for once they do read */
	uint64_t cookie;
	int got = 0;
	while (got < 64 && get_answer(lazy[0], &cookie) == 0 && get_bytes(lazy[0], back, 4 * MIB))
		got++;
	is(got, 64, "the first reads at last: 256 MiB in 64 answers");
	for (int i = 0; i < 4; i++)
		close(lazy[i]);
	close(fd);
}

static void read_only(void)
{
	uint16_t flags;
	struct served other;
	const struct nf_blkuser_env env = {.queues = 1};
	char spec[140], err[200];
	snprintf(spec, sizeof(spec), "nbd:%s", s.path);
	is(nf_blkuser_open(spec, &env, &other.user, err, sizeof(err)), -EADDRINUSE, "%s", err);
	ok(alive(), "the one that is there stays");
	serve_stop(&s);
	is(access(s.path, F_OK), -1, "its socket goes with it");
	if (!serve_start(&s, "mem:8M", ",ro,name=l2,mode=0640")) {
		ok(false, "a read-only server");
		return;
	}
	struct stat st;
	ok(stat(s.path, &st) == 0 && (st.st_mode & 0777) == 0640, "mode=0640 is the socket's");
	int fd = client_open(&s, NULL, &flags);
	is(flags, 0x10f, "says that it is read-only");
	is(write_at(fd, 0, 0, data, 4096), NBD_EPERM, "and refuses to write");
	is(ask(fd, NBD_CMD_WRITE_ZEROES, 0, 0, 4096), NBD_EPERM, "zeros too");
	is(ask(fd, NBD_CMD_TRIM, 0, 0, 4096), NBD_EPERM, "and to trim");
	is(read_at(fd, 0, back, 4096), 0, "it reads");
	close(fd);
	serve_stop(&s);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", s.path);
	ok(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0, "a socket file whose server died");
	close(fd);
	ok(serve_start(&s, "mem:8M", "") && alive(), "is replaced");
	serve_stop(&s);
}

static void bad_specs(void)
{
	static const char *const bad[] = {"nbd:",      "nbd:x",
					  "nbd:/x,",   "nbd:/x,mode=9",
					  "nbd:/x,rw", "nbd:/no/such/folder/at/all/s",
					  "tap:x",     ""};
	const struct nf_blkuser_env env = {.queues = 1};
	struct nf_blkuser u;
	char err[200];
	for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(nf_blkuser_open(bad[i], &env, &u, err, sizeof(err)) < 0 && err[0], "'%s': %s",
		   bad[i], err);
}

int main(void)
{
	static const char *const disks[] = {"mem:8M", "file:%s", "file:%s,engine=threads"};
	char spec[200];
	data = calloc(1, 4 * MIB);
	back = calloc(1, 4 * MIB);
	if (!data || !back)
		return 1;
	tmp_make();
	for (uint32_t i = 0; i < 3; i++) {
		snprintf(spec, sizeof(spec), disks[i], tmp_file("disk", DISK_MIB * MIB));
		diag("%s", spec);
		if (!ok(serve_start(&s, spec, ""), "a server on %.12s", spec))
			break;
		options();
		requests();
		structured();
		hostile_hello();
		slow_hello();
		wrong_requests();
		leaving();
		never_reads();
		is(s.died, 0, "the server did not give up");
		if (i < 2)
			serve_stop(&s);
	}
	read_only();
	bad_specs();
	tmp_remove();
	free(data);
	free(back);
	return done();
}
