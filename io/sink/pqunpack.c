/*
 * pqunpack.c - reads RLE/bit-packed hybrid streams back, for the owner's close: where a column
 * chunk is written in another encoding than the producers packed it in.
 *
 * The streams were made by this process, but they are read as if they were not: every length is
 * checked before it is used, so that a fault elsewhere ends in an error and not in wrong memory.
 */
#include <errno.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/sink/pqenc.h"

static int hybrid_uleb(const uint8_t *in, size_t len, size_t *pos, uint32_t *v)
{
	uint64_t r = 0;

	for (unsigned s = 0; s < 35; s += 7) {
		if (*pos >= len)
			return -EBADMSG;
		r |= (uint64_t)(in[*pos] & 127) << s;
		if (in[(*pos)++] < 128) {
			*v = (uint32_t)r;
			return r >> 32 ? -EBADMSG : 0;
		}
	}
	return -EBADMSG;
}

static void hybrid_unpack(const uint8_t *in, size_t len, unsigned w, uint16_t *out, size_t n)
{
	uint32_t mask = (1u << w) - 1;
	size_t bit = 0;

	for (size_t i = 0; i < n; i++, bit += w) {
		size_t at = bit >> 3;
		uint32_t v = 0;

		if (canp_likely(at + 4 <= len))
			v = canp_le32(in + at);
		else
			memcpy(&v, in + at, len - at);
		out[i] = (uint16_t)((v >> (bit & 7)) & mask);
	}
}

int canp_hybrid_read(const uint8_t *in, size_t len, unsigned w, uint16_t *out, size_t n)
{
	size_t pos = 0, vb = w > 8 ? 2 : 1;

	for (size_t i = 0; i < n;) {
		uint32_t head;
		size_t cnt;

		if (hybrid_uleb(in, len, &pos, &head))
			return -EBADMSG;
		if (head & 1) {
			size_t bytes = (size_t)(head >> 1) * w;

			if (!bytes || bytes > len - pos)
				return -EBADMSG;
			cnt = canp_min((size_t)(head >> 1) * 8, n - i);
			hybrid_unpack(in + pos, bytes, w, out + i, cnt);
			pos += bytes;
		} else {
			uint16_t v;

			cnt = head >> 1;
			if (!cnt || cnt > n - i || vb > len - pos)
				return -EBADMSG;
			v = (uint16_t)(in[pos] | (vb == 2 ? in[pos + 1] << 8 : 0));
			for (size_t k = 0; k < cnt; k++)
				out[i + k] = v;
			pos += vb;
		}
		i += cnt;
	}
	return pos == len ? 0 : -EBADMSG;
}

void canp_hybrid_mark(const uint8_t *in, size_t len, unsigned w, uint16_t *used, size_t n)
{
	size_t pos = 0, vb = w > 8 ? 2 : 1;
	uint16_t v[512];
	uint32_t head;

	while (n && !hybrid_uleb(in, len, &pos, &head)) {
		size_t cnt = head & 1 ? (size_t)(head >> 1) * 8 : head >> 1;
		size_t bytes = head & 1 ? (size_t)(head >> 1) * w : vb;

		cnt = canp_min(cnt, n);
		if (!cnt || bytes > len - pos)
			return;
		if (head & 1) {
			for (size_t i = 0; i < cnt; i += 512) { /* 512 values are whole bytes */
				size_t k = canp_min(cnt - i, (size_t)512), at = i * w / 8;

				hybrid_unpack(in + pos + at, bytes - at, w, v, k);
				for (size_t j = 0; j < k; j++)
					used[v[j]] = 1;
			}
		} else {
			used[in[pos] | (vb == 2 ? in[pos + 1] << 8 : 0)] = 1;
		}
		pos += bytes;
		n -= cnt;
	}
}
