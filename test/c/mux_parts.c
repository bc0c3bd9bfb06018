/* SPDX-License-Identifier: MIT */
/* The parts of mux by themselves: credit a window, the keys of the store, who may send what. */
#include "relay/mux.h"
#include "tap.h"

#define MS 1000000ull

static void credit(void)
{
	struct nf__mux_credit c;
	uint64_t sent = 0;
	nf__mux_credit_init(&c, 0, 0, 1, 0);
	ok(nf__mux_credit_take(&c, UINT32_MAX, 0), "without a limit anything goes");
	nf__mux_credit_init(&c, 62500, 131072, 50 * MS, 0);
	for (uint64_t now = 0; now < 10000 * MS; now += MS / 10)
		while (nf__mux_credit_take(&c, 1500, now))
			sent += 1500;
	ok(sent > 12400000 && sent <= 12500000 + 62500, "10 Mbit/s for 10 s: %llu bytes",
	   (unsigned long long)sent);
	nf__mux_credit_init(&c, 1000, 131072, 50 * MS, 0);
	uint64_t now = 0;
	while (!nf__mux_credit_take(&c, 65535, now) && now < 60000 * MS)
		now = c.next_ns;
	ok(now > 3000 * MS && now < 3400 * MS, "a frame larger than a window waits: %llu ms",
	   (unsigned long long)(now / MS));
	nf__mux_credit_init(&c, 1000, 0, 50 * MS, 0);
	ok(nf__mux_credit_take(&c, 1000, 3600000 * MS), "after an idle hour one window");
	ok(!nf__mux_credit_take(&c, 1, 3600000 * MS), "and no more");
}

static void keys(void)
{
	struct nf_mux_limits l = {0};
	static const char *const bad[] = {"",
					  "1",
					  "1,",
					  ",1",
					  "0,50000",
					  "1,0",
					  "-1,50",
					  "1,50,2",
					  "1 ,5",
					  "99999999999999999999,1",
					  "1,4294967296"};
	is(nf_mux_rate_parse("62500,50000", &l), 0, "a rate as xl writes it");
	ok(l.credit_bytes == 62500 && l.credit_us == 50000, "bytes and microseconds");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is(nf_mux_rate_parse(bad[i], &l), -EINVAL, "rate \"%s\" is refused", bad[i]);
	ok(l.credit_bytes == 62500, "and changes nothing");
	is(nf_mux_pins_parse("10.0.0.2  fe80::1", &l), 0, "two addresses");
	ok(l.pin_count == 2 && l.pins[0].version == 4 && l.pins[1].version == 6, "of two kinds");
	is(nf_mux_pins_parse("10.0.0", &l), -EINVAL, "half an address");
	is(nf_mux_pins_parse("1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1 "
			     "1.1.1.1",
			     &l),
	   -EINVAL, "nine");
	is(nf_mux_pins_parse(" ", &l), 0, "none");
	is(l.pin_count, 0, "is any");
}

static uint8_t frame[128];
static struct nf_mux_limits limits;
static struct nf__mux_queue q = {.mac = {0, 0x16, 0x3e, 0, 0, 7}, .limits = &limits};

static void ether(uint16_t type)
{
	memset(frame, 0, sizeof(frame));
	frame[0] = 0x02;
	memcpy(frame + 6, q.mac, 6);
	frame[12] = (uint8_t)(type >> 8);
	frame[13] = (uint8_t)type;
}

static int look(void)
{
	return (int)nf__mux_look(&q, frame, sizeof(frame));
}

static void v4(const char source[4])
{
	ether(0x0800);
	frame[14] = 0x45;
	memcpy(frame + 26, source, 4);
}

static void filter(void)
{
	ether(0x0800);
	is(look(), NF__MUX_UNICAST, "its own address");
	frame[11] = 8;
	is(look(), NF__MUX_SPOOFED, "another's");
	ether(0x86dd);
	frame[0] = 0x33;
	is(look(), NF__MUX_FLOOD, "a multicast");
	limits = (struct nf_mux_limits){0};
	nf_mux_pins_parse("10.0.0.2 2001:db8::2", &limits);
	v4("\x0a\x00\x00\x02");
	is(look(), NF__MUX_UNICAST, "pinned: its IPv4 address");
	v4("\x0a\x00\x00\x03");
	is(look(), NF__MUX_SPOOFED, "another IPv4 address");
	v4("\x00\x00\x00\x00");
	is(look(), NF__MUX_SPOOFED, "none, and no DHCP");
	frame[23] = 17;
	frame[35] = 68;
	frame[37] = 67;
	is(look(), NF__MUX_UNICAST, "none, asking for one");
	ether(0x0806);
	memcpy(frame + 14, "\x00\x01\x08\x00\x06\x04\x00\x01", 8);
	memcpy(frame + 22, q.mac, 6);
	memcpy(frame + 28, "\x0a\x00\x00\x02", 4);
	is(look(), NF__MUX_UNICAST, "ARP of its address");
	frame[31] = 3;
	is(look(), NF__MUX_SPOOFED, "of another");
	memset(frame + 28, 0, 4);
	is(look(), NF__MUX_UNICAST, "a probe");
	frame[27] ^= 1;
	is(look(), NF__MUX_SPOOFED, "with another's hardware address");
	ether(0x86dd);
	frame[14] = 0x60;
	memcpy(frame + 22, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02", 16);
	is(look(), NF__MUX_UNICAST, "its IPv6 address");
	frame[37] = 3;
	is(look(), NF__MUX_SPOOFED, "another");
	memcpy(frame + 22, "\xfe\x80\0\0\0\0\0\0", 8);
	is(look(), NF__MUX_UNICAST, "a link-local one, for ND");
	ether(0x8100);
	memcpy(frame + 14, "\x00\x2a\x08\x00\x45", 5);
	memcpy(frame + 30, "\x0a\x00\x00\x03", 4);
	is(look(), NF__MUX_SPOOFED, "another address behind a VLAN tag");
	frame[33] = 2;
	is(look(), NF__MUX_UNICAST, "its own there");
	ether(0x88b5);
	is(look(), NF__MUX_SPOOFED, "a protocol nobody pins");
	for (uint32_t n = 14; n < 42; n++) {
		v4("\x0a\x00\x00\x02");
		if (nf__mux_look(&q, frame, n) == NF__MUX_UNICAST && n < 34)
			ok(false, "a header cut at %u passes", n);
	}
}

int main(void)
{
	credit();
	keys();
	filter();
	return done();
}
