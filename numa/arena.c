/*
 * arena.c - one mapping per shard, carved into named regions at boot, then sealed.
 *
 * The arena is the whole memory promise of a shard: what does not fit is refused at boot with a
 * number instead of being found out by the OOM killer in the middle of a job. It is made on the
 * shard's own thread, so that first touch puts its pages on the shard's node. The bookkeeping lies
 * outside of the mapping: a stray write into a region cannot damage it.
 *
 * When the wanted size cannot be had, an eighth less is tried until the minimum: each attempt is
 * cheap because it fails before any page is touched. All page kinds are tried at one size before
 * the size shrinks, since page kind costs a few percent but size costs parallelism.
 */
#include "numa/arena.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/units.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define arena_poison(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define arena_unpoison(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define arena_poison(p, n)   ((void)(p), (void)(n))
#define arena_unpoison(p, n) ((void)(p), (void)(n))
#endif

#define REGIONS_MAX  128u           /* a shard carves about twenty */
#define SHRINK_ALIGN CANP_MIB       /* sizes tried stay readable in the report */
#define ALIGN_MAX    (2 * CANP_MIB) /* guaranteed for every page kind */

struct arena_region {
	const char *name;
	size_t bytes;
};

struct canp_arena {
	uint8_t *base;
	size_t bytes, used;
	bool sealed;
	pid_t owner; /* thread that made it */
	unsigned nr_regions;
	struct arena_region regions[REGIONS_MAX];
	struct canp_hugepage_report rep;
};

/* The next size to try: an eighth less, but at least one step, and never below the minimum. */
static size_t shrink(size_t bytes, size_t min_bytes)
{
	size_t next = canp_align_down(bytes - bytes / 8, SHRINK_ALIGN);

	if (next >= bytes)
		next = bytes > SHRINK_ALIGN ? bytes - SHRINK_ALIGN : 0;
	return canp_max(next, min_bytes);
}

int canp_arena_create_wish(const struct canp_hugepage_wish *wish, size_t min_bytes,
			   struct canp_hugepage_report *rep, struct canp_arena **out)
{
	struct canp_hugepage_wish w = *wish;
	struct canp_arena *a;
	void *p = NULL;
	int rc;

	if (w.bytes == 0 || min_bytes > w.bytes) {
		memset(rep, 0, sizeof(*rep));
		snprintf(rep->reason, sizeof(rep->reason), "arena size out of range");
		return -EINVAL;
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	for (;;) {
		rc = canp_hugepage_map_wish(&w, &p, rep);
		if (!rc || w.bytes <= min_bytes || rc == -EINVAL)
			break;
		w.bytes = shrink(w.bytes, min_bytes);
		if (w.bytes == 0)
			break;
	}
	if (rc) {
		free(a);
		return rc == -EINVAL ? rc : -ENOMEM;
	}
	a->base = p;
	a->bytes = rep->bytes;
	a->rep = *rep;
	a->owner = gettid();
	arena_poison(a->base, a->bytes);
	*out = a;
	return 0;
}

int canp_arena_create(size_t bytes, size_t min_bytes, enum canp_hugepages want, int node,
		      struct canp_hugepage_report *rep, struct canp_arena **out)
{
	struct canp_hugepage_wish wish = {
		.bytes = bytes, .touch_bytes = bytes, .want = want, .node = node};

	return canp_arena_create_wish(&wish, min_bytes, rep, out);
}

void canp_arena_destroy(struct canp_arena *a)
{
	if (!a)
		return;
	/* The addresses may be handed out again by a later mmap. */
	arena_unpoison(a->base, a->bytes);
	canp_hugepage_unmap(a->base, &a->rep);
	free(a);
}

void *canp_arena_carve(struct canp_arena *a, const char *name, size_t bytes, size_t align)
{
	size_t from;

	CANP_ASSERT(align >= CANP_CACHELINE && align <= ALIGN_MAX);
	CANP_ASSERT((align & (align - 1)) == 0);
	CANP_DASSERT(a->owner == gettid());
	if (a->sealed || a->nr_regions == REGIONS_MAX)
		return NULL;
	from = canp_align_up(a->used, align);
	if (from > a->bytes || bytes > a->bytes - from)
		return NULL;
	a->regions[a->nr_regions].name = name;
	a->regions[a->nr_regions].bytes = bytes;
	a->nr_regions++;
	a->used = from + bytes;
	arena_unpoison(a->base + from, bytes);
	return a->base + from;
}

size_t canp_arena_left(const struct canp_arena *a)
{
	return a->bytes - a->used;
}

size_t canp_arena_bytes(const struct canp_arena *a)
{
	return a->bytes;
}

void *canp_arena_base(const struct canp_arena *a)
{
	return a->base;
}

void canp_arena_seal(struct canp_arena *a)
{
	/* Two seals mean that two places believe they end the boot. */
	CANP_ASSERT(!a->sealed);
	a->sealed = true;
}

bool canp_arena_sealed(const struct canp_arena *a)
{
	return a->sealed;
}

const struct canp_hugepage_report *canp_arena_report(const struct canp_arena *a)
{
	return &a->rep;
}

void canp_arena_for_each(const struct canp_arena *a,
			 void (*fn)(void *arg, const char *name, size_t bytes), void *arg)
{
	for (unsigned i = 0; i < a->nr_regions; i++)
		fn(arg, a->regions[i].name, a->regions[i].bytes);
}
