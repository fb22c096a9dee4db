/*
 * guard.c - anonymous mappings with an inaccessible page on either side.
 */
#include "tests/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/units.h"

void guard_open(struct guard *g, size_t bytes)
{
	uint8_t *p;

	g->page = (size_t)sysconf(_SC_PAGESIZE);
	g->bytes = canp_align_up(bytes + !bytes, g->page);
	p = mmap(NULL, g->bytes + 2 * g->page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || mprotect(p + g->page, g->bytes, PROT_READ | PROT_WRITE)) {
		perror("guard_open");
		abort();
	}
	g->mem = p + g->page;
	memset(g->mem, 0xa5, g->bytes);
}

void guard_close(struct guard *g)
{
	munmap(g->mem - g->page, g->bytes + 2 * g->page);
}

uint8_t *guard_rear(const struct guard *g, size_t bytes)
{
	if (bytes > g->bytes)
		abort();
	return g->mem + g->bytes - bytes;
}
