/*
 * simd.h - the table of hand-written kernels. One variant per ISA; kernels.def lists each once and
 * dispatch, tests and benchmarks iterate over it. The table is chosen once before threads start
 * and read-only afterwards.
 *
 * Contract of all kernels: pure functions on the spans they are given; no allocation, no log, no
 * state; they may read up to CANP_SIMD_PAD bytes behind an input only where it says so; results
 * are bit-identical for every ISA.
 */
#ifndef CANP_SIMD_SIMD_H
#define CANP_SIMD_SIMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simd/frames.h"

#define CANP_SIMD_PAD 64u
/* Most bytes of one DELTA_BINARY_PACKED block of 32-bit values: varint, widths, values. */
#define CANP_SIMD_DELTA32_MAX (5u + 4u + 128u * 4u)

enum canp_isa { CANP_ISA_SCALAR, CANP_ISA_AVX2, CANP_ISA_AVX512, CANP_ISA_NR, CANP_ISA_AUTO = -1 };

/* Bounds of a column of indices; min > max when n was 0. */
struct canp_minmax {
	uint64_t min, max;
};

struct canp_simd {
	enum canp_isa isa; /* the highest ISA any member uses */

	/* CRC-32 (zlib polynomial) and Adler-32 (RFC 1950). init is the running value: 0 and 1 for
	 * a new stream. Any length, any alignment. */
	uint32_t (*crc32)(uint32_t init, const void *data, size_t len);
	uint32_t (*adler32)(uint32_t init, const void *data, size_t len);

	/* Fused decode+group over n big-endian 24-byte CANP frames at p. Returns how many frames
	 * were consumed; ctx->stop says why it came back. Input is read exactly, never behind p +
	 * 24*n. */
	size_t (*frames24)(struct canp_frames_ctx *ctx, const uint8_t *p, size_t n);

	/* out[i] = little-endian u64 at rec + i*stride + off, n <= 256. Reads only those 8 bytes of
	 * each record. out: 64-byte aligned, room for n rounded up to 32 (the tail is unspecified).
	 */
	void (*window)(const uint8_t *rec, size_t stride, size_t off, size_t n, uint64_t *out);
	/* out[i] = bswap64(in[i]); same shape rules; in == out allowed. */
	void (*bswap64)(const uint64_t *in, size_t n, uint64_t *out);

	/* out[i] = ((win[i] >> shift) & mask(len)) ^ flip, 1 <= len <= width of out; mm over the n
	 * results. win and out 64-byte aligned with room for n rounded up to 32; n <= 256. */
	void (*extract16)(const uint64_t *win, size_t n, unsigned shift, unsigned len,
			  uint64_t flip, uint16_t *out, struct canp_minmax *mm);
	void (*extract32)(const uint64_t *win, size_t n, unsigned shift, unsigned len,
			  uint64_t flip, uint32_t *out, struct canp_minmax *mm);
	void (*extract64)(const uint64_t *win, size_t n, unsigned shift, unsigned len,
			  uint64_t flip, uint64_t *out, struct canp_minmax *mm);

	/* The bits in which any of n values differs from the first; 0 for n = 0. A column cut from
	 * a window is constant when none of its bits is set. v: 64-byte aligned, read exactly. */
	uint64_t (*varying)(const uint64_t *v, size_t n);

	/* Multiplexing: bit i of mask (LSB first, 8 words of 32 rows) = lo <= raw(win[i]) <= hi
	 * (unsigned compare of the unflipped raw value). Bits >= n are 0. */
	void (*range_mask)(const uint64_t *win, size_t n, unsigned shift, unsigned len, uint64_t lo,
			   uint64_t hi, uint32_t mask[8]);

	/* Keeps the values whose mask bit is set, in place, order kept; returns how many. */
	size_t (*compress16)(uint16_t *v, size_t n, const uint32_t mask[8]);
	size_t (*compress32)(uint32_t *v, size_t n, const uint32_t mask[8]);
	size_t (*compress64)(uint64_t *v, size_t n, const uint32_t mask[8]);

	/* Bounds of n values; min > max when n is 0. Any alignment, read exactly. */
	void (*bounds16)(const uint16_t *v, size_t n, struct canp_minmax *mm);

	/* Parquet bit-packing, LSB first: n values (a multiple of 8) of w bits each, values < 2^w,
	 * into exactly n*w/8 bytes. w: 0..16 / 0..32 / 0..64. v readable up to n rounded up to 32;
	 * out must have CANP_SIMD_PAD bytes of slack behind. Returns the bytes produced. */
	size_t (*pack16)(const uint16_t *v, size_t n, unsigned w, uint8_t *out);
	size_t (*pack32)(const uint32_t *v, size_t n, unsigned w, uint8_t *out);
	size_t (*pack64)(const uint64_t *v, size_t n, unsigned w, uint8_t *out);

	/* us[i] = floor(ns[i] / 1000), any value. Both 64-byte aligned with room for n rounded up
	 * to 32, not overlapping. */
	void (*ns_to_us)(const int64_t *ns, size_t n, int64_t *us);
	/* One block of Parquet's DELTA_BINARY_PACKED (128 values in 4 miniblocks) of the n
	 * differences v[i + 1] - v[i], 1..128, modulo 2^64; is32: modulo 2^32, then sign-extended.
	 * A block that is not full is the last of its page. *back becomes true when some value is
	 * below the one before it, else it stays. v: n + 1 values, any alignment, read exactly.
	 * out: room for 14 + 1024 bytes and CANP_SIMD_PAD of slack. Returns the bytes. */
	size_t (*delta_block)(const int64_t *v, size_t n, bool is32, uint8_t *out, bool *back);

	/* The way back: n values of w bits (1..16) from the (n*w+7)/8 bytes at in, which are all
	 * that is read. out: room for n rounded up to 32 (the tail is unspecified). */
	void (*unpack16)(const uint8_t *in, size_t n, unsigned w, uint16_t *out);
	/* out[i] = (double)(idx[i] - bias) * factor + offset, rounded twice; |bias| <= 32768. Reads
	 * and writes exactly n. */
	void (*index_f64)(const uint16_t *idx, size_t n, int32_t bias, double factor, double offset,
			  double *out);
	/* out[i] = idx[i] * mul + add modulo 2^32. Reads and writes exactly n. */
	void (*index_i32)(const uint16_t *idx, size_t n, uint32_t mul, uint32_t add, uint32_t *out);

	/* Parquet DELTA_BINARY_PACKED, blocks of 128 in 4 miniblocks, without the page header: the
	 * n differences v[1] - v[0] .. v[n] - v[n-1] modulo 2^32; v readable exactly n + 1. Returns
	 * the bytes, at most CANP_SIMD_DELTA32_MAX per begun block; out must have CANP_SIMD_PAD
	 * bytes of slack behind. */
	size_t (*delta32)(const uint32_t *v, size_t n, uint8_t *out);
};

/* The chosen table. Valid after canp_simd_init(); any thread, read-only. */
extern struct canp_simd canp_simd;

/* Chooses variants. want: CANP_ISA_AUTO or a ceiling; disable: comma-separated feature names (may
 * be NULL) as in env CANP_CPU_DISABLE (e.g. "avx512vbmi,avx2"); an unknown name gives -EINVAL. A
 * ceiling the CPU or the build lacks gives -ENOTSUP. Once, before threads start. */
int canp_simd_init(enum canp_isa want, const char *disable);

/* "scalar", "avx2", "avx512". */
const char *canp_isa_name(enum canp_isa isa);
/* -EINVAL for an unknown name; "auto" gives CANP_ISA_AUTO. */
int canp_isa_parse(const char *name, enum canp_isa *isa);

/* Calls fn for every row of kernels.def with what is built, what this CPU can run and what was
 * chosen. For caps, tests and benchmarks. func is the row's function pointer cast to a generic
 * one; cast it back to the member type named by `kernel`. */
struct canp_kernel_row {
	const char *kernel; /* member name of struct canp_simd */
	enum canp_isa isa;
	const char *text;
	void (*func)(void);
	bool runnable; /* this CPU has what it needs (before CANP_CPU_DISABLE) */
	bool chosen;
};
void canp_kernels_for_each(void (*fn)(void *arg, const struct canp_kernel_row *row), void *arg);

#endif
