/*
 * mem.c - allocating and releasing blocks. The hit path (a block in the thread's magazine) comes
 * first in each pair; the slow way pays at the limit and asks depots and slabs. See mem_priv.h for
 * how the pool is built up and how the limit stays exact.
 */
#include "numa/mem.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "numa/mem_priv.h"

uint32_t canp_mem_class_of(const struct canp_mem *m, enum canp_mem_tier tier, size_t bytes)
{
	unsigned shift;

	if (canp_likely(bytes <= m->lut_max[tier]))
		return m->lut[tier][(bytes - 1) / 64] / (uint32_t)sizeof(struct mem_mag);
	shift = 64u - (unsigned)__builtin_clzll(bytes - 1);
	shift = shift < MEM_LARGE_MIN_SHIFT ? MEM_LARGE_MIN_SHIFT : shift;
	return shift > MEM_LARGE_MAX_SHIFT ? MEM_NR_CLS
					   : MEM_TIER_CLS + shift - MEM_LARGE_MIN_SHIFT;
}

static CANP_NOINLINE uint64_t clock_coarse(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * (uint64_t)CANP_NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Makes a free block live; inside the port, its bytes are paid for. */
CANP_INLINE void block_start(struct canp_mem_port *p, struct canp_block *b, unsigned tier,
			     uint64_t now)
{
	if (canp_unlikely(b->fresh)) {
		b->fresh = false;
		p->c.tier[tier].fresh++;
	}
	b->len = 0;
	b->created_ns = now;
	/* B1: last, so that whoever finds a reference finds the rest. */
	__atomic_store_n(&b->refs, 1, __ATOMIC_RELEASE);
}

CANP_INLINE void live_add(struct canp_mem_port *p, uint64_t bytes)
{
	p->live += (int64_t)bytes;
	if (canp_unlikely(p->live > p->peak))
		p->peak = p->live;
}

/* ---- the slow way ---- */

static void large_start(struct canp_mem_port *p, struct canp_block *b, unsigned tier)
{
	b->tier = (uint8_t)tier;
	p->c.tier[tier].large_allocs++;
	p->c.tier[tier].large_live += (int64_t)b->capacity;
}

/* Older blocks of a full magazine leave; what was freed last is in the cache. Returns the bytes to
 * uncharge. */
static uint64_t mag_spill(struct canp_mem_port *p, uint32_t cls, struct canp_block *b)
{
	struct canp_mem *m = p->mem;
	struct mem_mag *g = &p->mag[cls];
	uint32_t half = g->max / 2 + 1;

	if (g->n < g->max) {
		g->b[g->n++] = b;
		return 0;
	}
	if (g->n < half) {
		canp_mem_depot_put(m, cls, &b, 1, p->index);
		return m->cls[cls].size;
	}
	canp_mem_depot_put(m, cls, g->b, half, p->index);
	memmove(g->b, g->b + half, (g->n - half) * sizeof(*g->b));
	g->n -= half;
	g->b[g->n++] = b;
	return half * m->cls[cls].size;
}

/* One free block that is paid for, by way of the magazine; NULL: no memory below `soft`. */
static struct canp_block *loose_get(struct canp_mem_port *p, uint32_t cls, struct mem_after *after)
{
	struct canp_mem *m = p->mem;
	struct mem_mag *g = &p->mag[cls];
	uint32_t want = canp_max(1u, (g->max + 1) / 2), n;

	if (!g->n) {
		if (!canp_mem_charge(m, want * m->cls[cls].size, m->soft, after))
			return NULL;
		n = canp_mem_free_get(m, cls, g->b, want, p->index);
		after->uncharge += (want - n) * m->cls[cls].size;
		g->n = n;
	}
	return g->n ? g->b[--g->n] : NULL;
}

/* All n by way of the magazines, or none. */
static bool loose_take(struct canp_mem_port *p, const uint32_t *cls, unsigned n,
		       struct canp_block **out, struct mem_after *after)
{
	unsigned got = 0;

	while (got < n && (out[got] = loose_get(p, cls[got], after)) != NULL)
		got++;
	if (got == n)
		return true;
	while (got--)
		after->uncharge += mag_spill(p, cls[got], out[got]);
	return false;
}

/* All n, paid for by this call, or none. */
static bool tight_take(struct canp_mem_port *p, const uint32_t *cls, unsigned n, uint64_t total,
		       struct canp_block **out, struct mem_after *after)
{
	struct canp_mem *m = p->mem;
	unsigned got = 0;

	if (!canp_mem_charge(m, total, m->limit, after))
		return false;
	while (got < n && canp_mem_free_get(m, cls[got], &out[got], 1, p->index))
		got++;
	if (got == n)
		return true;
	after->uncharge += total;
	while (got--)
		canp_mem_depot_put(m, cls[got], &out[got], 1, p->index);
	return false;
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

int canp_mem_port_take(struct canp_mem_port *p, enum canp_mem_tier tier, const size_t *bytes,
		       unsigned n, struct canp_block **out, bool first, struct mem_after *after)
{
	struct canp_mem *m = p->mem;
	uint32_t cls[CANP_MEM_BATCH_MAX], flags;
	uint64_t total, now;
	bool ok = false;
	int rc = classes_of(m, tier, bytes, n, cls, &total);

	if (rc)
		return rc;
	if (!first && must_fail(m))
		return -ENOMEM;
	flags = canp_mem_enter_slow(p);
	if (!(flags & MEM_SLOW_TIGHT)) {
		ok = loose_take(p, cls, n, out, after);
		if (!ok) {
			/* The world cannot be stopped from inside. */
			canp_mem_exit(p);
			/* What was taken on the way must not stand in the way of the second try. */
			__atomic_sub_fetch(&m->charged, after->uncharge, __ATOMIC_SEQ_CST);
			after->lowered = after->uncharge != 0;
			after->uncharge = 0;
			canp_mem_tighten(m);
			flags = canp_mem_enter_slow(p);
		}
	}
	if (!ok && (first || !(flags & MEM_SLOW_WAIT)))
		ok = tight_take(p, cls, n, total, out, after);
	if (ok) {
		now = p->now_ns ? p->now_ns : clock_coarse();
		for (unsigned i = 0; i < n; i++) {
			if (m->cls[cls[i]].large)
				large_start(p, out[i], tier);
			p->mag[cls[i]].allocs++;
			block_start(p, out[i], tier, now);
		}
		live_add(p, total);
	}
	canp_mem_exit(p);
	return ok ? 0 : -ENOMEM;
}

static CANP_NOINLINE int take_slow(struct canp_mem *m, struct canp_mem_port *p,
				   enum canp_mem_tier tier, const size_t *bytes, unsigned n,
				   struct canp_block **out)
{
	struct mem_after after = {0};
	int rc;

	if (p) {
		rc = canp_mem_port_take(p, tier, bytes, n, out, false, &after);
	} else {
		pthread_mutex_lock(&m->house_lock);
		rc = canp_mem_port_take(m->ports[MEM_HOUSE], tier, bytes, n, out, false, &after);
		pthread_mutex_unlock(&m->house_lock);
	}
	if (rc)
		__atomic_add_fetch(&m->refused, 1, __ATOMIC_RELAXED);
	canp_mem_after(m, &after);
	return rc;
}

static CANP_NOINLINE int take_slow_one(struct canp_mem *m, struct canp_mem_port *p,
				       enum canp_mem_tier tier, size_t bytes,
				       struct canp_block **out)
{
	return take_slow(m, p, tier, &bytes, 1, out);
}

/* ---- allocation ---- */

/* The hit path is written so that what is unlikely is a call at its end: the compiler then saves no
 * registers. */
CANP_INLINE int alloc_one(struct canp_mem *m, struct canp_mem_port *p, enum canp_mem_tier tier,
			  size_t bytes, uint64_t now, struct canp_block **out)
{
	struct canp_block *b;
	struct mem_mag *g;
	uint32_t n;

	if (canp_unlikely((unsigned)tier >= CANP_MEM_NR_TIERS || bytes - 1 >= m->lut_max[tier]))
		return take_slow_one(m, p, tier, bytes, out);
	g = canp_mem_mag(p, m->lut[tier][(bytes - 1) / 64]);
	if (canp_unlikely(!canp_mem_enter(p)))
		return take_slow_one(m, p, tier, bytes, out);
	n = g->n;
	if (canp_unlikely(!n)) {
		canp_mem_exit(p);
		return take_slow_one(m, p, tier, bytes, out);
	}
	b = g->b[n - 1];
	g->n = n - 1;
	g->allocs++;
	block_start(p, b, tier, now);
	live_add(p, b->capacity);
	canp_mem_exit(p);
	*out = b;
	return 0;
}

static CANP_NOINLINE int alloc_clock(struct canp_mem *m, struct canp_mem_port *p,
				     enum canp_mem_tier tier, size_t bytes, struct canp_block **out)
{
	return alloc_one(m, p, tier, bytes, clock_coarse(), out);
}

int canp_mem_port_alloc(struct canp_mem_port *p, enum canp_mem_tier tier, size_t bytes,
			struct canp_block **out)
{
	uint64_t now = p->now_ns;

	if (canp_unlikely(!now))
		return alloc_clock(p->mem, p, tier, bytes, out);
	return alloc_one(p->mem, p, tier, bytes, now, out);
}

static CANP_NOINLINE int alloc_find_port(struct canp_mem *m, enum canp_mem_tier tier, size_t bytes,
					 struct canp_block **out)
{
	struct canp_mem_port *p = canp_mem_port_get(m);

	return p ? canp_mem_port_alloc(p, tier, bytes, out)
		 : take_slow(m, NULL, tier, &bytes, 1, out);
}

int canp_mem_alloc(struct canp_mem *m, enum canp_mem_tier tier, size_t bytes,
		   struct canp_block **out)
{
	struct canp_mem_port *p = canp_mem_last.port;

	if (canp_unlikely(canp_mem_last.mem_id != m->id))
		return alloc_find_port(m, tier, bytes, out);
	if (canp_unlikely(!p->now_ns))
		return alloc_clock(m, p, tier, bytes, out);
	return alloc_one(m, p, tier, bytes, p->now_ns, out);
}

/* How many of n sizes from the first on are the same as it; eight at a time. */
CANP_INLINE unsigned same_run(const size_t *bytes, unsigned n)
{
	size_t size = bytes[0];
	unsigned i = 0;

	for (; i + 8 <= n; i += 8) {
		const size_t *b = bytes + i;

		if ((b[0] ^ size) | (b[1] ^ size) | (b[2] ^ size) | (b[3] ^ size) | (b[4] ^ size) |
		    (b[5] ^ size) | (b[6] ^ size) | (b[7] ^ size))
			break;
	}
	while (i < n && bytes[i] == size)
		i++;
	return i;
}

/* Free blocks from the magazines, all n or none, without touching them; inside. Returns their
 * bytes, 0: none. Requests of one size in a row cost one look. */
static uint64_t hits_take(struct canp_mem_port *p, unsigned tier, const size_t *bytes, unsigned n,
			  struct canp_block **out)
{
	const struct canp_mem *m = p->mem;
	uint32_t max = m->lut_max[tier];
	uint64_t sum = 0;
	unsigned i = 0, run;

	while (i < n) {
		size_t size = bytes[i];
		struct mem_mag *g;

		if (canp_unlikely(size - 1 >= max))
			break;
		g = canp_mem_mag(p, m->lut[tier][(size - 1) / 64]);
		run = canp_min(same_run(bytes + i, n - i), g->n);
		if (canp_unlikely(!run))
			break;
		g->n -= run;
		memcpy(out + i, g->b + g->n, run * sizeof(*out));
		g->allocs += run;
		sum += run * m->cls[g - p->mag].size;
		i += run;
	}
	if (canp_likely(i == n))
		return sum;
	while (i--) {
		struct mem_mag *g = &p->mag[out[i]->cls];

		g->b[g->n++] = out[i];
		g->allocs--;
	}
	return 0;
}

int canp_mem_port_alloc_batch(struct canp_mem_port *p, enum canp_mem_tier tier, const size_t *bytes,
			      unsigned n, struct canp_block **out)
{
	if (n - 1 < CANP_MEM_BATCH_MAX && (unsigned)tier < CANP_MEM_NR_TIERS && canp_mem_enter(p)) {
		uint64_t sum = hits_take(p, tier, bytes, n, out), now;

		if (canp_likely(sum)) {
			now = p->now_ns ? p->now_ns : clock_coarse();
			for (unsigned i = 0; i < n; i++)
				block_start(p, out[i], tier, now);
			live_add(p, sum);
			canp_mem_exit(p);
			return 0;
		}
		canp_mem_exit(p);
	}
	return take_slow(p->mem, p, tier, bytes, n, out);
}

int canp_mem_alloc_batch(struct canp_mem *m, enum canp_mem_tier tier, const size_t *bytes,
			 unsigned n, struct canp_block **out)
{
	struct canp_mem_port *p = canp_mem_port_get(m);

	return canp_likely(p != NULL) ? canp_mem_port_alloc_batch(p, tier, bytes, n, out)
				      : take_slow(m, NULL, tier, bytes, n, out);
}

/* ---- release ---- */

/* Drops a reference: true when the block is ours to free; *rc = -EINVAL when there was none. */
static bool block_drop(struct canp_block *b, int *rc)
{
	uint32_t refs = __atomic_load_n(&b->refs, __ATOMIC_ACQUIRE); /* B2: pairs with B1, B3 */

	do {
		if (refs == 0) {
			*rc = -EINVAL;
			return false;
		}
	} while (!__atomic_compare_exchange_n(&b->refs, &refs, refs - 1, true, __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE)); /* B3 */
	return refs == 1;
}

/* One reference back, any case; inside. Returns the bytes to uncharge. */
static CANP_NOINLINE uint64_t block_end(struct canp_mem_port *p, struct canp_block *b,
					uint32_t flags, int *rc)
{
	uint32_t cls;

	if (!canp_mem_known(p->mem, b)) {
		*rc = -EINVAL;
		return 0;
	}
	if (!block_drop(b, rc))
		return 0;
	cls = b->cls;
	p->mag[cls].frees++;
	p->live -= (int64_t)b->capacity;
	if (cls >= MEM_TIER_CLS) {
		p->c.tier[b->tier].large_frees++;
		p->c.tier[b->tier].large_live -= (int64_t)b->capacity;
	}
	if (!(flags & MEM_SLOW_TIGHT))
		return mag_spill(p, cls, b);
	canp_mem_depot_put(p->mem, cls, &b, 1, p->index);
	return p->mem->cls[cls].size;
}

/* By any port; p NULL: by a thread that has none. */
static CANP_NOINLINE int release_slow(struct canp_mem *m, struct canp_mem_port *p,
				      struct canp_block *const *blocks, unsigned n)
{
	struct canp_mem_port *use = p ? p : m->ports[MEM_HOUSE];
	struct mem_after after = {0};
	uint32_t flags;
	int rc = 0;

	if (!p)
		pthread_mutex_lock(&m->house_lock);
	flags = canp_mem_enter_slow(use);
	for (unsigned i = 0; i < n; i++)
		after.uncharge += block_end(use, blocks[i], flags, &rc);
	canp_mem_exit(use);
	if (!p)
		pthread_mutex_unlock(&m->house_lock);
	canp_mem_after(m, &after);
	return rc;
}

static CANP_NOINLINE int release_slow_one(struct canp_mem *m, struct canp_mem_port *p,
					  struct canp_block *b)
{
	return release_slow(m, p, &b, 1);
}

/* The usual case: the only reference, and room in the magazine; large classes have none. */
CANP_INLINE int release_one(struct canp_mem *m, struct canp_mem_port *p, struct canp_block *b)
{
	struct mem_mag *g;
	uint32_t n;

	if (canp_unlikely(!canp_mem_known(m, b) || !canp_mem_enter(p)))
		return release_slow_one(m, p, b);
	g = canp_mem_mag(p, b->mag);
	n = g->n;
	/* B2. We hold the only reference, so nobody else can change it. */
	if (canp_unlikely(__atomic_load_n(&b->refs, __ATOMIC_ACQUIRE) != 1 || n >= g->max)) {
		canp_mem_exit(p);
		return release_slow_one(m, p, b);
	}
	__atomic_store_n(&b->refs, 0, __ATOMIC_RELAXED);
	g->b[n] = b;
	g->n = n + 1;
	g->frees++;
	p->live -= (int64_t)b->capacity;
	canp_mem_exit(p);
	return 0;
}

int canp_mem_port_release(struct canp_mem_port *p, struct canp_block *b)
{
	return release_one(p->mem, p, b);
}

static CANP_NOINLINE int release_find_port(struct canp_mem *m, struct canp_block *b)
{
	return release_slow(m, canp_mem_port_get(m), &b, 1);
}

int canp_mem_release(struct canp_mem *m, struct canp_block *b)
{
	if (canp_unlikely(canp_mem_last.mem_id != m->id))
		return release_find_port(m, b);
	return release_one(m, canp_mem_last.port, b);
}

/* As many as are the usual case and of one class; inside. Returns how many. */
static unsigned run_end(struct canp_mem_port *p, struct canp_block *const *blocks, unsigned n)
{
	const struct canp_mem *m = p->mem;
	/* As canp_mem_known(), with what it reads at hand; headers apart are left to others. */
	uintptr_t base = m->base, backed = __atomic_load_n(&m->backed, __ATOMIC_RELAXED);
	uint64_t key = m->key;
	struct canp_block **to;
	struct mem_mag *g;
	uint32_t mag;
	unsigned i = 0;

	if (canp_unlikely(!canp_mem_known(m, blocks[0])))
		return 0;
	mag = blocks[0]->mag;
	g = canp_mem_mag(p, mag);
	to = g->b + g->n;
	n = g->n < g->max ? canp_min(n, g->max - g->n) : 0;
	for (; i < n; i++) {
		struct canp_block *b = blocks[i];

		if ((uintptr_t)b - base >= backed || (uintptr_t)b % sizeof(*b) ||
		    b->check != ((uintptr_t)b ^ key) || b->mag != mag ||
		    __atomic_load_n(&b->refs, __ATOMIC_ACQUIRE) != 1) /* B2 */
			break;
		__atomic_store_n(&b->refs, 0, __ATOMIC_RELAXED);
		to[i] = b;
	}
	g->n += i;
	g->frees += i;
	p->live -= (int64_t)(i * m->cls[g - p->mag].size);
	return i;
}

int canp_mem_port_release_batch(struct canp_mem_port *p, struct canp_block *const *blocks,
				unsigned n)
{
	struct mem_after after = {0};
	unsigned i = 0;
	int rc = 0;

	if (canp_unlikely(!canp_mem_enter(p)))
		return release_slow(p->mem, p, blocks, n);
	while (i < n) {
		unsigned run = run_end(p, blocks + i, n - i);

		i += run;
		if (!run)
			after.uncharge += block_end(p, blocks[i++], 0, &rc);
	}
	canp_mem_exit(p);
	canp_mem_after(p->mem, &after);
	return rc;
}

int canp_mem_release_batch(struct canp_mem *m, struct canp_block *const *blocks, unsigned n)
{
	struct canp_mem_port *p = canp_mem_port_get(m);

	return canp_likely(p != NULL) ? canp_mem_port_release_batch(p, blocks, n)
				      : release_slow(m, NULL, blocks, n);
}

struct canp_block *canp_block_ref(struct canp_block *b)
{
	uint32_t old = __atomic_fetch_add(&b->refs, 1, __ATOMIC_RELAXED);

	CANP_ASSERT(old != 0);
	return b;
}
