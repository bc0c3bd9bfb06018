/* SPDX-License-Identifier: MIT */
/* Opening and closing the embedded layer. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "embedded.h"

enum { FD_TABLE, FD_COUNTERS, FD_CONTROL, FD_COUNT };

/* A request that is its header and a reply of one descriptor: a socket of that type. */
static int ask_socket(struct nf__embedded *e, enum nf_hv_type type, int socket_type)
{
	struct nf_hv_header q = {.type = (uint16_t)type};
	struct nf__hv_call c = {.request = &q,
				.request_bytes = sizeof(q),
				.request_fd = -1,
				.reply_min = sizeof(struct nf_hv_header),
				.fds_min = 1,
				.fds_max = 1};

	pthread_mutex_lock(&e->lock);
	int rc = nf__hv_call(e, &c);
	if (rc == 0 && nf__hv_check_socket(c.fds[0], socket_type) < 0)
		rc = nf__hv_broken(e, &c);
	pthread_mutex_unlock(&e->lock);
	return rc < 0 ? rc : c.fds[0];
}

static int store_fd(struct nf_layer *l)
{
	return ask_socket(nf__embedded_of(l), NF_HV_STORE, SOCK_STREAM);
}

int nf_layer_embedded_clone(struct nf_layer *l)
{
	return ask_socket(nf__embedded_of(l), NF_HV_CLONE, SOCK_SEQPACKET);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void close_layer(struct nf_layer *l)
{
	struct nf__embedded *e = nf__embedded_of(l);

	pthread_mutex_lock(&e->lock);
	nf__copy_cache_fini(e);
	pthread_mutex_unlock(&e->lock);
	for (struct nf__arena_map *m = e->maps, *next; m; m = next) {
		next = m->next;
		munmap(m->base, (size_t)m->pages * NF_PAGE_BYTES);
		free(m);
	}
	close_fd(e->base.counters_fd);
	close_fd(e->base.control_fd);
	close_fd(e->table_fd);
	close_fd(e->fd);
	pthread_mutex_destroy(&e->lock);
	free(e->in);
	free(e);
}

static const struct nf_layer_ops embedded_ops = {
	.kind = "embedded",
	.alloc = nf__embedded_alloc,
	.end = nf__embedded_end,
	.donate = nf__embedded_donate,
	.donate_chan = nf__embedded_donate_chan,
	.map = nf__embedded_map,
	.unmap = nf__embedded_unmap,
	.copy = nf__embedded_copy,
	.alloc_chan = nf__embedded_alloc_chan,
	.bind_chan = nf__embedded_bind_chan,
	.chan_notify = nf__embedded_chan_notify,
	.chan_clear = nf__embedded_chan_clear,
	.chan_close = nf__embedded_chan_close,
	.store_fd = store_fd,
	.close = close_layer,
};

static int accept_hello(struct nf__embedded *e, struct nf__hv_call *c)
{
	const struct nf_hv_hello_reply *r = c->reply;

	if (r->version != NF_HV_VERSION) {
		nf__hv_close_fds(c, 0);
		return -EPROTONOSUPPORT;
	}
	if (c->reply_bytes != sizeof(*r) || r->domid >= NF_DOMID_SELF || r->privileged > 1 ||
	    nf__hv_check_memory(c->fds[FD_TABLE], 0,
				(uint64_t)r->table_entries * sizeof(struct nf_grant_entry)) < 0 ||
	    nf__hv_check_memory(c->fds[FD_COUNTERS], 0, r->counters_bytes) < 0 ||
	    nf__hv_check_memory(c->fds[FD_CONTROL], 0, r->control_bytes) < 0)
		return nf__hv_broken(e, c);
	e->base.domid = r->domid;
	e->base.caps = NF_CAP_GRANT | NF_CAP_MAP | NF_CAP_COPY | NF_CAP_READONLY | NF_CAP_BACKING;
	if (r->privileged)
		e->base.caps |= NF_CAP_DONATE | NF_CAP_EQUAL_GREFS;
	e->table_fd = c->fds[FD_TABLE];
	e->base.counters_fd = c->fds[FD_COUNTERS];
	e->base.control_fd = c->fds[FD_CONTROL];
	return 0;
}

static int hello(struct nf__embedded *e)
{
	struct nf_hv_hello q = {.h = {.type = NF_HV_HELLO}, .version = NF_HV_VERSION};
	struct nf__hv_call c = {.request = &q,
				.request_bytes = sizeof(q),
				.request_fd = -1,
				.reply_min = sizeof(struct nf_hv_hello_reply),
				.fds_min = FD_COUNT,
				.fds_max = FD_COUNT};

	pthread_mutex_lock(&e->lock);
	int rc = nf__hv_call(e, &c);
	if (rc == 0)
		rc = accept_hello(e, &c);
	pthread_mutex_unlock(&e->lock);
	return rc;
}

int nf_layer_open_embedded(int fd, struct nf_layer **out)
{
	if (fd < 0)
		return -EINVAL;
	if (nf__hv_check_socket(fd, SOCK_SEQPACKET) < 0) {
		close(fd);
		return -EINVAL;
	}
	struct nf__embedded *e = calloc(1, sizeof(*e));
	uint8_t *in = malloc(NF_HV_MESSAGE_MAX);
	if (!e || !in || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    pthread_mutex_init(&e->lock, NULL) != 0) {
		free(e);
		free(in);
		close(fd);
		return -ENOMEM;
	}
	e->base = (struct nf_layer){.ops = &embedded_ops, .counters_fd = -1, .control_fd = -1};
	e->fd = fd;
	e->in = in;
	e->table_fd = -1;
	int rc = hello(e);
	if (rc < 0) {
		close_layer(&e->base);
		return rc;
	}
	*out = &e->base;
	return 0;
}
