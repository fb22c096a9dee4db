/*
 * dev_bench_mem.c - the memory pool's hit path: pairs of alloc and release, one at a time and 64 at
 * once, through a port and through the pool, against malloc and, where installed, mimalloc and
 * jemalloc (loaded, not linked). CPU time of the thread, alternated round by round, medians. Not
 * built by default:
 *
 *   make .../tests/dev_bench_mem && taskset -c 0 dev_bench_mem [ROUNDS]
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "numa/mem.h"

#define PAIRS      (1u << 20)
#define ROUNDS_MAX 101u
#define GROUP      64u
#define BYTES      1000u

static struct canp_mem *mem;
static struct canp_mem_port *port;

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void port_pairs(const void *arg)
{
	struct canp_block *b = NULL;

	(void)arg;
	for (unsigned i = 0; i < PAIRS; i++) {
		if (canp_mem_port_alloc(port, CANP_MEM_BLOCK, BYTES, &b))
			abort();
		canp_mem_port_release(port, b);
	}
}

static void pool_pairs(const void *arg)
{
	struct canp_block *b = NULL;

	(void)arg;
	for (unsigned i = 0; i < PAIRS; i++) {
		if (canp_mem_alloc(mem, CANP_MEM_BLOCK, BYTES, &b))
			abort();
		canp_mem_release(mem, b);
	}
}

/* As pool_pairs, without a time given to the port. */
static void clock_pairs(const void *arg)
{
	canp_mem_port_now(port, 0);
	pool_pairs(arg);
	canp_mem_port_now(port, 1);
}

static void port_group(const void *arg)
{
	struct canp_block *b[GROUP];

	(void)arg;
	for (unsigned i = 0; i < PAIRS / GROUP; i++) {
		for (unsigned k = 0; k < GROUP; k++) {
			if (canp_mem_port_alloc(port, CANP_MEM_BLOCK, BYTES, &b[k]))
				abort();
		}
		for (unsigned k = 0; k < GROUP; k++)
			canp_mem_port_release(port, b[k]);
	}
}

static void pool_group(const void *arg)
{
	struct canp_block *b[GROUP];

	(void)arg;
	for (unsigned i = 0; i < PAIRS / GROUP; i++) {
		for (unsigned k = 0; k < GROUP; k++) {
			if (canp_mem_alloc(mem, CANP_MEM_BLOCK, BYTES, &b[k]))
				abort();
		}
		for (unsigned k = 0; k < GROUP; k++)
			canp_mem_release(mem, b[k]);
	}
}

static void pool_batch(const void *arg)
{
	struct canp_block *b[GROUP];
	size_t bytes[GROUP];

	(void)arg;
	for (unsigned k = 0; k < GROUP; k++)
		bytes[k] = BYTES;
	for (unsigned i = 0; i < PAIRS / GROUP; i++) {
		if (canp_mem_alloc_batch(mem, CANP_MEM_BLOCK, bytes, GROUP, b))
			abort();
		canp_mem_release_batch(mem, b, GROUP);
	}
}

struct lib {
	void *(*get)(size_t n);
	void (*put)(void *p);
};

static void lib_pairs(const void *arg)
{
	const struct lib *l = arg;

	for (unsigned i = 0; i < PAIRS; i++) {
		uint64_t *p = l->get(BYTES);

		p[1] = 1;
		l->put(p);
	}
}

static void lib_group(const void *arg)
{
	const struct lib *l = arg;
	uint64_t *p[GROUP];

	for (unsigned i = 0; i < PAIRS / GROUP; i++) {
		for (unsigned k = 0; k < GROUP; k++) {
			p[k] = l->get(BYTES);
			p[k][1] = 1;
		}
		for (unsigned k = 0; k < GROUP; k++)
			l->put(p[k]);
	}
}

static struct lib libs[3] = {{malloc, free}};

static struct row {
	const char *name;
	void (*run)(const void *arg);
	const void *arg;
	double ns[ROUNDS_MAX];
} rows[] = {
	{"port, one by one", port_pairs, NULL, {0}},
	{"pool, one by one", pool_pairs, NULL, {0}},
	{"pool, own clock", clock_pairs, NULL, {0}},
	{"malloc, one by one", lib_pairs, &libs[0], {0}},
	{"mimalloc, one by one", lib_pairs, &libs[1], {0}},
	{"jemalloc, one by one", lib_pairs, &libs[2], {0}},
	{"port, 64 held", port_group, NULL, {0}},
	{"pool, 64 held", pool_group, NULL, {0}},
	{"pool, batch of 64", pool_batch, NULL, {0}},
	{"malloc, 64 held", lib_group, &libs[0], {0}},
	{"mimalloc, 64 held", lib_group, &libs[1], {0}},
	{"jemalloc, 64 held", lib_group, &libs[2], {0}},
};

static void lib_load(struct lib *l, const char *file, const char *get, const char *put)
{
	void *h = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);

	if (!h)
		return;
	l->get = (void *(*)(size_t))(uintptr_t)dlsym(h, get);
	l->put = (void (*)(void *))(uintptr_t)dlsym(h, put);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 11;
	double batch = 0, held = 1;

	if (!rounds || rounds > ROUNDS_MAX || canp_mem_create(NULL, &mem))
		return 1;
	port = canp_mem_port_get(mem);
	canp_mem_port_now(port, canp_clock_ns());
	lib_load(&libs[1], "libmimalloc.so.2", "mi_malloc", "mi_free");
	lib_load(&libs[2], "libjemalloc.so.2", "malloc", "free");
	for (unsigned r = 0; r < rounds + 1; r++) {
		for (unsigned i = 0; i < CANP_ARRAY_SIZE(rows); i++) {
			double t = cpu_now();

			if (rows[i].arg && !((const struct lib *)rows[i].arg)->get)
				continue;
			rows[i].run(rows[i].arg);
			rows[i].ns[r ? r - 1 : 0] = (cpu_now() - t) * 1e9 / PAIRS; /* 0: warm-up */
		}
	}
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(rows); i++) {
		double *v = rows[i].ns, mid;

		qsort(v, rounds, sizeof(*v), by_value);
		mid = v[rounds / 2];
		if (mid == 0)
			continue;
		printf("%-22s %6.2f ns/pair %7.1f M pairs/s  (%.2f .. %.2f)\n", rows[i].name, mid,
		       1e3 / mid, v[0], v[rounds - 1]);
		held = !strcmp(rows[i].name, "pool, 64 held") ? mid : held;
		batch = !strcmp(rows[i].name, "pool, batch of 64") ? mid : batch;
	}
	printf("a batch of 64 costs %.2f of 64 single ones\n", batch / held);
	canp_mem_destroy(mem);
	return 0;
}
