/* SPDX-License-Identifier: MIT */
/* Several requests at once: posted ones, and values read ahead. A round trip to the server is a
 * change of process or two, which costs more than what it does for a request. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nf/store.h"
#include "xs_internal.h"

#define POSTED_BYTES 16384u /* of one flight; room for any message */

struct nf__xs_posts {
	int error; /* the first one since the last settling */
	uint32_t count;
	struct nf__xs_leg legs[NF__XS_FLIGHT];
	char bytes[POSTED_BYTES];
};

/* What reading path gave: bytes, or a negative errno. */
struct nf__xs_known {
	struct nf__xs_known *next;
	int rc;
	const char *value;
	char path[];
};

/* A flight of readings. */
struct ahead {
	struct nf_store *s;
	struct nf__xs_flight f;
	struct nf__xs_leg legs[NF_STORE_AHEAD_MAX];
	int error;
	char bytes[POSTED_BYTES];
};

static struct iovec string(const char *text)
{
	return (struct iovec){.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text) + 1};
}

static void take_posted(void *store, uint32_t i)
{
	struct nf_store *s = store;
	struct nf__xs_posts *p = s->posts;

	if (s->in.type != NF_XS_ERROR || p->error)
		return;
	int error = nf__xs_error_of(s->in_payload);
	/* what is to go and is not there has gone */
	if (error != -ENOENT || p->legs[i].type != NF_XS_RM)
		p->error = error;
}

int nf__xs_posts_flush(struct nf_store *s)
{
	struct nf__xs_posts *p = s->posts;

	if (!p || p->count == 0)
		return 0;
	struct nf__xs_flight f = {
		.legs = p->legs, .count = p->count, .answer = take_posted, .ctx = s};
	int rc = nf__xs_fly(s, &f, p->bytes);
	p->count = 0;
	if (rc < 0 && !p->error)
		p->error = rc;
	return rc;
}

void nf__xs_posts_free(struct nf_store *s)
{
	free(s->posts);
	s->posts = NULL;
}

static int post(struct nf_store *s, enum nf_xs_type type, uint32_t tx, const struct iovec *parts,
		int count)
{
	if (s->error)
		return s->error;
	nf__xs_known_note(s, type);
	if (!s->posts)
		s->posts = calloc(1, sizeof(*s->posts));
	struct nf__xs_posts *p = s->posts;
	if (!p)
		return -ENOMEM;
	for (;;) {
		uint32_t at = p->count ? p->legs[p->count - 1].end : 0;
		int n = p->count < NF__XS_FLIGHT ? nf__xs_build(p->bytes + at, POSTED_BYTES - at,
								type, tx, parts, count)
						 : -EINVAL;
		if (n >= 0) {
			p->legs[p->count++] = (struct nf__xs_leg){.end = at + (uint32_t)n,
								  .type = (uint16_t)type};
			return 0;
		}
		if (p->count == 0)
			return n; /* no message holds it */
		n = nf__xs_posts_flush(s);
		if (n < 0)
			return n;
	}
}

int nf_store_post_read(struct nf_store *s, uint32_t tx, const char *path)
{
	struct iovec p = string(path);

	return post(s, NF_XS_READ, tx, &p, 1);
}

int nf_store_post_write(struct nf_store *s, uint32_t tx, const char *path, const char *value)
{
	struct iovec p[2] = {string(path),
			     {.iov_base = (void *)(uintptr_t)value, .iov_len = strlen(value)}};

	return post(s, NF_XS_WRITE, tx, p, 2);
}

int nf_store_post_rm(struct nf_store *s, uint32_t tx, const char *path)
{
	struct iovec p = string(path);

	return post(s, NF_XS_RM, tx, &p, 1);
}

int nf_store_post_watch(struct nf_store *s, const char *path, const char *token, int on)
{
	struct iovec p[2] = {string(path), string(token)};

	return post(s, on ? NF_XS_WATCH : NF_XS_UNWATCH, 0, p, 2);
}

int nf_store_settle(struct nf_store *s)
{
	int rc = nf__xs_posts_flush(s);

	if (!s->posts)
		return rc;
	rc = s->posts->error;
	s->posts->error = 0;
	return rc;
}

/* ---- reading ahead ---- */

void nf__xs_known_drop(struct nf_store *s)
{
	while (s->known) {
		struct nf__xs_known *k = s->known;
		s->known = k->next;
		free(k);
	}
}

void nf__xs_known_note(struct nf_store *s, enum nf_xs_type type)
{
	if (type == NF_XS_WRITE || type == NF_XS_MKDIR || type == NF_XS_RM ||
	    type == NF_XS_TRANSACTION_END)
		nf__xs_known_drop(s);
}

void nf_store_ahead_begin(struct nf_store *s)
{
	s->known_scopes++;
}

void nf_store_ahead_end(struct nf_store *s)
{
	if (--s->known_scopes == 0)
		nf__xs_known_drop(s);
}

static const struct nf__xs_known *find(const struct nf_store *s, const char *path)
{
	const struct nf__xs_known *k = s->known;

	while (k && strcmp(k->path, path) != 0)
		k = k->next;
	return k;
}

bool nf__xs_known_read(struct nf_store *s, const char *path, char *buf, size_t cap, int *rc)
{
	const struct nf__xs_known *k = find(s, path);

	if (!k)
		return false;
	*rc = k->rc;
	if (k->rc >= 0 && (size_t)k->rc >= cap)
		*rc = -ERANGE;
	else if (k->rc >= 0)
		memcpy(buf, k->value, (size_t)k->rc + 1);
	return true;
}

static struct nf__xs_known *known_new(const char *path, const char *value, int rc)
{
	size_t n = strlen(path) + 1, bytes = rc > 0 ? (size_t)rc : 0;
	struct nf__xs_known *k = malloc(sizeof(*k) + n + bytes + 1);

	if (!k)
		return NULL;
	memcpy(k->path, path, n);
	memcpy(k->path + n, value, bytes);
	k->path[n + bytes] = '\0';
	k->value = k->path + n;
	k->rc = rc;
	return k;
}

static void take_known(void *ctx, uint32_t i)
{
	struct ahead *a = ctx;
	struct nf_store *s = a->s;
	bool is_error = s->in.type == NF_XS_ERROR;
	int rc = is_error ? nf__xs_error_of(s->in_payload) : (int)s->in.len;
	const char *path = a->bytes + (i ? a->legs[i - 1].end : 0) + sizeof(struct nf_xs_header);
	struct nf__xs_known *k = known_new(path, s->in_payload, rc);

	if (!k) {
		a->error = -ENOMEM;
		return;
	}
	k->next = s->known;
	s->known = k;
}

static int add_reading(struct ahead *a, const char *path)
{
	struct iovec p = string(path);
	uint32_t at = a->f.count ? a->legs[a->f.count - 1].end : 0;
	int n = nf__xs_build(a->bytes + at, sizeof(a->bytes) - at, NF_XS_READ, 0, &p, 1);

	if (n < 0)
		return n;
	a->legs[a->f.count++] = (struct nf__xs_leg){.end = at + (uint32_t)n, .type = NF_XS_READ};
	return 0;
}

int nf_store_ahead(struct nf_store *s, const char *dir, const char *const *keys, uint32_t count)
{
	char path[NF_STORE_PATH_MAX];

	if (s->known_scopes == 0 || count > NF_STORE_AHEAD_MAX)
		return -EINVAL;
	int rc = nf__xs_posts_flush(s);
	if (rc < 0)
		return rc;
	struct ahead *a = malloc(sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->s = s;
	a->error = 0;
	a->f = (struct nf__xs_flight){.legs = a->legs, .answer = take_known, .ctx = a};
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		int n = snprintf(path, sizeof(path), "%s/%s", dir, keys[i]);
		/* one that is too long who reads it is told of */
		if (n > 0 && (size_t)n < sizeof(path) && !find(s, path))
			rc = add_reading(a, path);
	}
	if (rc == 0 && a->f.count > 0)
		rc = nf__xs_fly(s, &a->f, a->bytes);
	if (rc == 0)
		rc = a->error;
	free(a);
	return rc;
}
