/*
 * compiler.h - what the compiler is told beyond plain C.
 */
#ifndef CANP_BASE_COMPILER_H
#define CANP_BASE_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Around what a public header declares: names of C, also for a C++ program. */
#ifdef __cplusplus
#define CANP_BEGIN_DECLS extern "C" {
#define CANP_END_DECLS   }
#else
#define CANP_BEGIN_DECLS
#define CANP_END_DECLS
#endif

#define CANP_CACHELINE 64

#define canp_likely(x)    __builtin_expect(!!(x), 1)
#define canp_unlikely(x)  __builtin_expect(!!(x), 0)
#define CANP_ALIGNED(n)   __attribute__((aligned(n)))
#define CANP_NOINLINE     __attribute__((noinline))
#define CANP_INLINE       static inline __attribute__((always_inline))
#define CANP_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define CANP_NORETURN     __attribute__((noreturn))
#define CANP_UNUSED       __attribute__((unused))
#define CANP_MUST_CHECK   __attribute__((warn_unused_result))

#ifdef __cplusplus
#define CANP_STATIC_ASSERT(x, msg) static_assert(x, msg)
#else
#define CANP_STATIC_ASSERT(x, msg) _Static_assert(x, msg)
#endif
#define CANP_ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define canp_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* True when a Kconfig symbol is set; usable in C conditions, so disabled code is still compiled
 * and checked. The trick is the kernel's: a symbol defined as 1 turns into an extra argument. */
#define CANP_ARG_PLACEHOLDER_1              0,
#define canp_take_second(ignored, val, ...) val
#define canp_is_defined3(arg1_or_junk)      canp_take_second(arg1_or_junk 1, 0, 0)
#define canp_is_defined2(val)               canp_is_defined3(CANP_ARG_PLACEHOLDER_##val)
#define canp_is_defined(x)                  canp_is_defined2(x)
#define CANP_ENABLED(symbol)                canp_is_defined(symbol)

#endif
