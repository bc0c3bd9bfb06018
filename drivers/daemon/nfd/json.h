/* SPDX-License-Identifier: MIT */
/* One flat JSON object in, bounded text out: all the control socket needs. */
#ifndef NF_DAEMON_JSON_H
#define NF_DAEMON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_FIELDS 8
#define JSON_TEXT 128

struct json_field {
	char key[24];
	char text[JSON_TEXT]; /* of a string, without quotes; of others as written */
	bool is_string;
};

struct json_object {
	struct json_field field[JSON_FIELDS];
	int count;
};

/* 0, or -EINVAL: not one object of plain strings, numbers, booleans and nulls within these sizes.
 */
int nfd_json_parse(const char *text, struct json_object *out);
const struct json_field *nfd_json_find(const struct json_object *o, const char *key);

/* Text that grows to cap and no further; is_full says that something was left out. */
struct json_out {
	char *text;
	size_t bytes, cap;
	bool is_full;
};
void nfd_json_put(struct json_out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A string in quotes; what is not printable ASCII is replaced. */
void nfd_json_string(struct json_out *o, const char *s);

#endif
