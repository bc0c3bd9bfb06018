/* SPDX-License-Identifier: MIT */
/* Watch events that arrived and were not taken yet. A peer decides how many there are. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "xs_internal.h"

static const char *token_of(const struct nf__xs_event *e)
{
	return e->text + e->path_bytes + 1;
}

/* The same event, or beyond the soft limit any of the same token, is queued already: the watcher
 * will look after it, and sees then whatever this one is about. */
static bool merged(const struct nf_store *s, const char *path, const char *token)
{
	for (const struct nf__xs_event *e = s->events; e; e = e->next)
		if (!strcmp(token_of(e), token) &&
		    (s->event_count >= NF__XS_EVENTS_SOFT || !strcmp(e->text, path)))
			return true;
	return false;
}

/* Level of wakefd follows "the queue is not empty". */
static void wake(struct nf_store *s, bool on)
{
	uint64_t one = 1;
	ssize_t n = on ? write(s->wakefd, &one, sizeof(one)) : read(s->wakefd, &one, sizeof(one));

	(void)n; /* an eventfd of ours, never near its maximum: cannot fail */
}

int nf__xs_event_push(struct nf_store *s)
{
	const char *path = s->in_payload;
	size_t total = s->in.len;
	size_t path_bytes = strnlen(path, total);

	/* <path> NUL <token> NUL, nothing after */
	if (path_bytes == 0 || path_bytes + 1 >= total ||
	    strnlen(path + path_bytes + 1, total - path_bytes - 1) != total - path_bytes - 2)
		return -EPROTO;
	if (merged(s, path, path + path_bytes + 1))
		return 0;
	if (s->event_count >= NF__XS_EVENTS_HARD)
		return -EPROTO;
	struct nf__xs_event *e = malloc(sizeof(*e) + total);
	if (!e)
		return -ENOMEM;
	e->next = NULL;
	e->path_bytes = path_bytes;
	e->token_bytes = total - path_bytes - 2;
	memcpy(e->text, path, total);
	*s->events_tail = e;
	s->events_tail = &e->next;
	if (s->event_count++ == 0)
		wake(s, true);
	return 0;
}

struct nf__xs_event *nf__xs_event_pop(struct nf_store *s)
{
	struct nf__xs_event *e = s->events;

	if (!e)
		return NULL;
	s->events = e->next;
	if (!s->events)
		s->events_tail = &s->events;
	if (--s->event_count == 0)
		wake(s, false);
	return e;
}
