/*
 * bench_rows.c - the rows of simd/kernels.def, each on data of the shape it meets in a job.
 *
 * A kernel has one table of cases here, bench_<kernel>, and the array `cases` names it for every
 * row of kernels.def: a kernel without a table does not compile, and a further row of a kernel that
 * has one appears by itself.
 *
 * Everything but frames24 and the checksums works on one chunk of 256 rows, which lies in the first
 * cache; checksums take a block of 64 KiB out of the second, as after inflate. A pass repeats the
 * call, so that what surrounds it does not count.
 */
#include <errno.h>
#include <isa-l.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/base/units.h"
#include "simd/simd.h"
#include "tools/bench_kernels.h"

#define BLOCK_BYTES 65536u
#define REPEAT      16u /* calls in a pass */

typedef void generic_fn(void);

/* A call as a pass: the variant, the case it belongs to and what both work on. */
struct row_run {
	generic_fn *func;
	unsigned param;
	struct canp_bench_frames *frames;
};

struct row_case {
	const char *data;
	void (*pass)(void *run);
	double work; /* of a pass; bytes: GB/s, else ns for each `what` */
	const char *what;
	unsigned param;
	const char *library; /* reference: its name and its function, called like the kernel */
	generic_fn *reference;
};

/* What the kernels read and write; filled once. */
static struct {
	uint8_t block[BLOCK_BYTES];
	uint8_t rec[CANP_CHUNK_ROWS * 32 + CANP_SIMD_PAD];
	uint64_t win[CANP_CHUNK_ROWS], out[CANP_CHUNK_ROWS], keep[CANP_CHUNK_ROWS];
	uint8_t packed[CANP_CHUNK_ROWS * 8 + CANP_SIMD_PAD];
	uint32_t mask[8], made[8];
	uint64_t times[CANP_CHUNK_ROWS + 1] CANP_ALIGNED(64); /* as regular as timestamps are */
	struct canp_minmax mm;
	uint32_t sum;
	bool back;
} buf CANP_ALIGNED(64);

static uint64_t noise(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void fill(void *p, size_t n, uint64_t *seed)
{
	for (size_t i = 0; i + 8 <= n; i += 8) {
		uint64_t v = noise(seed);

		memcpy((uint8_t *)p + i, &v, 8);
	}
}

static void buffers_fill(void)
{
	uint64_t seed = 0x9e3779b97f4a7c15ull;

	fill(buf.block, sizeof(buf.block), &seed);
	fill(buf.rec, sizeof(buf.rec), &seed);
	fill(buf.win, sizeof(buf.win), &seed);
	fill(buf.mask, sizeof(buf.mask), &seed);
	for (unsigned i = 1; i < CANP_ARRAY_SIZE(buf.times); i++)
		buf.times[i] = buf.times[i - 1] + 10000 + noise(&seed) % 64;
}

/* ---- one pass of each kernel ----------------------------------------------------------------- */

/* The call with the type of its member. */
#define CALL(member, ...) ((__typeof__(canp_simd.member))run->func)(__VA_ARGS__)
#define FOR_REPEAT        for (unsigned n_ = 0; n_ < REPEAT; n_++)
#define PASS(name, ...)                                                                            \
	static void pass_##name(void *arg)                                                         \
	{                                                                                          \
		const struct row_run *run = arg;                                                   \
                                                                                                   \
		FOR_REPEAT __VA_ARGS__;                                                            \
	}

/* The running value goes on, so that no call can be left out. */
PASS(crc32, buf.sum = CALL(crc32, buf.sum, buf.block, BLOCK_BYTES))
PASS(adler32, buf.sum = CALL(adler32, buf.sum, buf.block, BLOCK_BYTES))
PASS(window, CALL(window, buf.rec, run->param, 8, CANP_CHUNK_ROWS, buf.out))
PASS(bswap64, CALL(bswap64, buf.win, CANP_CHUNK_ROWS, buf.out))
PASS(extract16,
     CALL(extract16, buf.win, CANP_CHUNK_ROWS, 5, run->param, 0, (uint16_t *)buf.out, &buf.mm))
PASS(extract32,
     CALL(extract32, buf.win, CANP_CHUNK_ROWS, 5, run->param, 0, (uint32_t *)buf.out, &buf.mm))
PASS(extract64, CALL(extract64, buf.win, CANP_CHUNK_ROWS, 5, run->param, 0, buf.out, &buf.mm))
PASS(range_mask, CALL(range_mask, buf.win, CANP_CHUNK_ROWS, 5, run->param, 1, 9, buf.made))
/* In place, again and again: what the values are changes nothing. */
PASS(compress16, CALL(compress16, (uint16_t *)buf.keep, CANP_CHUNK_ROWS, buf.mask))
PASS(compress32, CALL(compress32, (uint32_t *)buf.keep, CANP_CHUNK_ROWS, buf.mask))
PASS(compress64, CALL(compress64, buf.keep, CANP_CHUNK_ROWS, buf.mask))

/* Packing wants values that fit the width, so they are extracted before the rounds. */
PASS(pack16, CALL(pack16, (uint16_t *)buf.keep, CANP_CHUNK_ROWS, run->param, buf.packed))
PASS(pack32, CALL(pack32, (uint32_t *)buf.keep, CANP_CHUNK_ROWS, run->param, buf.packed))
PASS(pack64, CALL(pack64, buf.keep, CANP_CHUNK_ROWS, run->param, buf.packed))

/* The way back, timestamps and constant columns. */
PASS(varying, buf.sum ^= (uint32_t)CALL(varying, buf.win, CANP_CHUNK_ROWS))
PASS(bounds16, CALL(bounds16, (uint16_t *)buf.keep, CANP_CHUNK_ROWS, &buf.mm))
PASS(ns_to_us, CALL(ns_to_us, (int64_t *)(run->param ? buf.win : buf.times), CANP_CHUNK_ROWS,
		    (int64_t *)buf.out))
PASS(delta_block, CALL(delta_block, (int64_t *)buf.times, 128, false, buf.packed, &buf.back))
PASS(delta32, CALL(delta32, (uint32_t *)buf.keep, CANP_CHUNK_ROWS, buf.packed))
PASS(unpack16, CALL(unpack16, buf.block, CANP_CHUNK_ROWS, run->param, (uint16_t *)buf.out))
PASS(index_f64,
     CALL(index_f64, (uint16_t *)buf.win, CANP_CHUNK_ROWS, 0, 0.125, -40, (double *)buf.out))
PASS(index_i32, CALL(index_i32, (uint16_t *)buf.win, CANP_CHUNK_ROWS, 3, 7, (uint32_t *)buf.out))

static void pass_frames24(void *arg)
{
	const struct row_run *run = arg;

	canp_bench_frames_pass(run->frames, run->func);
}

static uint32_t isal_adler(uint32_t init, const void *data, size_t len)
{
	return isal_adler32(init, data, len);
}

static uint32_t zlib_crc(uint32_t init, const void *data, size_t len)
{
	return (uint32_t)crc32_z(init, data, len);
}

/* ---- the cases ------------------------------------------------------------------------------- */

#define VALUES   (REPEAT * CANP_CHUNK_ROWS)
#define CHUNK(n) "256 values of " #n " bit"
#define WIDTH(k, n)                                                                                \
	{                                                                                          \
		CHUNK(n), pass_##k, VALUES, "value", n, NULL, NULL                                 \
	}
#define ONE(k, text)                                                                               \
	{                                                                                          \
		text, pass_##k, VALUES, "value", 0, NULL, NULL                                     \
	}
#define END                                                                                        \
	{                                                                                          \
		NULL                                                                               \
	}
#define BYTES (REPEAT * BLOCK_BYTES)
#define SUM(k, name, fn)                                                                           \
	{                                                                                          \
		"block of 64 KiB", pass_##k, BYTES, NULL, 0, name, (generic_fn *)fn                \
	}

static const struct row_case bench_crc32[] = {SUM(crc32, "zlib", zlib_crc), END};
static const struct row_case bench_adler32[] = {SUM(adler32, "isal", isal_adler), END};
static const struct row_case bench_frames24[] = {
	{"records of 16 bytes (S)", pass_frames24, CANP_BENCH_FRAMES, "frame", 0, NULL, NULL},
	{"records of 32 bytes (J)", pass_frames24, CANP_BENCH_FRAMES, "frame", 1, NULL, NULL},
	END,
};
static const struct row_case bench_window[] = {
	{"payloads of 16-byte records", pass_window, VALUES, "value", 16, NULL, NULL},
	{"payloads of 32-byte records", pass_window, VALUES, "value", 32, NULL, NULL},
	END,
};
static const struct row_case bench_bswap64[] = {ONE(bswap64, "256 payloads"), END};
static const struct row_case bench_extract16[] = {WIDTH(extract16, 12), END};
static const struct row_case bench_extract32[] = {WIDTH(extract32, 24), END};
static const struct row_case bench_extract64[] = {WIDTH(extract64, 40), END};
static const struct row_case bench_range_mask[] = {WIDTH(range_mask, 4), END};
static const struct row_case bench_compress16[] = {ONE(compress16, "256 values, half kept"), END};
static const struct row_case bench_compress32[] = {ONE(compress32, "256 values, half kept"), END};
static const struct row_case bench_compress64[] = {ONE(compress64, "256 values, half kept"), END};
static const struct row_case bench_pack16[] = {WIDTH(pack16, 1), WIDTH(pack16, 5),
					       WIDTH(pack16, 12), END};
static const struct row_case bench_pack32[] = {WIDTH(pack32, 24), END};
static const struct row_case bench_pack64[] = {WIDTH(pack64, 24), WIDTH(pack64, 40), END};

static const struct row_case bench_varying[] = {ONE(varying, "256 payloads"), END};
static const struct row_case bench_bounds16[] = {ONE(bounds16, "256 values"), END};
static const struct row_case bench_ns_to_us[] = {
	ONE(ns_to_us, "256 times of one log"),
	{"256 times of any year", pass_ns_to_us, VALUES, "value", 1, NULL, NULL},
	END,
};
static const struct row_case bench_delta_block[] = {
	{"128 times, 6 bits each", pass_delta_block, REPEAT * 128, "value", 0, NULL, NULL}, END};
static const struct row_case bench_delta32[] = {ONE(delta32, "256 values, any width"), END};
static const struct row_case bench_unpack16[] = {WIDTH(unpack16, 1), WIDTH(unpack16, 12), END};
static const struct row_case bench_index_f64[] = {ONE(index_f64, "256 values"), END};
static const struct row_case bench_index_i32[] = {ONE(index_i32, "256 values"), END};

/* Of every row of kernels.def, in its order. */
static const struct row_case *const cases[] = {
#define K(kernel, isa, func, needs, text) bench_##kernel,
#include "simd/kernels.def"
#undef K
};

/* Every kernel of the table has exactly one portable row, so none is missing above. */
enum {
	PORTABLE_ROWS = 0
#define K(kernel, isa, func, needs, text) +(CANP_ISA_##isa == CANP_ISA_SCALAR)
#include "simd/kernels.def"
#undef K
};
CANP_STATIC_ASSERT(PORTABLE_ROWS == (sizeof(struct canp_simd) - offsetof(struct canp_simd, crc32)) /
					    sizeof(generic_fn *),
		   "each kernel of struct canp_simd has rows and a bench case");

/* ---- measuring ------------------------------------------------------------------------------- */

struct rows {
	unsigned nr;
	struct canp_kernel_row row[CANP_ARRAY_SIZE(cases)];
};

static void row_note(void *arg, const struct canp_kernel_row *row)
{
	struct rows *r = arg;

	r->row[r->nr++] = *row;
}

/* Widths of pack*: values of that many bits, in the place where compress works otherwise. */
static void pack_values(const struct row_case *c)
{
	uint64_t seed = c->param;
	uint64_t mask = c->param ? (1ull << c->param) - 1 : ~0ull;

	fill(buf.keep, sizeof(buf.keep), &seed);
	for (unsigned i = 0; i < CANP_CHUNK_ROWS; i++) {
		if (c->pass == pass_pack16)
			((uint16_t *)buf.keep)[i] &= (uint16_t)mask;
		else if (c->pass == pass_pack32)
			((uint32_t *)buf.keep)[i] &= (uint32_t)mask;
		else
			buf.keep[i] &= mask;
	}
}

/* One case of the kernel whose rows begin at `first`. */
static int case_measure(struct canp_bench_out *out, const struct rows *r, unsigned first,
			const struct row_case *c)
{
	static const char *const columns[CANP_BENCH_COLUMNS] = {"scalar", "avx2", "avx512",
								"library"};
	struct canp_bench_line line = {
		.kernel = r->row[first].kernel, .what = c->what, .columns = columns};
	struct row_run run[CANP_BENCH_FORMS_MAX];
	struct canp_bench_frames *frames = NULL;
	int rc;

	if (c->pass == pass_frames24) {
		frames = canp_bench_frames_create(c->param != 0);
		if (!frames)
			return -ENOMEM;
	}
	pack_values(c);
	snprintf(line.data, sizeof(line.data), "%s", c->data);
	for (unsigned i = first; i < r->nr; i++) {
		const struct canp_kernel_row *row = &r->row[i];

		if (strcmp(row->kernel, line.kernel) || !row->runnable ||
		    row->isa > canp_bench_ceiling(out))
			continue;
		run[line.nr] = (struct row_run){row->func, c->param, frames};
		canp_bench_form(&line, canp_isa_name(row->isa),
				row->isa == CANP_ISA_SCALAR ? CANP_BENCH_PORTABLE : CANP_BENCH_FORM,
				c->pass, &run[line.nr], c->work);
	}
	if (c->reference) {
		run[line.nr] = (struct row_run){c->reference, c->param, frames};
		canp_bench_form(&line, c->library, CANP_BENCH_REFERENCE, c->pass, &run[line.nr],
				c->work);
	}
	rc = canp_bench_line(out, &line);
	canp_bench_frames_destroy(frames);
	return rc;
}

int canp_bench_rows(struct canp_bench_out *out)
{
	struct rows r = {0};
	int rc = 0;

	buffers_fill();
	canp_kernels_for_each(row_note, &r);
	for (unsigned i = 0; i < r.nr; i++) {
		if (r.row[i].isa != CANP_ISA_SCALAR || !canp_bench_wanted(out, r.row[i].kernel))
			continue;
		for (const struct row_case *c = cases[i]; c->data && !rc; c++)
			rc = case_measure(out, &r, i, c);
	}
	return rc;
}
