// bench_peers.cpp - other libraries doing what `canp-bench runtime` measures: malloc and what is
// preloaded in front of it, tasks and pipelines of oneTBB, tasks of OpenMP. A program of its own,
// started once in every round, so that the product links none of them.
//
//   bench-peers WHAT N                       tasks, pairs of malloc and free
//   bench-peers one|chunk ITEMS NS CORES     a pipeline, a token is an item or 256 of them
//
// Prints one number, or "missing" when it was built without that library.
//
// Pinning is the caller's: a thread inherits its CPUs.
#include <cstdio>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <dlfcn.h>
#include <sched.h>
#include <unistd.h>

#if __has_include(<tbb/parallel_pipeline.h>)
#define HAVE_TBB 1
#include <tbb/global_control.h>
#include <tbb/parallel_pipeline.h>
#include <tbb/task_group.h>
#include <tbb/task_scheduler_observer.h>

#define CHUNK  256u
#define TOKENS 64u
#endif

static double seconds(clockid_t clock)
{
	timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static void work(double s)
{
	if (s == 0)
		return;
	for (double end = seconds(CLOCK_MONOTONIC) + s; seconds(CLOCK_MONOTONIC) < end;)
		;
}

// Millions a second.
static double rate(unsigned long long n, double s)
{
	return 1e-6 * (double)n / s;
}

// Pairs of malloc and free of 1000 bytes in CPU time. A preloaded library is told by a symbol of
// its own: a loader that did not find it goes on without.
static double alloc_pairs(unsigned long long n, const char *symbol)
{
	if (!dlsym(RTLD_DEFAULT, symbol))
		return -1;
	for (int round = 0;; round++) {
		double from = seconds(CLOCK_THREAD_CPUTIME_ID);

		for (unsigned long long i = 0; i < n; i++) {
			auto *p = static_cast<volatile uint64_t *>(malloc(1000));

			if (!p)
				exit(1);
			*p = i;
			free(const_cast<uint64_t *>(p));
		}
		if (round)
			return rate(n, seconds(CLOCK_THREAD_CPUTIME_ID) - from);
	}
}

static double omp_tasks(unsigned long long n, double s)
{
#ifdef _OPENMP
	for (int round = 0;; round++) {
		double from = seconds(CLOCK_MONOTONIC);

#pragma omp parallel num_threads(2)
#pragma omp single
		for (unsigned long long i = 0; i < (round ? n : 1000); i++) {
#pragma omp task
			work(s);
		}
		if (round)
			return rate(n, seconds(CLOCK_MONOTONIC) - from);
	}
#else
	(void)n;
	(void)s;
	return -1;
#endif
}

#ifdef HAVE_TBB
static double tbb_tasks(unsigned long long n, double s)
{
	tbb::global_control two(tbb::global_control::max_allowed_parallelism, 2);

	for (int round = 0;; round++) {
		tbb::task_group g;
		double from = seconds(CLOCK_MONOTONIC);

		for (unsigned long long i = 0; i < (round ? n : 1000); i++)
			g.run([s] { work(s); });
		g.wait();
		if (round)
			return rate(n, seconds(CLOCK_MONOTONIC) - from);
	}
}

struct chunk {
	uint32_t n;
	uint64_t v[CHUNK];
};

// Each thread on a CPU of its own, as the reactors are.
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

static bool pipe_items(uint64_t items, double s)
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
					[s](uint64_t x) {
						work(s);
						return 2 * x + 1;
					}) &
				tbb::make_filter<uint64_t, void>(tbb::filter_mode::serial_in_order,
								 [&](uint64_t x) {
									 bad += x != 2 * seen + 1;
									 seen++;
								 }));
	return seen == items && !bad;
}

static bool pipe_chunks(uint64_t items)
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

// Items a second of source, s of work each in parallel, ordered sink; s 0: 256 items a token.
static double tbb_pipe(unsigned long long n, double s, unsigned cores)
{
	tbb::global_control limit(tbb::global_control::max_allowed_parallelism, cores);
	pinner pin;

	for (int round = 0;; round++) {
		uint64_t all = round ? n : n / 4 + 1;
		double from = seconds(CLOCK_MONOTONIC);

		if (!(s > 0 ? pipe_items(all, s) : pipe_chunks(all)))
			exit(1);
		if (round)
			return (double)n / (seconds(CLOCK_MONOTONIC) - from);
	}
}
#else
static double tbb_tasks(unsigned long long, double) { return -1; }
static double tbb_pipe(unsigned long long, double, unsigned) { return -1; }
#endif

static double run(const char *what, unsigned long long n)
{
	if (!strncmp(what, "alloc:", 6))
		return alloc_pairs(n, what + 6);
	if (!strcmp(what, "tbb:empty"))
		return tbb_tasks(n, 0);
	if (!strcmp(what, "tbb:us"))
		return tbb_tasks(n, 1e-6);
	if (!strcmp(what, "omp:empty"))
		return omp_tasks(n, 0);
	if (!strcmp(what, "omp:us"))
		return omp_tasks(n, 1e-6);
	fprintf(stderr, "bench-peers: unknown: %s\n", what);
	exit(64);
}

int main(int argc, char **argv)
{
	double value;

	if (argc != 3 && argc != 5) {
		fprintf(stderr, "usage: bench-peers WHAT N | one|chunk ITEMS NS CORES\n");
		return 64;
	}
	alarm(300); // nobody waits for ever
	if (argc == 5)
		value = tbb_pipe(strtoull(argv[2], nullptr, 10), 1e-9 * strtod(argv[3], nullptr),
				 (unsigned)strtoul(argv[4], nullptr, 10));
	else
		value = run(argv[1], strtoull(argv[2], nullptr, 10));
	if (value < 0)
		printf("missing\n");
	else
		printf("%.9g\n", value);
	return 0;
}
