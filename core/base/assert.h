/*
 * assert.h - checks of our own state. CANP_ASSERT stays in every build; CANP_DASSERT is for inner
 * loops and exists in debug flavours or with CONFIG_CANP_DASSERT. Neither is ever applied to file
 * content.
 */
#ifndef CANP_BASE_ASSERT_H
#define CANP_BASE_ASSERT_H

#include "core/base/compiler.h"

CANP_BEGIN_DECLS

/* Prints where and what with a backtrace and aborts. Any thread. */
CANP_NORETURN void canp_assert_fail(const char *file, int line, const char *func, const char *expr);

#define CANP_ASSERT(x)                                                                             \
	do {                                                                                       \
		if (canp_unlikely(!(x)))                                                           \
			canp_assert_fail(__FILE__, __LINE__, __func__, #x);                        \
	} while (0)

#ifdef CANP_DEBUG
#define CANP_DASSERT(x) CANP_ASSERT(x)
#else
#define CANP_DASSERT(x)                                                                            \
	do {                                                                                       \
		if (CANP_ENABLED(CONFIG_CANP_DASSERT))                                             \
			CANP_ASSERT(x);                                                            \
	} while (0)
#endif

CANP_END_DECLS

#endif
