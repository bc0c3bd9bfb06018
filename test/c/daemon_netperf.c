/* SPDX-License-Identifier: MIT */
/* nf-netperf's parts, and its tests over loopback; and what the daemons say to wrong arguments. */
#include "netperf/netperf.h"
#include "tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[4000];

static void stream_and_hash(void)
{
	static uint8_t whole[5000], parts[5000];
	struct np_seeded a = {.state = 9}, b = {.state = 9};
	struct np_hash h, g;
	uint32_t wrong = 0;

	np_seeded_fill(&a, whole, sizeof(whole));
	np_hash_init(&h);
	np_hash_add(&h, whole, sizeof(whole));
	uint64_t want = np_hash_end(&h);
	for (size_t step = 1; step < 70; step++) {
		b = (struct np_seeded){.state = 9};
		np_hash_init(&g);
		for (size_t at = 0; at < sizeof(parts); at += step) {
			size_t n = sizeof(parts) - at < step ? sizeof(parts) - at : step;
			np_seeded_fill(&b, parts + at, n);
			np_hash_add(&g, parts + at, n);
		}
		wrong += memcmp(whole, parts, sizeof(whole)) != 0 || np_hash_end(&g) != want;
	}
	is(wrong, 0, "a seeded stream and its hash do not depend on the pieces");
	wrong = 0;
	for (size_t i = 0; i < sizeof(whole); i += 7) {
		whole[i] ^= 1;
		np_hash_init(&g);
		np_hash_add(&g, whole, sizeof(whole));
		wrong += np_hash_end(&g) == want;
		whole[i] ^= 1;
	}
	np_hash_init(&g);
	np_hash_add(&g, whole, sizeof(whole) - 1);
	wrong += np_hash_end(&g) == want;
	is(wrong, 0, "a changed bit or a missing byte changes it");
}

static void percentiles(void)
{
	static struct np_latency l;
	l.count = 100;
	l.max_ns = 1000000;
	l.bucket[10] = 99;
	l.bucket[4095] = 1;
	is(np_percentile(&l, 0.5), 10, "the median");
	is(np_percentile(&l, 0.99), 1000000, "never beyond the largest seen");
}

static const char *text_of(const char *args, int *code)
{
	static char out[4096];
	char command[8192];
	snprintf(command, sizeof(command), "%s/%s 2>&1", folder, args);
	FILE *f = popen(command, "r");
	size_t n = f ? fread(out, 1, sizeof(out) - 1, f) : 0;
	out[n] = '\0';
	int status = f ? pclose(f) : -1;
	*code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000;
	return out;
}

static void arguments(void)
{
	static const struct {
		const char *args, *says;
		int code;
	} cases[] = {
		{"nf-netperf", "server", 2},
		{"nf-netperf frob", "frob", 2},
		{"nf-netperf client", "--host", 2},
		{"nf-netperf client --host 1.2.3.4 --seconds 0", "--seconds", 2},
		{"nf-netperf client --host example.org", "example.org", 2},
		{"nf-netperf client --host 127.0.0.1 --test TCP_FOO", "TCP_FOO", 2},
		{"nf-netperf client --host 127.0.0.1 --test TCP_RR --seed 1", "--seed", 2},
		{"nf-netperf --help", "--message", 0},
		{"nestfrontd", "--layer", 2},
		{"nestfrontd --frob 1", "--frob", 2},
		{"nestfrontd --layer embedded:3", "embedded:fd=N", 2},
		{"nestfrontd --layer embedded:fd=3 --notify never", "never", 2},
		{"nestfrontd --layer embedded:fd=3 --cpu -1", "--cpu", 2},
		{"nestfrontd --layer embedded:fd=0 </dev/null", "descriptor 0", 1},
		{"nestfrontd --help", "--notify", 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int code;
		const char *out = text_of(cases[i].args, &code);
		ok(code == cases[i].code && strstr(out, cases[i].says), "%s: %d", cases[i].args,
		   code);
		if (code != cases[i].code)
			diag("got %d: %s", code, out);
	}
}

static void bring_lo_up(void)
{
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
		diag("lo: %s", strerror(errno));
	close(fd);
}

static void measure(const char *args, const char *wants)
{
	char line[512];
	int code;
	snprintf(line, sizeof(line),
		 "nf-netperf client --host 127.0.0.1 --port 7001 --seconds 0.2 %s", args);
	const char *out = text_of(line, &code);
	ok(code == 0 && strstr(out, wants), "%s: %s", args, wants);
	if (code || !strstr(out, wants))
		diag("%d: %s", code, out);
}

static void loopback(void)
{
	int code, status = 0;
	bring_lo_up();
	fflush(stdout);
	pid_t server = fork();
	if (server == 0) {
		char path[4096];
		snprintf(path, sizeof(path), "%s/nf-netperf", folder);
		freopen("/dev/null", "w", stdout);
		execl(path, path, "server", "--bind", "127.0.0.1", "--port", "7001",
		      "--max-seconds", "60", NULL);
		_exit(99);
	}
	usleep(300000);
	measure("--json --test TCP_STREAM --seed 3", "\"ok\":true");
	measure("--json --test TCP_MAERTS --seed 3 --message 16384", "\"ok\":true");
	measure("--json --test TCP_STREAM", "\"bitsPerSecond\":");
	measure("--json --test TCP_RR", "\"transactionsPerSecond\":");
	measure("--test TCP_RR", "P99_LATENCY=");
	measure("--json --test UDP_STREAM", "\"lost\":");
	measure("--json --test UDP_RR", "\"p999\":");
	measure("--test TCP_STREAM", "THROUGHPUT=");
	kill(server, SIGTERM);
	waitpid(server, &status, 0);
	is(status, 0, "the server ends with 0 on SIGTERM");
	const char *out = text_of("nf-netperf client --host 127.0.0.1 --port 7001", &code);
	ok(code == 1 && strstr(out, "refused"), "without a server: %s", out);
}

static bool find_folder(void)
{
	const char *given = getenv("NF_BIN");
	char self[2048], path[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return false;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	snprintf(folder, sizeof(folder), "%s%s", given ? given : self, given ? "" : "/..");
	snprintf(path, sizeof(path), "%s/nf-netperf", folder);
	return access(path, X_OK) == 0;
}

int main(void)
{
	stream_and_hash();
	percentiles();
	if (!find_folder()) {
		skip("programs", "nf-netperf and nestfrontd are not built beside this program");
		return done();
	}
	arguments();
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		skip("loopback", "user namespaces are refused here");
	else
		loopback();
	return done();
}
