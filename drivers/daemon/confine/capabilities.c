/* SPDX-License-Identifier: MIT */
/* Capabilities a driver keeps (linux/capability.h, capabilities(7)). */
#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"

#define LAST_POSSIBLE 63
#define NF_CAP_BPF 39 /* CAP_BPF, since Linux 5.8 */

static const uint64_t KEPT = 1ull << CAP_NET_ADMIN	/* a TAP, its address and MTU */
			     | 1ull << CAP_NET_RAW	/* raw sockets as ports */
			     | 1ull << CAP_DAC_OVERRIDE /* a disk's image of another user */
			     | 1ull << CAP_IPC_LOCK | 1ull << NF_CAP_BPF; /* AF_XDP */

int confine_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	/* what execve could give back; needs a right that goes below, and is moot without it */
	for (int cap = 0; cap <= LAST_POSSIBLE; cap++)
		if (!(KEPT >> cap & 1))
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (size_t i = 0; i < 2; i++) {
		uint32_t kept = (uint32_t)(KEPT >> (32 * i));
		data[i].permitted &= kept;
		data[i].effective &= kept;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}
