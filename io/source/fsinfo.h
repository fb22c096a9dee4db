/*
 * fsinfo.h - what a file and its file system allow, and the way to read or write it that follows.
 *
 * Facts come from statx (STATX_DIOALIGN), statfs and cachestat; nothing is derived from a kernel
 * version. Where the kernel cannot tell (older than 6.1) the file system's magic decides. A policy
 * is a wish: the reader and the output file still fall back to buffered I/O when the kernel
 * refuses an operation, so a wrong fact costs speed and never data.
 */
#ifndef CANP_SOURCE_FSINFO_H
#define CANP_SOURCE_FSINFO_H

#include <stdbool.h>
#include <stdint.h>

/* How bytes travel between file and memory (--io, --io-write). */
enum canp_io_policy {
	CANP_IO_AUTO,
	CANP_IO_DIRECT,    /* O_DIRECT: no page cache, aligned */
	CANP_IO_DONTCACHE, /* RWF_DONTCACHE: page cache, dropped behind us (Linux 6.14) */
	CANP_IO_BUFFERED,
	CANP_IO_MMAP, /* reading only: the file is memory, see mapfile.h */
};

/* Newer than Debian 12's headers; probed, never assumed. */
#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE 0x00000080
#endif

/* All our direct I/O is aligned to this; a device that asks for more is not used directly. */
#define CANP_IO_ALIGN 4096u

/* Facts of one regular file or of one directory. */
struct canp_fsinfo {
	uint64_t size;             /* of the file, bytes; 0 for directories */
	uint64_t dev, ino;         /* identity */
	int64_t mtime_ns;          /* since 1970 */
	uint32_t mode;             /* st_mode */
	uint64_t fs_magic;         /* statfs f_type; 0 unless asked for */
	uint64_t free_bytes;       /* to us, not root's share; UINT64_MAX unknown */
	uint64_t free_inodes;      /* UINT64_MAX where the file system makes them as needed */
	uint32_t dio_mem_align;    /* bytes; 0: direct I/O not offered */
	uint32_t dio_offset_align; /* bytes; 0: direct I/O not offered */
	bool dontcache;            /* RWF_DONTCACHE accepted; only canp_fsinfo_dir fills it */
};

/* Facts of an open file, one or two system calls. 0 or -errno. Any thread. */
int canp_fsinfo_file(int fd, struct canp_fsinfo *fi);
/* Facts of a directory for writing new files in it: free space, and alignment and DONTCACHE as
 * tried on an unnamed temporary file (O_TMPFILE) that never appears in the directory. 0 or
 * -errno. Any thread; may block: not on a reactor. */
int canp_fsinfo_dir(int dirfd, struct canp_fsinfo *fi);

/* Share of the file's pages that are in the page cache, 0..100 percent; -errno (-ENOSYS before
 * Linux 6.5). Any thread. */
int canp_fsinfo_resident_pct(int fd, uint64_t size);

/* Share of a file's pages from which it counts as being in the page cache. */
#define CANP_IO_RESIDENT_PCT 90

/* The way to read: an explicit wish wins when it is possible at all; AUTO takes buffered when the
 * file is cached (resident_pct, negative: unknown; from CANP_IO_RESIDENT_PCT), else direct where
 * offered, else dontcache (which falls back by itself). Never returns AUTO. Pure. */
enum canp_io_policy canp_fsinfo_read_policy(const struct canp_fsinfo *fi, int resident_pct,
					    enum canp_io_policy wish);
/* The way to write new files of a directory (facts of canp_fsinfo_dir): direct, dontcache,
 * buffered in this order. Never returns AUTO. Pure. */
enum canp_io_policy canp_fsinfo_write_policy(const struct canp_fsinfo *fi,
					     enum canp_io_policy wish);
/* True when aligned direct I/O (CANP_IO_ALIGN) is offered. Pure. */
bool canp_fsinfo_can_direct(const struct canp_fsinfo *fi);

/* "auto", "direct", "dontcache", "buffered", "mmap". parse: 0 or -EINVAL, *out untouched then. */
int canp_io_policy_parse(const char *text, enum canp_io_policy *out);
const char *canp_io_policy_name(enum canp_io_policy policy);
/* Name of a file system by its magic, "other" when not in our table. Constant string. */
const char *canp_fsinfo_fs_name(uint64_t fs_magic);

#endif
