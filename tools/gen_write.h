/*
 * gen_write.h - writes frames as CANP container, BLF or candump text, each optionally gzip'd.
 */
#ifndef CANP_TOOLS_GEN_WRITE_H
#define CANP_TOOLS_GEN_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/gen_traffic.h"

struct canp_gen_writer;

struct canp_gen_write_opts {
	enum { CANP_GEN_CANP, CANP_GEN_BLF, CANP_GEN_CANDUMP } container;
	unsigned member_bytes; /* inflated, of a CANP member or BLF container */
	unsigned body_frames;  /* frames of a CANP record; lowered until a record fits a member */
	unsigned level;        /* of zlib, 0..9 */
	bool gz;
};

/* One writer for many files. -ENOMEM. */
int canp_gen_writer_create(const struct canp_gen_write_opts *opts, struct canp_gen_writer **out);
void canp_gen_writer_destroy(struct canp_gen_writer *w);

/* Starts a file. serial: CANP device, at most 18 characters. -errno of open. */
int canp_gen_writer_open(struct canp_gen_writer *w, const char *path, const char *serial);
void canp_gen_writer_frame(struct canp_gen_writer *w, const struct canp_gen_frame *f);
/* Bytes stored so far; grows by a member at a time. */
uint64_t canp_gen_writer_stored(const struct canp_gen_writer *w);
/* Ends the file; 0 or -EIO when any write failed. */
int canp_gen_writer_close(struct canp_gen_writer *w);

#endif
