/* SPDX-License-Identifier: MIT */
/* Two halves for disks that answer all at once. */
#include <time.h>

#include "blk_fileport.h"

#define CONVOY 8u	/* requests; fewer are not worth a clock */
#define SLOW_NS 30000u	/* a disk that idles as long between two convoys idles too long */
#define SLOW_TIMES 3u	/* in a row, and not by an accident of the scheduler */
#define PIECES_TIMES 2u /* before it is believed to answer piece by piece */

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void nf__window_begin(struct nf__filewindow *w)
{
	if (w->was == 0)
		return;
	w->slow = now_ns() - w->emptied_ns > SLOW_NS ? w->slow + 1 : 0;
	if (w->slow >= SLOW_TIMES) {
		w->limit = w->was / 2;
		w->slow = 0;
	}
	w->was = 0;
}

void nf__window_wanted(struct nf__filewindow *w, uint32_t all)
{
	if (w->limit < all / 2)
		w->limit = all / 2;
}

void nf__window_reaped(struct nf__filewindow *w, uint32_t done, uint32_t left, uint32_t depth)
{
	if (left > 0) {
		w->pieces = w->limit < depth && left >= CONVOY / 2 ? w->pieces + 1 : 0;
		if (w->pieces >= PIECES_TIMES)
			w->limit = depth;
		return;
	}
	w->pieces = 0;
	if (done < CONVOY)
		return;
	w->was = done;
	w->emptied_ns = now_ns();
}
