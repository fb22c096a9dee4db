/*
 * mmapcache.c - mapped files in a cache. A cache entry's value is the address and its bytes are the
 * length, so there is nothing else to keep; struct canp_mmap is the entry by another name.
 */
#include "io/source/mmapcache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/units.h"

#define CAPACITY 1000u
#define TTL_NS   (300 * (uint64_t)CANP_NS_PER_S)

struct canp_mmapcache {
	struct canp_cache *cache;
};

/* No padding: it is compared as bytes. */
struct file_key {
	uint64_t dev, ino, size, changed_s, changed_ns, modified_s, modified_ns;
};

static const char nothing[1];

static void mapping_gone(void *arg, void *value, uint64_t bytes)
{
	(void)arg;
	if (bytes)
		munmap(value, bytes);
}

int canp_mmapcache_create(uint32_t capacity, uint64_t ttl_ns, struct canp_mmapcache **out)
{
	struct canp_cache_opts o = {.capacity = capacity ? capacity : CAPACITY,
				    .key_max = sizeof(struct file_key),
				    .ttl_ns = ttl_ns ? ttl_ns : TTL_NS,
				    .release = mapping_gone};
	struct canp_mmapcache *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return -ENOMEM;
	rc = canp_cache_create(&o, &c->cache);
	if (rc)
		free(c);
	else
		*out = c;
	return rc;
}

void canp_mmapcache_destroy(struct canp_mmapcache *c)
{
	if (!c)
		return;
	canp_cache_destroy(c->cache);
	free(c);
}

static int key_of(const struct stat *st, struct file_key *key)
{
	if (!S_ISREG(st->st_mode))
		return S_ISDIR(st->st_mode) ? -EISDIR : -EINVAL;
	*key = (struct file_key){.dev = st->st_dev,
				 .ino = st->st_ino,
				 .size = (uint64_t)st->st_size,
				 .changed_s = (uint64_t)st->st_ctim.tv_sec,
				 .changed_ns = (uint64_t)st->st_ctim.tv_nsec,
				 .modified_s = (uint64_t)st->st_mtim.tv_sec,
				 .modified_ns = (uint64_t)st->st_mtim.tv_nsec};
	return 0;
}

static int fd_map(struct canp_mmapcache *c, int fd, uint64_t now_ns, struct canp_cache_entry **out)
{
	void *at = (void *)(uintptr_t)nothing;
	struct file_key key;
	struct stat st;
	int rc;

	/* Another file may have come to this name since it was looked for. */
	rc = fstat(fd, &st) ? -errno : key_of(&st, &key);
	if (rc)
		return rc;
	if (key.size) {
		at = mmap(NULL, key.size, PROT_READ, MAP_SHARED, fd, 0);
		if (at == MAP_FAILED)
			return -errno;
	}
	rc = canp_cache_put(c->cache, &key, sizeof(key), at, key.size, now_ns, out);
	if (rc)
		mapping_gone(NULL, at, key.size);
	return rc;
}

int canp_mmapcache_get(struct canp_mmapcache *c, const char *path, uint64_t now_ns,
		       struct canp_mmap **out)
{
	struct canp_cache_entry *e;
	struct file_key key;
	struct stat st;
	int rc, fd;

	rc = stat(path, &st) ? -errno : key_of(&st, &key);
	if (rc)
		return rc;
	e = canp_cache_get(c->cache, &key, sizeof(key), now_ns);
	if (!e) {
		/* It may have become a FIFO: then open does not wait for a writer. */
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd < 0)
			return -errno;
		rc = fd_map(c, fd, now_ns, &e);
		close(fd);
		if (rc)
			return rc;
	}
	*out = (struct canp_mmap *)e;
	return 0;
}

void canp_mmapcache_put(struct canp_mmapcache *c, struct canp_mmap *f)
{
	canp_cache_unpin(c->cache, (struct canp_cache_entry *)f);
}

uint32_t canp_mmapcache_sweep(struct canp_mmapcache *c, uint64_t now_ns)
{
	return canp_cache_sweep(c->cache, now_ns);
}

void canp_mmapcache_stats(const struct canp_mmapcache *c, struct canp_cache_stats *st)
{
	canp_cache_stats(c->cache, st);
}

const void *canp_mmap_data(const struct canp_mmap *f)
{
	return canp_cache_value((const struct canp_cache_entry *)f);
}

size_t canp_mmap_len(const struct canp_mmap *f)
{
	return canp_cache_bytes((const struct canp_cache_entry *)f);
}

ssize_t canp_mmap_read(const struct canp_mmap *f, uint64_t off, void *buf, size_t n)
{
	size_t len = canp_mmap_len(f);
	struct iovec from, to;
	ssize_t got;

	if (off >= len || !n)
		return 0;
	n = canp_min(n, len - off);
	to = (struct iovec){buf, n};
	from = (struct iovec){(uint8_t *)(uintptr_t)canp_mmap_data(f) + off, n};
	/* Our own memory, by way of the kernel: a page that is not there any more is an error. */
	got = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
	return got < 0 ? -errno : got;
}
