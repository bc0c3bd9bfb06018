/* SPDX-License-Identifier: MIT */
/* bpf(2) by itself: five instructions need no library. */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "afxdp.h"

static int bpf(int command, union bpf_attr *attr)
{
	long rc = syscall(SYS_bpf, command, attr, sizeof(*attr));
	return rc < 0 ? -errno : (int)rc;
}

static int make_map(uint32_t queues)
{
	union bpf_attr a = {0};
	a.map_type = BPF_MAP_TYPE_XSKMAP;
	a.key_size = a.value_size = sizeof(uint32_t);
	a.max_entries = queues;
	return bpf(BPF_MAP_CREATE, &a);
}

static int load(int map_fd)
{
	/* return bpf_redirect_map(&map, ctx->rx_queue_index, XDP_PASS) */
	const struct bpf_insn code[] = {
		{.code = BPF_LDX | BPF_MEM | BPF_W,
		 .dst_reg = BPF_REG_2,
		 .src_reg = BPF_REG_1,
		 .off = offsetof(struct xdp_md, rx_queue_index)},
		{.code = BPF_LD | BPF_DW | BPF_IMM,
		 .dst_reg = BPF_REG_1,
		 .src_reg = BPF_PSEUDO_MAP_FD,
		 .imm = map_fd},
		{0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr a = {0};
	a.prog_type = BPF_PROG_TYPE_XDP;
	a.insns = (uint64_t)(uintptr_t)code;
	a.insn_cnt = sizeof(code) / sizeof(code[0]);
	a.license = (uint64_t)(uintptr_t) "MIT";
	return bpf(BPF_PROG_LOAD, &a);
}

/* A link goes with its descriptor: a daemon that dies leaves no program on the interface. */
static int attach(int prog_fd, int ifindex, uint32_t flags)
{
	union bpf_attr a = {0};
	a.link_create.prog_fd = (uint32_t)prog_fd;
	a.link_create.target_ifindex = (uint32_t)ifindex;
	a.link_create.attach_type = BPF_XDP;
	a.link_create.flags = flags;
	return bpf(BPF_LINK_CREATE, &a);
}

int nf__xdp_attach(struct nf__xdp *x, uint32_t queue, const char **what)
{
	*what = "XDP map";
	x->map_fd = make_map(queue + 1);
	if (x->map_fd < 0)
		return x->map_fd;
	*what = "loading the XDP program";
	int prog = load(x->map_fd);
	if (prog < 0)
		return prog;
	*what = "attaching the XDP program";
	x->link_fd = attach(prog, x->ifindex, XDP_FLAGS_DRV_MODE);
	if (x->link_fd < 0 && x->link_fd != -EBUSY && x->link_fd != -EPERM)
		x->link_fd = attach(prog, x->ifindex, XDP_FLAGS_SKB_MODE);
	close(prog); /* the link keeps it */
	return x->link_fd < 0 ? x->link_fd : 0;
}

int nf__xdp_register(struct nf__xdp *x, uint32_t queue)
{
	uint32_t fd = (uint32_t)x->fd;
	union bpf_attr a = {0};
	a.map_fd = (uint32_t)x->map_fd;
	a.key = (uint64_t)(uintptr_t)&queue;
	a.value = (uint64_t)(uintptr_t)&fd;
	return bpf(BPF_MAP_UPDATE_ELEM, &a);
}
