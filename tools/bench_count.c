/*
 * bench_count.c - counts calls of malloc and friends, mmap and munmap, by standing in front of the
 * C library's: a program's own definitions win. The calls go on to the functions that the library
 * exports for this, or to the kernel. Counted are only threads other than the first, which is what
 * a reactor promises: nothing a file.
 *
 * Left out where a sanitizer stands there already, and with other C libraries.
 */
#include <stddef.h>
#include <stdlib.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "tools/bench_job.h"

static struct canp_bench_calls calls;

void canp_bench_calls_get(struct canp_bench_calls *c)
{
	c->alloc = __atomic_load_n(&calls.alloc, __ATOMIC_RELAXED);
	c->map = __atomic_load_n(&calls.map, __ATOMIC_RELAXED);
	c->unmap = __atomic_load_n(&calls.unmap, __ATOMIC_RELAXED);
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

bool canp_bench_calls_counted(void)
{
	return true;
}

static void count(uint64_t *counter)
{
	static __thread enum { UNKNOWN, FIRST, OTHER } here;

	if (here == UNKNOWN)
		here = syscall(SYS_gettid) == syscall(SYS_getpid) ? FIRST : OTHER;
	if (here == OTHER)
		__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

void *malloc(size_t n)
{
	count(&calls.alloc);
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	count(&calls.alloc);
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	count(&calls.alloc);
	return __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
	count(&calls.alloc);
	return __libc_memalign(align, n);
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	count(&calls.map);
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, off);
}

int munmap(void *addr, size_t len)
{
	count(&calls.unmap);
	return (int)syscall(SYS_munmap, addr, len);
}

#else

bool canp_bench_calls_counted(void)
{
	return false;
}

#endif
