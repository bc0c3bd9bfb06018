/* SPDX-License-Identifier: MIT */
/* Runs one test and prints its result. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "netperf.h"

static struct np_latency latency;

static int connect_to(const struct np_options *o, int type, uint32_t port)
{
	struct sockaddr_storage a = o->address;
	int fd = socket(a.ss_family, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	np_timeouts(fd, o->patience_s);
	if (port)
		((struct sockaddr_in *)&a)->sin_port = htons((uint16_t)port);
	if (connect(fd, (struct sockaddr *)&a, o->address_bytes) < 0) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static bool is_udp(const struct np_options *o)
{
	return o->test == NP_UDP_STREAM || o->test == NP_UDP_RR;
}

static void run_test(const struct np_options *o, int data, const struct np_request *q,
		     struct np_result *r)
{
	const int on = 1;
	switch (o->test) {
	case NP_TCP_STREAM:
	case NP_UDP_STREAM:
		np_send_stream(data, q, is_udp(o), r);
		break;
	case NP_TCP_MAERTS:
		np_receive_stream(data, -1, q, r);
		break;
	default:
		if (!is_udp(o))
			setsockopt(data, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		np_ask(data, q, is_udp(o), &latency, r);
		break;
	}
}

static int exchange(const struct np_options *o, struct np_result *ours, struct np_result *theirs)
{
	struct np_request q = {.magic = NP_MAGIC,
			       .test = o->test,
			       .message = o->message,
			       .ms = (uint32_t)(o->seconds * 1000),
			       .seeded = o->seeded,
			       .patience_s = o->patience_s,
			       .seed = o->seed};
	struct np_ready ready;
	int data = -1, err;
	int ctl = connect_to(o, SOCK_STREAM, 0);

	if (ctl < 0)
		return ctl;
	err = np_write_all(ctl, &q, sizeof(q));
	if (!err)
		err = np_read_all(ctl, &ready, sizeof(ready));
	if (!err && (ready.magic != NP_MAGIC || ready.port > 65535))
		err = -EPROTO;
	if (!err) {
		data = connect_to(o, is_udp(o) ? SOCK_DGRAM : SOCK_STREAM, ready.port);
		err = data < 0 ? data : 0;
	}
	if (!err) {
		uint64_t cpu = np_cpu_ns();
		run_test(o, data, &q, ours);
		ours->cpu_ns = np_cpu_ns() - cpu;
		ours->retransmits = is_udp(o) ? 0 : np_retransmits(data);
		err = ours->error;
	}
	if (!err && is_udp(o))
		err = np_write_all(ctl, "done", 4);
	if (!err)
		err = np_read_all(ctl, theirs, sizeof(*theirs));
	if (!err && theirs->magic != NP_MAGIC)
		err = -EPROTO;
	if (data >= 0)
		close(data);
	close(ctl);
	return err ? err : theirs->error;
}

/* One field in either form. */
static void number(const struct np_options *o, const char *json, const char *plain, double v,
		   int digits)
{
	if (o->json)
		printf(",\"%s\":%.*f", json, digits, v);
	else
		printf("%s=%.*f\n", plain, digits, v);
}

static void print_latency(const struct np_options *o)
{
	const double shares[] = {0.5, 0.9, 0.99, 0.999};
	const char *const names[] = {"p50", "p90", "p99", "p999"};
	const char *const keys[] = {"P50_LATENCY", "P90_LATENCY", "P99_LATENCY", "P999_LATENCY"};

	if (o->json)
		printf(",\"latencyNs\":{\"mean\":%.0f,\"max\":%" PRIu64,
		       latency.count ? (double)latency.sum_ns / (double)latency.count : 0.0,
		       latency.max_ns);
	for (int i = 0; i < 4; i++) {
		uint64_t ns = np_percentile(&latency, shares[i]);
		if (o->json)
			printf(",\"%s\":%" PRIu64, names[i], ns);
		else /* netperf's unit is the microsecond */
			printf("%s=%.3f\n", keys[i], (double)ns / 1000);
	}
	if (o->json)
		printf("}");
}

static void print_result(const struct np_options *o, const struct np_result *ours,
			 const struct np_result *theirs)
{
	bool rr = o->test == NP_TCP_RR || o->test == NP_UDP_RR;
	bool we_receive = rr || o->test == NP_TCP_MAERTS;
	const struct np_result *got = we_receive ? ours : theirs;
	double seconds = (double)got->ns / 1e9;
	double rate = seconds > 0 ? 1 / seconds : 0;

	if (o->json)
		printf("{\"schemaVersion\":1,\"tool\":\"nf-netperf\",\"test\":\"%s\"",
		       np_test_name(o->test));
	number(o, "messageBytes", "MESSAGE_SIZE", o->message, 0);
	number(o, "seconds", "ELAPSED_TIME", seconds, 6);
	number(o, "bytes", "BYTES", (double)got->bytes, 0);
	if (o->json)
		number(o, "bitsPerSecond", "", (double)got->bytes * 8 * rate, 0);
	else /* netperf's unit is 10^6 bits a second */
		number(o, "", "THROUGHPUT", (double)got->bytes * 8e-6 * rate, 2);
	number(o, "messages", "MESSAGES", (double)got->messages, 0);
	if (rr) {
		number(o, "transactions", "TRANSACTIONS", (double)ours->messages, 0);
		number(o, "transactionsPerSecond", "TRANSACTION_RATE",
		       (double)ours->messages * rate, 1);
		print_latency(o);
	}
	if (is_udp(o)) {
		uint64_t lost = rr ? ours->lost : ours->messages - theirs->messages;
		number(o, "lost", "LOST", (double)lost, 0);
	}
	number(o, "retransmits", "RETRANSMITS", (double)(ours->retransmits + theirs->retransmits),
	       0);
	number(o, "cpuSeconds", "LOCAL_CPU_SECONDS", (double)ours->cpu_ns / 1e9, 6);
	number(o, "remoteCpuSeconds", "REMOTE_CPU_SECONDS", (double)theirs->cpu_ns / 1e9, 6);
	if (o->seeded)
		printf(o->json ? ",\"hash\":{\"local\":\"%016" PRIx64 "\",\"remote\":\"%016" PRIx64
				 "\",\"ok\":%s}"
			       : "HASH_LOCAL=%016" PRIx64 "\nHASH_REMOTE=%016" PRIx64
				 "\nHASH_OK=%s\n",
		       ours->hash, theirs->hash, ours->hash == theirs->hash ? "true" : "false");
	if (o->json)
		printf("}\n");
}

int np_client(const struct np_options *o)
{
	struct np_result ours = {0}, theirs = {0};
	int err = np_pin(o->cpu);

	if (err < 0) {
		np_say("--cpu %d: %s", o->cpu, strerror(-err));
		return 1;
	}
	np_deadline((uint32_t)o->seconds + NP_GRACE_S(o->patience_s));
	err = exchange(o, &ours, &theirs);
	if (err < 0) {
		np_say("%s: %s", np_test_name(o->test), strerror(-err));
		return 1;
	}
	print_result(o, &ours, &theirs);
	if (o->seeded && ours.hash != theirs.hash) {
		np_say("the stream was changed on its way");
		return 1;
	}
	return 0;
}
