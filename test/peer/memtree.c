/* SPDX-License-Identifier: MIT */
/* The tree of the in-process xenstore. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memstore.h"

struct xs_node *xs_node_new(const char *name, uint16_t owner)
{
	struct xs_node *n = calloc(1, sizeof(*n) + strlen(name) + 1);
	if (!n)
		abort();
	strcpy(n->name, name);
	n->perms[0] = (struct xs_perm){owner, 'n'};
	n->perms_count = 1;
	return n;
}

void xs_node_free(struct xs_node *n)
{
	if (!n)
		return;
	for (struct xs_node *c = n->children, *next; c; c = next) {
		next = c->next;
		xs_node_free(c);
	}
	free(n->value);
	free(n);
}

static void set_value(struct xs_node *n, const char *value, uint32_t bytes)
{
	free(n->value);
	n->value = malloc(bytes + 1);
	if (!n->value)
		abort();
	if (bytes)
		memcpy(n->value, value, bytes);
	n->value[bytes] = '\0';
	n->value_bytes = bytes;
}

struct xs_node *xs_node_clone(const struct xs_node *n)
{
	struct xs_node *copy = xs_node_new(n->name, 0);
	copy->generation = n->generation;
	copy->perms_count = n->perms_count;
	memcpy(copy->perms, n->perms, sizeof(n->perms));
	if (n->value)
		set_value(copy, n->value, n->value_bytes);
	struct xs_node **tail = &copy->children;
	for (const struct xs_node *c = n->children; c; c = c->next) {
		*tail = xs_node_clone(c);
		tail = &(*tail)->next;
	}
	return copy;
}

static struct xs_node *child(struct xs_node *n, const char *name, size_t bytes)
{
	for (struct xs_node *c = n->children; c; c = c->next) {
		if (strncmp(c->name, name, bytes) == 0 && c->name[bytes] == '\0')
			return c;
	}
	return NULL;
}

struct xs_node *xs_find(struct xs_node *root, const char *path)
{
	struct xs_node *n = root;
	while (n && *path == '/' && path[1]) {
		size_t bytes = strcspn(++path, "/");
		n = child(n, path, bytes);
		path += bytes;
	}
	return n;
}

bool xs_may(const struct xs_node *n, uint16_t domid, char letter)
{
	if (domid == 0 || n->perms[0].domid == domid)
		return true;
	char have = n->perms[0].letter;
	for (uint32_t i = 1; i < n->perms_count; i++) {
		if (n->perms[i].domid == domid)
			have = n->perms[i].letter;
	}
	return have == 'b' || have == letter;
}

/* The parent of path and the last name in it; NULL for the root itself. */
static struct xs_node *parent_of(struct xs_node *root, const char *path, const char **last)
{
	const char *slash = strrchr(path, '/');
	if (!slash || !slash[1])
		return NULL;
	char up[XS_PATH + 1];
	snprintf(up, sizeof(up), "%.*s", (int)(slash - path), path);
	*last = slash + 1;
	return slash == path ? root : xs_find(root, up);
}

static uint32_t count_owned(const struct xs_node *n, uint16_t domid)
{
	uint32_t sum = n->perms[0].domid == domid;
	for (const struct xs_node *c = n->children; c; c = c->next)
		sum += count_owned(c, domid);
	return sum;
}

/* Makes path and what is missing above it; new nodes inherit the nearest ancestor's permissions. */
static int make(struct xs_node *root, const char *path, uint16_t domid, uint64_t *generation,
		struct xs_node **out)
{
	struct xs_node *n = root;
	while (*path == '/' && path[1]) {
		size_t bytes = strcspn(++path, "/");
		struct xs_node *c = child(n, path, bytes);
		if (!c) {
			if (!xs_may(n, domid, 'w'))
				return -EACCES;
			if (domid && count_owned(root, domid) >= XS_NODES_QUOTA)
				return -ENOSPC;
			char name[XS_PATH + 1];
			snprintf(name, sizeof(name), "%.*s", (int)bytes, path);
			c = xs_node_new(name, 0);
			c->perms_count = n->perms_count;
			memcpy(c->perms, n->perms, sizeof(n->perms));
			if (domid)
				c->perms[0].domid = domid;
			c->generation = ++*generation;
			n->generation = ++*generation; /* its list of children changed */
			set_value(c, "", 0);
			struct xs_node **tail = &n->children;
			while (*tail)
				tail = &(*tail)->next;
			*tail = c;
		}
		n = c;
		path += bytes;
	}
	*out = n;
	return 0;
}

static void fire_below(const struct xs_node *n, const char *path,
		       void (*changed)(void *ctx, const char *path, bool exact), void *ctx)
{
	char down[XS_PATH + 1];
	for (const struct xs_node *c = n->children; c; c = c->next) {
		snprintf(down, sizeof(down), "%s/%s", path, c->name);
		changed(ctx, down, true);
		fire_below(c, down, changed, ctx);
	}
}

static int apply_rm(struct xs_node *root, const struct xs_op *op, uint64_t *generation,
		    void (*changed)(void *ctx, const char *path, bool exact), void *ctx)
{
	const char *last = NULL;
	struct xs_node *up = parent_of(root, op->path, &last);
	if (!up)
		return strcmp(op->path, "/") == 0 ? -EINVAL : -ENOENT;
	struct xs_node *n = child(up, last, strlen(last));
	if (!n)
		return 0; /* xenstored: the parent is there, so it is gone already */
	if (!xs_may(n, op->domid, 'w'))
		return -EACCES;
	for (struct xs_node **at = &up->children; *at; at = &(*at)->next) {
		if (*at == n) {
			*at = n->next;
			break;
		}
	}
	up->generation = ++*generation;
	if (changed) {
		changed(ctx, op->path, false);
		fire_below(n, op->path, changed, ctx);
	}
	xs_node_free(n);
	return 0;
}

int xs_apply(struct xs_node *root, const struct xs_op *op, uint64_t *generation,
	     void (*changed)(void *ctx, const char *path, bool exact), void *ctx)
{
	if (op->kind == XS_OP_RM)
		return apply_rm(root, op, generation, changed, ctx);
	struct xs_node *n = xs_find(root, op->path);
	bool was = n != NULL;
	if (!was && op->kind == XS_OP_PERMS)
		return -ENOENT;
	if (!was) {
		int err = make(root, op->path, op->domid, generation, &n);
		if (err)
			return err;
	}
	if (was && op->kind == XS_OP_MKDIR)
		return 0;
	if (was && !xs_may(n, op->domid, 'w'))
		return -EACCES;
	if (op->kind == XS_OP_PERMS) {
		if (op->domid && n->perms[0].domid != op->domid)
			return -EACCES;
		n->perms_count = op->perms_count;
		memcpy(n->perms, op->perms, sizeof(n->perms));
	} else if (op->kind == XS_OP_WRITE) {
		set_value(n, op->value, op->value_bytes);
	}
	n->generation = ++*generation;
	if (changed)
		changed(ctx, op->path, false);
	return 0;
}

struct xs_op *xs_op_new(enum xs_kind kind, uint16_t domid, const char *path, const char *value,
			uint32_t value_bytes)
{
	struct xs_op *op = calloc(1, sizeof(*op) + strlen(path) + 1);
	if (!op)
		abort();
	op->kind = kind;
	op->domid = domid;
	strcpy(op->path, path);
	op->value = malloc(value_bytes + 1);
	if (!op->value)
		abort();
	if (value_bytes)
		memcpy(op->value, value, value_bytes);
	op->value_bytes = value_bytes;
	return op;
}

void xs_op_free(struct xs_op *op)
{
	free(op->value);
	free(op);
}

void xs_tx_free(struct xs_tx *tx)
{
	xs_node_free(tx->root);
	for (struct xs_op *op = tx->ops, *next; op; op = next) {
		next = op->next;
		xs_op_free(op);
	}
	for (struct xs_seen *s = tx->seen, *next; s; s = next) {
		next = s->next;
		free(s);
	}
	free(tx);
}

int xs_tx_commit(struct xs_tx *tx, struct xs_node *root, uint64_t *generation,
		 void (*changed)(void *ctx, const char *path, bool exact), void *ctx)
{
	for (struct xs_seen *seen = tx->seen; seen; seen = seen->next) {
		const struct xs_node *n = xs_find(root, seen->path);
		if ((n ? n->generation : 0) != seen->generation)
			return -EAGAIN;
	}
	struct xs_op *first = NULL;
	while (tx->ops) {
		struct xs_op *op = tx->ops;
		tx->ops = op->next;
		op->next = first;
		first = op;
	}
	tx->ops = first;
	for (struct xs_op *op = first; op; op = op->next)
		(void)xs_apply(root, op, generation, changed, ctx); /* was tried on the copy */
	return 0;
}
