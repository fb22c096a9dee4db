/*
 * mem_opts.c - configurations of the memory pool: the defaults, the named ones, the check; and the
 * making and unmaking of a pool from them.
 *
 * The named configurations are those of the source document (MemoryPoolConfig and its high
 * performance and memory limited examples), figure by figure. What an example leaves out has the
 * default's value.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "numa/mem_priv.h"

struct preset {
	const char *name;
	uint32_t classes[CANP_MEM_NR_TIERS][CANP_MEM_CLASSES_MAX]; /* up to the first 0 */
	uint64_t max_total_memory;
	double threshold;
	uint32_t mmap_cache, block_cache, ttl_s;
};

static const struct preset presets[] = {
	{"default",
	 {{512, 1024, 2048, 4096, 8192},
	  {1024, 2048, 4096, 8192, 16384},
	  {256, 512, 1024, 2048, 4096}},
	 CANP_GIB,
	 0.8,
	 1000,
	 500,
	 300},
	{"throughput",
	 {{512, 1024, 2048, 4096, 8192, 16384},
	  {1024, 2048, 4096, 8192, 16384, 32768},
	  {256, 512, 1024, 2048, 4096, 8192}},
	 2 * CANP_GIB,
	 0.85,
	 2000,
	 1000,
	 600},
	{"memory",
	 {{256, 512, 1024, 2048}, {512, 1024, 2048, 4096}, {128, 256, 512, 1024}},
	 512 * CANP_MIB,
	 0.7,
	 100,
	 50,
	 300},
};
static const uint32_t default_shards[CANP_MEM_NR_TIERS] = {64, 32, 64};
static const uint32_t default_capacity[CANP_MEM_NR_TIERS] = {1024, 256, 512};

/* Fills what is zero from a preset. */
static void opts_fill(struct canp_mem_opts *o, const struct preset *s)
{
	for (unsigned t = 0; t < CANP_MEM_NR_TIERS; t++) {
		if (!o->nr_classes[t]) {
			memcpy(o->classes[t], s->classes[t], sizeof(o->classes[t]));
			while (o->nr_classes[t] < CANP_MEM_CLASSES_MAX &&
			       o->classes[t][o->nr_classes[t]])
				o->nr_classes[t]++;
		}
		if (!o->depot_shards[t])
			o->depot_shards[t] = default_shards[t];
		if (!o->depot_capacity[t])
			o->depot_capacity[t] = default_capacity[t];
	}
	if (!o->max_total_memory)
		o->max_total_memory = s->max_total_memory;
	if (o->memory_warning_threshold == 0)
		o->memory_warning_threshold = s->threshold;
	if (!o->mmap_cache_entries)
		o->mmap_cache_entries = s->mmap_cache;
	if (!o->block_cache_entries)
		o->block_cache_entries = s->block_cache;
	if (!o->cache_ttl_ns)
		o->cache_ttl_ns = s->ttl_s * (uint64_t)CANP_NS_PER_S;
}

void canp_mem_opts_default(struct canp_mem_opts *o)
{
	opts_fill(o, &presets[0]);
}

int canp_mem_opts_preset(struct canp_mem_opts *o, const char *name)
{
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(presets); i++) {
		if (!strcmp(name, presets[i].name)) {
			*o = (struct canp_mem_opts){.node = -1};
			opts_fill(o, &presets[i]);
			return 0;
		}
	}
	return -EINVAL;
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
	}
	c->mag = large ? 0 : (uint32_t)canp_min(m->chunk / size, (uint64_t)MEM_MAG);
}

static int tier_init(struct canp_mem *m, unsigned t)
{
	const struct canp_mem_opts *o = &m->opts;
	unsigned n = o->nr_classes[t], c = 0;

	for (unsigned i = 0; i < n; i++)
		class_set(m, t * CANP_MEM_CLASSES_MAX + i, o->classes[t][i], t, false);
	m->lut_max[t] = o->classes[t][n - 1];
	m->lut[t] = malloc(m->lut_max[t] / 64 * sizeof(*m->lut[t]));
	if (!m->lut[t])
		return -ENOMEM;
	for (uint32_t i = 0; i < m->lut_max[t] / 64; i++) {
		while (o->classes[t][c] < (i + 1) * 64)
			c++;
		m->lut[t][i] = (uint16_t)((t * CANP_MEM_CLASSES_MAX + c) * sizeof(struct mem_mag));
	}
	return 0;
}

static void locks_init(struct canp_mem *m)
{
	pthread_mutex_init(&m->world, NULL);
	pthread_mutex_init(&m->wait_lock, NULL);
	pthread_mutex_init(&m->house_lock, NULL);
	pthread_mutex_init(&m->warn_lock, NULL);
	pthread_mutex_init(&m->slab_lock, NULL);
}

static int mem_init(struct canp_mem *m)
{
	static uint64_t ids;
	int rc = 0;

	m->id = __atomic_add_fetch(&ids, 1, __ATOMIC_RELAXED);
	m->limit = m->opts.max_total_memory;
	m->thr = (uint64_t)((double)m->limit * m->opts.memory_warning_threshold);
	m->soft = m->thr / 8 * 7;
	/* Bytes of one magazine. All magazines of all ports must fit well below `soft`, or the pool
	 * would go TIGHT and back for nothing: 24 classes x 64 ports / 4096 is 3/8. */
	m->chunk = canp_min(m->limit / 4096, (uint64_t)(256 * CANP_KIB));
	m->armed = 1;
	locks_init(m);
	canp_list_init(&m->waiters);
	m->slow = canp_mem_needs_fence() ? MEM_SLOW_FENCE : 0;
	if (m->opts.fail_every)
		m->slow |= MEM_SLOW_FAIL;
	for (unsigned t = 0; t < CANP_MEM_NR_TIERS && !rc; t++)
		rc = tier_init(m, t);
	for (uint32_t i = 0; i < MEM_NR_LARGE; i++)
		class_set(m, MEM_TIER_CLS + i, (uint64_t)1 << (MEM_LARGE_MIN_SHIFT + i), 0, true);
	if (!rc)
		rc = canp_mem_depots_create(m);
	if (!rc)
		rc = canp_mem_house_create(m);
	return rc ? rc : canp_mem_range_create(m);
}

static void mem_free(struct canp_mem *m)
{
	canp_mem_ports_destroy(m);
	canp_mem_range_destroy(m);
	canp_mem_depots_destroy(m);
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
	m->opts.node = -1;
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
