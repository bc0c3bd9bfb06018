/* SPDX-License-Identifier: MIT */
/* Closing, coming back and dying, in every order; nothing is left behind. */
#include "../peer/rig.h"
#include "tap.h"

#define MS 5000

struct life {
	struct rig r;
	struct mem_vif v;
	struct rig_pair p;
	struct mem_baseline base;
};

static void life_open(struct life *l, enum nf_poll_mode mode)
{
	*l = (struct life){0};
	rig_open(&l->r, mode);
	rig_domain(&l->r, 0);
	rig_domain(&l->r, 1);
	mem_vif_create(&l->v, l->r.w, 1, 0, 0, NULL);
	l->p.v = l->v;
	mem_world_baseline(l->r.w, &l->base);
}

static bool both_run(struct life *l)
{
	bool up = rig_until_phase(l->p.front, NF_NET_RUNNING, MS) == 0 &&
		  rig_until_phase(l->p.back, NF_NET_RUNNING, MS) == 0;
	if (!up)
		diag("front %d: %s; back %d: %s", rig_phase(l->p.front), l->p.front->notice,
		     rig_phase(l->p.back), l->p.back->notice);
	return up;
}

static bool life_start(struct life *l, const struct rig_options *front,
		       const struct rig_options *back)
{
	int rc = 0;
	if (!l->p.back)
		l->p.back = rig_back(&l->r, &l->v, back, &rc);
	if (!l->p.front)
		l->p.front = rig_front(&l->r, &l->v, front, &rc);
	return rc == 0 && both_run(l);
}

/* Frames pass both ways, undamaged. A sink counts what a generator sent to its predecessor as lost.
 */
static bool moves(struct life *l)
{
	uint64_t up = rig_counter(l->p.back, NF_COUNTER_sink_packets);
	uint64_t down = rig_counter(l->p.front, NF_COUNTER_sink_packets);
	rig_generate(l->p.front, NF_GEN_SEND, 1000, 100);
	rig_generate(l->p.back, NF_GEN_SEND, 1000, 100);
	bool good = !rig_until_counter(l->p.back, NF_COUNTER_sink_packets, up + 100, MS) &&
		    !rig_until_counter(l->p.front, NF_COUNTER_sink_packets, down + 100, MS) &&
		    rig_counter(l->p.back, NF_COUNTER_sink_corrupted) == 0 &&
		    rig_counter(l->p.front, NF_COUNTER_sink_corrupted) == 0;
	if (!good)
		diag("nothing moves: up %lu, down %lu",
		     (unsigned long)(rig_counter(l->p.back, NF_COUNTER_sink_packets) - up),
		     (unsigned long)(rig_counter(l->p.front, NF_COUNTER_sink_packets) - down));
	return good;
}

static void end_close(struct rig_end **e)
{
	rig_end_close(*e);
	*e = NULL;
}

static bool at_baseline(struct life *l)
{
	char why[256];
	if (mem_world_settle(l->r.w, &l->base, 2000, why, sizeof(why)) == 0)
		return true;
	diag("%s", why);
	return false;
}

static void life_close(struct life *l)
{
	if (l->p.front)
		end_close(&l->p.front);
	if (l->p.back)
		end_close(&l->p.back);
	ok(at_baseline(l), "nothing is left behind");
	mem_vif_remove(&l->v);
	rig_close(&l->r);
}

static int state_of(struct life *l, bool back)
{
	char path[96], value[16] = "";
	snprintf(path, sizeof(path), "%s/state", back ? l->v.back_path : l->v.front_path);
	return mem_store_read(l->r.w, path, value, sizeof(value)) > 0 ? atoi(value) : -1;
}

/* States of both ends as they change, e.g. "5/4 5/5 6/5 6/6". */
static void states_note(struct life *l, char *log, size_t cap)
{
	char now[16];
	size_t used = strlen(log);
	snprintf(now, sizeof(now), "%d/%d", state_of(l, false), state_of(l, true));
	if (used >= strlen(now) && strcmp(log + used - strlen(now), now) == 0)
		return;
	snprintf(log + used, cap - used, "%s%s", used ? " " : "", now);
}

static void steps(struct life *l, struct rig_end *first, struct rig_end *second, char *log,
		  size_t cap)
{
	struct rig_end *order[2] = {first, second};
	for (int i = 0; i < 20; i++) {
		struct rig_end *e = order[i & 1];
		if (e->is_back)
			nf_netback_step(e->back);
		else
			nf_netfront_step(e->front);
		states_note(l, log, cap);
	}
}

/* Close order: front 5, back 5, front 6, back 6; and its mirror when the back starts. */
static void orderly(void)
{
	struct life l;
	life_open(&l, NF_POLL_EVENT);
	ok(life_start(&l, NULL, NULL), "connected");
	char log[128] = "";
	nf_netfront_shutdown(l.p.front->front);
	states_note(&l, log, sizeof(log));
	steps(&l, l.p.back, l.p.front, log, sizeof(log));
	is_str(log, "5/4 5/5 6/5 6/6", "a front closes: 5, the back's 5, 6, the back's 6");
	is(rig_phase(l.p.front), NF_NET_CLOSED, "the front is closed");
	is(rig_phase(l.p.back), NF_NET_CLOSED, "the back is closed");
	ok(rig_counter(l.p.back, NF_COUNTER_grant_maps) ==
		   rig_counter(l.p.back, NF_COUNTER_grant_unmaps),
	   "mapped equals unmapped");
	is(nf_netfront_shutdown(l.p.front->front), 0, "shutting down twice is fine");
	life_close(&l);

	life_open(&l, NF_POLL_EVENT);
	ok(life_start(&l, NULL, NULL), "connected");
	log[0] = '\0';
	nf_netback_shutdown(l.p.back->back);
	states_note(&l, log, sizeof(log));
	steps(&l, l.p.front, l.p.back, log, sizeof(log));
	is_str(log, "4/5 6/5 6/6", "a back closes: 5, the front's 6 (by its 5), 6");
	life_close(&l);
}

/* Ends that close in order and come back with other features and queues. */
static void comes_back(bool is_back)
{
	struct life l;
	struct rig_options two = {.queues = 2}, one = {.queues = 1}, four = {.queues = 4};
	struct rig_options copy = {.queues = 4, .grants = NF_NET_GRANTS_COPY};
	const struct rig_options *backs[] = {&two, &copy, &one, &four};
	const char *who = is_back ? "back" : "front";
	life_open(&l, NF_POLL_EVENT);
	bool good = true;
	for (int i = 0; i < 8 && good; i++) {
		good = life_start(&l, &four, backs[is_back ? i % 4 : 3]) && moves(&l);
		if (is_back) {
			nf_netback_shutdown(l.p.back->back);
			good = good && rig_until_phase(l.p.back, NF_NET_CLOSED, MS) == 0;
			end_close(&l.p.back);
		} else {
			nf_netfront_shutdown(l.p.front->front);
			good = good && rig_until_phase(l.p.front, NF_NET_CLOSED, MS) == 0;
			end_close(&l.p.front);
		}
	}
	ok(good, "a %s that closes and comes back eight times", who);
	life_close(&l);
}

/* An end that vanishes without a word, as a killed process does, and is started again. */
static void dies(bool is_back, enum nf_poll_mode mode)
{
	struct life l;
	const char *who = is_back ? "back" : "front";
	life_open(&l, mode);
	bool good = true;
	for (int i = 0; i < 6 && good; i++) {
		good = life_start(&l, NULL, NULL) && moves(&l);
		rig_generate(is_back ? l.p.front : l.p.back, NF_GEN_SEND, 1514, 0);
		rig_linger(&l.r, 3);
		end_close(is_back ? &l.p.back : &l.p.front);
		struct rig_end *left = is_back ? l.p.front : l.p.back;
		if (i & 1) /* half of the time it is back before anybody noticed */
			for (int k = 0; k < 500 && rig_phase(left) == NF_NET_RUNNING; k++)
				rig_linger(&l.r, 10);
		rig_generate(left, NF_GEN_IDLE, 60, 0);
		if (i & 1)
			ok(rig_phase(left) != NF_NET_RUNNING && strstr(left->notice, "hung up"),
			   "the other end noticed (%s)", left->notice);
	}
	ok(good, "a %s that is killed and started again six times", who);
	life_close(&l);
}

/* The domain dies: its grants end under the back's feet. */
static void domain_dies(void)
{
	struct life l;
	life_open(&l, NF_POLL_EVENT);
	ok(life_start(&l, NULL, NULL), "connected");
	mem_world_kill(l.r.w, 1);
	rig_linger(&l.r, 50);
	ok(rig_phase(l.p.back) != NF_NET_RUNNING, "the back noticed that the guest died");
	is(rig_counter(l.p.back, NF_COUNTER_grant_maps),
	   rig_counter(l.p.back, NF_COUNTER_grant_unmaps), "and let go of its pages");
	mem_store_rm(l.r.w, l.v.front_path);
	rig_linger(&l.r, 20);
	is(rig_phase(l.p.back), NF_NET_CLOSED, "its node vanished: closed");
	end_close(&l.p.front);
	end_close(&l.p.back);
	rig_close(&l.r);
}

static void closed_early(void)
{
	struct life l;
	nf_netfront_close(NULL);
	nf_netback_close(NULL);
	ok(true, "closing nothing is fine");
	life_open(&l, NF_POLL_EVENT);
	l.p.back = rig_back(&l.r, &l.v, NULL, NULL);
	l.p.front = rig_front(&l.r, &l.v, NULL, NULL);
	end_close(&l.p.front);
	end_close(&l.p.back);
	ok(at_baseline(&l), "closed before the first step");
	for (int i = 0; i < 12; i++) {
		l.p.back = rig_back(&l.r, &l.v, NULL, NULL);
		l.p.front = rig_front(&l.r, &l.v, NULL, NULL);
		for (int k = 0; k < i; k++)
			rig_turn(&l.r);
		end_close(i & 1 ? &l.p.front : &l.p.back);
		end_close(i & 1 ? &l.p.back : &l.p.front);
	}
	ok(at_baseline(&l), "closed after each of twelve steps");
	ok(life_start(&l, NULL, NULL) && moves(&l), "and still connects");
	life_close(&l);
}

static void bad_port(void)
{
	struct life l;
	struct rig_options bad = {.port = "nonsense:1"};
	int rc = 0;
	life_open(&l, NF_POLL_EVENT);
	ok(!rig_front(&l.r, &l.v, &bad, &rc), "an unknown port is refused");
	is(rc, -EINVAL, "as misuse");
	struct rig_options map = {.grants = NF_NET_GRANTS_MAP};
	ok(!rig_back(&l.r, &l.v, &map, &rc) && rc == -EINVAL, "so are mapped grants");
	ok(at_baseline(&l), "nothing is left behind");
	life_close(&l);
}

static void cycles(uint32_t count)
{
	struct life l;
	life_open(&l, NF_POLL_EVENT);
	bool good = life_start(&l, NULL, NULL);
	for (uint32_t i = 0; i < count && good; i++) {
		nf_netfront_shutdown(l.p.front->front);
		for (int k = 0; k < 400 && rig_phase(l.p.front) != NF_NET_CLOSED; k++)
			rig_turn(&l.r);
		end_close(&l.p.front);
		l.p.front = rig_front(&l.r, &l.v, NULL, NULL);
		for (int k = 0; k < 400 && rig_phase(l.p.front) != NF_NET_RUNNING; k++)
			rig_turn(&l.r);
		good = rig_phase(l.p.front) == NF_NET_RUNNING;
	}
	ok(good && moves(&l), "%u reconnections", count);
	is(mem_world_quarantine(l.r.w, 0), 0, "no page went to quarantine");
	life_close(&l);
}

int main(void)
{
	orderly();
	comes_back(true);
	comes_back(false);
	for (int m = 0; m < 2; m++) {
		dies(true, m ? NF_POLL_ADAPTIVE : NF_POLL_EVENT);
		dies(false, m ? NF_POLL_ADAPTIVE : NF_POLL_EVENT);
	}
	domain_dies();
	closed_early();
	bad_port();
	cycles(300);
	return done();
}
