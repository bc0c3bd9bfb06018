/* SPDX-License-Identifier: MIT */
/* Nodes of a block device as xl writes them. */
#include <stdio.h>

#include "blkrig.h"

int mem_vbd_set(struct mem_vbd *v, bool is_back, const char *key, const char *value)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", is_back ? v->back_path : v->front_path, key);
	return mem_store_write(v->w, path, value);
}

static void set_u32(struct mem_vbd *v, bool is_back, const char *key, uint32_t value)
{
	char text[16];
	snprintf(text, sizeof(text), "%u", value);
	(void)mem_vbd_set(v, is_back, key, text);
}

static void half(struct mem_vbd *v, bool is_back)
{
	const char *path = is_back ? v->back_path : v->front_path;
	(void)mem_store_write(v->w, path, "");
	(void)mem_store_perms(v->w, path, is_back ? v->back : v->front,
			      is_back ? v->front : v->back);
	(void)mem_vbd_set(v, is_back, is_back ? "frontend" : "backend",
			  is_back ? v->front_path : v->back_path);
	set_u32(v, is_back, is_back ? "frontend-id" : "backend-id", is_back ? v->front : v->back);
	(void)mem_vbd_set(v, is_back, "device-type", "disk");
	if (is_back) {
		set_u32(v, true, "online", 1);
		(void)mem_vbd_set(v, true, "mode", "w");
	} else {
		set_u32(v, false, "virtual-device", v->devid);
	}
}

int mem_vbd_create(struct mem_vbd *v, struct mem_world *w, uint16_t front, uint16_t back,
		   uint16_t devid)
{
	char there[2];
	*v = (struct mem_vbd){.w = w, .front = front, .back = back, .devid = devid};
	snprintf(v->front_path, sizeof(v->front_path), "/local/domain/%u/device/vbd/%u", front,
		 devid);
	snprintf(v->back_path, sizeof(v->back_path), "/local/domain/%u/backend/vbd/%u/%u", back,
		 front, devid);
	if (mem_store_read(w, v->front_path, there, sizeof(there)) != -ENOENT)
		return -EEXIST;
	half(v, true);
	half(v, false);
	set_u32(v, true, "state", 1);
	set_u32(v, false, "state", 1);
	return 0;
}

void mem_vbd_remove(struct mem_vbd *v)
{
	(void)mem_store_rm(v->w, v->front_path);
	(void)mem_store_rm(v->w, v->back_path);
}
