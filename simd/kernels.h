/*
 * kernels.h - the functions behind kernels.def. Private to simd and its tests: callers go through
 * the table canp_simd. What each one promises is written at its member of struct canp_simd.
 */
#ifndef CANP_SIMD_KERNELS_H
#define CANP_SIMD_KERNELS_H

#include "simd/simd.h"

#define CANP_KERNEL_crc32(f)    uint32_t f(uint32_t init, const void *data, size_t len);
#define CANP_KERNEL_adler32(f)  uint32_t f(uint32_t init, const void *data, size_t len);
#define CANP_KERNEL_frames24(f) size_t f(struct canp_frames_ctx *ctx, const uint8_t *p, size_t n);
#define CANP_KERNEL_window(f)                                                                      \
	void f(const uint8_t *rec, size_t stride, size_t off, size_t n, uint64_t *out);
#define CANP_KERNEL_bswap64(f) void f(const uint64_t *in, size_t n, uint64_t *out);
#define CANP_KERNEL_extract(f, T)                                                                  \
	void f(const uint64_t *win, size_t n, unsigned shift, unsigned len, uint64_t flip, T *out, \
	       struct canp_minmax *mm);
#define CANP_KERNEL_extract16(f) CANP_KERNEL_extract(f, uint16_t)
#define CANP_KERNEL_extract32(f) CANP_KERNEL_extract(f, uint32_t)
#define CANP_KERNEL_extract64(f) CANP_KERNEL_extract(f, uint64_t)
#define CANP_KERNEL_varying(f)   uint64_t f(const uint64_t *v, size_t n);
#define CANP_KERNEL_range_mask(f)                                                                  \
	void f(const uint64_t *win, size_t n, unsigned shift, unsigned len, uint64_t lo,           \
	       uint64_t hi, uint32_t mask[8]);
#define CANP_KERNEL_compress16(f) size_t f(uint16_t *v, size_t n, const uint32_t mask[8]);
#define CANP_KERNEL_compress32(f) size_t f(uint32_t *v, size_t n, const uint32_t mask[8]);
#define CANP_KERNEL_compress64(f) size_t f(uint64_t *v, size_t n, const uint32_t mask[8]);
#define CANP_KERNEL_bounds16(f)   void f(const uint16_t *v, size_t n, struct canp_minmax *mm);
#define CANP_KERNEL_pack16(f)     size_t f(const uint16_t *v, size_t n, unsigned w, uint8_t *out);
#define CANP_KERNEL_pack32(f)     size_t f(const uint32_t *v, size_t n, unsigned w, uint8_t *out);
#define CANP_KERNEL_pack64(f)     size_t f(const uint64_t *v, size_t n, unsigned w, uint8_t *out);
#define CANP_KERNEL_ns_to_us(f)   void f(const int64_t *ns, size_t n, int64_t *us);
#define CANP_KERNEL_delta_block(f)                                                                 \
	size_t f(const int64_t *v, size_t n, bool is32, uint8_t *out, bool *back);
#define CANP_KERNEL_unpack16(f) void f(const uint8_t *in, size_t n, unsigned w, uint16_t *out);
#define CANP_KERNEL_index_f64(f)                                                                   \
	void f(const uint16_t *idx, size_t n, int32_t bias, double factor, double offset,          \
	       double *out);
#define CANP_KERNEL_index_i32(f)                                                                   \
	void f(const uint16_t *idx, size_t n, uint32_t mul, uint32_t add, uint32_t *out);
#define CANP_KERNEL_delta32(f) size_t f(const uint32_t *v, size_t n, uint8_t *out);

#define K(kernel, isa, func, needs, text) CANP_KERNEL_##kernel(func)
#include "simd/kernels.def"
#undef K

#endif
