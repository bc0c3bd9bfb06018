/* SPDX-License-Identifier: MIT */
/*
 * HOSTILE.md group 18, and 15's memory: whatever call of the layer fails, at connect or later, what
 * was mapped is unmapped, what was granted ended, and a hundred connections cost what none does.
 */
#include "hostile.h"

#include <malloc.h>

static const int errors[] = {-ENOMEM, -EACCES, -EDQUOT, -ETIMEDOUT};

/* Fails the nth call of any verb of the victim's domain; true: the connection came all the same. */
static bool attempt(struct scene *s, bool hostile_is_back, uint32_t nth,
		    const struct rig_options *o, const struct hostile_options *opt)
{
	uint16_t domid = hostile_is_back ? 2 : 0;
	s->h.wait_ms = 80;
	bool up = scene_prepare(s, hostile_is_back, opt, o);
	mem_world_fail(s->r.w, domid, MEM_ANY, nth, errors[nth % 4]);
	int rc = !up		   ? -EIO
		 : hostile_is_back ? hostile_back_connect(&s->h)
				   : hostile_front_connect(&s->h);
	up = rc == 0 && rig_until_phase(s->real, NF_NET_RUNNING, 50) == 0;
	mem_world_fail(s->r.w, domid, MEM_ANY, 0, 0);
	s->h.wait_ms = 0;
	return up;
}

static void every_call(struct scene *s, bool hostile_is_back, const struct rig_options *o,
		       const struct hostile_options *opt, const char *what)
{
	uint32_t bad = 0, ups = 0, n = 1;
	uint64_t maps = 0;
	for (; n <= 40; n++) {
		bool up = attempt(s, hostile_is_back, n, o, opt);
		maps = rig_counter(s->real, NF_COUNTER_grant_maps);
		if (!scene_end(s, n & 1)) {
			diag("%s: call %u fails: %s", what, n, s->why);
			bad++;
		}
		ups += up;
		if (up && ups >= 3)
			break;
	}
	is(bad, 0, "%s: %u failing calls leave nothing behind", what, n);
	ok(ups > 0, "%s: and without a failure it connects (%llu grants mapped)", what,
	   (unsigned long long)maps);
	ok(rig_pair_moves(&s->bystander, 100, 5000), "%s: the bystander goes on", what);
}

/* mapped == unmapped by the driver's own counters as well. */
static void ledger(struct scene *s)
{
	struct hostile_options opt = {.queues = 2};
	struct rig_options o = {.queues = 2};
	SCENE(s, scene_front(s, &opt, &o), "ledger: connected");
	uint64_t maps = rig_counter(s->real, NF_COUNTER_grant_maps);
	ok(maps >= 1024, "ledger: %llu grants mapped", (unsigned long long)maps);
	(void)hostile_state(&s->h, NF_XENBUS_CLOSING);
	is(hostile_wait(&s->h, NF_XENBUS_CLOSING), 0, "ledger: closing");
	is(rig_counter(s->real, NF_COUNTER_grant_unmaps), maps, "ledger: as many unmapped");
	SCENE(s, scene_end(s, false), "ledger: baseline");
}

static void cycles(struct scene *s, uint32_t count)
{
	size_t first = 0;
	uint32_t bad = 0;
	for (uint32_t i = 0; i < count; i++) {
		bool up = i & 1 ? scene_back(s, NULL, NULL) : scene_front(s, NULL, NULL);
		bad += !up;
		bad += !scene_end(s, i & 2);
		if (i == count / 4)
			first = mallinfo2().uordblks;
	}
	is(bad, 0, "cycles: %u connections come and go", count);
	size_t last = mallinfo2().uordblks;
	ok(last <= first + 65536, "cycles: heap %zu after a quarter, %zu at the end", first, last);
	mem_world_kill(s->r.w, 3); /* half of them left quarantine behind */
	mem_world_kill(s->r.w, 1);
}

int main(void)
{
	struct scene s;
	struct hostile_options multi = {.queues = 2, .split = true}, plain = {.no_ctrl = true};
	struct rig_options two = {.queues = 2}, copy = {.grants = NF_NET_GRANTS_COPY};
	SCENE(&s, scene_open(&s, NF_POLL_EVENT), "the stage");
	every_call(&s, false, NULL, NULL, "back");
	every_call(&s, false, &two, &multi, "back, two queues, split");
	every_call(&s, false, &copy, &plain, "back, grant copy");
	every_call(&s, true, NULL, NULL, "front");
	every_call(&s, true, &two, &multi, "front, two queues, split");
	ledger(&s);
	cycles(&s, 100);
	scene_close(&s);
	return done();
}
