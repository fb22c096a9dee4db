/*
 * units.h - sizes, times and rounding.
 */
#ifndef CANP_BASE_UNITS_H
#define CANP_BASE_UNITS_H

#include <stdint.h>

#include "core/base/compiler.h"

CANP_BEGIN_DECLS

#define CANP_KIB (1024UL)
#define CANP_MIB (1024UL * CANP_KIB)
#define CANP_GIB (1024UL * CANP_MIB)

#define CANP_NS_PER_US 1000LL
#define CANP_NS_PER_MS 1000000LL
#define CANP_NS_PER_S  1000000000LL

#define canp_min(a, b)                                                                             \
	({                                                                                         \
		__typeof__(a) _min_a = (a);                                                        \
		__typeof__(b) _min_b = (b);                                                        \
		_min_a < _min_b ? _min_a : _min_b;                                                 \
	})
#define canp_max(a, b)                                                                             \
	({                                                                                         \
		__typeof__(a) _max_a = (a);                                                        \
		__typeof__(b) _max_b = (b);                                                        \
		_max_a > _max_b ? _max_a : _max_b;                                                 \
	})

/* n must be a power of two. */
#define canp_align_up(x, n)   (((x) + ((__typeof__(x))(n)-1)) & ~((__typeof__(x))(n)-1))
#define canp_align_down(x, n) ((x) & ~((__typeof__(x))(n)-1))

/* Floor division for i64 nanoseconds -> microseconds, also before 1970. */
static inline int64_t canp_floor_div(int64_t a, int64_t b)
{
	int64_t q = a / b;

	return q - (a % b != 0 && ((a < 0) != (b < 0)));
}

CANP_END_DECLS

#endif
