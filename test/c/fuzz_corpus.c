/* SPDX-License-Identifier: MIT */
/*
 * The committed corpus of each fuzz target, replayed: what fuzzing has reached once stays reached
 * (and checked by the sanitizer builds) without a fuzzer. Lines of hex in test/fuzz/corpus.
 */
#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include "fuzz/targets.h"
#include "tap.h"

#define LINE_MAX_BYTES 65536u

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Bytes of a line, in a block of exactly that size; false: it is not hex. */
static bool decode(const char *line, uint8_t **out, size_t *bytes)
{
	size_t n = strcspn(line, "\n");
	uint8_t *data = malloc(n / 2 + 1);
	if (!data)
		abort();
	for (size_t i = 0; i < n / 2; i++) {
		int high = digit(line[2 * i]), low = digit(line[2 * i + 1]);
		if (high < 0 || low < 0) {
			free(data);
			return false;
		}
		data[i] = (uint8_t)(high << 4 | low);
	}
	*out = data;
	*bytes = n / 2;
	return n % 2 == 0;
}

/* Inputs replayed, or negative: the file is not there or not what it should be. */
static int replay(const struct fuzz_target *t, const char *dir)
{
	static char line[LINE_MAX_BYTES];
	char path[256];
	int count = 0;
	snprintf(path, sizeof(path), "%s/%s.hex", dir, t->name);
	FILE *f = fopen(path, "r");
	if (!f)
		return -errno;
	while (count >= 0 && fgets(line, sizeof(line), f)) {
		uint8_t *data = NULL;
		size_t bytes = 0;
		if (!decode(line, &data, &bytes)) {
			count = -EINVAL;
			break;
		}
		t->run(data, bytes);
		free(data);
		count++;
	}
	fclose(f);
	return count;
}

int main(void)
{
	const char *dir = "test/fuzz/corpus";
	if (access(dir, R_OK) != 0)
		skip_all("run from the project's root: test/fuzz/corpus is not here");
	for (const struct fuzz_target *t = fuzz_targets; t->name; t++) {
		diag("%s", t->name);
		t->run(NULL, 0);
		int n = replay(t, dir);
		ok(n > 0, "%s: %d inputs replayed", t->name, n);
	}
	return done();
}
