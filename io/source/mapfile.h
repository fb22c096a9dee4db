/*
 * mapfile.h - one input file as memory: mapped for reading in one piece, brought in ahead of the
 * reader and let go of behind it, so that what is resident does not grow with the file.
 *
 * The kernel raises SIGBUS when a page is touched that somebody cut off the file after it was
 * mapped. A handler of ours (installed by open) then puts a page of zeros there and marks
 * the mapping as torn; faults elsewhere go to whoever had the signal before.
 *
 * Threads: one owner; the bytes may be read by all between open and close.
 */
#ifndef CANP_SOURCE_MAPFILE_H
#define CANP_SOURCE_MAPFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Files mapped at the same time, in the whole process. */
#define CANP_MAPFILES_MAX 4096u

struct canp_mapfile {
	uint8_t *base;          /* NULL: closed */
	size_t bytes;           /* of the mapping, pad included */
	uint64_t size;          /* of the file when it was mapped */
	uint64_t ahead, behind; /* asked for up to here; let go of up to here */
	bool torn;              /* atomic: a page was missing */
	uint32_t slot;
};

/* Maps size bytes of fd (which may be closed afterwards); pad more are readable as zeros or what
 * the last page holds. populate: all of it is read now (MAP_POPULATE), which may take long; else
 * only told to be read in order. 0; -EINVAL: size 0; -EMFILE: too many; -errno of mmap. */
int canp_mapfile_open(struct canp_mapfile *m, int fd, uint64_t size, size_t pad, bool populate);
/* Starts to bring in up to `to`; does not wait. */
void canp_mapfile_ahead(struct canp_mapfile *m, uint64_t to);
/* Makes [from, to) resident; waits for the device when it is not. 0; -EFAULT: the file is shorter
 * now; -EIO: it cannot be read there. */
int canp_mapfile_need(struct canp_mapfile *m, uint64_t from, uint64_t to);
/* What lies below `to` is not needed any more. It stays readable, at the price of a fault. */
void canp_mapfile_behind(struct canp_mapfile *m, uint64_t to);
/* A page was missing when it was read. Any thread. */
bool canp_mapfile_torn(const struct canp_mapfile *m);
void canp_mapfile_close(struct canp_mapfile *m);

#endif
