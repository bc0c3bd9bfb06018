/* SPDX-License-Identifier: MIT */
/* What model_table.c and long_model_table.c say of each scene. */
#ifndef NF_MODEL_TABLE_TAP_H
#define NF_MODEL_TABLE_TAP_H

#include "model/table_run.h"
#include "c/tap.h"

/* All executions of it are good; else the first that is not is told. */
static bool holds(const struct scene *s)
{
	scene = s;
	const char *why = explore_all(model_run);
	ok(!why, "%s: %llu states, %llu executions%s%s", s->name,
	   (unsigned long long)explore.states, (unsigned long long)explore.executions,
	   why ? ": " : "", why ? why : "");
	if (why)
		explore_tell(model_run);
	return !why;
}

__attribute__((unused)) static void found(const char *name, enum model_mutant mutant,
					  const struct scene *s)
{
	scene = s;
	model_mutant = mutant;
	const char *why = explore_all(model_run);
	model_mutant = SOUND;
	ok(why, "%s is found: %s", name, why ? why : "no, the checker is blind");
}

/* is_hasty: no more after the first that is not good, for sources with a bug in them. */
static void scenes_run(const struct scene *scenes, size_t count, bool is_hasty)
{
	world_open();
	for (size_t i = 0; i < count; i++)
		if (!holds(&scenes[i]) && is_hasty)
			break;
}

static void scenes_end(void)
{
	nf__gref_map_free(names);
	free(explore.seen);
}

#endif
