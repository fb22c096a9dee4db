/*
 * process_heap.c - payload memory: a heap per region, taken from by one process, given back by any.
 *
 * A region is a sequence of chunks that touch each other, each with a head of one cache line. Only
 * the owner splits, joins and takes (next fit); whoever gives back just marks the chunk free, with
 * one release store. So no lock is shared between processes, and a process that dies in here leaves
 * a region that can be walked: a split writes the head of the rest before it shortens the chunk, a
 * join is one store of the size.
 *
 * A worker's chunk is TAKEN while its task runs and HANDED once it is the output of one; when the
 * task is over, or the worker dead, what is still TAKEN goes back by itself.
 */
#include <string.h>

#include "core/process/process_priv.h"

#define CHUNK_MAGIC 0x6b6e7563u /* "cunk" */
#define HEAD_BYTES  64u

enum chunk_state { CHUNK_FREE = 1, CHUNK_TAKEN, CHUNK_HANDED };

struct chunk {
	uint64_t bytes; /* with the head; to the next one */
	uint32_t state, magic;
	uint64_t spare[6];
};
CANP_STATIC_ASSERT(sizeof(struct chunk) == HEAD_BYTES, "data keeps the alignment");

struct region {
	struct chunk first; /* never free: holds the cursor */
	uint64_t cursor;    /* offset of the chunk to look at first */
	uint64_t taken;     /* chunks that the running task took */
	uint64_t spare[6];
};

static struct region *region_of(const struct canp_process_pool *p, unsigned i)
{
	return (struct region *)(p->payload + (size_t)i * p->region_bytes);
}

static struct chunk *chunk_at(struct region *r, uint64_t off)
{
	return (struct chunk *)((char *)r + off);
}

void canp_process_heap_init(struct canp_process_pool *p, unsigned region)
{
	struct region *r = region_of(p, region);
	struct chunk *c = chunk_at(r, sizeof(*r));

	if (r->first.magic == CHUNK_MAGIC)
		return;
	c->bytes = p->region_bytes - sizeof(*r);
	c->state = CHUNK_FREE;
	c->magic = CHUNK_MAGIC;
	r->cursor = sizeof(*r);
	r->taken = 0;
	proc_set32(&r->first.magic, CHUNK_MAGIC);
}

static uint32_t chunk_state(const struct chunk *c)
{
	return proc_get32(&c->state);
}

/* Joins the free chunks behind a free one. */
static void chunk_join(struct canp_process_pool *p, struct region *r, struct chunk *c)
{
	for (;;) {
		uint64_t off = (uint64_t)((char *)c - (char *)r), next = off + c->bytes;
		struct chunk *n = chunk_at(r, next);

		if (next >= p->region_bytes || chunk_state(n) != CHUNK_FREE)
			return;
		n->magic = 0; /* nobody may take it for a chunk any more */
		proc_set64(&c->bytes, c->bytes + n->bytes);
		if (r->cursor == next)
			r->cursor = off;
	}
}

static void *chunk_take(struct canp_process_pool *p, struct region *r, struct chunk *c,
			uint64_t need)
{
	uint64_t off = (uint64_t)((char *)c - (char *)r);

	if (c->bytes - need >= 2 * HEAD_BYTES) {
		struct chunk *rest = chunk_at(r, off + need);

		rest->bytes = c->bytes - need;
		rest->magic = CHUNK_MAGIC;
		proc_set32(&rest->state, CHUNK_FREE);
		proc_set64(&c->bytes, need);
	}
	r->cursor = off;
	r->taken++;
	if (r == region_of(p, 0))
		__atomic_fetch_add(&p->shm->payload_bytes.v, c->bytes, __ATOMIC_RELAXED);
	proc_set32(&c->state, CHUNK_TAKEN);
	return (char *)c + HEAD_BYTES;
}

void *canp_process_heap_alloc(struct canp_process_pool *p, unsigned region, size_t size)
{
	struct region *r = region_of(p, region);
	uint64_t need, off, first = sizeof(*r), seen = 0;

	if (r->first.magic != CHUNK_MAGIC)
		canp_process_heap_init(p, region);
	if (size > p->region_bytes)
		return NULL;
	need = canp_align_up(size + HEAD_BYTES, (size_t)HEAD_BYTES);
	need = canp_max(need, (uint64_t)(2 * HEAD_BYTES));
	/* Once around, and to the end of the chunk that lies under the starting point. */
	for (off = r->cursor; seen < 2 * p->region_bytes;) {
		struct chunk *c = chunk_at(r, off);

		if (chunk_state(c) == CHUNK_FREE) {
			chunk_join(p, r, c);
			if (c->bytes >= need)
				return chunk_take(p, r, c, need);
		}
		seen += c->bytes;
		off += c->bytes;
		if (off >= p->region_bytes)
			off = first;
	}
	return NULL;
}

static struct chunk *chunk_of(void *data)
{
	return (struct chunk *)((char *)data - HEAD_BYTES);
}

void canp_process_heap_free(struct canp_process_pool *p, void *data)
{
	struct chunk *c = chunk_of(data);

	CANP_ASSERT(c->magic == CHUNK_MAGIC && chunk_state(c) != CHUNK_FREE);
	if ((char *)data < p->payload + p->region_bytes)
		__atomic_fetch_sub(&p->shm->payload_bytes.v, c->bytes, __ATOMIC_RELAXED);
	proc_set32(&c->state, CHUNK_FREE);
}

void canp_process_heap_hand(struct canp_process_pool *p, unsigned region, void *data)
{
	region_of(p, region)->taken--;
	proc_set32(&chunk_of(data)->state, CHUNK_HANDED);
}

void canp_process_heap_sweep(struct canp_process_pool *p, unsigned region, bool dead)
{
	struct region *r = region_of(p, region);

	if (r->first.magic != CHUNK_MAGIC || (!r->taken && !dead))
		return;
	r->taken = 0;
	if (dead) /* it may have died between a join and its cursor */
		r->cursor = sizeof(*r);
	for (uint64_t off = sizeof(*r); off < p->region_bytes;) {
		struct chunk *c = chunk_at(r, off);

		if (chunk_state(c) == CHUNK_TAKEN)
			proc_set32(&c->state, CHUNK_FREE);
		off += c->bytes;
	}
}

bool canp_process_heap_holds(const struct canp_process_pool *p, const void *data)
{
	return (const char *)data >= p->payload &&
	       (const char *)data < p->payload + p->payload_bytes;
}

bool canp_process_heap_is_chunk(const struct canp_process_pool *p, unsigned region,
				const void *data)
{
	const char *from = (const char *)region_of(p, region);
	const char *at = data;
	const struct chunk *c = (const struct chunk *)(at - HEAD_BYTES);

	if (at < from + sizeof(struct region) + HEAD_BYTES || at >= from + p->region_bytes ||
	    ((uintptr_t)at & (HEAD_BYTES - 1)))
		return false;
	return c->magic == CHUNK_MAGIC && chunk_state(c) == CHUNK_TAKEN;
}
