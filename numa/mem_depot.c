/*
 * mem_depot.c - free blocks that no thread holds: per class some shards, each a bounded stack with
 * a lock. A port uses the shard of its own number first and looks at the others only when that is
 * empty, so threads seldom meet. All stacks live in one mapping made with the pool.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "numa/mem_priv.h"

/* Of a large class: 64 MiB, in one shard. */
#define LARGE_KEPT (64 * CANP_MIB)

static uint32_t depot_cap(const struct canp_mem *m, const struct mem_class *k)
{
	if (k->large)
		return (uint32_t)(canp_min(LARGE_KEPT, m->limit / 8) / k->size);
	return m->opts.depot_capacity[k->tier];
}

int canp_mem_depots_create(struct canp_mem *m)
{
	struct canp_block **at;
	size_t slots = 0;

	for (uint32_t c = 0; c < MEM_NR_CLS; c++) {
		const struct mem_class *k = &m->cls[c];

		if (!k->size)
			continue;
		m->depot_shards[c] = k->large ? 1 : m->opts.depot_shards[k->tier];
		slots += (size_t)m->depot_shards[c] * depot_cap(m, k);
		m->depot[c] = aligned_alloc(64, m->depot_shards[c] * sizeof(*m->depot[c]));
		if (!m->depot[c])
			return -ENOMEM;
	}
	m->depot_room_bytes = (slots + 1) * sizeof(*at);
	m->depot_room = at = canp_mem_records(m->depot_room_bytes);
	if (!at)
		return -ENOMEM;
	for (uint32_t c = 0; c < MEM_NR_CLS; c++) {
		for (uint32_t i = 0; i < m->depot_shards[c]; i++) {
			struct mem_depot_shard *d = &m->depot[c][i];

			*d = (struct mem_depot_shard){.cap = depot_cap(m, &m->cls[c]), .b = at};
			pthread_mutex_init(&d->lock, NULL);
			at += d->cap;
		}
	}
	return 0;
}

void canp_mem_depots_destroy(struct canp_mem *m)
{
	for (uint32_t c = 0; c < MEM_NR_CLS; c++)
		free(m->depot[c]);
	if (m->depot_room)
		munmap(m->depot_room, m->depot_room_bytes);
}

static uint32_t depot_get(struct canp_mem *m, uint32_t cls, struct canp_block **out, uint32_t n,
			  uint32_t from)
{
	uint32_t got = 0, shards = m->depot_shards[cls], at = shards ? from % shards : 0;

	for (uint32_t i = 0; i < shards && got < n; i++) {
		struct mem_depot_shard *d = &m->depot[cls][at];
		uint32_t take;

		at = at + 1 == shards ? 0 : at + 1;
		if (!__atomic_load_n(&d->n, __ATOMIC_RELAXED))
			continue;
		pthread_mutex_lock(&d->lock);
		take = canp_min(d->n, n - got);
		memcpy(out + got, d->b + d->n - take, take * sizeof(*out));
		__atomic_store_n(&d->n, d->n - take, __ATOMIC_RELAXED);
		pthread_mutex_unlock(&d->lock);
		got += take;
	}
	return got;
}

void canp_mem_depot_put(struct canp_mem *m, uint32_t cls, struct canp_block *const *b, uint32_t n,
			uint32_t shard)
{
	struct mem_depot_shard *d = &m->depot[cls][shard % m->depot_shards[cls]];
	uint32_t take;

	pthread_mutex_lock(&d->lock);
	take = canp_min(n, d->cap - d->n);
	memcpy(d->b + d->n, b, take * sizeof(*b));
	__atomic_store_n(&d->n, d->n + take, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&d->lock);
	if (take < n) {
		__atomic_add_fetch(&m->depot_full, n - take, __ATOMIC_RELAXED);
		canp_mem_slab_put(m, b + take, n - take);
	}
}

/* All free blocks go back to their slabs, so that whole slabs get free for other classes. */
static void depot_trim(struct canp_mem *m)
{
	struct canp_block *b[MEM_MAG];
	uint32_t n;

	for (uint32_t c = 0; c < MEM_NR_CLS; c++) {
		while ((n = depot_get(m, c, b, MEM_MAG, 0)) != 0)
			canp_mem_slab_put(m, b, n);
	}
}

uint32_t canp_mem_free_get(struct canp_mem *m, uint32_t cls, struct canp_block **out, uint32_t n,
			   uint32_t shard)
{
	uint32_t got = depot_get(m, cls, out, n, shard);

	if (!got)
		got = canp_mem_slab_get(m, cls, out, n);
	if (!got) {
		depot_trim(m);
		got = canp_mem_slab_get(m, cls, out, 1);
	}
	return got;
}
