/* SPDX-License-Identifier: MIT */
/*
 * What every hostile test plays in: a real driver with a hostile peer, beside two honest domains
 * whose device goes on whatever happens.
 *
 *   domain 0  real backs        domain 1  the hostile front
 *   domain 2  real fronts       domain 3  the hostile back
 * The bystander is front 2 to back 0, devid 5; the victim is devid 0.
 */
#ifndef NF_TEST_SCENE_H
#define NF_TEST_SCENE_H

#include "hostile.h"
#include "rig.h"

struct scene {
	struct rig r;
	struct rig_pair bystander;
	struct mem_baseline base; /* with the bystander running and no victim */
	struct mem_vif v;
	struct rig_end *real; /* the victim */
	struct hostile h;     /* its peer */
	bool hostile_is_back;
	char why[512]; /* of what failed last */
};

/* World, poller and bystander. False: the rig itself does not work (why says so). */
bool scene_open(struct scene *s, enum nf_poll_mode mode);
void scene_close(struct scene *s);

/* A victim back and a hostile front, connected. opt and rig options may be NULL. */
bool scene_front(struct scene *s, const struct hostile_options *opt, const struct rig_options *o);
/* A victim front and a hostile back, connected. */
bool scene_back(struct scene *s, const struct hostile_options *opt, const struct rig_options *o);
/* The same without connecting: nodes, the victim, and the peer opened (not published/offered). */
bool scene_prepare(struct scene *s, bool hostile_is_back, const struct hostile_options *opt,
		   const struct rig_options *o);

/*
 * The victim stops for good: phase FAILED, the error node holds `text`, protocol_errors counted,
 * and more of the same changes nothing; the bystander's traffic goes on. False with why.
 */
bool scene_refused(struct scene *s, const char *text);
/* The victim still runs, without an error, and the bystander goes on. */
bool scene_survived(struct scene *s);
/*
 * Ends the act. The victim first (its mappings go before the pages do) or, with hostile_first, the
 * peer first, as a peer that dies. Everything must be at its baseline, quarantine aside.
 */
bool scene_end(struct scene *s, bool hostile_first);
/* The error node of the victim; "" when there is none. */
const char *scene_error(struct scene *s);

#endif
