/*
 * deflate_corpus.h - data that exercises an inflate, packed by zlib, and zlib's own verdict on a
 * (possibly damaged) member.
 */
#ifndef TESTS_LIB_DEFLATE_CORPUS_H
#define TESTS_LIB_DEFLATE_CORPUS_H

#include <stddef.h>
#include <stdint.h>

/* Fills n bytes: 0 CAN-like frames, 1 noise, 2 zeros, 3 text, 4 matches 32,000 bytes back,
 * 5 short codes that decoders group. */
void corpus_plain(unsigned kind, uint8_t *plain, size_t n);

/* Packs with zlib; wbits 31 gzip, 15 zlib, -15 raw. Returns the bytes made; aborts the program when
 * cap is too small. */
size_t corpus_pack(int wbits, int level, int strategy, const uint8_t *plain, size_t n, uint8_t *out,
		   size_t cap);

/* zlib's return code for one member; *n: bytes it made before it stopped. */
int corpus_unpack(int wbits, const uint8_t *in, size_t len, uint8_t *out, size_t cap, size_t *n);

#endif
