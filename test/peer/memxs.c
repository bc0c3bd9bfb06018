/* SPDX-License-Identifier: MIT */
/* The xenstore wire protocol (public/io/xs_wire.h) of the in-process store. Lock held throughout.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "memstore.h"

enum {
	XS_DIRECTORY = 1,
	XS_READ = 2,
	XS_GET_PERMS = 3,
	XS_WATCH = 4,
	XS_UNWATCH = 5,
	XS_TX_START = 6,
	XS_TX_END = 7,
	XS_GET_DOMAIN_PATH = 10,
	XS_WRITE = 11,
	XS_MKDIR = 12,
	XS_RM = 13,
	XS_SET_PERMS = 14,
	XS_WATCH_EVENT = 15,
	XS_ERROR = 16,
	XS_RESET_WATCHES = 21,
};

struct call {
	struct mem_store *s;
	struct xs_client *c;
	struct xs_tx *tx;
	uint32_t type, req, tx_id, bytes;
	const char *body; /* NUL-terminated one past bytes */
	char path[XS_PATH + 1];
};

void xs_flush(struct xs_client *c)
{
	while (c->out_bytes && !c->is_dead) {
		ssize_t n = send(c->fd, c->out, c->out_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0) {
			c->is_dead = errno != EAGAIN;
			return;
		}
		c->out_bytes -= (uint32_t)n;
		memmove(c->out, c->out + n, c->out_bytes);
	}
}

void xs_reply(struct xs_client *c, uint32_t type, uint32_t req, uint32_t tx, const void *body,
	      uint32_t bytes)
{
	uint32_t head[4] = {type, req, tx, bytes};
	if (c->is_dead || c->out_bytes + sizeof(head) + bytes > XS_OUT_MAX) {
		c->is_dead = true;
		return;
	}
	if (c->out_bytes + sizeof(head) + bytes > c->out_cap) {
		c->out_cap = c->out_bytes + (uint32_t)sizeof(head) + bytes + 4096;
		c->out = realloc(c->out, c->out_cap);
		if (!c->out)
			abort();
	}
	memcpy(c->out + c->out_bytes, head, sizeof(head));
	if (bytes)
		memcpy(c->out + c->out_bytes + sizeof(head), body, bytes);
	c->out_bytes += (uint32_t)sizeof(head) + bytes;
	xs_flush(c);
}

static void answer(const struct call *k, const void *body, size_t bytes)
{
	xs_reply(k->c, k->type, k->req, k->tx_id, body, (uint32_t)bytes);
}

static void refuse(const struct call *k, int error)
{
	static const struct {
		int code;
		const char *name;
	} names[] = {{EINVAL, "EINVAL"}, {EACCES, "EACCES"}, {EEXIST, "EEXIST"}, {ENOENT, "ENOENT"},
		     {ENOMEM, "ENOMEM"}, {ENOSPC, "ENOSPC"}, {EIO, "EIO"},	 {ENOSYS, "ENOSYS"},
		     {EROFS, "EROFS"},	 {EBUSY, "EBUSY"},   {EAGAIN, "EAGAIN"}, {E2BIG, "E2BIG"},
		     {EPERM, "EPERM"},	 {EDQUOT, "EQUOTA"}};
	const char *name = "EINVAL";
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].code == -error)
			name = names[i].name;
	}
	xs_reply(k->c, XS_ERROR, k->req, k->tx_id, name, (uint32_t)strlen(name) + 1);
}

static void fire_one(struct xs_client *c, const struct xs_watch *w, const char *path)
{
	char event[2 * XS_PATH], home[32];
	int skip = w->is_relative ? snprintf(home, sizeof(home), "/local/domain/%u/", c->domid) : 0;
	size_t a = strlen(path + skip) + 1, b = strlen(w->token) + 1;
	if (a + b > 4096)
		return;
	memcpy(event, path + skip, a);
	memcpy(event + a, w->token, b);
	xs_reply(c, XS_WATCH_EVENT, 0, 0, event, (uint32_t)(a + b));
}

void xs_fire(struct mem_store *s, const char *path, bool exact)
{
	for (struct xs_client *c = s->clients; c; c = c->next) {
		for (struct xs_watch *w = c->watches; w; w = w->next) {
			size_t n = strlen(w->path);
			bool below = strncmp(path, w->path, n) == 0 &&
				     (path[n] == '/' || path[n] == '\0' ||
				      strcmp(w->path, "/") == 0);
			struct xs_node *node = xs_find(s->root, path);
			if (node && path[0] == '/' && !xs_may(node, c->domid, 'r'))
				continue;
			if (exact ? strcmp(path, w->path) == 0 : below)
				fire_one(c, w, path);
		}
	}
}

void xs_changed(void *store, const char *path, bool exact)
{
	xs_fire(store, path, exact);
}

/* The body's first string as an absolute path; -EINVAL for what xenstored would not take. */
static int canonical(struct call *k)
{
	size_t n = strnlen(k->body, k->bytes);
	if (n == 0 || n == k->bytes)
		return -EINVAL;
	bool is_whole = k->body[0] == '/' || k->body[0] == '@';
	int made = is_whole ? snprintf(k->path, sizeof(k->path), "%s", k->body)
			    : snprintf(k->path, sizeof(k->path), "/local/domain/%u/%s", k->c->domid,
				       k->body);
	if (made < 0 || (size_t)made >= sizeof(k->path) || strstr(k->path, "//"))
		return -EINVAL;
	if (made > 1 && k->path[made - 1] == '/')
		return -EINVAL;
	return strspn(k->path, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			       "-/_@") == (size_t)made
		       ? 0
		       : -EINVAL;
}

static struct xs_node *tree(const struct call *k)
{
	return k->tx ? k->tx->root : k->s->root;
}

/* A transaction remembers what it looked at; commit compares. */
static void remember(const struct call *k)
{
	if (!k->tx)
		return;
	for (struct xs_seen *s = k->tx->seen; s; s = s->next) {
		if (strcmp(s->path, k->path) == 0)
			return;
	}
	struct xs_seen *s = calloc(1, sizeof(*s) + strlen(k->path) + 1);
	if (!s)
		abort();
	const struct xs_node *n = xs_find(k->tx->root, k->path);
	strcpy(s->path, k->path);
	s->generation = n ? n->generation : 0;
	s->next = k->tx->seen;
	k->tx->seen = s;
}

static void do_look(struct call *k)
{
	remember(k);
	const struct xs_node *n = xs_find(tree(k), k->path);
	if (!n || !xs_may(n, k->c->domid, 'r')) {
		refuse(k, n ? -EACCES : -ENOENT);
		return;
	}
	char out[4096];
	size_t at = 0;
	if (k->type == XS_READ) {
		answer(k, n->value, n->value_bytes);
		return;
	}
	if (k->type == XS_GET_PERMS) {
		for (uint32_t i = 0; i < n->perms_count; i++)
			at += (size_t)snprintf(out + at, sizeof(out) - at, "%c%u",
					       n->perms[i].letter, n->perms[i].domid) +
			      1;
	} else {
		for (const struct xs_node *c = n->children; c; c = c->next) {
			size_t bytes = strlen(c->name) + 1;
			if (at + bytes > sizeof(out)) {
				refuse(k, -E2BIG);
				return;
			}
			memcpy(out + at, c->name, bytes);
			at += bytes;
		}
	}
	answer(k, out, at);
}

static int parse_perms(const struct call *k, struct xs_op *op)
{
	const char *p = k->body + strlen(k->body) + 1, *end = k->body + k->bytes;
	while (p < end && op->perms_count < XS_PERMS) {
		if (!strchr("nrwb", *p) || !*p)
			return -EINVAL;
		op->perms[op->perms_count++] = (struct xs_perm){(uint16_t)atoi(p + 1), *p};
		p += strnlen(p, (size_t)(end - p)) + 1;
	}
	return op->perms_count && p >= end ? 0 : -EINVAL;
}

static void do_change(struct call *k)
{
	static const enum xs_kind kinds[] = {[XS_WRITE - XS_WRITE] = XS_OP_WRITE,
					     [XS_MKDIR - XS_WRITE] = XS_OP_MKDIR,
					     [XS_RM - XS_WRITE] = XS_OP_RM,
					     [XS_SET_PERMS - XS_WRITE] = XS_OP_PERMS};
	uint32_t skip = (uint32_t)strlen(k->body) + 1;
	bool has_value = k->type == XS_WRITE;
	struct xs_op *op = xs_op_new(kinds[k->type - XS_WRITE], k->c->domid, k->path,
				     has_value ? k->body + skip : "",
				     has_value ? k->bytes - skip : 0);
	int err = op->value_bytes > XS_VALUE ? -ENOSPC : 0;
	if (!err && op->kind == XS_OP_PERMS)
		err = parse_perms(k, op);
	remember(k);
	uint64_t scratch = k->s->generation;
	if (!err)
		err = xs_apply(tree(k), op, k->tx ? &scratch : &k->s->generation,
			       k->tx ? NULL : xs_changed, k->s);
	if (!err && k->tx) {
		op->next = k->tx->ops;
		k->tx->ops = op;
	} else {
		xs_op_free(op);
	}
	if (err)
		refuse(k, err);
	else
		answer(k, "OK", 3);
}

static void do_watch(struct call *k)
{
	const char *token = k->body + strlen(k->body) + 1;
	struct xs_watch **at = &k->c->watches;
	uint32_t count = 0;
	if (token >= k->body + k->bytes || k->body[k->bytes - 1] != '\0') {
		refuse(k, -EINVAL);
		return;
	}
	for (; *at && (strcmp((*at)->path, k->path) || strcmp((*at)->token, token)); count++)
		at = &(*at)->next;
	struct xs_watch *w = *at;
	if (k->type == XS_UNWATCH ? !w : w != NULL || count >= XS_WATCHES_QUOTA) {
		refuse(k, k->type == XS_UNWATCH ? -ENOENT : w ? -EEXIST : -E2BIG);
		return;
	}
	if (k->type == XS_UNWATCH) {
		*at = w->next;
		xs_watch_free(w);
		answer(k, "OK", 3);
		return;
	}
	w = calloc(1, sizeof(*w) + strlen(k->path) + 1);
	char *copy = strdup(token);
	if (!w || !copy)
		abort();
	strcpy(w->path, k->path);
	w->token = copy;
	w->is_relative = k->body[0] != '/' && k->body[0] != '@';
	*at = w;
	answer(k, "OK", 3);
	fire_one(k->c, w, w->path);
}

void xs_watch_free(struct xs_watch *w)
{
	free(w->token);
	free(w);
}

static void do_tx_start(struct call *k)
{
	uint32_t count = 0;
	for (struct xs_tx *t = k->c->txs; t; t = t->next)
		count++;
	if (k->tx_id || count >= XS_TX_QUOTA) {
		refuse(k, k->tx_id ? -EBUSY : -ENOSPC);
		return;
	}
	struct xs_tx *tx = calloc(1, sizeof(*tx));
	if (!tx)
		abort();
	tx->id = ++k->c->next_tx;
	tx->root = xs_node_clone(k->s->root);
	tx->next = k->c->txs;
	k->c->txs = tx;
	char id[16];
	int n = snprintf(id, sizeof(id), "%u", tx->id);
	answer(k, id, (size_t)n + 1);
}

/* Whatever comes of it, the transaction is over. */
static void do_tx_end(struct call *k, int err)
{
	if (!k->tx) {
		refuse(k, -ENOENT);
		return;
	}
	for (struct xs_tx **at = &k->c->txs; *at; at = &(*at)->next) {
		if (*at == k->tx) {
			*at = k->tx->next;
			break;
		}
	}
	if (!err)
		err = k->body[0] == 'F' || k->body[0] == 'T' ? 0 : -EINVAL;
	if (!err && k->body[0] == 'T')
		err = xs_tx_commit(k->tx, k->s->root, &k->s->generation, xs_changed, k->s);
	xs_tx_free(k->tx);
	k->tx = NULL;
	if (err)
		refuse(k, err);
	else
		answer(k, "OK", 3);
}

static void dispatch(struct call *k)
{
	if (k->type == XS_TX_START) {
		do_tx_start(k);
	} else if (k->type == XS_TX_END) {
		do_tx_end(k, 0);
	} else if (k->type == XS_GET_DOMAIN_PATH) {
		char path[32];
		int n = snprintf(path, sizeof(path), "/local/domain/%d", atoi(k->body));
		answer(k, path, (size_t)n + 1);
	} else if (canonical(k) < 0) {
		refuse(k, -EINVAL);
	} else if (k->type == XS_WATCH || k->type == XS_UNWATCH) {
		do_watch(k);
	} else if (k->type >= XS_DIRECTORY && k->type <= XS_GET_PERMS) {
		do_look(k);
	} else if (k->type >= XS_WRITE && k->type <= XS_SET_PERMS) {
		do_change(k);
	} else {
		refuse(k, -ENOSYS);
	}
}

void xs_request(struct mem_store *s, struct xs_client *c, const char *msg)
{
	uint32_t head[4];
	char body[4097];
	memcpy(head, msg, sizeof(head));
	memcpy(body, msg + sizeof(head), head[3]);
	body[head[3]] = '\0';
	struct call k = {.s = s,
			 .c = c,
			 .type = head[0],
			 .req = head[1],
			 .tx_id = head[2],
			 .bytes = head[3],
			 .body = body};
	for (k.tx = c->txs; k.tx && k.tx->id != k.tx_id; k.tx = k.tx->next)
		;
	int err = mem__store_fault(s->w, c->domid);
	if (!err && k.tx_id && !k.tx && k.type != XS_TX_START)
		err = -ENOENT;
	if (err && k.type == XS_TX_END)
		do_tx_end(&k, err);
	else if (err)
		refuse(&k, err);
	else
		dispatch(&k);
}
