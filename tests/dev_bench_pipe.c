/*
 * dev_bench_pipe.c - the pipeline's figures (tools/bench_rt_pipe.h) on the terminal. Not built by
 * default; tools/bench_rt_pipe.c is included, because tests are not linked with the tools:
 *
 *   make .../tests/dev_bench_pipe && dev_bench_pipe [TBB_PROGRAM|-] [CORES] [FIGURE...]
 */
#include "tools/bench_rt_pipe.c"
#include "tools/bench_rt_pipe_rss.c"

static struct canp_bench_rt_pipe_opts opts = {.cores = 2};

static int fig_ordered(struct canp_bench_rt_pipe_pair *v)
{
	return canp_bench_rt_pipe_ordered(&opts, 1000, v);
}

static int fig_empty(struct canp_bench_rt_pipe_pair *v)
{
	return canp_bench_rt_pipe_ordered(&opts, 0, v);
}

static int fig_three_serial(struct canp_bench_rt_pipe_pair *v)
{
	return canp_bench_rt_pipe_three_ms(&opts, 1, v);
}

static int fig_three_parallel(struct canp_bench_rt_pipe_pair *v)
{
	return canp_bench_rt_pipe_three_ms(&opts, 0, v);
}

static int fig_io(struct canp_bench_rt_pipe_pair *v)
{
	return canp_bench_rt_pipe_mixed_io(&opts, v);
}

static int fig_rate(struct canp_bench_rt_pipe_pair *v)
{
	return canp_bench_rt_pipe_mode_rate(&opts, v);
}

static int fig_p99(struct canp_bench_rt_pipe_pair *v)
{
	return canp_bench_rt_pipe_mode_p99(&opts, v);
}

static int fig_rss(struct canp_bench_rt_pipe_pair *v)
{
	return canp_bench_rt_pipe_mode_rss(&opts, v);
}

static int fig_200(struct canp_bench_rt_pipe_pair *v)
{
	return canp_bench_rt_pipe_200_items(&opts, v);
}

static int fig_100(struct canp_bench_rt_pipe_pair *v)
{
	return canp_bench_rt_pipe_100_batches(&opts, v);
}

static const struct {
	const char *name, *text;
	int (*fn)(struct canp_bench_rt_pipe_pair *v);
} figures[] = {
	{"ordered", "1 us middle, items/s against oneTBB", fig_ordered},
	{"empty", "empty stages in chunks of 256, items/s against oneTBB", fig_empty},
	{"serial", "3 serial operators of 1 ms, items/s against one core", fig_three_serial},
	{"parallel", "3 parallel operators of 1 ms, items/s against one core", fig_three_parallel},
	{"io", "mixed I/O, batches/s against one after the other", fig_io},
	{"rate", "items/s, throughput mode against latency mode", fig_rate},
	{"p99", "p99 ns, latency mode against throughput mode", fig_p99},
	{"rss", "peak bytes, memory mode against throughput mode", fig_rss},
	{"200", "200 items, s against the stated 0.004", fig_200},
	{"100", "100 batches, s against the stated 0.003", fig_100},
};

static bool wanted(int argc, char **argv, const char *name)
{
	for (int i = 3; i < argc; i++) {
		if (!strcmp(argv[i], name))
			return true;
	}
	return argc < 4;
}

int main(int argc, char **argv)
{
	int bad = 0;

	if (argc > 1 && strcmp(argv[1], "-"))
		opts.tbb = argv[1];
	if (argc > 2)
		opts.cores = (unsigned)atoi(argv[2]);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(figures); i++) {
		struct canp_bench_rt_pipe_pair v = {0};
		int rc;

		if (!wanted(argc, argv, figures[i].name))
			continue;
		rc = figures[i].fn(&v);
		bad |= rc;
		if (rc)
			printf("%-8s error %d\n", figures[i].name, rc);
		else
			printf("%-8s %12.4g %12.4g  %6.2fx  %s\n", figures[i].name, v.canp, v.peer,
			       v.ratio, figures[i].text);
		fflush(stdout);
	}
	return bad != 0;
}
