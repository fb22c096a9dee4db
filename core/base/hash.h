/*
 * hash.h - the stable hash behind routing (file -> shard, table -> writer). Its values are part of
 * the dataset's determinism: they may not change between releases. FNV-1a, 64 bit, with a final
 * avalanche so that the low bits may be used directly.
 */
#ifndef CANP_BASE_HASH_H
#define CANP_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t canp_hash_mix(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	h ^= h >> 33;
	return h;
}

static inline uint64_t canp_hash_bytes(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3ULL;
	return canp_hash_mix(h);
}

#endif
