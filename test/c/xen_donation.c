/* SPDX-License-Identifier: MIT */
/*
 * L1's relay to real Xen: pages that gntalloc granted to L0 are donated to an inner layer, whose
 * hypervisor is a real one, and L2 gets them, at their offset in gntalloc's file. Here gntalloc is
 * a memfd and its ioctls are answered below; the lab has the kernel's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layer/xen/uapi.h"
#include "live.h"
#include "nf/xen.h"
#include "tap.h"
#include "xendir.h"

#define FIRST_PAGE 8u /* of the file that is not somebody else's */
#define FILE_PAGES 32u
#define PAGES 4u

static struct nf_layer *outer, *relay, *guest; /* Xen; domain 0 and domain 1 of the inner one */
static int file = -1;
static uint32_t dealloc_calls;

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	va_start(ap, request);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	if (request == IOCTL_GNTALLOC_ALLOC_GREF) {
		struct ioctl_gntalloc_alloc_gref *q = arg;
		for (uint32_t i = 0; i < q->count; i++)
			q->gref_ids[i] = 500 + i;
		q->index = FIRST_PAGE * NF_PAGE_BYTES;
		return 0;
	}
	if (request == IOCTL_GNTALLOC_DEALLOC_GREF) {
		dealloc_calls++;
		return 0;
	}
	return (int)syscall(SYS_ioctl, fd, request, arg);
}

static bool open_outer(void)
{
	char path[128], target[64];
	const char *dir = xendir_make();
	file = memfd_create("gntalloc", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (!dir || file < 0 || ftruncate(file, FILE_PAGES * NF_PAGE_BYTES) < 0 || !xendir_xenbus())
		return false;
	fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	snprintf(path, sizeof(path), "%s/gntalloc", dir);
	snprintf(target, sizeof(target), "/proc/%d/fd/%d", (int)getpid(), file);
	xendir_file("evtchn", "");
	xendir_file("gntdev", "");
	return symlink(target, path) == 0 && nf_layer_open_xen(dir, &outer) == 0;
}

static struct nf_arena_key key_of(uint16_t peer, uint16_t queue)
{
	return (struct nf_arena_key){.peer = peer,
				     .inner_owner = NF_DOMID_SELF,
				     .device = 3,
				     .queue = queue,
				     .purpose = NF_PURPOSE_RX_PAYLOAD};
}

/* What L2 writes is in the pages that were granted on Xen, and nowhere else. */
static void test_pages(void)
{
	struct nf_arena_key key = key_of(0, 0);
	struct nf_arena a = {.fd = -1}, b = {.fd = -1};
	uint32_t grefs[PAGES], inner_grefs[PAGES];
	uint8_t byte[2];
	key.inner_owner = guest->domid;
	is(outer->ops->alloc(outer, &key, PAGES, NF_ALLOC_NOMAP, grefs, &a), 0, "granted to L0");
	ok(a.base == NULL, "L1 does not see them");
	is(relay->ops->donate(relay, guest->domid, &a, false), 0, "donated");
	key = key_of(0, 0);
	is(guest->ops->alloc(guest, &key, PAGES, 0, inner_grefs, &b), 0, "L2 allocates");
	if (!ok(b.base != NULL, "and sees them"))
		return;
	is((int)(b.fd_offset / NF_PAGE_BYTES), (int)FIRST_PAGE, "where they are in the file");
	for (uint32_t i = 0; i < PAGES; i++)
		memset(b.base + (size_t)i * NF_PAGE_BYTES, (int)(0x40 + i), NF_PAGE_BYTES);
	for (uint32_t i = 0; i < PAGES; i++) {
		off_t at = (off_t)(FIRST_PAGE + i) * NF_PAGE_BYTES;
		ok(pread(file, byte, 1, at) == 1 &&
			   pread(file, byte + 1, 1, at + NF_PAGE_BYTES - 1) == 1 &&
			   byte[0] == 0x40 + i && byte[1] == 0x40 + i,
		   "page %u is L2's page %u", FIRST_PAGE + i, i);
	}
	ok(pread(file, byte, 1, FIRST_PAGE * NF_PAGE_BYTES - 1) == 1 && byte[0] == 0 &&
		   pread(file, byte, 1, (FIRST_PAGE + PAGES) * NF_PAGE_BYTES) == 1 && byte[0] == 0,
	   "the pages around are untouched");
	is(outer->ops->end(outer, &a), 0, "L1 ends the grants");
	is((int)dealloc_calls, 1, "the kernel was told");
	b.base[0] = 1; /* L2's mapping is its own */
	ok(guest->ops->end(guest, &b) <= 0 && b.fd == -1, "L2 ends its own");
}

/* The back of the inner layer maps what L2 was given, through the same file. */
static void test_mapped(void)
{
	struct nf_arena_key key = key_of(0, 1);
	struct nf_arena a = {.fd = -1}, b = {.fd = -1};
	struct nf_mapping m = {.count = 0};
	uint32_t grefs[PAGES], inner_grefs[PAGES];
	void *addrs[PAGES];
	is(outer->ops->alloc(outer, &key, PAGES, NF_ALLOC_NOMAP, grefs, &a), 0, "granted again");
	is(relay->ops->donate(relay, guest->domid, &a, false), 0, "donated");
	is(guest->ops->alloc(guest, &key, PAGES, 0, inner_grefs, &b), 0, "L2's");
	if (!b.base)
		return;
	is(relay->ops->map(relay, guest->domid, inner_grefs, PAGES, false, addrs, &m), 0,
	   "the inner back maps them");
	memcpy(b.base + 2 * NF_PAGE_BYTES, "through Xen", 12);
	ok(m.count == PAGES && !strcmp(addrs[2], "through Xen"), "both see one page");
	relay->ops->unmap(relay, &m);
	guest->ops->end(guest, &b);
	outer->ops->end(outer, &a);
}

static void test_refusals(void)
{
	struct nf_arena_key key = key_of(0, 2);
	uint32_t grefs[PAGES];
	struct nf_arena a = {.fd = -1}, wrong;
	is(outer->ops->alloc(outer, &key, PAGES, NF_ALLOC_NOMAP, grefs, &a), 0, "one more");
	is(guest->ops->donate(guest, 0, &a, false), -ENOSYS, "L2 donates nothing");
	wrong = a;
	wrong.fd_offset = (FILE_PAGES - 1) * NF_PAGE_BYTES;
	is(relay->ops->donate(relay, guest->domid, &wrong, false), -EINVAL, "beyond the file");
	wrong = a;
	wrong.fd_offset += 512;
	is(relay->ops->donate(relay, guest->domid, &wrong, false), -EINVAL, "not at a page");
	wrong = a;
	wrong.fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	is(relay->ops->donate(relay, guest->domid, &wrong, false), -EINVAL,
	   "a device that is not gntalloc");
	close(wrong.fd);
	wrong.fd = memfd_create("unsealed", MFD_CLOEXEC);
	ok(ftruncate(wrong.fd, FILE_PAGES * NF_PAGE_BYTES) == 0, "a file that could shrink");
	is(relay->ops->donate(relay, guest->domid, &wrong, false), -EINVAL, "is refused");
	close(wrong.fd);
	outer->ops->end(outer, &a);
}

int main(int argc, char **argv)
{
	char why[256];
	(void)argc;
	if (!live_started()) {
		live_start(argv[0], false, why, sizeof(why));
		skip_all("%s", why);
	}
	if (!open_outer()) {
		xendir_remove();
		skip_all("no pseudo-terminals or memfds here");
	}
	is(nf_layer_open_embedded(3, &guest), 0, "L2's connection");
	is(nf_layer_open_embedded(4, &relay), 0, "the relay's connection");
	if (guest && relay) {
		ok(outer->caps & NF_CAP_BACKING && relay->caps & NF_CAP_DONATE, "Xen can back it");
		test_pages();
		test_mapped();
		test_refusals();
		guest->ops->close(guest);
		relay->ops->close(relay);
	}
	outer->ops->close(outer);
	xendir_remove();
	return done();
}
