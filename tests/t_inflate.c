/*
 * t_inflate.c - inflate against zlib, against damage of every kind, and against its own bounds:
 * input and output always end at an inaccessible page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "core/base/bytes.h"
#include "core/base/units.h"
#include "simd/inflate_isal.h"
#include "simd/simd.h"
#include "tests/lib/deflate_corpus.h"
#include "tests/lib/guard.h"

#define DATA_MAX (400u * 1024u)

static uint64_t seed;
static struct guard gin, gout, gtmp[2];
static struct canp_inflate *ctx;
static uint8_t *packed, *plain, *scratch;

static const int zlib_wbits[] = {
	[CANP_INFLATE_GZIP] = 31, [CANP_INFLATE_ZLIB] = 15, [CANP_INFLATE_RAW] = -15};

static int setup(void **state)
{
	(void)state;
	guard_open(&gin, 2 * DATA_MAX);
	guard_open(&gout, 2 * DATA_MAX);
	guard_open(&gtmp[0], 2 * DATA_MAX);
	guard_open(&gtmp[1], 2 * DATA_MAX);
	packed = malloc(2 * DATA_MAX);
	plain = malloc(DATA_MAX);
	scratch = malloc(2 * DATA_MAX);
	ctx = canp_inflate_init(aligned_alloc(64, canp_inflate_bytes()));
	canp_simd_init(CANP_ISA_AUTO, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guard_close(&gin);
	guard_close(&gout);
	guard_close(&gtmp[0]);
	guard_close(&gtmp[1]);
	free(packed);
	free(plain);
	free(scratch);
	free(ctx);
	return 0;
}

static void make_plain(unsigned kind, size_t n)
{
	corpus_plain(kind, plain, n);
	seed = 0x7654321 + kind;
}

static size_t zlib_pack(enum canp_inflate_kind kind, int level, int strategy, size_t n)
{
	return corpus_pack(zlib_wbits[kind], level, strategy, plain, n, packed, 2 * DATA_MAX);
}

static int zlib_unpack(enum canp_inflate_kind kind, const uint8_t *in, size_t len, size_t *n)
{
	return corpus_unpack(zlib_wbits[kind], in, len, scratch, 2 * DATA_MAX, n);
}

struct outcome {
	enum canp_inflate_result result;
	size_t out, in;
};

/* The whole member, with input and output (cap bytes) against the rear guards. */
static struct outcome run_member(enum canp_inflate_kind kind, const uint8_t *in, size_t len,
				 size_t cap)
{
	uint8_t *i = guard_rear(&gin, len), *o = guard_rear(&gout, cap);
	size_t before = canp_min((size_t)(o - gout.mem), (size_t)1024);
	struct outcome r;

	memcpy(i, in, len);
	memset(o - before, 0x5a, before);
	r.result = canp_inflate_member(ctx, kind, i, len, o, cap, &r.out, &r.in);
	assert_true(r.out <= cap && r.in <= len);
	for (size_t k = 1; k <= before; k++)
		if (o[-(ptrdiff_t)k] != 0x5a)
			fail_msg("wrote before the output");
	memmove(gout.mem, o, r.out);
	return r;
}

/* A stream in slices and output buffers of random size up to the given ones (0: all at once). The
 * unused rest of a slice is offered again, in front of new bytes, at another address. */
static struct outcome run_stream(enum canp_inflate_kind kind, const uint8_t *in, size_t len,
				 size_t slice_max, size_t cap_max)
{
	struct outcome r = {.result = CANP_INFLATE_NEED_INPUT};
	size_t offered = slice_max ? 0 : len;

	canp_inflate_reset(ctx, kind);
	for (unsigned calls = 0;; calls++) {
		size_t used, made, cap = 2 * DATA_MAX - r.out;
		uint8_t *i = guard_rear(&gin, offered), *o;

		if (cap_max)
			cap = canp_min(cap, 1 + guard_rand(&seed) % cap_max);
		memcpy(i, in + r.in, offered);
		/* Two places in turn: no history to look back into. */
		o = guard_rear(&gtmp[calls & 1], cap);
		r.result = canp_inflate_feed(ctx, i, offered, r.in + offered == len, o, cap, &made,
					     &used);
		assert_true(made <= cap && used <= offered && calls < 10000000);
		memcpy(gout.mem + r.out, o, made);
		r.out += made;
		r.in += used;
		offered -= used;
		if (r.result == CANP_INFLATE_NEED_INPUT) {
			assert_true(r.in + offered < len);
			assert_true(offered < CANP_INFLATE_PIECE);
			offered = canp_min(len - r.in, offered + 1 + guard_rand(&seed) % slice_max);
		} else if (r.result != CANP_INFLATE_NEED_OUTPUT) {
			break;
		} else {
			assert_int_equal(made, cap);
		}
	}
	return r;
}

static void expect_plain(struct outcome r, size_t n, size_t used)
{
	assert_int_equal(r.result, CANP_INFLATE_OK);
	assert_int_equal(r.out, n);
	assert_int_equal(r.in, used);
	assert_memory_equal(gout.mem, plain, n);
}

static void every_level_and_strategy_of_zlib_decodes_exactly(void **state)
{
	static const int levels[] = {0, 1, 6, 9};
	static const int strategies[] = {Z_DEFAULT_STRATEGY, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE};
	static const size_t sizes[] = {0, 1, 2, 100, 65536, 200000};

	(void)state;
	for (unsigned k = 0; k < 5 * CANP_ARRAY_SIZE(sizes); k++) {
		size_t n = sizes[k / 5];

		make_plain(k % 5, n);
		for (unsigned t = 0; t < 16 * 3; t++) {
			enum canp_inflate_kind kind = (enum canp_inflate_kind)(t % 3);
			size_t len = zlib_pack(kind, levels[t / 3 % 4], strategies[t / 12], n);

			expect_plain(run_member(kind, packed, len, n), n, len);
			/* Bytes behind the member are not touched. */
			memcpy(packed + len, "\x1f\x8b\x08trailing", 11);
			expect_plain(run_member(kind, packed, len + 11, n + 77), n, len);
			if (t % 5 == 0)
				expect_plain(run_stream(kind, packed, len + 11, 50000, 70000), n,
					     len);
		}
	}
}

static void streams_do_not_depend_on_slices_or_output_sizes(void **state)
{
	static const struct {
		size_t slice, cap;
	} shapes[] = {{0, 0},      {0, 1000},  {0, 300000},  {60000, 0},
		      {1000, 100}, {3, 60000}, {90000, 7000}};
	size_t len, n = 300000;

	(void)state;
	for (unsigned kind = 0; kind < 3; kind++) {
		make_plain(kind == 1 ? 4 : 0, n);
		len = zlib_pack((enum canp_inflate_kind)kind, 6, Z_DEFAULT_STRATEGY, n);
		for (size_t s = 0; s < CANP_ARRAY_SIZE(shapes); s++)
			expect_plain(run_stream((enum canp_inflate_kind)kind, packed, len,
						shapes[s].slice, shapes[s].cap),
				     n, len);
	}
	/* One byte of output at a time. */
	make_plain(3, 5000);
	len = zlib_pack(CANP_INFLATE_GZIP, 9, Z_DEFAULT_STRATEGY, 5000);
	expect_plain(run_stream(CANP_INFLATE_GZIP, packed, len, 7, 1), 5000, len);
}

static void truncation_at_every_byte_yields_a_reproducible_prefix(void **state)
{
	static const size_t sizes[] = {0, 1, 40, 600, 1700};

	(void)state;
	for (unsigned t = 0; t < 3 * 4 * CANP_ARRAY_SIZE(sizes); t++) {
		enum canp_inflate_kind kind = (enum canp_inflate_kind)(t % 3);
		size_t n = sizes[t / 12], len, z, last = 0;

		make_plain(t % 5, n);
		len = zlib_pack(kind, (int[]){0, 1, 6, 9}[t / 3 % 4],
				t % 7 ? Z_DEFAULT_STRATEGY : Z_FIXED, n);
		for (size_t cut = 0; cut < len; cut++) {
			struct outcome a = run_member(kind, packed, cut, n + 300), b;

			assert_int_equal(a.result, CANP_INFLATE_TRUNCATED);
			assert_memory_equal(gout.mem, plain, a.out);
			/* Up to two complete symbols before the cut may be missing. */
			zlib_unpack(kind, packed, cut, &z);
			assert_true(a.out <= z && z <= a.out + 2 * 258);
			assert_true(a.out >= last || last - a.out <= 2 * 258);
			last = a.out;
			b = run_stream(kind, packed, cut, 0, 0);
			assert_int_equal(b.result, CANP_INFLATE_TRUNCATED);
			assert_memory_equal(gout.mem, plain, b.out);
			assert_int_equal(run_stream(kind, packed, cut, 50, 90).out, b.out);
			assert_int_equal(run_stream(kind, packed, cut, 3, 2).out, b.out);
		}
	}
}

static void cut_streams_yield_the_same_bytes_for_all_slices(void **state)
{
	static const size_t slices[] = {300, 2000, 50000};
	size_t n = 300000, len;

	(void)state;
	/* With ISA-L alone about one cut in fifty differs on this data. */
	make_plain(5, n);
	len = zlib_pack(CANP_INFLATE_GZIP, 6, Z_DEFAULT_STRATEGY, n);
	for (unsigned t = 0; t < 450; t++) {
		size_t cut = guard_rand(&seed) % len;
		struct outcome a = run_stream(CANP_INFLATE_GZIP, packed, cut, 0, 0), b;

		assert_int_equal(a.result, CANP_INFLATE_TRUNCATED);
		assert_memory_equal(gout.mem, plain, a.out);
		b = run_stream(CANP_INFLATE_GZIP, packed, cut, slices[t % 3], t & 1 ? 70000 : 0);
		assert_int_equal(b.result, CANP_INFLATE_TRUNCATED);
		assert_int_equal(a.out, b.out);
		assert_int_equal(b.in, cut);
	}
}

static void too_small_outputs_are_filled_and_never_overrun(void **state)
{
	size_t n = 2000, len;

	(void)state;
	for (unsigned kind = 0; kind < 5; kind++) {
		make_plain(kind, n);
		len = zlib_pack(CANP_INFLATE_GZIP, 6, Z_DEFAULT_STRATEGY, n);
		for (size_t cap = 0; cap < n; cap++) {
			struct outcome r = run_member(CANP_INFLATE_GZIP, packed, len, cap);

			assert_int_equal(r.result, CANP_INFLATE_NEED_OUTPUT);
			assert_int_equal(r.out, cap);
			assert_memory_equal(gout.mem, plain, cap);
		}
		expect_plain(run_member(CANP_INFLATE_GZIP, packed, len, n), n, len);
	}
}

/* One damaged member: verdicts must agree with zlib where zlib accepts, and with ourselves. */
static void check_damaged(enum canp_inflate_kind kind, size_t len, size_t n)
{
	size_t z;
	int rc = zlib_unpack(kind, packed, len, &z);
	struct outcome a = run_member(kind, packed, len, 2 * n), b;

	if (rc == Z_STREAM_END) {
		assert_int_equal(a.result, CANP_INFLATE_OK);
		assert_int_equal(a.out, z);
		assert_memory_equal(gout.mem, scratch, z);
	} else if (kind != CANP_INFLATE_RAW) {
		assert_true(a.result != CANP_INFLATE_OK);
	}
	if (a.result == CANP_INFLATE_NEED_OUTPUT)
		return;
	/* What zlib made before it gave up is a prefix of what we made, bar the last symbols. */
	assert_memory_equal(gout.mem, scratch, canp_min(a.out, z));
	b = run_stream(kind, packed, len, 0, 0);
	if (a.result != CANP_INFLATE_TRUNCATED) {
		assert_int_equal(b.result, a.result);
		assert_int_equal(b.out, a.out);
	}
	a = run_stream(kind, packed, len, 30000, 20000);
	assert_int_equal(a.result, b.result);
	assert_int_equal(a.out, b.out);
}

static void a_thousand_bit_flips_never_escape_or_pass_unnoticed(void **state)
{
	(void)state;
	for (unsigned t = 0; t < 1000; t++) {
		enum canp_inflate_kind kind = (enum canp_inflate_kind)(t % 3);
		size_t n = t % 4 == 0 ? 60000 : 300 + t, len;
		uint64_t flips = 1 + t % 3;

		make_plain(t % 5, n);
		len = zlib_pack(kind, (int[]){6, 1, 9, 0}[t / 3 % 4],
				t % 11 ? Z_DEFAULT_STRATEGY : Z_FIXED, n);
		seed = 77 + t;
		while (flips--) {
			/* Half of the damage goes to the headers, where the tables are made. */
			size_t at =
				guard_rand(&seed) % (flips & 1 ? len : canp_min(len, (size_t)120));

			packed[at] ^= (uint8_t)(1u << (guard_rand(&seed) >> 40) % 8);
		}
		check_damaged(kind, len, n);
	}
}

static void noise_is_rejected_the_same_way_whatever_came_before(void **state)
{
	(void)state;
	for (unsigned t = 0; t < 400; t++) {
		size_t len = 1 + t * 3, n = 5000;
		struct outcome a, b;
		uint8_t noise[1300];

		seed = 991 + t;
		for (size_t i = 0; i < len; i++)
			noise[i] = (uint8_t)(guard_rand(&seed) >> 24);
		noise[0] = (uint8_t)((noise[0] & ~7u) | (t & 1 ? 5 : 4)); /* dynamic block */
		a = run_member(CANP_INFLATE_RAW, noise, len, 100000);
		memcpy(scratch, gout.mem, a.out);
		make_plain(t % 5, n);
		run_member(CANP_INFLATE_RAW, packed,
			   zlib_pack(CANP_INFLATE_RAW, 6, Z_DEFAULT_STRATEGY, n), n);
		b = run_member(CANP_INFLATE_RAW, noise, len, 100000);
		assert_true(a.result == b.result && a.out == b.out && a.in == b.in);
		assert_memory_equal(gout.mem, scratch, a.out);
	}
}

/* A header with the optional fields of `flags`, then the raw data and trailer of `n` plain bytes.
 */
static size_t gzip_by_hand(uint8_t flags, size_t field, size_t n, size_t *body)
{
	static uint8_t head[160 * 1024];
	size_t pos = 10, len;

	memcpy(head, "\x1f\x8b\x08\0mtim\x02\x03", 10);
	head[3] = flags;
	if (flags & 4) {
		canp_put_le16(head + pos, (uint16_t)field);
		memset(head + pos + 2, 0, field & 0xffff);
		pos += 2 + (field & 0xffff);
	}
	for (unsigned f = 8; f <= 16; f *= 2)
		if (flags & f) {
			memset(head + pos, 'x', field);
			head[pos + field] = 0;
			pos += field + 1;
		}
	if (flags & 2) {
		canp_put_le16(head + pos, (uint16_t)crc32_z(0, head, pos));
		pos += 2;
	}
	len = zlib_pack(CANP_INFLATE_RAW, 6, Z_DEFAULT_STRATEGY, n);
	memmove(packed + pos, packed, len);
	memcpy(packed, head, pos);
	canp_put_le32(packed + pos + len, (uint32_t)crc32_z(0, plain, n));
	canp_put_le32(packed + pos + len + 4, (uint32_t)n);
	*body = pos;
	return pos + len + 8;
}

static void optional_header_fields_are_skipped_and_bounded(void **state)
{
	size_t n = 500, body, got;

	(void)state;
	make_plain(0, n);
	for (unsigned flags = 0; flags < 32; flags++)
		for (size_t field = 0; field < 40; field += 13) {
			size_t len = gzip_by_hand((uint8_t)flags, field, n, &body);

			expect_plain(run_member(CANP_INFLATE_GZIP, packed, len, n), n, len);
			expect_plain(run_stream(CANP_INFLATE_GZIP, packed, len, 9, 100), n, len);
			for (size_t cut = 0; cut < body; cut++) {
				uint8_t *p = guard_rear(&gin, cut);

				memcpy(p, packed, cut);
				assert_int_equal(canp_gzip_header(p, cut, &got),
						 CANP_INFLATE_TRUNCATED);
			}
			assert_int_equal(canp_gzip_header(packed, body, &got), CANP_INFLATE_OK);
			assert_int_equal(got, body);
			if (flags & 2) {
				packed[body - 1] ^= 1;
				assert_int_equal(canp_gzip_header(packed, len, &got),
						 CANP_INFLATE_BAD_DATA);
			}
		}
	expect_plain(run_member(CANP_INFLATE_GZIP, packed, gzip_by_hand(4, 65535, n, &body), n), n,
		     gzip_by_hand(4, 65535, n, &body));
	gzip_by_hand(8, 140000, n, &body);
	assert_int_equal(canp_gzip_header(packed, body, &got), CANP_INFLATE_BAD_DATA);
}

static void wrong_headers_are_bad_data_at_their_first_wrong_byte(void **state)
{
	static const struct {
		const char *bytes;
		uint8_t len, kind;
		uint8_t truncated;
	} heads[] = {
		{"\x1e", 1, CANP_INFLATE_GZIP, 0},
		{"\x1f\x8c", 2, CANP_INFLATE_GZIP, 0},
		{"\x1f\x8b\x07", 3, CANP_INFLATE_GZIP, 0},
		{"\x1f\x8b\x08\x20", 4, CANP_INFLATE_GZIP, 0},
		{"\x1f\x8b\x08\x80", 4, CANP_INFLATE_GZIP, 0},
		{"\x1f\x8b", 2, CANP_INFLATE_GZIP, 1},
		{"", 0, CANP_INFLATE_GZIP, 1},
		{"\x79", 1, CANP_INFLATE_ZLIB, 0},
		{"\x88\x1c", 2, CANP_INFLATE_ZLIB, 0},
		{"\x78\x9d", 2, CANP_INFLATE_ZLIB, 0},
		{"\x78\xbb", 2, CANP_INFLATE_ZLIB, 0},
		{"\x78", 1, CANP_INFLATE_ZLIB, 1},
		{"", 0, CANP_INFLATE_RAW, 1},
		{"\x07", 1, CANP_INFLATE_RAW, 0},
		{"\x01\x05\x00\xfb\xff", 5, CANP_INFLATE_RAW, 0},
	};

	(void)state;
	for (size_t i = 0; i < CANP_ARRAY_SIZE(heads); i++) {
		enum canp_inflate_kind kind = (enum canp_inflate_kind)heads[i].kind;
		enum canp_inflate_result want =
			heads[i].truncated ? CANP_INFLATE_TRUNCATED : CANP_INFLATE_BAD_DATA;
		const uint8_t *p = (const uint8_t *)heads[i].bytes;
		struct outcome r = run_member(kind, p, heads[i].len, 64);

		assert_true(r.result == want && r.out == 0);
		r = run_stream(kind, p, heads[i].len, 0, 0);
		assert_true(r.result == want && r.out == 0);
	}
}

static void wrong_trailers_are_bad_checksums_with_all_bytes_kept(void **state)
{
	size_t n = 3000, len;

	(void)state;
	make_plain(0, n);
	for (unsigned kind = 0; kind < 2; kind++)
		for (unsigned back = 1; back <= (kind ? 4 : 8); back++) {
			struct outcome r;

			len = zlib_pack((enum canp_inflate_kind)kind, 6, Z_DEFAULT_STRATEGY, n);
			packed[len - back] ^= 0x10;
			r = run_member((enum canp_inflate_kind)kind, packed, len, n);
			assert_true(r.result == CANP_INFLATE_BAD_CHECKSUM && r.out == n &&
				    r.in == len);
			r = run_stream((enum canp_inflate_kind)kind, packed, len, 100, 100);
			assert_true(r.result == CANP_INFLATE_BAD_CHECKSUM && r.out == n &&
				    r.in == len);
			assert_memory_equal(gout.mem, plain, n);
		}
}

static void concatenated_members_come_one_by_one(void **state)
{
	static const size_t sizes[] = {5, 0, 40000, 1, 120000};
	size_t ends[5], total = 0, pos = 0;
	uint8_t *all = malloc(DATA_MAX);

	(void)state;
	make_plain(0, DATA_MAX);
	for (unsigned i = 0; i < 5; i++) {
		size_t len = zlib_pack(CANP_INFLATE_GZIP, 6, Z_DEFAULT_STRATEGY, sizes[i]);

		memcpy(all + total, packed, len);
		ends[i] = total += len;
	}
	for (unsigned i = 0; i < 5; i++) {
		struct outcome r = run_stream(CANP_INFLATE_GZIP, all + pos, total - pos,
					      i % 2 ? 20 : 70000, 9999);

		expect_plain(r, sizes[i], ends[i] - pos);
		pos += r.in;
	}
	assert_int_equal(pos, total);
	free(all);
}

/* A final fixed-code block with one match of 258 bytes at a distance of 32768 (symbol 285, then
 * distance symbol 29 with 13 extra bits set), behind stored blocks of n bytes in all. */
static size_t far_match(size_t n)
{
	static const uint8_t tail[] = {0x1b, 0xbd, 0xff, 0x1f, 0x00};
	uint8_t *p = packed;

	*p++ = 0;
	canp_put_le16(p, (uint16_t)n);
	canp_put_le16(p + 2, (uint16_t)~n);
	memcpy(p + 4, plain, n);
	memcpy(p + 4 + n, tail, sizeof(tail));
	return 5 + n + sizeof(tail);
}

static void the_farthest_match_works_and_one_farther_is_bad_data(void **state)
{
	struct outcome r;
	size_t z, len;

	(void)state;
	make_plain(1, 40000);
	len = far_match(32768);
	assert_int_equal(zlib_unpack(CANP_INFLATE_RAW, packed, len, &z), Z_STREAM_END);
	assert_int_equal(z, 32768 + 258);
	memcpy(plain, scratch, z);
	r = run_member(CANP_INFLATE_RAW, packed, len, z);
	assert_true(r.result == CANP_INFLATE_OK && r.out == z);
	assert_memory_equal(gout.mem, plain, z);
	r = run_stream(CANP_INFLATE_RAW, packed, len, 1000, 5000);
	assert_true(r.result == CANP_INFLATE_OK && r.out == z);
	assert_memory_equal(gout.mem, plain, z);

	len = far_match(32767);
	r = run_member(CANP_INFLATE_RAW, packed, len, z);
	assert_true(r.result == CANP_INFLATE_BAD_DATA && r.out == 32767);
	r = run_stream(CANP_INFLATE_RAW, packed, len, 1000, 5000);
	assert_true(r.result == CANP_INFLATE_BAD_DATA && r.out == 32767);
}

/* Fixed codes, least significant bit first; codes themselves come most significant bit first. */
struct bits {
	size_t nr;
};

static void bits_put(struct bits *b, unsigned value, unsigned n)
{
	for (unsigned i = 0; i < n; i++, b->nr++) {
		if (b->nr % 8 == 0)
			packed[b->nr / 8] = 0;
		packed[b->nr / 8] |= (uint8_t)((value >> i & 1) << b->nr % 8);
	}
}

static void bits_code(struct bits *b, unsigned code, unsigned n)
{
	while (n--)
		bits_put(b, code >> n & 1, 1);
}

/* n literals, a match of 3..258 bytes that starts one byte before them, and many literals, so that
 * every decoder is in its fastest loop when it meets it. */
static size_t refused_match(unsigned n, unsigned length_symbol, unsigned extra)
{
	struct bits b = {0};

	bits_put(&b, 1 | 1 << 1, 3);
	for (unsigned i = 0; i < n; i++) {
		plain[i] = (uint8_t)(i * 7 % 144);
		bits_code(&b, 0x30u + plain[i], 8);
	}
	if (length_symbol < 280)
		bits_code(&b, length_symbol - 256, 7);
	else
		bits_code(&b, 0xc0u + length_symbol - 280, 8);
	bits_put(&b, 0, extra);
	bits_code(&b, 29, 5);
	bits_put(&b, 0x1fff, 13);
	for (unsigned i = 0; i < 4000; i++)
		bits_code(&b, 0x30u + i % 100, 8);
	bits_code(&b, 0, 7);
	return b.nr / 8 + 1;
}

/* The decoder must not count what it refused: those bytes were never written. */
static void a_refused_match_is_not_counted(void **state)
{
	static const struct {
		unsigned symbol, extra;
	} match[] = {{257, 0}, {264, 0}, {273, 3}, {281, 5}, {285, 0}};
	static const unsigned before[] = {0, 1, 2, 3, 5, 100, 4096, 30000, 32766};

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(match); i++)
		for (unsigned k = 0; k < CANP_ARRAY_SIZE(before); k++) {
			size_t len = refused_match(before[k], match[i].symbol, match[i].extra), z;
			struct outcome r;

			assert_int_equal(zlib_unpack(CANP_INFLATE_RAW, packed, len, &z),
					 Z_DATA_ERROR);
			assert_int_equal(z, before[k]);
			r = run_member(CANP_INFLATE_RAW, packed, len, 65536);
			assert_true(r.result == CANP_INFLATE_BAD_DATA && r.out == before[k]);
			assert_memory_equal(gout.mem, plain, r.out);
			for (size_t cut = 100; cut < 100000; cut *= 9) {
				r = run_stream(CANP_INFLATE_RAW, packed, len, cut,
					       65536 / cut * 50);
				assert_int_equal(r.result, CANP_INFLATE_BAD_DATA);
				assert_int_equal(r.out, before[k]);
				assert_memory_equal(gout.mem, plain, r.out);
			}
		}
}

static void a_bomb_stops_at_the_output_given(void **state)
{
	size_t used, made, total = 0, pos = 0, len;
	enum canp_inflate_result rc;

	(void)state;
	make_plain(2, DATA_MAX);
	len = zlib_pack(CANP_INFLATE_GZIP, 9, Z_DEFAULT_STRATEGY, DATA_MAX);
	assert_true(len < 1000);
	assert_int_equal(run_member(CANP_INFLATE_GZIP, packed, len, 131072).result,
			 CANP_INFLATE_NEED_OUTPUT);
	/* A stream hands out what fits and holds no more than its own buffer. */
	canp_inflate_reset(ctx, CANP_INFLATE_GZIP);
	do {
		rc = canp_inflate_feed(ctx, packed + pos, len - pos, true, guard_rear(&gout, 4096),
				       4096, &made, &used);
		pos += used;
		total += made;
	} while (rc == CANP_INFLATE_NEED_OUTPUT);
	assert_int_equal(rc, CANP_INFLATE_OK);
	assert_int_equal(total, DATA_MAX);
	/* Asked again, it stays ended. */
	rc = canp_inflate_feed(ctx, packed, len, true, scratch, 100, &made, &used);
	assert_true(rc == CANP_INFLATE_OK && made == 0 && used == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_level_and_strategy_of_zlib_decodes_exactly),
		cmocka_unit_test(streams_do_not_depend_on_slices_or_output_sizes),
		cmocka_unit_test(truncation_at_every_byte_yields_a_reproducible_prefix),
		cmocka_unit_test(cut_streams_yield_the_same_bytes_for_all_slices),
		cmocka_unit_test(too_small_outputs_are_filled_and_never_overrun),
		cmocka_unit_test(a_thousand_bit_flips_never_escape_or_pass_unnoticed),
		cmocka_unit_test(noise_is_rejected_the_same_way_whatever_came_before),
		cmocka_unit_test(optional_header_fields_are_skipped_and_bounded),
		cmocka_unit_test(wrong_headers_are_bad_data_at_their_first_wrong_byte),
		cmocka_unit_test(wrong_trailers_are_bad_checksums_with_all_bytes_kept),
		cmocka_unit_test(concatenated_members_come_one_by_one),
		cmocka_unit_test(the_farthest_match_works_and_one_farther_is_bad_data),
		cmocka_unit_test(a_refused_match_is_not_counted),
		cmocka_unit_test(a_bomb_stops_at_the_output_given),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
