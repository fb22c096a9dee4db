/*
 * mmapcache.h - read-only mappings of files, kept for who opens the same file next: least recently
 * used goes first (capacity 1000 by default, mmap_cache_size of the source document).
 *
 * A file is known by device, inode, size and time of change, so one that was replaced, cut or
 * appended to is mapped anew; a stat call is what a hit costs. No descriptor stays open.
 *
 * Truncation: reading a page that somebody cut off the file after it was mapped raises SIGBUS.
 * canp_mmap_read() copies through the kernel, which answers with an error instead; who reads
 * through the pointer (canp_mmap_data()) must know that nobody truncates the file meanwhile.
 *
 * Threads: one owner; the mapping of a pinned entry may be read by all.
 */
#ifndef CANP_IO_MMAPCACHE_H
#define CANP_IO_MMAPCACHE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/compiler.h"
#include "numa/cache.h"

CANP_BEGIN_DECLS

struct canp_mmapcache;
struct canp_mmap; /* a mapped file, pinned */

/* capacity 0: 1000; ttl_ns 0: 300 s. 0, -EINVAL or -ENOMEM. */
int canp_mmapcache_create(uint32_t capacity, uint64_t ttl_ns, struct canp_mmapcache **out);
/* Unmaps everything; all mappings must have been put (asserted). NULL is allowed. */
void canp_mmapcache_destroy(struct canp_mmapcache *c);
/* Maps a regular file, or finds its mapping. The caller gives it back by canp_mmapcache_put().
 * -errno of stat, open or mmap; -EISDIR, -EINVAL: not a regular file; -ENOSPC: all are in use. */
int canp_mmapcache_get(struct canp_mmapcache *c, const char *path, uint64_t now_ns,
		       struct canp_mmap **out);
void canp_mmapcache_put(struct canp_mmapcache *c, struct canp_mmap *f);
/* Unmaps what is too old and not in use; to be called by a timer of the owner. Returns how many
 * left the cache. */
uint32_t canp_mmapcache_sweep(struct canp_mmapcache *c, uint64_t now_ns);
void canp_mmapcache_stats(const struct canp_mmapcache *c, struct canp_cache_stats *st);

/* First byte and length of the file as it was when it was mapped; an empty file has a pointer to
 * nothing and length 0. While the mapping is not put back. */
const void *canp_mmap_data(const struct canp_mmap *f);
size_t canp_mmap_len(const struct canp_mmap *f);
/* Copies up to n bytes from `off` on: how many, 0 at the end; -EFAULT: the file was cut there
 * since. Never a signal. Any thread. */
ssize_t canp_mmap_read(const struct canp_mmap *f, uint64_t off, void *buf, size_t n);

CANP_END_DECLS

#endif
