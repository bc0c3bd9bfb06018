/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *skip(const char *p)
{
	return p + strspn(p, " \t\r");
}

/* A string from its opening quote on; NULL: malformed, too long, or an escape we do not know. */
static const char *take_string(const char *p, char *out, size_t cap)
{
	size_t n = 0;
	for (p++; *p != '"'; p++) {
		if (*p == '\\') {
			p++;
			if (*p != '"' && *p != '\\' && *p != '/')
				return NULL;
		}
		if ((unsigned char)*p < ' ' || n + 1 >= cap)
			return NULL;
		out[n++] = *p;
	}
	out[n] = '\0';
	return p + 1;
}

/* A number, true, false or null, as written. */
static const char *take_plain(const char *p, char *out, size_t cap)
{
	size_t n = strspn(p, "+-.0123456789abcdefghijklmnopqrstuvwxyzE");
	if (n == 0 || n >= cap)
		return NULL;
	memcpy(out, p, n);
	out[n] = '\0';
	bool is_word = !strcmp(out, "true") || !strcmp(out, "false") || !strcmp(out, "null");
	if (!is_word && strspn(out, "+-.0123456789eE") != n)
		return NULL;
	return p + n;
}

static const char *take_field(const char *p, struct json_field *f)
{
	if (*p != '"')
		return NULL;
	p = take_string(p, f->key, sizeof(f->key));
	if (!p)
		return NULL;
	p = skip(p);
	if (*p != ':')
		return NULL;
	p = skip(p + 1);
	f->is_string = *p == '"';
	return f->is_string ? take_string(p, f->text, sizeof(f->text))
			    : take_plain(p, f->text, sizeof(f->text));
}

int nfd_json_parse(const char *text, struct json_object *out)
{
	struct json_object o = {.count = 0};
	const char *p = skip(text);
	if (*p != '{')
		return -EINVAL;
	p = skip(p + 1);
	while (*p != '}') {
		if (o.count == JSON_FIELDS)
			return -EINVAL;
		p = take_field(p, &o.field[o.count]);
		if (!p)
			return -EINVAL;
		o.count++;
		p = skip(p);
		if (*p == ',')
			p = skip(p + 1);
		else if (*p != '}')
			return -EINVAL;
		else
			break;
		if (*p == '}')
			return -EINVAL;
	}
	if (*skip(p + 1))
		return -EINVAL;
	*out = o;
	return 0;
}

const struct json_field *nfd_json_find(const struct json_object *o, const char *key)
{
	for (int i = 0; i < o->count; i++)
		if (!strcmp(o->field[i].key, key))
			return &o->field[i];
	return NULL;
}

void nfd_json_put(struct json_out *o, const char *fmt, ...)
{
	va_list ap;
	if (o->is_full)
		return;
	va_start(ap, fmt);
	int n = vsnprintf(o->text + o->bytes, o->cap - o->bytes, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= o->cap - o->bytes) {
		o->is_full = true;
		o->text[o->bytes] = '\0';
		return;
	}
	o->bytes += (size_t)n;
}

void nfd_json_string(struct json_out *o, const char *s)
{
	nfd_json_put(o, "\"");
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			nfd_json_put(o, "\\%c", *s);
		else
			nfd_json_put(o, "%c", *s < ' ' || *s > '~' ? '?' : *s);
	}
	nfd_json_put(o, "\"");
}
