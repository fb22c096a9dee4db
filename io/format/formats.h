/*
 * formats.h - the formats that exist. Private to io/format; everyone else uses canp_formats[].
 */
#ifndef CANP_IO_FORMATS_H
#define CANP_IO_FORMATS_H

#include "io/format/format.h"

extern const struct canp_format canp_fmt_blf;
extern const struct canp_format canp_fmt_canp;
extern const struct canp_format canp_fmt_candump;

#endif
