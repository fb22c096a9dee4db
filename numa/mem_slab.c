/*
 * mem_slab.c - the ground of the memory pool: a reserved range of addresses, slabs of 2 MiB in it,
 * and the cutting of slabs into blocks.
 *
 * The range is reserved once and is larger than the limit, because slabs of one class may stand
 * half empty while another class grows. Memory behind a slab is asked for when the slab is first
 * used, huge pages first, and kept until the pool ends: a slab that runs empty may serve another
 * class or a run. Everything here is the cold path, under one lock.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "numa/mem_priv.h"
#include "numa/topology.h"

/* Addresses cost nothing. A slab may be held open by one live block, of each class in turn, and
 * headers take their share; so there is room for several times the limit. */
#define RANGE_TIMES 4u
#define RANGE_SLACK (512u * CANP_MIB)

#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static void *reserve(size_t bytes, size_t align)
{
	size_t all = bytes + align;
	uint8_t *p = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t at;

	if (p == MAP_FAILED)
		return NULL;
	at = canp_align_up((uintptr_t)p, align);
	if (at != (uintptr_t)p)
		munmap(p, at - (uintptr_t)p);
	munmap((void *)(at + bytes), (uintptr_t)p + all - at - bytes);
	return (void *)at;
}

void *canp_mem_records(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int canp_mem_range_create(struct canp_mem *m)
{
	uint64_t bytes = canp_align_up(m->limit * RANGE_TIMES + RANGE_SLACK, (uint64_t)MEM_SLAB);

	if (m->limit > (uint64_t)1 << 46 || bytes >> MEM_SLAB_SHIFT > UINT32_MAX / 2)
		return -EINVAL;
	m->range = bytes;
	m->nr_slabs = (uint32_t)(bytes >> MEM_SLAB_SHIFT);
	m->base = (uintptr_t)reserve(bytes, MEM_SLAB);
	m->slabs = canp_mem_records(m->nr_slabs * sizeof(*m->slabs));
	m->apart = canp_mem_records((size_t)m->nr_slabs * MEM_APART_SLAB * sizeof(*m->apart));
	if (!m->base || !m->slabs || !m->apart) {
		canp_mem_range_destroy(m);
		return -ENOMEM;
	}
	for (uint32_t c = 0; c < MEM_NR_CLS; c++)
		canp_list_init(&m->part[c]);
	if (getrandom(&m->key, sizeof(m->key), 0) != (ssize_t)sizeof(m->key))
		m->key = canp_hash_mix(canp_clock_ns() ^ (uintptr_t)m->base);
	return 0;
}

void canp_mem_range_destroy(struct canp_mem *m)
{
	if (m->base)
		munmap((void *)m->base, m->range);
	if (m->slabs)
		munmap(m->slabs, m->nr_slabs * sizeof(*m->slabs));
	if (m->apart)
		munmap(m->apart, (size_t)m->nr_slabs * MEM_APART_SLAB * sizeof(*m->apart));
}

/* Huge pages, all there on return: a lack of them is an error here and no SIGBUS later. */
static bool back_huge(const struct canp_mem *m, void *at, size_t bytes)
{
	if (mmap(at, bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_HUGETLB | MAP_HUGE_2MB, -1,
		 0) == MAP_FAILED)
		return false;
	canp_bind_memory(at, bytes, m->opts.node);
	return madvise(at, bytes, MADV_POPULATE_WRITE) == 0;
}

/* Puts memory behind slabs that never had any. */
static int back(const struct canp_mem *m, uint32_t slab, uint32_t n)
{
	void *at = (void *)(m->base + ((size_t)slab << MEM_SLAB_SHIFT));
	size_t bytes = (size_t)n << MEM_SLAB_SHIFT;
	enum canp_hugepages want = m->opts.hugepages;

	if ((want == CANP_HUGE_AUTO || want == CANP_HUGE_2M || want == CANP_HUGE_1G) &&
	    back_huge(m, at, bytes))
		return 0;
	if (mmap(at, bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		return -ENOMEM;
	canp_bind_memory(at, bytes, m->opts.node);
	if (want != CANP_HUGE_OFF)
		madvise(at, bytes, MADV_HUGEPAGE); /* a wish; 4 KiB pages do as well */
	return 0;
}

/* First of n free slabs in a row, or -1. Used ones first: they have memory. */
static int64_t slab_run(struct canp_mem *m, uint32_t n)
{
	uint32_t run = 0;

	for (uint32_t i = 0; m->slabs_free >= n && i < m->slab_next; i++) {
		run = m->slabs[i].use == MEM_SLAB_FREE ? run + 1 : 0;
		if (run == n) {
			m->slabs_free -= n;
			return (int64_t)i - n + 1;
		}
	}
	if (m->nr_slabs - m->slab_next < n || back(m, m->slab_next, n))
		return -1;
	m->slab_next += n;
	__atomic_store_n(&m->backed, (size_t)m->slab_next << MEM_SLAB_SHIFT, __ATOMIC_RELEASE);
	return (int64_t)m->slab_next - n;
}

static struct mem_slab *slab_open(struct canp_mem *m, uint32_t cls)
{
	uint32_t n = m->cls[cls].per_slab ? 1 : m->cls[cls].slabs;
	int64_t at = slab_run(m, n);
	struct mem_slab *s;

	if (at < 0)
		return NULL;
	s = &m->slabs[at];
	memset(s, 0, sizeof(*s));
	for (uint32_t i = 1; i < n; i++)
		s[i].use = MEM_SLAB_BODY;
	canp_list_init(&s->link);
	s->use = (uint16_t)(cls + 1);
	return s;
}

static struct canp_block *header(const struct canp_mem *m, uint32_t slab, uint32_t cls, uint32_t i)
{
	const struct mem_class *c = &m->cls[cls];

	return c->apart ? &m->apart[(size_t)slab * MEM_APART_SLAB + i]
			: (struct canp_block *)(m->base + ((size_t)slab << MEM_SLAB_SHIFT) +
						(size_t)i * c->stride);
}

static void slab_close(struct canp_mem *m, struct mem_slab *s)
{
	uint32_t cls = s->use - 1u, n = m->cls[cls].per_slab ? 1 : m->cls[cls].slabs;

	if (s->listed) {
		canp_list_del(&s->link);
		s->listed = false;
	}
	for (uint32_t i = 0; i < s->carved; i++)
		header(m, (uint32_t)(s - m->slabs), cls, i)->check = 0;
	for (uint32_t i = 0; i < n; i++)
		s[i].use = MEM_SLAB_FREE;
	m->slabs_free += n;
}

/* Block i of a slab; makes its header. */
static struct canp_block *carve(struct canp_mem *m, uint32_t slab, uint32_t cls, uint32_t i)
{
	const struct mem_class *c = &m->cls[cls];
	uintptr_t at = m->base + ((size_t)slab << MEM_SLAB_SHIFT) + (size_t)i * c->stride;
	struct canp_block *b = header(m, slab, cls, i);

	*b = (struct canp_block){.check = (uintptr_t)b ^ m->key,
				 .mag = (uint32_t)(cls * sizeof(struct mem_mag)),
				 .cls = (uint8_t)cls,
				 .fresh = true,
				 .slab = slab,
				 .capacity = c->size,
				 .data = c->apart ? (void *)at : b + 1};
	return b;
}

static void slab_unlist_full(struct mem_slab *s, uint32_t per)
{
	if (s->listed && !s->free && s->carved == per) {
		canp_list_del(&s->link);
		s->listed = false;
	}
}

uint32_t canp_mem_slab_get(struct canp_mem *m, uint32_t cls, struct canp_block **out, uint32_t n)
{
	uint32_t per = m->cls[cls].per_slab ? m->cls[cls].per_slab : 1, got = 0;

	pthread_mutex_lock(&m->slab_lock);
	while (got < n) {
		struct mem_slab *s;

		if (canp_list_empty(&m->part[cls])) {
			s = slab_open(m, cls);
			if (!s)
				break;
			canp_list_add(&m->part[cls], &s->link);
			s->listed = true;
		}
		s = canp_container_of(m->part[cls].next, struct mem_slab, link);
		for (; got < n && s->free; s->nr_free--) {
			out[got++] = s->free;
			s->free = s->free->next;
		}
		slab_unlist_full(s, per);
		/* A call gives used blocks or carves new ones, never both: the caller is content
		 * with fewer than n, and memory that was never touched stays so. */
		if (got)
			break;
		for (; got < n && s->carved < per; s->carved++)
			out[got++] = carve(m, (uint32_t)(s - m->slabs), cls, s->carved);
		slab_unlist_full(s, per);
	}
	pthread_mutex_unlock(&m->slab_lock);
	return got;
}

/* The only slab with free blocks of its class stays open: it may be wanted again at once. */
static bool slab_keep(const struct canp_mem *m, const struct mem_slab *s)
{
	const struct canp_list *part = &m->part[s->use - 1];

	return m->cls[s->use - 1].per_slab > 1 &&
	       (canp_list_empty(part) || (part->next == &s->link && part->prev == &s->link));
}

void canp_mem_slab_put(struct canp_mem *m, struct canp_block *const *b, uint32_t n)
{
	pthread_mutex_lock(&m->slab_lock);
	for (uint32_t i = 0; i < n; i++) {
		struct mem_slab *s = &m->slabs[b[i]->slab];

		b[i]->next = s->free;
		s->free = b[i];
		s->nr_free++;
		if (s->nr_free == s->carved && !slab_keep(m, s)) {
			slab_close(m, s);
		} else if (!s->listed) {
			canp_list_add_tail(&m->part[s->use - 1], &s->link);
			s->listed = true;
		}
	}
	pthread_mutex_unlock(&m->slab_lock);
}

bool canp_mem_known_apart(const struct canp_mem *m, const struct canp_block *b)
{
	uintptr_t off = (uintptr_t)b - (uintptr_t)m->apart;

	return off < (size_t)m->nr_slabs * MEM_APART_SLAB * sizeof(*b) && off % sizeof(*b) == 0 &&
	       b->check == ((uintptr_t)b ^ m->key);
}
