/*
 * corpus.c - writers of synthetic logs, written from the format descriptions and independent of the
 * readers under test.
 */
#include "tests/lib/corpus.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "simd/frames.h"

#define BASE_NS 1714564800000000000LL

void corpus_add(struct corpus_buf *b, const void *data, size_t len)
{
	if (b->len + len > b->cap) {
		b->cap = (b->len + len) * 2 + 64;
		b->p = realloc(b->p, b->cap);
		if (!b->p)
			abort();
	}
	if (len)
		memcpy(b->p + b->len, data, len);
	b->len += len;
}

void corpus_u8(struct corpus_buf *b, unsigned v)
{
	uint8_t c = (uint8_t)v;

	corpus_add(b, &c, 1);
}

void corpus_le16(struct corpus_buf *b, unsigned v)
{
	corpus_u8(b, v);
	corpus_u8(b, v >> 8);
}

void corpus_le32(struct corpus_buf *b, uint32_t v)
{
	corpus_le16(b, v & 0xffff);
	corpus_le16(b, v >> 16);
}

void corpus_le64(struct corpus_buf *b, uint64_t v)
{
	corpus_le32(b, (uint32_t)v);
	corpus_le32(b, (uint32_t)(v >> 32));
}

void corpus_be32(struct corpus_buf *b, uint32_t v)
{
	corpus_le32(b, __builtin_bswap32(v));
}

void corpus_be64(struct corpus_buf *b, uint64_t v)
{
	corpus_le64(b, __builtin_bswap64(v));
}

void corpus_fill(struct corpus_buf *b, int c, size_t n)
{
	while (n--)
		corpus_u8(b, (unsigned)c);
}

void corpus_printf(struct corpus_buf *b, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	corpus_add(b, text, (size_t)n);
}

void corpus_free(struct corpus_buf *b)
{
	free(b->p);
	memset(b, 0, sizeof(*b));
}

uint64_t corpus_rnd(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dULL;
}

void corpus_frame(uint64_t seed, unsigned i, bool fd, struct corpus_frame *f)
{
	static const uint8_t sizes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64};
	uint64_t s = (seed + 1) * 0x9e3779b97f4a7c15ULL + i * 0xd1b54a32d192ed03ULL, r;

	corpus_rnd(&s);
	r = corpus_rnd(&s);
	memset(f, 0, sizeof(*f));
	f->ts_ns = BASE_NS + (int64_t)i * 237000 + (int64_t)(r % 100) * 1000;
	f->bus = 1 + (unsigned)(r >> 8 & 1);
	f->dlc = (unsigned)(r >> 12) % 9;
	if (r >> 16 & 1)
		f->flags |= CANP_FF_EXT;
	f->id = f->flags & CANP_FF_EXT ? 0x18f00000u + (unsigned)(r >> 20 & 0xffff)
				       : (unsigned)(r >> 20 & 0x7ff);
	if ((r >> 40) % 29 == 0)
		f->flags |= CANP_FF_RTR;
	else if (fd && (r >> 40) % 3 == 0)
		f->flags |= CANP_FF_FD | (r >> 50 & 1 ? CANP_FF_BRS : 0u);
	if (f->flags & CANP_FF_FD)
		f->dlc = (unsigned)(r >> 52) % 16;
	f->len = f->flags & CANP_FF_RTR ? 0 : sizes[f->dlc];
	for (unsigned k = 0; k < f->len; k++)
		f->data[k] = (uint8_t)(k < 2 ? corpus_rnd(&s) : i / 16 + k);
}

static void deflate_all(struct corpus_buf *b, const void *data, size_t len, int level, int bits)
{
	size_t bound = len + len / 500 + 64;
	uint8_t *out = malloc(bound);
	z_stream z = {0};

	if (!out || deflateInit2(&z, level, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		abort();
	z.next_in = (Bytef *)data;
	z.avail_in = (uInt)len;
	z.next_out = out;
	z.avail_out = (uInt)bound;
	if (deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	corpus_add(b, out, bound - z.avail_out);
	deflateEnd(&z);
	free(out);
}

void corpus_gzip(struct corpus_buf *b, const void *data, size_t len, int level)
{
	deflate_all(b, data, len, level, 15 + 16);
}

void corpus_zlib(struct corpus_buf *b, const void *data, size_t len, int level)
{
	deflate_all(b, data, len, level, 15);
}

void corpus_canp_record(struct corpus_buf *raw, uint64_t seed, unsigned from, unsigned to)
{
	uint32_t frames = (to - from) * 24;
	struct corpus_frame f;

	corpus_fill(raw, 0x5a, 16);
	corpus_be32(raw, frames ? 16 + frames : 0);
	if (!frames)
		return;
	corpus_be32(raw, 2);
	corpus_be64(raw, (uint64_t)BASE_NS / 1000);
	corpus_be32(raw, frames);
	for (unsigned i = from; i < to; i++) {
		corpus_frame(seed, i, false, &f);
		corpus_be64(raw, (uint64_t)f.ts_ns / 1000);
		corpus_be32(raw, f.id | (f.flags & CANP_FF_EXT ? 1u << 31 : 0) |
					 (f.flags & CANP_FF_RTR ? 1u << 30 : 0));
		corpus_u8(raw, f.dlc);
		corpus_fill(raw, 0, 3);
		corpus_add(raw, f.data, 8);
	}
}

void corpus_canp_block(struct corpus_buf *b, const char *serial, const struct corpus_buf *raw,
		       int level)
{
	char head[31] = {0};
	size_t at;

	snprintf(head, 19, "%s", serial);
	memset(head + 18, 0xa5, 13);
	corpus_add(b, head, 31);
	at = b->len;
	corpus_be32(b, 0);
	corpus_gzip(b, raw->p, raw->len, level);
	for (int i = 0; i < 4; i++)
		b->p[at + i] = (uint8_t)((b->len - at - 4) >> (24 - 8 * i));
}

void corpus_canp(struct corpus_buf *b, uint64_t seed, unsigned n, unsigned per_block)
{
	for (unsigned i = 0; i < n; i += per_block) {
		unsigned to = i + per_block < n ? i + per_block : n, mid = i + (to - i) / 2;
		struct corpus_buf raw = {0};

		corpus_canp_record(&raw, seed, i, mid);
		corpus_canp_record(&raw, seed, mid, to);
		corpus_canp_block(b, i < n / 2 ? "DEV-A" : "DEV-B", &raw, 6);
		corpus_free(&raw);
	}
}

void corpus_blf_header(struct corpus_buf *b)
{
	static const uint16_t start[8] = {2024, 5, 3, 1, 12, 0, 0, 250};

	corpus_add(b, "LOGG", 4);
	corpus_le32(b, 144);
	corpus_fill(b, 0, 32);
	for (int i = 0; i < 8; i++)
		corpus_le16(b, start[i]);
	corpus_fill(b, 0, 144 - 56);
}

static void blf_object_head(struct corpus_buf *s, uint32_t type, uint32_t body, int64_t ts)
{
	corpus_add(s, "LOBJ", 4);
	corpus_le16(s, 32);
	corpus_le16(s, 1);
	corpus_le32(s, 32 + body);
	corpus_le32(s, type);
	corpus_le32(s, 2);
	corpus_le32(s, 0);
	corpus_le64(s, (uint64_t)ts);
}

void corpus_blf_object(struct corpus_buf *s, const struct corpus_frame *f)
{
	uint32_t id = f->id | (f->flags & CANP_FF_EXT ? 1u << 31 : 0);
	int64_t ts = f->ts_ns - CORPUS_BLF_START_NS;
	unsigned flags = f->flags & CANP_FF_RTR ? 0x80 : 0;

	if (f->flags & CANP_FF_FD) {
		blf_object_head(s, 100, 88, ts);
		corpus_le16(s, f->bus);
		corpus_u8(s, flags);
		corpus_u8(s, f->dlc);
		corpus_le32(s, id);
		corpus_le32(s, 0);
		corpus_u8(s, 0);
		corpus_u8(s, 1 | (f->flags & CANP_FF_BRS ? 2 : 0));
		corpus_u8(s, f->len);
		corpus_fill(s, 0, 5);
		corpus_add(s, f->data, 64);
		corpus_le32(s, 0);
		return;
	}
	blf_object_head(s, 1, 16, ts);
	corpus_le16(s, f->bus);
	corpus_u8(s, flags);
	corpus_u8(s, f->dlc);
	corpus_le32(s, id);
	corpus_add(s, f->data, 8);
}

void corpus_blf_container(struct corpus_buf *b, const void *data, size_t len, unsigned method)
{
	struct corpus_buf z = {0};

	if (method == 2)
		corpus_zlib(&z, data, len, 6);
	else
		corpus_add(&z, data, len);
	corpus_add(b, "LOBJ", 4);
	corpus_le16(b, 16);
	corpus_le16(b, 1);
	corpus_le32(b, (uint32_t)(32 + z.len));
	corpus_le32(b, 10);
	corpus_le16(b, method);
	corpus_fill(b, 0, 6);
	corpus_le32(b, (uint32_t)len);
	corpus_le32(b, 0);
	corpus_add(b, z.p, z.len);
	corpus_fill(b, 0, z.len % 4);
	corpus_free(&z);
}

void corpus_blf(struct corpus_buf *b, uint64_t seed, unsigned n, size_t container, unsigned method)
{
	struct corpus_buf s = {0};
	struct corpus_frame f;

	corpus_blf_header(b);
	for (unsigned i = 0; i < n; i++) {
		corpus_frame(seed, i, true, &f);
		corpus_blf_object(&s, &f);
	}
	for (size_t at = 0; at < s.len; at += container)
		corpus_blf_container(b, s.p + at, s.len - at < container ? s.len - at : container,
				     method);
	corpus_free(&s);
}

void corpus_candump_line(struct corpus_buf *b, const struct corpus_frame *f)
{
	corpus_printf(b, "(%lld.%06lld) can%u ", (long long)(f->ts_ns / 1000000000),
		      (long long)(f->ts_ns % 1000000000 / 1000), f->bus);
	corpus_printf(b, f->flags & CANP_FF_EXT ? "%08X#" : "%03X#", f->id);
	if (f->flags & CANP_FF_FD)
		corpus_printf(b, "#%X", f->flags & CANP_FF_BRS ? 1 : 0);
	if (f->flags & CANP_FF_RTR)
		corpus_printf(b, "R%u", f->dlc);
	for (unsigned i = 0; i < f->len; i++)
		corpus_printf(b, "%02X", f->data[i]);
	corpus_printf(b, "\n");
}

void corpus_candump(struct corpus_buf *b, uint64_t seed, unsigned n)
{
	struct corpus_frame f;

	for (unsigned i = 0; i < n; i++) {
		corpus_frame(seed, i, true, &f);
		corpus_candump_line(b, &f);
	}
}
