/* SPDX-License-Identifier: MIT */
/*
 * The xen layer on a folder that looks like /dev/xen: plain files for the devices, their ioctls
 * answered here, and a pseudo-terminal with a tiny store behind it for xenbus. What only a kernel
 * under Xen can do is the lab's to show; here are arguments, refusals and their words.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layer/xen/uapi.h"
#include "nf/net.h"
#include "nf/xen.h"
#include "tap.h"
#include "xendir.h"

static const char *dir;
static uint32_t limit = 1024, granted, alloc_calls, copy_calls, copied, dealloc_calls;

static int fake_alloc(int fd, struct ioctl_gntalloc_alloc_gref *q)
{
	alloc_calls++;
	if (granted + q->count > limit) {
		errno = ENOSPC;
		return -1;
	}
	granted += q->count;
	for (uint32_t i = 0; i < q->count; i++)
		q->gref_ids[i] = 100 + i;
	q->index = 8 * 4096;
	return ftruncate(fd, (off_t)(q->index + q->count * 4096ull));
}

static int fake_copy(struct ioctl_gntdev_grant_copy *q)
{
	copy_calls++;
	copied += q->count;
	for (uint32_t i = 0; i < q->count; i++)
		q->segments[i].status = q->segments[i].source.foreign.ref == 99 ? -3 : 0;
	return 0;
}

/* The library's calls come here; anything else goes to the kernel. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	va_start(ap, request);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	switch (request) {
	case IOCTL_GNTALLOC_ALLOC_GREF:
		return fake_alloc(fd, arg);
	case IOCTL_GNTALLOC_DEALLOC_GREF:
		dealloc_calls++;
		granted -= ((struct ioctl_gntalloc_dealloc_gref *)arg)->count;
		return 0;
	case IOCTL_GNTDEV_GRANT_COPY:
		return fake_copy(arg);
	case IOCTL_GNTDEV_MAP_GRANT_REF:
		((struct ioctl_gntdev_map_grant_ref *)arg)->index = 0;
		return ftruncate(fd, 8 * 4096);
	case IOCTL_EVTCHN_BIND_UNBOUND_PORT:
		return 41;
	case IOCTL_EVTCHN_BIND_INTERDOMAIN:
		errno = EINVAL;
		return -1;
	case IOCTL_EVTCHN_NOTIFY:
		return 0;
	default:
		return (int)syscall(SYS_ioctl, fd, request, arg);
	}
}

static void says(int error, const char *want)
{
	char line[320];
	nf_xen_explain(dir, error, line, sizeof(line));
	if (!ok(strstr(line, want) != NULL, "%d is explained with '%s'", error, want))
		diag("%s", line);
}

static void test_refusals(void)
{
	struct nf_layer *l = NULL;
	char path[128];
	is(nf_layer_open_xen("/nowhere/xen", &l), -ENOENT, "no such folder");
	ok(l == NULL, "nothing is handed out");
	is(nf_layer_open_xen("/a/folder/whose/name/is/longer/than/what/a/layer/would/hold/of/it",
			     &l),
	   -EINVAL, "a name too long");
	says(-ENOENT, "not a Xen guest");
	xendir_file("sys/hypervisor/type", "xen\n");
	says(-ENOENT, "mount -t xenfs");
	xendir_file("xenbus", "");
	says(-ENOENT, "modprobe xen-evtchn");
	xendir_file("evtchn", "");
	says(-ENOENT, "modprobe xen-gntdev");
	xendir_file("gntdev", "");
	says(-ENOENT, "modprobe xen-gntalloc");
	says(-EACCES, "run as root");
	says(-ETIMEDOUT, "xenstored");
	says(-EIO, "Input/output");
	snprintf(path, sizeof(path), "%s/xenbus", dir);
	unlink(path);
}

static void test_budget(struct nf_layer *l)
{
	struct nf_xen_budget b = {.limit = 1};
	char line[320];
	is(nf_xen_budget(l, &b), -ENOENT, "no gntalloc, no budget");
	is((int)b.limit, 1, "and nothing is written");
	xendir_file("sys/module/xen_gntalloc/parameters/limit", "many\n");
	is(nf_xen_budget(l, &b), -EINVAL, "a limit that is no number");
	xendir_file("sys/module/xen_gntalloc/parameters/limit", "1024\n");
	is(nf_xen_budget(l, &b), 0, "a budget");
	ok(b.limit == 1024 && b.held == 0, "of 1024, nothing held");
	is((int)NF_NET_FRONT_PAGES(1), 516, "one queue and the control ring");
	nf_xen_budget_line(&b, NF_NET_FRONT_PAGES(4), line, sizeof(line));
	ok(strstr(line, "2058") && strstr(line, "grants this guest 1024") &&
		   strstr(line, "xen-gntalloc.limit=4096"),
	   "four queues: %s", line);
}

static void test_driver(struct nf_layer *l)
{
	char path[256], line[320] = "";
	is(nf_xen_kernel_driver(l, "backend/vif/3/0", line, sizeof(line)), 0, "no driver bound");
	xendir_file("sys/bus/xen-backend/devices/vif-3-0/x", "");
	snprintf(path, sizeof(path), "%s/sys/bus/xen-backend/devices/vif-3-0/driver", dir);
	ok(symlink("../../../../bus/xen-backend/drivers/vif", path) == 0, "now one is");
	is(nf_xen_kernel_driver(l, "backend/vif/3/0", line, sizeof(line)), 1, "it is seen");
	ok(strstr(line, "echo vif-3-0 > /sys/bus/xen-backend/drivers/vif/unbind") != NULL, "%s",
	   line);
	is(nf_xen_kernel_driver(l, "backend/vif/3/1", line, sizeof(line)), 0, "another's is free");
	xendir_file("sys/bus/xen/devices/vif-0/x", "");
	snprintf(path, sizeof(path), "%s/sys/bus/xen/devices/vif-0/driver", dir);
	ok(symlink("../../drivers/vif", path) == 0, "a front's");
	is(nf_xen_kernel_driver(l, "device/vif/0", line, sizeof(line)), 1, "it is seen");
	ok(strstr(line, "xen-netfront") != NULL, "%s", line);
	is(nf_xen_kernel_driver(l, "device/vbd/0", line, sizeof(line)), 0,
	   "not our kind of device");
}

static void test_grants(struct nf_layer *l)
{
	struct nf_arena_key key = {.peer = 3, .purpose = NF_PURPOSE_TX_PAYLOAD, .readonly = 1};
	struct nf_arena a = {.fd = -1}, none = {.fd = -7};
	struct nf_xen_budget b;
	uint32_t grefs[256];
	is(l->ops->alloc(l, &key, 0, 0, grefs, &a), -EINVAL, "no pages");
	is(l->ops->alloc(l, &key, NF_ARENA_PAGES_MAX + 1, 0, grefs, &a), -EINVAL, "too many");
	limit = 100;
	is(l->ops->alloc(l, &key, 256, 0, grefs, &none), -ENOSPC, "more than the limit");
	is(none.fd, -7, "nothing is written");
	nf_xen_budget(l, &b);
	is((int)b.held, 0, "nor counted");
	is(l->ops->alloc(l, &key, 64, 0, grefs, &a), 0, "64 pages");
	ok(a.base && grefs[0] == 100 && grefs[63] == 163, "mapped, numbered");
	nf_xen_budget(l, &b);
	is((int)b.held, 64, "counted");
	memset(a.base, 1, 64 * 4096);
	is(l->ops->end(l, &a), 0, "given back");
	is(l->ops->end(l, &a), 0, "once is enough");
	nf_xen_budget(l, &b);
	ok(b.held == 0 && dealloc_calls == 1 && granted == 0, "the kernel was told once");
}

static void test_copy(struct nf_layer *l)
{
	static uint8_t page[4096];
	struct nf_grant_copy ops[40];
	for (int i = 0; i < 40; i++)
		ops[i] = (struct nf_grant_copy){
			.peer = 3, .bytes = 64, .gref = 8u + (uint32_t)i, .local = page};
	ops[3].gref = 1;
	ops[4].offset = 4090;
	ops[5].gref = 99;
	is(l->ops->copy(l, ops, 40), 0, "a batch");
	is((int)copy_calls, 2, "in two calls");
	is((int)copied, 38, "the kernel sees what can be done");
	is(ops[3].status, -EACCES, "never the guest's store ring");
	is(ops[4].status, -ERANGE, "never over a page's end");
	is(ops[5].status, -EACCES, "a gref the peer did not grant");
	ok(ops[0].status == 0 && ops[39].status == 0, "the others are copied");
}

static void test_rest(struct nf_layer *l)
{
	struct nf_chan c = {.fd = -1}, n = {.fd = -7};
	uint32_t grefs[2] = {20, 21};
	void *addrs[2];
	struct nf_mapping m;
	is(l->ops->alloc_chan(l, 3, 0, 0, NF_PURPOSE_CHAN, &c), 0, "a port");
	is((int)c.port, 41, "its number");
	is(l->ops->chan_notify(&c), 0, "notified");
	l->ops->chan_close(&c);
	l->ops->chan_close(&c);
	is(l->ops->bind_chan(l, 3, 9, &n), -EINVAL, "a port that is not for us");
	is(n.fd, -7, "nothing is written");
	is(l->ops->map(l, 3, grefs, 0, false, addrs, &m), -EINVAL, "no grefs");
	is(l->ops->map(l, 3, grefs, 2, false, addrs, &m), 0, "two pages mapped");
	is((int)((uint8_t *)addrs[1] - (uint8_t *)addrs[0]), 4096, "in a row");
	is(l->ops->unmap(l, &m), 0, "unmapped");
	is(l->ops->unmap(l, &m), 0, "once is enough");
	ok(addrs[0] == NULL, "and forgotten");
	is(l->ops->donate(l, 1, NULL, false), -ENOSYS, "real Xen takes no pages from outside");
	is(nf_xen_refresh(l), 0, "the same domain as before");
	strcpy(xendir_domid, "12");
	is(nf_xen_refresh(l), 1, "restored elsewhere");
	is(l->domid, 12, "its new number");
}

int main(void)
{
	struct nf_layer *l = NULL;
	dir = xendir_make();
	if (!dir)
		return 1;
	test_refusals();
	if (!xendir_xenbus()) {
		diag("no pseudo-terminals here");
		return 77;
	}
	is(nf_layer_open_xen(dir, &l), 0, "a guest without gntalloc");
	if (!l)
		return 1;
	is(l->domid, 7, "its domid");
	is((int)(l->caps & NF_CAP_GRANT), 0, "cannot have fronts");
	test_budget(l);
	test_driver(l);
	l->ops->close(l);
	xendir_file("gntalloc", "");
	is(nf_layer_open_xen(dir, &l), 0, "one with it");
	ok((l->caps & (NF_CAP_GRANT | NF_CAP_MAP | NF_CAP_COPY)) ==
		   (NF_CAP_GRANT | NF_CAP_MAP | NF_CAP_COPY),
	   "can");
	test_grants(l);
	test_copy(l);
	test_rest(l);
	l->ops->close(l);
	xendir_remove();
	return done();
}
