/* SPDX-License-Identifier: MIT */
/* The store client against a server that answers anything: HOSTILE.md group 12, client side. */
#include "feed.h"
#include "targets.h"

#include <errno.h>
#include <sys/socket.h>

#include "xenbus/xs_wire.h"

/* Messages with the right numbers mostly, and lengths that need not be true. */
static void answers_make(struct fuzz_in *in, struct fuzz_feed *f)
{
	uint32_t id = 1;
	for (int i = 0; i < 48 && fuzz_left(in) > 0; i++) {
		uint8_t how = fuzz_u8(in), payload[256];
		uint32_t type = how & 31, want = fuzz_u8(in);
		size_t bytes = fuzz_bytes(in, payload, want);
		uint32_t len = how & 0x80 ? fuzz_u32(in) : (uint32_t)bytes;
		uint32_t use = how & 0x40 ? fuzz_u32(in) : type == NF_XS_WATCH_EVENT ? 0 : id++;
		fuzz_feed_xs(f, type, use, how & 0x20 ? fuzz_u32(in) : 0, len, payload, bytes);
	}
}

static void text_check(const char *text, size_t cap)
{
	FUZZ_EXPECT(memchr(text, '\0', cap) != NULL, "a text without its end");
}

static int verb_do(struct nf_store *s, uint8_t verb)
{
	char buf[64], token[16];
	uint32_t number = 0, tx = 0;
	int rc;
	switch (verb % 10) {
	case 0:
		rc = nf_store_read(s, 0, "a/b", buf, sizeof(buf));
		FUZZ_EXPECT(rc < (int)sizeof(buf), "more read than fits");
		if (rc >= 0)
			text_check(buf, sizeof(buf));
		return rc;
	case 1:
		rc = nf_store_directory(s, 0, "a", buf, sizeof(buf));
		FUZZ_EXPECT(rc <= (int)sizeof(buf), "more names than bytes");
		return rc;
	case 2:
		rc = nf_store_next_event(s, buf, sizeof(buf), token, sizeof(token));
		if (rc == 1) {
			text_check(buf, sizeof(buf));
			text_check(token, sizeof(token));
		}
		return rc;
	case 3:
		rc = nf_store_read_u32(s, 0, "a/n", 3, 1000, &number);
		FUZZ_EXPECT(rc < 0 || (number >= 3 && number <= 1000), "a number out of range");
		return rc;
	case 4:
		return nf_store_tx_begin(s, &tx);
	case 5:
		return nf_store_tx_end(s, 7, 1);
	case 6:
		return nf_store_watch(s, "a", "token");
	case 7:
		return nf_store_unwatch(s, "a", "token");
	case 8:
		return nf_store_write(s, 0, "a/b", "value");
	default:
		return nf_store_rm(s, 0, "a/b");
	}
}

void fuzz_xs_wire(const uint8_t *data, size_t bytes)
{
	struct fuzz_in in = fuzz_input(data, bytes);
	struct fuzz_feed f;
	struct nf_store *s = NULL;
	uint8_t verbs[12] = {0};
	(void)fuzz_bytes(&in, verbs, sizeof(verbs));
	fuzz_feed_open(&f, SOCK_STREAM);
	answers_make(&in, &f);
	fuzz_feed_end(&f);
	if (nf_store_open(f.client, &s) != 0)
		abort();
	bool is_dead = false;
	for (size_t i = 0; i < sizeof(verbs); i++) {
		int rc = verb_do(s, verbs[i]);
		/* what came before the end may still be taken */
		FUZZ_EXPECT(!is_dead || rc < 0 || verbs[i] % 10 == 2, "an error is sticky");
		is_dead = is_dead || rc == -EPROTO || rc == -ECONNRESET;
	}
	nf_store_close(s);
	fuzz_feed_close(&f);
}
