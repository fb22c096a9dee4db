/*
 * candump_parse.h - one line of SocketCAN's candump text, log form (`candump -l`) or console form.
 *
 *   (1581668399.053750) can0 123#1234                log form; see candump_parse.c for all frames
 *    (1581668399.053750)  can0  123   [2]  12 34     console form
 *   DROPCOUNT: dropped 3 CAN frames on 'can0' socket (total drops 9)
 *
 * Pure functions on a span; any thread; nothing behind the span is read.
 */
#ifndef CANP_IO_CANDUMP_PARSE_H
#define CANP_IO_CANDUMP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A longer name is no interface name (the kernel allows 15 characters). */
#define CANP_CANDUMP_IFACE_MAX 63u

enum canp_candump_kind {
	CANP_CANDUMP_FRAME,
	CANP_CANDUMP_GAP,      /* DROPCOUNT: the socket lost `lost` frames here; ts_ns is not set */
	CANP_CANDUMP_BLANK,    /* nothing but blanks */
	CANP_CANDUMP_BAD,      /* not a line of this format; why says what is wrong */
	CANP_CANDUMP_BAD_TIME, /* well-formed, but the time does not fit i64 ns */
	CANP_CANDUMP_UNSUPPORTED, /* a CAN XL frame */
};

struct canp_candump_line {
	int64_t ts_ns;
	bool local;    /* ts_ns is a wall clock without zone ("(2024-05-01 12:00:00.000000)") */
	bool complete; /* no byte may be missing behind the last one (8 data bytes or a suffix) */
	const char *iface; /* inside the line, not NUL-terminated; NULL when none was named */
	size_t iface_len;  /* 1..CANP_CANDUMP_IFACE_MAX */
	uint32_t id;       /* without flag bits */
	unsigned flags;    /* enum canp_frame_flag */
	unsigned dlc, len;
	uint64_t lost;
	const char *why;  /* constant string */
	uint8_t data[64]; /* the first len are set */
};

/* Parses one line without its line end (a CR at the end is allowed). Fills *out as far as the kind
 * needs. Never fails otherwise. */
enum canp_candump_kind canp_candump_parse(const uint8_t *line, size_t len,
					  struct canp_candump_line *out);

#endif
