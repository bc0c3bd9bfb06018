/* SPDX-License-Identifier: MIT */
#include "shape.h"

#include <errno.h>
#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WIRE_BYTES 24 /* preamble 8, FCS 4, gap 12 */
#define WIRE_MIN 84
#define BURST_HZ 125 /* a bucket of 8 ms: kernels without fine timers look every 4 */

struct request {
	struct nlmsghdr h;
	struct tcmsg t;
	uint8_t attributes[512];
};

static struct rtattr *add(struct request *r, unsigned short type, const void *data, size_t n)
{
	struct rtattr *a = (void *)((uint8_t *)r + NLMSG_ALIGN(r->h.nlmsg_len));
	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(n);
	if (n)
		memcpy(RTA_DATA(a), data, n);
	r->h.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->h.nlmsg_len) + RTA_ALIGN(a->rta_len));
	return a;
}

/* Sends it; what comes back goes to answer. Its length, or -errno. */
static ssize_t ask(const struct request *r, void *answer, size_t cap)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ssize_t n = -1;
	if (fd < 0)
		return -errno;
	if (send(fd, r, r->h.nlmsg_len, 0) >= 0)
		n = recv(fd, answer, cap, 0);
	if (n < 0)
		n = -errno;
	close(fd);
	return n;
}

int shape_line(const char *name, uint64_t bits_per_second, uint32_t limit_bytes)
{
	struct request r = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct tcmsg)),
				  .nlmsg_type = RTM_NEWQDISC,
				  .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE |
						 NLM_F_ACK},
			    .t = {.tcm_family = AF_UNSPEC, .tcm_parent = TC_H_ROOT}};
	uint64_t bytes = bits_per_second / 8;
	struct tc_tbf_qopt q = {.limit = limit_bytes};
	uint32_t burst = (uint32_t)(bytes / BURST_HZ);
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		uint8_t rest[1024];
	} answer;

	q.rate.rate = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
	q.rate.linklayer = TC_LINKLAYER_ETHERNET; /* sizes are counted, not looked up in a table */
	q.rate.overhead = WIRE_BYTES;
	q.rate.mpu = WIRE_MIN;
	r.t.tcm_ifindex = (int)if_nametoindex(name);
	if (r.t.tcm_ifindex == 0)
		return -ENODEV;
	add(&r, TCA_KIND, "tbf", 4);
	struct rtattr *options = add(&r, TCA_OPTIONS, NULL, 0);
	add(&r, TCA_TBF_PARMS, &q, sizeof(q));
	add(&r, TCA_TBF_BURST, &burst, sizeof(burst));
	options->rta_len = (unsigned short)((uint8_t *)&r + r.h.nlmsg_len - (uint8_t *)options);
	ssize_t n = ask(&r, &answer, sizeof(answer));
	if (n < 0)
		return (int)n;
	return n >= (ssize_t)(sizeof(answer.h) + sizeof(answer.e)) ? answer.e.error : -EPROTO;
}

/* The queue statistics among a discipline's attributes. */
static int64_t drops_of(const struct nlmsghdr *h)
{
	const uint8_t *at = (const uint8_t *)NLMSG_DATA(h) + NLMSG_ALIGN(sizeof(struct tcmsg));
	const uint8_t *end = (const uint8_t *)h + h->nlmsg_len;
	while (at + sizeof(struct rtattr) <= end) {
		struct rtattr a;
		struct tc_stats stats;
		memcpy(&a, at, sizeof(a));
		if (a.rta_len < sizeof(a) || at + a.rta_len > end)
			break;
		if (a.rta_type == TCA_STATS && a.rta_len >= sizeof(a) + sizeof(stats)) {
			memcpy(&stats, at + RTA_LENGTH(0), sizeof(stats));
			return stats.drops;
		}
		at += RTA_ALIGN(a.rta_len);
	}
	return -ENODATA;
}

int64_t shape_drops(const char *name)
{
	struct request r = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct tcmsg)),
				  .nlmsg_type = RTM_GETQDISC,
				  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
			    .t = {.tcm_family = AF_UNSPEC}};
	uint8_t answer[8192] __attribute__((aligned(8)));
	int index = (int)if_nametoindex(name);
	r.t.tcm_ifindex = index;
	ssize_t n = ask(&r, answer, sizeof(answer));
	if (n < 0)
		return n;
	const struct nlmsghdr *h = (const void *)answer;
	for (unsigned left = (unsigned)n; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		const struct tcmsg *t = NLMSG_DATA(h);
		if (h->nlmsg_type == RTM_NEWQDISC && t->tcm_ifindex == index &&
		    t->tcm_parent == TC_H_ROOT)
			return drops_of(h);
	}
	return -ENOENT;
}
