/*
 * log.h - leveled messages on stderr, one write(2) per message, rate-limited per call site where
 * asked. stdout is never written: it belongs to results (--json).
 */
#ifndef CANP_BASE_LOG_H
#define CANP_BASE_LOG_H

#include "core/base/compiler.h"

enum canp_log_level { CANP_LOG_ERROR, CANP_LOG_WARN, CANP_LOG_INFO, CANP_LOG_DEBUG };

/* Messages above `level` are dropped. Default CANP_LOG_WARN. Set before threads start. */
void canp_log_set_level(enum canp_log_level level);
enum canp_log_level canp_log_level(void);

/* fmt without trailing newline. Any thread; never allocates; truncates at 1 KiB. */
void canp_log(enum canp_log_level level, const char *fmt, ...) CANP_PRINTF(2, 3);

#define canp_error(...) canp_log(CANP_LOG_ERROR, __VA_ARGS__)
#define canp_warn(...)  canp_log(CANP_LOG_WARN, __VA_ARGS__)
#define canp_info(...)  canp_log(CANP_LOG_INFO, __VA_ARGS__)
#define canp_debug(...) canp_log(CANP_LOG_DEBUG, __VA_ARGS__)

#endif
