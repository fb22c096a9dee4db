/*
 * strbuf.h - growing byte string for the control plane (reports, JSON, names). Not for reactors
 * after boot: it allocates. A failed allocation sets ->failed and later calls do nothing, so one
 * check at the end is enough.
 */
#ifndef CANP_BASE_STRBUF_H
#define CANP_BASE_STRBUF_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/compiler.h"

CANP_BEGIN_DECLS

struct canp_strbuf {
	char *buf; /* NUL-terminated once anything was added; owned */
	size_t len, cap;
	bool failed;
};

#ifdef __cplusplus
#define CANP_STRBUF_INIT                                                                           \
	{                                                                                          \
	}
#else
#define CANP_STRBUF_INIT                                                                           \
	{                                                                                          \
		0                                                                                  \
	}
#endif

/* All of these append and grow the buffer; without memory they set `failed` and leave the text as
 * it is. The caller's thread only. */
void canp_strbuf_add(struct canp_strbuf *sb, const void *data, size_t len);
void canp_strbuf_puts(struct canp_strbuf *sb, const char *s);
void canp_strbuf_putc(struct canp_strbuf *sb, char c);
void canp_strbuf_printf(struct canp_strbuf *sb, const char *fmt, ...) CANP_PRINTF(2, 3);
void canp_strbuf_reset(struct canp_strbuf *sb); /* empty, keeps the memory */
void canp_strbuf_fini(struct canp_strbuf *sb);  /* frees */

CANP_END_DECLS

#endif
