/* SPDX-License-Identifier: MIT */
/* Refusals of real Xen, each with its cause and what to do about it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nf/xen.h"
#include "xen.h"

/* A short file's first line; negative errno when it cannot be read. */
static int read_line(const char *path, char *buf, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, buf, cap - 1);
	int rc = n < 0 ? -errno : 0;
	close(fd);
	if (rc)
		return rc;
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

void nf__xen_sys_root(const char *dir, char *out, size_t cap)
{
	/* another folder of devices, as tests make them, has a sysfs of its own */
	if (!strcmp(dir, "/dev/xen"))
		snprintf(out, cap, "/sys");
	else
		snprintf(out, cap, "%s/sys", dir);
}

static bool is_there(const char *dir, const char *name)
{
	char path[160];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

/* -ENOENT: tells a machine without Xen from one whose modules are not loaded. */
static void explain_absence(const char *dir, char *line, size_t cap)
{
	static const char *const names[] = {"xenbus", "evtchn", "gntdev", "gntalloc"};
	static const char *const remedies[] = {"mount -t xenfs xenfs /proc/xen",
					       "modprobe xen-evtchn", "modprobe xen-gntdev",
					       "modprobe xen-gntalloc"};
	char sys[96], path[160], type[16] = "";
	nf__xen_sys_root(dir, sys, sizeof(sys));
	snprintf(path, sizeof(path), "%s/hypervisor/type", sys);
	if (read_line(path, type, sizeof(type)) < 0 || strcmp(type, "xen") != 0) {
		snprintf(line, cap,
			 "%s: this machine is not a Xen guest (%s does not say xen): boot it under "
			 "Xen, or use --layer embedded:fd=N",
			 dir, path);
		return;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (is_there(dir, names[i]))
			continue;
		snprintf(line, cap, "%s/%s is not there: %s", dir, names[i], remedies[i]);
		return;
	}
	snprintf(line, cap, "%s: the store does not answer: is xenstored running in this host?",
		 dir);
}

void nf_xen_explain(const char *dir, int error, char *line, size_t cap)
{
	switch (-error) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		explain_absence(dir, line, cap);
		break;
	case EACCES:
	case EPERM:
		snprintf(line, cap, "%s: %s: run as root", dir, strerror(-error));
		break;
	case ETIMEDOUT:
	case ECONNRESET:
		snprintf(line, cap,
			 "%s/xenbus: the store does not answer (%s): is xenstored running?", dir,
			 strerror(-error));
		break;
	case ENOTTY:
	case EPROTO:
		snprintf(line, cap, "%s: these are not Xen's devices (%s)", dir, strerror(-error));
		break;
	default:
		snprintf(line, cap, "%s: %s", dir, strerror(-error));
	}
}

int nf_xen_budget(struct nf_layer *l, struct nf_xen_budget *out)
{
	const struct nf__xen *x = nf__xen_of(l);
	char path[160], text[24], *end;
	snprintf(path, sizeof(path), "%s/module/xen_gntalloc/parameters/limit", x->sys);
	int rc = read_line(path, text, sizeof(text));
	if (rc < 0)
		return rc == -ENOENT ? -ENOENT : rc;
	unsigned long limit = strtoul(text, &end, 10);
	if (end == text || *end || limit > INT32_MAX)
		return -EINVAL;
	*out = (struct nf_xen_budget){.limit = (uint32_t)limit, .held = x->pages_held};
	return 0;
}

void nf_xen_budget_line(const struct nf_xen_budget *b, uint32_t wanted, char *line, size_t cap)
{
	uint32_t all = b->held + wanted, advice = 1024;
	while (advice < all && advice < 1u << 30)
		advice *= 2;
	if (advice <= b->limit) /* somebody else has the rest */
		advice = b->limit * 2;
	snprintf(line, cap,
		 "wants %u granted pages, %u are held already, and xen-gntalloc grants this guest "
		 "%u: "
		 "boot with xen-gntalloc.limit=%u, or now: echo %u > "
		 "/sys/module/xen_gntalloc/parameters/limit",
		 wanted, b->held, b->limit, advice, advice);
}

int nf_xen_kernel_driver(struct nf_layer *l, const char *path, char *line, size_t cap)
{
	const struct nf__xen *x = nf__xen_of(l);
	char link[200], target[200], device[32], kind[4] = "";
	unsigned domid, devid;
	bool is_back = sscanf(path, "backend/%3[a-z]/%u/%u", kind, &domid, &devid) == 3;
	if (!is_back && sscanf(path, "device/%3[a-z]/%u", kind, &devid) != 2)
		return 0;
	bool is_disk = strcmp(kind, "vbd") == 0;
	if (!is_disk && strcmp(kind, "vif") != 0)
		return 0;
	if (is_back)
		snprintf(device, sizeof(device), "%s-%u-%u", kind, domid, devid);
	else
		snprintf(device, sizeof(device), "%s-%u", kind, devid);
	const char *bus = is_back ? "xen-backend" : "xen";
	snprintf(link, sizeof(link), "%s/bus/%s/devices/%s/driver", x->sys, bus, device);
	ssize_t n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return 0;
	target[n] = '\0';
	const char *name = strrchr(target, '/');
	name = name ? name + 1 : target;
	snprintf(line, cap,
		 "the kernel's driver has %s: echo %s > /sys/bus/%s/drivers/%s/unbind, and keep %s "
		 "from being loaded",
		 device, device, bus, name,
		 is_back   ? is_disk ? "xen-blkback" : "xen-netback"
		 : is_disk ? "xen-blkfront"
			   : "xen-netfront");
	return 1;
}
