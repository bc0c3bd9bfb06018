/* SPDX-License-Identifier: MIT */
/* What xl writes for a disk on real Xen, and what it expects of its back. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "nfd.h"

#define SCRIPT "block-nestfront" /* a disk with script=SCRIPT... in its line is meant for us */

bool nfd_xen_disk_is_scripted(struct nfd_side *s, const char *path)
{
	char script[NF_STORE_PATH_MAX];
	nfd_read_word(s, path, "script", script, sizeof(script));
	const char *name = strrchr(script, '/');
	name = name ? name + 1 : script;
	return !strncmp(name, SCRIPT, strlen(SCRIPT));
}

/* xl's target: a path, or a spec of ours as it stands. */
int nfd_xen_disk_port(struct nfd_side *s, const struct nfd_device *v, char *port, size_t cap)
{
	char params[NF_STORE_PATH_MAX];
	struct stat st;
	const char *kind = "";

	nfd_read_word(s, v->path, "params", params, sizeof(params));
	if (!params[0]) {
		nfd_log("%s: params is empty: a disk's line names its target=", v->path);
		return -EINVAL;
	}
	if (params[0] == '/') {
		/* what is not there is a file's error to tell, and is looked for again */
		bool is_block = stat(params, &st) == 0 && S_ISBLK(st.st_mode);
		kind = is_block ? "block:" : "file:";
	}
	int n = snprintf(port, cap, "%s%s", kind, params);
	if (n >= 0 && (size_t)n < cap)
		return 0;
	nfd_log("%s: params: a path of more than %zu bytes", v->path, cap - 8);
	return -EINVAL;
}

bool nfd_xen_has_script(struct nfd_side *s, const struct nfd_device *v)
{
	char full[NF_STORE_PATH_MAX], script[4];
	snprintf(full, sizeof(full), "%s/script", v->path);
	int rc = nf_store_read(s->store, 0, full, script, sizeof(script));
	return rc > 0 || rc == -ERANGE;
}

int nfd_xen_disk_budget(struct nfd *d, struct nfd_device *v, uint32_t side, struct nf_blk_config *c)
{
	const struct nfd_pages want = {.queue = nf_blkfront_queue_pages(c)};
	return nfd_xen_budget(d, v, side, &want, &c->queues);
}
