/* SPDX-License-Identifier: MIT */
/* The filter of every program of a domain, and the requests it is about. */
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "confine.h"
#include "layer/xen/uapi.h"

const uint32_t *confine_xen_requests(uint32_t *count)
{
	static const uint32_t requests[] = {
		IOCTL_GNTALLOC_ALLOC_GREF,
		IOCTL_GNTALLOC_DEALLOC_GREF,
		IOCTL_GNTALLOC_SET_UNMAP_NOTIFY,
		IOCTL_GNTDEV_MAP_GRANT_REF,
		IOCTL_GNTDEV_UNMAP_GRANT_REF,
		IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR,
		IOCTL_GNTDEV_SET_MAX_GRANTS,
		IOCTL_GNTDEV_SET_UNMAP_NOTIFY,
		IOCTL_GNTDEV_GRANT_COPY,
		IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS,
		IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED,
		IOCTL_GNTDEV_DMABUF_IMP_TO_REFS,
		IOCTL_GNTDEV_DMABUF_IMP_RELEASE,
		IOCTL_EVTCHN_BIND_VIRQ,
		IOCTL_EVTCHN_BIND_INTERDOMAIN,
		IOCTL_EVTCHN_BIND_UNBOUND_PORT,
		IOCTL_EVTCHN_UNBIND,
		IOCTL_EVTCHN_NOTIFY,
		IOCTL_EVTCHN_RESET,
		IOCTL_EVTCHN_RESTRICT_DOMID,
	};
	*count = sizeof(requests) / sizeof(requests[0]);
	return requests;
}

/* io_uring's operations pass no filter, but none of them reaches a request of these devices. */
int confine_domain(void)
{
	struct confine_filter f;
	uint32_t count;
	const uint32_t *requests = confine_xen_requests(&count);

	confine_begin(&f);
	confine_if_listed(&f, SYS_ioctl, 1, requests, count, false);
	return confine_install(&f, true);
}
