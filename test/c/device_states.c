/* SPDX-License-Identifier: MIT */
/* The transition table: what Linux's drivers do is allowed, what only a bug does is not, with a
 * reason. */
#include <errno.h>

#include "nf/device.h"
#include "tap.h"

#define ANY 9u

struct path {
	const char *name;
	bool is_back;
	uint8_t states[10];
	uint8_t count;
};

static const struct path allowed[] = {
	{"netfront: connect, close", false, {1, 4, 5, 6}, 4},
	{"blkfront: connect, close", false, {1, 3, 4, 5, 6}, 5},
	{"front: close, start over", false, {4, 5, 6, 1, 4}, 5},
	{"front: give up before connecting", false, {1, 6, 1}, 3},
	{"front: give up half way", false, {1, 3, 5, 6}, 4},
	{"front: no state written yet", false, {0, 1}, 2},
	{"netback: connect, close", true, {1, 2, 4, 5, 6}, 5},
	{"netback: reconnect", true, {6, 2, 4}, 3},
	{"back: start over", true, {6, 1, 2}, 3},
	{"back: no front came", true, {2, 5, 6}, 3},
	{"back: no state written yet", true, {0, 2}, 2},
};

/* {from, to}, ANY: from every other state */
static const uint8_t forbidden_front[][2] = {
	{1, 2}, {4, 1}, {4, 3}, {4, 6}, {3, 1},	  {3, 6},   {5, 1},   {5, 3},
	{5, 4}, {6, 3}, {6, 4}, {6, 5}, {ANY, 0}, {ANY, 7}, {ANY, 8}, {ANY, 2},
};
static const uint8_t forbidden_back[][2] = {
	{1, 4}, {4, 1}, {4, 2}, {4, 6},	  {2, 1},   {5, 1},   {5, 2},
	{5, 4}, {6, 4}, {6, 5}, {ANY, 0}, {ANY, 3}, {ANY, 7}, {ANY, 8},
};

static void check_forbidden(bool is_back, uint8_t from, uint8_t to)
{
	const char *why = "";

	if (from == ANY) {
		for (uint8_t f = 0; f < 9; f++)
			if (f != to)
				check_forbidden(is_back, f, to);
		return;
	}
	int rc = nf_xenbus_transition(is_back, from, to, &why);
	is(rc, -EINVAL, "%s %s -> %s: %s", is_back ? "back" : "front", nf_xenbus_state_name(from),
	   nf_xenbus_state_name(to), why);
	ok(strlen(why) > 15, "with a sentence why");
}

int main(void)
{
	const char *why = "";
	int32_t bad[][2] = {{9, 1}, {1, 9}, {-1, 1}, {1, -1}, {1, INT32_MAX}};

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		for (uint8_t s = 1; s < allowed[i].count; s++)
			is(nf_xenbus_transition(allowed[i].is_back, allowed[i].states[s - 1],
						allowed[i].states[s], NULL),
			   0, "%s: %u -> %u", allowed[i].name, allowed[i].states[s - 1],
			   allowed[i].states[s]);
	for (size_t i = 0; i < sizeof(forbidden_front) / 2; i++)
		check_forbidden(false, forbidden_front[i][0], forbidden_front[i][1]);
	for (size_t i = 0; i < sizeof(forbidden_back) / 2; i++)
		check_forbidden(true, forbidden_back[i][0], forbidden_back[i][1]);
	for (uint8_t s = 1; s < 9; s++) {
		is(nf_xenbus_transition(false, s, s, &why), 0, "staying in %u is no transition", s);
		is_str(why, "allowed", "says so");
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int rc = nf_xenbus_transition(true, (enum nf_xenbus_state)bad[i][0],
					      (enum nf_xenbus_state)bad[i][1], &why);
		is(rc, -EINVAL, "%d -> %d: %s", bad[i][0], bad[i][1], why);
	}
	is_str(nf_xenbus_state_name((enum nf_xenbus_state)9), "invalid", "a name for anything");
	return done();
}
