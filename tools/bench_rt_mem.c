/*
 * bench_rt_mem.c - the memory pool's hit path: pairs of alloc and release of a block of 1000 bytes,
 * one by one and 64 at once, beside malloc, mimalloc and jemalloc. CPU time of one thread.
 *
 * Each block's first bytes are written, as a user of it would. The peers run the same loop in a
 * process of their own, with the library in front of the C library's malloc.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "numa/mem.h"
#include "tools/bench_rt.h"

#define GROUP 64u
#define BYTES 1000u

static struct canp_mem *mem; /* made by the first run, kept: the pool is warm */
static struct canp_mem_port *port;

static int mem_ready(void)
{
	int rc = mem ? 0 : canp_mem_create(NULL, &mem);

	if (rc)
		return rc;
	port = canp_mem_port_get(mem);
	if (!port)
		return -ENOMEM;
	/* As on a reactor, which tells its port the time once a turn. */
	canp_mem_port_now(port, canp_clock_ns());
	return 0;
}

/* *value: M pairs/s. */
static int pool_pairs(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	int rc = mem_ready();
	double from = canp_bench_cpu_s();

	(void)rt;
	(void)arg;
	for (uint64_t i = 0; i < n && !rc; i++) {
		struct canp_block *b;

		rc = canp_mem_alloc(mem, CANP_MEM_BLOCK, BYTES, &b);
		if (rc)
			break;
		*(uint64_t *)canp_block_data(b) = i;
		rc = canp_mem_release(mem, b);
	}
	*value = canp_bench_rt_rate(n, canp_bench_cpu_s() - from);
	return rc;
}

/* *value: ns a block. */
static int pool_group(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	struct canp_block *b[GROUP];
	int rc = mem_ready();
	double from = canp_bench_cpu_s();

	(void)rt;
	(void)arg;
	for (uint64_t i = 0; i < n && !rc; i += GROUP) {
		for (unsigned k = 0; k < GROUP && !rc; k++)
			rc = canp_mem_alloc(mem, CANP_MEM_BLOCK, BYTES, &b[k]);
		for (unsigned k = 0; k < GROUP && !rc; k++)
			rc = canp_mem_release(mem, b[k]);
	}
	*value = 1e9 * (canp_bench_cpu_s() - from) / (double)n;
	return rc;
}

static int pool_batch(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value)
{
	struct canp_block *b[GROUP];
	size_t bytes[GROUP];
	int rc = mem_ready();
	double from = canp_bench_cpu_s();

	(void)rt;
	(void)arg;
	for (unsigned k = 0; k < GROUP; k++)
		bytes[k] = BYTES;
	for (uint64_t i = 0; i < n && !rc; i += GROUP) {
		rc = canp_mem_alloc_batch(mem, CANP_MEM_BLOCK, bytes, GROUP, b);
		rc = rc ? rc : canp_mem_release_batch(mem, b, GROUP);
	}
	*value = 1e9 * (canp_bench_cpu_s() - from) / (double)n;
	return rc;
}

static const struct canp_bench_rt_peer_arg c_malloc = {"alloc:malloc", NULL};
static const struct canp_bench_rt_peer_arg mimalloc = {"alloc:mi_malloc", "libmimalloc.so.2"};
static const struct canp_bench_rt_peer_arg jemalloc = {"alloc:mallctl", "libjemalloc.so.2"};

const struct canp_bench_rt_figure canp_bench_rt_mem[] = {
	{
		.name = "alloc_free",
		.text = "alloc and release of 1000 bytes, one by one",
		.unit = "M/s",
		.est_ns = 8,
		.pinned = true,
		.floor = 50,
		.aim = 150,
		.forms = {{"pool", pool_pairs, NULL},
			  {"malloc", canp_bench_rt_peer_form, &c_malloc},
			  {"mimalloc", canp_bench_rt_peer_form, &mimalloc},
			  {"jemalloc", canp_bench_rt_peer_form, &jemalloc}},
	},
	{
		.name = "batch",
		.text = "64 blocks in one batch beside 64 one by one",
		.unit = "ns",
		.est_ns = 8,
		.pinned = true,
		.judge = CANP_BENCH_RT_RATIO,
		.floor = .5,
		.aim = .2,
		.forms = {{"batch of 64", pool_batch, NULL}, {"one by one", pool_group, NULL}},
	},
	{0},
};
