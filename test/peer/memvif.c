/* SPDX-License-Identifier: MIT */
/* Device nodes as xl writes them. */
#include <stdio.h>
#include <string.h>

#include "memlayer.h"

int mem_vif_set(struct mem_vif *v, bool is_back, const char *key, const char *value)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", is_back ? v->back_path : v->front_path, key);
	return mem_store_write(v->w, path, value);
}

static void set_u32(struct mem_vif *v, bool is_back, const char *key, uint32_t value)
{
	char text[16];
	snprintf(text, sizeof(text), "%u", value);
	(void)mem_vif_set(v, is_back, key, text);
}

static void half(struct mem_vif *v, bool is_back, const char *port)
{
	char mac[20];
	const char *path = is_back ? v->back_path : v->front_path;
	(void)mem_store_write(v->w, path, "");
	(void)mem_store_perms(v->w, path, is_back ? v->back : v->front,
			      is_back ? v->front : v->back);
	snprintf(mac, sizeof(mac), "00:16:3e:00:%02x:%02x", v->front & 0xffu, v->devid & 0xffu);
	(void)mem_vif_set(v, is_back, is_back ? "frontend" : "backend",
			  is_back ? v->front_path : v->back_path);
	set_u32(v, is_back, is_back ? "frontend-id" : "backend-id", is_back ? v->front : v->back);
	set_u32(v, is_back, "handle", v->devid);
	set_u32(v, is_back, "mtu", 1500);
	(void)mem_vif_set(v, is_back, "mac", mac);
	if (is_back)
		set_u32(v, true, "online", 1);
	if (port)
		(void)mem_vif_set(v, is_back, "nestfront/port", port);
}

int mem_vif_create(struct mem_vif *v, struct mem_world *w, uint16_t front, uint16_t back,
		   uint16_t devid, const char *port)
{
	char there[2];
	*v = (struct mem_vif){.w = w, .front = front, .back = back, .devid = devid};
	snprintf(v->front_path, sizeof(v->front_path), "/local/domain/%u/device/vif/%u", front,
		 devid);
	snprintf(v->back_path, sizeof(v->back_path), "/local/domain/%u/backend/vif/%u/%u", back,
		 front, devid);
	if (mem_store_read(w, v->front_path, there, sizeof(there)) != -ENOENT)
		return -EEXIST;
	half(v, true, port);
	half(v, false, port);
	set_u32(v, true, "state", 1);
	set_u32(v, false, "state", 1);
	return 0;
}

void mem_vif_remove(struct mem_vif *v)
{
	(void)mem_store_rm(v->w, v->front_path);
	(void)mem_store_rm(v->w, v->back_path);
}
