/*
 * bytes.h - unaligned loads and stores and a bounded view of bytes.
 *
 * Parsers treat every byte as hostile: they hold a span and ask canp_span_has() before they load.
 */
#ifndef CANP_BASE_BYTES_H
#define CANP_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct canp_span {
	const uint8_t *ptr;
	size_t len;
};

static inline bool canp_span_has(struct canp_span s, size_t off, size_t n)
{
	return off <= s.len && n <= s.len - off;
}

#define CANP_DEFINE_LOAD(bits)                                                                     \
	static inline uint##bits##_t canp_le##bits(const void *p)                                  \
	{                                                                                          \
		uint##bits##_t v;                                                                  \
		memcpy(&v, p, sizeof(v));                                                          \
		return v;                                                                          \
	}                                                                                          \
	static inline uint##bits##_t canp_be##bits(const void *p)                                  \
	{                                                                                          \
		return __builtin_bswap##bits(canp_le##bits(p));                                    \
	}                                                                                          \
	static inline void canp_put_le##bits(void *p, uint##bits##_t v)                            \
	{                                                                                          \
		memcpy(p, &v, sizeof(v));                                                          \
	}                                                                                          \
	static inline void canp_put_be##bits(void *p, uint##bits##_t v)                            \
	{                                                                                          \
		canp_put_le##bits(p, __builtin_bswap##bits(v));                                    \
	}
CANP_DEFINE_LOAD(16)
CANP_DEFINE_LOAD(32)
CANP_DEFINE_LOAD(64)
#undef CANP_DEFINE_LOAD

#endif
