/* SPDX-License-Identifier: MIT */
/* A real end, its hostile peer, and two honest ends beside them. */
#include <stdio.h>
#include <string.h>

#include "blkhostile.h"

bool blkscene_open(struct blkscene *s, enum nf_poll_mode mode)
{
	memset(s, 0, sizeof(*s));
	rig_open(&s->r, mode);
	blkrig_open(&s->b, &s->r);
	for (uint16_t d = 0; d < 4; d++)
		rig_domain(&s->r, d);
	int rc = blkrig_pair_open(&s->bystander, &s->b, 2, 0, 5, NULL, NULL);
	snprintf(s->why, sizeof(s->why), "the bystander does not connect: %d", rc);
	mem_world_baseline(s->r.w, &s->base);
	return rc == 0;
}

void blkscene_close(struct blkscene *s)
{
	blkrig_pair_close(&s->bystander);
	blkrig_close(&s->b);
	rig_close(&s->r);
}

static bool bystander_moves(struct blkscene *s)
{
	static uint8_t data[65536];
	blkrig_fill(data, sizeof(data), 4096, 1);
	int rc = blkrig_do(&s->b, s->bystander.front, NF_BLKOP_WRITE, 8, data, sizeof(data));
	memset(data, 0, sizeof(data));
	if (rc == 0)
		rc = blkrig_do(&s->b, s->bystander.front, NF_BLKOP_READ, 8, data, sizeof(data));
	if (rc == 0 && blkrig_check(data, sizeof(data), 4096, 1) == -1)
		return true;
	snprintf(s->why, sizeof(s->why), "the bystander is harmed: %d", rc);
	return false;
}

bool blkscene_front(struct blkscene *s, const struct blkhostile_options *opt,
		    const struct nf_blk_config *real)
{
	int rc = mem_vbd_create(&s->v, s->r.w, 1, 0, 0);
	if (rc == 0)
		s->real = blkrig_back(&s->b, &s->v, real, &rc);
	if (rc == 0)
		rc = bh_front_open(&s->h, &s->b, 1, 0, opt);
	if (rc == 0)
		rc = bh_front_connect(&s->h);
	snprintf(s->why, sizeof(s->why), "hostile front: %d; %s", rc,
		 s->real ? s->real->notice : "no back");
	return rc == 0;
}

bool blkscene_back(struct blkscene *s, const struct blkhostile_options *opt,
		   const struct nf_blk_config *real)
{
	int rc = mem_vbd_create(&s->v, s->r.w, 2, 3, 0);
	if (rc == 0)
		rc = bh_back_open(&s->h, &s->b, 3, 2, 0, opt);
	if (rc == 0)
		s->real = blkrig_front(&s->b, &s->v, real, &rc);
	if (rc == 0)
		rc = bh_back_connect(&s->h);
	if (rc == 0)
		rc = blkrig_until_phase(&s->b, s->real, NF_BLK_RUNNING, 5000);
	snprintf(s->why, sizeof(s->why), "hostile back: %d; %s", rc,
		 s->real ? s->real->notice : "no front");
	return rc == 0;
}

static void error_read(struct blkscene *s, char *text, size_t cap)
{
	char path[NF_STORE_PATH_MAX];
	snprintf(path, sizeof(path), "%.80s/error",
		 s->real->is_back ? s->v.back_path : s->v.front_path);
	if (mem_store_read(s->r.w, path, text, cap) < 0)
		text[0] = '\0';
}

bool blkscene_refused(struct blkscene *s, const char *text)
{
	char error[300];
	int rc = blkrig_until_phase(&s->b, s->real, NF_BLK_FAILED, 5000);
	error_read(s, error, sizeof(error));
	if (rc || !strstr(error, text)) {
		snprintf(s->why, sizeof(s->why), "phase %d, error \"%s\", wanted \"%s\"",
			 blkrig_phase(s->real), error, text);
		return false;
	}
	return bystander_moves(s);
}

bool blkscene_survived(struct blkscene *s)
{
	char error[300];
	blkrig_linger(&s->b, 5);
	error_read(s, error, sizeof(error));
	if (blkrig_phase(s->real) != NF_BLK_RUNNING || error[0]) {
		snprintf(s->why, sizeof(s->why), "phase %d, error \"%s\"", blkrig_phase(s->real),
			 error);
		return false;
	}
	return bystander_moves(s);
}

bool blkscene_end(struct blkscene *s, bool hostile_first)
{
	if (hostile_first)
		bh_close(&s->h);
	if (hostile_first)
		blkrig_linger(&s->b, 20);
	if (s->real)
		blkrig_end_close(s->real);
	bh_close(&s->h);
	mem_vbd_remove(&s->v);
	s->real = NULL;
	return mem_world_settle(s->r.w, &s->base, 3000, s->why, sizeof(s->why)) == 0;
}
