// bench_peers.cpp - other libraries doing what `canp-bench runtime` measures: malloc and what is
// preloaded in front of it, tasks and pipelines of oneTBB, tasks of OpenMP. A program of its own,
// started once in every round, so that the product links none of them.
//
//   bench-peers WHAT N     prints one number, or "missing" when it was built without that library
//
// Pinning is the caller's: a thread inherits its CPUs.
#include <cstdio>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <dlfcn.h>
#include <unistd.h>

#if __has_include(<tbb/parallel_pipeline.h>)
#define HAVE_TBB 1
#include <tbb/global_control.h>
#include <tbb/parallel_pipeline.h>
#include <tbb/task_group.h>
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

// Three stages: numbers in order, s of work each in parallel, the sum in order.
static double tbb_pipe(unsigned long long n, double s)
{
	tbb::global_control two(tbb::global_control::max_allowed_parallelism, 2);

	for (int round = 0;; round++) {
		unsigned long long all = round ? n : 1000, i = 0, last = 0, bad = 0;
		double from = seconds(CLOCK_MONOTONIC);

		tbb::parallel_pipeline(
			64, tbb::make_filter<void, unsigned long long>(
				    tbb::filter_mode::serial_in_order,
				    [&](tbb::flow_control &fc) -> unsigned long long {
					    if (i == all) {
						    fc.stop();
						    return 0;
					    }
					    return ++i;
				    }) &
				    tbb::make_filter<unsigned long long, unsigned long long>(
					    tbb::filter_mode::parallel,
					    [s](unsigned long long v) {
						    work(s);
						    return v;
					    }) &
				    tbb::make_filter<unsigned long long, void>(
					    tbb::filter_mode::serial_in_order,
					    [&](unsigned long long v) { bad += v != ++last; }));
		if (bad || last != all)
			exit(1);
		if (round)
			return rate(n, seconds(CLOCK_MONOTONIC) - from);
	}
}
#else
static double tbb_tasks(unsigned long long, double) { return -1; }
static double tbb_pipe(unsigned long long, double) { return -1; }
#endif

static double run(const char *what, unsigned long long n)
{
	if (!strncmp(what, "alloc:", 6))
		return alloc_pairs(n, what + 6);
	if (!strcmp(what, "tbb:empty"))
		return tbb_tasks(n, 0);
	if (!strcmp(what, "tbb:us"))
		return tbb_tasks(n, 1e-6);
	if (!strcmp(what, "tbb:pipe_empty"))
		return tbb_pipe(n, 0);
	if (!strcmp(what, "tbb:pipe_us"))
		return tbb_pipe(n, 1e-6);
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

	if (argc != 3) {
		fprintf(stderr, "usage: bench-peers WHAT N\n");
		return 64;
	}
	alarm(300); // nobody waits for ever
	value = run(argv[1], strtoull(argv[2], nullptr, 10));
	if (value < 0)
		printf("missing\n");
	else
		printf("%.9g\n", value);
	return 0;
}
