/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into Debian's xenstored: lets it run without Xen, so that our store can be compared
 * with it. A domain exists when $NF_FAKEXEN/ring-<domid> does, which is its shared page as well. A
 * client writes the port (100 + domid) to the FIFO $NF_FAKEXEN/events after it changed the page;
 * events in the other direction are not sent, clients look. Port 1: a domain was shut down or is
 * gone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#define PAGE_BYTES 4096

static int events_fd = -1;
static char handle; /* all three libraries' handles are only ever compared with NULL */

static void fake_path(char *out, size_t bytes, const char *name, int domid)
{
	const char *dir = getenv("NF_FAKEXEN");
	if (domid < 0)
		snprintf(out, bytes, "%s/%s", dir ? dir : ".", name);
	else
		snprintf(out, bytes, "%s/%s%d", dir ? dir : ".", name, domid);
}

/* The two files of the kernel's that name domain 0's own page and port. */
int open(const char *path, int flags, ...)
{
	int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT,
										     "open");
	char other[512];
	va_list list;
	va_start(list, flags);
	int mode = (flags & O_CREAT) != 0 ? va_arg(list, int) : 0;
	va_end(list);
	if (strcmp(path, "/proc/xen/xsd_port") == 0) {
		fake_path(other, sizeof(other), "port", -1);
		path = other;
	} else if (strcmp(path, "/proc/xen/xsd_kva") == 0) {
		fake_path(other, sizeof(other), "ring-", 0);
		path = other;
	}
	return real(path, flags, mode);
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
	(void)logger, (void)flags;
	char path[512];
	fake_path(path, sizeof(path), "events", -1);
	events_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return events_fd < 0 ? NULL : (xenevtchn_handle *)&handle;
}

xenevtchn_handle *xenevtchn_fdopen(struct xentoollog_logger *logger, int fd, unsigned open_flags)
{
	(void)logger, (void)fd, (void)open_flags;
	errno = ENOSYS; /* live update only */
	return NULL;
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
	(void)xce;
	return events_fd;
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
	(void)xce, (void)port;
	return 0;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid,
						     evtchn_port_t remote_port)
{
	(void)xce, (void)remote_port;
	return (int)(100 + domid);
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *xce, unsigned int virq)
{
	(void)xce, (void)virq;
	return 1;
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
	(void)xce, (void)port;
	return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
	(void)xce;
	uint32_t port;
	return read(events_fd, &port, sizeof(port)) == sizeof(port) ? (int)port : -1;
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
	(void)xce, (void)port;
	return 0;
}

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned int flags)
{
	(void)logger, (void)flags;
	return (xengnttab_handle *)&handle;
}

int xengnttab_close(xengnttab_handle *xgt)
{
	(void)xgt;
	return 0;
}

int xengnttab_set_max_grants(xengnttab_handle *xgt, uint32_t nr)
{
	(void)xgt, (void)nr;
	return 0;
}

void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot)
{
	(void)xgt, (void)ref;
	char path[512];
	fake_path(path, sizeof(path), "ring-", (int)domid);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	void *page = mmap(NULL, PAGE_BYTES, prot, MAP_SHARED, fd, 0);
	close(fd);
	return page == MAP_FAILED ? NULL : page;
}

int xengnttab_unmap(xengnttab_handle *xgt, void *start, uint32_t count)
{
	(void)xgt;
	return munmap(start, (size_t)count * PAGE_BYTES);
}

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *builder,
				unsigned flags)
{
	(void)logger, (void)builder, (void)flags;
	return (xc_interface *)&handle;
}

int xc_interface_close(xc_interface *xch)
{
	(void)xch;
	return 0;
}

int xc_domain_getinfo(xc_interface *xch, uint32_t first, unsigned int max, xc_dominfo_t *info)
{
	(void)xch;
	unsigned int n = 0;
	for (uint32_t domid = first; domid < 64 && n < max; domid++) {
		char path[512];
		fake_path(path, sizeof(path), "ring-", (int)domid);
		if (access(path, F_OK) != 0)
			continue;
		memset(&info[n], 0, sizeof(info[n]));
		info[n++].domid = domid;
	}
	return (int)n;
}
