/* SPDX-License-Identifier: MIT */
/* Net negotiation with an other end whose keys are junk: HOSTILE.md group 12. */
#include "feed.h"
#include "net/net_end.h"
#include "targets.h"

#include <sys/socket.h>

#include "xenbus/xs_wire.h"

/* One answer a read, in the order the reads come: a value, a number, or that the key is absent. */
static void answers_make(struct fuzz_in *in, struct fuzz_feed *f)
{
	for (uint32_t id = 1; id <= 64; id++) {
		uint8_t how = fuzz_u8(in);
		char text[64];
		size_t bytes;
		if (how < 64) {
			fuzz_feed_xs(f, NF_XS_ERROR, id, 0, 7, "ENOENT", 7);
			continue;
		}
		if (how < 224)
			bytes = (size_t)snprintf(text, sizeof(text), "%u",
						 how < 160 ? how & 1 : fuzz_u16(in));
		else
			bytes = fuzz_bytes(in, text, how & 31);
		fuzz_feed_xs(f, NF_XS_READ, id, 0, (uint32_t)bytes, text, bytes);
	}
}

static void subset_check(const struct nf_net_features *f, const struct nf_net_features *of)
{
	FUZZ_EXPECT(f->sg <= of->sg && f->gso4 <= of->gso4 && f->gso6 <= of->gso6, "sg, gso");
	FUZZ_EXPECT(f->csum4 <= of->csum4 && f->csum6 <= of->csum6, "csum");
	FUZZ_EXPECT(f->split <= of->split && f->ctrl <= of->ctrl, "split, ctrl");
}

static void front_read(struct nf_net_end *e, const struct nf_net_features *offered)
{
	struct nf_net_features f;
	struct nf_net_refs refs[NF_NET_QUEUES_MAX];
	struct nf_ctrl_refs ctrl;
	uint32_t queues = 0;
	if (nf__front_read(e, offered, &f, refs, &queues, &ctrl) != 0)
		return;
	FUZZ_EXPECT(queues >= 1 && queues <= offered->queues, "queues of a front");
	for (uint32_t i = 0; i < queues; i++) {
		FUZZ_EXPECT(refs[i].tx_ring_ref >= NF_GREF_RESERVED, "a reserved tx ring ref");
		FUZZ_EXPECT(refs[i].rx_ring_ref >= NF_GREF_RESERVED, "a reserved rx ring ref");
		FUZZ_EXPECT(refs[i].tx_port <= 0x7fffffffu, "an event channel");
	}
	subset_check(&f, offered);
}

void fuzz_xenbus(const uint8_t *data, size_t bytes)
{
	struct fuzz_in in = fuzz_input(data, bytes);
	struct fuzz_feed f;
	struct nf_net_end e;
	struct nf_net_features offered = fuzz_u8(&in) & 1 ? (struct nf_net_features){.queues = 1}
							  : (struct nf_net_features){.sg = 1,
										     .gso4 = 1,
										     .gso6 = 1,
										     .csum4 = 1,
										     .csum6 = 1,
										     .split = 1,
										     .ctrl = 1,
										     .queues = 4},
			       got;
	bool is_back = fuzz_u8(&in) & 1;
	memset(&e, 0, sizeof(e));
	fuzz_feed_open(&f, SOCK_STREAM);
	answers_make(&in, &f);
	fuzz_feed_end(&f);
	if (nf_store_open(f.client, &e.cfg.store) != 0)
		abort();
	e.dev.store = e.cfg.store;
	e.dev.is_back = is_back;
	snprintf(e.dev.path, sizeof(e.dev.path), "device/vif/0");
	snprintf(e.dev.other_path, sizeof(e.dev.other_path), "/local/domain/1/other");
	e.own = offered;
	if (is_back)
		front_read(&e, &offered);
	else if (nf__features_read(&e, &got) == 0)
		FUZZ_EXPECT(got.queues >= 1 && got.queues <= 4096, "queues of a back");
	nf_store_close(e.cfg.store);
	fuzz_feed_close(&f);
}
