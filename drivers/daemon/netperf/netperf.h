/* SPDX-License-Identifier: MIT */
/*
 * nf-netperf: netperf's classic tests between two network namespaces. A control connection carries
 * one request, the data port and both results; data goes over a connection or datagrams of its own.
 * The receiver's bytes over the receiver's time are the result. With a seed, both ends hash the
 * stream.
 */
#ifndef NF_DAEMON_NETPERF_H
#define NF_DAEMON_NETPERF_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define NP_MAGIC 0x3150464eu /* "NFP1" */
#define NP_PATIENCE_S 5	     /* nothing moves for so long: the test failed */
#define NP_PATIENCE_MAX 600u
/* beyond the test's own time, then everything ends */
#define NP_GRACE_S(patience_s) (1 + 2 * (patience_s))
#define NP_MESSAGE_MAX (1u << 20)
#define NP_UDP_MAX 65507u
#define NP_SECONDS_MAX 3600u

enum np_test {
	NP_TCP_STREAM = 1, /* client to server */
	NP_TCP_MAERTS,	   /* server to client */
	NP_TCP_RR,	   /* message there and back */
	NP_UDP_STREAM,
	NP_UDP_RR,
};

struct np_options {
	bool server;
	struct sockaddr_storage address;
	socklen_t address_bytes;
	enum np_test test;
	double seconds;
	uint32_t message; /* bytes */
	uint32_t patience_s;
	int cpu; /* -1: not pinned */
	bool json, seeded;
	uint64_t seed;
	uint32_t max_seconds; /* server: ends then */
};

struct np_request {
	uint32_t magic, test, message, ms, seeded, patience_s;
	uint64_t seed;
};

struct np_ready {
	uint32_t magic, port;
};

/* Of one end. */
struct np_result {
	uint32_t magic;
	int32_t error; /* 0 or negative errno */
	uint64_t bytes, messages, ns, cpu_ns, retransmits, lost, hash;
};

#define NP_HISTOGRAM 4096u /* 64 steps to a power of two: 1.6 % */

struct np_latency {
	uint64_t count, sum_ns, max_ns;
	uint32_t bucket[NP_HISTOGRAM];
};

/* args.c: 0, or an exit code after printing. */
int np_parse(struct np_options *o, int argc, char **argv, bool *help);
const char *np_test_name(enum np_test t);

/* stream.c: the two ends of a stream; r gets this end's part. Return r->error. */
int np_send_stream(int fd, const struct np_request *q, bool datagrams, struct np_result *r);
int np_receive_stream(int fd, int ctl, const struct np_request *q, struct np_result *r);

/* rr.c: latency may be NULL (the answering end). */
int np_ask(int fd, const struct np_request *q, bool datagrams, struct np_latency *l,
	   struct np_result *r);
int np_answer(int fd, int ctl, const struct np_request *q, struct np_result *r);
uint64_t np_percentile(const struct np_latency *l, double share);

/* util.c */
uint64_t np_now_ns(void);
uint64_t np_cpu_ns(void); /* of this process, user and system */
void np_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Whole messages on the control connection: 0 or negative errno. */
int np_write_all(int fd, const void *p, size_t n);
int np_read_all(int fd, void *p, size_t n);
void np_timeouts(int fd, uint32_t seconds);
uint64_t np_retransmits(int fd);
int np_pin(int cpu);
/* The whole process ends this many seconds from now, whatever it waits for: exit code 1. */
void np_deadline(uint32_t seconds);

/* A seeded stream and a hash over it, both resumable at any byte. */
struct np_seeded {
	uint64_t state, word;
	uint32_t left; /* bytes of word not used yet */
};
struct np_hash {
	uint64_t lane[4], total;
	uint8_t part[32];
	uint32_t part_bytes;
};
void np_seeded_fill(struct np_seeded *s, uint8_t *p, size_t n);
void np_hash_init(struct np_hash *h);
void np_hash_add(struct np_hash *h, const uint8_t *p, size_t n);
uint64_t np_hash_end(struct np_hash *h);

/* server.c, client.c: exit codes. */
int np_server(const struct np_options *o);
int np_client(const struct np_options *o);

#endif
