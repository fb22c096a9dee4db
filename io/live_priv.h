/*
 * live_priv.h - the layout of a live page, shared by its writer (live.c) and its reader
 * (live_read.c).
 */
#ifndef CANP_IO_LIVE_PRIV_H
#define CANP_IO_LIVE_PRIV_H

#include "io/live.h"

#define CANP_LIVE_DIRS_MAX 3u
#define CANP_LIVE_TRIES    1000u

/* The file: this, and nothing behind the words of the snapshot. */
struct canp_live_head {
	uint64_t magic;
	uint64_t seq; /* odd: being renewed */
	uint64_t words[];
};

/* The usual places, first choice first; returns how many. */
unsigned canp_live_dirs(char dirs[CANP_LIVE_DIRS_MAX][256]);
/* When a process began, in ticks since boot; 0: no such process. */
uint64_t canp_live_pid_start(int pid);

#endif
