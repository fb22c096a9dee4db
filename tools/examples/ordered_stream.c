/*
 * ordered_stream.c - `for result in executor.execute(fn, dataset)` of the source document: a source
 * without an end, work that takes a different time for each item on all cores, and results that are
 * pulled one after the other in the order of the items, until the reader has had enough.
 *
 *   source("numbers") -> map("collatz", parallel_degree 4) -> filter("long") -> canp_pipe_next()
 *
 * Memory is bounded whatever the source yields: it is only asked while items in flight are fewer
 * than max_memory_items.
 *
 * Build: cc ordered_stream.c $(pkg-config --cflags --libs canp)
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <canp.h>

#define WANTED 5000u
#define LONG   20u /* steps */

struct result {
	uint64_t number;
	uint32_t steps, pad;
};

static int numbers(void *arg, void *items, uint32_t max)
{
	uint64_t *next = arg, *out = items;

	for (uint32_t i = 0; i < max; i++)
		out[i] = (*next)++;
	return (int)max; /* never 0: it has no end */
}

static uint32_t steps_of(uint64_t x)
{
	uint32_t n = 0;

	while (x > 1) {
		x = x & 1 ? 3 * x + 1 : x / 2;
		n++;
	}
	return n;
}

static int collatz(void *arg, const void *in, void *out)
{
	struct result r = {0, 0, 0};

	(void)arg;
	memcpy(&r.number, in, sizeof(r.number));
	r.steps = steps_of(r.number);
	memcpy(out, &r, sizeof(r));
	return 0;
}

static int is_long(void *arg, const void *item)
{
	const struct result *r = item;

	(void)arg;
	return r->steps >= LONG; /* 1: keep, 0: drop */
}

/* Compares what arrives with what a plain loop finds. */
static unsigned check(const struct result *r, int nr, uint64_t *number)
{
	unsigned wrong = 0;

	for (int i = 0; i < nr; i++) {
		while (steps_of(*number) < LONG)
			(*number)++;
		wrong += r[i].number != *number || r[i].steps != steps_of(*number);
		(*number)++;
	}
	return wrong;
}

int main(void)
{
	struct canp_pipe_opts opts;
	struct canp_pipe_stats st;
	struct canp_pipe *p;
	uint64_t next = 1, number = 1, got = 0, late = 0;
	struct result r[64];
	unsigned wrong = 0;
	int rc, n = 1;

	memset(&opts, 0, sizeof(opts)); /* zero: the default of each field */
	opts.max_workers = 4;
	opts.max_memory_items = 10000;
	opts.pipeline_depth = 3;
	rc = canp_pipe_create("ordered", "throughput", &opts, &p);
	if (rc) {
		fprintf(stderr, "ordered_stream: %s\n", canp_strerror(rc));
		return 1;
	}
	/* The builder: an error is kept and told by start. */
	canp_pipe_source(p, "numbers", sizeof(uint64_t), numbers, &next);
	canp_pipe_map(p, "collatz", sizeof(struct result), collatz, NULL, 4);
	canp_pipe_filter(p, "long", is_long, NULL);
	rc = canp_pipe_start(p, NULL);
	while (!rc && got < WANTED && n > 0) {
		n = canp_pipe_next(p, r, CANP_ARRAY_SIZE(r), UINT32_MAX);
		if (n > 0) {
			wrong += check(r, n, &number);
			got += (uint64_t)n;
		}
	}
	/* Enough: the source is asked no more, what is on its way still arrives, in order. */
	if (!rc) {
		canp_pipe_stop(p);
		while ((n = canp_pipe_next(p, r, CANP_ARRAY_SIZE(r), UINT32_MAX)) > 0) {
			wrong += check(r, n, &number);
			late += (uint64_t)n;
		}
		rc = n < 0 ? n : canp_pipe_wait(p, UINT32_MAX);
	}
	canp_pipe_stats(p, &st);
	printf("%" PRIu64 " results in order, the source was asked for %" PRIu64 " items, %" PRIu64
	       " results arrived after the stop\n",
	       got, next - 1, late);
	printf("at most %" PRIu32 " items in flight\n", st.in_flight_items_max);
	canp_pipe_destroy(p);
	if (rc || wrong || got < WANTED || st.in_flight_items_max > opts.max_memory_items) {
		fprintf(stderr, "ordered_stream: wrong result: %s\n", canp_strerror(rc));
		return 1;
	}
	return 0;
}
