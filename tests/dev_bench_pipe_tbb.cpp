/*
 * dev_bench_pipe_tbb.cpp - the peer of tools/bench_rt_pipe.c: oneTBB's parallel_pipeline with the
 * same three stages, ordered, on the same cores. Not built by default; wants libtbb-dev:
 *
 *   g++ -O2 -o pipe_tbb tests/dev_bench_pipe_tbb.cpp -ltbb
 *   pipe_tbb one ITEMS MIDDLE_NS CORES     a token is an item
 *   pipe_tbb chunk ITEMS 0 CORES           a token is 256 items, empty stages
 *
 * Prints items a second. The run before it is not counted.
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <sched.h>

#include <tbb/global_control.h>
#include <tbb/parallel_pipeline.h>
#include <tbb/task_scheduler_observer.h>

#define CHUNK  256u
#define TOKENS 64u

static uint64_t now_ns()
{
	timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct chunk {
	uint32_t n;
	uint64_t v[CHUNK];
};

/* Each thread on a CPU of its own, as the reactors are. */
class pinner : public tbb::task_scheduler_observer
{
	int next = 0;

      public:
	pinner()
	{
		observe(true);
	}
	void on_scheduler_entry(bool) override
	{
		cpu_set_t s;

		CPU_ZERO(&s);
		CPU_SET(__atomic_fetch_add(&next, 1, __ATOMIC_RELAXED), &s);
		sched_setaffinity(0, sizeof(s), &s);
	}
};

static uint64_t run_one(uint64_t items, uint64_t ns)
{
	uint64_t at = 0, seen = 0, bad = 0;

	tbb::parallel_pipeline(
		TOKENS, tbb::make_filter<void, uint64_t>(tbb::filter_mode::serial_in_order,
							 [&](tbb::flow_control &fc) -> uint64_t {
								 if (at == items)
									 fc.stop();
								 return at == items ? 0 : at++;
							 }) &
				tbb::make_filter<uint64_t, uint64_t>(
					tbb::filter_mode::parallel,
					[ns](uint64_t x) {
						if (ns)
							for (uint64_t e = now_ns() + ns;
							     now_ns() < e;)
								;
						return 2 * x + 1;
					}) &
				tbb::make_filter<uint64_t, void>(tbb::filter_mode::serial_in_order,
								 [&](uint64_t x) {
									 bad += x != 2 * seen + 1;
									 seen++;
								 }));
	return seen == items && !bad;
}

static uint64_t run_chunk(uint64_t items)
{
	static chunk in[TOKENS + 1], out[TOKENS + 1];
	uint64_t at = 0, seen = 0, sum = 0, slot = 0;

	tbb::parallel_pipeline(
		TOKENS, tbb::make_filter<void, uint64_t>(
				tbb::filter_mode::serial_in_order,
				[&](tbb::flow_control &fc) -> uint64_t {
					uint64_t s = slot;
					chunk *c = &in[s];

					if (at == items) {
						fc.stop();
						return 0;
					}
					slot = slot == TOKENS ? 0 : slot + 1;
					c->n = (uint32_t)(items - at < CHUNK ? items - at : CHUNK);
					for (uint32_t i = 0; i < c->n; i++)
						c->v[i] = at + i;
					at += c->n;
					return s;
				}) &
				tbb::make_filter<uint64_t, uint64_t>(
					tbb::filter_mode::parallel,
					[](uint64_t s) {
						out[s].n = in[s].n;
						for (uint32_t i = 0; i < in[s].n; i++)
							out[s].v[i] = 2 * in[s].v[i] + 1;
						return s;
					}) &
				tbb::make_filter<uint64_t, void>(
					tbb::filter_mode::serial_in_order, [&](uint64_t s) {
						for (uint32_t i = 0; i < out[s].n; i++)
							sum += out[s].v[i];
						seen += out[s].n;
					}));
	return seen == items && sum == items * items;
}

int main(int argc, char **argv)
{
	bool chunks = argc > 1 && !strcmp(argv[1], "chunk");
	uint64_t items = argc > 2 ? strtoull(argv[2], NULL, 0) : 100000;
	uint64_t ns = argc > 3 ? strtoull(argv[3], NULL, 0) : 1000;
	unsigned cores = argc > 4 ? (unsigned)atoi(argv[4]) : 2;
	tbb::global_control limit(tbb::global_control::max_allowed_parallelism, cores);
	pinner pin;
	uint64_t from, ok = 1;

	ok &= chunks ? run_chunk(items / 4) : run_one(items / 4, ns);
	from = now_ns();
	ok &= chunks ? run_chunk(items) : run_one(items, ns);
	from = now_ns() - from;
	if (!ok) {
		fprintf(stderr, "wrong results\n");
		return 1;
	}
	printf("%.0f\n", (double)items * 1e9 / (double)from);
	return 0;
}
