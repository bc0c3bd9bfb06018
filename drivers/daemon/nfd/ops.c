/* SPDX-License-Identifier: MIT */
/* What the control socket can be asked; docs/control.md tells it to users. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nf/atomics.h"
#include "json.h"
#include "nfd.h"

struct request {
	struct nfd *d;
	const struct json_object *in;
	struct json_out *out;
	const char *why; /* set when it is refused */
};

static const char *kind_name(const struct nfd_device *v)
{
	static const char *const names[2][3] = {{"netfront", "netback", "netrelay"},
						{"blkfront", "blkback", "blkrelay"}};
	return names[v->is_disk][v->kind];
}

const char *nfd_phase_name(const struct nfd_device *v)
{
	static const char *const names[] = {"waiting",	 "prepared", "offering",
					    "published", "mapped",   "running",
					    "closing",	 "closed",   "failed"};
	if (!v->u.any)
		return v->gave_up ? "refused" : "opening";
	return v->phase < 0 ? "failed" : names[v->phase];
}

static int op_devices(struct request *r)
{
	const char *comma = "";
	nfd_json_put(r->out, ",\"devices\":[");
	for (uint32_t i = 0; i < r->d->device_count; i++) {
		const struct nfd_device *v = &r->d->devices[i];
		if (!v->used)
			continue;
		nfd_json_put(r->out, "%s{\"path\":", comma);
		nfd_json_string(r->out, v->path);
		nfd_json_put(r->out,
			     ",\"side\":%u,\"kind\":\"%s\",\"phase\":\"%s\",\"error\":", v->side,
			     kind_name(v), nfd_phase_name(v));
		if (v->phase < 0)
			nfd_json_string(r->out, strerrorname_np(-v->phase));
		else
			nfd_json_put(r->out, "null");
		if (v->tap[0]) {
			nfd_json_put(r->out, ",\"interface\":");
			nfd_json_string(r->out, v->tap);
		}
		nfd_json_put(r->out, "}");
		comma = ",";
	}
	nfd_json_put(r->out, "]");
	return 0;
}

static void put_block(struct json_out *out, const struct nf_counters *b, const char *comma)
{
	static const char *const names[] = {
#define NF_COUNTER(name, help) #name,
#include "nf/counters.def"
#undef NF_COUNTER
	};
	static const char *const kinds[] = {"free",    "netfront", "netback", "netrelay",
					    "latency", "blkfront", "blkback", "blkrelay"};
	nfd_json_put(out,
		     "%s{\"kind\":\"%s\",\"peer\":%u,\"devid\":%u,\"queue\":%u,\"state\":%u,"
		     "\"generation\":%u,\"error\":%d,\"counters\":{",
		     comma, kinds[b->h.kind], b->h.peer, b->h.devid, b->h.queue, b->h.state,
		     b->h.generation, b->h.error);
	comma = "";
	for (uint32_t i = 0; i < NF_COUNTER_COUNT; i++) {
		uint64_t value = nf_load_relaxed_u64(&b->words[i]);
		if (!value)
			continue;
		nfd_json_put(out, "%s\"%s\":%" PRIu64, comma, names[i], value);
		comma = ",";
	}
	nfd_json_put(out, "}}");
}

/* All blocks, or those of {"devid":N}. Counters that are 0 are left out. */
static int op_counters(struct request *r)
{
	const struct json_field *devid = nfd_json_find(r->in, "devid");
	unsigned wanted = 0;
	const char *comma = "";
	if (devid && (devid->is_string || sscanf(devid->text, "%5u", &wanted) != 1)) {
		r->why = "devid is a number";
		return -EINVAL;
	}
	nfd_json_put(r->out, ",\"blocks\":[");
	for (uint32_t s = 0; s < r->d->side_count; s++) {
		const struct nf_counters_map *m = &r->d->sides[s].counters;
		for (uint32_t i = 0; i < m->count; i++) {
			const struct nf_counters *b = &m->blocks[i];
			if (b->h.kind == NF_BLOCK_LATENCY) { /* its other blocks have no header */
				i += NF_LATENCY_BLOCKS - 1;
				continue;
			}
			if (b->h.kind == NF_BLOCK_FREE || b->h.kind > NF_BLOCK_BLKRELAY ||
			    (devid && b->h.devid != wanted))
				continue;
			put_block(r->out, b, comma);
			comma = ",";
		}
	}
	nfd_json_put(r->out, "]");
	return 0;
}

static int op_status(struct request *r)
{
	uint32_t devices = 0, running = 0;
	nfd_count(r->d, &devices, &running);
	nfd_json_put(r->out, ",\"pid\":%d,\"layers\":[", (int)getpid());
	for (uint32_t i = 0; i < r->d->side_count; i++) {
		const struct nfd_side *s = &r->d->sides[i];
		nfd_json_put(r->out, "%s{\"kind\":\"%s\",\"domid\":%u,\"alive\":%s}", i ? "," : "",
			     s->layer->ops->kind, s->layer->domid,
			     s->dead || s->silent ? "false" : "true");
	}
	nfd_json_put(r->out, "],\"devices\":%u,\"running\":%u", devices, running);
	return 0;
}

static int op_log_level(struct request *r)
{
	static const char *const names[] = {"quiet", "normal", "debug"};
	const struct json_field *level = nfd_json_find(r->in, "level");
	for (int i = 0; level && level->is_string && i < 3; i++) {
		if (strcmp(level->text, names[i]) != 0)
			continue;
		nfd_log_level((enum nfd_log_level)i);
		return 0;
	}
	r->why = "level is quiet, normal or debug";
	return -EINVAL;
}

static int op_stop(struct request *r)
{
	const struct json_field *leave = nfd_json_find(r->in, "leave");
	bool is_true = leave && !strcmp(leave->text, "true");
	if (leave && (leave->is_string || (!is_true && strcmp(leave->text, "false") != 0))) {
		r->why = "leave is true or false";
		return -EINVAL;
	}
	nfd_stop(r->d, is_true);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct request *r);
} ops[] = {
	{"devices", op_devices},     {"counters", op_counters}, {"status", op_status},
	{"log-level", op_log_level}, {"stop", op_stop},
};

static int dispatch(struct request *r)
{
	const struct json_field *op = nfd_json_find(r->in, "op");
	for (size_t i = 0; op && op->is_string && i < sizeof(ops) / sizeof(ops[0]); i++)
		if (!strcmp(op->text, ops[i].name))
			return ops[i].run(r);
	r->why = "op is devices, counters, status, log-level or stop";
	return -EINVAL;
}

static void put_id(struct json_out *out, const struct json_object *in)
{
	const struct json_field *id = nfd_json_find(in, "id");
	nfd_json_put(out, "{\"id\":");
	if (id && id->is_string)
		nfd_json_string(out, id->text);
	else
		nfd_json_put(out, "%s", id ? id->text : "null");
}

size_t nfd_control_answer(struct nfd *d, const char *line, char *text, size_t cap)
{
	struct json_object in = {.count = 0};
	struct json_out out = {.text = text, .cap = cap - 1};
	struct request r = {.d = d, .in = &in, .out = &out};
	int rc = nfd_json_parse(line, &in);
	if (rc < 0)
		r.why = "a request is one JSON object of plain values";
	put_id(&out, &in);
	size_t head = out.bytes;
	nfd_json_put(&out, ",\"ok\":true");
	if (rc == 0)
		rc = dispatch(&r);
	if (rc == 0 && out.is_full) {
		rc = -ERANGE;
		r.why = "the answer is too long: ask for one devid";
	}
	if (rc < 0) {
		out.bytes = head;
		out.is_full = false;
		nfd_json_put(&out, ",\"ok\":false,\"error\":\"%s\",\"message\":\"%s\"",
			     strerrorname_np(-rc), r.why ? r.why : strerror(-rc));
	}
	nfd_json_put(&out, "}\n");
	return out.bytes;
}
