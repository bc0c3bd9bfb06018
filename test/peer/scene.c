/* SPDX-License-Identifier: MIT */
/* The stage of the hostile tests. */
#include "scene.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static bool fail(struct scene *s, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
	return false;
}

bool scene_open(struct scene *s, enum nf_poll_mode mode)
{
	memset(s, 0, sizeof(*s));
	s->h.ctrl_chan.fd = -1;
	rig_open(&s->r, mode);
	(void)rig_domain(&s->r, 0);
	(void)rig_domain(&s->r, 2);
	(void)mem_world_layer(s->r.w,
			      1); /* hostile domains exist, but no driver of ours runs there */
	(void)mem_world_layer(s->r.w, 3);
	int rc = rig_pair_open(&s->bystander, &s->r, 2, 0, 5, NULL);
	if (rc)
		return fail(s, "the bystander does not connect: %d %s", rc,
			    s->bystander.back ? s->bystander.back->notice : "");
	if (!rig_pair_moves(&s->bystander, 100, 5000))
		return fail(s, "the bystander stands: %s", rig_pair_tell(&s->bystander));
	mem_world_baseline(s->r.w, &s->base);
	return true;
}

void scene_close(struct scene *s)
{
	hostile_close(&s->h);
	if (s->bystander.v.w)
		rig_pair_close(&s->bystander);
	rig_close(&s->r);
}

bool scene_prepare(struct scene *s, bool hostile_is_back, const struct hostile_options *opt,
		   const struct rig_options *o)
{
	uint16_t front = hostile_is_back ? 2 : 1, back = hostile_is_back ? 3 : 0;
	s->hostile_is_back = hostile_is_back;
	s->why[0] = '\0';
	int rc = mem_vif_create(&s->v, s->r.w, front, back, 0, NULL);
	if (rc)
		return fail(s, "nodes: %d", rc);
	s->h.turn = rig_turn_cb;
	s->h.ctx = &s->r;
	struct nf_layer *l = mem_world_layer(s->r.w, hostile_is_back ? back : front);
	s->real = hostile_is_back ? rig_front(&s->r, &s->v, o, &rc)
				  : rig_back(&s->r, &s->v, o, &rc);
	if (!s->real)
		return fail(s, "the victim does not open: %d", rc);
	rc = hostile_is_back ? hostile_back_open(&s->h, l, front, 0, opt)
			     : hostile_front_open(&s->h, l, 0, opt);
	return rc == 0 || fail(s, "the peer does not open: %d", rc);
}

static bool connected(struct scene *s, int rc)
{
	if (rc == 0)
		rc = rig_until_phase(s->real, NF_NET_RUNNING, 5000);
	return rc == 0 ||
	       fail(s, "no connection: %d, phase %d, %s", rc, rig_phase(s->real), s->real->notice);
}

bool scene_front(struct scene *s, const struct hostile_options *opt, const struct rig_options *o)
{
	return scene_prepare(s, false, opt, o) && connected(s, hostile_front_connect(&s->h));
}

bool scene_back(struct scene *s, const struct hostile_options *opt, const struct rig_options *o)
{
	return scene_prepare(s, true, opt, o) && connected(s, hostile_back_connect(&s->h));
}

const char *scene_error(struct scene *s)
{
	static char text[600];
	char path[80];
	snprintf(path, sizeof(path), "%s/error",
		 s->hostile_is_back ? s->v.front_path : s->v.back_path);
	if (mem_store_read(s->r.w, path, text, sizeof(text)) < 0)
		text[0] = '\0';
	return text;
}

static bool bystander_goes_on(struct scene *s)
{
	return rig_pair_moves(&s->bystander, 200, 5000) ||
	       fail(s, "the bystander has stopped: %s", rig_pair_tell(&s->bystander));
}

bool scene_refused(struct scene *s, const char *text)
{
	if (rig_until_phase(s->real, NF_NET_FAILED, 2000) < 0)
		return fail(s, "phase %d, not FAILED", rig_phase(s->real));
	if (!strstr(scene_error(s), text))
		return fail(s, "the error node says \"%s\", not \"%s\"", scene_error(s), text);
	if (s->real->failures == 0)
		return fail(s, "no step told the error");
	for (int i = 0; i < 4 && s->h.q[0].tx_chan.fd >= 0; i++) {
		hostile_kick(&s->h, 0);
		rig_linger(&s->r, 2);
	}
	if (rig_phase(s->real) != NF_NET_FAILED)
		return fail(s, "not sticky: phase %d", rig_phase(s->real));
	return bystander_goes_on(s);
}

bool scene_survived(struct scene *s)
{
	rig_linger(&s->r, 20);
	if (rig_phase(s->real) != NF_NET_RUNNING)
		return fail(s, "phase %d: %s", rig_phase(s->real), s->real->notice);
	if (scene_error(s)[0])
		return fail(s, "the error node says \"%s\"", scene_error(s));
	return bystander_goes_on(s);
}

bool scene_end(struct scene *s, bool hostile_first)
{
	char what[sizeof(s->why)];
	if (hostile_first) {
		hostile_close(&s->h);
		rig_linger(&s->r, 10);
	}
	if (s->real)
		rig_end_close(s->real);
	s->real = NULL;
	hostile_close(&s->h);
	mem_vif_remove(&s->v);
	rig_linger(&s->r, 5);
	if (mem_world_settle(s->r.w, &s->base, 2000, what, sizeof(what)) != 0)
		return fail(s, "left behind: %s", what);
	return true;
}
