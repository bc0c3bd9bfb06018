/* SPDX-License-Identifier: MIT */
/*
 * Client of a xenstored, Xen's wire protocol (xs_wire.h) on a stream descriptor. Used by one
 * control thread. Paths are absolute or relative to /local/domain/<domid>. Values are
 * NUL-terminated here. Errors: the server's errno (-ENOENT, -EACCES, -EAGAIN for a transaction
 * conflict, -EQUOTA as -EDQUOT ...), -ETIMEDOUT after NF_LAYER_TIMEOUT_MS, -ECONNRESET when the
 * server is gone (sticky), -EPROTO when it talks nonsense (sticky), -ERANGE when a value does not
 * fit the caller's buffer.
 */
#ifndef NF_STORE_H
#define NF_STORE_H

#include <stddef.h>
#include <stdint.h>

#define NF_STORE_PAYLOAD_MAX 4096u
#define NF_STORE_PATH_MAX 512u /* ours; absolute paths in Xen go to 3072 */

struct nf_store;

/* Takes ownership of fd (also on failure). */
int nf_store_open(int fd, struct nf_store **out);
void nf_store_close(struct nf_store *s); /* NULL is fine */
/* Every later request is -ECONNRESET at once: a server that does not answer must not hold up
 * whoever only cleans up. */
void nf_store_give_up(struct nf_store *s);
/* Readable: call nf_store_next_event. Also while events are queued that came during a request. */
int nf_store_pollfd(const struct nf_store *s);

/* tx: 0 or a transaction id. Returns bytes read (without the NUL). */
int nf_store_read(struct nf_store *s, uint32_t tx, const char *path, char *buf, size_t cap);
int nf_store_write(struct nf_store *s, uint32_t tx, const char *path, const char *value);
int nf_store_writef(struct nf_store *s, uint32_t tx, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int nf_store_mkdir(struct nf_store *s, uint32_t tx, const char *path);
int nf_store_rm(struct nf_store *s, uint32_t tx, const char *path);
/* Names NUL-separated into buf; returns how many. */
int nf_store_directory(struct nf_store *s, uint32_t tx, const char *path, char *buf, size_t cap);
int nf_store_watch(struct nf_store *s, const char *path, const char *token);
int nf_store_unwatch(struct nf_store *s, const char *path, const char *token);
int nf_store_tx_begin(struct nf_store *s, uint32_t *tx);
int nf_store_tx_end(struct nf_store *s, uint32_t tx, int commit);

/*
 * Requests sent together: a posted one waits here until nf_store_settle sends all and waits for
 * their answers, which costs one round trip. Posting fails only by -EINVAL (no message holds it),
 * -ENOMEM and what is sticky; any other verb sends what is posted before its own request. Of a
 * posted read the value is dropped: it says that the node is there. Posted rm of a node that is not
 * there is fine.
 */
int nf_store_post_read(struct nf_store *s, uint32_t tx, const char *path);
int nf_store_post_write(struct nf_store *s, uint32_t tx, const char *path, const char *value);
int nf_store_post_rm(struct nf_store *s, uint32_t tx, const char *path);
/* on: watch; else unwatch */
int nf_store_post_watch(struct nf_store *s, const char *path, const char *token, int on);
/* The first error of all that was posted since the last settling; the others were carried out. */
int nf_store_settle(struct nf_store *s);

/*
 * Reading ahead: dir/key of all keys in one round trip. Until the scope ends, or anything is
 * written, nf_store_read (of no transaction) of the same path gives what was read then, its error
 * too. Scopes may lie in each other; the outermost one's end forgets all values. -EINVAL: no scope
 * is open, or more than NF_STORE_AHEAD_MAX keys; else -ENOMEM or the transport's error, and whoever
 * reads asks the server.
 */
#define NF_STORE_AHEAD_MAX 24u
void nf_store_ahead_begin(struct nf_store *s);
int nf_store_ahead(struct nf_store *s, const char *dir, const char *const *keys, uint32_t count);
void nf_store_ahead_end(struct nf_store *s);

/* A decimal number in [min, max]; -ERANGE/-EINVAL name junk, -ENOENT absence. Never accepts
 * signs, spaces or trailing text. */
int nf_store_read_u32(struct nf_store *s, uint32_t tx, const char *path, uint32_t min, uint32_t max,
		      uint32_t *out);

/*
 * Next queued watch event without blocking: 1 and the strings, 0 none, negative when dead. An event
 * says "look again": equal ones are merged, under a flood all of one token. A path longer than its
 * buffer is cut; a token longer than its is -EINVAL, and the event stays.
 */
int nf_store_next_event(struct nf_store *s, char *path, size_t path_cap, char *token,
			size_t token_cap);

#endif
