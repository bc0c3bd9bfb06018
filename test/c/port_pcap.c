/* SPDX-License-Identifier: MIT */
/* The pcap port: what it records is read back by it and by tcpdump; files that lie are survived. */
#include "port_line.h"

#include "port/pcap.h"

static char folder[] = "/tmp/nf-pcap-XXXXXX";
static char path[128];

static const char *at(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static int open_spec(int i, const char *fmt, const char *name, uint32_t mtu)
{
	char spec[192];
	snprintf(spec, sizeof(spec), fmt, at(name));
	return line_open(i, spec, 0, 0, 1, mtu);
}

static void record(const char *name, uint32_t frames_count)
{
	is(open_spec(0, "pcap:%s", name, 1500), 0, "a file to record to");
	for (uint32_t i = 0; i < frames_count; i++) {
		struct nf_buf b = {line_pages[0], 60 + i % 1441, 0};
		struct nf_frame f = {.bytes = b.bytes, .count = 1};
		line_frame(line_pages[0], b.bytes, i);
		if (line_ports[0].ops->put(&line_ports[0], &b, &f, 1) != 1) {
			ok(false, "frame %u is recorded", i);
			break;
		}
	}
	nf_port_close(&line_ports[0]);
}

/* Frames of the port until it gives none; *wrong: not as recorded. */
static uint32_t replay(int i, uint32_t most, uint32_t *wrong)
{
	uint32_t got = 0;
	for (;;) {
		struct nf_buf bufs[8];
		struct nf_frame frames[8];
		uint8_t want[4096];
		for (int k = 0; k < 8; k++)
			bufs[k] = (struct nf_buf){line_pages[k], 2048, 0};
		int n = line_ports[i].ops->get(&line_ports[i], bufs, 8, frames, 8);
		if (n <= 0 || got >= most)
			return got;
		for (int k = 0; k < n; k++, got++) {
			uint32_t number;
			memcpy(&number, bufs[frames[k].first].data + 14, 4);
			line_frame(want, frames[k].bytes, number);
			*wrong += memcmp(want, bufs[frames[k].first].data, frames[k].bytes) != 0;
		}
	}
}

static void round_trip(void)
{
	uint32_t wrong = 0;
	uint32_t magic = 0;
	record("a.pcap", 2000);
	FILE *f = fopen(at("a.pcap"), "rb");
	ok(f && fread(&magic, 4, 1, f) == 1, "the file is there");
	is(magic, NF_PCAP_MAGIC_NS, "with the magic of nanoseconds");
	if (f)
		fclose(f);
	is(open_spec(1, "pcap:in=%s", "a.pcap", 1500), 0, "it is read");
	is(replay(1, UINT32_MAX, &wrong), 2000, "2,000 frames come back");
	is(wrong, 0, "unchanged");
	is(line_count(1, NF_COUNTER_rx_dropped_malformed), 0, "none malformed");
	nf_port_close(&line_ports[1]);
	wrong = 0;
	is(open_spec(1, "pcap:in=%s,loop", "a.pcap", 1500), 0, "it is read for ever");
	ok(replay(1, 7000, &wrong) >= 7000 && wrong == 0, "again and again");
	nf_port_close(&line_ports[1]);
	is(open_spec(1, "pcap:in=%s", "a.pcap", 500), 0, "for an MTU of 500");
	uint32_t fit = replay(1, UINT32_MAX, &wrong);
	is(fit + line_count(1, NF_COUNTER_rx_dropped_port), 2000, "what is larger is counted");
	nf_port_close(&line_ports[1]);
}

/* Another program's opinion. */
static void others_read_it(void)
{
	char line[512];
	unsigned packets = 0;
	if (run("command -v tcpdump") != 0) {
		skip("tcpdump reads it", "no tcpdump here");
		return;
	}
	snprintf(line, sizeof(line), "tcpdump -nn -r %s 2>/dev/null", at("a.pcap"));
	FILE *out = popen(line, "r");
	while (out && fgets(line, sizeof(line), out))
		packets += strstr(line, "0x88b5") != NULL;
	is(out ? pclose(out) : -1, 0, "tcpdump is content");
	is(packets, 2000, "it shows every frame, with its type");
}

static void write_file(const char *name, const void *a, size_t an, const void *b, size_t bn)
{
	FILE *f = fopen(at(name), "wb");
	if (!f || fwrite(a, 1, an, f) != an || fwrite(b, 1, bn, f) != bn)
		diag("cannot write %s", path);
	if (f)
		fclose(f);
}

static uint32_t turned(uint32_t v)
{
	return __builtin_bswap32(v);
}

/* Another machine's byte order and microseconds. */
static void other_orders(void)
{
	struct nf__pcap_file_header h = {
		turned(NF_PCAP_MAGIC_US), 0x0200, 0x0400, 0, 0, turned(65535), turned(1)};
	struct {
		struct nf__pcap_record r;
		uint8_t data[60];
	} rec = {.r = {turned(1), turned(2), turned(60), turned(60)}};
	uint32_t wrong = 0;
	line_frame(rec.data, 60, 9);
	write_file("b.pcap", &h, sizeof(h), &rec, sizeof(rec));
	is(open_spec(1, "pcap:in=%s", "b.pcap", 1500), 0, "big-endian microseconds open");
	is(replay(1, UINT32_MAX, &wrong), 1, "its frame comes");
	is(wrong, 0, "unchanged");
	nf_port_close(&line_ports[1]);
}

static const struct nf__pcap_file_header good = {
	.magic = NF_PCAP_MAGIC_NS, .major = 2, .minor = 4, .snaplen = 65535, .linktype = 1};

static void refused(const char *what, const void *bytes, size_t n, const char *says)
{
	char err[320] = "", spec[192];
	struct nf_port_env env = {.queues = 1};
	write_file("c.pcap", bytes, n, "", 0);
	snprintf(spec, sizeof(spec), "pcap:in=%s", at("c.pcap"));
	is(nf_port_open(spec, &env, &line_ports[1], err, sizeof(err)), -EINVAL, "%s", what);
	ok(strstr(err, says) != NULL, "says why: %s", err);
}

static void files_that_lie(void)
{
	struct nf__pcap_file_header h = good;
	struct nf__pcap_record r[] = {
		{1, 2, 60, 60}, {1, 2, 0xffffffffu, 60}, {1, 2, 8, 8}, {1, 2, 60, 1500}};
	uint8_t all[4096] = {0};
	uint32_t wrong = 0;
	refused("an empty file", "", 0, "shorter");
	refused("half a header", &h, 12, "shorter");
	h.magic = 0x12345678;
	refused("another magic", &h, sizeof(h), "magic");
	h.magic = NF_PCAP_MAGIC_NG;
	refused("pcapng", &h, sizeof(h), "editcap");
	h = good;
	h.linktype = 113;
	refused("another link type", &h, sizeof(h), "link type");

	/* a good one, one cut by the recorder, a runt, then a length that is absurd */
	size_t n = 0;
	static const int order[] = {0, 3, 2, 0, 1};
	for (int i = 0; i < 5; i++) {
		const struct nf__pcap_record *one = &r[order[i]];
		memcpy(all + n, one, sizeof(*one));
		line_frame(all + n + sizeof(*one), 60, (uint32_t)i);
		n += sizeof(*one) + (one->caplen <= 60 ? one->caplen : 60);
	}
	write_file("d.pcap", &good, sizeof(good), all, n);
	is(open_spec(1, "pcap:in=%s", "d.pcap", 1500), 0, "a file with bad records opens");
	is(replay(1, UINT32_MAX, &wrong), 2, "the good ones come");
	is(line_count(1, NF_COUNTER_rx_dropped_malformed), 3, "the others are counted");
	nf_port_close(&line_ports[1]);

	write_file("e.pcap", &good, sizeof(good), all, sizeof(r[0]) + 31);
	is(open_spec(1, "pcap:in=%s,loop", "e.pcap", 1500), 0, "a file cut in a frame opens");
	is(replay(1, 10, &wrong), 0, "nothing comes");
	is(line_count(1, NF_COUNTER_rx_dropped_malformed), 1, "counted once, also in a loop");
	nf_port_close(&line_ports[1]);
}

static void refusals(void)
{
	static const char *const bad[] = {"pcap:",    "pcap:in=",     "pcap:loop", "pcap:a,loop",
					  "pcap:a,b", "pcap:a,out=b", "pcap:in=a,"};
	char err[320] = "";
	struct nf_port_env env = {.queues = 1};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is(nf_port_open(bad[i], &env, &line_ports[0], err, sizeof(err)), -EINVAL, "%s",
		   bad[i]);
	is(nf_port_open("pcap:in=/no/such/file", &env, &line_ports[0], err, sizeof(err)), -ENOENT,
	   "a file that is not there");
	ok(strstr(err, "/no/such/file") != NULL, "by name: %s", err);
	is(nf_port_open("pcap:/no/such/file", &env, &line_ports[0], err, sizeof(err)), -ENOENT,
	   "a folder that is not there");
	is(nf_port_probe("pcap:x"), NF_PORT_SG, "frames as on a wire: no offloads");
}

static void full_disk(void)
{
	struct nf_buf b = {line_pages[0], 1500, 0};
	struct nf_frame f = {.bytes = 1500, .count = 1};
	if (access("/dev/full", W_OK) != 0) {
		skip("a full disk", "no /dev/full");
		return;
	}
	char err[320] = "";
	struct nf_port_env env = {.queues = 1};
	is(nf_port_open("pcap:/dev/full", &env, &line_ports[0], err, sizeof(err)), -ENOSPC,
	   "a full disk is told at once: %s", err);
	is(open_spec(0, "pcap:%s", "f.pcap", 1500), 0, "a file opens");
	f.flags = NF_FRAME_CSUM_BLANK;
	int rc = line_ports[0].ops->put(&line_ports[0], &b, &f, 1);
	is(rc, 1, "a frame with a blank checksum is taken");
	is(line_count(0, NF_COUNTER_rx_dropped_malformed), 1, "and not recorded as if it were one");
	nf_port_close(&line_ports[0]);
}

int main(void)
{
	if (!mkdtemp(folder))
		skip_all("no folder to write to: %s", strerror(errno));
	round_trip();
	others_read_it();
	other_orders();
	files_that_lie();
	refusals();
	full_disk();
	run("rm -rf %s", folder);
	return done();
}
