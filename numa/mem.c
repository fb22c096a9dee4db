/*
 * mem.c - the tiered memory pool: making it, allocating and releasing. See mem_priv.h for how it is
 * built up and how the limit stays exact.
 */
#include "numa/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/bytes.h"
#include "numa/mem_priv.h"

static const uint32_t default_classes[CANP_MEM_NR_TIERS][5] = {
	{512, 1024, 2048, 4096, 8192},
	{1024, 2048, 4096, 8192, 16384},
	{256, 512, 1024, 2048, 4096},
};
static const uint32_t default_shards[CANP_MEM_NR_TIERS] = {64, 32, 64};
static const uint32_t default_capacity[CANP_MEM_NR_TIERS] = {1024, 256, 512};

void canp_mem_opts_default(struct canp_mem_opts *o)
{
	for (unsigned t = 0; t < CANP_MEM_NR_TIERS; t++) {
		if (!o->nr_classes[t]) {
			memcpy(o->classes[t], default_classes[t], sizeof(default_classes[t]));
			o->nr_classes[t] = CANP_ARRAY_SIZE(default_classes[t]);
		}
		if (!o->depot_shards[t])
			o->depot_shards[t] = default_shards[t];
		if (!o->depot_capacity[t])
			o->depot_capacity[t] = default_capacity[t];
	}
	if (!o->max_total_memory)
		o->max_total_memory = CANP_GIB;
	if (o->memory_warning_threshold == 0)
		o->memory_warning_threshold = 0.8;
}

static int opts_check(const struct canp_mem_opts *o)
{
	if (!(o->memory_warning_threshold > 0 && o->memory_warning_threshold <= 1))
		return -EINVAL;
	for (unsigned t = 0; t < CANP_MEM_NR_TIERS; t++) {
		if (o->nr_classes[t] > CANP_MEM_CLASSES_MAX || o->depot_shards[t] > 1024 ||
		    o->depot_capacity[t] > 1u << 20)
			return -EINVAL;
		for (unsigned i = 0; i < o->nr_classes[t]; i++) {
			if (!o->classes[t][i] || o->classes[t][i] % 64 ||
			    o->classes[t][i] > MEM_LUT_MAX ||
			    (i && o->classes[t][i] <= o->classes[t][i - 1]))
				return -EINVAL;
		}
	}
	return 0;
}

/* ---- create ---- */

static void class_set(struct canp_mem *m, uint32_t cls, uint64_t size, unsigned tier, bool large)
{
	struct mem_class *c = &m->cls[cls];

	c->size = size;
	c->tier = (uint8_t)tier;
	c->large = large;
	c->apart = size >= MEM_APART_BYTES;
	c->slabs = (uint32_t)((size + MEM_SLAB - 1) >> MEM_SLAB_SHIFT);
	if (size <= MEM_SLAB) {
		c->stride = (uint32_t)(size + (c->apart ? 0 : sizeof(struct canp_block)));
		c->per_slab = (uint32_t)(MEM_SLAB / c->stride);
		c->inv = (((uint64_t)1 << 40) + c->stride - 1) / c->stride;
	}
	/* A thread holds at most 1 MiB of a class to itself. */
	c->mag = (uint32_t)canp_min(CANP_MIB / size, (uint64_t)MEM_MAG);
}

static int tier_init(struct canp_mem *m, unsigned t)
{
	const struct canp_mem_opts *o = &m->opts;
	unsigned n = o->nr_classes[t], c = 0;

	for (unsigned i = 0; i < n; i++)
		class_set(m, t * CANP_MEM_CLASSES_MAX + i, o->classes[t][i], t, false);
	m->lut_max[t] = o->classes[t][n - 1];
	m->lut[t] = malloc(m->lut_max[t] / 64 + 1);
	if (!m->lut[t])
		return -ENOMEM;
	for (uint32_t i = 0; i <= m->lut_max[t] / 64; i++) {
		while (o->classes[t][c] < i * 64)
			c++;
		m->lut[t][i] = (uint8_t)(t * CANP_MEM_CLASSES_MAX + c);
	}
	return 0;
}

static int depots_init(struct canp_mem *m)
{
	for (uint32_t c = 0; c < MEM_NR_CLS; c++) {
		const struct mem_class *k = &m->cls[c];
		uint32_t n, cap;

		if (!k->size)
			continue;
		/* Large ones: 64 MiB of a class, in one shard. */
		n = k->large ? 1 : m->opts.depot_shards[k->tier];
		cap = k->large ? (uint32_t)(64 * CANP_MIB / k->size)
			       : m->opts.depot_capacity[k->tier];
		m->depot[c] = calloc(n, sizeof(*m->depot[c]));
		if (!m->depot[c])
			return -ENOMEM;
		m->depot_shards[c] = n;
		for (uint32_t i = 0; i < n; i++) {
			pthread_mutex_init(&m->depot[c][i].lock, NULL);
			m->depot[c][i].cap = cap;
		}
	}
	return 0;
}

static int mem_init(struct canp_mem *m)
{
	static uint64_t ids;
	int rc = 0;

	m->id = __atomic_add_fetch(&ids, 1, __ATOMIC_RELAXED);
	m->fence = canp_mem_needs_fence();
	m->limit = m->opts.max_total_memory;
	m->thr = (uint64_t)((double)m->limit * m->opts.memory_warning_threshold);
	m->soft = m->thr / 8 * 7;
	m->chunk = canp_min(m->limit / 256, (uint64_t)(256 * CANP_KIB));
	m->armed = 1;
	pthread_mutex_init(&m->world, NULL);
	pthread_mutex_init(&m->wait_lock, NULL);
	canp_list_init(&m->waiters);
	if (m->opts.fail_every)
		m->slow = MEM_SLOW_FAIL;
	for (unsigned t = 0; t < CANP_MEM_NR_TIERS && !rc; t++)
		rc = tier_init(m, t);
	for (uint32_t i = 0; i < MEM_NR_LARGE; i++)
		class_set(m, MEM_TIER_CLS + i, (uint64_t)1 << (MEM_LARGE_MIN_SHIFT + i), 0, true);
	if (!rc)
		rc = depots_init(m);
	if (!rc)
		rc = canp_mem_house_create(m);
	return rc ? rc : canp_mem_range_create(m);
}

static void mem_free(struct canp_mem *m)
{
	canp_mem_ports_destroy(m);
	canp_mem_range_destroy(m);
	for (uint32_t c = 0; c < MEM_NR_CLS; c++) {
		for (uint32_t i = 0; i < m->depot_shards[c]; i++)
			free(m->depot[c][i].b);
		free(m->depot[c]);
	}
	for (unsigned t = 0; t < CANP_MEM_NR_TIERS; t++)
		free(m->lut[t]);
	free(m);
}

int canp_mem_create(const struct canp_mem_opts *opts, struct canp_mem **out)
{
	struct canp_mem *m = aligned_alloc(64, canp_align_up(sizeof(*m), (size_t)64));
	int rc;

	if (!m)
		return -ENOMEM;
	memset(m, 0, sizeof(*m));
	if (opts)
		m->opts = *opts;
	canp_mem_opts_default(&m->opts);
	rc = opts_check(&m->opts);
	if (!rc)
		rc = mem_init(m);
	if (rc) {
		mem_free(m);
		return rc;
	}
	*out = m;
	return 0;
}

void canp_mem_destroy(struct canp_mem *m)
{
	struct canp_mem_stats st;

	if (!m)
		return;
	canp_mem_port_put(m);
	CANP_ASSERT(m->nr_ports == 0);
	CANP_ASSERT(canp_list_empty(&m->waiters));
	canp_mem_stats(m, &st);
	CANP_ASSERT(st.blocks_live == 0);
	mem_free(m);
}

const struct canp_mem_opts *canp_mem_opts_of(const struct canp_mem *m)
{
	return &m->opts;
}

/* ---- depot ---- */

static uint32_t depot_get(struct canp_mem *m, uint32_t cls, struct canp_block **out, uint32_t n,
			  uint32_t from)
{
	uint32_t got = 0, shards = m->depot_shards[cls];

	for (uint32_t i = 0; i < shards && got < n; i++) {
		struct mem_depot_shard *d = &m->depot[cls][(from + i) % shards];
		uint32_t take;

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
	uint32_t take = 0;

	pthread_mutex_lock(&d->lock);
	if (!d->b && d->cap)
		d->b = malloc(d->cap * sizeof(struct canp_block *));
	if (d->b) {
		take = canp_min(n, d->cap - d->n);
		memcpy(d->b + d->n, b, take * sizeof(*b));
		__atomic_store_n(&d->n, d->n + take, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&d->lock);
	if (take < n) {
		__atomic_add_fetch(&m->depot_full, n - take, __ATOMIC_RELAXED);
		canp_mem_slab_put(m, b + take, n - take);
	}
}

/* All free blocks of the other classes go back to their slabs, so that whole slabs get free. */
static void depot_trim(struct canp_mem *m)
{
	struct canp_block *b[MEM_MAG];
	uint32_t n;

	for (uint32_t c = 0; c < MEM_NR_CLS; c++) {
		while ((n = depot_get(m, c, b, MEM_MAG, 0)) != 0)
			canp_mem_slab_put(m, b, n);
	}
}

/* ---- allocation ---- */

uint32_t canp_mem_class_of(const struct canp_mem *m, enum canp_mem_tier tier, size_t bytes)
{
	unsigned shift;

	if (canp_likely(bytes <= m->lut_max[tier]))
		return m->lut[tier][(bytes + 63) / 64];
	shift = 64u - (unsigned)__builtin_clzll(bytes - 1);
	shift = shift < MEM_LARGE_MIN_SHIFT ? MEM_LARGE_MIN_SHIFT : shift;
	return shift > MEM_LARGE_MAX_SHIFT ? MEM_NR_CLS
					   : MEM_TIER_CLS + shift - MEM_LARGE_MIN_SHIFT;
}

static uint64_t port_time(const struct canp_mem_port *p)
{
	struct timespec ts;

	if (canp_likely(p->now_ns != 0))
		return p->now_ns;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * (uint64_t)CANP_NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Makes a free block live; inside the port, its bytes are paid for. */
static inline void block_start(struct canp_mem_port *p, struct canp_block *b, unsigned tier,
			       uint64_t now)
{
	uint64_t cap = b->capacity, fresh = b->fresh;

	b->len = 0;
	b->tier = (uint8_t)tier;
	b->fresh = 0;
	b->created_ns = now;
	p->c.allocs++;
	p->c.fresh += fresh;
	p->c.tier[tier].allocs++;
	p->c.tier[tier].fresh += fresh;
	p->c.tier[tier].live += (int64_t)cap;
	p->c.live_bytes += (int64_t)cap;
	p->c.live_blocks++;
	p->peak = canp_max(p->peak, p->c.live_bytes);
	/* B1: last, so that whoever finds a reference finds the rest. */
	__atomic_store_n(&b->refs, 1, __ATOMIC_RELEASE);
}

/* One free block of a class from magazine, depot or slabs; inside. */
static struct canp_block *block_find(struct canp_mem_port *p, uint32_t cls)
{
	struct canp_mem *m = p->mem;
	struct mem_mag *g = &p->mag[cls];
	uint32_t want = m->cls[cls].mag / 2 + 1;
	struct canp_block *b[MEM_MAG];
	uint32_t n;

	if (g->n)
		return g->b[--g->n];
	n = depot_get(m, cls, b, want, p->index);
	if (!n)
		n = canp_mem_slab_get(m, cls, b, want);
	if (!n) {
		depot_trim(m);
		n = canp_mem_slab_get(m, cls, b, 1);
	}
	if (!n)
		return NULL;
	memcpy(g->b, b, (n - 1) * sizeof(*b));
	g->n = n - 1;
	return b[n - 1];
}

static void block_stash(struct canp_mem_port *p, struct canp_block *b)
{
	struct canp_mem *m = p->mem;
	struct mem_mag *g = &p->mag[b->cls];
	uint32_t mag = m->cls[b->cls].mag, half = mag / 2 + 1;

	if (canp_likely(g->n < mag)) {
		g->b[g->n++] = b;
		return;
	}
	if (!mag) {
		canp_mem_depot_put(m, b->cls, &b, 1, p->index);
		return;
	}
	/* The older half leaves; what was freed last is in the cache. */
	half = canp_min(half, g->n);
	canp_mem_depot_put(m, b->cls, g->b, half, p->index);
	memmove(g->b, g->b + half, (g->n - half) * sizeof(*g->b));
	g->n -= half;
	g->b[g->n++] = b;
}

/* Sizes to classes; their sum in *total. */
static int classes_of(const struct canp_mem *m, enum canp_mem_tier tier, const size_t *bytes,
		      unsigned n, uint32_t *cls, uint64_t *total)
{
	*total = 0;
	if (!n || n > CANP_MEM_BATCH_MAX || (unsigned)tier >= CANP_MEM_NR_TIERS)
		return -EINVAL;
	for (unsigned i = 0; i < n; i++) {
		if (!bytes[i])
			return -EINVAL;
		if (bytes[i] > m->limit)
			return -E2BIG;
		cls[i] = canp_mem_class_of(m, tier, bytes[i]);
		if (cls[i] == MEM_NR_CLS || m->cls[cls[i]].size > m->limit)
			return -E2BIG;
		*total += m->cls[cls[i]].size;
	}
	return *total > m->limit ? -E2BIG : 0;
}

/* Fault injection: every n-th request fails. */
static bool must_fail(struct canp_mem *m)
{
	return m->opts.fail_every &&
	       __atomic_add_fetch(&m->fail_count, 1, __ATOMIC_RELAXED) % m->opts.fail_every == 0;
}

/* Pays for total bytes; inside. queued: the caller is the first waiter, others stand behind it. */
static int port_pay(struct canp_mem_port *p, uint64_t total, uint32_t flags, bool queued)
{
	int rc = 0;

	if (p->credit >= total && !(flags & MEM_SLOW_TIGHT)) {
		p->credit -= total;
		return 0;
	}
	if ((flags & MEM_SLOW_WAIT) && !queued)
		rc = -ENOMEM;
	if (!rc)
		rc = canp_mem_charge(p, total);
	return rc;
}

int canp_mem_port_take(struct canp_mem_port *p, enum canp_mem_tier tier, const size_t *bytes,
		       unsigned n, struct canp_block **out, bool queued)
{
	struct canp_mem *m = p->mem;
	uint32_t cls[CANP_MEM_BATCH_MAX], flags;
	uint64_t total, now, over = 0;
	unsigned got = 0;
	int rc = classes_of(m, tier, bytes, n, cls, &total);

	if (rc)
		return rc;
	flags = canp_mem_enter_slow(p);
	rc = (flags & MEM_SLOW_FAIL) && must_fail(m) ? -ENOMEM : port_pay(p, total, flags, queued);
	if (!rc) {
		while (got < n && (out[got] = block_find(p, cls[got])) != NULL)
			got++;
		if (got < n) {
			while (got)
				block_stash(p, out[--got]);
			over = total;
			rc = -ENOMEM;
		}
	}
	now = rc ? 0 : port_time(p);
	for (unsigned i = 0; i < got; i++) {
		p->c.large += m->cls[cls[i]].large;
		block_start(p, out[i], tier, now);
	}
	canp_mem_exit(p);
	if (rc)
		__atomic_add_fetch(&m->refused, 1, __ATOMIC_RELAXED);
	if (over && !queued) /* a queued caller holds the lock that serving takes */
		canp_mem_uncharge(m, over);
	else if (over)
		__atomic_sub_fetch(&m->charged, over, __ATOMIC_SEQ_CST);
	return rc;
}

/* The usual case: a block in the magazine, credit for it. */
static inline struct canp_block *take_hit(struct canp_mem_port *p, unsigned tier, size_t bytes)
{
	struct canp_mem *m = p->mem;
	struct canp_block *b;
	struct mem_mag *g;
	uint32_t cls;

	if (canp_unlikely(tier >= CANP_MEM_NR_TIERS || bytes - 1 >= m->lut_max[tier]))
		return NULL;
	cls = m->lut[tier][(bytes + 63) / 64];
	g = &p->mag[cls];
	if (canp_unlikely(!g->n || p->credit < m->cls[cls].size))
		return NULL;
	b = g->b[--g->n];
	p->credit -= m->cls[cls].size;
	return b;
}

int canp_mem_port_alloc(struct canp_mem_port *p, enum canp_mem_tier tier, size_t bytes,
			struct canp_block **out)
{
	if (canp_likely(canp_mem_enter(p))) {
		struct canp_block *b = take_hit(p, tier, bytes);

		if (canp_likely(b != NULL)) {
			block_start(p, b, tier, port_time(p));
			canp_mem_exit(p);
			*out = b;
			return 0;
		}
		canp_mem_exit(p);
	}
	return canp_mem_port_take(p, tier, &bytes, 1, out, false);
}

int canp_mem_port_alloc_batch(struct canp_mem_port *p, enum canp_mem_tier tier, const size_t *bytes,
			      unsigned n, struct canp_block **out)
{
	unsigned got = 0;
	uint64_t now;

	if (n - 1 < CANP_MEM_BATCH_MAX && canp_mem_enter(p)) {
		while (got < n && (out[got] = take_hit(p, tier, bytes[got])) != NULL)
			got++;
		if (canp_likely(got == n)) {
			now = port_time(p);
			for (unsigned i = 0; i < n; i++)
				block_start(p, out[i], tier, now);
			canp_mem_exit(p);
			return 0;
		}
		while (got--) {
			p->credit += out[got]->capacity;
			block_stash(p, out[got]);
		}
		canp_mem_exit(p);
	}
	return canp_mem_port_take(p, tier, bytes, n, out, false);
}

int canp_mem_alloc(struct canp_mem *m, enum canp_mem_tier tier, size_t bytes,
		   struct canp_block **out)
{
	struct canp_mem_port *p = canp_mem_port_get(m);

	return p ? canp_mem_port_alloc(p, tier, bytes, out) : -EAGAIN;
}

int canp_mem_alloc_batch(struct canp_mem *m, enum canp_mem_tier tier, const size_t *bytes,
			 unsigned n, struct canp_block **out)
{
	struct canp_mem_port *p = canp_mem_port_get(m);

	return p ? canp_mem_port_alloc_batch(p, tier, bytes, n, out) : -EAGAIN;
}

/* ---- release ---- */

/* Drops a reference: -EINVAL, 0 (others remain) or 1 (the block is ours to free). */
static inline int block_drop(const struct canp_mem *m, struct canp_block *b)
{
	uint32_t refs;

	if (canp_unlikely(!canp_mem_block_of(m, b)))
		return -EINVAL;
	refs = __atomic_load_n(&b->refs, __ATOMIC_ACQUIRE); /* B2: pairs with B1, B3 */
	if (canp_likely(refs == 1)) {
		__atomic_store_n(&b->refs, 0, __ATOMIC_RELAXED);
		return 1;
	}
	do {
		if (refs == 0)
			return -EINVAL;
	} while (!__atomic_compare_exchange_n(&b->refs, &refs, refs - 1, true, __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE)); /* B3 */
	return refs == 1;
}

/* The block is free: into the magazine; inside. */
static inline void block_end(struct canp_mem_port *p, struct canp_block *b)
{
	uint64_t cap = b->capacity;

	p->c.frees++;
	p->c.live_bytes -= (int64_t)cap;
	p->c.live_blocks--;
	p->c.tier[b->tier].live -= (int64_t)cap;
	p->credit += cap;
	block_stash(p, b);
}

int canp_mem_port_release_batch(struct canp_mem_port *p, struct canp_block *const *blocks,
				unsigned n)
{
	struct canp_mem *m = p->mem;
	uint32_t flags = 0;
	uint64_t over = 0;
	int rc = 0;

	if (canp_unlikely(!canp_mem_enter(p)))
		flags = canp_mem_enter_slow(p);
	for (unsigned i = 0; i < n; i++) {
		int drop = block_drop(m, blocks[i]);

		if (canp_likely(drop == 1))
			block_end(p, blocks[i]);
		else if (drop < 0)
			rc = drop;
	}
	if (canp_unlikely(flags || p->credit > 2 * m->chunk))
		over = canp_mem_credit_over(p, flags);
	canp_mem_exit(p);
	if (canp_unlikely(over))
		canp_mem_uncharge(m, over);
	return rc;
}

int canp_mem_port_release(struct canp_mem_port *p, struct canp_block *b)
{
	return canp_mem_port_release_batch(p, &b, 1);
}

int canp_mem_release(struct canp_mem *m, struct canp_block *b)
{
	struct canp_mem_port *p = canp_mem_port_get(m);

	return p ? canp_mem_port_release_batch(p, &b, 1) : -EAGAIN;
}

int canp_mem_release_batch(struct canp_mem *m, struct canp_block *const *blocks, unsigned n)
{
	struct canp_mem_port *p = canp_mem_port_get(m);

	return p ? canp_mem_port_release_batch(p, blocks, n) : -EAGAIN;
}

/* ---- blocks ---- */

struct canp_block *canp_block_ref(struct canp_block *b)
{
	uint32_t old = __atomic_fetch_add(&b->refs, 1, __ATOMIC_RELAXED);

	CANP_ASSERT(old != 0);
	return b;
}

void *canp_block_data(const struct canp_block *b)
{
	return b->data;
}

size_t canp_block_len(const struct canp_block *b)
{
	return b->len;
}

size_t canp_block_capacity(const struct canp_block *b)
{
	return b->capacity;
}

uint64_t canp_block_created_ns(const struct canp_block *b)
{
	return b->created_ns;
}

void canp_block_set_len(struct canp_block *b, size_t len)
{
	CANP_ASSERT(len <= b->capacity);
	b->len = len;
}

/* ---- statistics ---- */

void canp_mem_stats(const struct canp_mem *mc, struct canp_mem_stats *st)
{
	struct canp_mem *m = (struct canp_mem *)(uintptr_t)mc;
	struct mem_counts c;
	int64_t peak = 0;

	memset(st, 0, sizeof(*st));
	canp_mem_stop(m);
	canp_mem_counts_sum(m, &c);
	for (unsigned i = 0; i < MEM_NR_PORTS; i++) {
		if (m->ports[i])
			peak = canp_max(peak, m->ports[i]->peak);
	}
	canp_mem_go(m);
	st->total_allocations = c.allocs;
	st->total_deallocations = c.frees;
	st->current_memory_usage = (uint64_t)c.live_bytes;
	peak = canp_max(peak, c.live_bytes);
	st->peak_memory_usage =
		canp_max(__atomic_load_n(&m->peak, __ATOMIC_RELAXED), (uint64_t)peak);
	st->large_allocs = c.large;
	st->blocks_live = (uint64_t)c.live_blocks;
	st->depot_full = __atomic_load_n(&m->depot_full, __ATOMIC_RELAXED);
	st->refused = __atomic_load_n(&m->refused, __ATOMIC_RELAXED);
	st->waits = __atomic_load_n(&m->waits, __ATOMIC_RELAXED);
	st->warnings = __atomic_load_n(&m->warnings, __ATOMIC_RELAXED);
	if (c.allocs)
		st->block_pool_hit_rate = (double)(c.allocs - c.fresh) / (double)c.allocs;
	for (unsigned t = 0; t < CANP_MEM_NR_TIERS; t++) {
		st->tier[t].allocations = c.tier[t].allocs;
		st->tier[t].hits = c.tier[t].allocs - c.tier[t].fresh;
		st->tier[t].usage = (uint64_t)c.tier[t].live;
		if (c.tier[t].allocs)
			st->tier[t].hit_rate = (double)st->tier[t].hits / (double)c.tier[t].allocs;
	}
}
