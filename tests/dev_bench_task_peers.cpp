/*
 * dev_bench_task_peers.cpp - empty tasks and tasks of 1 us with oneTBB's task_group and OpenMP, for
 * dev_bench_task.c. Not built by default; wants libtbb-dev:
 *
 *   g++ -O2 -fopenmp -o peers tests/dev_bench_task_peers.cpp -ltbb && ./peers [TASKS]
 */
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include <tbb/global_control.h>
#include <tbb/task_group.h>

static double now_ns()
{
	timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void work(double ns)
{
	if (ns == 0)
		return;
	for (double end = now_ns() + ns; now_ns() < end;)
		;
}

static double with_tbb(unsigned n, double ns)
{
	tbb::task_group g;
	double from = now_ns();

	for (unsigned i = 0; i < n; i++)
		g.run([ns] { work(ns); });
	g.wait();
	return (now_ns() - from) / n;
}

static double with_omp(unsigned n, double ns)
{
	double from = now_ns();

#pragma omp parallel num_threads(2)
#pragma omp single
	for (unsigned i = 0; i < n; i++) {
#pragma omp task
		work(ns);
	}
	return (now_ns() - from) / n;
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 1000000;
	tbb::global_control two(tbb::global_control::max_allowed_parallelism, 2);
	std::vector<double> t[4];

	for (int r = 0; r < 7; r++) {
		t[0].push_back(with_tbb(n, 0));
		t[1].push_back(with_tbb(n, 1000));
		t[2].push_back(with_omp(n, 0));
		t[3].push_back(with_omp(n, 1000));
	}
	static const char *const names[4] = {"oneTBB empty", "oneTBB 1 us", "OpenMP empty",
					     "OpenMP 1 us"};
	for (int i = 0; i < 4; i++) {
		std::sort(t[i].begin(), t[i].end());
		std::printf("%-32s %8.1f ns/task (best %.1f)\n", names[i], t[i][3], t[i][0]);
	}
	return 0;
}
