/*
 * fuzz_gz.c - libFuzzer entry for the gzip wrapper around text, and for the recognition of files;
 * see tests/lib/fuzz_walk.h.
 */
#include "tests/lib/fuzz_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	void *scratch = aligned_alloc(64, canp_align_up(canp_format_probe_scratch(), (size_t)64));
	bool gz;

	if (!scratch)
		abort();
	fuzz_walk(&canp_fmt_candump, true, data, len);
	canp_format_probe(data, len, scratch, &gz);
	free(scratch);
	return 0;
}
