/*
 * fuzz_blf.c - libFuzzer entry for the blf walker; see tests/lib/fuzz_walk.h.
 */
#include "tests/lib/fuzz_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	return fuzz_walk(&canp_fmt_blf, false, data, len);
}
