/* SPDX-License-Identifier: MIT */
/*
 * What nestfrontd is as a file: one static executable that runs in any guest, and small. Counted is
 * what `strip` leaves, so that a build with debug information passes or fails alike.
 */
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"

#define BYTES_MAX (2u << 20)

static const uint8_t *map_file(const char *path, size_t *bytes)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	*bytes = (size_t)st.st_size;
	return p == MAP_FAILED ? NULL : p;
}

/* Bytes of the sections that are loaded: what stripping keeps, but for a few headers. */
static uint64_t loaded_bytes(const uint8_t *file, const Elf64_Ehdr *h)
{
	const Elf64_Shdr *s = (const Elf64_Shdr *)(const void *)(file + h->e_shoff);
	uint64_t sum = 0;
	for (int i = 0; i < h->e_shnum; i++)
		if (s[i].sh_flags & SHF_ALLOC && s[i].sh_type != SHT_NOBITS)
			sum += s[i].sh_size;
	return sum;
}

static void check(const char *path)
{
	size_t bytes = 0;
	const uint8_t *file = map_file(path, &bytes);
	ok(file && bytes > sizeof(Elf64_Ehdr), "%s", path);
	if (!file)
		return;
	const Elf64_Ehdr *h = (const Elf64_Ehdr *)(const void *)file;
	const Elf64_Phdr *p = (const Elf64_Phdr *)(const void *)(file + h->e_phoff);
	int interpreters = 0;
	for (int i = 0; i < h->e_phnum; i++)
		interpreters += p[i].p_type == PT_INTERP;
	is(interpreters, 0, "needs no dynamic linker");
	uint64_t sum = loaded_bytes(file, h);
	ok(sum > 0 && sum <= BYTES_MAX, "%llu bytes without symbols, at most %u",
	   (unsigned long long)sum, BYTES_MAX);
}

int main(void)
{
	const char *given = getenv("NF_BIN");
	char self[2048], path[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return 1;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	snprintf(path, sizeof(path), "%s%s/nestfrontd", given ? given : self, given ? "" : "/..");
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip("nestfrontd", "sanitizers are not linked statically");
	return done();
#endif
	if (access(path, R_OK) < 0 || sizeof(void *) != 8) {
		skip("nestfrontd", "it is not built beside this program");
		return done();
	}
	check(path);
	return done();
}
