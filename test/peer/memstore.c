/* SPDX-License-Identifier: MIT */
/* The in-process xenstore: its thread, its clients, and the toolstack's way past the wire. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "memstore.h"

#define CLIENTS_MAX 128u

static void client_free(struct xs_client *c)
{
	for (struct xs_tx *t = c->txs, *next; t; t = next) {
		next = t->next;
		xs_tx_free(t);
	}
	for (struct xs_watch *w = c->watches, *next; w; w = next) {
		next = w->next;
		xs_watch_free(w);
	}
	close(c->fd);
	free(c->out);
	free(c);
}

static void bury(struct mem_store *s)
{
	for (struct xs_client **at = &s->clients; *at;) {
		struct xs_client *c = *at;
		if (!c->is_dead) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		client_free(c);
	}
}

/* Bytes the request needs in all, as far as its header is there. 0: nobody may ask that. */
static uint32_t wanted(const struct xs_client *c)
{
	uint32_t head[4];
	if (c->in_bytes < sizeof(head))
		return sizeof(head);
	memcpy(head, c->in, sizeof(head));
	return head[3] > 4096 ? 0 : (uint32_t)sizeof(head) + head[3];
}

static void serve(struct mem_store *s, struct xs_client *c)
{
	for (int round = 0; round < 64 && !c->is_dead; round++) {
		uint32_t want = wanted(c);
		ssize_t n = recv(c->fd, c->in + c->in_bytes, want - c->in_bytes, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		c->is_dead = n <= 0;
		c->in_bytes += n > 0 ? (uint32_t)n : 0;
		want = wanted(c);
		c->is_dead |= want == 0; /* as xenstored does */
		if (!c->is_dead &&
		    c->in_bytes == want) { /* never left for a poll that won't come */
			xs_request(s, c, c->in);
			c->in_bytes = 0;
		}
	}
}

static void *server(void *arg)
{
	struct mem_store *s = arg;
	struct pollfd fds[CLIENTS_MAX + 1];
	pthread_mutex_lock(&s->lock);
	while (!s->is_ending) {
		nfds_t n = 1;
		fds[0] = (struct pollfd){.fd = s->kick, .events = POLLIN};
		bury(s);
		for (struct xs_client *c = s->clients; c && n <= CLIENTS_MAX; c = c->next)
			fds[n++] = (struct pollfd){.fd = c->fd,
						   .events = (short)(POLLIN |
								     (c->out_bytes ? POLLOUT : 0))};
		pthread_mutex_unlock(&s->lock);
		poll(fds, n, -1);
		pthread_mutex_lock(&s->lock);
		uint64_t kicks;
		if (fds[0].revents && read(s->kick, &kicks, sizeof(kicks)) < 0)
			continue;
		for (struct xs_client *c = s->clients; c; c = c->next) {
			xs_flush(c);
			serve(s, c);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void kick(struct mem_store *s)
{
	uint64_t one = 1;
	if (write(s->kick, &one, sizeof(one)) < 0)
		abort();
}

struct mem_store *mem__store_new(struct mem_world *w)
{
	struct mem_store *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->w = w;
	pthread_mutex_init(&s->lock, NULL);
	s->root = xs_node_new("", 0);
	s->root->perms[0].letter = 'r';
	s->generation = 1;
	s->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->kick < 0 || pthread_create(&s->thread, NULL, server, s) != 0)
		abort();
	return s;
}

void mem__store_free(struct mem_store *s)
{
	pthread_mutex_lock(&s->lock);
	s->is_ending = true;
	pthread_mutex_unlock(&s->lock);
	kick(s);
	pthread_join(s->thread, NULL);
	for (struct xs_client *c = s->clients; c; c = c->next)
		c->is_dead = true;
	bury(s);
	xs_node_free(s->root);
	close(s->kick);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int mem__store_connect(struct mem_store *s, uint16_t domid)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -ENOMEM;
	struct xs_client *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->fd = pair[1];
	c->domid = domid;
	pthread_mutex_lock(&s->lock);
	c->next = s->clients;
	s->clients = c;
	pthread_mutex_unlock(&s->lock);
	kick(s);
	return pair[0];
}

void mem__store_home(struct mem_store *s, uint16_t domid)
{
	char path[64];
	snprintf(path, sizeof(path), "/local/domain/%u", domid);
	(void)mem_store_write(s->w, path, "");
	(void)mem_store_perms(s->w, path, 0, domid);
	snprintf(path, sizeof(path), "/local/domain/%u/data", domid);
	(void)mem_store_write(s->w, path, "");
	(void)mem_store_perms(s->w, path, domid, NF_DOMID_SELF);
	pthread_mutex_lock(&s->lock);
	xs_fire(s, "@introduceDomain", false);
	pthread_mutex_unlock(&s->lock);
}

void mem_store_hangup(struct mem_world *w, uint16_t domid)
{
	struct mem_store *s = w->store;
	pthread_mutex_lock(&s->lock);
	for (struct xs_client *c = s->clients; c; c = c->next)
		c->is_dead |= c->domid == domid;
	pthread_mutex_unlock(&s->lock);
	kick(s);
}

void mem__store_release(struct mem_store *s, uint16_t domid)
{
	mem_store_hangup(s->w, domid);
	pthread_mutex_lock(&s->lock);
	xs_fire(s, "@releaseDomain", false);
	pthread_mutex_unlock(&s->lock);
}

void mem__store_counts(struct mem_store *s, struct mem_baseline *b)
{
	pthread_mutex_lock(&s->lock);
	for (const struct xs_client *c = s->clients; c; c = c->next) {
		b->store_clients++;
		for (const struct xs_watch *w = c->watches; w; w = w->next)
			b->watches++;
		for (const struct xs_tx *t = c->txs; t; t = t->next)
			b->transactions++;
	}
	pthread_mutex_unlock(&s->lock);
}

static int change(struct mem_world *w, struct xs_op *op)
{
	struct mem_store *s = w->store;
	pthread_mutex_lock(&s->lock);
	int err = xs_apply(s->root, op, &s->generation, xs_changed, s);
	pthread_mutex_unlock(&s->lock);
	kick(s); /* for what a full socket left behind */
	xs_op_free(op);
	return err;
}

int mem_store_write(struct mem_world *w, const char *path, const char *value)
{
	return change(w, xs_op_new(XS_OP_WRITE, 0, path, value, (uint32_t)strlen(value)));
}

int mem_store_rm(struct mem_world *w, const char *path)
{
	return change(w, xs_op_new(XS_OP_RM, 0, path, "", 0));
}

int mem_store_perms(struct mem_world *w, const char *path, uint16_t owner, uint16_t reader)
{
	struct xs_op *op = xs_op_new(XS_OP_PERMS, 0, path, "", 0);
	op->perms[0] = (struct xs_perm){owner, 'n'};
	op->perms[1] = (struct xs_perm){reader, 'r'};
	op->perms_count = reader == NF_DOMID_SELF ? 1 : 2;
	return change(w, op);
}

int mem_store_read(struct mem_world *w, const char *path, char *value, size_t cap)
{
	struct mem_store *s = w->store;
	pthread_mutex_lock(&s->lock);
	const struct xs_node *n = xs_find(s->root, path);
	int got = !n ? -ENOENT : n->value_bytes >= cap ? -ERANGE : (int)n->value_bytes;
	if (got >= 0) {
		if (got)
			memcpy(value, n->value, n->value_bytes);
		value[got] = '\0';
	}
	pthread_mutex_unlock(&s->lock);
	return got;
}

int mem_store_wait(struct mem_world *w, const char *path, const char *value, unsigned ms)
{
	char now[XS_VALUE + 1];
	for (unsigned t = 0;; t++) {
		int n = mem_store_read(w, path, now, sizeof(now));
		if (value ? n >= 0 && strcmp(now, value) == 0 : n == -ENOENT)
			return 0;
		if (t >= ms)
			return -ETIMEDOUT;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}
