/*
 * formats.h - the formats that exist. Private to io/format; everyone else uses canp_formats[].
 */
#ifndef CANP_IO_FORMATS_H
#define CANP_IO_FORMATS_H

#include "io/format/format.h"

extern const struct canp_format canp_fmt_blf;
extern const struct canp_format canp_fmt_canp;
extern const struct canp_format canp_fmt_candump;

/* An entry of the registry, with its comma; nothing in builds without the format. */
#define CANP_FORMAT_IF(sym, format) CANP_FORMAT_IF2(CANP_ENABLED(sym), format)
#define CANP_FORMAT_IF2(on, format) CANP_FORMAT_IF3(on, format)
#define CANP_FORMAT_IF3(on, format) CANP_FORMAT_IF_##on(format)
#define CANP_FORMAT_IF_1(format)    &format,
#define CANP_FORMAT_IF_0(format)

#endif
