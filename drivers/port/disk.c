/* SPDX-License-Identifier: MIT */
/* Disk specs. */
#include "disks.h"

#include <stdio.h>
#include <string.h>

#define SIZES "a size is a multiple of 512 bytes, as 4096, 64M, 8G, 1T"

static int refuse(char *err, uint32_t cap, const char *spec, const char *why)
{
	if (err)
		snprintf(err, cap, "disk '%.80s': %s", spec, why);
	return -EINVAL;
}

static bool parse_size(const char *s, size_t n, uint64_t *out)
{
	static const char units[] = "KMGT";
	uint64_t v = 0;
	size_t i = 0;
	for (; i < n && s[i] >= '0' && s[i] <= '9'; i++) {
		if (v > UINT64_MAX / 20)
			return false;
		v = v * 10 + (uint64_t)(s[i] - '0');
	}
	if (i == 0 || n - i > 1)
		return false;
	if (i < n) {
		const char *unit = strchr(units, s[i]);
		uint32_t shift = unit ? 10u * (uint32_t)(unit - units + 1) : 0;
		if (!unit || !*unit || v > UINT64_MAX >> shift)
			return false;
		v <<= shift;
	}
	if (v == 0 || v % NF_SECTOR_BYTES || v / NF_SECTOR_BYTES > NF_DISK_SECTORS_MAX)
		return false;
	*out = v;
	return true;
}

static bool is_word(const char *s, size_t n, const char *word)
{
	return n == strlen(word) && !strncmp(s, word, n);
}

static const char *parse_file_option(const char *s, size_t n, struct nf__disk_options *o)
{
	if (is_word(s, n, "direct=auto"))
		o->direct = NF__DIRECT_AUTO;
	else if (is_word(s, n, "direct=on"))
		o->direct = NF__DIRECT_ON;
	else if (is_word(s, n, "direct=off"))
		o->direct = NF__DIRECT_OFF;
	else if (is_word(s, n, "engine=auto"))
		o->engine = NF__ENGINE_AUTO;
	else if (is_word(s, n, "engine=io_uring"))
		o->engine = NF__ENGINE_URING;
	else if (is_word(s, n, "engine=threads"))
		o->engine = NF__ENGINE_THREADS;
	else if (o->kind == NF__DISK_FILE && n > 7 && !strncmp(s, "create=", 7))
		return parse_size(s + 7, n - 7, &o->bytes) ? NULL : SIZES;
	else
		return o->kind == NF__DISK_FILE ? "options are ro, direct=auto|on|off, "
						  "engine=auto|io_uring|threads and create=SIZE"
						: "options are ro, direct=auto|on|off and "
						  "engine=auto|io_uring|threads";
	return NULL;
}

static const char *parse_options(const char *s, struct nf__disk_options *o)
{
	while (*s) {
		size_t n = strcspn(++s, ",");
		const char *why = NULL;
		if (is_word(s, n, "ro"))
			o->is_readonly = true;
		else if (o->kind == NF__DISK_FILE || o->kind == NF__DISK_BLOCK)
			why = parse_file_option(s, n, o);
		else
			why = "the only option is ro";
		if (why)
			return why;
		s += n;
	}
	return NULL;
}

int nf__disk_parse(const char *spec, struct nf__disk_options *o, char *err, uint32_t err_cap)
{
	static const char *const kinds[] = {"file:", "block:", "mem:", "null:"};
	struct nf__disk_options out = {.kind = NF__DISK_FILE};
	const char *why = NULL;
	uint32_t k = 0;

	while (k < 4 && strncmp(spec, kinds[k], strlen(kinds[k])))
		k++;
	if (k == 4)
		return refuse(err, err_cap, spec, "file:PATH, block:PATH, mem:SIZE or null:SIZE");
	out.kind = (enum nf__disk_kind)k;
	const char *rest = spec + strlen(kinds[k]);
	size_t n = strcspn(rest, ",");
	if (out.kind == NF__DISK_MEM || out.kind == NF__DISK_NULL) {
		if (!parse_size(rest, n, &out.bytes))
			why = SIZES;
	} else if (n == 0 || n >= sizeof(out.path) || rest[0] != '/') {
		why = "an absolute path without commas is wanted";
	} else {
		memcpy(out.path, rest, n);
	}
	if (!why)
		why = parse_options(rest + n, &out);
	if (why)
		return refuse(err, err_cap, spec, why);
	*o = out;
	return 0;
}

int nf_disk_check(const char *spec, char *err, uint32_t err_cap)
{
	struct nf__disk_options o;
	if (err && err_cap)
		err[0] = '\0';
	return spec ? nf__disk_parse(spec, &o, err, err_cap) : -EINVAL;
}

int nf_disk_open(const char *spec, const struct nf_disk_env *env, struct nf_disk *out, char *err,
		 uint32_t err_cap)
{
	struct nf__disk_options o;
	char none[160];
	if (!err || !err_cap) {
		err = none;
		err_cap = sizeof(none);
	}
	err[0] = '\0';
	if (!spec || !env || !out)
		return -EINVAL;
	int rc = nf__disk_parse(spec, &o, err, err_cap);
	if (rc)
		return rc;
	switch (o.kind) {
	case NF__DISK_MEM:
		return nf__disk_open_mem(&o, env, out, err, err_cap);
	case NF__DISK_NULL:
		return nf__disk_open_null(&o, env, out, err, err_cap);
	default:
		return nf__disk_open_file(&o, env, out, err, err_cap);
	}
}
