/*
 * deflate_corpus.c - see deflate_corpus.h.
 */
#include "tests/lib/deflate_corpus.h"

#include <stdlib.h>
#include <zlib.h>

#include "tests/lib/guard.h"

void corpus_plain(unsigned kind, uint8_t *plain, size_t n)
{
	uint64_t seed = 0x1234567 + kind;

	for (size_t i = 0; i < n; i++) {
		uint64_t r = guard_rand(&seed) >> 16;

		if (kind == 0)
			plain[i] = (uint8_t)(i % 24 < 12 ? i / 2400 : r % 3 ? r % 19 : r >> 8);
		else if (kind == 1)
			plain[i] = (uint8_t)r;
		else if (kind == 2)
			plain[i] = 0;
		else if (kind == 3)
			plain[i] = (uint8_t) "0123456789ABCDEF# .\n"[r % 20];
		else if (kind == 5)
			plain[i] = (uint8_t)__builtin_ctzll(r | 4096);
		else
			plain[i] = i < 32000 || r % 997 == 0 ? (uint8_t)r : plain[i - 32000];
	}
}

size_t corpus_pack(int wbits, int level, int strategy, const uint8_t *plain, size_t n, uint8_t *out,
		   size_t cap)
{
	z_stream z = {.next_in = (uint8_t *)plain, .avail_in = (uInt)n};
	size_t bytes;

	z.next_out = out;
	z.avail_out = (uInt)cap;
	if (deflateInit2(&z, level, Z_DEFLATED, wbits, 8, strategy) != Z_OK ||
	    deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	bytes = z.total_out;
	deflateEnd(&z);
	return bytes;
}

int corpus_unpack(int wbits, const uint8_t *in, size_t len, uint8_t *out, size_t cap, size_t *n)
{
	z_stream z = {.next_in = (uint8_t *)in, .avail_in = (uInt)len};
	int rc;

	z.next_out = out;
	z.avail_out = (uInt)cap;
	if (inflateInit2(&z, wbits) != Z_OK)
		abort();
	rc = inflate(&z, Z_SYNC_FLUSH);
	*n = z.total_out;
	inflateEnd(&z);
	return rc;
}
