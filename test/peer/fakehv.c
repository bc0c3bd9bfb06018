/* SPDX-License-Identifier: MIT */
/* A scripted hypervisor end: its answers. How it breaks them is in fakehv_fault.c. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fakehv_internal.h"

int fakehv_memory(size_t bytes, unsigned int seals)
{
	int fd = memfd_create("fakehv", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
		return -1;
	return fd;
}

static void *map_rw(int fd, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void answer_hello(struct fakehv *h, struct fakehv_answer *a)
{
	struct nf_hv_hello_reply *r = (void *)a->bytes;

	r->version = h->version;
	r->domid = FAKEHV_SELF;
	r->privileged = h->privileged;
	r->table_entries = FAKEHV_ENTRIES;
	r->counters_bytes = 8192;
	r->control_bytes = 4096;
	a->count = sizeof(*r);
	a->fds[0] = dup(h->table_fd);
	a->fds[1] = dup(h->counters_fd);
	a->fds[2] = dup(h->control_fd);
	a->fd_count = 3;
}

static void answer_alloc(struct fakehv *h, const struct nf_hv_alloc *q, struct fakehv_answer *a)
{
	struct nf_hv_alloc_reply *r = (void *)a->bytes;
	uint32_t *grefs = (uint32_t *)(void *)(r + 1);

	if (h->arena_count == FAKEHV_ARENAS || h->next_gref + q->pages > FAKEHV_ENTRIES) {
		r->h.status = -ENOSPC;
		return;
	}
	struct fakehv_arena *n = &h->arenas[h->arena_count];
	*n = (struct fakehv_arena){
		.id = 100 + h->arena_count, .pages = q->pages, .readonly = q->key.readonly};
	n->fd = fakehv_memory((size_t)q->pages * NF_PAGE_BYTES, F_SEAL_SHRINK | F_SEAL_GROW);
	h->arena_count++;
	r->arena = n->id;
	r->pages = q->pages;
	for (uint32_t i = 0; i < q->pages; i++) {
		grefs[i] = h->next_gref++;
		h->table[grefs[i]] = (struct nf_grant_entry){
			.flags = NF_GTF_permit_access, .domid = q->key.peer, .frame = grefs[i]};
	}
	a->count = (uint32_t)(sizeof(*r) + q->pages * sizeof(*grefs));
	a->fds[0] = dup(n->fd);
	a->fd_count = 1;
}

/* The arena's place in the reply, added when it is not there yet. */
static uint32_t reply_arena(struct nf_hv_map_arena *list, uint32_t *count,
			    const struct fakehv_arena *n)
{
	for (uint32_t i = 0; i < *count; i++)
		if (list[i].arena == n->id)
			return i;
	list[*count] = (struct nf_hv_map_arena){
		.arena = n->id, .pages = n->pages, .readonly = n->readonly};
	return (*count)++;
}

static void answer_map(struct fakehv *h, const struct nf_hv_map *q, struct fakehv_answer *a)
{
	const uint32_t *grefs = (const void *)(q + 1);
	struct nf_hv_map_reply *r = (void *)a->bytes;
	struct nf_hv_map_arena arenas[FAKEHV_ARENAS];
	static struct nf_hv_map_slot slots[NF_HV_GREFS_MAX];
	uint32_t count = 0;

	for (uint32_t i = 0; i < q->count; i++) {
		if (grefs[i] >= FAKEHV_ENTRIES || !h->peer_grefs[grefs[i]].valid) {
			r->h.status = -ENOENT;
			return;
		}
		const struct fakehv_arena *n = &h->arenas[h->peer_grefs[grefs[i]].arena];
		if (n->readonly && !q->readonly) {
			r->h.status = -EACCES;
			return;
		}
		slots[i].arena_index = reply_arena(arenas, &count, n);
		slots[i].page = h->peer_grefs[grefs[i]].page;
	}
	for (uint32_t i = 0; i < q->count; i++)
		h->peer_grefs[grefs[i]].mapped[q->readonly]++;
	r->arenas = count;
	r->count = q->count;
	memcpy(r + 1, arenas, count * sizeof(arenas[0]));
	memcpy((uint8_t *)(r + 1) + count * sizeof(arenas[0]), slots, q->count * sizeof(slots[0]));
	a->count = (uint32_t)(sizeof(*r) + count * sizeof(arenas[0]) + q->count * sizeof(slots[0]));
	for (uint32_t i = 0; i < count; i++)
		a->fds[i] = dup(h->arenas[arenas[i].arena - 100].fd);
	a->fd_count = (int)count;
}

static void answer_unmap(struct fakehv *h, const struct nf_hv_unmap *q, struct fakehv_answer *a)
{
	const uint32_t *grefs = (const void *)(q + 1);
	struct nf_hv_header *r = (void *)a->bytes;

	for (uint32_t i = 0; i < q->count; i++)
		if (grefs[i] >= FAKEHV_ENTRIES || h->peer_grefs[grefs[i]].mapped[q->readonly] <= 0)
			r->status = -ENOENT;
	for (uint32_t i = 0; i < q->count && r->status == 0; i++)
		h->peer_grefs[grefs[i]].mapped[q->readonly]--;
}

static void answer_chan(struct fakehv *h, const struct nf_hv_chan *q, struct fakehv_answer *a)
{
	struct nf_hv_chan_reply *r = (void *)a->bytes;
	int pair[2];

	(void)q;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	if (h->chan_fd >= 0)
		close(h->chan_fd);
	h->chan_fd = pair[0];
	r->port = h->next_port++;
	a->count = sizeof(*r);
	a->fds[0] = pair[1];
	a->fd_count = 1;
}

static void answer_socket(struct fakehv *h, int type, struct fakehv_answer *a)
{
	int pair[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	if (h->store_fd >= 0)
		close(h->store_fd);
	h->store_fd = pair[0];
	a->fds[0] = pair[1];
	a->fd_count = 1;
}

static void record_donation(struct fakehv *h, const uint8_t *q, size_t bytes, int fd)
{
	struct stat st;

	h->donated_inode = fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
	if (((const struct nf_hv_header *)(const void *)q)->type == NF_HV_CHAN_DONATE) {
		memcpy(&h->chan_donated, q, sizeof(h->chan_donated));
		return;
	}
	memcpy(&h->donated, q, sizeof(h->donated));
	memset(h->donated_grefs, 0, sizeof(h->donated_grefs));
	memcpy(h->donated_grefs, q + sizeof(h->donated), bytes - sizeof(h->donated));
}

void fakehv_answer(struct fakehv *h, const uint8_t *q, size_t bytes, int fd,
		   struct fakehv_answer *a)
{
	const struct nf_hv_header *head = (const void *)q;

	switch (head->type) {
	case NF_HV_HELLO:
		answer_hello(h, a);
		break;
	case NF_HV_CLONE:
	case NF_HV_STORE:
		answer_socket(h, head->type == NF_HV_STORE ? SOCK_STREAM : SOCK_SEQPACKET, a);
		break;
	case NF_HV_ALLOC:
		answer_alloc(h, (const void *)q, a);
		break;
	case NF_HV_MAP:
		answer_map(h, (const void *)q, a);
		break;
	case NF_HV_UNMAP:
		answer_unmap(h, (const void *)q, a);
		break;
	case NF_HV_CHAN_ALLOC:
	case NF_HV_CHAN_BIND:
		answer_chan(h, (const void *)q, a);
		break;
	case NF_HV_DONATE:
	case NF_HV_CHAN_DONATE:
		record_donation(h, q, bytes, fd);
		break;
	case NF_HV_TABLE:
		a->fds[0] = dup(h->peer_table_fd);
		a->fd_count = 1;
		break;
	default: /* END, CHAN_CLOSE: nothing but the status */
		break;
	}
}

bool fakehv_start(struct fakehv *h)
{
	int pair[2];

	memset(h, 0, sizeof(*h));
	h->chan_fd = h->store_fd = -1;
	h->version = NF_HV_VERSION;
	h->next_gref = NF_GREF_RESERVED;
	h->next_port = 1;
	h->table_fd = fakehv_memory(FAKEHV_ENTRIES * 8, F_SEAL_SHRINK | F_SEAL_GROW);
	h->peer_table_fd = fakehv_memory(FAKEHV_ENTRIES * 8, F_SEAL_SHRINK | F_SEAL_GROW);
	h->counters_fd = fakehv_memory(8192, F_SEAL_SHRINK | F_SEAL_GROW);
	h->control_fd = fakehv_memory(4096, F_SEAL_SHRINK | F_SEAL_GROW);
	h->table = map_rw(h->table_fd, FAKEHV_ENTRIES * 8);
	h->peer_table = map_rw(h->peer_table_fd, FAKEHV_ENTRIES * 8);
	if (!h->table || !h->peer_table || h->counters_fd < 0 || h->control_fd < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	h->fd = pair[0];
	h->client_fd = pair[1];
	pthread_mutex_init(&h->lock, NULL);
	return pthread_create(&h->thread, NULL, fakehv_serve, h) == 0;
}

void fakehv_stop(struct fakehv *h)
{
	int fds[] = {h->table_fd, h->peer_table_fd, h->counters_fd, h->control_fd};

	shutdown(h->fd, SHUT_RDWR);
	pthread_join(h->thread, NULL);
	close(h->fd);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		close(fds[i]);
	for (uint32_t i = 0; i < h->arena_count; i++) {
		if (h->arenas[i].base)
			munmap(h->arenas[i].base, (size_t)h->arenas[i].pages * NF_PAGE_BYTES);
		close(h->arenas[i].fd);
	}
	munmap(h->table, FAKEHV_ENTRIES * 8);
	munmap(h->peer_table, FAKEHV_ENTRIES * 8);
	if (h->chan_fd >= 0)
		close(h->chan_fd);
	if (h->store_fd >= 0)
		close(h->store_fd);
	while (h->late_fd_count > 0)
		close(h->late_fds[--h->late_fd_count]);
	pthread_mutex_destroy(&h->lock);
}

struct nf_layer *fakehv_open(struct fakehv *h, int *rc)
{
	struct nf_layer *l = NULL;

	*rc = nf_layer_open_embedded(h->client_fd, &l);
	return l;
}

uint32_t fakehv_grant(struct fakehv *h, uint32_t first, uint32_t pages, bool readonly)
{
	pthread_mutex_lock(&h->lock);
	uint32_t at = h->arena_count++;
	struct fakehv_arena *n = &h->arenas[at];
	*n = (struct fakehv_arena){.id = 100 + at, .pages = pages, .readonly = readonly};
	n->fd = fakehv_memory((size_t)pages * NF_PAGE_BYTES, F_SEAL_SHRINK | F_SEAL_GROW);
	n->base = map_rw(n->fd, (size_t)pages * NF_PAGE_BYTES);
	if (readonly)
		fcntl(n->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
	for (uint32_t i = 0; i < pages; i++) {
		h->peer_grefs[first + i].arena = at;
		h->peer_grefs[first + i].page = i;
		h->peer_grefs[first + i].valid = true;
	}
	pthread_mutex_unlock(&h->lock);
	for (uint32_t i = 0; i < pages; i++)
		fakehv_entry(h, first + i,
			     (uint16_t)(NF_GTF_permit_access | (readonly ? NF_GTF_readonly : 0)),
			     FAKEHV_SELF, at * 4096 + i);
	return at;
}

void fakehv_entry(struct fakehv *h, uint32_t gref, uint16_t flags, uint16_t domid, uint32_t frame)
{
	uint64_t word = flags | (uint64_t)domid << 16 | (uint64_t)frame << 32;

	__atomic_store_n((uint64_t *)(void *)&h->peer_table[gref], word, __ATOMIC_RELAXED);
}

void fakehv_revoke(struct fakehv *h, uint32_t arena)
{
	pthread_mutex_lock(&h->lock);
	for (uint32_t g = 0; g < FAKEHV_ENTRIES; g++)
		if (h->peer_grefs[g].valid && h->peer_grefs[g].arena == arena) {
			h->peer_grefs[g].valid = false;
			fakehv_entry(h, g, NF_GTF_invalid, 0, 0);
		}
	/* F_SEAL_FUTURE_WRITE forbids punching: a read-only arena keeps its bytes */
	if (!h->arenas[arena].readonly)
		fallocate(h->arenas[arena].fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			  (off_t)h->arenas[arena].pages * NF_PAGE_BYTES);
	pthread_mutex_unlock(&h->lock);
}

int fakehv_mapped(struct fakehv *h)
{
	int sum = 0;

	pthread_mutex_lock(&h->lock);
	for (uint32_t g = 0; g < FAKEHV_ENTRIES; g++)
		sum += h->peer_grefs[g].mapped[0] + h->peer_grefs[g].mapped[1];
	pthread_mutex_unlock(&h->lock);
	return sum;
}

uint32_t fakehv_messages(struct fakehv *h, uint16_t type)
{
	return atomic_load(&h->messages[type]);
}

int fakehv_open_fds(struct fakehv *h)
{
	int count = 0;

	if (h)
		pthread_mutex_lock(&h->lock);
	DIR *d = opendir("/proc/self/fd");
	while (d && readdir(d))
		count++;
	if (d)
		closedir(d);
	if (h)
		pthread_mutex_unlock(&h->lock);
	return count - 3; /* ., .. and the directory itself */
}
