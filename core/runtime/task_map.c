/*
 * task_map.c - canp_parallel_process(): one function over an array, in chunks, on all reactors.
 *
 * Chunks are ordinary tasks with futures, a few per reactor in flight. Their size follows from how
 * long the earlier ones took, so that a chunk is neither lost in the cost of a task nor holds up a
 * reactor. Results are written where they belong, so order costs nothing. The calling thread only
 * submits and waits.
 */
#include <errno.h>
#include <sched.h>
#include <stdbool.h>

#include "core/base/units.h"
#include "core/runtime/task.h"

#define MAP_WINDOW   64u
#define MAP_CHUNK_NS (200 * (uint64_t)CANP_NS_PER_US)
#define MAP_ITEMS    ((size_t)1 << 16)

struct map_job {
	const char *in;
	char *out;
	size_t n, in_size, out_size;
	int (*fn)(const void *in, void *out, void *arg);
	void *arg;
};

struct map_chunk {
	const struct map_job *job;
	size_t from, to;
	size_t bad; /* first failed item */
	struct canp_future *f;
};

static int map_run(const struct canp_task_env *env, void *arg)
{
	struct map_chunk *c = arg;
	const struct map_job *j = c->job;
	int first = 0;

	(void)env;
	for (size_t i = c->from; i < c->to; i++) {
		int rc = j->fn(j->in + i * j->in_size, j->out + i * j->out_size, j->arg);

		if (rc && !first) {
			first = rc;
			c->bad = i;
		}
	}
	return first;
}

struct map_state {
	struct map_chunk c[MAP_WINDOW];
	unsigned head, tail; /* chunks in flight */
	size_t chunk;
	int error; /* of the first chunk that failed; chunks are waited for in order */
};

/* Waits for the oldest chunk; its time sets the size of the next ones. */
static void map_reap(struct map_state *m)
{
	struct map_chunk *c = &m->c[m->head++ % MAP_WINDOW];
	struct canp_task_result r;
	uint64_t per;

	canp_future_wait(c->f, UINT32_MAX, &r);
	canp_future_put(c->f);
	if (r.error && !m->error)
		m->error = r.error;
	per = r.run_ns / (c->to - c->from) + 1;
	m->chunk = canp_max(canp_min((size_t)(MAP_CHUNK_NS / per), MAP_ITEMS), (size_t)1);
}

int canp_parallel_process(struct canp_exec *ex, const void *in, size_t n, size_t in_size, void *out,
			  size_t out_size, int (*fn)(const void *in, void *out, void *arg),
			  void *arg)
{
	struct map_job job = {in, out, n, in_size, out_size, fn, arg};
	unsigned nr = canp_exec_nr_shards(ex), window = canp_min(4 * nr, MAP_WINDOW);
	struct map_state m = {.chunk = canp_max(canp_min(n / (4 * nr), (size_t)16), (size_t)1)};
	size_t next = 0;

	while (next < n && m.error != -ESHUTDOWN) {
		struct map_chunk *c = &m.c[m.tail % MAP_WINDOW];
		struct canp_task_desc d = {
			.fn = map_run, .arg = c, .type = CANP_TASK_CPU, .prio = CANP_PRIO_NORMAL};
		int rc;

		if (m.tail - m.head == window)
			map_reap(&m);
		/* The last chunks are smaller, so that the reactors end together. */
		c->to = next + canp_min(m.chunk, (n - next) / (2 * nr) + 1);
		c->from = next;
		c->job = &job;
		rc = canp_submit(ex, &d, &c->f);
		if (!rc) {
			next = c->to;
			m.tail++;
		} else if (rc != -EAGAIN) {
			m.error = m.error ? m.error : rc;
			break;
		} else if (m.tail != m.head) {
			map_reap(&m);
		} else {
			sched_yield(); /* others have all slots */
		}
	}
	while (m.tail != m.head)
		map_reap(&m);
	return m.error;
}
