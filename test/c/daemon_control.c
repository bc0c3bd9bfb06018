/* SPDX-License-Identifier: MIT */
/*
 * nestfrontd's control socket, its systemd notifications and its folder, served in this process by
 * the daemon's own parts over a daemon that has two devices and one counter block.
 */
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "nfd/json.h"
#include "nfd/nfd.h"
#include "tap.h"

static struct nfd d;
static char dir[] = "/tmp/nf-control-XXXXXX";
static char path[64];
static char answer[70000];

static int fake_nothing(struct nf_layer *l)
{
	(void)l;
	return -ENOSYS;
}

static void daemon_make(void)
{
	static const struct nf_layer_ops ops = {.kind = "fake", .store_fd = fake_nothing};
	static struct nf_layer layer = {.ops = &ops, .domid = 5};
	d.signal_fd = d.lock_fd = -1;
	d.side_count = 1;
	d.sides[0].layer = &layer;
	nf_counters_open(&d.sides[0].counters, -1, 8, 5);
	struct nf_counters *b = nf_counters_take(&d.sides[0].counters, 1);
	nf_block_begin(b);
	b->h.kind = NF_BLOCK_NETBACK;
	b->h.devid = 2;
	nf_block_end(b);
	NF_COUNT(b, tx_packets, 77);
	struct nfd_device *v = &d.devices[0];
	d.device_count = 4;
	*v = (struct nfd_device){.used = true, .kind = NFD_BACK, .gave_up = true};
	strcpy(v->path, "backend/vif/3/2");
	d.devices[3] = (struct nfd_device){.used = true, .kind = NFD_FRONT, .phase = -ENOSPC};
	strcpy(d.devices[3].path, "device/vif/0");
	strcpy(d.devices[3].tap, "nf0");
}

static const char *ask(const char *line)
{
	size_t n = nfd_control_answer(&d, line, answer, sizeof(answer));
	bool is_line = n > 0 && answer[n - 1] == '\n' && strlen(answer) == n &&
		       memchr(answer, '\n', n - 1) == NULL;
	if (!is_line)
		ok(false, "one line answers %s", line);
	return answer;
}

static void answers(const char *line, const char *want)
{
	if (!ok(strstr(ask(line), want) != NULL, "%s", line))
		diag("%s", answer);
}

static void test_answers(void)
{
	answers("{\"id\":1,\"op\":\"status\"}", "{\"id\":1,\"ok\":true,\"pid\":");
	answers("{\"id\":1,\"op\":\"status\"}", "\"devices\":2,\"running\":0}");
	answers("{\"id\":\"x\\\"y\",\"op\":\"devices\"}", "{\"id\":\"x\\\"y\",\"ok\":true,");
	answers("{\"op\":\"devices\"}",
		"{\"id\":null,\"ok\":true,\"devices\":["
		"{\"path\":\"backend/vif/3/2\",\"side\":0,\"kind\":\"netback\","
		"\"phase\":\"refused\",\"error\":null},");
	answers("{\"op\":\"devices\"}", "\"error\":\"ENOSPC\",\"interface\":\"nf0\"}]}");
	answers("{\"op\":\"counters\"}", "\"counters\":{\"tx_packets\":77}}]}");
	answers("{\"op\":\"counters\",\"devid\":2}", "\"tx_packets\":77");
	answers("{\"op\":\"counters\",\"devid\":3}", "\"blocks\":[]}");
	answers("{\"op\":\"counters\",\"devid\":\"2\"}", "\"error\":\"EINVAL\"");
	answers("{\"op\":\"log-level\",\"level\":\"debug\"}", "\"ok\":true}");
	answers("{\"op\":\"log-level\",\"level\":\"loud\"}", "level is quiet, normal or debug");
	answers("{\"op\":\"log-level\",\"level\":\"normal\"}", "\"ok\":true}");
	answers("{\"op\":\"stop\",\"leave\":1}", "leave is true or false");
	answers("{\"op\":\"fly\"}", "op is devices, counters, status, log-level or stop");
}

static void test_parser(void)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{",
		"{}x",
		"{\"a\":1,}",
		"{\"a\"}",
		"{\"a\":}",
		"{a:1}",
		"{\"a\":{}}",
		"{\"a\":[1]}",
		"{\"a\":tru}",
		"{\"a\":\"x}",
		"{\"a\":\"\\n\"}",
		"{\"a\":1 \"b\":2}",
		"{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9}",
		"{\"a-key-that-is-much-too-long-for-us\":1}"};
	struct json_object o = {.count = -1};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is(nfd_json_parse(bad[i], &o), -EINVAL, "refused: %s", bad[i]);
	is(o.count, -1, "and nothing is written");
	is(nfd_json_parse(" { \"a\" : \"b\\\\\" , \"c\":-1.5e3, \"d\":null }\r", &o), 0, "spaces");
	ok(o.count == 3 && !strcmp(o.field[0].text, "b\\") && !strcmp(o.field[1].text, "-1.5e3") &&
		   !o.field[1].is_string,
	   "three fields");
	is(nfd_json_parse("{}", &o), 0, "an empty object");
	char small[16];
	struct json_out out = {.text = small, .cap = sizeof(small)};
	nfd_json_put(&out, "%s", "0123456789");
	nfd_json_put(&out, "%s", "0123456789");
	ok(out.is_full && out.bytes == 10 && !strcmp(small, "0123456789"), "no more than fits");
}

static int dial(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	strcpy(a.sun_path, path);
	return connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : fd;
}

static void turn(int times)
{
	struct pollfd fds[NFD_CONTROL_FDS];
	while (times--) {
		int n = nfd_control_collect(&d, fds);
		poll(fds, (nfds_t)n, 0);
		nfd_control_react(&d, fds, n);
	}
}

/* 1: open and quiet, 0: hung up, else bytes that were there. */
static ssize_t hear(int fd)
{
	ssize_t n = recv(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);
	answer[n > 0 ? n : 0] = '\0';
	return n < 0 ? errno == EAGAIN ? 1 : 0 : n;
}

static void test_socket(void)
{
	char junk[1500];
	struct stat st;
	d.opt.control = path;
	is(nfd_control_open(&d), 0, "a socket");
	ok(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600, "for its owner alone");
	int fd = dial();
	turn(1);
	send(fd, "{\"id\":1,\"op\":\"st", 16, 0);
	turn(2);
	is((int)hear(fd), 1, "half a line waits");
	send(fd, "atus\"}\n{\"id\":2}\n", 16, 0);
	turn(2);
	ok(hear(fd) > 0 && strstr(answer, "{\"id\":1,\"ok\":true") &&
		   strstr(answer, "\n{\"id\":2,"),
	   "two answers, in order");
	memset(junk, 'x', sizeof(junk));
	send(fd, junk, sizeof(junk), 0);
	turn(3);
	is((int)hear(fd), 0, "a line without an end hangs up");
	close(fd);
	fd = dial();
	turn(1);
	for (int i = 0; i < 4000 && nfd_control_collect(&d, (struct pollfd[NFD_CONTROL_FDS]){0});
	     i++) {
		if (send(fd, "{\"op\":\"devices\"}\n", 17, MSG_NOSIGNAL) < 0)
			break;
		turn(1);
	}
	is((int)send(fd, "x", 1, MSG_NOSIGNAL), -1, "one that does not read is dropped");
	close(fd);
	int many[12];
	for (int i = 0; i < 12; i++) {
		many[i] = dial();
		turn(1);
	}
	is((int)hear(many[0]), 1, "the first is served");
	is((int)hear(many[11]), 0, "the twelfth is refused");
	for (int i = 0; i < 12; i++)
		close(many[i]);
	turn(2);
	is(d.stop_at_ms != 0, 0, "nobody has stopped it");
	fd = dial();
	turn(1);
	send(fd, "{\"op\":\"stop\",\"leave\":true}\n", 27, 0);
	turn(1);
	ok(d.stop_at_ms != 0 && d.is_leaving, "until one does");
	nfd_control_close(&d);
	ok(stat(path, &st) < 0, "the socket goes with the daemon");
	close(fd);
}

static void test_notify(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char to[64], text[64];
	nfd_notify("READY=1"); /* nobody listens: nothing happens */
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/notify", dir);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	is(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0, "a manager");
	setenv("NOTIFY_SOCKET", a.sun_path, 1);
	nfd_notify("STATUS=%d devices", 2);
	ssize_t n = recv(fd, text, sizeof(text), 0);
	ok(n == 16 && !memcmp(text, "STATUS=2 devices", 16), "is told");
	close(fd);
	snprintf(to, sizeof(to), "@nf-notify-%d", (int)getpid());
	memset(&a, 0, sizeof(a));
	a.sun_family = AF_UNIX;
	strcpy(a.sun_path, to);
	a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bind(fd, (struct sockaddr *)&a, (socklen_t)(sizeof(a.sun_family) + strlen(to)));
	setenv("NOTIFY_SOCKET", to, 1);
	nfd_notify("READY=1");
	is((int)recv(fd, text, sizeof(text), 0), 7, "also by an abstract name");
	close(fd);
	is((int)nfd_notify_watchdog_ms(), 0, "no watchdog");
	setenv("WATCHDOG_USEC", "4000000", 1);
	is((int)nfd_notify_watchdog_ms(), 2000, "fed twice as often as it wants");
	setenv("WATCHDOG_PID", "1", 1);
	is((int)nfd_notify_watchdog_ms(), 0, "another process's");
}

static void test_rundir(void)
{
	static struct nfd one, two;
	struct stat st;
	one.lock_fd = two.lock_fd = -1;
	one.opt.name = two.opt.name = "back";
	one.opt.run_dir = two.opt.run_dir = dir;
	one.opt.layer.xen_dir = "/dev/xen";
	is(nfd_rundir_open(&one), 0, "a folder");
	is(nfd_rundir_open(&two), -EWOULDBLOCK, "is one daemon's");
	nfd_rundir_close(&two);
	nfd_rundir_counters(&one);
	snprintf(answer, sizeof(answer), "%s/back/counters", dir);
	ok(one.opt.layer.counters && !strcmp(one.opt.layer.counters, answer), "counters are in it");
	nfd_rundir_close(&one);
	is(nfd_rundir_open(&two), 0, "until that one is gone");
	nfd_rundir_close(&two);
	two.opt.name = "../x";
	is(nfd_rundir_open(&two), -EINVAL, "a name is no path");
	snprintf(answer, sizeof(answer), "%s/back", dir);
	ok(stat(answer, &st) == 0 && (st.st_mode & 022) == 0, "nobody else writes there");
}

int main(void)
{
	char command[64];
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/control", dir);
	nfd_log_level(NFD_LOG_QUIET);
	daemon_make();
	test_parser();
	test_answers();
	nfd_log_level(NFD_LOG_QUIET);
	test_socket();
	test_notify();
	test_rundir();
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) ? 1 : done();
}
