/* SPDX-License-Identifier: MIT */
/* Between the answers of the scripted hypervisor and what breaks them. */
#ifndef NF_TEST_FAKEHV_INTERNAL_H
#define NF_TEST_FAKEHV_INTERNAL_H

#include "fakehv.h"

#define FAKEHV_KERNEL_FDS 253 /* SCM_MAX_FD */

struct fakehv_answer {
	_Alignas(8) uint8_t bytes[NF_HV_MESSAGE_MAX + 4096];
	uint32_t count;
	int fds[FAKEHV_KERNEL_FDS];
	int fd_count;
};

/* The right answer; its header is set, count is the header's, no descriptors. */
void fakehv_answer(struct fakehv *h, const uint8_t *q, size_t bytes, int fd,
		   struct fakehv_answer *a);
/* The thread: receives, answers, breaks. */
void *fakehv_serve(void *arg);
int fakehv_memory(size_t bytes, unsigned int seals);

#endif
