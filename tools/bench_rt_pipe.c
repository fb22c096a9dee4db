/*
 * bench_rt_pipe.c - the workloads behind bench_rt_pipe.h. Wall time, because cores are what a
 * pipeline is about; so both sides run alternately and the machine should be quiet.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/pipeline/pipeline.h"
#include "tools/bench_rt_pipe_priv.h"

#define MS ((uint64_t)CANP_NS_PER_MS)

/* ---- rounds ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), by_value);
	return n ? v[n / 2] : 0;
}

int canp_bench_rt_pipe_rounds(const struct canp_bench_rt_pipe_opts *o, const struct pipe_sides *s,
			      struct canp_bench_rt_pipe_pair *out)
{
	double a[CANP_BENCH_RT_PIPE_ROUNDS_MAX], b[CANP_BENCH_RT_PIPE_ROUNDS_MAX];
	double r[CANP_BENCH_RT_PIPE_ROUNDS_MAX];
	unsigned n = o && o->rounds ? o->rounds : 5;

	n = canp_min(n, CANP_BENCH_RT_PIPE_ROUNDS_MAX);
	for (unsigned i = 0; i < n; i++) {
		a[i] = s->canp(s->arg);
		b[i] = s->peer ? s->peer(s->arg) : 0;
		if (a[i] < 0 || b[i] < 0)
			return (int)(a[i] < 0 ? a[i] : b[i]);
		r[i] = s->less_is_better ? b[i] / a[i] : a[i] / canp_max(b[i], 1e-30);
	}
	out->canp = median(a, n);
	out->peer = median(b, n);
	out->ratio = s->peer ? median(r, n) : 0;
	return 0;
}

/* ---- a pipe of three stages ---- */

static void spin(uint64_t ns)
{
	uint64_t end = canp_clock_ns() + ns;

	while (ns && canp_clock_ns() < end)
		;
}

static int next_count(void *arg, void *items, uint32_t max)
{
	struct pipe_work *w = arg;
	uint64_t *out = items, at = w->at;
	uint32_t n = (uint32_t)canp_min((uint64_t)max, w->items - at);

	for (uint32_t i = 0; i < n; i++)
		out[i] = at + i;
	w->at = at + n;
	return (int)n;
}

static int map_spin(void *arg, const void *in, void *out)
{
	const struct pipe_work *w = arg;

	spin(w->ns);
	*(uint64_t *)out = 2 * *(const uint64_t *)in + 1;
	return 0;
}

static int batch_odd(void *arg, struct canp_batch *b, void *out)
{
	const uint64_t *from = (const uint64_t *)b->rec;
	uint64_t *to = out;

	(void)arg;
	for (uint32_t i = 0; i < b->nr_rows; i++)
		to[i] = 2 * from[i] + 1;
	return 0;
}

static int take_sum(void *arg, const struct canp_batch *b)
{
	struct pipe_work *w = arg;
	const uint64_t *v = (const uint64_t *)b->rec;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < b->nr_rows; i++)
		sum += v[i];
	w->bad += b->nr_rows && v[0] != 2 * w->seen + 1; /* order, a look at each batch */
	w->sum += sum;
	w->seen += b->nr_rows;
	return 0;
}

/* Runs once for n items and says how long it took. */
static double timed_run(struct canp_pipe *p, struct pipe_work *w, uint64_t n)
{
	uint64_t all = w->items, from;
	int rc;

	w->items = n;
	w->at = w->seen = w->sum = w->bad = 0;
	from = canp_clock_ns();
	rc = canp_pipe_run(p);
	from = canp_clock_ns() - from;
	w->items = all;
	if (rc)
		return rc;
	if (w->seen != n || w->bad || w->sum != n * n)
		return -EBADMSG;
	return (double)from / 1e9;
}

int canp_bench_rt_pipe_exec(unsigned cores, struct canp_exec **ex)
{
	struct canp_exec_opts o = {.cores = cores, .pin = true};

	return canp_exec_create(&o, ex);
}

static int three_stages(struct pipe_work *w, struct canp_exec *ex, struct canp_pipe **out)
{
	struct canp_pipe_opts o = {.exec = ex, .mode = w->mode, .no_shared_monitoring = true};
	struct canp_pipe_op op = {.name = "middle", .kind = CANP_PIPE_MAP, .item_bytes = 8};
	int source = 0, rc = canp_pipe_create("bench", NULL, &o, out);

	if (rc)
		return rc;
	op.arg = w;
	op.map = w->ns ? map_spin : NULL;
	op.map_batch = w->ns ? NULL : batch_odd;
	canp_pipe_source(*out, "count", 8, next_count, w);
	canp_pipe_add(*out, &op, &source, 1);
	canp_pipe_sink(*out, "sum", take_sum, w);
	rc = canp_pipe_build(*out, NULL);
	if (rc)
		canp_pipe_destroy(*out);
	return rc;
}

/* Items a second, after a run that is not counted; *p99 may be NULL. */
static double stages_rate(struct pipe_work *w, double *p99)
{
	struct canp_pipe_stats st;
	struct canp_exec *ex;
	struct canp_pipe *p;
	double s = canp_bench_rt_pipe_exec(w->cores, &ex);

	if (s < 0)
		return s;
	s = three_stages(w, ex, &p);
	if (s >= 0) {
		s = timed_run(p, w, w->items / 4);
		s = s < 0 ? s : timed_run(p, w, w->items);
		canp_pipe_stats(p, &st);
		if (p99)
			*p99 = (double)st.latency_p99_ns;
		canp_pipe_destroy(p);
	}
	canp_exec_destroy(ex);
	return s < 0 ? s : (double)w->items / s;
}

static double rate_canp(void *arg)
{
	return stages_rate(arg, NULL);
}

static double rate_tbb(void *arg)
{
	const struct pipe_work *w = arg;
	char cmd[512];
	double v = -EIO;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "exec timeout 60 '%s' %s %llu %llu %u", w->tbb,
		 w->ns ? "one" : "chunk", (unsigned long long)w->items, (unsigned long long)w->ns,
		 w->cores);
	f = popen(cmd, "r");
	if (!f)
		return -errno;
	if (fscanf(f, "%lf", &v) != 1)
		v = -EIO;
	return pclose(f) ? -EIO : v;
}

struct pipe_work canp_bench_rt_pipe_work(const struct canp_bench_rt_pipe_opts *o, uint64_t ns,
					 uint64_t items)
{
	struct pipe_work w = {.cores = 2, .items = items, .ns = ns};

	if (o && o->cores)
		w.cores = o->cores;
	if (o && o->items)
		w.items = o->items;
	if (o)
		w.tbb = o->tbb;
	return w;
}

int canp_bench_rt_pipe_ordered(const struct canp_bench_rt_pipe_opts *o, uint64_t middle_ns,
			       struct canp_bench_rt_pipe_pair *out)
{
	unsigned cores = o && o->cores ? o->cores : 2;
	uint64_t items = middle_ns ? cores * 300 * MS / middle_ns : 60000000;
	struct pipe_work w = canp_bench_rt_pipe_work(o, middle_ns, items);
	struct pipe_sides s = {.canp = rate_canp, .peer = w.tbb ? rate_tbb : NULL, .arg = &w};

	return canp_bench_rt_pipe_rounds(o, &s, out);
}

/* ---- modes ---- */

static double rate_throughput(void *arg)
{
	((struct pipe_work *)arg)->mode = CANP_PIPE_THROUGHPUT;
	return stages_rate(arg, NULL);
}

static double rate_latency(void *arg)
{
	((struct pipe_work *)arg)->mode = CANP_PIPE_LATENCY;
	return stages_rate(arg, NULL);
}

int canp_bench_rt_pipe_mode_rate(const struct canp_bench_rt_pipe_opts *o,
				 struct canp_bench_rt_pipe_pair *out)
{
	struct pipe_work w = canp_bench_rt_pipe_work(o, 1000, 300000);
	struct pipe_sides s = {.canp = rate_throughput, .peer = rate_latency, .arg = &w};

	return canp_bench_rt_pipe_rounds(o, &s, out);
}

static double p99_of(struct pipe_work *w, enum canp_pipe_mode mode)
{
	double p99 = 0, rate;

	w->mode = mode;
	rate = stages_rate(w, &p99);
	return rate < 0 ? rate : p99;
}

static double p99_latency(void *arg)
{
	return p99_of(arg, CANP_PIPE_LATENCY);
}

static double p99_throughput(void *arg)
{
	return p99_of(arg, CANP_PIPE_THROUGHPUT);
}

int canp_bench_rt_pipe_mode_p99(const struct canp_bench_rt_pipe_opts *o,
				struct canp_bench_rt_pipe_pair *out)
{
	struct pipe_work w = canp_bench_rt_pipe_work(o, 1000, 300000);
	struct pipe_sides s = {
		.canp = p99_latency, .peer = p99_throughput, .arg = &w, .less_is_better = true};

	return canp_bench_rt_pipe_rounds(o, &s, out);
}

/* ---- operators side by side ---- */

static int take_rows(void *arg, const struct canp_batch *b)
{
	((struct pipe_work *)arg)->seen += b->nr_rows;
	return 0;
}

static double three_ms_canp(void *arg)
{
	struct pipe_work *w = arg;
	struct canp_pipe_opts o = {.no_shared_monitoring = true};
	static const char *const names[] = {"a", "b", "c"};
	struct canp_pipe *p;
	uint64_t from;
	int rc = canp_bench_rt_pipe_exec(w->cores, &o.exec);

	if (rc)
		return rc;
	rc = canp_pipe_create("bench", NULL, &o, &p);
	if (rc)
		return rc;
	w->at = w->seen = 0;
	canp_pipe_source(p, "count", 8, next_count, w);
	for (unsigned i = 0; i < 3; i++)
		canp_pipe_map(p, names[i], 8, map_spin, w, 0);
	canp_pipe_sink(p, "take", take_rows, w);
	rc = canp_pipe_build(p, NULL);
	from = canp_clock_ns();
	rc = rc ? rc : canp_pipe_run(p);
	from = canp_clock_ns() - from;
	canp_pipe_destroy(p);
	canp_exec_destroy(o.exec);
	return rc ? rc : (double)w->items * 1e9 / (double)from;
}

static double three_ms_serial(void *arg)
{
	struct pipe_work *w = arg;
	uint64_t from = canp_clock_ns(), v = 0;

	for (uint64_t i = 0; i < 3 * w->items; i++)
		map_spin(w, &v, &v);
	return (double)w->items * 1e9 / (double)(canp_clock_ns() - from);
}

int canp_bench_rt_pipe_three_ms(const struct canp_bench_rt_pipe_opts *o,
				struct canp_bench_rt_pipe_pair *out)
{
	struct pipe_work w = canp_bench_rt_pipe_work(o, MS, 120);
	struct pipe_sides s = {.canp = three_ms_canp, .peer = three_ms_serial, .arg = &w};

	return canp_bench_rt_pipe_rounds(o, &s, out);
}

/* ---- mixed I/O ---- */

#define IO_BATCH 16u

static void nap(uint64_t ns)
{
	nanosleep(&(struct timespec){0, (long)ns}, NULL);
}

static int io_read(void *arg, void *items, uint32_t max)
{
	nap(10 * MS);
	return next_count(arg, items, canp_min(max, IO_BATCH));
}

static int io_compute(void *arg, struct canp_batch *b, void *out)
{
	spin(10 * MS);
	return batch_odd(arg, b, out);
}

static int io_write(void *arg, const struct canp_batch *b)
{
	nap(10 * MS);
	return take_sum(arg, b);
}

static double io_canp(void *arg)
{
	struct pipe_work *w = arg;
	struct canp_pipe_opts o = {.executor = CANP_PIPE_THREADS,
				   .batch_items = IO_BATCH,
				   .no_adaptive_batching = true,
				   .no_shared_monitoring = true};
	struct canp_pipe_op op = {
		.name = "compute", .kind = CANP_PIPE_MAP, .item_bytes = 8, .map_batch = io_compute};
	struct canp_pipe *p;
	double s = canp_pipe_create("bench", NULL, &o, &p);
	int in = 0;

	if (s < 0)
		return s;
	op.arg = w;
	canp_pipe_source(p, "read", 8, io_read, w);
	canp_pipe_add(p, &op, &in, 1);
	canp_pipe_sink(p, "write", io_write, w);
	s = timed_run(p, w, w->items);
	canp_pipe_destroy(p);
	return s < 0 ? s : (double)w->items / IO_BATCH / s;
}

static double io_serial(void *arg)
{
	struct pipe_work *w = arg;
	uint64_t in[IO_BATCH], out[IO_BATCH], from = canp_clock_ns();
	int n;

	w->at = w->seen = w->sum = w->bad = 0;
	while ((n = io_read(w, in, IO_BATCH)) > 0) {
		struct canp_batch b = {.nr_rows = (uint32_t)n, .stride = 8, .rec = (uint8_t *)in};

		io_compute(w, &b, out);
		b.rec = (uint8_t *)out;
		io_write(w, &b);
	}
	return (double)w->items / IO_BATCH * 1e9 / (double)(canp_clock_ns() - from);
}

int canp_bench_rt_pipe_mixed_io(const struct canp_bench_rt_pipe_opts *o,
				struct canp_bench_rt_pipe_pair *out)
{
	struct pipe_work w = canp_bench_rt_pipe_work(o, 0, 30 * IO_BATCH);
	struct pipe_sides s = {.canp = io_canp, .peer = io_serial, .arg = &w};

	return canp_bench_rt_pipe_rounds(o, &s, out);
}

/* ---- the two runs that the source document states ---- */

static double stated_200(void *arg)
{
	struct pipe_work *w = arg;
	uint64_t from = canp_clock_ns();
	struct canp_pipe *p;
	int rc = three_stages(w, NULL, &p);

	if (rc)
		return rc;
	w->at = w->seen = w->sum = w->bad = 0;
	rc = canp_pipe_run(p);
	canp_pipe_destroy(p);
	from = canp_clock_ns() - from;
	if (!rc && (w->seen != 200 || w->sum != 200 * 200))
		rc = -EBADMSG;
	return rc ? rc : (double)from / 1e9;
}

static double stated_4ms(void *arg)
{
	(void)arg;
	return 0.004;
}

static double stated_3ms(void *arg)
{
	(void)arg;
	return 0.003;
}

int canp_bench_rt_pipe_200_items(const struct canp_bench_rt_pipe_opts *o,
				 struct canp_bench_rt_pipe_pair *out)
{
	struct pipe_work w = canp_bench_rt_pipe_work(o, 1, 200);
	struct pipe_sides s = {
		.canp = stated_200, .peer = stated_4ms, .arg = &w, .less_is_better = true};

	w.items = 200;
	return canp_bench_rt_pipe_rounds(o, &s, out);
}

static double stated_100(void *arg)
{
	struct pipe_work *w = arg;
	struct canp_pipe_opts o = {.batch_items = IO_BATCH,
				   .no_adaptive_batching = true,
				   .no_shared_monitoring = true};
	uint64_t items[IO_BATCH], from, sum = 0, n = 0;
	struct canp_pipe *p;
	int rc = canp_pipe_create("bench", NULL, &o, &p), got = 0;

	if (rc)
		return rc;
	w->at = 0;
	canp_pipe_source(p, "count", 8, next_count, w);
	canp_pipe_map(p, "odd", 8, map_spin, w, 0);
	rc = canp_pipe_build(p, NULL);
	from = canp_clock_ns();
	rc = rc ? rc : canp_pipe_start(p, NULL);
	while (!rc && (got = canp_pipe_next(p, items, IO_BATCH, 10000)) > 0) {
		for (int i = 0; i < got; i++)
			sum += items[i];
		n += (unsigned)got;
	}
	from = canp_clock_ns() - from;
	canp_pipe_destroy(p);
	rc = rc ? rc : got;
	if (!rc && (n != w->items || sum != n * n))
		rc = -EBADMSG;
	return rc ? rc : (double)from / 1e9;
}

int canp_bench_rt_pipe_100_batches(const struct canp_bench_rt_pipe_opts *o,
				   struct canp_bench_rt_pipe_pair *out)
{
	struct pipe_work w = canp_bench_rt_pipe_work(o, 0, 100 * IO_BATCH);
	struct pipe_sides s = {
		.canp = stated_100, .peer = stated_3ms, .arg = &w, .less_is_better = true};

	w.items = 100 * IO_BATCH;
	return canp_bench_rt_pipe_rounds(o, &s, out);
}
