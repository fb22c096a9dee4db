/*
 * outdir.h - the dataset directory: may this job write there, and small files written whole.
 */
#ifndef CANP_IO_OUTDIR_H
#define CANP_IO_OUTDIR_H

#include <stdbool.h>
#include <stddef.h>

struct canp_strbuf;

#define CANP_OUTDIR_META "_canp"

enum canp_outdir_state {
	CANP_OUTDIR_MISSING,
	CANP_OUTDIR_EMPTY,
	CANP_OUTDIR_STARTED,  /* job.json without run.json: an unfinished job */
	CANP_OUTDIR_COMPLETE, /* run.json is there */
	CANP_OUTDIR_FOREIGN,  /* something else lies in it */
};

/* What path is now; -errno when it cannot be looked at (-ENOTDIR: a file). Control thread. */
int canp_outdir_state(const char *path, enum canp_outdir_state *state);

/* Creates the directory and its missing parents; an existing one is fine. 0 or -errno. */
int canp_outdir_make(const char *path);

/* True, with a line in err, when the folder holds something a new job may not touch. */
bool canp_outdir_refuse(const char *path, struct canp_strbuf *err);

/* Creates the directory (and missing parents) for a new job and opens it, with _canp inside.
 * Refuses everything but MISSING and EMPTY with -EEXIST and a line in err that names the way out. 0
 * and *fd, or -errno with a line in err. */
int canp_outdir_create(const char *path, int *fd, struct canp_strbuf *err);

/* Writes a whole file so that it appears complete or not at all: temporary, fdatasync, rename,
 * fsync of the folder. name is relative to dirfd and may hold one folder. Replaces a file of that
 * name. 0 or -errno. */
int canp_outdir_write(int dirfd, const char *name, const void *data, size_t len);

#endif
