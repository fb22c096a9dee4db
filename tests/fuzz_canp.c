/*
 * fuzz_canp.c - libFuzzer entry for the canp walker; see tests/lib/fuzz_walk.h.
 */
#include "tests/lib/fuzz_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	return fuzz_walk(&canp_fmt_canp, false, data, len);
}
